"""The Trade-offs page in process, on a tiny built collection with points made by hand."""

from __future__ import annotations

import argparse
import dataclasses
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest
from ui_fakes import NAME, ToySource

from data import importing, permission, store
from data.paths import PROJECT_ROOT
from evaluation import session
from evaluation.tradeoffs import front, live, padding, rows
from evaluation.tradeoffs.rows import Latency, Point, Spread
from indexing import jobs, registry
from indexing.build import build
from indexing.jobs import Job
from indexing.progress import Stage
from pages.parts import backend
from pages.tradeoffs import answer as answers
from pages.tradeoffs import data
from pages.tradeoffs.live import mean_recall
from scripts import benchmark
from tests.test_evaluation_report import check

PHOTOS = 12  # of the toy collection
PADDED = 60


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with ``toy`` described by hog, and padded. Read only: ``home`` copies it."""
    folder = tmp_path_factory.mktemp("tradeoffs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLAYGROUND_HOME", str(folder / "home"))
        importing.import_collection(NAME, ToySource(folder / "photos"))
        build(NAME, ["hog"], ["flat"])
        padding.open_set(NAME, "hog", PADDED)
    return folder / "home"


@pytest.fixture
def home(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    import streamlit

    shutil.copytree(built, tmp_path / "home")
    monkeypatch.setenv("PLAYGROUND_HOME", str(tmp_path / "home"))
    streamlit.cache_data.clear()
    streamlit.cache_resource.clear()
    with (
        mock.patch("pages.parts.startup.begin", return_value=""),
    ):
        yield tmp_path / "home"


def spread(value: float) -> Spread:
    return Spread(value, 0.9 * value, 1.1 * value)


def latency(value: float) -> Latency:
    return Latency(spread(value), spread(2 * value), spread(3 * value), 100)


def made(index: str, ms: float, recall: float, n: int = PHOTOS, **more: Any) -> Point:
    """A point of the toy collection as the measurement would write it."""
    values: dict[str, Any] = {
        field.name: "" for field in dataclasses.fields(Point) if field.name not in more
    }
    others = n - PHOTOS
    kind, overrides = registry.parse_index_spec(index)
    plan = kind.plan(n, 3780, overrides)
    size = kind.estimate_bytes(plan, n, 3780)
    values |= {
        "batch": 3,
        "collection": NAME,
        "extractor": "hog",
        "n": n,
        "photos": PHOTOS,
        "dim": 3780,
        "padding": f"{others} simulated" if others else "",
        "simulated": others,
        "plausibility": {},
        "index": index,
        "build": plan.build,
        "search": {},
        "queries": 3,
        "recall": {1: recall, 10: recall, 100: 1.0},
        "map100": 0.5,
        "map100_exact": 0.5,
        "latency_1": latency(ms),
        "latency_all": latency(ms),
        "throughput": spread(1000 / ms),
        "train_s": 0.1,
        "add_s": 0.1,
        "build_s": 0.2,
        "disk_bytes": size,
        "memory_bytes": size,
        "code_bytes": 8,
        "distances": 12.0,
        "distances_how": "counted",
        "repeats": 3,
        "threads": 2,
        "machine": {"cpu": "a test", "cores": 2},
        "versions": {"faiss-cpu": "1"},
        "date": "2026-01-02T03:04:05+00:00",
        "notes": (),
    }
    values |= more
    point = Point(**{f.name: values[f.name] for f in dataclasses.fields(Point)})
    return dataclasses.replace(point, key=f"{index}-{point.search}-{n}")


GRID = [
    made("flat", 1.0, 1.0),
    made("ivf:nlist=3", 0.5, 0.6, search={"nprobe": 1}),
    made("ivf:nlist=3", 0.9, 0.95, search={"nprobe": 2}),
    made("lsh:nbits=64", 0.8, 0.5),
    made("flat", 8.0, 1.0, PADDED),
    made("ivf:nlist=3", 2.0, 0.95, PADDED, search={"nprobe": 2}),
]


@pytest.fixture
def measured(home: Path) -> Path:
    """The grid of the collection and of its padded vectors."""
    version = padding.open_set(NAME, "hog").photos_version
    for point in GRID:
        rows.append(dataclasses.replace(point, vectors_version=version))
    return home


def page(**params: str) -> AppTest:
    test = AppTest.from_file(str(PROJECT_ROOT / "app.py"), default_timeout=60)
    test.query_params["collection"] = NAME
    for name, value in params.items():
        test.query_params[name] = value
    test.run()
    return fine(test.switch_page("pages/tradeoffs/page.py").run())


def fine(test: AppTest) -> AppTest:
    assert not test.exception, [one.value for one in test.exception]
    assert not test.error, [one.value for one in test.error]
    return test


def text(test: AppTest) -> str:
    parts = [*test.markdown, *test.caption, *test.info, *test.success, *test.warning]
    return "\n".join(one.value for one in parts).replace("\\", "")


def metrics(test: AppTest) -> dict[str, str]:
    """Those of the setting; the wizard and the sliders before it have some of the same."""
    return {one.label: one.value for one in test.metric}


def charts(test: AppTest) -> str:
    """The Plotly specifications of all charts."""
    return "\n".join(one.proto.spec for one in test.get("plotly_chart"))


def test_nothing_measured_says_how_and_starts_it(home: Path) -> None:
    test = page()
    assert "Nothing is measured yet" in text(test)
    assert "scripts.benchmark index --collection toy --extractor 'hog'" in test.code[0].value
    assert metrics(test)["Missed / wrong"]  # a parameter can be moved all the same
    with mock.patch.object(backend, "start_tradeoffs") as start:
        test.button(key="measure").click().run()
    fine(test)
    what, arguments = start.call_args.args
    assert what == "tradeoffs:toy"
    wanted = ["--collection", "toy", "--extractor", "hog", "--sizes", "real,10k", "--quick"]
    assert arguments == wanted
    from scripts.benchmark_index import add_arguments

    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert parser.parse_args([*arguments, "--job", "x"]).sizes == "real,10k"


def test_a_visitor_measures_up_to_a_size_and_stops_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(permission.MODE, permission.CLASSROOM)
    monkeypatch.setattr(permission, "_is_teacher", lambda: False)
    test = page()
    fine(test)
    assert not test.code and "Nothing is measured yet" in text(test)
    sizes = next(one for one in test.button_group if one.key == f"t_sizes-{NAME}")
    assert [one.partition(" ")[0] for one in sizes.options] == ["12", "10k"]
    assert [one for one in test.button if one.label == "Make the experiment"]
    with mock.patch.object(jobs, "_start") as start:
        test.button(key="measure").click().run()
    fine(test)
    what, _, words = start.call_args.args
    assert what == "tradeoffs:toy" and words[:2] == ["scripts.benchmark", "index"]
    job = Job("t-1", "tradeoffs:toy", "running", 1, 0.0, 0.0, 0.0, waiting="Waits for its turn.")
    with mock.patch.object(backend, "jobs", return_value=[job]):
        test = page()
    assert [one.proto.text for one in test.get("progress")] == ["Waits for its turn."]
    assert not [one for one in test.button if one.key == "cancel_tradeoffs"]


def test_progress_and_cancel(home: Path) -> None:
    stage = Stage("hog", "measure", None, 4, 40, 3.0, "running")
    job = Job("t-1", "tradeoffs:toy", "running", 1, 0.0, 0.0, 0.0, (stage,))
    with (
        mock.patch.object(backend, "jobs", return_value=[job]),
        mock.patch.object(backend, "cancel") as cancel,
    ):
        test = page()
        shown = [one.proto.text for one in test.get("progress")]
        assert shown == ["Measuring **HOG**: step 4 of 40, about 27 s left"]
        assert not [one for one in test.button if one.key == "measure"]
        test.button(key="cancel_tradeoffs").click().run()
    cancel.assert_called_once_with("t-1")


def test_the_job_behind_the_button(home: Path) -> None:
    words = ["index", "--collection", NAME, "--extractor", "hog", "--sizes", "real", "--quick"]
    words += ["--repeats", "1", "--indexes", "flat", "--job", "t-2"]
    with mock.patch("signal.signal"):
        assert benchmark.main(words) == 0
    job = jobs.job("t-2")
    assert (job.state, job.fraction, job.collection) == ("done", 1.0, "tradeoffs:toy")
    (point,) = rows.load_points(NAME, "hog")
    assert point.recall[10] == 1.0 and not point.stale
    with (
        mock.patch("signal.signal"),
        mock.patch("evaluation.tradeoffs.run.measure_grid", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        benchmark.main(words)
    assert jobs.job("t-2").state == "cancelled"


def test_charts_show_every_setting_of_the_size(measured: Path) -> None:
    test = page()
    shown = charts(test)
    assert len(test.get("plotly_chart")) == 4
    for setting in ("flat", "ivf:nlist=3,nprobe=1", "lsh:nbits=64"):
        assert setting in shown
    assert "Pareto front" in shown
    slider = test.select_slider(key="t_scale")
    assert list(slider.options) == ["12 (the collection)", "60 (simulated)"]
    assert "60 vectors" not in text(test)
    slider.set_value("60 (simulated)")
    fine(test.run())
    assert "48 simulated distractors" in text(test)
    assert "with simulated distractors" in charts(test)
    assert "Faster than exact search on this machine: IVF from 12 or fewer" in text(test)


def test_a_setting_is_run_on_the_query_beside_exact_search(measured: Path) -> None:
    test = page(k="5")
    test.selectbox(key="t_setting").set_value(GRID[1].key)
    fine(test.run())
    assert {"Agrees with exact", "Search", "Exact search (Flat)"} <= set(metrics(test))
    grids = [one for one in test.get("bidi_component") if "Exact search" in str(one.proto)]
    grid = grids[-1]  # the sliders' is before it
    assert "ivf:nlist=3,nprobe=1" in str(grid.proto)
    test.selectbox(key="t_setting").set_value(GRID[0].key)
    fine(test.run())
    assert metrics(test)["Missed / wrong"] == "0 / 0"


def test_the_page_opens_with_the_wizard(measured: Path) -> None:
    test = page()
    heads = [one.value for one in test.header]
    assert heads[:3] == ["Find a setting", "Move a parameter", "What was measured"]
    assert "IVF" in test.success[0].value and "nprobe=2" in test.success[0].value
    shown = {one.label: one.value for one in reversed(test.metric)}  # the first ones
    # 15,120 bytes of numbers and an id each; 3 centres besides.
    assert shown["Bytes per photo"] == "15,128"
    assert shown["Memory for 12"] == "227 kB"
    assert any("IVF3,Flat" in one.value for one in test.code)
    assert "Judged by 4 settings measured with 12 vectors. One thread, a test" in text(test)
    test.button(key="t_wizard_show").click().run()
    assert fine(test).selectbox(key="t_setting").value == GRID[2].key


def test_the_wizard_says_which_limit_to_relax_and_by_how_much(measured: Path) -> None:
    test = page()
    test.number_input(key="t_w_ms").set_value(0.6)
    fine(test.run())
    said = test.warning[0].value.replace("\\", "")
    assert "One of these is enough" in said
    assert "accept an agreement of 0.600** instead of 0.950 (0.350 less)" in said
    assert "allow 0.90 ms per query** instead of 0.60 ms (0.30 ms more)" in said
    # 0.35 of 0.95 is the smaller step.
    assert said.index("0.600") < said.index("0.90 ms")
    test.button(key="t_wizard_show").click().run()
    assert fine(test).selectbox(key="t_setting").value == GRID[1].key


def test_the_wizard_takes_the_next_size_and_shows_it(measured: Path) -> None:
    test = page()
    test.number_input(key=f"t_w_photos-{PHOTOS}").set_value(40)
    fine(test.run())
    assert "measured with 60 vectors, 48 of them simulated, the next measured size" in text(test)
    test.button(key="t_wizard_show").click().run()
    assert fine(test).select_slider(key="t_scale").value == "60 (simulated)"
    test.number_input(key=f"t_w_photos-{PHOTOS}").set_value(4_000)
    fine(test.run())
    assert "4,000 photos take longer and agree less" in text(test)


def test_exact_search_is_the_charted_flat(measured: Path) -> None:
    """Its time is that of FAISS's IndexFlat, in turns with the other index."""
    asked: list[list[str]] = []
    real = live.timed

    def noted(indexes: Any, *rest: Any) -> Any:
        asked.append([one.spec for one, _ in indexes])
        return real(indexes, *rest)

    with mock.patch.object(live, "timed", noted):
        test = page()
        test.selectbox(key="t_setting").set_value(GRID[1].key)
        fine(test.run())
    assert asked[-1] == ["ivf:nlist=3", "flat"]


def test_points_of_other_vectors_are_left_out(home: Path) -> None:
    rows.append(dataclasses.replace(GRID[0], vectors_version="old"))
    test = page()
    assert "1 points are out of date" in text(test)
    assert "Nothing is measured yet" in text(test)


def test_simulated_vectors_that_are_gone_are_drawn_again(measured: Path) -> None:
    folder = padding.set_folder(NAME, "hog", PADDED)
    shutil.rmtree(folder)
    with mock.patch.object(answers, "_DRAWN", 1):  # these count as large
        test = page()
        test.select_slider(key="t_scale").set_value("60 (simulated)")
        test.run()
        assert not folder.exists()
        test.button(key="t_draw").click().run()
        fine(test)
    assert (folder / "manifest.json").is_file()


def test_real_distractors_that_are_gone_are_a_sentence(home: Path) -> None:
    words = "48 vectors of the collection other"
    version = padding.open_set(NAME, "hog").photos_version
    gone = made("flat", 8.0, 1.0, PADDED, padding=words, simulated=0, vectors_version=version)
    rows.append(dataclasses.replace(gone, distractors="collection:other"))
    test = AppTest.from_file(str(PROJECT_ROOT / "app.py"), default_timeout=60)
    test.query_params["collection"] = NAME
    test.run()
    test.switch_page("pages/tradeoffs/page.py").run()
    assert not test.exception
    assert "60 are not on this disk" in text(test)  # the sliders go on with the photos
    assert "--sizes 60" in " ".join(one.value for one in test.error).replace("\\", "")


@pytest.mark.parametrize(
    ("kind", "key", "value"), [("lsh", "t_nbits", 512), ("pq", "t_m-hog-3780", 4)]
)
def test_sliders_rebuild_on_the_collection(home: Path, kind: str, key: str, value: int) -> None:
    test = page()
    test.segmented_control(key="t_live").set_value(kind)
    fine(test.run())
    before = text(test)
    test.select_slider(key=key).set_value(value)
    fine(test.run())
    assert text(test) != before and "mean recall@10 of 12 photos" in text(test)


def test_the_next_steps_of_a_slider_are_built_ahead(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead: list[str] = []
    monkeypatch.setattr(answers, "prepare", lambda _, spec, __: ahead.append(spec))
    test = page()
    test.segmented_control(key="t_live").set_value("lsh")
    fine(test.run())
    for value, expected in ((8, [16]), (64, [128, 32])):
        ahead.clear()
        test.select_slider(key="t_nbits").set_value(value)
        fine(test.run())
        assert ahead == [f"lsh:nbits={n}" for n in expected]


# Parts


def test_scales_say_what_is_simulated() -> None:
    found = data.scales(GRID)
    assert [one.label for one in found] == ["12 (the collection)", "60 (simulated)"]
    assert found[1].distractors == "simulated"
    words = "20 vectors of the collection other and 28 simulated"
    mixed = data.Scale(PADDED, 28, PHOTOS, words)
    assert mixed.label == "60 (partly simulated)"
    assert mixed.distractors == "collection:other"
    real = data.Scale(PADDED, 0, PHOTOS, "48 vectors of the collection a.b")
    assert (real.label, real.distractors) == ("60 (real)", "collection:a.b")
    assert data.Scale(PADDED, 0, PHOTOS, "48 feature files of x").distractors is None
    assert [data.short(n) for n in (240, 10_000, 1_000_000, 2_500_000)] == [
        "240",
        "10k",
        "1M",
        "2.5M",
    ]


def test_fastest_of_each_kind_with_enough_recall() -> None:
    steps = front.fastest(GRID, "recall@10", 0.9)
    assert [(one.family, one.n, one.latency_ms) for one in steps] == [
        ("flat", 12, 1.0),
        ("flat", 60, 8.0),
        ("ivf", 12, 0.9),
        ("ivf", 60, 2.0),
    ]
    frame = data.frame(GRID, [GRID[1]])
    assert list(frame["on_front"]) == [False, True, False, False, False, False]
    assert frame["latency_ms"].tolist() == [1.0, 0.5, 0.9, 0.8, 8.0, 2.0]
    assert "<b>ivf:nlist=3,nprobe=1</b>" in data.tip(GRID[1])


def test_missed_and_wrong_are_marked_and_the_own_photo_is_left_out(home: Path) -> None:
    vectors = padding.open_set(NAME, "hog")
    query = np.asarray(vectors.vectors[0])
    exact = live.exact(vectors, query, 4)
    assert exact.rows[0] == 0
    kept = answers.without(exact, 0, 3)
    assert 0 not in kept.rows and len(kept.rows) == 3 and kept.photo_ids == exact.photo_ids[1:]
    index = live.build(vectors, "lsh:nbits=8")
    answer = index.answer(query, 4)
    compared = live.compare(answer, exact)
    assert set(compared.missing) == set(exact.rows.tolist()) - set(answer.rows.tolist())


def test_mean_recall_of_an_exact_index_is_one(home: Path) -> None:
    vectors = padding.open_set(NAME, "hog")
    assert mean_recall(vectors, live.build(vectors, "flat"), {}) == 1.0
    assert mean_recall(vectors, live.build(vectors, "lsh:nbits=8"), {}) < 1.0


# Saved


def test_a_session_is_one_well_formed_file(home: Path) -> None:
    collection = store.load(NAME)
    saved = session.Session(
        title="A <b>title</b>",
        settings={"query": '"><script>alert(1)</script>'},
        query=np.zeros((40, 60, 3), np.uint8),
        notes=["48 of 60 are simulated."],
        strips=[
            session.Strip(
                "HOG · Flat",
                ("search 1 ms",),
                (
                    session.Found("arch-0", "The arch", True),
                    session.Found(None, "simulated", False, "wrong"),
                    session.Found("gone", "A photo that was removed"),
                ),
            )
        ],
        tables=[("Figures", ["a", "b"], [["x", 1.5], [None, 2]])],
    )
    shown = session.render(saved, collection)
    found = check(shown)
    assert found.tags.count("img") == 2
    assert "<script>alert" not in shown and "no photo on this disk" in shown
    assert "48 of 60 are simulated." in shown and ">wrong<" in shown


def test_the_pages_report_has_results_charts_and_no_links(measured: Path) -> None:
    with mock.patch("pages.parts.saving.button") as button:
        test = page(k="4")
        test.select_slider(key="t_scale").set_value("60 (simulated)")
        fine(test.run())
        report = next(c for c in reversed(button.call_args_list) if c.kwargs.get("key"))
        shown = report.args[1]()
    found = check(shown)
    assert found.tags.count("svg") == 4
    assert re.search(r"48 of the 60 vectors are simulated", shown)
    assert "Exact search" in shown and "Measured settings" in shown


def test_the_search_pages_report(home: Path) -> None:
    with mock.patch("pages.parts.saving.button") as button:
        test = AppTest.from_file(str(PROJECT_ROOT / "app.py"), default_timeout=60)
        test.query_params["k"] = "4"
        fine(test.run())
        report = next(c for c in button.call_args_list if c.args[0] == "Report HTML")
        shown = report.args[1]()
    found = check(shown)
    assert found.tags.count("img") == 1 + 4  # the query and its results
    for words in ("HOG · Flat", "260 x 200 px", "results per row", "Memory per photo"):
        assert words in shown
