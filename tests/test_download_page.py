"""The Collections page's download form and strip, in process, without a network."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from streamlit.testing.v1 import AppTest
from ui_fakes import NAME, ToySource, faked, status_of

from data import changing, importing, paths, store
from data.errors import PlaygroundError
from data.gldv2 import download
from data.gldv2.estimate import Estimate, Question, keep_question, kept_question
from data.paths import PROJECT_ROOT
from indexing.jobs import Job
from indexing.progress import Stage
from pages.parts import backend


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, mock.Mock]]:
    import streamlit

    monkeypatch.setenv("PLAYGROUND_HOME", str(tmp_path / "home"))
    streamlit.cache_data.clear()
    streamlit.cache_resource.clear()
    importing.import_collection(NAME, ToySource(tmp_path / "photos"))
    with faked([status_of("hog")]) as (_, calls):
        yield calls


def page() -> AppTest:
    test = AppTest.from_file(str(PROJECT_ROOT / "app.py"), default_timeout=30)
    test.run()
    test.switch_page("pages/collections/page.py").run()
    assert not test.exception, [one.value for one in test.exception]
    return test


def job(state: str, error: str = "", **stage: Any) -> Job:
    now = time.time()
    stages = (Stage("download", "photos", state="running", **stage),) if stage else ()
    return Job("d-1", "download:castles", state, 1, now, now, now, stages, error)


def having(jobs: list[Job]) -> Any:
    """Patch the jobs there are; asked for a collection's, those of that collection."""
    return mock.patch.object(
        backend,
        "jobs",
        side_effect=lambda name=None: [one for one in jobs if name in (None, one.collection)],
    )


def form(test: AppTest) -> AppTest:
    test.segmented_control(key="i_kind").set_value("Download GLDv2")
    return test.run()


def press(test: AppTest) -> AppTest:
    next(one for one in test.button if one.label == "Estimate").click()
    return test.run()


def test_form_starts_an_estimate(fake: dict[str, mock.Mock]) -> None:
    test = form(page())
    test.text_input(key="d_name").set_value("castles")
    test.text_input(key="d_words").set_value("castle, -fort")
    test.selectbox(key="d_split").set_value("train")
    test.checkbox(key="d_clean").set_value(True)
    test.text_input(key="d_shards").set_value("index=3")
    with mock.patch.object(backend, "start_download") as start:
        press(test)
    assert not test.exception and not test.error
    what, arguments = start.call_args.args
    assert what == "download:castles"
    assert arguments[:4] == ["--name", "castles", "--split", "train"]
    assert {"--category=castle", "--category=-fort", "--clean"} <= set(arguments)
    assert arguments[arguments.index("--up-to") + 1] == "2.0"
    assert {"--estimate", "--shards=index=3"} <= set(arguments) and "--yes" not in arguments
    # What the page hands on is what the command understands.
    from scripts.download import parser

    parsed = parser().parse_args(["glr21", *arguments])
    assert (parsed.landmarks, parsed.min_photos, parsed.max_photos) == (50, 4, 20)
    assert (parsed.category, parsed.longer_side) == (["castle", "-fort"], 1024)


@pytest.mark.parametrize(("name", "says"), [("", "needs a name"), ("../x", "not a legal")])
def test_form_without_a_proper_name(fake: dict[str, mock.Mock], name: str, says: str) -> None:
    test = form(page())
    test.text_input(key="d_name").set_value(name)
    with mock.patch.object(backend, "start_download") as start:
        press(test)
    assert says in test.error[0].value
    start.assert_not_called()


def ask(step: Any, size: int = 812_000_000) -> None:
    how = "3,204 photos by byte range."
    estimate = Estimate(step, 3204, size, 19_000, 400_000_000, 700.0, how, 40, 9_800_000_000)
    arguments = ("--name", "castles", "--split", "train", "--up-to", "2.0")
    keep_question(Question("castles", estimate, arguments))


@pytest.mark.parametrize(
    ("step", "label", "more"),
    [("lists", "Fetch the lists", ["--estimate", "--yes"]), ("photos", "Download", [])],
)
def test_the_estimate_is_shown_and_asked(
    fake: dict[str, mock.Mock], step: Any, label: str, more: list[str]
) -> None:
    ask(step)
    with having([job("done")]), mock.patch.object(backend, "start_download") as start:
        test = page()
        assert not test.success
        words = " ".join(one.value for one in test.markdown).replace("\\", "")
        for part in ("3,204", "812 MB", "Shards: **40**", "about 11 min 40 s", "9.8 GB free"):
            assert part in words
        assert test.button(key="download_yes").label == label
        test.button(key="download_yes").click().run()
    what, arguments = start.call_args.args
    assert what == "download:castles"
    assert arguments == ["--name", "castles", "--split", "train", "--up-to", "2.0", *more]
    assert kept_question("castles") is None


def test_the_answer_may_be_no(fake: dict[str, mock.Mock]) -> None:
    ask("photos")
    with having([job("done")]), mock.patch.object(backend, "start_download") as start:
        page().button(key="download_no").click().run()
    start.assert_not_called()
    assert kept_question("castles") is None


def test_more_than_was_allowed_cannot_be_started(fake: dict[str, mock.Mock]) -> None:
    ask("photos", 2_100_000_000)
    with having([job("done")]):
        test = page()
    assert test.button(key="download_yes").disabled
    assert "more than the 2.0 GB" in test.warning[0].value.replace("\\", "")


def test_deleting_offers_the_downloaded_photos(fake: dict[str, mock.Mock], tmp_path: Path) -> None:
    folder = paths.downloads_root() / "subsets" / "castles"
    importing.import_collection("castles", ToySource(folder))
    with pytest.raises(PlaygroundError, match="are those of the collection castles"):
        download.delete_downloaded("castles")
    test = page()
    test.selectbox(key="c_collection").set_value("castles").run()
    test.button(key="delete").click().run()
    # A dialog is a fragment, of which AppTest draws the first run alone.
    assert test.checkbox(key="delete_downloaded").value is False
    assert str(folder) in " ".join(one.value for one in test.caption).replace("\\", "")
    changing.delete("castles")
    assert download.downloaded("castles") == folder
    download.delete_downloaded("castles")
    assert download.downloaded("castles") is None
    assert store.exists(NAME)


def test_strip_while_it_runs_and_cancel(fake: dict[str, mock.Mock]) -> None:
    with having([job("running", done=12, total=40)]):
        test = page()
        # AppTest does not list progress bars by a name of their own.
        shown = [one.proto.text for one in test.get("progress")]
        assert shown == ["Downloading **castles**: photos 12 of 40"]
        test.button(key="cancel_download").click().run()
    fake["cancel"].assert_called_once_with("d-1")


def test_strip_says_how_it_ended(fake: dict[str, mock.Mock]) -> None:
    failed = dataclasses.replace(job("failed"), error="The photos need more than the 2 GB allowed.")
    with having([failed]):
        test = page()
        assert "more than the 2 GB allowed" in test.error[0].value
        test.button(key="dismiss_download").click().run()
        assert not test.error


def test_when_it_is_done_its_collection_is_shown(
    fake: dict[str, mock.Mock], tmp_path: Path
) -> None:
    now = [job("running", done=1, total=2)]
    with having(now):
        test = page()
        importing.import_collection("castles", ToySource(tmp_path / "photos"))
        now[0] = job("done")
        test.run()
        assert not test.exception
        assert "castles was downloaded" in test.success[0].value
        assert test.selectbox(key="c_collection").value == "castles"
