"""Any folder of photos: one sub-folder per landmark, or photos without labels."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data import names, permission, walk
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
        permission.require("name a folder of this machine")
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
        for found in walk.files(root):
            if isinstance(found, Skipped):
                yield found
                continue
            entry, file = found
            offered = _judge(root, entry, file)
            if isinstance(offered, Skipped):
                yield offered
            elif offered is not None:
                top, slash, _ = file.partition("/")
                yield Candidate(
                    id=ids.of(file),
                    path=offered,
                    file=file,
                    label=names.label(top) if slash else None,
                )

    def count(self) -> int:
        found = walk.files(self.root())
        files = (one[1] for one in found if not isinstance(one, Skipped))
        return sum(Path(file).suffix.lower() in names.PHOTO_SUFFIXES for file in files)

    def describe(self) -> dict[str, Any]:
        return {"kind": self.kind, "path": str(self.root())}

    def about(self) -> dict[str, str]:
        return {}


def _judge(root: Path, entry: os.DirEntry[str], file: str) -> Path | Skipped | None:
    """The path to import, or why not; None for files to pass over quietly."""
    shown = names.printable(file)
    path = Path(entry.path)
    if entry.is_symlink():
        try:
            target = path.resolve()
        except (OSError, RuntimeError):
            return Skipped(shown, "is a link that leads back to itself.")
        if target.is_symlink():  # Python 3.13 stops at a loop instead
            return Skipped(shown, "is a link that leads back to itself.")
        if target.is_dir():
            return Skipped(shown, "is a link to a folder; such links are not followed.")
        named = Path(file).suffix.lower() in names.PHOTO_SUFFIXES | names.UNREADABLE_SUFFIXES
        if named and not target.is_relative_to(root):
            return Skipped(shown, "is a link that leaves the folder; it is not followed.")
        if named and not target.is_file():
            return Skipped(shown, "is a link to nothing.")
    elif not entry.is_file(follow_symlinks=False):
        return None  # sockets, pipes: opening one could block for ever
    if not names.is_photo(file, lambda: _head(path)):
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
            return handle.read(64)
    except OSError:
        return b""
