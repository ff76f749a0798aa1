"""What sources offer: folders, zip files, Google Landmarks v2, the demo, uploads."""

from __future__ import annotations

import io
import json
import os
import shutil
import stat
import struct
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data import importing, names, photos, store
from data.archive import Limits, ZipSource
from data.base import Candidate, Skipped
from data.demo import DemoSource, ensure_demo
from data.errors import PlaygroundError
from data.folder import FolderSource
from data.glr21 import Glr21Source
from data.upload import UploadSource


def jpeg(seed: int = 0, size: tuple[int, int] = (32, 24)) -> bytes:
    rng = np.random.default_rng(seed)
    return photos.encode_jpeg(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def sort(offered: object) -> tuple[list[Candidate], dict[str, str]]:
    """Candidates, and the reasons by file of what was skipped."""
    offered = list(offered)  # type: ignore[call-overload]
    taken = [entry for entry in offered if isinstance(entry, Candidate)]
    return taken, {e.file: e.reason for e in offered if isinstance(e, Skipped)}


# Names


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("cathedral/03.jpg", "cathedral_03"),
        ("IMG 0001.JPG", "IMG_0001"),
        ("São Paulo/é.png", "Sao_Paulo_e"),
        ("v1.2/a.b.jpeg", "v1.2_a.b"),
        ("noextension", "noextension"),
        ("../../etc/passwd.jpg", "etc_passwd"),
        ("a\n\x1b[31mb.jpg", "a_31mb"),
    ],
)
def test_safe_id(file: str, expected: str) -> None:
    assert names.safe_id(file) == expected
    assert names.legal_id(expected)


def test_safe_id_of_lossy_and_long_names_get_a_hash() -> None:
    chinese = {names.safe_id("故宫/1.jpg"), names.safe_id("长城/1.jpg")}
    assert len(chinese) == 2
    long = names.safe_id("x" * 500 + ".jpg")
    assert len(long) < 140
    assert all(map(names.legal_id, [*chinese, long, names.safe_id("...jpg")]))


def test_ids_that_meet_get_a_hash() -> None:
    ids = names.Ids()
    first, second, third = ids.of("a/b.jpg"), ids.of("a/b.png"), ids.of("a_b.jpg")
    assert first == "a_b"
    assert len({first, second, third}) == 3
    assert names.Ids().of("a/b.jpg") == first


def test_printable_defuses_terminals() -> None:
    assert names.printable("a\x1b[2J\nb") == "a\\x1b[2J\\nb"
    assert names.printable("ü\udce9") == "ü\\udce9"


# Folder


def test_folder_labels_order_and_ids(tmp_path: Path) -> None:
    for file in ("b/2.jpg", "b/1.jpg", "a/deep/er/x.png", "top.jpg", "a/y.JPG"):
        put(tmp_path / file, jpeg())
    taken, skipped = sort(FolderSource(tmp_path).candidates())
    assert [c.file for c in taken] == [
        "a/deep/er/x.png",
        "a/y.JPG",
        "b/1.jpg",
        "b/2.jpg",
        "top.jpg",
    ]
    assert [c.label for c in taken] == ["a", "a", "b", "b", None]
    assert taken[0].id == "a_deep_er_x"
    assert not skipped
    assert FolderSource(tmp_path).count() == 5


def test_folder_passes_over_and_reports(tmp_path: Path) -> None:
    put(tmp_path / "a" / "good.jpg", jpeg())
    put(tmp_path / "notes.txt", b"words")
    put(tmp_path / ".hidden.jpg", jpeg())
    put(tmp_path / ".git" / "x.jpg", jpeg())
    put(tmp_path / "__MACOSX" / "x.jpg", jpeg())
    put(tmp_path / "a" / "really-a-photo.dat", jpeg())
    put(tmp_path / "a" / "phone.HEIC", b"....ftypheic")
    taken, skipped = sort(FolderSource(tmp_path).candidates())
    assert [c.file for c in taken] == ["a/good.jpg"]
    assert set(skipped) == {"a/really-a-photo.dat", "a/phone.HEIC"}
    assert "Rename" in skipped["a/really-a-photo.dat"]
    assert "Convert" in skipped["a/phone.HEIC"]


def test_folder_links_do_not_leave_it(tmp_path: Path) -> None:
    put(tmp_path / "secret" / "s.jpg", jpeg(1))
    root = tmp_path / "root"
    put(root / "a" / "x.jpg", jpeg())
    (root / "out.jpg").symlink_to(tmp_path / "secret" / "s.jpg")
    (root / "in.jpg").symlink_to(root / "a" / "x.jpg")
    (root / "folder").symlink_to(tmp_path / "secret")
    (root / "a" / "loop").symlink_to(root)
    (root / "gone.jpg").symlink_to(root / "nothing.jpg")
    taken, skipped = sort(FolderSource(root).candidates())
    assert [c.file for c in taken] == ["a/x.jpg", "in.jpg"]
    assert set(skipped) == {"out.jpg", "folder", "a/loop", "gone.jpg"}
    assert "leaves the folder" in skipped["out.jpg"]


def test_folder_pipes_and_illegal_names(tmp_path: Path) -> None:
    put(tmp_path / "x.jpg", jpeg())
    os.mkfifo(tmp_path / "pipe.jpg")
    try:
        put(Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jpg")), jpeg())
    except OSError:
        pytest.skip("this file system allows UTF-8 names only")
    taken, skipped = sort(FolderSource(tmp_path).candidates())
    assert [c.file for c in taken] == ["x.jpg"]
    assert list(skipped) == ["\\udcff.jpg"]


def test_folder_exception(tmp_path: Path) -> None:
    put(tmp_path / "x.zip", b"")
    with pytest.raises(PlaygroundError, match="does not exist"):
        FolderSource(tmp_path / "nothing").root()
    with pytest.raises(PlaygroundError, match="is a file"):
        FolderSource(tmp_path / "x.zip").root()


# Zip


def zipped(files: dict[str, bytes], **options: object) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", **options) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def unpacked(content: bytes, into: Path, **limits: int) -> tuple[list[Candidate], dict[str, str]]:
    into.mkdir(exist_ok=True)
    return sort(ZipSource(content, "t.zip", Limits(**limits)).unpack(into))


def test_zip_labels_and_own_names(tmp_path: Path) -> None:
    content = zipped(
        {"b/1.jpg": jpeg(1), "a/2.jpg": jpeg(2), "3.jpg": jpeg(3), "a/notes.txt": b"x"}
    )
    taken, skipped = unpacked(content, tmp_path / "in")
    assert [(c.id, c.label) for c in taken] == [("3", None), ("a_2", "a"), ("b_1", "b")]
    assert [c.path.read_bytes() for c in taken] == [jpeg(3), jpeg(2), jpeg(1)]
    assert all(c.path.parent == tmp_path / "in" and c.path.name.isdigit() for c in taken)
    assert not skipped
    assert ZipSource(content).count() == 3


def test_zip_of_a_folder_leaves_that_folder_out(tmp_path: Path) -> None:
    taken, _ = unpacked(zipped({"my/a/1.jpg": jpeg(), "my/b/2.jpg": jpeg()}), tmp_path / "in")
    assert [(c.id, c.label) for c in taken] == [("a_1", "a"), ("b_2", "b")]
    taken, _ = unpacked(zipped({"a/1.jpg": jpeg(), "a/2.jpg": jpeg()}), tmp_path / "in")
    assert [c.label for c in taken] == ["a", "a"]


@pytest.mark.parametrize(
    "evil", ["../../evil.jpg", "/etc/evil.jpg", "C:\\evil.jpg", "a/../../evil.jpg", "..\\evil.jpg"]
)
def test_zip_slip(evil: str, tmp_path: Path) -> None:
    info = zipfile.ZipInfo("placeholder")
    info.filename = evil
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(info, jpeg())
        archive.writestr("a/good.jpg", jpeg())
    taken, skipped = unpacked(buffer.getvalue(), tmp_path / "in")
    assert [c.id for c in taken] == ["a_good"]
    assert ["leaves the archive" in reason for reason in skipped.values()] == [True]
    assert not list(tmp_path.rglob("*evil*"))


def test_zip_links_nested_hidden_encrypted(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("a/link.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(link, "/etc/passwd")
        archive.writestr("inner.zip", zipped({"x.jpg": jpeg()}))
        archive.writestr("__MACOSX/a/._x.jpg", b"junk")
        archive.writestr("a/fake.txt", jpeg())
        archive.writestr("a/good.jpg", jpeg())
        archive.writestr("a/locked.jpg", jpeg())
    content = bytearray(buffer.getvalue())
    # Mark a/locked.jpg as encrypted in its directory entry.
    place = content.rfind(b"a/locked.jpg") - 46
    assert content[place : place + 4] == b"PK\x01\x02"
    content[place + 8] |= 1
    taken, skipped = unpacked(bytes(content), tmp_path / "in")
    assert [c.id for c in taken] == ["a_good"]
    assert set(skipped) == {
        f"t.zip/{f}" for f in ("a/link.jpg", "inner.zip", "a/fake.txt", "a/locked.jpg")
    }
    assert "password" in skipped["t.zip/a/locked.jpg"]
    assert "link" in skipped["t.zip/a/link.jpg"]


def test_zip_bombs(tmp_path: Path) -> None:
    bomb = zipped({"a/b.bmp": b"\0" * 3_000_000}, compression=zipfile.ZIP_DEFLATED)
    assert len(bomb) < 20_000
    taken, skipped = unpacked(bomb, tmp_path / "in")
    assert not taken
    assert "packed" in skipped["t.zip/a/b.bmp"]
    taken, skipped = unpacked(zipped({"a.jpg": jpeg()}), tmp_path / "in", file_bytes=100)
    assert not taken
    assert "limit for a photo" in skipped["t.zip/a.jpg"]
    with pytest.raises(PlaygroundError, match=r"would unpack to .* bytes, the limit is 1,000"):
        unpacked(zipped({"a.jpg": jpeg(), "b.jpg": jpeg()}), tmp_path / "in", total_bytes=1000)
    many = zipped({f"{i}.jpg": b"" for i in range(30)})
    with pytest.raises(PlaygroundError, match="more than 20 entries"):
        unpacked(many, tmp_path / "in", entries=20)
    assert len(unpacked(many, tmp_path / "in", entries=30)[0]) == 30


def test_zip_that_lies_about_sizes(tmp_path: Path) -> None:
    """A directory that understates a size must not let more bytes through than it says."""
    content = bytearray(zipped({"a.jpg": jpeg() * 50}, compression=zipfile.ZIP_DEFLATED))
    place = content.rfind(b"PK\x01\x02")
    content[place + 24 : place + 28] = struct.pack("<I", 500)
    taken, skipped = unpacked(bytes(content), tmp_path / "in")
    assert not taken
    assert "t.zip/a.jpg" in skipped
    assert not list((tmp_path / "in").iterdir())


def test_zip_with_a_broken_entry(tmp_path: Path) -> None:
    content = bytearray(zipped({"a.jpg": jpeg(1), "b.jpg": jpeg(2)}))
    content[200] ^= 0xFF  # inside a.jpg: its CRC is wrong now
    taken, skipped = unpacked(bytes(content), tmp_path / "in")
    assert [c.id for c in taken] == ["b"]
    assert "cannot be unpacked" in skipped["t.zip/a.jpg"]


@pytest.mark.parametrize(
    "content", [b"", b"no zip at all", jpeg(), zipped({"a.jpg": jpeg()})[:-30]]
)
def test_zip_exception(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(PlaygroundError, match="no usable zip file"):
        unpacked(content, tmp_path / "in")


def test_zip_with_zip64_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 2)
    content = zipped({f"{i}.jpg": jpeg(i) for i in range(5)})
    assert b"PK\x06\x06" in content
    assert len(unpacked(content, tmp_path / "in")[0]) == 5


def test_zip_import_keeps_copies(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "photos.zip"
    path.write_bytes(zipped({"a/1.jpg": jpeg(1), "a/2.png": jpeg(2), "b/bad.jpg": b"no photo"}))
    report = importing.import_collection("zip", ZipSource(path))
    path.unlink()
    assert report.added == 2
    assert [entry.file for entry in report.skipped] == ["photos.zip/b/bad.jpg"]
    collection = store.load("zip")
    assert collection.read("a_1").shape == (24, 32, 3)
    assert collection.path(collection.photo("a_2")).suffix == ".jpg"  # what it is, not is called
    assert collection.root == collection.folder / "photos"
    assert not (collection.folder / ".incoming").exists()
    assert len(list(collection.root.rglob("*.jpg"))) == 2


# Uploads


def test_uploads(home: Path) -> None:
    files = [("C:\\fotos\\Mein Bild.jpg", jpeg(1)), ("x.jpg", jpeg(2)), ("y.jpg", b"nothing")]
    report = importing.import_collection("up", UploadSource(files, label=" Zoo "))
    assert (report.added, [s.file for s in report.skipped]) == (2, ["y.jpg"])
    assert store.load("up").ids == ("Mein_Bild", "x")
    assert store.load("up").labels == ("Zoo",)
    again = importing.add(
        "up", UploadSource([("x.jpg", jpeg(2)), ("Mein Bild.jpg", jpeg(9))], "Zoo")
    )
    assert (again.added, again.unchanged, again.replaced) == (0, 1, 1)
    assert len(list((store.load("up").folder / "photos").rglob("*.jpg"))) == 2


# Google Landmarks v2


def write_glr21(root: Path, split: str = "index") -> Path:
    """Landmark L has L photos, L = 1…6; ids are 3 letters and digits."""
    rows, photo = [], 0
    for landmark in range(1, 7):
        for _ in range(landmark):
            photo_id = f"{photo:03x}{landmark:013x}"
            put(
                root / split / photo_id[0] / photo_id[1] / photo_id[2] / f"{photo_id}.jpg",
                jpeg(photo),
            )
            rows.append((photo_id, str(landmark)))
            photo += 1
    name = {"index": "index_image_to_landmark.csv", "train": "train.csv"}[split]
    header = {"index": "id,landmark_id", "train": "id,url,landmark_id"}[split]
    middle = {"index": "", "train": "http://x/y.jpg,"}[split]
    lines = [f"{i},{middle}{label}" for i, label in reversed(rows)]
    (root / name).write_text("\n".join([header, *lines]) + "\n")
    if split == "index":
        of = {label: [i for i, other in rows if other == label] for _, label in rows}
        solution = [
            ("aaa0000000000000", " ".join([*of["6"], "ffffffffffffffff"]), "Public"),
            ("bbb0000000000000", " ".join(of["1"]), "Private"),
            ("ccc0000000000000", "None", "Ignored"),
            ("ddd0000000000000", " ".join(of["5"] + of["6"]), "Private"),
        ]
        lines = ["id,images,Usage", *(",".join(row) for row in solution)]
        (root / "retrieval_solution_v2.1.csv").write_text("\n".join(lines) + "\n")
        for query, _, _ in solution:
            put(root / "test" / query[0] / query[1] / query[2] / f"{query}.jpg", jpeg(99))
    categories = "landmark_id,category\n5,http://commons.wikimedia.org/wiki/Category:Some_Place\n"
    (root / f"{split}_label_to_category.csv").write_text(categories)
    kinds = "landmark_id,hierarchical_label\n5,religious_building\n99,castle\n6,\n"
    (root / f"{split}_label_to_hierarchical.csv").write_text(kinds)
    return root


def test_glr21_subset_rule(tmp_path: Path) -> None:
    root = write_glr21(tmp_path)
    source = Glr21Source(root, min_photos=3, max_photos=4)
    taken, skipped = sort(source.candidates())
    index = [c for c in taken if not c.query]
    assert Counter(c.label for c in index) == {"3": 3, "4": 4, "5": 4, "6": 4}
    assert [c.id for c in index] == sorted(c.id for c in index)
    assert {c.title for c in index if c.label == "5"} == {"Some Place"}
    assert {c.label: c.extra for c in index if c.extra} == {"5": {"kind": "religious building"}}
    assert not skipped
    # Queries: Ignored is dropped, and so is the one whose landmark has too few photos.
    queries = [c for c in taken if c.query]
    assert [c.id for c in queries] == ["aaa0000000000000", "ddd0000000000000"]
    ids = {c.id for c in index}
    assert all(set(c.relevant or ()) <= ids and c.relevant for c in queries)
    assert [c.label for c in queries] == ["6", None]
    assert source.count() == len(taken)


def test_glr21_draws_are_seeded(tmp_path: Path) -> None:
    root = write_glr21(tmp_path)

    def draw(seed: int) -> list[str]:
        source = Glr21Source(root, landmarks=2, min_photos=2, max_photos=3, seed=seed)
        return [c.id for c in sort(source.candidates())[0]]

    assert draw(0) == draw(0)
    assert len({tuple(draw(seed)) for seed in range(6)}) > 1


def test_glr21_train_with_url_and_attribution(tmp_path: Path) -> None:
    root = write_glr21(tmp_path, "train")
    (root / "metadata").mkdir()
    shutil.move(root / "train.csv", root / "metadata" / "train.csv")
    photo_id = sort(Glr21Source(root, "train", min_photos=6).candidates())[0][0].id
    (root / "train_attribution.csv").write_text(
        "id,url,author,license,title\n"
        f'{photo_id},http://c/f,"Doe, J.",http://l/by/4.0,File:A.jpg\nzzz,u,a,l,t\n'
    )
    taken, _ = sort(Glr21Source(root, "train", min_photos=6).candidates())
    assert len(taken) == 6
    assert not any(c.query for c in taken)
    assert (taken[0].author, taken[0].licence, taken[0].url) == (
        "Doe, J.",
        "http://l/by/4.0",
        "http://c/f",
    )
    assert taken[0].extra == {"photo_title": "File:A.jpg"}


def test_glr21_partial_copies_count_what_is_there(tmp_path: Path) -> None:
    root = write_glr21(tmp_path)
    gone = sort(Glr21Source(root, min_photos=6, queries=False).candidates())[0][0]
    gone.path.unlink()
    with open(root / "index_image_to_landmark.csv", "a") as listing:
        listing.write("../../evil,6\n")
    taken, skipped = sort(Glr21Source(root, min_photos=5, queries=False).candidates())
    assert Counter(c.label for c in taken) == {"5": 5, "6": 5}
    reasons = " ".join(
        sort(Glr21Source(root, min_photos=5, queries=False).candidates())[1].values()
    )
    assert skipped
    assert "1 of 22 listed" in reasons


def test_glr21_exception(tmp_path: Path) -> None:
    root = write_glr21(tmp_path / "data")
    cases: list[tuple[Glr21Source, str]] = [
        (Glr21Source(tmp_path / "nothing"), r"The folder .*index is missing"),
        (Glr21Source(root, "train"), r"The folder .*train is missing"),
        (Glr21Source(root, "test"), "Legal: index, train"),  # type: ignore[arg-type]
        (Glr21Source(root, landmarks=9), "has 6 landmarks with at least 1 photos"),
        (Glr21Source(root, landmarks=0), "Legal: at least 1"),
        (Glr21Source(root, min_photos=7), "wanted any"),
    ]
    for source, message in cases:
        with pytest.raises(PlaygroundError, match=message):
            list(source.candidates())
    (root / "retrieval_solution_v2.1.csv").unlink()
    with pytest.raises(PlaygroundError, match=r"retrieval_solution_v2\.1\.csv is missing"):
        list(Glr21Source(root, queries=True).candidates())
    assert not any(c.query for c in sort(Glr21Source(root).candidates())[0])
    (root / "index_image_to_landmark.csv").write_text("photo;landmark\n")
    with pytest.raises(PlaygroundError, match="needed are id, landmark_id"):
        list(Glr21Source(root).candidates())
    (root / "train").mkdir()
    with pytest.raises(PlaygroundError, match="belong to the split index"):
        list(Glr21Source(root, "train", queries=True).candidates())


def test_glr21_real_sample(home: Path, glr21_sample: Path) -> None:
    source = Glr21Source(glr21_sample, landmarks=3, min_photos=10, max_photos=12, seed=1)
    report = importing.import_collection("real", source)
    collection = store.load("real")
    assert not report.skipped
    sizes = Counter(photo.label for photo in collection.photos)
    assert len(sizes) == 3
    assert all(10 <= size <= 12 for size in sizes.values())
    for query in collection.queries:
        relevant = collection.relevant(query)
        assert relevant
        assert {collection.photo(i).label for i in relevant} == {query.label}
    first = collection.photos[0]
    assert collection.read(first).shape == (first.height, first.width, 3)


# Demo


def test_demo_import(toy_collection: store.Collection) -> None:
    assert len(toy_collection.photos) == 30
    assert len(toy_collection.queries) == 5
    assert toy_collection.title == "Toy landmarks"
    assert toy_collection.licence == "CC0-1.0"
    assert toy_collection.author == "the tests"
    photo = toy_collection.photo("toy-0-03")
    assert photo.extra == {"scene": {"seed": 3}}
    assert toy_collection.query("q-toy-2-06").box == (20, 10, 180, 140)


def test_ensure_demo_follows_its_content(home: Path, toy_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    shutil.copytree(toy_folder, folder)
    first = ensure_demo(folder)
    manifest = (first.folder / "manifest.json").stat().st_mtime_ns
    assert ensure_demo(folder).fingerprint == first.fingerprint
    assert (first.folder / "manifest.json").stat().st_mtime_ns == manifest
    importing.add("toy", UploadSource([("mine.jpg", jpeg())]))
    lines = (folder / "photos.jsonl").read_text().splitlines(keepends=True)
    (folder / "photos.jsonl").write_text("".join(lines[1:]))
    changed = ensure_demo(folder)
    # The photo that the demo dropped is gone, the one that was added by hand stays.
    assert set(changed.ids) == set(first.ids[1:]) | {"mine"}
    assert changed.read("mine").shape == (24, 32, 3)


def test_demo_bad_lines_are_skipped(home: Path, toy_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    shutil.copytree(toy_folder, folder)
    lines = (folder / "photos.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    entries[0]["file"] = "../../etc/passwd"
    entries[1]["sha256"] = "0" * 64
    del entries[2]["id"]
    entries[3]["id"] = "not a legal id"
    entries[5]["id"] = entries[4]["id"]
    text = "\n".join([*map(json.dumps, entries), "{broken", ""])
    (folder / "photos.jsonl").write_text(text)
    report = importing.import_collection("toy", DemoSource(folder))
    assert (report.added, len(report.skipped)) == (30, 6)
    reasons = " ".join(entry.reason for entry in report.skipped)
    for part in ("outside the collection", "SHA-256", "'id'", "illegal id", "of another photo"):
        assert part in reasons


def test_demo_exception(home: Path, tmp_path: Path) -> None:
    with pytest.raises(PlaygroundError, match="git checkout"):
        ensure_demo(tmp_path)
    (tmp_path / "collection.json").write_text('{"format": 2}')
    with pytest.raises(PlaygroundError, match="format 1"):
        ensure_demo(tmp_path)


def test_folder_leaves_the_judgement_of_content_to_the_import(home: Path, tmp_path: Path) -> None:
    """A text with a photo's extension is offered, and the import reports it."""
    put(tmp_path / "in" / "a" / "text.jpg", b"words")
    Image.new("RGB", (16, 16)).save(tmp_path / "in" / "a" / "good.webp")
    source = FolderSource(tmp_path / "in")
    assert [c.file for c in sort(source.candidates())[0]] == ["a/good.webp", "a/text.jpg"]
    report = importing.import_collection("mixed", source)
    assert report.added == 1
    assert [entry.file for entry in report.skipped] == ["a/text.jpg"]
    assert "not a photo" in report.skipped[0].reason
