"""Packing built artefacts and restoring them: what fits, what is refused, what a kill leaves."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data import artefact, importing, paths, store
from data.demo import DemoSource
from data.errors import Conflict, PlaygroundError
from extractors.hog import Hog
from indexing import checking, prebuilt
from indexing.artefacts import extractor_folder, index_folder, load_vectors
from indexing.build import build
from indexing.embedding import folder_of, make
from indexing.status import collection_status

CONTENT = "the photos and queries of the tests"
INDEXES = ["flat", "ivf"]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory, toy_folder: Path) -> Iterator[Path]:
    """A folder with ``home`` (hog, two indexes and a map of the toy photos) and ``pack``."""
    folder = tmp_path_factory.mktemp("packed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLAYGROUND_HOME", str(folder / "home"))
        importing.import_collection("toy", DemoSource(toy_folder))
        build("toy", ["hog"], [])
        prebuilt.to_half("toy", "hog")
        build("toy", ["hog"], INDEXES)
        members = store.load("toy")
        make("toy", "hog", "pca", load_vectors(members, "hog")[0])
        points = paths.evaluations_root("toy") / "tradeoffs" / "hog" / "points.jsonl"
        points.parent.mkdir(parents=True)
        points.write_text('{"a": 1}\n')
        parts = [extractor_folder("toy", "hog"), *(index_folder("toy", "hog", i) for i in INDEXES)]
        parts += [folder_of("toy", "hog", "pca"), points]
        prebuilt.make(members, CONTENT, {"hog": parts}, folder / "pack")
        yield folder


@pytest.fixture
def toy(toy_collection: store.Collection) -> store.Collection:
    return toy_collection


def files(folder: Path) -> dict[str, bytes]:
    """What lies below vectors and evaluations, records and locks left out."""
    found = {}
    for room in ("vectors", "evaluations"):
        for path in (folder / room).rglob("*"):
            if path.is_file() and path.name not in (".lock", artefact.RECORD):
                found[path.relative_to(folder).as_posix()] = path.read_bytes()
    return found


def restore(toy: store.Collection, pack: Path, content: str = CONTENT) -> prebuilt.Restored:
    return prebuilt.restore(toy, content, pack)


def damaged_copy(packed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(packed / "pack", tmp_path / "pack"))


def test_what_is_restored_is_what_was_built(toy: store.Collection, packed: Path) -> None:
    done = restore(toy, packed / "pack")
    assert len(done.parts) == 5 and not done.refused
    assert files(paths.artifacts_root()) == files(packed / "home")
    assert not [one for one in checking.check("toy") if one.wrong]
    assert {one.action for one in build("toy", ["hog"], INDEXES)} == {"unchanged"}
    hog = next(one for one in collection_status("toy") if one.extractor == "hog")
    assert hog.state == "ready" and hog.packed.endswith("for the demo's pack")


def test_a_second_restore_does_nothing(toy: store.Collection, packed: Path) -> None:
    restore(toy, packed / "pack")
    home = paths.artifacts_root()
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*") if path.is_file()}
    assert restore(toy, packed / "pack").parts == ()
    assert {path: path.stat().st_mtime_ns for path in home.rglob("*") if path.is_file()} == before


def test_half_precision_is_the_nearest_and_is_done_once(packed: Path) -> None:
    given = np.array([[1.0, 1 / 3, 1e-9, -0.1]], np.float32)
    # A half has 10 bits behind the point: 1/3 lies in [1/4, 1/2), in steps of 2^-12.
    assert prebuilt.halved(given)[0].tolist() == [1.0, 1365 / 4096, 0.0, np.float16(-0.1)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLAYGROUND_HOME", str(packed / "home"))
        before = files(packed / "home")
        prebuilt.to_half("toy", "hog")
        assert files(packed / "home") == before
        vectors = load_vectors(store.load("toy"), "hog")[0].vectors
    assert np.array_equal(vectors, prebuilt.halved(np.asarray(vectors)))


def nothing(toy: store.Collection, done: prebuilt.Restored, words: str) -> None:
    assert done.parts == ()
    assert words in " ".join(done.refused.values())
    assert files(paths.artifacts_root()) == {}


def test_other_photos_are_refused(toy: store.Collection, packed: Path, tmp_path: Path) -> None:
    pack = damaged_copy(packed, tmp_path)
    manifest = json.loads((pack / "manifest.json").read_text())
    (pack / "manifest.json").write_text(json.dumps({**manifest, "fingerprint": "0" * 64}))
    nothing(toy, restore(toy, pack), "others than those")


def test_other_queries_are_refused(toy: store.Collection, packed: Path) -> None:
    nothing(toy, restore(toy, packed / "pack", "another ground truth"), "others than those")


@pytest.mark.parametrize("what", ["version", "weights"])
def test_another_extractor_is_refused(
    toy: store.Collection, packed: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if what == "version":
        monkeypatch.setattr(Hog, "version", Hog.version + 1)
    else:
        other = {"source": "bundled", "sha256": "f" * 64}
        monkeypatch.setattr(Hog, "weights_identity", lambda self: other)
    nothing(toy, restore(toy, packed / "pack"), f"{what} was")


@pytest.mark.parametrize("place", [100, -100])
def test_a_changed_byte_is_refused(
    toy: store.Collection, packed: Path, tmp_path: Path, place: int
) -> None:
    pack = damaged_copy(packed, tmp_path)
    (file,) = pack.glob("pack-*")
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)
    with pytest.raises(Conflict, match="SHA-256"):
        restore(toy, pack)
    assert files(paths.artifacts_root()) == {}


def test_a_cut_pack_with_a_matching_hash_is_a_sentence(
    toy: store.Collection, packed: Path, tmp_path: Path
) -> None:
    pack = damaged_copy(packed, tmp_path)
    (file,) = pack.glob("pack-*")
    manifest = json.loads((pack / "manifest.json").read_text())
    cut = file.read_bytes()[:-5000]
    meta = {k: v for k, v in manifest.items() if k not in ("files", "format")}
    artefact.save(pack, meta, {prebuilt.FILE: lambda path: path.write_bytes(cut)})
    with pytest.raises(PlaygroundError, match="cannot be unpacked"):
        restore(toy, pack)


@pytest.mark.parametrize("part", ["../outside", "/etc", "vectors/other/hog", "jobs/x"])
def test_a_pack_writes_to_the_collections_artefacts_only(
    toy: store.Collection, packed: Path, tmp_path: Path, part: str
) -> None:
    pack = damaged_copy(packed, tmp_path)
    manifest = json.loads((pack / "manifest.json").read_text())
    manifest["parts"]["hog"] = [part]
    (pack / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(Conflict, match="no place for an artefact"):
        restore(toy, pack)


def test_more_than_it_says_is_not_unpacked(
    toy: store.Collection, packed: Path, tmp_path: Path
) -> None:
    pack = damaged_copy(packed, tmp_path)
    manifest = json.loads((pack / "manifest.json").read_text())
    (pack / "manifest.json").write_text(json.dumps({**manifest, "unpacked": 1000}))
    with pytest.raises(Conflict, match="more than it says"):
        restore(toy, pack)


def test_what_was_built_here_stays(toy: store.Collection, packed: Path) -> None:
    build("toy", ["hog"], ["flat"])  # in full precision: other vectors
    before = files(paths.artifacts_root())
    done = restore(toy, packed / "pack")
    assert done.parts == () and "on this machine already" in done.refused["hog"]
    assert files(paths.artifacts_root()) == before


def test_a_running_build_is_left_alone(toy: store.Collection, packed: Path) -> None:
    with artefact.exclusive(extractor_folder("toy", "hog"), "A build"):
        done = restore(toy, packed / "pack")
    assert done.parts == () and "already running" in done.refused["hog"]


@pytest.mark.parametrize("after", [0, 1, 2, 3, 5, 8, 11])
def test_a_kill_leaves_whole_artefacts_and_the_next_goes_on(
    toy: store.Collection, packed: Path, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaced: list[Any] = []
    real = os.replace

    def dies(source: Any, target: Any) -> None:
        if len(replaced) == after:
            raise KeyboardInterrupt
        replaced.append(target)
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("indexing.prebuilt.os.replace", dies)
        with pytest.raises(KeyboardInterrupt):
            restore(toy, packed / "pack")
    whole = files(packed / "home")
    for name, content in files(paths.artifacts_root()).items():
        if not name.endswith(".tmp"):
            assert whole[name] == content
    # An artefact counts from its manifest on; all that have one are whole.
    assert not [one for one in checking.check("toy") if one.wrong]
    restore(toy, packed / "pack")
    found = files(paths.artifacts_root())
    assert found == whole


def test_what_is_there_in_part_is_completed(toy: store.Collection, packed: Path) -> None:
    restore(toy, packed / "pack")
    (index_folder("toy", "hog", "ivf") / artefact.MANIFEST).unlink()
    points = paths.evaluations_root("toy") / "tradeoffs" / "hog" / "points.jsonl"
    points.write_text("measured here\n")
    assert restore(toy, packed / "pack").parts == ("vectors/toy/hog/indexes/ivf",)
    assert points.read_text() == "measured here\n"  # nothing that is there is replaced


def test_no_pack_is_no_error(toy: store.Collection, tmp_path: Path) -> None:
    assert restore(toy, tmp_path / "none") == prebuilt.Restored()


def test_a_pack_that_is_too_large_is_refused(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAYGROUND_HOME", str(packed / "home"))
    monkeypatch.setattr(prebuilt, "MOST", 1000)
    with pytest.raises(PlaygroundError, match="Legal: 1,000"):
        prebuilt.make(
            store.load("toy"), CONTENT, {"hog": [extractor_folder("toy", "hog")]}, tmp_path / "p"
        )
