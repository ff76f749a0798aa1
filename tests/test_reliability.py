"""Nothing wrong under a right label: changed photos, damaged files, builds that die."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from data import artefact, importing, store
from data.demo import DemoSource
from data.errors import Conflict, PlaygroundError
from indexing import artefacts, status
from indexing.build import build
from tests.conftest import write_toy


@pytest.fixture
def own(home: Path, tmp_path: Path) -> Path:
    """A folder of 12 toy photos that may be changed, imported as the collection ``toy``."""
    folder = write_toy(tmp_path / "own", landmarks=2)
    importing.import_collection("toy", DemoSource(folder))
    return folder


def swap(path: Path, other: Path) -> None:
    """Another photo's content at the same size, with the time of the old file."""
    before = path.stat()
    content = other.read_bytes()
    size = before.st_size
    # What follows the end mark of a JPEG is not read.
    path.write_bytes((content + bytes(size))[:size] if len(content) <= size else content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def swapped(folder: Path) -> str:
    """Replace one photo by a smaller one, padded to the old size; the id of the replaced one."""
    files = sorted((folder / "photos").rglob("*.jpg"), key=lambda path: path.stat().st_size)
    swap(files[-1], files[0])
    return f"{files[-1].parent.name}-{files[-1].stem}"


# -- photos that changed -----------------------------------------------------------------------


def test_another_content_of_equal_size_is_refused(own: Path) -> None:
    build("toy", ["hog"], ["flat"])
    before = (artefacts.extractor_folder("toy", "hog") / artefact.MANIFEST).read_bytes()
    photo = swapped(own)
    members = store.load("toy")
    assert members.path(members.photo(photo)).stat().st_size == members.photo(photo).size
    with pytest.raises(Conflict, match=rf"{photo} .* has changed since it was imported"):
        members.read(photo)
    with pytest.raises(PlaygroundError, match=rf"{photo} .* has changed since it was imported"):
        build("toy", ["hog"], ["flat"], force=True)
    assert (artefacts.extractor_folder("toy", "hog") / artefact.MANIFEST).read_bytes() == before


def test_a_changed_photo_is_marked(own: Path) -> None:
    members = store.load("toy")
    assert [one.id for one in members.photos if members.changed(one)] == []
    photo = swapped(own)
    assert [one.id for one in members.photos if members.changed(one)] == [photo]
    assert "has changed since it was imported" in str(members.changed(photo))
    members.path(members.photo(photo)).unlink()
    assert "any more" in str(members.changed(photo))


def test_a_photo_older_than_its_thumbnail_is_not_hashed(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = store.load("toy")
    for one in members.photos:
        later = members.path(one).stat().st_ctime_ns + 10**9
        os.utime(members.thumbnail_path(one), ns=(later, later))
    hashed: list[Path] = []
    monkeypatch.setattr(artefact, "file_sha256", lambda path: hashed.append(path) or "")
    assert not any(members.changed(one) for one in members.photos)
    assert not hashed
    assert all(members.changed(one, thorough=True) for one in members.photos)


# -- shards of a build that was stopped --------------------------------------------------------


def stopped_build(monkeypatch: pytest.MonkeyPatch, spec: str) -> list[Path]:
    """A build stopped when everything but the artefact was written; its shards."""

    def stop(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(artefact, "save", stop)
        with pytest.raises(KeyboardInterrupt):
            build("toy", [spec], [])
    folder = artefacts.extractor_folder("toy", spec) / "partial"
    return sorted(folder.rglob("*.safetensors"))


@pytest.mark.parametrize("spec", ["hog", "bovw:words=64"])
@pytest.mark.parametrize("how", ["flip", "flip in the header", "cut", "emptied", "without digest"])
def test_a_damaged_shard_is_made_again(
    own: Path, monkeypatch: pytest.MonkeyPatch, spec: str, how: str
) -> None:
    build("toy", [spec], [])
    folder = artefacts.extractor_folder("toy", spec)
    whole = artefacts.load_vectors(store.load("toy"), spec)[0].version
    shutil.rmtree(folder)
    shards = stopped_build(monkeypatch, spec)
    assert shards
    for path in shards:
        content = bytearray(path.read_bytes())
        if how == "flip":
            content[-7] ^= 4
        elif how == "flip in the header":
            content[content.index(b'"shape"') + 1] ^= 1
        elif how == "cut":
            del content[len(content) // 2 :]
        elif how == "emptied":
            content.clear()
        else:
            content = content.replace(b'"sha256"', b'"sha255"')
        path.write_bytes(bytes(content))
    build("toy", [spec], [])
    assert artefacts.load_vectors(store.load("toy"), spec)[0].version == whole


def test_whole_shards_are_used(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped_build(monkeypatch, "bovw:words=64")
    assert build("toy", ["bovw:words=64"], [])[0].described == 0
