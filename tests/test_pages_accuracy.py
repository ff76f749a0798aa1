"""The Accuracy page in process, on a real evaluation of a tiny collection with junk."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from streamlit.testing.v1 import AppTest
from ui_fakes import NAME, JunkSource, draw, faked, index_of, status_of

from data import changing, importing, store
from data.folder import FolderSource
from data.paths import PROJECT_ROOT
from evaluation.base import Truth
from evaluation.rows import Row
from evaluation.run import evaluate, load_rows
from evaluation.statistics import Comparison
from indexing.build import build
from indexing.jobs import Job
from indexing.progress import Stage
from pages.accuracy import words
from pages.accuracy.table import frame
from pages.parts import backend
from pages.parts.evaluated import mean_name, one_per_recipe
from scripts import evaluate as script
from scripts.console import call

INDEXES = ("flat", "ivf:nlist=2", "pq")
BUILT = [status_of("hog", indexes=tuple(index_of(name) for name in INDEXES))]


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with ``toy`` evaluated by hog on two indexes. Read only: ``home`` copies it."""
    folder = tmp_path_factory.mktemp("accuracy")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLAYGROUND_HOME", str(folder / "home"))
        importing.import_collection(NAME, JunkSource(folder / "photos"))
        build(NAME, ["hog"], list(INDEXES))
        evaluate(NAME, ["hog"], ["flat", "pq"])
    return folder / "home"


@pytest.fixture
def home(evaluated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    import streamlit

    shutil.copytree(evaluated, tmp_path / "home")
    monkeypatch.setenv("PLAYGROUND_HOME", str(tmp_path / "home"))
    streamlit.cache_data.clear()
    streamlit.cache_resource.clear()
    with faked(BUILT):
        yield tmp_path / "home"


def page(**params: str) -> AppTest:
    test = AppTest.from_file(str(PROJECT_ROOT / "app.py"), default_timeout=60)
    for name, value in params.items():
        test.query_params[name] = value
    test.run()
    return fine(test.switch_page("pages/accuracy/page.py").run())


def fine(test: AppTest) -> AppTest:
    assert not test.exception, [one.value for one in test.exception]
    assert not test.error, [one.value for one in test.error]
    return test


def text(test: AppTest) -> str:
    parts = [*test.markdown, *test.caption, *test.warning, *test.info]
    return "\n".join(one.value for one in parts).replace("\\", "")


def test_table_has_every_row_with_its_intervals(home: Path) -> None:
    test = page()
    assert test.title[0].value == "Accuracy"
    shown = test.dataframe[0].value
    rows = {row.name: row for row in load_rows(NAME)}
    assert sorted(zip(shown["extractor"], shown["index"], strict=True)) == [
        ("HOG", "Flat"),
        ("HOG", "PQ"),
    ]
    best = max(rows.values(), key=lambda row: row.map)
    assert shown["mAP medium"][0] == pytest.approx(best.map)
    low, high = best.interval() or (math.nan, math.nan)
    assert shown["95 % medium"][0] == f"{low:.3f}–{high:.3f}"
    assert {"mAP easy", "mAP hard", "95 % hard", "mP@10", "recall"} <= set(shown.columns)
    assert set(shown["weights"]) == {"none"}
    assert set(shown["state"]) == {"partial data set"}
    assert "Partial data set" in text(test)


def test_the_protocols_that_fit_are_offered(home: Path) -> None:
    test = page()
    box = test.selectbox(key="a_protocol")
    assert box.options[0].startswith("Revisited")
    assert box.value == "revisited"
    assert not any("UKBench" in option or "Holidays" in option for option in box.options)
    box.set_value("labels")
    fine(test.run())
    assert "up to date: 0 of the 3 built" in text(test)
    assert len(test.dataframe) == 0


def test_what_is_missing_is_evaluated_in_a_process_of_its_own(home: Path) -> None:
    test = page()
    assert "up to date: 2 of the 3 built" in text(test)
    with mock.patch.object(backend, "start_evaluation") as start:
        test.button(key="evaluate").click().run()
    fine(test)
    what, arguments = start.call_args.args
    assert what == f"evaluate:{NAME}"
    assert arguments == [
        *("--collection", NAME, "--protocol", "revisited", "--quiet"),
        *("--extractors", "hog", "--indexes", "all"),
    ]


def test_progress_of_a_running_evaluation_and_cancel(home: Path) -> None:
    now = time.time()
    stage = Stage("hog", "evaluate", None, 3, 9, 1.0, "running")
    job = Job("e-1", f"evaluate:{NAME}", "running", 1, now, now, now, (stage,))
    with (
        mock.patch.object(
            backend, "jobs", side_effect=lambda name=None: [job] * (name == job.collection)
        ),
        mock.patch.object(backend, "cancel") as cancel,
    ):
        test = page()
        assert not [one for one in test.button if one.key == "evaluate"]
        test.button(key="cancel_evaluation").click().run()
    cancel.assert_called_once_with("e-1")


def test_a_failed_evaluation_is_told_once(home: Path) -> None:
    job = Job("e-1", f"evaluate:{NAME}", "failed", 1, 0, 0, 0, (), "The disk is full.")
    with mock.patch.object(
        backend, "jobs", side_effect=lambda name=None: [job] * (name == job.collection)
    ):
        test = AppTest.from_file(str(PROJECT_ROOT / "app.py"), default_timeout=60).run()
        test.switch_page("pages/accuracy/page.py").run()
        assert "The disk is full" in test.error[0].value
        test.button(key="dismiss_evaluation").click().run()
        fine(test)


def test_two_methods_are_compared_in_words(home: Path) -> None:
    test = page()
    first, second = (test.selectbox(key=key).value for key in ("a_first", "a_second"))
    assert {first, second} == {"hog flat", "hog pq"}
    assert "On 3 queries, HOG · " in text(test) or "On all 3 queries" in text(test)
    test.selectbox(key="a_second").set_value(first)
    fine(test.run())
    assert "Choose two different methods" in text(test)


def test_grids_frame_right_and_wrong_and_grey_junk(home: Path) -> None:
    with mock.patch("pages.parts.results.results_grid", return_value=None) as grid:
        page()
    by_key = {call.kwargs["key"]: call.args[0] for call in grid.call_args_list}
    pair, failures = by_key["a_pair"], by_key["a_failures"]
    assert [row["title"] for row in pair["rows"]] == ["HOG", "HOG"]
    (flat,) = (row for row in pair["rows"] if row["index"] == "Flat")
    verdicts = {hit[0]: hit[2] for hit in flat["hits"]}
    assert len(verdicts) == 12
    label = next(name for name, verdict in verdicts.items() if verdict == -2).split("-")[0]
    expected = {f"{label}-{i}": 1 for i in range(3)} | {f"{label}-3": -2}
    assert {k: v for k, v in verdicts.items() if v} == expected
    assert all(url.startswith("data:image/jpeg") for url in pair["thumbs"].values())
    worst = [row["badges"][0][0] for row in failures["rows"]]
    assert worst == sorted(worst)
    assert all(row["picture"].startswith("data:image/jpeg") for row in failures["rows"])


def test_another_setting_changes_curves_and_failures(home: Path) -> None:
    with mock.patch("pages.parts.results.results_grid", return_value=None) as grid:
        test = page()
        test.segmented_control(key="a_setting-revisited").set_value("hard")
        fine(test.run())
    flat = next(row for row in grid.call_args_list[-2].args[0]["rows"] if row["index"] == "Flat")
    easy = [hit[0] for hit in flat["hits"] if hit[2] == -2]
    assert len(easy) == 2  # easy photos are junk when the hard ones are asked for


def test_a_clicked_photo_opens_and_becomes_the_query(home: Path) -> None:
    def click(data: Any, key: str) -> Any:
        return {"id": "arch-1", "row": "hog flat"} if key == "a_pair" else None

    with mock.patch("pages.parts.results.results_grid", side_effect=click):
        test = page()
    assert "arch-1" in text(test)
    assert test.button(key="use_as_query")


def test_a_query_opens_in_search_with_both_methods(home: Path) -> None:
    test = page()
    asked = test.selectbox(key="a_query").value
    test.button(key="a_search").click().run()
    settings = test.session_state["settings"]
    assert settings.source == "query"
    assert settings.query == asked
    assert set(settings.indexes or ()) == {"flat", "pq"}


def test_out_of_date_rows_are_said_and_left_out_of_the_drawings(home: Path) -> None:
    changing.remove(NAME, ["tower-3"])
    test = page()
    assert "Out of date: HOG · Flat, HOG · PQ." in text(test)
    assert all(state.startswith("out of date") for state in test.dataframe[0].value["state"])
    assert [one.value for one in test.header] == []


def test_no_collection_and_no_ground_truth(home: Path, tmp_path: Path) -> None:
    changing.delete(NAME)
    assert "no collection yet" in text(page())
    (tmp_path / "flat").mkdir()
    draw(0, 0).save(tmp_path / "flat" / "one.jpg")
    importing.import_collection(NAME, FolderSource(tmp_path / "flat"))
    assert "no ground truth" in text(page())


def test_search_shows_the_evaluated_ap_of_the_shown_query(home: Path) -> None:
    ready = [status_of("hog", indexes=(index_of("flat"), index_of("ivf")))]
    with mock.patch.object(backend, "statuses", return_value=ready):
        test = AppTest.from_file(str(PROJECT_ROOT / "app.py"), default_timeout=60)
        test.query_params["query"] = "bridge-query"
        test.query_params["indexes"] = ["flat", "ivf"]
        fine(test.run())
        shown = test.dataframe[0].value
        (row,) = (row for row in load_rows(NAME) if row.index == "flat")
        expected = row.values(measure="ap")["bridge-query"]
        assert shown["AP_revisited"][0] == pytest.approx(expected)
        assert math.isnan(shown["AP_revisited"][1])
        test.button(key="whole").click().run()  # another region was not evaluated
        assert "AP_revisited" not in fine(test).dataframe[0].value.columns


# Parts


@pytest.fixture
def rows(home: Path) -> list[Row]:
    return load_rows(NAME)


def test_downloads(rows: list[Row]) -> None:
    line = words.flat(rows[0])
    assert line["map"] == rows[0].map
    assert (line["map_ci_low"], line["map_ci_high"]) == rows[0].interval()
    assert line["hard map"] == rows[0].means["hard"]["ap"]
    listed = json.loads(words.as_json(rows))
    assert [one["index"] for one in listed] == ["flat", "pq"]
    assert listed[0]["map_ci"] == list(rows[0].interval() or ())


def test_the_report_is_that_of_the_command(rows: list[Row]) -> None:
    from evaluation import report
    from pages.accuracy.table import report_of

    collection = store.load(NAME)
    assert report_of(collection, rows) == report.render(rows, collection)
    old = dataclasses.replace(rows[0], stale="The index changed.")
    assert report_of(collection, [old, rows[1]]) == report.render(rows[1:], collection)


def test_out_of_date_rows_come_last_without_a_test(rows: list[Row]) -> None:
    best = max(rows, key=lambda row: row.map)
    old = dataclasses.replace(best, stale="Since this was evaluated, the index changed.")
    other = next(row for row in rows if row is not best)
    shown = frame([old, other], "medium")
    assert list(shown["state"]) == ["partial data set", "out of date, partial data set"]
    assert shown["p"].isna().all()


def test_untrained_is_said(rows: list[Row]) -> None:
    row = dataclasses.replace(rows[0], weights="untrained")
    assert words.weights(row) == "untrained"
    assert words.untrained(row)
    truth = Truth(frozenset())
    strip = words.strip("r", "t", "b", row.queries[0], row, "medium", truth, 3)
    assert ["random weights", "red"] in strip["badges"]
    assert len(strip["hits"]) == 3


def test_one_row_per_pair_prefers_current_ones_and_the_usual_k(rows: list[Row]) -> None:
    stale = dataclasses.replace(rows[0], stale="old")
    other = dataclasses.replace(rows[0], k=20)
    assert one_per_recipe([other, rows[0]]) == [rows[0]]
    assert one_per_recipe([stale, other]) == [other]


def test_missing_pairs_count_out_of_date_ones(rows: list[Row]) -> None:
    ready = {"hog": ["flat", "ivf"]}
    assert words.missing(rows, ready) == [("hog", "ivf")]
    old = [dataclasses.replace(row, stale="old") for row in rows]
    assert words.missing(old, ready) == [("hog", "flat"), ("hog", "ivf")]


@pytest.mark.parametrize(
    ("test", "says"),
    [
        (Comparison(0, math.nan, math.nan, 0, 0, 0), "cannot be compared"),
        (Comparison(4, 0.0, 1.0, 0, 4, 0), "exactly the same AP"),
        (Comparison(4, 0.0, 1.0, 2, 0, 2), "no difference"),
        (Comparison(9, 0.2, 0.004, 8, 0, 1), "A is most likely better than B"),
        (Comparison(9, -0.2, 0.004, 1, 0, 8), "B leads by 0.200"),
        (Comparison(9, -0.2, 0.0002, 1, 0, 8), "fewer than 0.1 % of the cases"),
        (Comparison(9, 0.02, 0.61, 5, 0, 4), "61 % of the cases"),
        (Comparison(9, 0.02, 0.61, 5, 0, 4), "may well be chance"),
        (Comparison(1, 0.02, 1.0, 1, 0, 0), "On 1 query,"),
    ],
)
def test_the_paired_test_in_plain_words(test: Comparison, says: str) -> None:
    assert says in words.sentence(("A", "B"), (0.5, 0.4), test, "ap")


def test_every_protocol_has_its_numbers_explained() -> None:
    from evaluation import registry

    for name in registry.names():
        protocol = registry.protocol(name)
        known = dict(words.glossary(protocol, 10))
        assert {mean_name(measure) for measure in protocol.measures} <= set(known)
        assert "recall@10" in known["Agrees with exact"]


class Recorded:
    """Stands in for the job's file."""

    def __init__(self, job_id: str, about: str, planned: list[Stage]) -> None:
        self.about, self.planned = about, planned
        self.ends: list[tuple[str, str]] = []
        self.steps: list[tuple[str, int, int]] = []
        MADE.append(self)

    def turn(self, slot: str) -> contextlib.AbstractContextManager[None]:
        assert slot == "measurement"
        return contextlib.nullcontext()

    def plan(self, stages: list[Stage]) -> None:
        self.planned = stages

    def update(self, stage: Stage) -> None:
        self.steps.append((stage.state, stage.done, stage.total))

    def end(self, state: str, error: str = "") -> None:
        self.ends.append((state, error))


MADE: list[Recorded] = []


@pytest.fixture
def as_job(home: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the command of the button as the job would; this process keeps priority and signals."""
    MADE.clear()
    monkeypatch.setattr(script, "JobProgress", Recorded)
    monkeypatch.setattr("os.nice", lambda by: by, raising=False)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    return lambda *more: call(script.main, ["--collection", NAME, "--job", "e-1", *more])


def test_the_job_evaluates_and_tells_its_steps(as_job: Any) -> None:
    assert as_job("--protocol", "labels", "--extractors", "hog", "--indexes", "all") == 0
    rows = load_rows(NAME, "labels")
    assert {row.index for row in rows} == set(INDEXES)
    job = MADE[-1]
    assert job.about == f"evaluate:{NAME}"
    assert [(stage.extractor, stage.stage) for stage in job.planned] == [("hog", "evaluate")]
    assert job.steps[-2:] == [("running", 9, 9), ("done", 1, 1)]
    assert job.ends == [("done", "")]


def test_the_job_tells_why_it_failed(as_job: Any) -> None:
    assert as_job("--extractors", "bovw", "--indexes", "all") == 2
    state, error = MADE[-1].ends[-1]
    assert state == "failed"
    assert "scripts.build" in error


def test_a_stopped_job_says_so(as_job: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "evaluate", mock.Mock(side_effect=KeyboardInterrupt))
    assert as_job("--extractors", "hog", "--indexes", "all") == 130
    assert MADE[-1].ends == [("cancelled", "")]
