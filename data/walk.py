"""Walking a folder of photos, however deep it is and whatever systems have left in it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from data import names, paths
from data.base import Skipped
from data.errors import PlaygroundError

Found = tuple["os.DirEntry[str]", str]  # a file (or a link), and its name relative to the root
_TOO_DEEP = (errno.ENAMETOOLONG, errno.ELOOP)


def files(root: Path) -> Iterator[Found | Skipped]:
    """Files and links below a folder, sorted; folders that are passed over come as ``Skipped``.

    Hidden files and folders are passed over, and what a playground keeps of its own.

    Raises:
        PlaygroundError: a folder cannot be listed.
    """
    own = _own_home()
    passed = names.PassedOver()
    # A stack of our own: a recursion would end some 1,000 folders down.
    stack = [iter(_sorted(root, ""))]
    while stack:
        found = next(stack[-1], None)
        if found is None:
            stack.pop()
        elif isinstance(found, Skipped):
            yield found
        else:
            entry, file = found
            if not entry.is_dir(follow_symlinks=False):
                if not names.hidden((entry.name,)):
                    yield entry, file
            elif names.system_folder((entry.name,)) is not None:
                passed.count(entry.name, _photos_in(Path(entry.path)))
            elif own is not None and os.path.samestat(entry.stat(follow_symlinks=False), own):
                yield _is_own(file)
            elif not names.hidden((entry.name,)):
                stack.append(iter(_sorted(Path(entry.path), f"{file}/")))
    yield from passed.lines()


def _sorted(folder: Path, prefix: str) -> list[Found | Skipped]:
    shown = names.printable(prefix.rstrip("/") or str(folder))
    try:
        with os.scandir(folder) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
    except OSError as error:
        if prefix and error.errno in _TOO_DEEP:
            # The end of such a path says enough.
            return [Skipped(f"…{shown[-80:]}", f"is a folder too deep ({error.strerror}).")]
        raise PlaygroundError(
            f"The folder {names.printable(str(folder))} cannot be listed ({error.strerror}). Make "
            f"it readable and run the command again."
        ) from error
    if _is_collection({entry.name for entry in entries}):
        return [_is_own(shown)]
    return [(entry, f"{prefix}{entry.name}") for entry in entries]


def _photos_in(folder: Path) -> int:
    """Photos below a folder that is passed over."""
    count, stack = 0, [folder]
    while stack:
        try:
            with os.scandir(stack.pop()) as scan:
                for entry in scan:
                    if entry.is_dir(follow_symlinks=False):
                        stack.append(Path(entry.path))
                    else:
                        count += Path(entry.name).suffix.lower() in names.PHOTO_SUFFIXES
        except OSError:
            continue  # only counted
    return count


def _own_home() -> os.stat_result | None:
    try:
        return os.stat(paths.artifacts_root())
    except OSError:
        return None


def _is_collection(listed: set[str]) -> bool:
    """Whether these are the files of a stored collection: its thumbnails are no photos."""
    return "manifest.json" in listed and any(
        name.startswith("photos-") and name.endswith(".jsonl") for name in listed
    )


def _is_own(file: str) -> Skipped:
    return Skipped(names.printable(file), "is where a playground keeps its own files; passed over.")
