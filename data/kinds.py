"""What a file is by its first bytes, in words for people. Its name has no say."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import struct

HEAD = 4096  # bytes that say it all

_HEIF_BRANDS = frozenset(
    [b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"]
)
_READ = {  # formats that are decoded here, by how they begin
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
}
_OTHERS = {  # everything else that is taken for a photo or a checkpoint, or is got instead of one
    b"\x00\x00\x00\x0cJXL ": "a JPEG XL photo",
    b"\xff\x0a": "a JPEG XL photo",
    b"\x00\x00\x00\x0cjP  ": "a JPEG 2000 photo",
    b"\xff\x4f\xff\x51": "a JPEG 2000 photo",
    b"8BPS": "a Photoshop file",
    b"%PDF": "a PDF document",
    b"%!PS": "a PostScript file",
    b"FUJIFILM": "a raw photo of a camera",
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ\0": "an xz archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file",
    b"\x93NUMPY": "a NumPy file",
    b"PAR1": "a Parquet file",
    b"\x80\x02": "a Python pickle",
    b"\x80\x03": "a Python pickle",
    b"\x80\x04": "a Python pickle",
    b"\x80\x05": "a Python pickle",
    b"version https://git-lfs": "a Git LFS pointer; the file itself was not fetched (git lfs pull)",
}
_TYPES = {1: "unsigned", 2: "signed", 3: "floating-point", 5: "complex", 6: "complex"}
_BITS, _SAMPLES, _FORMAT = 258, 277, 339  # TIFF tags
_LOSSLESS = (0xC3, 0xC7, 0xCB, 0xCF)


def photo_format(head: bytes) -> str | None:
    """The photo format that the bytes begin like: JPEG, PNG, WEBP, HEIF, …; None for others."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        size = min(len(head), max(16, int.from_bytes(head[:4], "big")))
        brands = {head[8:12], *(head[at : at + 4] for at in range(16, size - 3, 4))}
        if brands & {b"avif", b"avis"}:
            return "AVIF"
        return "HEIF" if brands & _HEIF_BRANDS else None
    return next((name for magic, name in _READ.items() if head.startswith(magic)), None)


def in_words(head: bytes) -> str | None:
    """What the file is where it is no photo that is decoded here; None where nothing tells."""
    form = photo_format(head)
    if form is not None:
        return f"{'an' if form == 'AVIF' else 'a'} {'HEIC' if form == 'HEIF' else form} photo"
    if head[4:8] == b"ftyp":
        return "a raw photo of a camera" if head[8:11] == b"crx" else "a video"
    for magic, words in _OTHERS.items():
        if head.startswith(magic):
            return words
    start = head[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "a web page, as when a download has failed"
    if start.startswith((b"<svg", b"<?xml")):
        return "an SVG drawing" if b"<svg" in start else "an XML file"
    if start.startswith((b"{", b"[")) and _is_text(head):
        return "a JSON text"
    if head and not head.strip(b"\0"):
        return "a file of nothing but zeros, as when a download was not finished"
    return "a text" if head and _is_text(head) else None


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # not only cut within its last character
            return False
        text = head[: error.start].decode("utf-8")
    return all(char.isprintable() or char in "\t\r\n" for char in text)


@functools.cache
def heif_is_read() -> bool:
    """Whether pillow-heif is there; the first call lets Pillow know of it."""
    if importlib.util.find_spec("pillow_heif") is None:
        return False
    try:
        importlib.import_module("pillow_heif").register_heif_opener()
    except Exception:  # built for another Pillow, say: then HEIC is not read, and nothing else
        return False
    return True


NO_HEIF = (
    "HEIC is not read without pillow-heif. Convert it to JPEG first, or install that: "
    "pip install -r requirements-heic.txt"
)


def unusual(content: bytes) -> str | None:
    """Why a TIFF or JPEG of a rare kind is not read: what its pixels are."""
    try:
        form = photo_format(content)
        if form == "TIFF":
            return _tiff_pixels(content)
        return _jpeg_process(content) if form == "JPEG" else None
    except (struct.error, IndexError):
        return None  # broken besides


def _tiff_pixels(content: bytes) -> str | None:
    order = "<" if content[:2] == b"II" else ">"
    (at,) = struct.unpack_from(f"{order}I", content, 4)
    (entries,) = struct.unpack_from(f"{order}H", content, at)
    found = {_BITS: 1, _SAMPLES: 1, _FORMAT: 1}
    for number in range(min(entries, 200)):
        tag, kind, count = struct.unpack_from(f"{order}HHI", content, at + 2 + 12 * number)
        if tag in found and kind == 3:
            place = at + 10 + 12 * number
            if count > 2:
                (place,) = struct.unpack_from(f"{order}I", content, place)
            (found[tag],) = struct.unpack_from(f"{order}H", content, place)
    kind = _TYPES.get(found[_FORMAT], "unknown")
    return (
        f"a TIFF whose pixels are {found[_SAMPLES]} x {found[_BITS]}-bit {kind} numbers, which is "
        f"not read here; save it with 8 bits per channel"
    )


def _jpeg_process(content: bytes) -> str | None:
    at = 2
    while at + 9 < len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker in range(0xC0, 0xD0) and marker not in (0xC4, 0xC8, 0xCC):
            bits = content[at + 4]
            if marker in _LOSSLESS:
                return "a lossless JPEG, which is not read here; save it as PNG"
            if bits != 8:
                return (
                    f"a JPEG with {bits} bits per channel, which is not read here; save it with 8"
                )
            if marker > 0xC8:
                return "an arithmetic-coded JPEG, which is not read here; save it as usual JPEG"
            return None
        if marker == 0xF7:
            return "a JPEG-LS photo, which is not read here; save it as PNG"
        at += 2 if marker == 0xFF else 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return None
