"""Every page in process, without a browser: custom components yield their defaults here."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from streamlit.testing.v1 import AppTest
from ui_fakes import NAME, FakeEngine, FakeJob, ToySource, draw, faked, index_of, status_of

from data import changing, importing, store
from data.errors import NotFound, PlaygroundError
from data.paths import PROJECT_ROOT
from indexing.progress import Stage
from indexing.status import ExtractorStatus
from pages.parts.text import plain

READY = [
    status_of("hog"),
    status_of("bovw"),
    status_of("resnet50", weights="untrained"),
    status_of("delf", state="missing", indexes=()),
]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty place for artefacts with the toy collection in it."""
    import streamlit

    monkeypatch.setenv("PLAYGROUND_HOME", str(tmp_path / "home"))
    streamlit.cache_data.clear()
    streamlit.cache_resource.clear()
    importing.import_collection(NAME, ToySource(tmp_path / "photos"))
    return tmp_path


@pytest.fixture
def fake(home: Path) -> Iterator[tuple[FakeEngine, dict[str, mock.Mock]]]:
    with faked(READY) as both:
        yield both


def app(page: str | None = None, **params: Any) -> AppTest:
    test = AppTest.from_file(str(PROJECT_ROOT / "app.py"), default_timeout=30)
    for name, value in params.items():
        test.query_params[name] = value
    test.run()
    if page is not None:
        test.switch_page(f"pages/{page}/page.py").run()
    return test


def fine(test: AppTest) -> AppTest:
    assert not test.exception, [one.value for one in test.exception]
    assert not test.error, [one.value for one in test.error]
    return test


def rows(test: AppTest) -> list[tuple[str, str]]:
    frame = test.dataframe[0].value
    return list(zip(frame["extractor"], frame["index"], strict=True))


def captions(test: AppTest) -> str:
    return "\n".join(one.value for one in test.caption)


def test_search_smoke(fake: Any) -> None:
    test = fine(app())
    assert test.title[0].value == "Search"
    assert rows(test) == [("BoVW", "Flat"), ("ResNet50", "Flat")]
    assert "260 x 200 px of 360 x 260" in captions(test)  # the query's own box


def test_the_box_goes_to_the_engine_in_photo_px(fake: Any) -> None:
    engine, _ = fake
    fine(app(extractors="hog"))
    assert engine.described == [("hog", (40, 20, 300, 220), (260, 360, 3), mock.ANY)]


@pytest.mark.parametrize(
    ("turn", "photo", "expected"),
    [
        (0, "", (0, 0, 182, 131)),
        (1, "", (40, 20, 300, 220)),  # drawn before the box was set from outside
        (0, "another", (40, 20, 300, 220)),
    ],
)
def test_a_drawn_box_reaches_the_engine(
    fake: Any, turn: int, photo: str, expected: tuple[int, ...]
) -> None:
    engine, _ = fake

    def drawn(data: dict[str, Any]) -> dict[str, Any]:
        return {"photo": photo or data["photo"], "turn": turn, "box": [-7, 0, 182, 131]}

    with mock.patch("pages.parts.cropper._drawn", side_effect=drawn):
        test = fine(app(extractors="hog"))
    assert engine.described[0][1] == expected
    assert test.query_params["box"] == ",".join(map(str, expected))


def test_whole_photo_and_reset(fake: Any) -> None:
    engine, _ = fake
    test = fine(app(extractors="hog"))
    fine(test.button(key="whole").click().run())
    assert engine.described[-1][1] == (0, 0, 360, 260)
    assert test.query_params["box"] == "whole"
    fine(test.button(key="reset").click().run())
    assert test.query_params["box"] == "40,20,300,220"


def test_k_and_index_changes_do_not_describe_again(fake: Any) -> None:
    engine, _ = fake
    test = fine(app(extractors="hog"))
    keys = {described[3] for described in engine.described}
    test.slider(key="w_k").set_value(5)
    test.pills(key="w_indexes").set_value(["flat", "pq", "lsh"])
    fine(test.run())
    assert {described[3] for described in engine.described} == keys
    assert rows(test) == [("HOG", "Flat"), ("HOG", "LSH"), ("HOG", "PQ")]


def test_a_link_is_taken_over_and_written_back(fake: Any) -> None:
    given: dict[str, Any] = {
        "collection": NAME,
        "source": "photo",
        "query": "tower-1",
        "box": "10,20,200,240",
        "extractors": ["bovw", "resnet50"],
        "indexes": "pq",
        "k": "7",
    }
    test = fine(app(**given))
    assert rows(test) == [("BoVW", "PQ"), ("ResNet50", "PQ")]
    assert "190 x 220 px" in captions(test)
    assert {name: test.query_params[name] for name in test.query_params} == given


def test_a_link_may_name_a_photo_without_its_source(fake: Any) -> None:
    test = fine(app(query="tower-1", extractors="hog"))
    assert (test.query_params["source"], test.query_params["query"]) == ("photo", "tower-1")
    assert not test.warning
    test = fine(app(source="photo", query="tower-query", extractors="hog"))
    assert (test.query_params["source"], test.query_params["query"]) == ("query", "tower-query")


def test_a_link_to_a_photo_of_a_collection_without_queries(fake: Any) -> None:
    from data import changing, store

    changing.remove(NAME, [query.id for query in store.load(NAME).queries])
    test = fine(app(collection=NAME, query="tower-1", extractors="hog"))
    assert (test.query_params["source"], test.query_params["query"]) == ("photo", "tower-1")
    assert not test.warning
    test = app(collection=NAME, query="gone", extractors="hog")
    assert "There is no photo gone" in test.warning[0].value
    assert test.query_params["query"] == "arch-0"


@pytest.mark.parametrize("name", ["collection", "query"])
def test_markdown_of_a_link_is_shown_as_text(name: str, fake: Any) -> None:
    evil = "![x](http://127.0.0.9:8123/a.png) **bold** $x^2$"
    test = fine(app(**{name: evil, "extractors": "hog"}))
    shown = test.warning[0].value
    assert "\\!\\[x\\]\\(http\\:\u2060//127.0.0.9\\:8123/a.png\\)" in shown
    assert r"\*\*bold\*\*" in shown and r"\$x^2\$" in shown


def test_a_photo_of_the_collection_does_not_find_itself(fake: Any) -> None:
    test = fine(app(source="photo", query="arch-0", extractors="hog", k="100"))
    kept = test.session_state["kept_results"]
    assert kept
    assert all("arch-0" not in [hit.id for hit in one.hits] for one in kept.values())
    assert "3 photos of the collection show the query's landmark" in captions(test)


@pytest.mark.parametrize(
    "params",
    [
        {"collection": "gone"},
        {"query": "gone"},
        {"box": "5000,5000,6000,6000"},
        {"extractors": "gone"},
        {"indexes": "gone"},
        {"k": "-3"},
        {"source": "photo", "box": "nonsense"},
    ],
)
def test_a_bad_link_never_breaks_the_page(fake: Any, params: dict[str, str]) -> None:
    fine(app(**params))


def test_what_is_not_built_is_said_and_not_offered(fake: Any) -> None:
    test = fine(app())
    assert "delf" not in test.pills(key="w_extractors").options
    assert "Not ready yet: DELF" in captions(test)


def test_random_weights_are_said_beside_the_extractor_and_in_the_results(fake: Any) -> None:
    test = fine(app())
    words = "random weights: a baseline, not the method's real accuracy"
    assert words in captions(test)
    assert any(words in one.value and "ResNet50" in one.value for one in test.warning)


def test_a_failing_extractor_does_not_stop_the_others(fake: Any) -> None:
    engine, _ = fake
    engine.error = PlaygroundError("The index of bovw is gone. Build it again.")
    test = app(extractors=["hog", "bovw"])
    assert not test.exception
    assert "Build it again" in test.error[0].value.replace("\\", "")
    assert {name for name, _ in rows(test)} == {"HOG"}


def test_a_defect_is_one_sentence_and_no_traceback(
    fake: Any, caplog: pytest.LogCaptureFixture
) -> None:
    engine, _ = fake
    engine.error = ZeroDivisionError("secret detail")
    test = app(extractors=["bovw"])
    assert not test.exception
    assert "defect of ours" in test.error[0].value
    assert "secret detail" not in test.error[0].value
    assert "secret detail" in caplog.text


def test_two_rows_are_compared_as_the_link_says(fake: Any) -> None:
    test = fine(app(extractors=["hog", "bovw"], pair=["hog|flat", "bovw|flat"], differences="1"))
    assert test.toggle(key="w_compare").value
    assert test.toggle(key="w_differences").value
    assert re.search(r"Both show \d+ of the same photos", captions(test))
    test.selectbox(key="w_right").set_value("hog|flat")
    fine(test.run())
    assert "Both show 12 of the same photos." in captions(test)
    test.toggle(key="w_compare").set_value(False)
    fine(test.run())
    assert "pair" not in test.query_params
    assert test.query_params["differences"] == "1"


def test_a_pair_that_is_not_there_is_the_first_two_or_before_and_after(fake: Any) -> None:
    test = fine(app(extractors=["hog", "bovw"], pair=["gone|flat", "hog|flat"]))
    assert test.selectbox(key="w_left").value == "hog|flat"
    assert test.selectbox(key="w_right").value == "bovw|flat"
    test = fine(app(extractors=["hog", "bovw"], pair=["gone|flat", "hog|flat"], rerank="aqe"))
    assert test.selectbox(key="w_right").value == "hog|flat|aqe"
    test = fine(app(extractors="hog", pair=["gone|flat", "hog|flat"]))
    assert not [one for one in test.toggle if one.key == "w_compare"]


@pytest.mark.parametrize(
    ("extractors", "level", "said"),
    [
        (["hog"], 0.96, "HOG's best score 0.950 is below 0.960, which one in 100"),
        (["hog"], 0.95, ""),
        (["hog", "bovw", "delf"], 0.96, "BoVW's best score"),  # two of three
        (["hog", "delf"], 0.96, ""),  # 11 of DELF's matches agree
        (["hog"], None, ""),
    ],
)
def test_a_query_that_nothing_looks_like_is_said(
    home: Path, extractors: list[str], level: float | None, said: str
) -> None:
    ready = [status_of(name) for name in ("hog", "bovw", "delf")]
    with faked(ready), mock.patch("retrieval.chance.level", return_value=level):
        test = fine(app(source="upload", extractors=extractors))
        test.file_uploader(key="w_upload").set_value(("a.jpg", jpeg(home), "image/jpeg"))
        fine(test.run())
        words = " ".join(one.value for one in test.info)
        assert (plain(said) in words) if said else not words
        # A landmark that is known to be here is not said to be missing.
        next(one for one in test.selectbox if (one.key or "").startswith("w_label-")).set_value(
            "arch"
        )
        assert not fine(test.run()).info


def test_no_extractor_chosen_is_a_hint(fake: Any) -> None:
    test = fine(app())
    test.pills(key="w_extractors").set_value([])
    fine(test.run())
    assert "at least one" in test.warning[0].value


def jpeg(tmp_path: Path) -> bytes:
    file = tmp_path / "upload.jpg"
    picture = draw(1, 9, (400, 300))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(file, exif=exif)
    return file.read_bytes()


def test_an_upload_is_turned_upright_and_kept_over_a_page_switch(fake: Any, home: Path) -> None:
    engine, _ = fake
    test = fine(app(source="upload", extractors="hog"))
    assert any("Choose a photo" in one.value for one in test.info)
    test.file_uploader(key="w_upload").set_value(("a.jpg", jpeg(home), "image/jpeg"))
    fine(test.run())
    assert engine.described[-1][2] == (400, 300, 3)
    fine(test.switch_page("pages/methods/page.py").run())
    fine(test.switch_page("pages/search/page.py").run())
    assert "Still searching with **a.jpg**" in captions(test)
    assert "query" not in test.query_params


def test_a_bad_upload_is_a_sentence(fake: Any) -> None:
    test = app(source="upload")
    test.file_uploader(key="w_upload").set_value(("a.jpg", b"junk", "image/jpeg"))
    test.run()
    assert not test.exception
    assert "not a photo" in test.error[0].value


def test_an_upload_is_right_or_wrong_only_when_its_landmark_is_given(fake: Any, home: Path) -> None:
    test = fine(app(source="upload", extractors="hog"))
    test.file_uploader(key="w_upload").set_value(("a.jpg", jpeg(home), "image/jpeg"))
    fine(test.run())
    assert "need a query whose landmark is known" in captions(test)
    box = next(one for one in test.selectbox if (one.key or "").startswith("w_label-"))
    box.set_value("arch")
    fine(test.run())
    assert "4 photos of the collection show" in captions(test)


def test_settings_survive_a_page_switch(fake: Any) -> None:
    test = fine(app())
    test.slider(key="w_k").set_value(33)
    test.pills(key="w_extractors").set_value(["bovw"])
    fine(test.run())
    fine(test.switch_page("pages/collections/page.py").run())
    fine(test.switch_page("pages/search/page.py").run())
    assert test.slider(key="w_k").value == 33
    assert test.pills(key="w_extractors").value == ["bovw"]


def test_progress_of_a_running_build(home: Path) -> None:
    stages = (
        Stage("hog", "extract", None, 12, 12, 1.0, "done"),
        Stage("delf", "extract", None, 6, 12, 3.0, "running"),
    )
    with faked(READY, [FakeJob(stages=stages)]):
        test = fine(app())
        assert "Ready: HOG, BoVW, ResNet50. Still to come: DELF" in captions(test)
        assert "extractors" not in test.query_params  # new ones may still join
        test = fine(app("collections"))
        assert test.button(key="cancel_build")
        assert test.button(key="build").disabled


def test_cancel(home: Path) -> None:
    with faked(READY, [FakeJob()]) as (_, calls):
        test = fine(app("collections"))
        test.button(key="cancel_build").click().run()
    calls["cancel"].assert_called_once_with("job-1")


def test_a_failed_build_is_told_once(home: Path) -> None:
    with faked(READY, [FakeJob(state="failed", error="The disk is full.")]):
        test = app()
        assert "The disk is full" in test.error[0].value
        test.button(key="dismiss_job").click().run()
        fine(test)


def test_nothing_built(home: Path) -> None:
    with faked([status_of("hog", state="missing", indexes=())]):
        test = fine(app())
    assert "Nothing is built" in test.info[0].value


def test_no_collection(home: Path) -> None:
    changing.delete(NAME)
    with faked([]):
        for page in (None, "collections", "methods"):
            fine(app(page))


def test_collections_build_starts_what_is_chosen(fake: Any) -> None:
    _, calls = fake
    test = fine(app("collections"))
    assert test.pills(key="b_extractors").value == ["delf"]  # what is missing
    test.text_input(key="b_factory").set_value("HNSW32")
    test.run()
    test.button(key="build").click().run()
    calls["start_build"].assert_called_once_with(
        NAME, ["delf"], ["flat", "ivf", "lsh", "pq", "factory:HNSW32"], force=False
    )


def test_import_of_a_folder_lists_what_was_skipped(fake: Any, home: Path) -> None:
    folder = home / "mine" / "castle"
    folder.mkdir(parents=True)
    draw(2, 1).save(folder / "good.jpg")
    (folder / "bad.jpg").write_bytes(b"no photo at all")
    test = fine(app("collections"))
    test.segmented_control(key="i_kind").set_value("Folder")
    test.run()
    test.text_input(key="i_name").set_value("mine")
    test.text_input(key="i_folder").set_value(str(home / "mine"))
    next(one for one in test.button if one.label == "Import").click()
    fine(test.run())
    assert "mine" in store.list_collections()
    assert "1 photo imported" in test.success[0].value
    skipped = next(one.value for one in test.dataframe if "Why" in one.value)
    assert list(skipped["File"]) == ["castle/bad.jpg"]


def test_a_title_gives_the_name_and_the_build_starts_at_once(fake: Any, home: Path) -> None:
    folder = home / "given" / "castle"
    folder.mkdir(parents=True)
    draw(2, 1).save(folder / "good.jpg")
    test = fine(app("collections"))
    test.segmented_control(key="i_kind").set_value("Folder")
    test.run()
    test.text_input(key="i_title").set_value("Café à Paris (2026)")
    test.text_input(key="i_folder").set_value(str(home / "given"))
    next(one for one in test.button if one.label == "Import and build").click()
    fine(test.run())
    assert store.load("cafe-a-paris-2026").title == "Café à Paris (2026)"
    fake[1]["start_build"].assert_called_once_with("cafe-a-paris-2026", "all", "all")
    assert "being built" in test.success[0].value
    assert any(one.label == "Search in Café à Paris \\(2026\\)" for one in test.button)


def test_photos_are_added_to_a_collection_of_the_name(fake: Any, home: Path) -> None:
    for number in range(2):
        folder = home / f"part-{number}" / "castle"
        folder.mkdir(parents=True)
        draw(2, number).save(folder / f"view-{number}.jpg")
        test = fine(app("collections"))
        test.segmented_control(key="i_kind").set_value("Folder")
        test.run()
        test.text_input(key="i_name").set_value("mine")
        test.text_input(key="i_folder").set_value(str(folder.parent))
        test.checkbox(key="i_add").set_value(number == 1)
        next(one for one in test.button if one.label == "Import").click()
        fine(test.run())
    assert len(store.load("mine").photos) == 2


@pytest.mark.parametrize(
    ("name", "folder", "says"),
    [
        ("", ".", "needs a title or a name"),
        ("a/b", ".", "legal"),
        ("x", "/nowhere/at/all", "does not exist"),
    ],
)
def test_a_bad_import_is_a_sentence(fake: Any, name: str, folder: str, says: str) -> None:
    test = fine(app("collections"))
    test.segmented_control(key="i_kind").set_value("Folder")
    test.run()
    test.text_input(key="i_name").set_value(name)
    test.text_input(key="i_folder").set_value(folder)
    next(one for one in test.button if one.label == "Import").click()
    test.run()
    assert not test.exception
    assert says in test.error[0].value


def test_removing_photos_asks_first(fake: Any) -> None:
    test = fine(app("collections"))
    before = len(store.load(NAME).photos)
    box = next(one for one in test.multiselect if (one.key or "").startswith("r_photos"))
    box.set_value(["arch-0", "arch-1"])
    test.run()
    test.button(key="remove").click().run()
    assert test.button(key="remove_sure").label == "Remove"
    assert len(store.load(NAME).photos) == before


def test_deleting_needs_the_name(fake: Any) -> None:
    test = fine(app("collections"))
    test.button(key="delete").click().run()
    assert test.button(key="delete_sure").disabled
    assert NAME in store.list_collections()


@pytest.mark.parametrize("kind", ["Extractors", "Index types"])
def test_methods_explain_every_method(fake: Any, kind: str) -> None:
    test = fine(app("methods"))
    test.segmented_control(key="m_kind").set_value(kind)
    fine(test.run())
    key = "m_extractor" if kind == "Extractors" else "m_index"
    for name in test.pills(key=key).options:
        assert name
    from extractors import registry as extractors
    from indexing import registry as indexes

    names = extractors.names() if kind == "Extractors" else indexes.names()
    for name in names:
        test.pills(key=key).set_value(name)
        fine(test.run())
        assert test.header
        package = getattr(indexes.TYPES.get(name), "package", "")
        if package and not importlib.util.find_spec(package):
            assert "pip install -r requirements-milvus.txt" in test.info[-1].value
        else:
            assert test.latex


def test_methods_show_what_was_measured(home: Path) -> None:
    index = index_of("ivf", bytes_per_photo=264.0)
    with faked([status_of("hog", extract_s=1.2, n=12, dim=3780, indexes=(index,))]):
        test = fine(app("methods"))
        values = {one.label: one.value for one in test.metric}
        assert values["Dimension"] == "3780"
        assert values["Per photo"] == "100.0 ms"


def test_methods_say_what_was_described_elsewhere(home: Path) -> None:
    packed = "on Linux, 2 cores (openvino bf16), 2026-11-29, for the demo's pack"
    with faked([status_of("hog", packed=packed)]):
        test = fine(app("methods"))
        test.pills(key="m_extractor").set_value("hog")
        fine(test.run())
        assert f"Described {packed}: the times are of that machine." in captions(test).replace(
            "\\", ""
        )


ALL_BUILT = [
    status_of(name) for name in ("hog", "bovw", "resnet50", "gem-siamese", "delf", "vgg16")
]


@pytest.mark.parametrize(
    ("statuses", "job", "starts"),
    [
        (READY, [], True),
        (ALL_BUILT, [], False),
        (READY, [FakeJob(collection="demo")], False),
        ([status_of("hog", indexes=(index_of("flat"),)), *ALL_BUILT[1:]], [], True),
    ],
)
def test_the_start_builds_what_the_demo_lacks(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    statuses: list[ExtractorStatus],
    job: list[FakeJob],
    starts: bool,
) -> None:
    from pages.parts import startup

    monkeypatch.delenv(startup.SWITCH)
    begin = startup.begin
    with faked(statuses, job) as (_, calls), mock.patch("data.demo.ensure_demo") as ensure:
        assert begin() == ""
        assert begin() == ""  # once per process
        assert startup.checked()  # nothing was built before, so nobody had to look
    ensure.assert_called_once_with()
    assert calls["start_build"].call_count == int(starts)


def test_a_demo_that_cannot_be_made_is_a_sentence(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pages.parts import startup

    monkeypatch.delenv(startup.SWITCH)
    begin = startup.begin
    broken = PlaygroundError("The demo is incomplete. Restore it.")
    with faked(READY), mock.patch("data.demo.ensure_demo", side_effect=broken):
        assert begin() == "The demo is incomplete. Restore it."


# Re-ranking, feedback and the clock


def test_a_chain_has_a_row_of_its_own(fake: Any) -> None:
    test = fine(app(extractors="hog", indexes="flat", rerank="aqe"))
    frame = test.dataframe[0].value
    assert frame["rerank"].tolist() == ["none", "aqe"]
    assert test.query_params["rerank"] in ("aqe", ["aqe"])
    test.pills(key="w_rerank").set_value([])
    assert len(fine(test.run()).dataframe[0].value) == 1


def test_what_cannot_follow_is_said_once_and_is_no_error(fake: Any) -> None:
    test = fine(app(extractors="hog", indexes="flat", rerank="ransac"))
    assert not test.error
    assert captions(test).count("local features") == 1


def test_a_typed_chain_joins_the_pills(fake: Any) -> None:
    test = fine(app(extractors="hog", indexes="flat"))
    test.text_input(key="w_chain").set_value("aqe:k=3").run()
    fine(test.button(key="add_chain").click().run())
    assert test.dataframe[0].value["rerank"].tolist() == ["none", "aqe:k=3"]
    test.text_input(key="w_chain").set_value("aqe:k=0").run()
    test.button(key="add_chain").click().run()
    assert "1 or more" in test.error[0].value


def test_marks_move_the_query_and_are_taken_back(fake: Any) -> None:
    test = fine(app(extractors="hog", indexes="flat", right="arch-0"))
    assert test.dataframe[0].value["rerank"].tolist() == ["none", "rocchio"]
    fine(test.button(key="unmark-0").click().run())
    assert len(test.dataframe[0].value) == 1
    assert "right" not in test.query_params


def test_times_say_what_they_are_worth(fake: Any) -> None:
    engine, _ = fake
    test = fine(app(extractors=["hog", "resnet50"], indexes="flat"))
    frame = test.dataframe[0].value
    assert frame["times"].tolist() == ["once, cold start", "once"]
    before = engine.begun
    measure = next(one for one in test.button if one.label == "Measure")
    fine(measure.click().run())
    assert engine.begun - before == 6 * 2  # a warm-up and five runs, two rows in turn
    frame = test.dataframe[0].value
    assert frame["times"].tolist() == ["median of 5"] * 2
    stages = ["decode", "crop", "preprocess", "extract", "search"]
    total = sum(frame[f"{stage}_ms"] for stage in stages)
    assert frame["total_ms"].tolist() == pytest.approx(total.tolist(), abs=0.01)


IMAGE = "![x](http://127.0.0.9:8123/a.png) **bold** $x^2$"


@pytest.mark.parametrize(
    ("link", "says"),
    [({"collection": IMAGE}, "There is no collection"), ({"query": IMAGE}, "There is no photo")],
)
def test_a_wrong_link_is_said_until_the_next_choice(
    fake: Any, link: dict[str, str], says: str
) -> None:
    test = fine(app(extractors="hog", **link))
    for _ in range(3):  # the page runs again by itself, and on other pages
        assert [one.value.startswith(says) for one in test.warning] == [True]
        assert plain(IMAGE) in test.warning[0].value and IMAGE not in test.warning[0].value
        fine(test.run())
    fine(test.switch_page("pages/collections/page.py").run())
    fine(test.switch_page("pages/search/page.py").run())
    assert test.warning[0].value.startswith(says)
    test.slider(key="w_k").set_value(5)
    fine(test.run())
    fine(test.run())
    assert [one.value for one in test.warning] == []


def test_back_brings_the_query_of_the_address(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from pages.parts import state

    test = fine(app(source="photo", query="tower-1", k="7"))
    test.slider(key="w_k").set_value(9)
    fine(test.run())
    test.query_params["k"], test.query_params["query"] = "7", "arch-0"
    context = state.get_script_run_ctx
    went_back = mock.Mock(is_history_navigation=True)
    monkeypatch.setattr(state, "get_script_run_ctx", lambda: went_back)
    fine(test.run())
    monkeypatch.setattr(state, "get_script_run_ctx", context)
    assert test.slider(key="w_k").value == 7
    assert test.query_params["query"] in ("arch-0", ["arch-0"])
    fine(test.run())
    assert test.slider(key="w_k").value == 7


def test_an_error_whose_command_is_a_build_has_a_button(fake: Any) -> None:
    engine, calls = fake
    command = f"python -m scripts.build --collection {NAME} --extractors bovw --indexes flat"
    engine.error = NotFound("The index of bovw is gone.", command=command)
    test = app(extractors=["bovw", "hog"], indexes=["flat", "pq"])
    assert not test.exception
    assert len([one for one in test.error if "gone" in one.value]) == 1
    build = next(one for one in test.button if one.label == "Build it here")
    build.click().run()
    calls["start_build"].assert_called_once_with(NAME, ["bovw"], ["flat"])
    assert not test.exception
