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
from ui_fakes import NAME, FakeStatus, ToySource, faked

from data import store
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
    store.import_collection(NAME, ToySource(tmp_path / "photos"))
    with faked([FakeStatus("hog")]) as (_, calls):
        yield calls


def page() -> AppTest:
    test = AppTest.from_file(str(PROJECT_ROOT / "app.py"), default_timeout=30)
    test.run()
    test.switch_page("pages/collections.py").run()
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
    next(one for one in test.button if one.label == "Download").click()
    return test.run()


def test_form_starts_a_job(fake: dict[str, mock.Mock]) -> None:
    test = form(page())
    test.text_input(key="d_name").set_value("castles")
    test.text_input(key="d_words").set_value("castle, -fort")
    test.selectbox(key="d_split").set_value("train")
    test.checkbox(key="d_clean").set_value(True)
    with mock.patch.object(backend, "start_download") as start:
        press(test)
    assert not test.exception and not test.error
    what, arguments = start.call_args.args
    assert what == "download:castles"
    assert arguments[:4] == ["--name", "castles", "--split", "train"]
    assert {"--category=castle", "--category=-fort", "--clean"} <= set(arguments)
    assert arguments[arguments.index("--up-to") + 1] == "2.0"
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
        store.import_collection("castles", ToySource(tmp_path / "photos"))
        now[0] = job("done")
        test.run()
        assert not test.exception
        assert "castles was downloaded" in test.success[0].value
        assert test.selectbox(key="c_collection").value == "castles"
