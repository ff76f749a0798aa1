"""Stored collections: importing, changing, reading, and what survives failures."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from data import artefact, changing, importing, layout, paths, photos, store
from data.base import Photo
from data.demo import DemoSource, ensure_demo
from data.errors import PlaygroundError
from data.folder import FolderSource
from data.upload import UploadSource


def jpeg(seed: int = 0, size: tuple[int, int] = (32, 24)) -> bytes:
    rng = np.random.default_rng(seed)
    return photos.encode_jpeg(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two landmarks of three photos, and one broken file."""
    root = tmp_path / "fotos"
    for number in range(6):
        path = root / f"l{number // 3}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(number))
    (root / "l0" / "broken.jpg").write_bytes(jpeg(7)[:300])
    return root


def snapshot(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


# Import and read


def test_smoke(home: Path, folder: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    report = importing.import_collection(
        "mine",
        FolderSource(folder),
        title="My photos",
        progress=lambda done, total, text: seen.append((done, total, text)),
    )
    assert (report.added, report.unchanged, report.replaced) == (6, 0, 0)
    assert [entry.file for entry in report.skipped] == ["l0/broken.jpg"]
    assert "cut short" in report.skipped[0].reason
    assert [done for done, _, _ in seen] == list(range(1, 8))
    assert {total for _, total, _ in seen} == {7}
    assert store.list_collections() == ["mine"]

    collection = store.load("mine")
    assert collection.title == "My photos"
    assert collection.ids == ("l0_0", "l0_1", "l0_2", "l1_3", "l1_4", "l1_5")
    assert collection.labels == ("l0", "l1")
    assert collection.root == folder
    assert collection.source == {"kind": "folder", "path": str(folder)}
    assert [collection.position(i) for i in collection.ids] == list(range(6))
    photo = collection.photo("l1_4")
    assert (photo.width, photo.height, photo.label) == (32, 24, "l1")
    assert photo.sha256 == hashlib.sha256(jpeg(4)).hexdigest()
    np.testing.assert_array_equal(collection.read("l1_4"), photos.decode(jpeg(4)))
    assert collection.read(photo, longer_side=16).shape == (12, 16, 3)
    assert collection.relevant("l0") == {"l0_0", "l0_1", "l0_2"}
    assert collection.relevant(photo) == {"l1_3", "l1_5"}
    assert store.skipped("mine") == report.skipped
    summary = store.summary("mine")
    assert (summary["photos"], summary["landmarks"], summary["skipped"]) == (6, 2, 1)


def test_lines_survive_odd_text(home: Path, tmp_path: Path) -> None:
    """Labels may hold line separators that are no line ends in JSON lines."""
    root = tmp_path / "in"
    label = "a\u2028b\x85c d"
    (root / label).mkdir(parents=True)
    (root / label / "x.jpg").write_bytes(jpeg())
    importing.import_collection("odd", FolderSource(root))
    collection = store.load("odd")
    assert len(collection.photos) == 1
    assert collection.read(collection.ids[0]).shape == (24, 32, 3)


def test_queries_and_relevant(toy_collection: store.Collection) -> None:
    query = toy_collection.query("q-toy-3-06")
    expected = {f"toy-3-{view:02d}" for view in range(6)}
    assert toy_collection.relevant(query) == expected
    assert toy_collection.relevant("q-toy-3-06") == expected
    assert toy_collection.relevant("toy-3") == expected
    listed = dataclasses.replace(query, relevant=("toy-0-00", "unknown"))
    assert toy_collection.relevant(listed) == {"toy-0-00"}
    assert toy_collection.relevant(Photo("x", "x", 9, 9, "")) == set()
    assert toy_collection.read(query).shape == (150, 200, 3)
    assert toy_collection.titles["toy-3"] == "Toy landmark 3"


def test_exception_unknown_names(toy_collection: store.Collection) -> None:
    for ask in (toy_collection.photo, toy_collection.position, toy_collection.read):
        with pytest.raises(PlaygroundError, match="has no photo 'nope'"):
            ask("nope")
    with pytest.raises(PlaygroundError, match=r"has no query 'nope'; it has 5"):
        toy_collection.query("nope")
    with pytest.raises(PlaygroundError, match=r"no collection 'nope'. There are: toy"):
        store.load("nope")
    for name in ("../up", "", ".hidden", "a/b", "x" * 101):
        with pytest.raises(PlaygroundError, match="not a legal collection name"):
            store.load(name)


def test_thumbnails(toy_collection: store.Collection) -> None:
    for photo_id in ("toy-1-02", "q-toy-1-06"):
        thumb = toy_collection.thumbnail(photo_id)
        path = toy_collection.thumbnail_path(photo_id)
        assert path.read_bytes() == thumb
        assert path.parent.name == path.name[:2]
        assert photos.decode(thumb).shape == (150, 200, 3)
        # Lost or emptied by a power cut: made again.
        for broken in (None, b"", thumb[:100]):
            path.unlink() if broken is None else path.write_bytes(broken)
            assert toy_collection.thumbnail(photo_id) == thumb
            assert path.read_bytes() == thumb


def test_large_photos_get_small_thumbnails(home: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "wide.jpg").write_bytes(jpeg(0, (1000, 500)))
    importing.import_collection("one", FolderSource(tmp_path / "in"))
    assert photos.probe(store.load("one").thumbnail("wide")) == (240, 120)


def test_read_notices_missing_and_changed_files(home: Path, folder: Path) -> None:
    importing.import_collection("mine", FolderSource(folder))
    collection = store.load("mine")
    (folder / "l0" / "0.jpg").write_bytes(jpeg(50, (40, 40)))
    with pytest.raises(PlaygroundError, match="has changed since") as caught:
        collection.read("l0_0")
    command = f"import --source folder --path {folder} --name mine --exists refresh"
    assert command in str(caught.value)
    (folder / "l0" / "1.jpg").unlink()
    with pytest.raises(PlaygroundError, match=r"l0/1\.jpg any more.*remove mine l0_1"):
        collection.read("l0_1")
    # The command that the message names mends it.
    report = importing.add("mine", FolderSource(folder))
    assert (report.added, report.replaced, report.unchanged) == (0, 1, 4)
    assert store.load("mine").read("l0_0").shape == (40, 40, 3)


def test_exception_file_outside_the_root(toy_collection: store.Collection) -> None:
    photo = dataclasses.replace(toy_collection.photos[0], file="../../etc/passwd")
    with pytest.raises(PlaygroundError, match="outside its folder"):
        toy_collection.path(photo)


# The fingerprint and adding, removing, refreshing


def test_fingerprint(home: Path, folder: Path) -> None:
    importing.import_collection("one", FolderSource(folder))
    importing.import_collection("two", FolderSource(folder), title="Other words")
    one, two = store.load("one"), store.load("two")
    assert one.fingerprint == two.fingerprint == layout.fingerprint(reversed(one.photos))
    lines = "".join(f"{p.id}\t{p.sha256}\n" for p in one.photos)
    assert one.fingerprint == hashlib.sha256(lines.encode()).hexdigest()
    (folder / "l1" / "new.jpg").write_bytes(jpeg(60))
    importing.add("one", FolderSource(folder))
    assert store.load("one").fingerprint != two.fingerprint
    changing.remove("one", ["l1_new"])
    assert store.load("one").fingerprint == two.fingerprint


def test_add(home: Path, folder: Path) -> None:
    importing.import_collection("mine", FolderSource(folder))
    report = importing.add("mine", FolderSource(folder))
    assert (report.added, report.unchanged, report.replaced) == (0, 6, 0)
    report = importing.add("mine", UploadSource([("up.png", jpeg(70))], label="l9"))
    assert (report.added, report.unchanged) == (1, 0)
    collection = store.load("mine")
    assert len(collection.photos) == 7
    assert collection.labels == ("l0", "l1", "l9")
    assert collection.read("up").shape == collection.read("l0_0").shape
    assert [source["kind"] for source in collection.sources] == ["folder", "upload"]
    with pytest.raises(PlaygroundError, match="no collection 'other'"):
        importing.add("other", FolderSource(folder))


def test_same_photo_from_another_folder_is_unchanged(
    home: Path, folder: Path, tmp_path: Path
) -> None:
    importing.import_collection("mine", FolderSource(folder))
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    assert importing.add("mine", FolderSource(copy)).unchanged == 6
    assert store.load("mine").path(store.load("mine").photo("l0_0")).is_relative_to(folder)
    # Once the first folder is gone, the second takes its place.
    shutil.rmtree(folder)
    assert importing.add("mine", FolderSource(copy)).replaced == 6
    assert store.load("mine").read("l0_0").shape == (24, 32, 3)


def test_import_refuses_refreshes_replaces(home: Path, folder: Path) -> None:
    source = FolderSource(folder)
    importing.import_collection("mine", source)
    with pytest.raises(PlaygroundError, match=r"already.*--exists replace"):
        importing.import_collection("mine", source)
    importing.add("mine", UploadSource([("up.jpg", jpeg(70))]))
    (folder / "l0" / "0.jpg").unlink()
    assert "l0_0" in store.load("mine").ids
    importing.import_collection("mine", source, on_exists="refresh")
    assert store.load("mine").ids == ("l0_1", "l0_2", "l1_3", "l1_4", "l1_5", "up")
    importing.import_collection("mine", source, on_exists="replace")
    collection = store.load("mine")
    assert collection.ids == ("l0_1", "l0_2", "l1_3", "l1_4", "l1_5")
    # Copies and thumbnails that nothing names any more are gone.
    assert not list((collection.folder / "photos").rglob("*.jpg"))
    assert len(list((collection.folder / "thumbs").rglob("*.jpg"))) == 5
    with pytest.raises(PlaygroundError, match="Legal: refuse, add"):
        importing.import_collection("mine", source, on_exists="perhaps")  # type: ignore[arg-type]


def test_changed_labels_count_as_replaced(home: Path, folder: Path) -> None:
    importing.import_collection("mine", UploadSource([("a.jpg", jpeg())]))
    report = importing.add("mine", UploadSource([("a.jpg", jpeg())], label="now known"))
    assert (report.replaced, report.unchanged) == (1, 0)
    assert store.load("mine").photo("a").label == "now known"


def test_remove(toy_collection: store.Collection) -> None:
    before = snapshot(toy_collection.folder)
    with pytest.raises(PlaygroundError, match=r"no photo or query nope; nothing was removed"):
        changing.remove("toy", ["toy-0-00", "nope"])
    with pytest.raises(PlaygroundError, match="no photo of toy would be left"):
        changing.remove("toy", toy_collection.ids)
    assert snapshot(toy_collection.folder) == before
    assert changing.remove("toy", ["toy-0-00", "q-toy-0-06", "toy-0-00"]) == 2
    left = store.load("toy")
    assert (len(left.photos), len(left.queries)) == (29, 4)
    assert toy_collection.path(toy_collection.photos[0]).is_file()  # the photo itself stays
    assert not toy_collection.thumbnail_path(toy_collection.photos[0]).exists()


def test_delete(home: Path, toy_collection: store.Collection) -> None:
    changing.delete("toy")
    assert store.list_collections() == []
    assert not toy_collection.folder.exists()
    assert toy_collection.path(toy_collection.photos[0]).is_file()
    with pytest.raises(PlaygroundError, match=r"no collection 'toy'. There are: \(none\)"):
        changing.delete("toy")


def test_delete_takes_the_vectors_but_not_under_a_running_build(
    toy_collection: store.Collection,
) -> None:
    built = paths.vectors_root("toy") / "hog"
    other = paths.vectors_root("other") / "hog"
    for path in (built, other):
        path.mkdir(parents=True)
        (path / "manifest.json").write_text("{}")
    with artefact.exclusive(built, "Building hog"):
        with pytest.raises(PlaygroundError, match="Building from toy is already running"):
            changing.delete("toy")
        assert store.load("toy") == toy_collection
    changing.delete("toy")
    assert not paths.vectors_root("toy").exists()
    assert other.exists()


def test_queries_without_relevant_photos_are_dropped(home: Path, glr21_sample: Path) -> None:
    from data.glr21 import Glr21Source

    class Half(Glr21Source):
        """Offers all queries, but no photo of the landmark with the least label."""

        def candidates(self):  # type: ignore[no-untyped-def]
            entries = list(super().candidates())
            least = min(e.label for e in entries if e.label)
            yield from (e for e in entries if e.query or e.label != least)

    report = importing.import_collection("half", Half(glr21_sample, landmarks=2, max_photos=3))
    collection = store.load("half")
    assert len(collection.labels) == 1
    assert all(collection.relevant(query) for query in collection.queries)
    assert any("relevant photos" in entry.reason for entry in report.skipped)
    assert report.added == len(collection.photos) + len(collection.queries)


# Equal inputs, equal bytes; moved projects


def test_equal_imports_give_equal_bytes(home: Path, folder: Path) -> None:
    importing.import_collection("a", FolderSource(folder))
    first = snapshot(store.load("a").folder)
    changing.delete("a")
    importing.import_collection("a", FolderSource(folder))
    second = snapshot(store.load("a").folder)
    for measured in (first, second):
        measured.pop("record.json")
    assert first == second


def test_photos_inside_the_project_are_named_relative_to_it(
    home: Path, toy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = tmp_path / "clone", tmp_path / "moved"
    shutil.copytree(toy_folder, old / "data" / "demo")
    monkeypatch.setattr(paths, "PROJECT_ROOT", old)
    ensure_demo(old / "data" / "demo")
    assert store.summary("toy")["roots"] == [{"base": "project", "path": "data/demo"}]
    old.rename(new)
    monkeypatch.setattr(paths, "PROJECT_ROOT", new)
    assert store.load("toy").read("toy-0-00").shape == (150, 200, 3)


def test_ensure_demo_imports_nothing_when_nothing_changed(
    toy_collection: store.Collection,
) -> None:
    with mock.patch.object(importing, "import_collection") as imported:
        current = ensure_demo(toy_collection.roots[0])
    assert imported.call_count == 0
    assert current.fingerprint == toy_collection.fingerprint


# Failures


@pytest.mark.parametrize("fail_at", range(1, 6))
def test_crash_in_the_middle_of_a_save(
    home: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, fail_at: int
) -> None:
    """Whichever file's renaming fails, the old collection stays readable as it was."""
    importing.import_collection("mine", FolderSource(folder))
    before = store.load("mine")
    (folder / "l1" / "new.jpg").write_bytes(jpeg(60))
    real, calls = os.replace, 0

    def failing(source: object, target: object) -> None:
        nonlocal calls
        if "thumbs" not in str(target):
            calls += 1
            if calls == fail_at:
                raise RuntimeError("power cut")
        real(source, target)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(RuntimeError, match="power cut"):
        importing.add("mine", FolderSource(folder))
    monkeypatch.undo()
    monkeypatch.setenv("PLAYGROUND_HOME", str(home))
    assert store.load("mine") == before
    assert importing.add("mine", FolderSource(folder)).added == 1
    collection = store.load("mine")
    files = sorted(path.name for path in collection.folder.iterdir() if path.is_file())
    assert len(files) == 6, files  # manifest, record, lock and the three: no leftovers


def test_killed_import_starts_again(home: Path, folder: Path) -> None:
    script = textwrap.dedent("""
        import os, sys
        from data import importing
        from data.folder import FolderSource
        def progress(done, total, text):
            if done == 3:
                os._exit(9)
        importing.import_collection("mine", FolderSource(sys.argv[1]), progress=progress)
    """)
    killed = subprocess.run(
        [sys.executable, "-c", script, str(folder)], cwd=paths.PROJECT_ROOT, check=False
    )
    assert killed.returncode == 9
    assert store.list_collections() == []
    assert not store.exists("mine")
    report = importing.import_collection("mine", FolderSource(folder))
    assert report.added == 6


def test_interrupted_import_keeps_the_old_collection(home: Path, folder: Path) -> None:
    importing.import_collection("mine", FolderSource(folder))
    before = store.load("mine")

    def stop(done: int, total: int, text: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        importing.import_collection(
            "mine", FolderSource(folder), progress=stop, on_exists="replace"
        )
    assert store.load("mine") == before


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (errno.ENOSPC, "The disk is full"),
        (errno.EACCES, "Permission was denied"),
        (errno.EROFS, "Set PLAYGROUND_HOME"),
    ],
)
def test_full_disk_and_permissions(
    home: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, code: int, message: str
) -> None:
    importing.import_collection("mine", FolderSource(folder))
    before = store.load("mine")
    (folder / "l1" / "new.jpg").write_bytes(jpeg(60))

    def full(path: Path, content: bytes, again: bool = False) -> None:
        raise OSError(code, os.strerror(code), str(path))

    monkeypatch.setattr(layout, "write_once", full)
    with pytest.raises(PlaygroundError, match=message):
        importing.add("mine", FolderSource(folder))
    assert store.load("mine") == before


def test_unreadable_photo_is_skipped(
    home: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.read_bytes

    def denied(self: Path) -> bytes:
        if self.name == "2.jpg":
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return real(self)

    monkeypatch.setattr(Path, "read_bytes", denied)
    report = importing.import_collection("mine", FolderSource(folder))
    assert report.added == 5
    assert ("l0/2.jpg", "cannot be read (Permission denied).") in [
        (entry.file, entry.reason) for entry in report.skipped
    ]


def test_only_one_process_changes_a_collection(home: Path, folder: Path) -> None:
    importing.import_collection("mine", FolderSource(folder))
    with artefact.exclusive(store.load("mine").folder, "Something else"):
        for change in (
            lambda: importing.add("mine", FolderSource(folder)),
            lambda: changing.remove("mine", ["l0_0"]),
            lambda: changing.delete("mine"),
        ):
            with pytest.raises(PlaygroundError, match="already running in another process"):
                change()
        assert len(store.load("mine").photos) == 6  # reading goes on


def test_ensure_demo_from_several_threads(home: Path, toy_folder: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: ensure_demo(toy_folder), range(4)))
    assert {len(collection.photos) for collection in found} == {30}


def test_reading_while_another_saves(toy_collection: store.Collection) -> None:
    """Readers see one whole version or the other, whenever they come."""
    saving = True

    def read() -> set[int]:
        seen = set()
        while saving:
            seen.add(len(store.load("toy").photos))
            seen.add(store.summary("toy")["photos"])
        return seen

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        try:
            for _ in range(8):
                changing.remove("toy", ["toy-0-00"])
                importing.add("toy", DemoSource(toy_collection.root))
        finally:
            saving = False
        assert all(reader.result() <= {29, 30} for reader in readers)


def test_nothing_to_import_leaves_nothing(home: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "bad.jpg").write_bytes(b"words")
    with pytest.raises(
        PlaygroundError, match=r"No photo was found.*skipped: 1.*bad\.jpg not a photo"
    ):
        importing.import_collection("mine", FolderSource(tmp_path / "in"))
    assert not (paths.collections_root() / "mine").exists()


def test_damaged_files_are_refused_with_the_way_out(toy_collection: store.Collection) -> None:
    listing = next(toy_collection.folder.glob("photos-*.jsonl"))
    whole = listing.read_bytes()
    listing.write_bytes(whole.replace(b"toy-0-00", b"toy-0-99"))
    with pytest.raises(PlaygroundError, match=r"SHA-256 of its manifest.*delete toy --yes"):
        store.load("toy")
    listing.write_bytes(whole[:-10])
    with pytest.raises(PlaygroundError, match="its manifest says"):
        store.load("toy")
    listing.unlink()
    with pytest.raises(PlaygroundError, match="is missing"):
        store.load("toy")
    (toy_collection.folder / "manifest.json").write_text("{")
    with pytest.raises(PlaygroundError, match="is not a manifest"):
        store.load("toy")
    # Importing with replace, or deleting, gets out of it.
    importing.import_collection("toy", DemoSource(toy_collection.root), on_exists="replace")
    assert len(store.load("toy").photos) == 30


def test_manifest_cannot_name_files_outside(toy_collection: store.Collection) -> None:
    path = toy_collection.folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"]["photos.jsonl"]["file"] = "../../../etc/passwd"
    path.write_text(json.dumps(manifest))
    with pytest.raises(PlaygroundError, match="outside its folder"):
        store.load("toy")


def test_memory_is_bounded(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many photos there are, only a few are read ahead of the one that is taken."""
    root = tmp_path / "in"
    root.mkdir()
    for number in range(80):
        (root / f"{number:03d}.jpg").write_bytes(jpeg(number, (16, 16)))
    offered, taken, ahead = 0, 0, 0
    real = FolderSource.candidates

    def counting(self: FolderSource):  # type: ignore[no-untyped-def]
        nonlocal offered, ahead
        for candidate in real(self):
            offered += 1
            ahead = max(ahead, offered - taken)
            yield candidate

    def progress(done: int, total: int, text: str) -> None:
        nonlocal taken
        taken = done

    monkeypatch.setattr(FolderSource, "candidates", counting)
    importing.import_collection("mine", FolderSource(root), progress=progress)
    assert taken == 80
    assert ahead <= 17
