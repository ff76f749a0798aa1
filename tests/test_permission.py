"""Classroom mode: what visitors may not do is refused below the pages, whatever a page draws."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from streamlit.testing.v1 import AppTest
from test_pages_app import READY
from ui_fakes import NAME, ToySource, faked

from data import changing, demo, importing, permission, store
from data.errors import Conflict, Invalid
from data.folder import FolderSource
from data.gldv2 import download, estimate
from data.gldv2.lists import Wanted
from data.glr21 import Glr21Source
from data.paths import PROJECT_ROOT, vectors_root
from data.sources.registry import BENCHMARKS
from evaluation.lab import run as lab
from evaluation.lab.base import Row
from evaluation.tradeoffs import measure, padding, rows
from evaluation.tradeoffs.run import measure_grid
from extractors import downloads
from extractors.weights import TABLE
from indexing import jobs
from indexing.build import build
from indexing.imported import import_descriptors
from pages.parts import classroom, thumbnails
from scripts import console
from scripts.stress import digests


@pytest.fixture
def toy(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A classroom with a collection, seen by a visitor."""
    importing.import_collection(NAME, ToySource(tmp_path / "photos"))
    monkeypatch.setenv(permission.MODE, permission.CLASSROOM)
    monkeypatch.setattr(permission, "_is_teacher", lambda: False)
    monkeypatch.setattr(permission, "_tries", permission._Tries())
    yield tmp_path


WEIGHTS = next(row for row in TABLE if row.url)
CHANGES: dict[str, Callable[[Path], Any]] = {
    "import": lambda tmp: importing.import_collection("new", ToySource(tmp / "photos")),
    "add": lambda tmp: importing.add(NAME, ToySource(tmp / "photos")),
    "remove": lambda tmp: changing.remove(NAME, ["arch-0"]),
    "delete": lambda tmp: changing.delete(NAME),
    "demo": lambda tmp: demo.ensure_demo(),
    "folder": lambda tmp: FolderSource(tmp),
    "glr21": lambda tmp: Glr21Source(tmp),
    **{kind: lambda tmp, kind=kind: BENCHMARKS[kind](tmp) for kind in BENCHMARKS},
    "descriptors": lambda tmp: import_descriptors(NAME, "mine", tmp / "x.npy"),
    "download photos": lambda tmp: download.download("new", Wanted()),
    "delete downloaded": lambda tmp: download.delete_downloaded(NAME),
    "answer": lambda tmp: estimate.forget_question("new"),
    "download weights": lambda tmp: downloads.download(WEIGHTS),
    "import weights": lambda tmp: downloads.import_file(WEIGHTS, tmp / "x.pth"),
    "build": lambda tmp: build(NAME, ["hog"], ["flat"]),
    "start a build": lambda tmp: jobs.start_build(NAME),
    "start a check": lambda tmp: jobs.start(NAME, "build", ["scripts.build", "--check"]),
    "start a download": lambda tmp: jobs.start(NAME, "download", ["scripts.download"]),
    "start a benchmark": lambda tmp: jobs.start(NAME, "measurement", ["scripts.benchmark", "kill"]),
    "measure over many": lambda tmp: measure_grid(NAME, "hog", [None, 10_001]),
    "measure again": lambda tmp: measure_grid(NAME, "hog", [None], force=True),
    "experiment over many": lambda tmp: lab.run(NAME, "hog", ["codes"], 10_001),
    "delete what pads": lambda tmp: padding.clear(NAME, "hog"),
    "stop": lambda tmp: jobs.cancel("any"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_visitors_change_nothing(toy: Path, what: str) -> None:
    before = store.load(NAME)
    with pytest.raises(permission.Refused, match="Only the teacher may"):
        CHANGES[what](toy)
    assert store.load(NAME) == before
    assert store.list_collections() == [NAME]


def test_the_teacher_and_the_owner_may(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(permission, "_is_teacher", lambda: True)
    changing.remove(NAME, ["arch-0"])
    monkeypatch.setattr(permission, "_is_teacher", lambda: False)
    with permission.as_owner():
        changing.remove(NAME, ["arch-1"])
    with pytest.raises(permission.Refused):
        changing.remove(NAME, ["arch-2"])
    assert len(store.load(NAME).photos) == 10


def test_the_command_line_is_the_owners(toy: Path) -> None:
    def main(argv: Any) -> int:
        changing.delete(NAME)
        return 0

    assert console.call(main) == 0
    assert not store.exists(NAME)


@pytest.mark.parametrize("module", ["evaluate", "embedding", "benchmark index", "benchmark lab"])
def test_visitors_start_what_measures(toy: Path, module: str) -> None:
    with mock.patch.object(jobs, "_start") as start:
        jobs.start("x:toy", "job", f"scripts.{module} --collection {NAME}".split())
    assert start.called


def test_a_job_has_the_rights_of_who_started_it(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(name: str) -> dict[str, str]:
        with mock.patch.object(jobs.subprocess, "Popen") as popen:
            popen.return_value.pid = os.getpid()
            jobs.start(name, "evaluation", ["scripts.evaluate"])
        given: dict[str, str] = popen.call_args.kwargs["env"]
        return given

    def rights(environment: dict[str, str]) -> bool:
        found: list[bool] = []

        def main(argv: Any) -> None:
            found.append(permission.allowed())

        with mock.patch.dict("os.environ", environment, clear=True):
            assert console.call(main) == 0
        return found.pop()

    assert not rights(start("visitors"))
    monkeypatch.setattr(permission, "_is_teacher", lambda: True)
    teachers = start("teachers")
    monkeypatch.setattr(permission, "_is_teacher", lambda: False)
    assert rights(teachers)


def test_visitors_start_a_few_jobs_and_the_teacher_more(
    toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mock.patch.object(jobs.subprocess, "Popen") as popen:
        popen.return_value.pid = os.getpid()  # they are seen to run
        for number in range(jobs.MOST_OF_VISITORS):
            jobs.start(f"tradeoffs:{number}", "measurement", ["scripts.benchmark", "index"])
        with pytest.raises(Conflict, match="4 jobs run or wait already"):
            jobs.start("tradeoffs:x", "measurement", ["scripts.benchmark", "index"])
        monkeypatch.setattr(permission, "_is_teacher", lambda: True)
        jobs.start("tradeoffs:x", "measurement", ["scripts.benchmark", "index"])
    assert popen.call_count == jobs.MOST_OF_VISITORS + 1


def test_what_visitors_measure_replaces_nothing(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    effort = measure.Effort(samples=3, seconds=0.01, fewest=2)
    with permission.as_owner():
        build(NAME, ["hog"], ["flat"])
        measure_grid(NAME, "hog", [None], specs=["flat"], repeats=2, effort=effort)
    points = rows.points_path(NAME, "hog")
    kept, built = points.read_bytes(), digests(vectors_root(NAME))
    outcome = measure_grid(
        NAME, "hog", [None], specs=["flat", "ivf:nlist=2,nprobe=1"], repeats=1, effort=effort
    )
    assert (len(outcome.points), outcome.measured) == (2, 1)
    assert points.read_bytes().startswith(kept) and len(points.read_bytes()) > len(kept)
    assert digests(vectors_root(NAME)) == built
    # An experiment that is kept is given as it is; the owner makes it again.
    made: list[str] = []

    class Stub:
        name = "codes"

        def measure(self, ground: Any) -> list[Row]:
            made.append(ground.vectors.collection)
            return [Row("Flat", 1, float(len(made)), 0.1)]

    monkeypatch.setattr(lab.registry, "experiment", lambda name: Stub())
    for _ in range(2):
        (kept_one,) = lab.run(NAME, "hog", ["codes"], None)
        assert kept_one.rows[0].recall == 1.0
    with permission.as_owner():
        (again,) = lab.run(NAME, "hog", ["codes"], None)
    assert again.rows[0].recall == 2.0 and len(made) == 2


def test_a_thread_has_the_rights_of_who_started_it(toy: Path) -> None:
    found: list[bool] = []

    def started(call: Callable[[], None]) -> bool:
        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
        return found.pop()

    def look() -> None:
        found.append(permission.allowed())

    assert not started(permission.carried(look))
    with permission.as_owner():
        assert started(permission.carried(look))
        assert not started(look)


def test_an_unknown_mode_opens_nothing(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(permission.MODE, "clasroom")
    with pytest.raises(Invalid, match=r"'clasroom'\. Legal: classroom"):
        changing.delete(NAME)


# The token


def test_the_token_is_made_once_and_only_its_hash_is_kept(toy: Path) -> None:
    token = permission.new_token()
    assert token is not None and permission.new_token() is None
    kept = permission.token_file()
    assert token not in kept.read_text()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert permission.is_token(token) and permission.is_token(f" {token}\n")
    assert not permission.is_token(token[:-1]) and not permission.is_token("ümlaut \ud800")


def test_wrong_tokens_are_limited_for_all_sessions_together(
    toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(permission.time, "monotonic", lambda: now)
    token = permission.new_token()
    assert token is not None
    for _ in range(permission.TRIES):
        assert not permission.is_token("wrong")
    with pytest.raises(permission.Refused, match="Try again in 60 s"):
        permission.is_token(token)
    now += permission.WITHIN + 1
    assert permission.is_token(token)


def test_a_damaged_token_file_lets_nobody_in(toy: Path) -> None:
    for content in ("", "{}", "[]", '{"sha256": null}'):
        permission.token_file().write_text(content)
        try:
            assert not permission.is_token("None")
        except permission.Refused as error:
            assert "Delete that file" in str(error)


def test_a_secret_counts_for_a_while_and_only_its_hash_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr(permission.time, "monotonic", lambda: now)
    sessions = permission._Sessions()
    first, second = sessions.begin(), sessions.begin()
    assert sessions.knows(first) and sessions.knows(second) and first != second
    assert first not in str(vars(sessions))
    assert not sessions.knows("") and not sessions.knows(first[:-1])
    sessions.end(first)
    assert not sessions.knows(first) and sessions.knows(second)
    for _ in range(permission.SESSIONS):
        sessions.begin()
    assert not sessions.knows(second)  # the oldest makes room
    last = sessions.begin()
    now += permission.SESSION_S
    assert not sessions.knows(last)


@pytest.fixture
def entrance(toy: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Sends the form of the Collections page."""
    from starlette.applications import Starlette
    from starlette.testclient import TestClient

    # Importing the server says that it answers photos' addresses, which no other test has.
    monkeypatch.setattr(thumbnails, "_prefix", None)
    import server

    monkeypatch.setattr(permission, "sessions", permission._Sessions())
    client = TestClient(Starlette(routes=[server.ENTRANCE]), follow_redirects=False)
    kind = {"content-type": "application/x-www-form-urlencoded"}
    return lambda form: client.post("/teacher", content=form, headers=kind)


def test_the_token_is_exchanged_for_a_cookie(entrance: Callable[[str], Any]) -> None:
    token = permission.new_token()
    assert token is not None
    wrong = entrance("token=wrong")
    assert wrong.headers["location"] == "/collections?teacher=wrong"
    assert "set-cookie" not in wrong.headers
    right = entrance(f"token={token}")
    assert (right.status_code, right.headers["location"]) == (303, "/collections")
    name, _, rest = right.headers["set-cookie"].partition("=")
    secret, *attributes = rest.split("; ")
    assert name == classroom.COOKIE and permission.sessions.knows(secret) and secret != token
    # No age: the browser forgets it when it is closed.
    assert sorted(attributes) == ["HttpOnly", "Path=/", "SameSite=strict"]
    assert entrance("x" * 2_000).status_code == 413
    for _ in range(permission.TRIES):
        late = entrance("token=wrong")
    assert late.headers["location"] == "/collections?teacher=wait"
    assert "set-cookie" not in entrance(f"token={token}").headers


def test_without_a_classroom_there_is_no_entrance(
    entrance: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(permission.MODE)
    assert entrance("token=x").status_code == 404


# The pages


@pytest.fixture
def pages(toy: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    import streamlit

    streamlit.cache_data.clear()
    streamlit.cache_resource.clear()
    with faked(READY):
        yield


def app(page: str) -> AppTest:
    test = AppTest.from_file(str(PROJECT_ROOT / "app.py"), default_timeout=30)
    test.run()
    return test.switch_page(f"pages/{page}/page.py").run()


def tabs(test: AppTest) -> list[str]:
    return [one.label for one in test.tabs]


def buttons(test: AppTest) -> set[str]:
    return {one.label for one in test.button}


def test_a_visitor_sees_no_change_and_the_token_opens_it(
    pages: None, capsys: pytest.CaptureFixture[str]
) -> None:
    test = app("collections")
    assert not test.exception and not test.error
    assert tabs(test) == ["Photos", "Built"]
    assert not buttons(test) & {"Build", "Import", "Delete the collection"}
    assert any(one.value == classroom.VISITORS for one in test.caption)
    token = capsys.readouterr().out.split("this once:")[1].split()[0]
    test.text_input(key="teacher_token").input("wrong")
    enter = next(one for one in test.button if one.label == "Enter")
    enter.click().run()
    assert "not the token" in test.error[0].value
    test.text_input(key="teacher_token").input(token)
    next(one for one in test.button if one.label == "Enter").click().run()
    assert tabs(test) == ["Photos", "Built", "Import", "Change"]
    assert "Build" in buttons(test)
    # Another session is a visitor's still, and the token is not shown a second time.
    assert tabs(app("collections")) == ["Photos", "Built"]
    assert "Classroom" not in capsys.readouterr().out
    next(one for one in test.button if one.label == "Leave").click().run()
    assert tabs(test) == ["Photos", "Built"]


@pytest.mark.parametrize("page", ["search", "accuracy", "tradeoffs", "inside", "methods"])
def test_the_other_pages_are_drawn_for_visitors(pages: None, page: str) -> None:
    test = app(page)
    assert not test.exception
    assert not [one.value for one in test.error if "teacher" in one.value]
    assert "Download" not in buttons(test)


@pytest.mark.parametrize(
    ("address", "served"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), (None, False)],
)
def test_others_are_let_in_only_to_a_classroom(
    pages: None, monkeypatch: pytest.MonkeyPatch, address: str | None, served: bool
) -> None:
    option = classroom.st.get_option
    monkeypatch.setattr(
        classroom.st,
        "get_option",
        lambda key: address if key == "server.address" else option(key),
    )
    assert app("collections").title[0].value == "Collections"
    monkeypatch.delenv(permission.MODE)
    test = app("collections")
    assert bool(test.title) == served
    if not served:
        assert "CLASSROOM=1" in test.error[0].value
