"""The offline build: resumable, atomic, incremental, and honest about what is wrong."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from data import artefact, changing, importing, paths, store
from data.demo import DemoSource
from data.errors import PlaygroundError
from indexing import artefacts, jobs, status
from indexing import build as build_module
from indexing.build import build
from indexing.progress import Stage
from tests.conftest import write_toy

CHEAP = ["hog", "bovw:words=64"]
INDEXES = ["flat", "ivf", "lsh", "pq"]


class Recorder:
    def __init__(self) -> None:
        self.stages: dict[tuple[str, str, str | None], Stage] = {}

    def update(self, stage: Stage) -> None:
        self.stages[(stage.extractor, stage.stage, stage.index)] = stage


def artefact_bytes(root: Path) -> dict[str, str]:
    """SHA-256 of every file of the artefacts; measured times aside."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name not in (artefact.RECORD, ".lock")
    }


def test_builds_everything_and_then_nothing(toy_collection: store.Collection) -> None:
    recorder = Recorder()
    outcomes = build("toy", CHEAP, INDEXES, progress=recorder)
    assert [o.action for o in outcomes] == ["built"] * 10
    assert all(stage.state == "done" for stage in recorder.stages.values())
    assert ("bovw:words=64", "fit", None) in recorder.stages
    vectors, extractor = artefacts.load_vectors(toy_collection, "hog")
    assert vectors.ids == toy_collection.ids
    assert vectors.vectors.shape == (30, extractor.dim)
    again = build("toy", CHEAP, INDEXES)
    assert [o.action for o in again] == ["unchanged"] * 10
    assert sum(o.described for o in again) == 0
    assert not (artefacts.extractor_folder("toy", "hog") / "partial").exists()


def test_rows_belong_to_their_ids(toy_collection: store.Collection) -> None:
    build("toy", ["hog"], ["flat"])
    vectors, extractor = artefacts.load_vectors(toy_collection, "hog")
    for photo in (toy_collection.photos[0], toy_collection.photos[17]):
        mine = extractor.extract(toy_collection.read(photo)).vectors[0]
        assert np.array_equal(vectors.vectors[vectors.ids.index(photo.id)], mine)


def test_two_builds_give_the_same_bytes(
    toy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for name in ("one", "two"):
        monkeypatch.setenv("PLAYGROUND_HOME", str(tmp_path / name))
        importing.import_collection("toy", DemoSource(toy_folder))
        build("toy", CHEAP, INDEXES)
        found.append(artefact_bytes(paths.vectors_root("toy")))
    assert found[0] == found[1]
    assert len(found[0]) > 20


def test_a_stopped_build_goes_on_where_it_was(
    toy_collection: store.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    build("toy", CHEAP, INDEXES)
    undisturbed = artefact_bytes(paths.vectors_root("toy"))
    for spec in CHEAP:
        folder = artefacts.extractor_folder("toy", spec)
        for path in folder.rglob("*"):
            if path.is_file():
                path.unlink()
    # Stops at every fourth write (an artefact needs up to three in a row) until all is written.
    real, writes = artefact.write_atomically, 0

    def stopping(path: Path, content: bytes | str) -> None:
        nonlocal writes
        writes += 1
        if writes % 4 == 0:
            raise KeyboardInterrupt
        real(path, content)

    described = 0
    monkeypatch.setattr(artefact, "write_atomically", stopping)
    for _ in range(40):
        try:
            outcomes = build("toy", CHEAP, INDEXES)
        except KeyboardInterrupt:
            continue
        described += sum(o.described for o in outcomes)
        break
    else:
        pytest.fail("the build never ended")
    assert artefact_bytes(paths.vectors_root("toy")) == undisturbed


def test_lost_and_damaged_shards_are_made_again(
    toy_collection: store.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_module, "BLOCK", 4)

    def stopping(*_: object) -> None:
        raise KeyboardInterrupt

    undisturbed = {}
    for spec, kind in (("hog", "vectors-*"), ("bovw:words=64", "raw")):
        build("toy", [spec], [])
        folder = artefacts.extractor_folder("toy", spec)
        undisturbed[spec] = artefact_bytes(folder)
        for path in folder.glob("*.*"):
            path.unlink()
        with monkeypatch.context() as stopped, pytest.raises(KeyboardInterrupt):
            stopped.setattr(artefact, "save", stopping)
            build("toy", [spec], [])
        made = sorted((folder / "partial").glob(f"*/{kind}/*"))
        assert len(made) == 8
        if kind == "raw":  # else nobody asks for what was learned from
            for path in (folder / "partial").glob("*/[sv]*"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        damaged = bytearray(made[2].read_bytes())
        damaged[-1] ^= 1
        made[2].write_bytes(damaged)
        for path in (made[0], made[5]):
            path.unlink()
        assert 9 < build("toy", [spec], [])[0].described <= 12  # a block has 2 or 4 photos
        assert artefact_bytes(folder) == undisturbed[spec]


def test_only_new_photos_are_described(toy_folder: Path, home: Path, tmp_path: Path) -> None:
    small = write_toy(tmp_path / "small", landmarks=4)
    importing.import_collection("toy", DemoSource(small))
    build("toy", CHEAP, ["flat"])
    before, _ = artefacts.load_vectors(store.load("toy"), "bovw:words=64")
    importing.import_collection("toy", DemoSource(toy_folder), on_exists="add")
    with pytest.raises(PlaygroundError, match=r"24 photos then, 30 now"):
        artefacts.load_vectors(store.load("toy"), "hog")
    outcomes = build("toy", CHEAP, ["flat"])
    assert [(o.action, o.described) for o in outcomes if o.index is None] == [("updated", 6)] * 2
    after, _ = artefacts.load_vectors(store.load("toy"), "bovw:words=64")
    assert np.array_equal(after.vectors[:24], before.vectors)
    assert np.array_equal(after.state["centroids"], before.state["centroids"])
    changing.remove("toy", ["toy-0-00", "toy-4-05"])
    outcomes = build("toy", CHEAP, ["flat"])
    assert all(o.described == 0 for o in outcomes)
    fewer, _ = artefacts.load_vectors(store.load("toy"), "bovw:words=64")
    assert len(fewer.ids) == 28
    assert np.array_equal(fewer.vectors, after.vectors[1:29])


def test_another_config_or_weights_are_refused(
    toy_collection: store.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    build("toy", ["hog"], ["flat"])
    from extractors.hog import Hog

    monkeypatch.setattr(Hog, "version", Hog.version + 1)
    with pytest.raises(PlaygroundError, match=r"version was 1 and is 2 now.*scripts\.build"):
        artefacts.load_vectors(toy_collection, "hog")
    assert status.collection_status("toy")[0].state == "stale"
    # The new version gives the same vectors here, so the index over them still stands.
    assert [o.action for o in build("toy", ["hog"], ["flat"])] == ["built", "unchanged"]


@pytest.mark.parametrize("name", ["vectors.npy", "ids.json"])
def test_damaged_files_are_refused_and_mended(toy_collection: store.Collection, name: str) -> None:
    build("toy", ["hog"], ["flat"])
    folder = artefacts.extractor_folder("toy", "hog")
    manifest = artefact.read_manifest(folder)
    assert manifest is not None
    path = folder / manifest["files"][name]["file"]
    content = bytearray(path.read_bytes())
    content[-10] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(PlaygroundError, match=r"SHA-256.*scripts\.build"):
        artefacts.load_vectors(toy_collection, "hog")
    build("toy", ["hog"], ["flat"])
    artefacts.load_vectors(toy_collection, "hog")


def test_an_index_over_other_vectors_is_refused(toy_collection: store.Collection) -> None:
    build("toy", ["hog"], ["flat"])
    changing.remove("toy", ["toy-0-00"])
    build("toy", ["hog"], [])
    vectors, _ = artefacts.load_vectors(store.load("toy"), "hog")
    with pytest.raises(PlaygroundError, match="other vectors"):
        artefacts.load_index("toy", "hog", "flat", vectors)
    assert status.collection_status("toy")[0].indexes[0].state == "stale"


def test_one_build_at_a_time(toy_collection: store.Collection) -> None:
    folder = artefacts.extractor_folder("toy", "hog")
    with (
        artefact.exclusive(folder, "Another build"),
        pytest.raises(PlaygroundError, match="already running"),
    ):
        build("toy", ["hog"], ["flat"])


def test_a_full_disk_leaves_what_was_there(
    toy_collection: store.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    build("toy", ["hog"], ["flat"])
    before = artefact_bytes(paths.vectors_root("toy"))

    def full(path: Path, content: bytes | str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(artefact, "write_atomically", full)
    with pytest.raises(PlaygroundError, match="disk is full"):
        build("toy", ["hog"], ["flat"], force=True)
    monkeypatch.undo()
    monkeypatch.setenv("PLAYGROUND_HOME", str(paths.artifacts_root()))
    after = artefact_bytes(toy_collection.folder.parent.parent / "vectors" / "toy")
    manifests = {k: v for k, v in before.items() if "partial" not in k}
    assert manifests.items() <= after.items()


def test_a_write_that_fails_names_no_file_and_is_a_sentence() -> None:
    with (
        pytest.raises(PlaygroundError, match=r"^Saving failed: File too large\. A file may not"),
        artefact.explain_os_errors("Saving"),
    ):
        raise OSError(errno.EFBIG, "File too large")


def test_too_little_space_is_said_before_the_work(
    toy_collection: store.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(build_module.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(PlaygroundError, match="GB are free"):
        build("toy", ["hog"], ["flat"])


def test_no_permission_is_a_sentence(
    toy_collection: store.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(self: Path, *args: object, **kwargs: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", denied)
    with pytest.raises(PlaygroundError, match="Permission was denied"):
        build("toy", ["hog"], ["flat"])


def test_unknown_names_are_told_before_the_work(toy_collection: store.Collection) -> None:
    with pytest.raises(PlaygroundError, match="hog, gem-siamese"):
        build("toy", ["sift"], ["flat"])
    with pytest.raises(PlaygroundError, match="flat, ivf"):
        build("toy", ["hog"], ["annoy"])
    with pytest.raises(PlaygroundError, match="no collection"):
        build("nothing", ["hog"], ["flat"])


def test_a_photo_that_went_missing_is_named(home: Path, tmp_path: Path) -> None:
    folder = write_toy(tmp_path / "photos", landmarks=1)
    importing.import_collection("toy", DemoSource(folder))
    (folder / "photos/toy-0/03.jpg").unlink()
    with pytest.raises(PlaygroundError, match="toy-0-03"):
        build("toy", ["hog"], ["flat"])


def test_photos_without_keypoints_are_left_out_of_the_index(home: Path, tmp_path: Path) -> None:
    from data.folder import FolderSource
    from data.photos import encode_jpeg
    from tests.conftest import toy_photo

    folder = tmp_path / "mixed"
    folder.mkdir()
    for i in range(6):
        (folder / f"p{i}.jpg").write_bytes(encode_jpeg(toy_photo(i % 3, i)))
    (folder / "blank.png").write_bytes(encode_jpeg(np.full((120, 160, 3), 200, np.uint8)))
    importing.import_collection("mixed", FolderSource(folder))
    outcomes = build("mixed", ["bovw:words=32"], ["flat"])
    assert "1 photo without any descriptor is not in the index." in outcomes[1].notes
    vectors, _ = artefacts.load_vectors(store.load("mixed"), "bovw:words=32")
    index = artefacts.load_index("mixed", "bovw:words=32", "flat", vectors)
    assert index.built.n == 6
    assert index.rows is not None
    assert [vectors.ids[row] for row in index.rows] == [f"p{i}" for i in range(6)]


def test_status_tells_what_is_there(toy_collection: store.Collection) -> None:
    assert all(entry.state == "missing" for entry in status.collection_status("toy"))
    build("toy", ["hog"], ["flat", "factory:HNSW8"])
    hog = status.collection_status("toy")[0]
    assert hog.extractor == "hog"
    assert hog.state == "ready"
    assert hog.searchable
    assert hog.n == 30
    assert {i.index: i.state for i in hog.indexes} == {
        "flat": "ready",
        "ivf": "missing",
        "lsh": "missing",
        "pq": "missing",
        "factory:HNSW8": "ready",
    }


# In processes of their own


def command(*extra: str) -> list[str]:
    return [
        *(sys.executable, "-m", "scripts.build", "--collection", "toy"),
        *("--extractors", ",".join(CHEAP), "--indexes", "all", *extra),
    ]


def test_killed_at_random_moments_and_started_again(
    toy_collection: store.Collection, home: Path
) -> None:
    """kill -9, five times; the full twenty are in scripts.benchmark kill."""
    build("toy", CHEAP, INDEXES)
    root = paths.vectors_root("toy")
    undisturbed = artefact_bytes(root)
    import shutil

    shutil.rmtree(root)
    rng = random.Random(0)
    for _ in range(5):
        process = subprocess.Popen(
            command("--quiet"), cwd=paths.PROJECT_ROOT, stdout=subprocess.DEVNULL
        )
        time.sleep(rng.uniform(0.6, 2.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
        for manifest in root.rglob(artefact.MANIFEST):
            json.loads(manifest.read_text())  # never half-written
    result = subprocess.run(
        command("--json"), cwd=paths.PROJECT_ROOT, capture_output=True, text=True, check=True
    )
    summary = json.loads(result.stdout)
    assert summary["collection"] == "toy"
    assert artefact_bytes(root) == undisturbed


def test_a_job_reports_and_ends(toy_collection: store.Collection) -> None:
    started = jobs.start_build("toy", ["hog"], ["flat"])
    with pytest.raises(PlaygroundError, match="running already"):
        jobs.start_build("toy", ["hog"], ["flat"])
    ended = wait_for(started.id)
    assert ended.state == "done", ended.error
    assert ended.fraction == 1.0
    assert [(s.stage, s.index) for s in ended.stages] == [("extract", None), ("index", "flat")]
    assert jobs.jobs("toy")[0].id == started.id
    assert status.collection_status("toy")[0].searchable


def test_a_failed_job_says_why(toy_collection: store.Collection) -> None:
    started = jobs.start_build("toy", ["hog"], ["pq:m=11"])
    ended = wait_for(started.id)
    assert ended.state == "failed"
    assert "m=11" in ended.error


def test_a_job_can_be_cancelled(toy_collection: store.Collection) -> None:
    started = jobs.start_build("toy", ["hog", "bovw"], "all")
    jobs.cancel(started.id)
    assert jobs.job(started.id).state == "cancelled"
    assert jobs.running("toy") is None


def test_a_job_whose_process_died_is_not_running(toy_collection: store.Collection) -> None:
    started = jobs.start_build("toy", ["hog"], ["flat"])
    os.kill(started.pid, signal.SIGKILL)
    ended = wait_for(started.id)
    assert ended.state == "failed"
    assert "goes on where it was" in ended.error


def wait_for(job_id: str, seconds: float = 60) -> jobs.Job:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = jobs.job(job_id)
        if found.state != "running":
            return found
        time.sleep(0.1)
    pytest.fail(f"job {job_id} is still running after {seconds} s")
