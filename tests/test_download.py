"""Downloading a part of Google Landmarks v2 from a mirror on the loopback, faults included."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gldv2_mirror as fake
import pytest

from data import changing, importing, paths, photos, store
from data.errors import PlaygroundError
from data.folder import FolderSource
from data.gldv2 import download, fetching, keeping, local
from data.gldv2 import tar as gldv2_tar
from data.gldv2.estimate import SPARE, Estimate, kept_question
from data.gldv2.lists import Wanted
from data.gldv2.session import Report
from data.gldv2.shards import Method
from data.http import Settings, Stopped
from indexing import jobs
from scripts import console
from scripts import download as cli

QUICK = Settings(parallel=4, attempts=4, timeout=0.8, backoff=0.01, longest_wait=0.05)
INDEX = Wanted("index", 3, 4, 4, longer_side=64)
TRAIN = dataclasses.replace(INDEX, split="train")
SHARD_COUNTS = ",".join(f"{split}={count}" for split, count in fake.SHARDS.items())


@pytest.fixture(scope="module")
def made() -> fake.Layout:
    return fake.layout()


@pytest.fixture
def server(made: fake.Layout, home: Path) -> Iterator[fake.Server]:
    copied = dataclasses.replace(
        made,
        files=dict(made.files),
        shards={split: list(shards) for split, shards in made.shards.items()},
    )
    with fake.serve(copied) as running:
        yield running


def get(server: fake.Server, wanted: Wanted = INDEX, name: str = "some", **more: Any) -> Report:
    settings = more.pop("settings", QUICK)
    return download.download(name, wanted, server.mirror, settings=settings, **more)


def files_of(name: str = "some") -> dict[str, bytes]:
    folder = paths.downloads_root() / "subsets" / name
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def photos_of(name: str = "some") -> dict[str, bytes]:
    return {file: c for file, c in files_of(name).items() if file.endswith(".jpg")}


def expected(made: fake.Layout, wanted: Wanted) -> dict[str, bytes]:
    """The photos that should be there, worked out from the collection's list and the generator."""
    collection = store.load("some")
    ids = [(wanted.split, photo.id) for photo in collection.photos]
    ids += [("test", query.id) for query in collection.queries]
    return {
        f"{split}/{'/'.join(i[:3])}/{i}.jpg": keeping.fit(fake.jpeg(i), wanted.longer_side)
        for split, i in ids
    }


@pytest.mark.parametrize("wanted", [INDEX, TRAIN], ids=["index", "train"])
@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "whole"])
@pytest.mark.parametrize("order", ["sorted", "inside", "none"])
def test_smoke(
    home: Path, monkeypatch: pytest.MonkeyPatch, wanted: Wanted, ranges: bool, order: str
) -> None:
    monkeypatch.setattr(gldv2_tar, "_WINDOW", 2048)
    made = fake.layout(order)
    with fake.serve(made, ranges) as server:
        report = get(server, wanted)
        assert report.complete and report.before == 0
        new = (report.by_range, report.by_shard)
        assert new == ((report.wanted, 0) if ranges else (0, report.wanted))
        assert "was not" in report.checked() if ranges else report.shards_checked > 0
        if ranges:
            assert all(asked for path, asked in server.asked(".tar"))
        # The second call finds everything here, and asks the server nothing.
        asked = len(server.log)
        again = get(server, wanted)
        assert (again.before, again.requests, len(server.log)) == (again.wanted, 0, asked)
    assert report.imported is not None and report.imported.added == report.wanted
    collection = store.load("some")
    assert len(collection.labels) == 3 and len(collection.photos) == 12
    assert bool(collection.queries) == (wanted.split == "index")
    assert photos_of() == expected(made, wanted)
    for query in collection.queries:
        assert query.relevant and set(query.relevant) <= set(made.solution[query.id])
    assert max(max(p.width, p.height) for p in collection.photos) == 64
    assert not (paths.downloads_root() / "subsets" / "some" / ".incoming").exists()


def test_attribution_is_kept_with_every_photo(server: fake.Server) -> None:
    get(server, TRAIN)
    collection = store.load("some")
    for photo in collection.photos:
        assert photo.author == f'A "B", {photo.label}'
        assert photo.licence == "https://cc/by/3.0"
        assert photo.url == f"http://commons/{photo.id}"
        assert photo.extra["photo_title"] == f"File {photo.id}"
    assert collection.licence.startswith("CC BY; each photo names its author")
    get(server, INDEX, "other")
    assert {photo.licence for photo in store.load("other").photos} == {"CC0 or public domain"}


def test_nothing_is_fetched_unless_it_is_confirmed(server: fake.Server) -> None:
    asked: list[Estimate] = []

    def no(estimate: Estimate) -> bool:
        asked.append(estimate)
        return estimate.step == "lists" and len(asked) > 1

    with pytest.raises(Stopped, match="Nothing of the lists was downloaded"):
        get(server, confirm=no)
    lists = [content for path, content in server.layout.files.items() if path.endswith(".csv")]
    assert all(range_ == "bytes=0-0" for _, range_ in server.log)
    with pytest.raises(Stopped, match="Nothing of the photos was downloaded"):
        get(server, confirm=no)
    first, _, photos_ = asked
    assert 0 < first.bytes < sum(len(content) for content in lists)
    assert (photos_.files, photos_.step) == (15, "photos")
    assert photos_.requests > 15 and photos_.seconds is not None
    assert not store.exists("some") and photos_of() == {}


def test_faults_that_pass_change_nothing(server: fake.Server, made: fake.Layout) -> None:
    faults: list[fake.Fault] = ["503", "cut", "stall", "lie", "429"]
    for split, count in fake.SHARDS.items():
        for number in range(count):
            # Not in the first answer only: in the midst of searching, too.
            some = faults[number : number + 3]
            server.faults[f"/{split}/images_{number:03d}.tar"] = ["", *some, "", "cut", "503"]
    report = get(server)
    assert report.complete and report.retries >= 6
    assert photos_of() == expected(made, INDEX)


def test_whole_shards_go_on_where_ranges_allow(server: fake.Server, made: fake.Layout) -> None:
    path = "/index/images_001.tar"
    server.faults[path] = ["", "cut", "503", "cut", "stall"]
    report = get(server, method="shards")
    assert report.complete and report.by_shard == report.wanted
    assert report.shards_checked == len(server.asked("md5sum"))
    # The rest of the shard was asked for, not all of it again.
    assert any(asked.endswith("-") for _, asked in server.asked(path))
    assert photos_of() == expected(made, INDEX)


def test_many_photos_of_a_split_come_as_whole_shards(server: fake.Server) -> None:
    mirror = dataclasses.replace(server.mirror, photos={"train": 40, "index": 40, "test": 10})
    report = download.download("some", INDEX, mirror, settings=QUICK)
    assert report.complete and report.by_shard == report.wanted


def test_a_wrong_md5_once_is_fetched_again(server: fake.Server, made: fake.Layout) -> None:
    server.ranges = False
    server.faults["/index/images_001.tar"] = ["", "flip"]
    report = get(server)
    assert report.complete
    assert photos_of() == expected(made, INDEX)


def test_a_wrong_md5_twice_is_reported_and_its_photos_left_out(
    server: fake.Server, made: fake.Layout
) -> None:
    path = "/md5sum/index/md5.images_001.txt"
    server.layout.files[path] = b"0" * 32 + b"  images_001.tar\n"
    report = get(server, method="shards")
    assert not report.complete
    assert [problem.what for problem in report.problems] == ["index/images_001.tar"]
    assert "twice in a row" in report.problems[0].reason and "0" * 32 in report.problems[0].reason
    missing = {name.partition("/")[2] for name in report.missing}
    assert missing and missing <= set(made.shards["index"][1])
    assert not any(i in file for i in missing for file in photos_of())
    # Another day the mirror is right again.
    server.layout.files[path] = made.files[path]
    report = get(server, method="shards")
    assert report.complete and report.by_shard == len(missing)
    assert photos_of() == expected(made, INDEX)


def test_a_missing_md5_is_reported(server: fake.Server) -> None:
    del server.layout.files["/md5sum/index/md5.images_001.txt"]
    report = get(server, method="shards")
    assert not report.missing and not report.complete
    assert "could not be checked" in report.problems[0].reason


@pytest.mark.parametrize("method", ["ranges", "shards"])
def test_a_shard_that_is_not_there_is_reported(
    server: fake.Server, made: fake.Layout, method: Method
) -> None:
    path = "/index/images_001.tar"
    del server.layout.files[path]
    report = get(server, method=method)
    assert "index/images_001.tar" in [problem.what for problem in report.problems]
    assert any("404" in problem.reason for problem in report.problems)
    missing = {name.partition("/")[2] for name in report.missing}
    assert missing == {i for i in _chosen() if i in made.shards["index"][1]}
    server.layout.files[path] = made.files[path]
    assert get(server, method=method).complete
    assert photos_of() == expected(made, INDEX)


def _chosen() -> list[str]:
    text = (paths.downloads_root() / "subsets/some/index_image_to_landmark.csv").read_text()
    return [line.partition(",")[0] for line in text.splitlines()[1:]]


def test_a_shard_that_goes_away_costs_only_its_photos(server: fake.Server) -> None:
    server.faults["/index/images_001.tar"] = ["", "404…"]
    report = get(server)
    assert report.missing and all(name.startswith("index/") for name in report.missing)
    assert report.by_range == report.wanted - len(report.missing)
    server.faults.clear()
    assert get(server).complete


def test_a_server_that_is_gone_is_an_error(server: fake.Server) -> None:
    server.faults["/metadata/index_image_to_landmark.csv"] = ["503…"]
    with pytest.raises(PlaygroundError, match="could not be read in 4 attempts"):
        get(server)


def test_photos_in_another_shard_need_a_look_through_all(
    server: fake.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_FEW", 0)
    get(server, name="first")
    moved = _first_in_shard("first", server, 0)
    for number, ids in enumerate(server.layout.shards["index"]):
        left = [i for i in ids if i != moved] + ([moved] if number == 2 else [])
        server.layout.put_shard("index", number, left)
    shutil.rmtree(paths.downloads_root() / "shards")
    report = get(server)
    assert report.missing == [f"index/{moved}"]
    assert "--search-all" in report.problems[0].reason
    assert get(server, search_all=True).complete


def _first_in_shard(name: str, server: fake.Server, number: int) -> str:
    ids = store.load(name).ids
    # Not the first of all: the order of the shards stays.
    return next(i for i in ids if i in server.layout.shards["index"][number][1:])


def test_a_photo_that_is_nowhere(server: fake.Server) -> None:
    get(server, name="first")
    gone = _first_in_shard("first", server, 0)
    ids = [i for i in server.layout.shards["index"][0] if i != gone]
    server.layout.put_shard("index", 0, ids)
    shutil.rmtree(paths.downloads_root() / "shards")
    report = get(server)
    assert report.missing == [f"index/{gone}"]
    assert "1 photos of index are listed, but not in any shard" in " ".join(
        f"{p.what} {p.reason}" for p in report.problems
    )
    assert gone not in store.load("some").ids


@pytest.mark.parametrize("method", ["ranges", "shards"])
def test_a_photo_that_is_no_photo(
    server: fake.Server, monkeypatch: pytest.MonkeyPatch, method: Method
) -> None:
    get(server, name="first")
    bad = store.load("first").ids[0]
    good = fake.jpeg
    monkeypatch.setattr(fake, "jpeg", lambda i: b"<html>" * 99 if i == bad else good(i))
    number = server.layout.shard_of("index", bad)
    server.layout.put_shard("index", number, server.layout.shards["index"][number])
    shutil.rmtree(paths.downloads_root() / "shards")
    report = get(server, method=method)
    assert report.missing == [f"index/{bad}"]
    assert f"index/{bad}.jpg cannot be used: not a photo" in report.problems[0].reason


def test_a_shard_that_changed_since_it_was_asked_for(
    server: fake.Server, made: fake.Layout
) -> None:
    def stop(estimate: Estimate) -> bool:
        return estimate.step == "lists"

    with pytest.raises(Stopped):
        get(server, confirm=stop)
    ids = made.shards["index"][1]
    server.layout.put_shard("index", 1, ids, folders=True)
    report = get(server)
    assert any("changed on the server" in problem.reason for problem in report.problems)
    assert get(server).complete
    assert photos_of() == expected(made, INDEX)


def test_tars_that_begin_with_folders(server: fake.Server, made: fake.Layout) -> None:
    for split, shards in made.shards.items():
        for number, ids in enumerate(shards):
            server.layout.put_shard(split, number, ids, folders=True)
    assert get(server).complete
    assert photos_of() == expected(made, INDEX)


# The disk


def test_a_full_disk_is_noticed_before(
    server: fake.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9 - 1000, 1000)
    )
    with pytest.raises(PlaygroundError, match=r"has 0\.00 GB free; the lists need about"):
        get(server)


def test_a_full_disk_for_the_photos(server: fake.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    free = SPARE + 100_000  # enough for the lists, not for the photos
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(2 * free, free, free)
    )
    with pytest.raises(PlaygroundError, match="the photos need about"):
        get(server)
    assert photos_of() == {}


def test_a_disk_that_fills_up_in_between(
    server: fake.Server, made: fake.Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, left = Path.write_bytes, [5]

    def full(self: Path, content: Any) -> int:
        if ".incoming" in self.parts:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return write(self, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(PlaygroundError, match=r"The disk is full.*run the same command again"):
        get(server)
    assert len(photos_of()) == 5 and not store.exists("some")
    left[0] = 1000
    assert get(server).before == 5
    assert photos_of() == expected(made, INDEX)


# Names and parameters


def test_other_parameters_and_other_collections_are_refused(
    server: fake.Server, tmp_path: Path
) -> None:
    get(server)
    with pytest.raises(PlaygroundError, match="with other parameters"):
        get(server, dataclasses.replace(INDEX, seed=1))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.jpg").write_bytes(fake.jpeg("0" * 16))
    importing.import_collection("mine", FolderSource(tmp_path / "mine"))
    with pytest.raises(PlaygroundError, match="does not come from this download"):
        get(server, name="mine")
    with pytest.raises(PlaygroundError, match="not a legal collection name"):
        get(server, name="../up")


def test_cancel_and_go_on(server: fake.Server, made: fake.Layout) -> None:
    cancel = threading.Event()
    told: list[tuple[int, int, str]] = []

    def progress(done: int, total: int, text: str) -> None:
        told.append((done, total, text))
        if total == 15 and done == 4:
            cancel.set()

    with pytest.raises(Stopped, match="What was saved stays"):
        get(server, progress=progress, cancel=cancel)
    assert 4 <= len(photos_of()) < 15
    report = get(server)
    assert report.complete and report.before >= 4
    assert photos_of() == expected(made, INDEX)
    assert any(text.startswith("shards of index") for _, _, text in told)


# A copy that is on disk already


def kaggle(made: fake.Layout, folder: Path) -> Path:
    """Kaggle's layout: ``train.csv`` without urls, photos, no other lists."""
    rows = [(i, label) for label, ids in made.labels["train"].items() for i in ids]
    folder.mkdir(parents=True)
    (folder / "train.csv").write_bytes(fake.text(("id", "landmark_id"), rows))
    for photo, _ in rows:
        place = folder / "train" / "/".join(photo[:3]) / f"{photo}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(fake.jpeg(photo))
    return folder


def test_a_copy_of_kaggle_is_imported_instead(
    server: fake.Server,
    made: fake.Layout,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = kaggle(made, tmp_path / "kagglehub/competitions/landmark-retrieval-2021")
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "kagglehub"))
    assert local.find_local(TRAIN) == folder and local.find_local(INDEX) is None
    argv = ["glr21", "--name", "some", "--split", "train", "--landmarks", "3", "--max-photos", "4"]
    argv += ["--base-url", server.url]
    assert console.call(cli.main, argv) == 0
    out, err = capsys.readouterr()
    assert "is imported instead of downloading" in err and "12 photos chosen" in out
    assert server.log == []
    get(server, TRAIN, "fetched")
    assert store.load("some").ids == store.load("fetched").ids
    with pytest.raises(PlaygroundError, match="--no-local"):
        local.import_local("other", dataclasses.replace(TRAIN, clean=True), folder)


# The command


def argv(server: fake.Server, *more: str) -> list[str]:
    words = ["glr21", "--name", "some", "--landmarks", "3", "--min-photos", "4"]
    words += ["--max-photos", "4", "--longer-side", "64", "--base-url", server.url, "--no-local"]
    return [*words, "--shards", SHARD_COUNTS, "--timeout", "1", *more]


def test_command(server: fake.Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert console.call(cli.main, argv(server)) == 2
    _, err = capsys.readouterr()
    assert "no terminal to ask on. Add --yes" in err
    assert console.call(cli.main, argv(server, "--yes", "--json")) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert (found["collection"], found["wanted"], found["by_range"]) == ("some", 15, 15)
    assert found["complete"] and "were checked" in found["checked"]
    assert "byte range" in err and "on disk" in err
    assert console.call(cli.main, argv(server, "--yes")) == 0
    assert "15 photos chosen, 15 were here, 0 downloaded" in capsys.readouterr()[0]


def test_command_says_what_is_missing(
    server: fake.Server, capsys: pytest.CaptureFixture[str]
) -> None:
    del server.layout.files["/index/images_001.tar"]
    assert console.call(cli.main, argv(server, "--yes")) == 2
    out, err = capsys.readouterr()
    assert "index/images_001.tar" in out and "answered 404" in out
    assert "The download is not complete" in err and "Start it again" in err
    assert store.exists("some")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--shards", "train=x"], "Legal: train=N,index=N,test=N"),
        (["--parallel", "0"], "--parallel is 0. Legal: 1 to 32"),
        (["--clean"], "Use --split train"),
        (["--local", "nowhere"], "is missing"),
    ],
)
def test_command_refuses(
    server: fake.Server, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert console.call(cli.main, argv(server, "--yes", *words)) == 2
    assert message in capsys.readouterr()[1]


def test_up_to_a_size(server: fake.Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert console.call(cli.main, argv(server, "--up-to", "0.001")) == 2
    assert "The photos need more than the 0.001 GB allowed" in capsys.readouterr()[1]
    assert photos_of() == {}
    assert console.call(cli.main, argv(server, "--up-to", "0.1")) == 0


def test_an_estimate_fetches_no_photos(
    server: fake.Server, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(*more: str) -> dict[str, Any]:
        assert console.call(cli.main, argv(server, "--estimate", "--json", *more)) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr()[0])["estimate"]
        return found

    assert told()["step"] == "lists"
    assert all(asked == "bytes=0-0" for _, asked in server.log)
    photos_ = told("--yes")
    assert (photos_["step"], photos_["files"]) == ("photos", 15)
    assert 0 < photos_["shards"] <= fake.SHARDS["index"] + fake.SHARDS["test"]
    assert photos_["free"] > photos_["disk"] > 0
    assert photos_of() == {} and not store.exists("some")


def ended(job_id: str) -> jobs.Job:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        found = jobs.job(job_id)
        if found.state != "running":
            return found
        time.sleep(0.02)
    raise AssertionError("the job did not end in a minute")


def test_job(server: fake.Server, made: fake.Layout) -> None:
    server.pause = 0.05
    words = ["scripts.download", *argv(server, "--up-to", "0.1")]
    started = jobs.start("download:some", "download", words)
    with pytest.raises(PlaygroundError, match="A download of download:some is running already"):
        jobs.start("download:some", "download", words)
    while jobs.job(started.id).current is None:
        time.sleep(0.01)
    jobs.cancel(started.id)
    assert jobs.job(started.id).state == "cancelled" and not store.exists("some")
    server.pause = 0.0
    for step, more in (("lists", ["--estimate"]), ("photos", ["--estimate", "--yes"])):
        if step == "photos" or not list((paths.downloads_root() / "lists").glob("*.csv")):
            assert ended(jobs.start("download:some", "download", words + more).id).state == "done"
            question = kept_question("some")
            assert question is not None and question.estimate.step == step
            assert ["scripts.download", "glr21", *question.arguments] == words
    assert photos_of() == {}
    done = ended(jobs.start("download:some", "download", words).id)
    assert (done.state, done.error, done.fraction) == ("done", "", 1.0)
    assert [stage.stage for stage in done.stages] == ["lists", "shards", "photos", "import"]
    assert photos_of() == expected(made, INDEX)
    del server.layout.files["/index/images_001.tar"]
    words[words.index("some")] = "other"
    shutil.rmtree(paths.downloads_root() / "shards")
    failed = ended(jobs.start("download:other", "download", words).id)
    assert failed.state == "failed"
    assert "not complete" in failed.error and "answered 404" in failed.error


# Killed


def killed_and_resumed(server: fake.Server, home: Path, kills: int, whole: bool) -> None:
    """Kill the command in its midst ``kills`` times; it must end with the same files."""
    words = argv(server, "--yes", "--json", *(["--method", "shards"] if whole else []))
    words += ["--landmarks", "8", "--min-photos", "1", "--max-photos", "all"]
    words += ["--parallel", "2"]
    assert console.call(cli.main, words) == 0
    uninterrupted, total = files_of(), len(server.log)
    shutil.rmtree(paths.downloads_root())
    changing.delete("some")
    server.log.clear()
    server.pause = 0.05
    command = [sys.executable, "-m", "scripts.download", *words]
    codes = []
    for number in range(kills):
        process = subprocess.Popen(
            command, cwd=paths.PROJECT_ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        # By what was asked, not by the clock.
        until = len(server.log) + 2 + (number * 3) % 7 + total // (3 * kills)
        while process.poll() is None and len(server.log) < until:
            time.sleep(0.005)
        with_photos = len(photos_of())
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()
        codes.append(process.returncode)
        assert set(photos_of()) <= set(uninterrupted) and len(photos_of()) >= with_photos
        for file, content in photos_of().items():
            assert content == uninterrupted[file]
    assert codes.count(-signal.SIGKILL) >= kills - 1
    server.pause = 0.0
    assert console.call(cli.main, words) == 0
    assert files_of() == uninterrupted
    collection = store.load("some")
    assert len(collection.photos) + len(collection.queries) == len(photos_of())
    for photo in collection.photos:
        assert photos.probe(collection.path(photo)) == (photo.width, photo.height)


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is a matter of POSIX")
@pytest.mark.parametrize("whole", [False, True], ids=["ranges", "whole"])
def test_killed_and_resumed(server: fake.Server, home: Path, whole: bool) -> None:
    killed_and_resumed(server, home, 2, whole)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is a matter of POSIX")
@pytest.mark.parametrize("whole", [False, True], ids=["ranges", "whole"])
def test_killed_ten_times(server: fake.Server, home: Path, whole: bool) -> None:
    killed_and_resumed(server, home, 10, whole)
