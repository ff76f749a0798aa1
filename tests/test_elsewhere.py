"""Photos by an fsspec URL: found by name, compared with their hash, refused with a sentence."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest
from numpy import full, uint8

from data import importing, store
from data.errors import Conflict, NotFound
from data.folder import FolderSource
from data.photos import encode_jpeg


@pytest.fixture
def moved(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, bytes]:
    """A collection whose folder is somewhere else now; its photo's bytes."""
    folder, content = tmp_path / "here", encode_jpeg(full((24, 32, 3), 90, uint8))
    (folder / "tower").mkdir(parents=True)
    (folder / "tower" / "a b#1.jpg").write_bytes(content)
    importing.import_collection("mine", FolderSource(folder))
    there = folder.rename(tmp_path / "there")
    monkeypatch.setenv("PLAYGROUND_PHOTOS", there.as_uri())
    return there, content


def only() -> tuple[store.Collection, str]:
    collection = store.load("mine")
    return collection, collection.photos[0].id


def test_a_photo_is_read_from_the_url(moved: tuple[Path, bytes]) -> None:
    collection, photo = only()
    assert collection.content(photo) == moved[1]
    assert collection.read(photo).shape == (24, 32, 3)


def test_any_file_system_of_fsspec(
    moved: tuple[Path, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec.filesystem("memory").pipe("/bucket/mine/tower/a b#1.jpg", moved[1])
    monkeypatch.setenv("PLAYGROUND_PHOTOS", "memory://bucket/mine/")
    collection, photo = only()
    assert collection.content(photo) == moved[1]


@pytest.mark.parametrize("other", [b"shorter", b"x" * 100_000])
def test_another_photo_there_is_refused(moved: tuple[Path, bytes], other: bytes) -> None:
    (moved[0] / "tower" / "a b#1.jpg").write_bytes(other)
    collection, photo = only()
    with pytest.raises(Conflict, match="has changed since it was imported"):
        collection.content(photo)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("file:///nowhere", "No such file"),
        ("none-such://user:secret@host/x", "ValueError"),
    ],
)
def test_what_cannot_be_read_is_said_without_the_url(
    moved: tuple[Path, bytes], monkeypatch: pytest.MonkeyPatch, url: str, why: str
) -> None:
    monkeypatch.setenv("PLAYGROUND_PHOTOS", url)
    collection, photo = only()
    with pytest.raises(NotFound, match=rf"Nor can it be read from PLAYGROUND_PHOTOS: {why}") as e:
        collection.content(photo)
    assert "secret" not in str(e.value)
