"""Names that come from outside: ids made of them, and how they are shown."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath

from data import kinds
from data.base import Skipped

PHOTO_SUFFIXES = frozenset(
    [
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".webp",
        ".bmp",
        ".dib",
        ".tif",
        ".tiff",
        ".gif",
        ".mpo",
        ".avif",
    ]
)
HEIF_SUFFIXES = frozenset([".heic", ".heif", ".hif"])
UNREADABLE_SUFFIXES = HEIF_SUFFIXES | frozenset(
    [
        ".svg",
        ".eps",
        ".psd",
        ".jp2",
        ".jxl",
        ".dng",
        ".cr2",
        ".cr3",
        ".nef",
        ".arw",
        ".raf",
        ".orf",
    ]
)
"""Photos and pictures whose extension says that they are not decoded here; the bytes may differ."""
_RAW_SUFFIXES = frozenset([".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf"])
ARCHIVE_SUFFIXES = frozenset([".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst"])
# Folders that NAS, file managers and trash cans make: thumbnails and deleted photos, no landmarks.
SYSTEM_FOLDERS = frozenset(
    [
        "@eadir",
        "@tmp",
        "@sharebin",
        "@recycle",
        "@recently-snapshot",
        "@snapshot",
        "@__thumb",
        "@appstore",
        "#recycle",
        "#snapshot",
        "~snapshot",
        "$recycle.bin",
        "recycler",
        "system volume information",
        "lost+found",
        "network trash folder",
        "temporary items",
    ]
)
_LEFT_BEHIND = frozenset(["__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"])
_LONGEST_LABEL = 200  # characters
_LEGAL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_LONGEST = 120  # characters of an id without its hash


def printable(text: str) -> str:
    """The text with control characters and lone surrogates escaped: safe for a terminal."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )


def printable_lines(text: str) -> str:
    """``printable``, line by line."""
    return "\n".join(map(printable, text.split("\n")))


def words(text: str | None) -> str | None:
    """Text of others as it is kept: one form of each letter, no control characters, no margins.

    macOS writes "é" as two characters (NFD), others as one: without this they are two landmarks.
    """
    if text is None:
        return None
    return printable(unicodedata.normalize("NFC", text).strip()) or None


def label(text: str | None) -> str | None:
    """The landmark that a text names; None for one that names none.

    Of a very long text a hash stays, so that no two landmarks become one.
    """
    kept = words(text)
    if kept is None or len(kept) <= _LONGEST_LABEL:
        return kept
    return f"{kept[: _LONGEST_LABEL - 9]}-{hashlib.sha256(kept.encode()).hexdigest()[:8]}"


def legal_id(text: str) -> bool:
    """Whether the text may be the id of a photo or query."""
    return _LEGAL_ID.fullmatch(text) is not None


def safe_id(file: str) -> str:
    """An id of A-Z, a-z, 0-9, '.', '_', '-' from a relative file name, without its extension.

    Names that would lose letters or digits, and very long ones, get a short hash of the name, so
    that the id stays recognisable and no two such names meet.
    """
    path = PurePosixPath(file)
    known = path.suffix.lower() in PHOTO_SUFFIXES | HEIF_SUFFIXES
    stem = str(path.with_suffix("")) if known else str(path)
    bare = "".join(c for c in unicodedata.normalize("NFKD", stem) if not unicodedata.combining(c))
    lost = any(c.isalnum() and not c.isascii() for c in bare)
    legal = re.sub(r"[^A-Za-z0-9._-]+", "_", bare).strip("_.-")
    if lost or not legal or len(legal) > _LONGEST:
        return hashed_id(legal[:_LONGEST] or "photo", file)
    return legal


def hashed_id(base: str, file: str) -> str:
    """The id of a file whose plain id belongs to another file already."""
    return f"{base}-{hashlib.sha256(file.encode(errors='surrogatepass')).hexdigest()[:8]}"


class Ids:
    """Gives each file of one source its id; the first of two equal ones keeps the plain id."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def of(self, file: str) -> str:
        plain = chosen = safe_id(file)
        if plain in self._taken:
            plain = chosen = hashed_id(plain, file)
        number = 1
        while chosen in self._taken:  # an archive may hold one name several times
            number += 1
            chosen = f"{plain}-{number}"
        self._taken.add(chosen)
        return chosen


def hidden(parts: tuple[str, ...]) -> bool:
    """Whether a path is one that systems leave behind.

    Those are dot files, ``__MACOSX``, Thumbs.db, and what lies in a ``system_folder``.
    """
    return system_folder(parts) is not None or any(
        part.startswith(".") or part.lower() in _LEFT_BEHIND for part in parts
    )


def system_folder(parts: tuple[str, ...]) -> str | None:
    """The first part of a path that is a folder of a NAS or a trash can."""
    return next((part for part in parts if part.lower() in SYSTEM_FOLDERS), None)


class PassedOver:
    """Counts the photos in system folders, for a line in the import's report."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def count(self, folder: str, files: int = 1) -> None:
        self._counts[folder] += files

    def lines(self) -> Iterator[Skipped]:
        for folder, files in sorted(self._counts.items()):
            if files:
                yield Skipped(
                    printable(folder),
                    f"is a folder that a NAS or a system makes; {files:,} "
                    f"{'file' if files == 1 else 'files'} in it passed over.",
                )


def is_photo(file: str, head: Callable[[], bytes]) -> bool:
    """Whether a file is to be read as a photo, by its extension or in spite of it.

    Raw photos of cameras are none: they begin like TIFF and hold a small preview.

    Args:
        head: gives its first bytes; asked for only where they matter.
    """
    suffix = PurePosixPath(file).suffix.lower()
    if suffix in PHOTO_SUFFIXES:
        return True
    if suffix not in UNREADABLE_SUFFIXES:
        return False
    form = kinds.photo_format(head())
    if form == "HEIF":
        return kinds.heif_is_read()
    return form is not None and not (form == "TIFF" and suffix in _RAW_SUFFIXES)


def why_no_photo(file: str, head: bytes) -> str | None:
    """Why a file without a photo's extension is worth a word; None: pass over it quietly.

    Args:
        file: its name.
        head: its first 12 bytes or more.
    """
    suffix = PurePosixPath(file).suffix.lower()
    form = kinds.photo_format(head)
    if suffix in HEIF_SUFFIXES and form in ("HEIF", None):
        return f"has the extension {suffix}. {kinds.NO_HEIF}"
    if suffix in UNREADABLE_SUFFIXES:
        return f"{suffix[1:].upper()} files are not read here. Convert it to JPEG first."
    if form not in (None, "BMP"):  # "BM" begins much that is no picture
        return (
            f"holds a photo but its extension is {suffix or 'missing'}. Rename it, to .jpg or "
            f".png for instance."
        )
    return None
