"""Any folder of photos: one sub-folder per landmark, or photos without labels."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data import names
from data.base import Candidate, Skipped
from data.errors import PlaygroundError


class FolderSource:
    """Photos of a folder, referenced where they lie.

    The first level of sub-folders gives the labels, however deep the photos lie below it; photos
    directly in the folder have none. Files are visited in sorted order. Hidden files and files
    that are no pictures are passed over; links are followed only to files inside the folder.

    Args:
        path: the folder.
    """

    kind = "folder"

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).expanduser()

    def root(self) -> Path:
        if not self.path.is_dir():
            what = "is a file" if self.path.exists() else "does not exist"
            raise PlaygroundError(
                f"The folder {names.printable(str(self.path))} {what}. Give a folder that holds "
                f"photos, or one sub-folder of photos per landmark. A zip file is imported with "
                f"--source zip."
            )
        return self.path.resolve()

    def candidates(self) -> Iterator[Candidate | Skipped]:
        root = self.root()
        ids = names.Ids()
        for entry, file in _walk(root, ""):
            offered = _judge(root, entry, file)
            if isinstance(offered, Skipped):
                yield offered
            elif offered is not None:
                top, slash, _ = file.partition("/")
                yield Candidate(
                    id=ids.of(file),
                    path=offered,
                    file=file,
                    label=names.printable(top) if slash else None,
                )

    def count(self) -> int:
        files = (file for _, file in _walk(self.root(), ""))
        return sum(Path(file).suffix.lower() in names.PHOTO_SUFFIXES for file in files)

    def describe(self) -> dict[str, Any]:
        return {"kind": self.kind, "path": str(self.root())}

    def about(self) -> dict[str, str]:
        return {}


def _walk(folder: Path, prefix: str) -> Iterator[tuple[os.DirEntry[str], str]]:
    """Files (and links to folders) below ``folder`` with their relative names, sorted."""
    try:
        with os.scandir(folder) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
    except OSError as error:
        raise PlaygroundError(
            f"The folder {names.printable(str(folder))} cannot be listed ({error.strerror}). Make "
            f"it readable and run the command again."
        ) from error
    for entry in entries:
        if names.hidden((entry.name,)):
            continue
        file = f"{prefix}{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(folder / entry.name, f"{file}/")
        else:
            yield entry, file


def _judge(root: Path, entry: os.DirEntry[str], file: str) -> Path | Skipped | None:
    """The path to import, or why not; None for files to pass over quietly."""
    shown = names.printable(file)
    is_photo = Path(file).suffix.lower() in names.PHOTO_SUFFIXES
    path = Path(entry.path)
    if entry.is_symlink():
        target = path.resolve()
        if target.is_dir():
            return Skipped(shown, "is a link to a folder; such links are not followed.")
        if is_photo and not target.is_relative_to(root):
            return Skipped(shown, "is a link that leaves the folder; it is not followed.")
        if is_photo and not target.is_file():
            return Skipped(shown, "is a link to nothing.")
    elif not entry.is_file(follow_symlinks=False):
        return None  # sockets, pipes: opening one could block for ever
    if not is_photo:
        reason = names.why_no_photo(file, _head(path) if path.is_file() else b"")
        return Skipped(shown, reason) if reason else None
    try:
        file.encode()
    except UnicodeEncodeError:
        return Skipped(shown, "has a name that is no legal UTF-8. Rename it.")
    return path


def _head(path: Path) -> bytes:
    try:
        with open(path, "rb") as handle:
            return handle.read(16)
    except OSError:
        return b""
