"""Labels and vectors of odd inputs: the right one, none, or a sentence; never a wrong one."""

from __future__ import annotations

import io
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from data import descriptors, importing, names, paths, photos, store
from data.archive import ZipSource
from data.base import Candidate, Skipped
from data.errors import PlaygroundError
from data.folder import FolderSource
from data.glr21 import Glr21Source, csv_rows
from data.upload import UploadSource

CASES = paths.PROJECT_ROOT.parent / "shared" / "cases"


def case(name: str) -> Path:
    """A collected input; skips where they are not beside this project."""
    if not (CASES / name).is_file():
        pytest.skip(f"no {name} beside the project")
    return CASES / name


def untarred(name: str, into: Path) -> Path:
    with tarfile.open(case(name)) as archive:
        archive.extractall(into, filter="data")
    return into


def jpeg(seed: int = 0) -> bytes:
    rng = np.random.default_rng(seed)
    return photos.encode_jpeg(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))


def put(path: Path, content: bytes | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(jpeg(len(path.parts)) if content is None else content)


def sort(offered: Any) -> tuple[list[Candidate], dict[str, str]]:
    offered = list(offered)
    taken = [entry for entry in offered if isinstance(entry, Candidate)]
    return taken, {e.file: e.reason for e in offered if isinstance(e, Skipped)}


def zipped(files: dict[bytes, bytes]) -> bytes:
    """A zip whose names are these bytes, without the flag for UTF-8."""
    parts, directory, at = [], [], 0
    for name, content in files.items():
        crc = zlib.crc32(content)
        common = struct.pack("<HHHHHIIIHH", 20, 0, 0, 0, 33, crc, *[len(content)] * 2, len(name), 0)
        parts.append(b"PK\x03\x04" + common + name + content)
        tail = struct.pack("<HHHII", 0, 0, 0, 0, at)
        directory.append(b"PK\x01\x02" + b"\x14\0" + common + tail + name)
        at += len(parts[-1])
    listed = b"".join(directory)
    end = struct.pack("<HHHHIIH", 0, 0, len(files), len(files), len(listed), at, 0)
    return b"".join(parts) + listed + b"PK\x05\x06" + end


def from_zip(files: dict[bytes, bytes], tmp_path: Path) -> tuple[list[Candidate], dict[str, str]]:
    into = tmp_path / "into"
    into.mkdir(exist_ok=True)
    return sort(ZipSource(zipped(files), "t.zip").unpack(into))


# Folders that systems make


def test_thumbnails_of_a_nas_are_no_photos(tmp_path: Path) -> None:
    for file in ("Tower/1.jpg", "Tower/2.jpg"):
        put(tmp_path / file)
    for file in (
        "Tower/@eaDir/1.jpg/SYNOPHOTO_THUMB_XL.jpg",
        "Tower/@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg",
        "@eaDir/x.jpg/SYNOPHOTO_THUMB_M.jpg",
        "#recycle/Tower/old.jpg",
        "$RECYCLE.BIN/S-1-5/$R1.jpg",
        "@__thumb/s1001.jpg",
        "System Volume Information/x.jpg",
    ):
        put(tmp_path / file)
    taken, skipped = sort(FolderSource(tmp_path).candidates())
    assert {c.file: c.label for c in taken} == {"Tower/1.jpg": "Tower", "Tower/2.jpg": "Tower"}
    assert "3 files in it passed over" in skipped["@eaDir"]
    assert "1 file in it passed over" in skipped["#recycle"]


def test_thumbnails_of_a_nas_in_a_zip_take_no_label(tmp_path: Path) -> None:
    files = {b"Tower/1.jpg": jpeg(1), b"Tower/@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg": jpeg(2)}
    taken, skipped = from_zip(files, tmp_path)
    assert [(c.id, c.label) for c in taken] == [("Tower_1", "Tower")]
    assert "1 file in it passed over" in skipped["@eaDir"]


def test_case_eadir(tmp_path: Path, home: Path) -> None:
    untarred("eadir.tar", tmp_path / "in")
    importing.import_collection("tar", FolderSource(tmp_path / "in"))
    importing.import_collection("zip", ZipSource(case("eadir_one_folder.zip")))
    for name in ("tar", "zip"):
        assert [(p.id, p.label) for p in store.load(name).photos] == [
            ("Tower_1", "Tower"),
            ("Tower_2", "Tower"),
        ]


# Names in archives


@pytest.mark.parametrize(
    ("raw", "label"),
    [
        ("Zürich".encode(), "Zürich"),
        ("København".encode(), "København"),
        ("東京".encode(), "東京"),
        (unicodedata.normalize("NFD", "Zürich").encode(), "Zürich"),
        ("Zürich".encode("cp437"), "Zürich"),  # what DOS and Windows write
        (b"plain", "plain"),
    ],
)
def test_names_in_a_zip_without_the_flag(raw: bytes, label: str, tmp_path: Path) -> None:
    taken, _ = from_zip({raw + b"/1.jpg": jpeg()}, tmp_path)
    assert [c.label for c in taken] == [label]


def test_names_with_the_flag_stay(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("├╝/1.jpg", jpeg())  # flagged, and by chance legal UTF-8 in cp437
    taken, _ = sort(ZipSource(buffer.getvalue()).unpack(tmp_path))
    assert [c.label for c in taken] == ["├╝"]


def test_case_zip_utf8_without_flag(home: Path) -> None:
    importing.import_collection("zip", ZipSource(case("zip_utf8_without_flag.zip")))
    assert store.load("zip").labels == ("København", "Zürich")


@pytest.mark.parametrize("lead", [b"./", b"././", b".\\", b".//"])
def test_a_dot_is_no_landmark(lead: bytes, tmp_path: Path) -> None:
    taken, _ = from_zip({lead + b"1.jpg": jpeg(1), lead + b"2.jpg": jpeg(2)}, tmp_path)
    assert [(c.id, c.label) for c in taken] == [("1", None), ("2", None)]
    taken, _ = from_zip({lead + b"a/1.jpg": jpeg(1), lead + b"b//2.jpg": jpeg(2)}, tmp_path)
    assert [c.label for c in taken] == ["a", "b"]


def test_case_zip_dot_slash_flat(home: Path) -> None:
    importing.import_collection("zip", ZipSource(case("zip_dot_slash_flat.zip")))
    assert store.load("zip").labels == ()


# Labels that look alike


def test_two_forms_of_a_letter_are_one_landmark(tmp_path: Path, home: Path) -> None:
    nfc, nfd = "Grünes Gewölbe", unicodedata.normalize("NFD", "Grünes Gewölbe")
    put(tmp_path / "in" / nfc / "1.jpg", jpeg(1))
    put(tmp_path / "in" / nfd / "2.jpg", jpeg(2))
    put(tmp_path / "in" / "Other" / "3.jpg", jpeg(3))
    importing.import_collection("x", FolderSource(tmp_path / "in"))
    collection = store.load("x")
    assert collection.labels == (nfc, "Other")
    first = next(p for p in collection.photos if p.label == nfc)
    assert len(collection.relevant(first)) == 1
    importing.add("x", UploadSource([("4.jpg", jpeg(4))], label=f" {nfd} "))
    assert len(store.load("x").relevant(nfc)) == 3


def test_case_nfc_nfd(tmp_path: Path, home: Path) -> None:
    importing.import_collection("x", FolderSource(untarred("nfc_nfd.tar", tmp_path / "in")))
    assert store.load("x").labels == ("Grünes Gewölbe", "Other")
    assert len(store.load("x").relevant("Grünes Gewölbe")) == 3


def test_long_labels_stay_apart() -> None:
    one, other = (names.label("x" * 300 + end) for end in "ab")
    assert one != other
    assert one is not None and len(one) == 200
    assert names.label("  ") is None and names.label(None) is None
    assert names.label("\x1b[31mred\x07") == "\\x1b[31mred\\x07"


# Google Landmarks v2


LISTED = "index_image_to_landmark.csv"


def glr(root: Path, lines: list[str], extra: str = "", on_disk: int = 99) -> Path:
    """Photos 000aaa, 001aaa, … of a list whose lines are ``{}`` filled with the id."""
    ids = [f"{number:03d}aaa" for number in range(len(lines))]
    for one in ids[:on_disk]:
        put(root / "index" / one[0] / one[1] / one[2] / f"{one}.jpg", jpeg(int(one[:3])))
    rows = [line.format(one) for line, one in zip(lines, ids, strict=True)]
    (root / LISTED).write_text("id,landmark_id\n" + "\n".join(rows) + "\n" + extra)
    return root


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ('{},"Tower', "line 3: a quotation mark"),
        ('{},"To"wer', "line 3: a quotation mark"),
        ("{}", "line 3: it has 1 fields"),
        ("{},Tower, London", "line 3: it has 3 fields"),
    ],
)
def test_a_damaged_row_is_named(bad: str, why: str, tmp_path: Path, home: Path) -> None:
    root = glr(tmp_path, ["{},1", bad, "{},2", '{},"3, third"', "{},4"])
    with pytest.raises(PlaygroundError, match=why):
        importing.import_collection("x", Glr21Source(root))
    assert not store.exists("x")


def test_two_unbalanced_quotes_do_not_swallow_rows(tmp_path: Path, home: Path) -> None:
    root = glr(tmp_path, ["{},1", '{},"Tower', "{},2", '{},Bridge"', "{},4"])
    with pytest.raises(PlaygroundError, match="line 3: a quotation mark"):
        importing.import_collection("x", Glr21Source(root))


def test_a_label_that_is_no_utf8_is_named(tmp_path: Path) -> None:
    path = tmp_path / LISTED
    path.write_bytes(b"id,landmark_id\n000aaa,Z\xfcrich\n001aaa,Z\xf6rich\n")
    with pytest.raises(PlaygroundError, match="line 2: it is no UTF-8"):
        list(csv_rows(path, ("id", "landmark_id")))
    assert len(list(csv_rows(path, ("id", "landmark_id"), free_text=True))) == 2


def test_people_may_write_lines_and_quotes(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('\ufeffid,title\na,"two\nlines, ""quoted"""\n\nb,it "is"\n', encoding="utf-8")
    rows = list(csv_rows(path, ("id", "title"), free_text=True))
    assert rows == [["a", 'two\nlines, "quoted"'], ["b", 'it "is"']]


def test_a_photo_listed_again_counts_once(tmp_path: Path, home: Path) -> None:
    lines = ["{},5"] * 4 + ["{},7"] * 5
    root = glr(tmp_path, lines, extra="000aaa,5\n000aaa,5\n")
    importing.import_collection("x", Glr21Source(root, min_photos=5))
    assert store.load("x").labels == ("7",)
    assert len(store.load("x").photos) == 5


def test_a_photo_of_two_landmarks_has_none_of_them(tmp_path: Path, home: Path) -> None:
    root = glr(tmp_path, ["{},5", "{},5", "{},7"], extra="000aaa,7\n")
    report = importing.import_collection("x", Glr21Source(root))
    assert {p.id: p.label for p in store.load("x").photos} == {"001aaa": "5", "002aaa": "7"}
    assert any("several landmarks" in entry.reason for entry in report.skipped)


def test_an_empty_landmark_is_no_label(tmp_path: Path, home: Path) -> None:
    root = glr(tmp_path, ["{},5", "{},", "{}, ", "{},5"])
    report = importing.import_collection("x", Glr21Source(root))
    collection = store.load("x")
    assert collection.labels == ("5",)
    assert [p.label for p in collection.photos] == ["5", None, None, "5"]
    assert collection.relevant(collection.photo("001aaa")) == set()
    assert any("2 photos are listed without" in entry.reason for entry in report.skipped)
    importing.import_collection("y", Glr21Source(root, min_photos=2))
    assert store.load("y").ids == ("000aaa", "003aaa")


@pytest.mark.parametrize(
    ("name", "options", "labels", "count"),
    [
        ("glr_id_listed_thrice.tar", {"min_photos": 5}, None, 0),
        ("glr_id_listed_thrice.tar", {}, {"5", "100008", "200011"}, 12),
        ("glr_empty_landmark.tar", {}, None, 12),
        ("glr_escape_in_landmark.tar", {}, None, 12),
    ],
)
def test_case_glr(
    name: str, options: Any, labels: set[str] | None, count: int, tmp_path: Path, home: Path
) -> None:
    source = Glr21Source(untarred(name, tmp_path / "in"), **options)
    if not count:
        with pytest.raises(PlaygroundError, match="the largest landmark has 4"):
            importing.import_collection("x", source)
        return
    importing.import_collection("x", source)
    collection = store.load("x")
    assert len(collection.photos) == count
    assert labels is None or set(collection.labels) == labels
    assert all(label and label.isprintable() for label in collection.labels)


# Vectors


IDS = [f"p{number}" for number in range(10)]


def unit(rows: np.ndarray) -> np.ndarray:
    scaled = rows.astype(np.float64) / np.abs(rows).max(axis=1, keepdims=True)
    return scaled / np.linalg.norm(scaled, axis=1, keepdims=True)


@pytest.mark.parametrize("scale", [1e-8, 1e-30, 1e-42, 1e30])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_length_becomes_one(scale: float, dtype: type, tmp_path: Path) -> None:
    rows = (np.random.default_rng(0).standard_normal((10, 16)) * scale).astype(dtype)
    np.save(tmp_path / "a.npy", rows)
    read = descriptors.read(tmp_path / "a.npy", IDS)
    np.testing.assert_allclose(np.linalg.norm(read.vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(read.vectors, unit(rows), atol=1e-6)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_doubles_beyond_single_precision(scale: float, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).standard_normal((10, 16)) * scale
    np.save(tmp_path / "a.npy", rows)
    np.testing.assert_allclose(
        descriptors.read(tmp_path / "a.npy", IDS).vectors, unit(rows), atol=1e-6
    )


def test_case_norms() -> None:
    read = descriptors.read(case("norms_1e-8.npy"), IDS, layout="rows")
    np.testing.assert_allclose(np.linalg.norm(read.vectors, axis=1), 1, atol=1e-6)


def table(**more: Any) -> pd.DataFrame:
    rows = np.random.default_rng(0).standard_normal((10, 12)).astype(np.float32)
    frame = pd.DataFrame({"id": IDS, **{f"x{i}": rows[:, i] for i in range(12)}})
    return frame.assign(**more)


def read_table(frame: pd.DataFrame, tmp_path: Path) -> descriptors.Descriptors:
    frame.to_parquet(tmp_path / "a.parquet")
    return descriptors.read(tmp_path / "a.parquet", IDS)


def test_a_tables_row_numbers_are_no_dimension(tmp_path: Path) -> None:
    plain = read_table(table(), tmp_path)
    shuffled = read_table(table().sample(frac=1, random_state=0), tmp_path)
    assert shuffled.vectors.shape == (10, 12)
    np.testing.assert_array_equal(shuffled.vectors, plain.vectors)
    named = table().assign(number=[3, 1, 4, 1, 5, 9, 2, 6, 5, 8]).set_index("number")
    np.testing.assert_array_equal(read_table(named, tmp_path).vectors, plain.vectors)
    opened = descriptors.open_matrix(tmp_path / "a.parquet")
    assert opened.left_out == ("number",)


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"landmark_id": range(10)}, "landmark_id"),
        ({"score": np.arange(10.0)}, "score"),
        ({"x12": range(10)}, "x12"),  # whole numbers among fractions
        ({"x13": np.arange(10.0)}, "x0"),  # a gap: is it a dimension?
        ({"12": np.arange(10.0)}, "12"),
    ],
)
def test_other_columns_of_numbers_are_refused(
    more: dict[str, Any], named: str, tmp_path: Path
) -> None:
    with pytest.raises(PlaygroundError, match=rf"not clear which make up the vectors: {named}\b"):
        read_table(table(**more), tmp_path)


def test_dimensions_are_ordered_by_number(tmp_path: Path) -> None:
    frame = table()
    by_text = frame[["id", *sorted(frame.columns.drop("id"))]]  # x0, x1, x10, x11, x2, …
    np.testing.assert_array_equal(
        read_table(by_text, tmp_path).vectors, read_table(frame, tmp_path).vectors
    )


def test_case_wide_with_pandas_index() -> None:
    import pyarrow.parquet as pq

    path = case("wide_with_pandas_index.parquet")
    ids = [names.safe_id(one) for one in pq.read_table(path, columns=["id"])["id"].to_pylist()]
    assert descriptors.read(path, ids).vectors.shape == (len(ids), 16)
