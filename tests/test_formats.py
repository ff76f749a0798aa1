"""Photos of odd formats and colours: read as they are meant, or named."""

from __future__ import annotations

import base64
import dataclasses
import io
import os
import pickle
import shlex
import struct
import subprocess
import unicodedata
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from data import importing, jpeg, kinds, layout, names, paths, photos, store
from data.archive import ZipSource
from data.base import Candidate, Skipped
from data.errors import PlaygroundError
from data.folder import FolderSource
from data.photos import BadPhoto
from data.sources.revisited import load_plain_pickle
from data.upload import UploadSource
from scripts import collections

CASES = paths.PROJECT_ROOT.parent / "shared" / "cases"
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64)


def case(name: str) -> Path:
    if not (CASES / name).is_file():
        pytest.skip(f"no {name} beside the project")
    return CASES / name


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(seed: int = 0, size: tuple[int, int] = (48, 32)) -> Image.Image:
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (4, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def offered(source: FolderSource) -> tuple[list[Candidate], dict[str, str]]:
    found = list(source.candidates())
    taken = [entry for entry in found if isinstance(entry, Candidate)]
    return taken, {e.file: e.reason for e in found if isinstance(e, Skipped)}


# 16 x 8 px, the left half (200, 40, 40), the right one (40, 40, 200); greys of 200 and 40.
# Made with imagecodecs 2026.3.6 (libjpeg-turbo, libavif).
YCCK = base64.b64decode(
    "/9j/7gAOQWRvYmUAZAAAAAAC/9sAQwACAQEBAQECAQEBAgICAgIEAwICAgIFBAQDBAYFBgYGBQYGBgcJCAYHCQcGBg"
    "gLCAkKCgoKCgYICwwLCgwJCgoK/9sAQwECAgICAgIFAwMFCgcGBwoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoK"
    "CgoKCgoKCgoKCgoKCgoKCgoKCgoK/8AAFAgACAAQBAEiAAIRAQMRAQQiAP/EAB8AAAEFAQEBAQEBAAAAAAAAAAABAg"
    "MEBQYHCAkKC//EALUQAAIBAwMCBAMFBQQEAAABfQECAwAEEQUSITFBBhNRYQcicRQygZGhCCNCscEVUtHwJDNicoIJ"
    "ChYXGBkaJSYnKCkqNDU2Nzg5OkNERUZHSElKU1RVVldYWVpjZGVmZ2hpanN0dXZ3eHl6g4SFhoeIiYqSk5SVlpeYmZ"
    "qio6Slpqeoqaqys7S1tre4ubrCw8TFxsfIycrS09TV1tfY2drh4uPk5ebn6Onq8fLz9PX29/j5+v/EAB8BAAMBAQEB"
    "AQEBAQEAAAAAAAABAgMEBQYHCAkKC//EALURAAIBAgQEAwQHBQQEAAECdwABAgMRBAUhMQYSQVEHYXETIjKBCBRCka"
    "GxwQkjM1LwFWJy0QoWJDThJfEXGBkaJicoKSo1Njc4OTpDREVGR0hJSlNUVVZXWFlaY2RlZmdoaWpzdHV2d3h5eoKD"
    "hIWGh4iJipKTlJWWl5iZmqKjpKWmp6ipqrKztLW2t7i5usLDxMXGx8jJytLT1NXW19jZ2uLj5OXm5+jp6vLz9PX29/"
    "j5+v/aAA4EAQACEQMRBAAAPwD6cr3iiivxX6YX/Mk/7mf/AHXP55+it/zOP+5f/wBzn7+UUUV//9k="
)
AVIF_10 = base64.b64decode(
    "AAAAIGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZk1BMUEAAADrbWV0YQAAAAAAAAAhaGRscgAAAAAAAAAAcGljdAAAAA"
    "AAAAAAAAAAAAAAAAAOcGl0bQAAAAAAAQAAAB5pbG9jAAAAAEQAAAEAAQAAAAEAAAETAAAANAAAAChpaW5mAAAAAAAB"
    "AAAAGmluZmUCAAAAAAEAAGF2MDFDb2xvcgAAAABqaXBycAAAAEtpcGNvAAAAFGlzcGUAAAAAAAAAEAAAAAgAAAAQcG"
    "l4aQAAAAADCgoKAAAADGF2MUOBIEAAAAAAE2NvbHJuY2x4AAIAAgAGgAAAABdpcG1hAAAAAAAAAAEAAQQBAoMEAAAA"
    "PG1kYXQSAAoIOAy/t4EBA0gyJhECI1KAAPIAAADgH3leH2jjBPxxKb+W+UiaR9pZMshjqPtsOUbQ"
)
JPEG_12 = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAIBAQEBAQIBAQECAgICAgQDAgICAgUEBAMEBgUGBgYFBgYGBwkIBgcJBw"
    "YGCAsICQoKCgoKBggLDAsKDAkKCgr/wQALDAAIABABAREA/8QAFQABAQAAAAAAAAAAAAAAAAAADQ7/xAAUEAEAAAAA"
    "AAAAAAAAAAAAAAAA/9oACAEBAAA/AEixL7b/2Q=="
)
LOSSLESS = base64.b64decode(
    "/9j/xAAWAAEBAQAAAAAAAAAAAAAAAAAABwj/wwALCAAIABABABEA/9oACAEAAAYAAKQAy+AAAAAAAAAAAAAAAAAAAA"
    "D/2Q=="
)


# The bytes decide


def test_a_jpeg_under_another_name_is_read(tmp_path: Path, home: Path) -> None:
    root = tmp_path / "in"
    root.mkdir()
    content = saved(noise(), "JPEG")
    for name in ("phone.HEIC", "shot.jp2", "small.NEF"):
        (root / name).write_bytes(content)
    (root / "real.HEIC").write_bytes(HEIC)
    (root / "raw.NEF").write_bytes(saved(noise(), "TIFF"))  # raw photos begin like TIFF
    taken, skipped = offered(FolderSource(root))
    assert [c.file for c in taken if "real" not in c.file] == [
        "phone.HEIC",
        "shot.jp2",
        "small.NEF",
    ]
    assert "Convert" in skipped["raw.NEF"]
    if not kinds.heif_is_read():
        assert "pip install -r requirements-heic.txt" in skipped["real.HEIC"]
    importing.import_collection("x", FolderSource(root))
    assert "phone" in store.load("x").ids
    importing.import_collection("up", UploadSource([("a.HEIC", content)]))
    assert store.load("up").read("a").shape == (32, 48, 3)


def test_a_heic_under_another_name_is_named() -> None:
    if kinds.heif_is_read():
        pytest.skip("pillow-heif is installed")
    with pytest.raises(BadPhoto, match=r"HEIC photo. HEIC is not read without pillow-heif"):
        photos.decode(HEIC)


def test_heic_is_read_by_pillow_heif(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    assert kinds.heif_is_read() and "HEIF" in photos.FORMATS
    # HEIC turns a photo by a property of its own, which the decoder follows: EXIF must not turn it
    # a second time.
    exif = Image.Exif()
    exif[0x0112] = 6
    content = saved(noise(), "HEIF", quality=95, exif=exif)
    assert pillow_heif.is_supported(content)
    photo = photos.decode(content)
    assert photo.shape == (32, 48, 3)
    assert np.abs(photo.astype(int) - np.asarray(noise())).mean() < 6
    (tmp_path / "a.HEIC").write_bytes(content)
    (tmp_path / "b.jpg").write_bytes(content)
    assert [c.id for c in offered(FolderSource(tmp_path))[0]] == ["a", "b"]


def test_avif_is_read() -> None:
    if "AVIF" not in photos.FORMATS:
        pytest.skip("this Pillow has no AVIF")
    photo = photos.decode(saved(noise(), "AVIF", quality=95))
    assert np.abs(photo.astype(int) - np.asarray(noise())).mean() < 6


@pytest.mark.parametrize("name", ["heic_inside.jpg", "jpeg_inside.HEIC", "browser_saved.jfif"])
def test_case_bytes_decide(name: str, home: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(case(name).read_bytes())
    if name == "heic_inside.jpg" and not kinds.heif_is_read():
        with pytest.raises(PlaygroundError, match=r"HEIC photo.*pillow-heif"):
            importing.import_collection("x", FolderSource(tmp_path / "in"))
        return
    if name == "heic_inside.jpg":
        return  # its picture is cut off
    assert importing.import_collection("x", FolderSource(tmp_path / "in")).added == 1


def test_uploads_offer_every_extension_that_imports_take() -> None:
    from pages.parts.query import _TYPES

    assert {"jfif", "jpe", "jpg", "mpo", "dib", "avif", "heic", "heif"} <= set(_TYPES)


# Transparency


def png(depth: int, colour: int, row: bytes, clear: bytes, width: int) -> bytes:
    """8 equal rows of a PNG with one transparent grey or colour."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", width, 8, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"tRNS", clear)
    body += chunk(b"IDAT", zlib.compress((b"\0" + row) * 8)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_transparent_greys_are_white() -> None:
    deep = struct.pack(">8H", 0, 1, 255, 256, 32896, 40000, 65279, 65535)
    photo = photos.decode(png(16, 0, deep, struct.pack(">H", 0), 8))
    assert photo[0, :, 0].tolist() == [255, 0, 1, 1, 128, 156, 254, 255]
    photo = photos.decode(png(16, 0, deep, struct.pack(">H", 32896), 8))
    assert photo[3, :, 1].tolist() == [0, 0, 1, 1, 255, 156, 254, 255]
    two = photos.decode(png(2, 0, b"\x1b\x1b", struct.pack(">H", 1), 8))
    assert two[0, :4, 0].tolist() == [0, 255, 170, 255]
    four = photos.decode(png(4, 0, b"\x01\x23\x45\x67", struct.pack(">H", 3), 8))
    assert four[0, :, 0].tolist() == [0, 17, 34, 255, 68, 85, 102, 119]
    one = photos.decode(png(1, 0, b"\xaa", struct.pack(">H", 0), 8))
    assert (one == 255).all()


def test_a_transparent_colour_of_16_bits_is_white() -> None:
    pixels = [(900, 900, 900), (901, 900, 900), (768, 768, 768), (65535, 0, 0)] * 2
    row = b"".join(struct.pack(">3H", *pixel) for pixel in pixels)
    photo = photos.decode(png(16, 2, row, struct.pack(">3H", 900, 900, 900), 8))
    assert photo[0, :4].tolist() == [[255, 255, 255], [3, 3, 3], [3, 3, 3], [255, 0, 0]]


def test_case_grey16() -> None:
    content = case("grey16_trns_black.png")
    clear = np.asarray(Image.open(content)) == 0
    photo = photos.decode(content)
    assert clear.any() and (photo[clear] == 255).all()


# Large, rare, broken


def test_large_photos_below_the_limit_are_read_quietly() -> None:
    content = saved(Image.new("1", (12_000, 8_000)), "PNG")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert photos.decode(content, longer_side=60).shape == (40, 60, 3)
        with pytest.raises(BadPhoto, match="95,999,999"):
            photos.probe(content, max_pixels=95_999_999)
        with pytest.raises(BadPhoto, match="14000 x 14000 px"):
            photos.probe(saved(Image.new("1", (14_000, 14_000)), "PNG"))


def tiff(samples: int, bits: int, kind: int) -> bytes:
    """The head of a TIFF with these pixels."""
    tags = [
        (256, 4, 16),
        (257, 4, 16),
        (258, 3, bits),
        (259, 3, 1),
        (262, 3, 2 if samples > 2 else 1),
        (273, 4, 200),
        (277, 3, samples),
        (278, 4, 16),
        (279, 4, 256 * samples * bits // 8),
        (339, 3, kind),
    ]
    listed = b"".join(
        struct.pack("<HHIHH" if kind == 3 else "<HHII", tag, kind, 1, *([value, 0][: 5 - kind]))
        for tag, kind, value in tags
    )
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + listed + bytes(4)
    return head.ljust(200, b"\0") + bytes(256 * samples * bits // 8)


@pytest.mark.parametrize(
    ("samples", "bits", "kind", "words"),
    [
        (3, 32, 3, "3 x 32-bit floating-point"),
        (1, 64, 3, "1 x 64-bit floating-point"),
        (3, 32, 1, "3 x 32-bit unsigned"),
    ],
)
def test_rare_pixels_of_a_tiff_are_named(samples: int, bits: int, kind: int, words: str) -> None:
    with pytest.raises(BadPhoto, match=f"a TIFF whose pixels are {words}"):
        photos.decode(tiff(samples, bits, kind))


def test_case_float_tiff() -> None:
    with pytest.raises(BadPhoto, match="3 x 32-bit floating-point numbers"):
        photos.decode(case("rgb_float32.tif"))


@pytest.mark.parametrize(
    ("marker", "bits", "words"),
    [(0xC1, 12, "12 bits per channel"), (0xC3, 8, "lossless JPEG"), (0xF7, 8, "JPEG-LS")],
)
def test_rare_jpegs_are_named(marker: int, bits: int, words: str) -> None:
    content = bytearray(saved(noise(), "JPEG"))
    place = content.index(b"\xff\xc0")
    content[place + 1], content[place + 4] = marker, bits
    with pytest.raises(BadPhoto, match=words):
        photos.decode(bytes(content))


def halves(photo: photos.RGB, left: tuple[int, ...], right: tuple[int, ...]) -> bool:
    """Whether the halves have these colours, away from the edge, where chroma is blurred."""
    parts = [(photo[:, :5], left), (photo[:, 11:], right)]
    return photo.shape == (8, 16, 3) and all(
        int(np.abs(part.astype(int) - wanted).max()) <= 3 for part, wanted in parts
    )


def test_ycck_is_read() -> None:
    assert halves(photos.decode(YCCK), (200, 40, 40), (40, 40, 200))


@pytest.mark.skipif("AVIF" not in photos.FORMATS, reason="Pillow was built without AVIF")
def test_avif_of_10_bits_is_read() -> None:
    assert halves(photos.decode(AVIF_10), (200, 40, 40), (40, 40, 200))


def test_a_jpeg_of_12_bits_is_named() -> None:
    with pytest.raises(BadPhoto, match="a JPEG with 12 bits per channel, which is not read"):
        photos.decode(JPEG_12)


def test_a_lossless_jpeg_is_read_exactly_or_named() -> None:
    try:
        photo = photos.decode(LOSSLESS)
    except BadPhoto as error:  # libjpeg before libjpeg-turbo 3
        assert "a lossless JPEG, which is not read here" in str(error)
    else:
        assert np.array_equal(photo, np.tile(np.repeat([[200] * 3, [40] * 3], 8, 0), (8, 1, 1)))


def test_labels_that_were_kept_in_two_forms_are_one(home: Path, tmp_path: Path) -> None:
    for name in ("Zürich", "Bern"):
        for number in range(2):
            path = tmp_path / "in" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            noise(number).save(path)
    importing.import_collection("old", FolderSource(tmp_path / "in"))
    folder = layout.folder_of("old")
    header = store.summary("old")
    photos_now = list(store.load("old").photos)
    # As a release before this one kept them: as the file system spelled them.
    before = [
        dataclasses.replace(p, label=unicodedata.normalize(form, p.label or ""))
        for p, form in zip(photos_now, ("NFC", "NFD", "NFC", "NFD"), strict=True)
    ]
    layout.save(folder, header, before, [], {})
    assert store.load("old").labels == ("Bern", unicodedata.normalize("NFC", "Zürich"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!DOCTYPE html><html>quota exceeded</html>", "a web page"),
        (b"\xef\xbb\xbf \n<HTML>", "a web page"),
        (b"%PDF-1.7 \xff", "a PDF document"),
        (b'<?xml version="1.0"?><svg/>', "an SVG drawing"),
        (b"\xff\x0a\xfa\x7f", "a JPEG XL photo"),
        (b"\0\0\0\x18ftypcrx \0\0\0\0crx isom", "a raw photo"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "a video"),
        (bytes(2000), "nothing but zeros"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"a text", "a text"),
    ],
)
def test_other_files_are_named(content: bytes, words: str) -> None:
    with pytest.raises(BadPhoto, match=f"not a photo of a known format: it is .*{words}"):
        photos.decode(content)


# JPEG without its end


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_jpeg_without_its_end_marker_is_whole(progressive: bool, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = saved(noise(), "JPEG", progressive=progressive, exif=exif)
    cut = content[:-2]
    assert content.endswith(b"\xff\xd9")
    np.testing.assert_array_equal(photos.decode(cut), photos.decode(content))
    assert photos.read_header(cut).note == jpeg.NOTE
    assert photos.read_header(content).note == ""
    assert photos.read_header(content + b"\0\0 trailer").note == ""
    for missing in (12, 40, 200):
        with pytest.raises(BadPhoto, match=r"cut short|broken"):
            photos.decode(saved(noise(), "JPEG", quality=95)[:-missing])


def test_an_import_notes_a_missing_end(tmp_path: Path, home: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(saved(noise(), "JPEG")[:-2])
    for _ in range(2):
        report = importing.import_collection("x", FolderSource(tmp_path / "in"), on_exists="add")
        assert [(n.file, n.reason) for n in report.notes] == [("a.jpg", jpeg.NOTE)]
    assert (report.unchanged, report.skipped) == (1, [])


def test_case_no_end_marker() -> None:
    assert photos.decode(case("no_end_marker.jpg")).shape == (96, 72, 3)


# Colours


def profile(white_gamma: float = 2.2, swap: bool = False) -> bytes:
    """A matrix profile: the primaries of sRGB with another gamma, or those of Adobe RGB."""
    if swap:
        red, green, blue = (0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), None
        blue = (0.14919, 0.06322, 0.74457)
    else:
        red, green, blue = (
            (0.43607, 0.22249, 0.01392),
            (0.38515, 0.71687, 0.09708),
            (0.14307, 0.06061, 0.71410),
        )

    def xyz(values: tuple[float, float, float]) -> bytes:
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in values))

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(white_gamma * 256)) + b"\0\0"
    text = b"text\0\0\0\0test\0\0\0\0"
    desc = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(78)
    parts = {
        b"desc": desc + bytes(-len(desc) % 4),
        b"cprt": text,
        b"wtpt": xyz((0.96420, 1.0, 0.82491)),
        b"rXYZ": xyz(red),
        b"gXYZ": xyz(green),
        b"bXYZ": xyz(blue),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    table, body, at = b"", b"", 128 + 4 + 12 * len(parts)
    for name, content in parts.items():
        table += name + struct.pack(">II", at, len(content))
        body += content
        at += len(content)
    head = struct.pack(">I4sI4s4s4s", at, b"lcms", 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + struct.pack(">I", len(parts)) + table + body


def by_hand(pixels: np.ndarray) -> np.ndarray:
    """Adobe RGB (gamma 2.2) to sRGB, in plain arithmetic."""
    matrix = np.array(
        [
            [1.39835574, -0.39835574, 0.0],
            [0.0, 1.0, 0.0],
            [0.0, -0.04292899, 1.04292899],
        ]
    )
    linear = ((pixels / 255.0) ** (563 / 256)) @ matrix.T
    linear = linear.clip(0, 1)
    coded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return coded * 255


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "WEBP"])
@pytest.mark.parametrize("side", [None, 24])
def test_a_profile_is_turned_into_srgb(kind: str, side: int | None) -> None:
    adobe = profile(563 / 256, swap=True)
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}
    given = Image.blend(noise(), Image.new("RGB", (48, 32), (128, 128, 128)), 0.3)
    content = saved(given, kind, icc_profile=adobe, **options.get(kind, {}))
    photo = photos.decode(content, longer_side=side)
    plain = photos.decode(saved(given, kind, **options.get(kind, {})), longer_side=side)
    assert np.abs(photo - by_hand(plain.astype(float))).mean() < 1
    assert np.abs(photo.astype(int) - plain).mean() > 3


def test_srgb_and_broken_profiles_change_nothing() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    plain = photos.decode(saved(noise(), "PNG"))
    for given in (srgb, b"", b"junk" * 50, srgb[:300], b"x" * 128 + srgb[128:]):
        np.testing.assert_array_equal(
            photos.decode(saved(noise(), "PNG", icc_profile=given)), plain
        )


def test_transparency_and_profile() -> None:
    rgba = noise().convert("RGBA")
    rgba.putalpha(Image.linear_gradient("L").resize((48, 32)).point(lambda v: 255 * (v > 127)))
    adobe = profile(563 / 256, swap=True)
    photo = photos.decode(saved(rgba, "PNG", icc_profile=adobe))
    assert (photo[:10] == 255).all()
    opaque = np.asarray(noise(), float)[24:]
    assert np.abs(photo[24:] - by_hand(opaque)).mean() < 2


def test_grey_keeps_no_colour_profile() -> None:
    grey = noise().convert("L")
    photo = photos.decode(saved(grey, "PNG", icc_profile=profile()))
    np.testing.assert_array_equal(photo[..., 0], np.asarray(grey))


def test_lab() -> None:
    lab = ImageCms.profileToProfile(
        noise(), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert lab is not None
    photo = photos.decode(saved(lab, "TIFF"))
    assert np.abs(photo.astype(int) - np.asarray(noise())).mean() < 4


# Names in an archive, ground truths, folders


def test_equal_names_of_a_zip_are_numbered(home: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for seed in range(4):
            archive.writestr("a/1.jpg", saved(noise(seed), "JPEG"))
    report = importing.import_collection("x", ZipSource(buffer.getvalue()))
    assert (report.added, report.skipped) == (4, [])
    first, second = "a_1", names.hashed_id("a_1", "a/1.jpg")
    assert store.load("x").ids == (first, second, f"{second}-2", f"{second}-3")


@pytest.mark.parametrize("protocol", range(6))
def test_plain_pickles_of_every_protocol(protocol: int) -> None:
    value = {
        "imlist": ["a", "é", "x" * 300],
        "gnd": [{"bbx": [0.5, -1, 2**40, 2**70], "easy": (), "t": (1, 2, 3, 4), "n": None}],
        "yes": [True, False],
    }
    content = pickle.dumps(value, protocol)
    assert load_plain_pickle(content) == value


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_that_ask_for_more_are_refused(protocol: int) -> None:
    for evil in (print, {1: np.float64(1)}, [Path("x")]):
        with pytest.raises(ValueError, match="more than plain data"):
            load_plain_pickle(pickle.dumps(evil, protocol))
    with pytest.raises(ValueError, match="its memo has the place"):
        load_plain_pickle(b"(lp999999999\n.")


def nest(root: Path, name: str, content: bytes | None = None) -> None:
    """1,100 folders, each in the one before; the last holds a photo."""
    here = os.open(root, os.O_RDONLY)
    for _ in range(1100):
        os.mkdir(name, dir_fd=here)
        deeper = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    if content is not None:
        photo = os.open("x.jpg", os.O_CREAT | os.O_WRONLY, dir_fd=here)
        os.write(photo, content)
        os.close(photo)
    os.close(here)


def test_folders_without_end_are_listed(tmp_path: Path) -> None:
    root = tmp_path / "in"
    root.mkdir()
    (root / "top.jpg").write_bytes(saved(noise(), "JPEG"))
    nest(root, "folder")
    taken, skipped = offered(FolderSource(root))
    assert [c.file for c in taken] == ["top.jpg"]
    assert ["too deep" in reason for reason in skipped.values()] == [True]
    short = tmp_path / "short"
    short.mkdir()
    nest(short, "d", saved(noise(), "JPEG"))
    taken, skipped = offered(FolderSource(short))
    assert [(c.label, c.file.count("/")) for c in taken] == [("d", 1100)]
    assert not skipped
    subprocess.run(["rm", "-r", str(root), str(short)], check=True)  # pytest's own would recurse


def test_links_that_lead_to_themselves_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.jpg").write_bytes(saved(noise(), "JPEG"))
    (tmp_path / "a" / "here").symlink_to("here")
    (tmp_path / "a" / "one.jpg").symlink_to("two.jpg")
    (tmp_path / "a" / "two.jpg").symlink_to("one.jpg")
    taken, skipped = offered(FolderSource(tmp_path))
    assert [c.file for c in taken] == ["a/1.jpg"]
    assert set(skipped) == {"a/here", "a/one.jpg", "a/two.jpg"}
    assert all("leads back to itself" in reason for reason in skipped.values())


def test_a_playgrounds_own_files_are_no_photos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "in"
    (root / "a").mkdir(parents=True)
    (root / "a" / "1.jpg").write_bytes(saved(noise(), "JPEG"))
    for home in (root / "home", root / "old"):
        monkeypatch.setenv("PLAYGROUND_HOME", str(home))
        importing.import_collection("x", UploadSource([("u.jpg", saved(noise(1), "JPEG"))]))
    taken, skipped = offered(FolderSource(root))
    assert [c.file for c in taken] == ["a/1.jpg"]
    assert set(skipped) == {"home/collections/x", "old"}


@pytest.mark.parametrize("where", ["file", "file/below", "loop"])
def test_a_home_that_is_no_folder_is_a_sentence(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "loop").symlink_to("loop")
    monkeypatch.setenv("PLAYGROUND_HOME", str(tmp_path / where))
    for work in (store.list_collections, lambda: store.load("x"), paths.weights_root):
        with pytest.raises(PlaygroundError, match=r"PLAYGROUND_HOME is .*cannot be used"):
            work()


def test_a_home_that_cannot_be_made_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYGROUND_HOME", "/proc/none/home")
    with pytest.raises(PlaygroundError, match="PLAYGROUND_HOME"):
        importing.import_collection("x", UploadSource([("u.jpg", saved(noise(), "JPEG"))]))


def test_the_command_for_a_lost_photo_helps(tmp_path: Path, home: Path) -> None:
    root = tmp_path / "in"
    for number, label in enumerate("ab"):
        (root / label).mkdir(parents=True)
        for view in range(2):
            content = saved(noise(2 * number + view), "JPEG")
            (root / label / f"{view}.jpg").write_bytes(content)
    importing.import_collection("x", FolderSource(root))
    (root / "a" / "0.jpg").unlink()
    with pytest.raises(PlaygroundError, match=r"not at .* any more") as caught:
        store.load("x").read("a_0")
    command = str(caught.value).partition("as it is now: ")[2].partition(" (or drop")[0]
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "scripts.collections"]
    assert collections.main(words[3:]) == 0
    assert store.load("x").ids == ("a_1", "b_0", "b_1")
    for photo in store.load("x").photos:
        store.load("x").read(photo)
