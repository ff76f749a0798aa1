"""From untrusted bytes to upright 8-bit RGB, and back to JPEG."""

from __future__ import annotations

import contextlib
import dataclasses
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError, features

from data import colour, gate, jpeg, kinds
from data.errors import PlaygroundError

RGB = NDArray[np.uint8]
"""An upright photo, (H, W, 3), RGB."""

FORMATS = (
    ("JPEG", "PNG", "WEBP", "BMP", "DIB", "TIFF", "GIF")
    + (("AVIF",) if features.check("avif") else ())
    + (("HEIF",) if kinds.heif_is_read() else ())
)
"""The only decoders that ever see the bytes; EPS and the like run interpreters. MPO is JPEG."""
LEGAL = "JPEG, PNG, WebP, BMP, TIFF, GIF" + "".join(
    f", {name}" for form, name in (("AVIF", "AVIF"), ("HEIF", "HEIC")) if form in FORMATS
)
MIN_SIDE = 8  # px
MAX_PIXELS = 120_000_000  # refused above; read from the header, before anything is decoded
UPLOAD_PIXELS = 50_000_000  # the same for what visitors send
THUMBNAIL_SIDE = 240  # px, longer side

# Our own limit is checked right after the header was read; Pillow's would only warn besides.
Image.MAX_IMAGE_PIXELS = None

_BAND = 4_000_000  # pixels that are converted at a time
_ORIENTATION = 0x0112  # the EXIF tag
_HEADERS = 1 << 20  # bytes of a file that no decoder takes, to say what it is
_DEEP = ("F", "I", "I;16", "I;16B", "I;16L", "I;16N")
_GREY = (*_DEEP, "1", "L", "LA", "La")
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class BadPhoto(PlaygroundError):  # noqa: N818 (read as a word, like Skipped)
    """The bytes are no photo that can be used; the message says why."""


class UnknownFormat(BadPhoto):
    """No decoder takes the bytes."""


class TooManyPixels(BadPhoto):
    """The header says more pixels than the limit."""


@dataclasses.dataclass(frozen=True)
class Header:
    """What a photo's header says. Width and height (px) are those of the upright photo."""

    width: int
    height: int
    format: str  # one of FORMATS, or MPO
    note: str = ""  # a sentence about a file that was taken though something is wrong with it


def probe(data: bytes | Path, *, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Width and height in px of the upright photo, from its header alone.

    Raises:
        BadPhoto: no photo, an unknown format, too small or too large.
    """
    header = read_header(data, max_pixels=max_pixels)
    return header.width, header.height


def read_header(data: bytes | Path, *, max_pixels: int = MAX_PIXELS) -> Header:
    """Like ``probe``, with the format's name."""
    with _opened(data, max_pixels) as image:
        header = _header(image)
    return dataclasses.replace(header, note=_note(data, header))


def decode(
    data: bytes | Path, *, max_pixels: int = MAX_PIXELS, longer_side: int | None = None
) -> RGB:
    """Decode a photo: upright, 8 bits, RGB, the first frame, transparency over white.

    16-bit greys are scaled by their full range, other integer and float greys from their least
    to their greatest value; nothing is clipped.

    Args:
        data: the file's bytes, or its path.
        max_pixels: more than these (by the header) are refused before they are decoded.
        longer_side: shrink to this longer side (px), antialiased; never enlarges. JPEGs are then
            decoded at a fraction of their size where that loses nothing.

    Returns:
        (H, W, 3) uint8.

    Raises:
        BadPhoto: no photo, broken, cut short, too small or too large.
    """
    return decode_with_header(data, max_pixels=max_pixels, longer_side=longer_side)[0]


def decode_with_header(
    data: bytes | Path, *, max_pixels: int = MAX_PIXELS, longer_side: int | None = None
) -> tuple[RGB, Header]:
    """``decode``, with the header of the photo at its full size."""
    if longer_side is not None and longer_side < 1:
        raise ValueError(f"longer_side must be at least 1 px, got {longer_side}")
    try:
        pixels, header = _decoded(data, max_pixels, longer_side)
    except BadPhoto as error:
        whole = _completed(data) if isinstance(error, _CutShort) else None
        if whole is None:
            raise
        pixels, header = _decoded(whole, max_pixels, longer_side)
    return pixels, dataclasses.replace(header, note=_note(data, header))


def _decoded(data: bytes | Path, max_pixels: int, longer_side: int | None) -> tuple[RGB, Header]:
    with _opened(data, max_pixels) as image, gate.decoding.take(_cost(image, longer_side)):
        packing = str(image.tile[0].args) if image.tile else ""
        header = _header(image)
        shrink = longer_side is not None and longer_side < max(image.size)
        if shrink and longer_side is not None:
            # Twice the wanted size, so that the antialiased resize has something to average.
            image.draft(None, _fit(image.size, 2 * longer_side))
        image.load()
        orientation = _orientation(image)
        grey, profile = image.mode in _GREY, image.info.get("icc_profile")
        size = None
        if shrink and longer_side is not None:
            # The size is of the full photo, so that a draft does not round the ratio.
            size = _fit((header.width, header.height), longer_side)
            if orientation >= 5:
                size = size[::-1]
        box = None
        if packing == "RGB;16B" and "transparency" in image.info:
            frame: Image.Image = _clear_16_bits(image, data, max_pixels)
        else:
            span = _span(image) if image.mode in _DEEP else (0.0, 0.0)

            def to_rgb(part: Image.Image) -> Image.Image:
                return _to_rgb(part, packing, profile, span)

            if size is None:
                frame = to_rgb(image)
            else:
                frame, box = _reduced(image, size, to_rgb)
        if size is not None:
            frame = frame.resize(size, Image.Resampling.BICUBIC, box, reducing_gap=2.0)
        if colour.mode_of(profile) == ("L" if grey else "RGB"):
            frame = colour.to_srgb(frame.getchannel(0) if grey else frame, profile)
            frame = frame.convert("RGB")
        if orientation in _UPRIGHT:
            frame = frame.transpose(_UPRIGHT[orientation])
        pixels = np.array(frame, dtype=np.uint8)
    return pixels, header


def _reduced(
    image: Image.Image, size: tuple[int, int], to_rgb: Callable[[Image.Image], Image.Image]
) -> tuple[Image.Image, tuple[float, float, float, float]]:
    """The image in RGB, shrunk by whole numbers to at least twice a size, a band at a time.

    So it is never there in both forms at its full size. The averages are those that ``resize``
    takes first with ``reducing_gap=2.0``.

    Returns:
        The image, and the box of it that the whole photo fills.
    """
    width, height = image.size
    fx, fy = max(1, int(width / size[0] / 2)), max(1, int(height / size[1] / 2))
    out = Image.new("RGB", (-(-width // fx), -(-height // fy)))
    for top, band in _bands(image, fy):
        out.paste(to_rgb(band).reduce((fx, fy)), (0, top // fy))
    return out, (0, 0, width / fx, height / fy)


def _bands(image: Image.Image, multiple: int = 1) -> Iterator[tuple[int, Image.Image]]:
    """(first row, part) for parts of some ``_BAND`` pixels and a multiple of so many rows."""
    width, height = image.size
    rows = max(1, _BAND // (width * multiple)) * multiple
    for top in range(0, height, rows):
        yield top, image.crop((0, top, width, min(top + rows, height)))


def encode_jpeg(photo: RGB, quality: int = 90) -> bytes:
    """(H, W, 3) uint8 to the bytes of a JPEG without metadata; equal input, equal bytes."""
    _check(photo)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(photo)).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def make_thumbnail(photo: RGB, side: int = THUMBNAIL_SIDE) -> RGB:
    """Shrink (H, W, 3) to at most ``side`` px on the longer side, antialiased."""
    _check(photo)
    height, width = photo.shape[:2]
    if max(width, height) <= side:
        return photo.copy()
    image = Image.fromarray(np.ascontiguousarray(photo))
    small = image.resize(_fit((width, height), side), Image.Resampling.BICUBIC, reducing_gap=2.0)
    return np.array(small, dtype=np.uint8)


def _check(photo: RGB) -> None:
    if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8:
        raise ValueError(f"photo must be (H, W, 3) uint8, got {photo.shape} {photo.dtype}")


def _fit(size: tuple[int, int], longer_side: int) -> tuple[int, int]:
    factor = min(1.0, longer_side / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


@contextlib.contextmanager
def _opened(data: bytes | Path, max_pixels: int) -> Iterator[ImageFile.ImageFile]:
    """Open and check the header; everything that goes wrong inside comes out as ``BadPhoto``."""
    name = "" if isinstance(data, bytes) else f"{data.name}: "
    try:
        stream = _stream(data)
    except OSError as error:
        raise BadPhoto(f"{name}the file cannot be read ({error.strerror}).") from error
    with stream:
        if not stream.read(1):
            raise BadPhoto(f"{name}the file is empty.")
        stream.seek(0)
        try:
            with Image.open(stream, formats=FORMATS) as image:
                _check_size(image.size, max_pixels, name)
                yield image
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise TooManyPixels(
                f"{name}too large: more pixels than the limit of {max_pixels:,}. Shrink it first."
            ) from error
        except UnidentifiedImageError as error:
            stream.seek(0)
            raise UnknownFormat(f"{name}{_unidentified(stream.read(_HEADERS))}") from error
        except PlaygroundError:
            raise
        except MemoryError as error:
            raise BadPhoto(f"{name}there is not enough memory to decode it.") from error
        except Exception as error:
            # Pillow's plugins raise anything for broken files (SyntaxError, struct.error, ...).
            text = str(error).partition("\n")[0] or type(error).__name__
            if "truncated" in text.lower():
                raise _CutShort(
                    f"{name}broken: the file is cut short. Save it again from a photo program."
                ) from error
            stream.seek(0)
            rare = kinds.unusual(stream.read(_HEADERS))
            if rare is not None and rare.startswith("a lossless"):
                raise BadPhoto(f"{name}it is {rare}. Legal: {LEGAL}.") from error
            raise BadPhoto(f"{name}broken: {text}. Save it again from a photo program.") from error


def _cost(image: ImageFile.ImageFile, longer_side: int | None) -> int:
    """Pixels that will be decoded: a JPEG may be decoded at a fraction of its size."""
    width, height = image.size
    scale = 1
    if image.format in ("JPEG", "MPO") and longer_side is not None:
        fits = max(image.size) // (2 * longer_side)
        scale = next((one for one in (8, 4, 2) if one <= fits), 1)
    return width * height // scale**2


class _CutShort(BadPhoto):
    """The file ends early; see ``_completed``."""


def _unidentified(content: bytes) -> str:
    """A sentence on what a file is that no decoder takes."""
    form = kinds.photo_format(content)
    rare = kinds.unusual(content)
    if rare is not None:
        return f"it is {rare}. Legal: {LEGAL}."
    what = "not a photo of a known format"
    if form == "HEIF" and "HEIF" not in FORMATS:
        return f"{what}: it is a HEIC photo. {kinds.NO_HEIF}"
    words = kinds.in_words(content)
    if form in FORMATS:
        words = f"it begins like {words} and is broken"
    elif words is not None:
        words = f"it is {words}"
    return f"{what}{': ' + words if words else ''}. Legal: {LEGAL}."


def _completed(data: bytes | Path) -> bytes | None:
    """A JPEG that lacks its end marker alone, with it."""
    try:
        return jpeg.completed(data if isinstance(data, bytes) else data.read_bytes())
    except Exception:
        return None  # broken besides: the first error says how


def _note(data: bytes | Path, header: Header) -> str:
    if header.format != "JPEG":
        return ""
    if isinstance(data, Path):
        try:
            data = data.read_bytes()
        except OSError:
            return ""
    return jpeg.NOTE if jpeg.lacks_end(data) else ""


def _stream(data: bytes | Path) -> BinaryIO:
    if isinstance(data, bytes):
        return io.BytesIO(data)
    return open(data, "rb")


def _check_size(size: tuple[int, int], max_pixels: int, name: str) -> None:
    width, height = size
    if width * height > max_pixels:
        raise TooManyPixels(
            f"{name}too large: {width} x {height} px are {width * height:,} pixels, the limit is "
            f"{max_pixels:,}. Shrink it first."
        )
    if min(width, height) < MIN_SIDE:
        raise BadPhoto(
            f"{name}too small: {width} x {height} px; each side needs at least {MIN_SIDE} px."
        )


def _header(image: ImageFile.ImageFile) -> Header:
    width, height = image.size
    # Pillow turns TIFF by itself and gives the upright size from the start.
    if image.format != "TIFF" and _orientation(image) >= 5:
        width, height = height, width
    return Header(width, height, image.format or "")


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:
        # Broken metadata must not cost the photo; it is shown as stored.
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _to_rgb(
    image: Image.Image, packing: str, profile: bytes | None, span: tuple[float, float]
) -> Image.Image:
    """RGB, transparency over white; colours still in the photo's profile, but for CMYK.

    Args:
        packing: how the file packs its pixels, as Pillow calls it.
        span: of deep greys, the values that become black and white.
    """
    clear = image.info.get("transparency")
    if image.mode in _DEEP:
        values = np.asarray(image)
        grey = _to_8_bits(values, *span)
        if isinstance(clear, int):
            grey = np.where(values == clear, np.uint8(255), grey)
        return Image.fromarray(grey).convert("RGB")
    if image.mode in ("1", "L") and isinstance(clear, int):
        # Pillow compares the file's own 2 or 4 bits with the 8 that it makes of them.
        values = np.asarray(image.convert("L"))
        clear *= {"L;2": 85, "L;4": 17}.get(packing, 1)
        return Image.fromarray(np.where(values == clear, np.uint8(255), values)).convert("RGB")
    if image.mode == "CMYK":
        turned = colour.to_srgb(image, profile)
        return turned if turned.mode == "RGB" else turned.convert("RGB")
    if image.mode == "LAB":
        return colour.lab_to_srgb(image)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _clear_16_bits(image: Image.Image, data: bytes | Path, max_pixels: int) -> Image.Image:
    """A PNG of 3 x 16 bits with one transparent colour, of which Pillow keeps the upper halves."""
    with _opened(data, max_pixels) as again:
        again.tile = [part._replace(args="RGB;16L") for part in again.tile]
        lower = np.asarray(again)
    upper = np.asarray(image)
    clear = np.array(image.info["transparency"])
    is_clear = (upper == clear >> 8).all(axis=2) & (lower == (clear & 255)).all(axis=2)
    return Image.fromarray(np.where(is_clear[..., None], np.uint8(255), upper))


def _span(image: Image.Image) -> tuple[float, float]:
    """The values of a deep grey that become black and white."""
    low, high = np.inf, -np.inf
    for _, band in _bands(image):
        values = np.asarray(band)
        finite = values[np.isfinite(values)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    if low > high:
        raise BadPhoto("the photo holds no finite values.")
    # 32-bit integers are how 16-bit greys are often stored.
    if image.mode.startswith("I") and low >= 0 and high <= 65535:
        return 0.0, 65535.0
    return low, high


def _to_8_bits(values: NDArray[np.generic], low: float, high: float) -> NDArray[np.uint8]:
    grey = values.astype(np.float32)
    grey = np.where(np.isfinite(grey), grey, np.float32(low))
    scaled = (grey - low) * (255.0 / (high - low)) if high > low else np.zeros_like(grey)
    return np.rint(scaled).astype(np.uint8)
