"""Lessons: data that fits the demo, verdicts, addresses, and figures that the engine gives."""

from __future__ import annotations

import html
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from learn_demo import lines, write_part
from streamlit.testing.v1 import AppTest

from data import importing, store
from data.demo import DemoSource
from data.paths import PROJECT_ROOT
from evaluation.metrics import overlap_at_k
from indexing.build import build
from pages.learn import answers, progress, sheet, words
from pages.learn.lesson import (
    MEASURES,
    WHOLE,
    Because,
    Compare,
    Figure,
    Lesson,
    Number,
    Run,
    Step,
    Which,
    is_right,
)
from pages.learn.lessons.registry import LESSONS
from pages.learn.progress import Place
from pages.parts import settings
from retrieval.engine import SearchEngine
from retrieval.ranking import Query, Recipe

STEPS = [(lesson, step) for lesson in LESSONS.values() for step in lesson.steps]
LANDMARKS = ("gopuram-04", "gopuram-02", "rotunda-02")
CAMERA = "gopuram-04_q0"


# The lessons as data


def test_seven_lessons_of_five_steps() -> None:
    assert list(LESSONS) == ["crop", "camera", "features", "ivf", "codes", "million", "rerank"]
    assert all(len(lesson.steps) == 5 for lesson in LESSONS.values())
    assert all(name == lesson.name for name, lesson in LESSONS.items())


@pytest.mark.parametrize(("lesson", "step"), STEPS, ids=lambda one: getattr(one, "title", ""))
def test_a_step_fits_the_demo(lesson: Lesson, step: Step) -> None:
    queries = {one["id"]: one for one in lines("queries")}
    query: Any = queries[step.query]
    for run in step.runs:
        answers.recipe_of(run)  # raises for an unknown name or an impossible chain
        if isinstance(run.box, tuple):
            x0, y0, x1, y1 = run.box
            assert 0 <= x0 < x1 <= query["width"]
            assert 0 <= y0 < y1 <= query["height"]
            assert list(run.box) != query["box"], "a box of its own must differ from the query's"
        else:
            assert run.box in (None, WHOLE)
        assert run.against is None or 0 <= run.against < len(step.runs)
    assert set(step.measures) <= set(MEASURES)
    assert len({run.name for run in step.runs}) == len(step.runs)
    assert step.minutes > 0


@pytest.mark.parametrize(("lesson", "step"), STEPS, ids=lambda one: getattr(one, "title", ""))
def test_every_answer_has_a_sentence(lesson: Lesson, step: Step) -> None:
    question, runs = step.question, step.runs
    if isinstance(question, Compare):
        assert {question.of, question.than} <= set(range(len(runs)))
        assert all((question.more, question.same, question.less))
    elif isinstance(question, Which):
        assert len(question.because) == len(runs)
        assert question.tie
    else:
        assert question.of < len(runs)
        assert question.over is None or question.over < len(runs)
        assert question.low < question.high
    for low, high in ((1.0, 2.0), (2.0, 1.0), (1.0, 1.0)):
        figures = [
            dict.fromkeys(MEASURES, Figure.of(low if at else high)) for at in range(len(runs))
        ]
        verdict = question.judge(runs, figures)
        assert len(verdict.because) > 20
        assert is_right(question, verdict, verdict.right[0])


# Verdicts


def figures(*values: float, name: str = "found") -> list[dict[str, Figure]]:
    return [{name: Figure.of(value)} for value in values]


COMPARE = Compare(
    "?", "found", 1, 0, Because("m", "because m"), Because("s", "because s"), Because("l", "by l")
)


@pytest.mark.parametrize(
    ("values", "key"), [((3, 5), "more"), ((5, 5), "same"), ((5, 3), "less"), ((0, 0), "same")]
)
def test_compare(values: tuple[float, float], key: str) -> None:
    verdict = COMPARE.judge([], figures(*values))
    assert verdict.right == (key,)
    assert is_right(COMPARE, verdict, key)
    assert not is_right(COMPARE, verdict, "nonsense")


def test_times_whose_quartiles_overlap_are_the_same() -> None:
    question = Compare("?", "search_ms", 1, 0, *(Because(one, one) for one in "msl"))
    apart = [{"search_ms": Figure(1.0, 0.9, 1.1)}, {"search_ms": Figure(1.5, 1.2, 1.6)}]
    touching = [{"search_ms": Figure(1.0, 0.9, 1.2)}, {"search_ms": Figure(1.5, 1.2, 1.6)}]
    assert question.judge([], apart).right == ("more",)
    assert question.judge([], touching).right == ("same",)


def test_which_with_one_and_with_several_ahead() -> None:
    runs = [Run(name, "hog") for name in ("A", "B", "C")]
    question = Which("?", "found", ("a", "b", "c"), "tied")
    assert question.judge(runs, figures(1, 4, 2)).because == "b"
    tied = question.judge(runs, figures(4, 1, 4))
    assert (tied.right, tied.answer, tied.because) == (("0", "2"), "A and C", "tied")
    least = Which("?", "found", ("a", "b", "c"), "tied", least=True)
    assert least.judge(runs, figures(4, 1, 4)).right == ("1",)


def test_numbers_may_be_off_by_a_share_or_by_one() -> None:
    question = Number("?", "found", 0, 0, 10, "because")
    verdict = question.judge([], figures(2))
    assert [is_right(question, verdict, one) for one in ("1", "2", "3", "4", "x")] == [
        True,
        True,
        True,
        False,
        False,
    ]
    ratio = Number("?", "bytes", 1, 0, 99, "because", over=0, near=0.5, unit="times")
    verdict = ratio.judge([], figures(10, 40, name="bytes"))
    assert verdict.answer == "4 times"
    assert [is_right(ratio, verdict, one) for one in ("2", "6", "1.9", "7")] == [
        True,
        True,
        False,
        False,
    ]


# Addresses


def test_a_place_comes_back_from_its_address() -> None:
    said = {("crop", 1): "more", ("ivf", 1): "7", ("camera", 5): "1.5", ("features", 1): "2"}
    place = Place("ivf", 4, said=said)
    params = {
        name: value if isinstance(value, list) else [value]
        for name, value in progress.params_of(place).items()
    }
    assert progress.read(params, LESSONS) == place
    sheet_of = Place("ivf", sheet=True, said=said)
    params = {
        name: value if isinstance(value, list) else [value]
        for name, value in progress.params_of(sheet_of).items()
    }
    assert progress.read(params, LESSONS) == sheet_of


@pytest.mark.parametrize(
    "said",
    ["crop.1", "crop.9.more", "crop.0.more", "x.1.more", "crop.1.perhaps", "ivf.1.nan", "ivf.1.11"],
)
def test_what_makes_no_sense_in_an_address_is_left_out(said: str) -> None:
    found = progress.read({"lesson": ["crop"], "step": ["99"], "said": [said]}, LESSONS)
    assert found == Place("crop", 5)
    assert progress.read({"lesson": ["none"]}, LESSONS) == Place()


def test_progress_of_a_lesson() -> None:
    place = Place("ivf", 1).saying("7").at("ivf", 3).saying("more")
    assert place.answered(LESSONS["ivf"]) == 2
    assert place.first_open(LESSONS["ivf"]) == 2
    assert place.forgetting("ivf").answered(LESSONS["ivf"]) == 0


@pytest.mark.parametrize(("lesson", "step"), STEPS, ids=lambda one: getattr(one, "title", ""))
def test_links_name_the_state(lesson: Lesson, step: Step) -> None:
    from urllib.parse import parse_qs, urlsplit

    collection = mock.Mock()
    collection.name = "demo"
    for url in words.links(collection, step).values():
        found = settings.from_params(parse_qs(urlsplit(url).query))
        assert (found.collection, found.source, found.query) == ("demo", "query", step.query)
        assert found.k == step.k
        assert found.extractors
        assert set(found.extractors) <= {run.extractor for run in step.runs}
        assert found.box in {run.box for run in step.runs}


# The engine's figures


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a part of the demo, described by HOG. Read only: ``home`` copies it."""
    folder = tmp_path_factory.mktemp("learn")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLAYGROUND_HOME", str(folder / "home"))
        part = write_part(folder / "part", LANDMARKS)
        importing.import_collection("demo", DemoSource(part))
        build("demo", ["hog"], ["flat", "ivf:nlist=4", "lsh", "pq"])
    return folder / "home"


@pytest.fixture
def home(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    import streamlit

    shutil.copytree(built, tmp_path / "home")
    monkeypatch.setenv("PLAYGROUND_HOME", str(tmp_path / "home"))
    streamlit.cache_data.clear()
    streamlit.cache_resource.clear()
    with mock.patch("pages.parts.startup.begin", return_value=""):
        yield tmp_path / "home"


def step_of(*runs: Run, measure: str = "found", shows: tuple[str, ...] = ()) -> Step:
    question = Number("?", measure, 0, 0, 10, "because")
    return Step("t", "s", CAMERA, runs, question, shows)


def test_figures_equal_the_engines(home: Path) -> None:
    runs = (
        Run("flat", "hog"),
        Run("pq", "hog", "pq"),
        Run("whole", "hog", box=WHOLE, against=0),
        Run("one cell", "hog", "ivf:nlist=4,nprobe=1"),
        Run("all cells", "hog", "ivf:nlist=4,nprobe=4"),
    )
    shows = ("agrees", "shared", "compared", "bytes", "features", "search_ms")
    engine, members = SearchEngine(), store.load("demo")
    answer = answers.answer(engine, members, step_of(*runs, shows=shows))
    photo = next(one for one in members.queries if one.id == CAMERA)
    query = Query.of_photo(members, photo)
    relevant = set(photo.extra["ground_truth"]["easy"] + photo.extra["ground_truth"]["hard"])

    def ids(index: str, asked: Query = query) -> list[str]:
        found = engine.search("demo", Recipe.of("hog", index), asked, 10)
        return [hit.id for hit in found.hits]

    exact = ids("flat")
    value = [{name: one.value for name, one in found.items()} for found in answer.figures]
    assert value[0]["found"] == len(relevant & set(exact))
    assert value[1]["found"] == len(relevant & set(ids("pq")))
    assert value[1]["agrees"] == round(10 * overlap_at_k(ids("pq"), exact, 10))
    whole = Query.of_photo(members, photo, box=(0, 0, photo.width, photo.height))
    assert value[2]["shared"] == len(set(ids("flat", whole)) & set(exact))
    assert value[0]["compared"] == len(members.photos)
    assert value[4]["compared"] == len(members.photos)
    assert 0 < value[3]["compared"] < len(members.photos)
    assert value[4]["agrees"] == 10
    assert value[0]["bytes"] == engine.stats("demo", "hog", "flat").bytes_per_photo
    assert value[0]["features"] == 1
    timed = answer.figures[0]["search_ms"]
    assert 0 < timed.low <= timed.value <= timed.high


def test_padded_and_planned_runs(home: Path) -> None:
    runs = (
        Run("alone", "hog", vectors=0),
        Run("padded", "hog", vectors=300),
        Run("planned", "hog", vectors=1_000_000, planned=True),
    )
    engine, members = SearchEngine(), store.load("demo")
    step = step_of(*runs, measure="memory", shows=("found", "search_ms"))
    assert answers.lacks_padding(members, step) == [("hog", 300)]
    answer = answers.answer(engine, members, step)
    assert not answers.lacks_padding(members, step)
    dim = engine.vectors("demo", "hog").vectors.shape[1]
    alone, padded, planned = answer.figures
    # FAISS counts its file, header and all.
    assert alone["memory"].value == pytest.approx(4 * dim * len(members.photos), rel=0.01)
    assert padded["memory"].value == pytest.approx(4 * dim * 300, rel=0.01)
    assert planned["memory"].value == pytest.approx(4 * dim * 1_000_000, rel=0.01)
    photo = next(one for one in members.queries if one.id == CAMERA)
    found = engine.search("demo", Recipe.of("hog"), Query.of_photo(members, photo), 10)
    first = answer.outcomes[0].result
    assert first is not None
    assert [hit.id for hit in first.hits] == [hit.id for hit in found.hits]
    assert alone["found"].value >= padded["found"].value
    assert answer.outcomes[2].result is None


# The page


def page(**params: Any) -> AppTest:
    test = AppTest.from_file(str(PROJECT_ROOT / "app.py"), default_timeout=60)
    test.run()
    for name, value in params.items():
        test.query_params[name] = value
    return fine(test.switch_page("pages/learn/page.py").run())


def fine(test: AppTest) -> AppTest:
    assert not test.exception, [one.value for one in test.exception]
    assert not test.error, [one.value for one in test.error]
    return test


def text(test: AppTest) -> str:
    parts = [*test.title, *test.subheader, *test.markdown, *test.caption, *test.info]
    return "\n".join(one.value for one in parts).replace("\\", "")


def test_all_lessons_are_offered(home: Path) -> None:
    test = page(said=["ivf.1.7"])
    for lesson in LESSONS.values():
        assert lesson.title in text(test)
    labels = [one.label for one in test.button]
    assert labels.count("Begin") == 6
    assert labels.count("Go on") == 1


def test_predict_and_reveal(home: Path) -> None:
    test = page(lesson="camera", step="1")
    assert "The engine says" not in text(test)
    test.number_input[0].set_value(9)
    next(one for one in test.button if one.label == "Reveal").click()
    fine(test.run())
    engine, members = SearchEngine(), store.load("demo")
    step = LESSONS["camera"].steps[0]
    answer = answers.answer(engine, members, step)
    found = answer.figures[0]["found"].value
    assert f"The engine says: {found:.0f} of 10" in text(test)
    assert "Predicted: 9 of 10" in text(test)
    assert test.query_params["said"] in ("camera.1.9", ["camera.1.9"])
    test.button(key="learn_on").click()
    fine(test.run())
    assert test.query_params["step"] in ("2", ["2"])
    assert LESSONS["camera"].steps[1].title in text(test)


def test_what_is_not_built_is_said_and_can_be_built(home: Path) -> None:
    test = page(lesson="camera", step="3", said=["camera.3.0"])
    assert "This step cannot be answered yet" in text(test)
    with mock.patch("pages.parts.backend.start_build") as start:
        next(one for one in test.button if one.label == "Build it here").click()
        fine(test.run())
    assert start.call_args.args[0] == "demo"
    assert start.call_args.args[1] == ["bovw"]


def test_the_sheet_has_what_is_expected_now(home: Path) -> None:
    lesson = LESSONS["camera"]
    engine, members = SearchEngine(), store.load("demo")
    step = lesson.steps[0]
    answer = answers.answer(engine, members, step)
    photo = answers.query_of(members, step)
    entries = [
        sheet.Entry(step, answer, photo, ""),
        sheet.Entry(lesson.steps[2], None, photo, "", "There is no <index>."),
    ]
    import datetime

    made = datetime.datetime(2026, 11, 29, 12, 30)
    shown = sheet.page(lesson, sheet.body(lesson, members, entries, made))
    found = answer.figures[0]["found"].value
    assert f"Expected: {found:.0f} of 10" in shown
    assert "29 November 2026 at 12:30" in shown
    assert "There is no &lt;index&gt;." in shown
    assert html.escape(step.question.text) in shown
    assert "3 min" in shown
    assert "default-src 'none'" in shown
    assert "http" not in shown.replace("http-equiv", "")
    assert "<script" not in shown


def test_predictions_are_kept_over_a_switch_of_pages(home: Path) -> None:
    test = page(lesson="camera", step="1")
    test.number_input[0].set_value(3)
    next(one for one in test.button if one.label == "Reveal").click()
    fine(test.run())
    test.query_params.clear()
    fine(test.switch_page("pages/methods/page.py").run())
    test.query_params.clear()
    fine(test.switch_page("pages/learn/page.py").run())
    assert [one.label for one in test.button].count("Go on") == 1
    next(one for one in test.button if one.label == "Go on").click()
    fine(test.run())
    assert test.query_params["said"] in ("camera.1.3", ["camera.1.3"])
    assert test.query_params["step"] in ("2", ["2"])


def test_failures_have_a_condition_and_a_reason_on_the_accuracy_page(home: Path) -> None:
    from evaluation.run import evaluate
    from pages.accuracy import pairs

    evaluate("demo", ["hog"], ["flat"])
    with mock.patch.object(pairs.results, "results_grid", return_value=None) as grid:
        test = AppTest.from_file(str(PROJECT_ROOT / "app.py"), default_timeout=60)
        test.query_params["collection"] = "demo"
        test.run()
        fine(test.switch_page("pages/accuracy/page.py").run())
    assert "Failures by condition" in [one.value for one in test.header]
    table = next(one.value for one in test.markdown if "another side" in one.value)
    assert "HOG · Flat" in table
    assert "%" in table
    drawn = [call.args[0]["rows"] for call in grid.call_args_list]
    reasons = [row["notes"] for rows in drawn for row in rows if row["notes"]]
    assert reasons
    assert all("right photos missed" in one for notes in reasons for one in notes)
    linked = next(one.value for one in test.markdown if "in Search" in one.value)
    assert linked.count("](./?collection=demo&") == linked.count("](./embedding?collection=demo&")
    assert linked.count("extractors=hog") == linked.count("](./")
