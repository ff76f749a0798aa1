"""Decoding of untrusted bytes."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from data import photos
from data.photos import BadPhoto

QUARTERS = np.zeros((40, 60, 3), np.uint8)
"""Red, green, blue and white quarters: every orientation of it is another picture."""
QUARTERS[:20, :30] = (255, 0, 0)
QUARTERS[:20, 30:] = (0, 255, 0)
QUARTERS[20:, :30] = (0, 0, 255)
QUARTERS[20:, 30:] = (255, 255, 255)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_smoke_from_bytes_and_path(tmp_path: Path) -> None:
    content = saved(Image.fromarray(QUARTERS), "PNG")
    (tmp_path / "a.png").write_bytes(content)
    for source in (content, tmp_path / "a.png"):
        photo = photos.decode(source)
        assert photo.dtype == np.uint8
        assert photo.flags["C_CONTIGUOUS"]
        np.testing.assert_array_equal(photo, QUARTERS)
        assert photos.probe(source) == (60, 40)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation(kind: str, orientation: int) -> None:
    undo = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a),
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: np.rot90(a, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}
    stored = Image.fromarray(np.ascontiguousarray(undo(QUARTERS)))
    content = saved(stored, kind, exif=exif, **options.get(kind, {}))
    assert photos.probe(content) == (60, 40)
    photo = photos.decode(content)
    assert photo.shape == QUARTERS.shape
    assert np.abs(photo.astype(int) - QUARTERS).mean() < 3
    small = photos.decode(content, longer_side=30)
    assert small.shape == (20, 30, 3)
    assert np.abs(small[5, 5].astype(int) - (255, 0, 0)).max() < 12


def test_impossible_orientation_is_ignored() -> None:
    exif = Image.Exif()
    exif[0x0112] = 99
    assert photos.decode(saved(Image.fromarray(QUARTERS), "JPEG", exif=exif)).shape == (40, 60, 3)


def ramp(dtype: type, top: float) -> np.ndarray:
    return np.tile(np.linspace(0, top, 64), (16, 1)).astype(dtype)


@pytest.mark.parametrize(
    ("grey", "kind"),
    [
        (ramp(np.uint16, 65535), "PNG"),
        (ramp(np.uint16, 65535), "TIFF"),
        (ramp(np.int32, 65535), "TIFF"),
        (ramp(np.int32, 2e9), "TIFF"),
        (ramp(np.float32, 1.0), "TIFF"),
        (ramp(np.float32, 30000.0) - 10000, "TIFF"),
    ],
)
def test_deep_greys_are_scaled_never_clipped(grey: np.ndarray, kind: str) -> None:
    photo = photos.decode(saved(Image.fromarray(grey), kind))
    expected = np.rint(np.linspace(0, 255, 64))
    assert np.abs(photo[0, :, 0].astype(int) - expected).max() <= 1
    assert (photo[..., 0] == photo[..., 2]).all()


def test_half_bright_16_bit_stays_half_bright() -> None:
    grey = np.full((16, 16), 32896, np.uint16)
    assert (photos.decode(saved(Image.fromarray(grey), "PNG")) == 128).all()


def test_float_with_nan_and_constant() -> None:
    grey = ramp(np.float32, 1.0)
    grey[0, 0] = np.nan
    assert photos.decode(saved(Image.fromarray(grey), "TIFF"))[1, -1, 0] == 255
    flat = np.full((16, 16), 0.5, np.float32)
    assert (photos.decode(saved(Image.fromarray(flat), "TIFF")) == 0).all()
    with pytest.raises(BadPhoto, match="finite"):
        photos.decode(saved(Image.fromarray(flat * np.nan), "TIFF"))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "PA"])
def test_transparency_becomes_white(mode: str) -> None:
    rgba = np.zeros((20, 20, 4), np.uint8)
    rgba[:, 10:] = (0, 0, 0, 255)  # left half: black, fully transparent
    image = Image.fromarray(rgba)
    if mode == "P":
        image = Image.fromarray((rgba[..., 3] > 0).astype(np.uint8)).convert("P")
        image.putpalette([9, 9, 9, 0, 0, 0])
        content = saved(image, "PNG", transparency=0)
    elif mode == "PA":
        mask = Image.fromarray(rgba[..., 3])
        image = Image.new("P", (20, 20))
        image.putpalette([0, 0, 0])
        image.putalpha(mask)
        assert image.mode == "PA"
        content = saved(image, "TIFF")
    else:
        content = saved(image.convert(mode), "PNG")
    photo = photos.decode(content)
    assert photo.shape == (20, 20, 3)
    assert (photo[:, :10] == 255).all()
    assert (photo[:, 10:] == 0).all()


@pytest.mark.parametrize(("mode", "kind"), [("L", "JPEG"), ("1", "PNG"), ("P", "GIF")])
def test_other_modes(mode: str, kind: str) -> None:
    image = Image.fromarray(QUARTERS).convert(mode)
    assert photos.decode(saved(image, kind)).shape == (40, 60, 3)


def test_cmyk() -> None:
    photo = photos.decode(saved(Image.fromarray(QUARTERS).convert("CMYK"), "JPEG", quality=95))
    assert photo.shape == (40, 60, 3)
    assert np.abs(photo[30, 50].astype(int) - 255).max() < 8
    assert np.abs(photo[5, 5].astype(int) - (255, 0, 0)).max() < 12


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "MPO"])
def test_first_frame_of_several(kind: str) -> None:
    first = Image.new("RGB", (32, 24), (200, 0, 0))
    second = Image.new("RGB", (32, 24), (0, 0, 200))
    content = saved(first, kind, save_all=True, append_images=[second])
    photo = photos.decode(content)
    assert photo.shape == (24, 32, 3)
    assert np.abs(photo[12, 16].astype(int) - (200, 0, 0)).max() < 8


def test_longer_side() -> None:
    rng = np.random.default_rng(0)
    large = np.kron(rng.integers(0, 256, (30, 40, 3)), np.ones((20, 20, 1))).astype(np.uint8)
    content = photos.encode_jpeg(large, quality=95)
    small = photos.decode(content, longer_side=100)
    assert small.shape == (75, 100, 3)
    expected = np.asarray(Image.fromarray(large).resize((100, 75), Image.Resampling.BOX))
    assert np.abs(small.astype(int) - expected).mean() < 8
    assert photos.decode(content, longer_side=5000).shape == large.shape
    with pytest.raises(ValueError, match="longer_side"):
        photos.decode(content, longer_side=0)


def test_odd_sizes_keep_their_ratio_with_draft() -> None:
    content = photos.encode_jpeg(np.zeros((997, 1501, 3), np.uint8))
    assert photos.decode(content, longer_side=160).shape == (106, 160, 3)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"hello, I am a text", "not a photo"),
        (b"\xff\xd8\xff", "not a photo"),
        (b"%PDF-1.7 and so on", "not a photo"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a photo"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a photo"),
        (saved(Image.new("RGB", (1, 1)), "PNG"), "too small"),
        (saved(Image.new("RGB", (200, 7)), "PNG"), "too small"),
        (png_header(60_000, 60_000), "too large"),
        (png_header(12_001, 10_000), "too large"),
        (png_header(200, 200), "broken|cut short"),
        (saved(Image.new("RGB", (20, 20)), "PPM"), "not a photo"),
        (saved(Image.new("RGB", (16, 16)), "ICO"), "not a photo"),
    ],
)
def test_exception_says_why(content: bytes, reason: str) -> None:
    with pytest.raises(BadPhoto, match=reason):
        photos.decode(content)


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.95])
@pytest.mark.parametrize("longer_side", [None, 60])
def test_exception_truncated_jpeg(keep: float, longer_side: int | None) -> None:
    rng = np.random.default_rng(1)
    content = photos.encode_jpeg(rng.integers(0, 256, (200, 300, 3), dtype=np.uint8))
    with pytest.raises(BadPhoto, match=r"cut short|broken"):
        photos.decode(content[: int(len(content) * keep)], longer_side=longer_side)


def test_exception_broken_bytes_are_always_bad_photos() -> None:
    rng = np.random.default_rng(2)
    for kind in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"):
        whole = bytearray(saved(Image.fromarray(QUARTERS), kind))
        for _ in range(40):
            broken = bytearray(whole)
            for place in rng.integers(0, len(whole), 6):
                broken[place] = int(rng.integers(256))
            try:
                photo = photos.decode(bytes(broken), max_pixels=1_000_000)
            except BadPhoto:
                continue
            assert photo.ndim == 3
            assert photo.shape[2] == 3


def test_exception_missing_file(tmp_path: Path) -> None:
    with pytest.raises(BadPhoto, match=r"gone\.jpg: the file cannot be read"):
        photos.decode(tmp_path / "gone.jpg")


def test_max_pixels_is_checked_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    content = saved(Image.fromarray(QUARTERS), "PNG")

    def never(self: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", never)
    with pytest.raises(BadPhoto, match="2,400 pixels, the limit is 2,399"):
        photos.decode(content, max_pixels=2399)


def test_50_megapixels_are_accepted() -> None:
    image = Image.new("L", (8192, 6144), 90)
    content = saved(image, "JPEG")
    assert photos.probe(content) == (8192, 6144)
    assert photos.decode(content, longer_side=240).shape == (180, 240, 3)


def test_pillow_state_does_not_leak() -> None:
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    photos.decode(saved(Image.fromarray(QUARTERS), "JPEG"))
    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    assert before[1] is False


def test_thumbnail_and_jpeg() -> None:
    thumb = photos.make_thumbnail(np.full((300, 600, 3), 77, np.uint8))
    assert thumb.shape == (120, 240, 3)
    assert (thumb == 77).all()
    assert photos.make_thumbnail(QUARTERS).shape == (40, 60, 3)
    assert photos.encode_jpeg(thumb) == photos.encode_jpeg(thumb)
    assert photos.decode(photos.encode_jpeg(thumb)).shape == (120, 240, 3)
    with pytest.raises(ValueError, match="uint8"):
        photos.encode_jpeg(np.zeros((3, 3, 3), np.float32))  # type: ignore[arg-type]
