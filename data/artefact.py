"""Artefacts: files saved together, atomically, and verified when they are read.

An artefact is a folder with a ``manifest.json`` that names its files with size and SHA-256.
The files carry a part of their hash in their names and are never overwritten; replacing the
manifest (one ``os.replace``) is the moment a new version takes effect. A process killed at any
time therefore leaves either the old artefact or the new one, plus orphans that the next save
removes. Measured values that differ from run to run (seconds, dates) do not belong in a
manifest: they go to ``record.json`` beside it, so that equal inputs give equal bytes.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import filelock

from data import paths
from data.errors import Conflict, NotFound, PlaygroundError

MANIFEST = "manifest.json"
RECORD = "record.json"
FORMAT = 1


def canonical_json(value: Any) -> str:
    """JSON text that is equal for equal values: sorted keys, fixed separators."""
    return json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False) + "\n"


def digest(value: Any) -> str:
    """SHA-256 (hex) of a JSON-able value."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


@contextlib.contextmanager
def explain_os_errors(doing: str) -> Iterator[None]:
    """Turn a full disk or a missing permission into a sentence; what was saved stays."""
    try:
        yield
    except OSError as error:
        where = error.filename or ""  # a write names none
        reasons = {
            errno.ENOSPC: "The disk is full. Free some space",
            errno.EFBIG: "A file may not be as large there. Set PLAYGROUND_HOME to another disk",
            errno.EDQUOT: "The disk quota is used up. Free some space",
            errno.EACCES: "Permission was denied. Make the folder writable",
            errno.EPERM: "Permission was denied. Make the folder writable",
            errno.EROFS: "The file system is read-only. Set PLAYGROUND_HOME to a writable folder",
        }
        reason = reasons.get(error.errno or 0)
        if reason is None and _is_of_home(Path(str(where))):
            # Whatever else a system says of the folder where things are built.
            reason = "Set PLAYGROUND_HOME to a folder that can be written"
        if reason is None:
            raise
        raise PlaygroundError(
            f"{doing} failed: {f'{where}: ' if where else ''}{os.strerror(error.errno or 0)}. "
            f"{reason} and run the same command again; what was already saved is untouched."
        ) from error


def _is_of_home(path: Path) -> bool:
    """Whether the path is in the folder of everything built, or on the way to it."""
    home = paths.artifacts_root()
    return path.is_absolute() and (path.is_relative_to(home) or home.is_relative_to(path))


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a small file so that readers see the old content or the new, never a part."""
    payload = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as handle:
            handle.write(payload)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def exclusive(folder: Path, doing: str) -> Iterator[None]:
    """Hold the folder's lock; refuse when another live process holds it.

    The operating system drops the lock when its holder dies, however it dies.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(str(folder / ".lock"), timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise Conflict(
            f"{doing} is already running in another process ({folder}). Wait for it to end, or "
            f"stop that process, and run the command again."
        ) from None
    try:
        yield
    finally:
        lock.release()


def save(
    folder: Path,
    meta: dict[str, Any],
    writers: dict[str, Callable[[Path], None]],
    record: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Save files and their manifest as one step.

    Args:
        folder: the artefact's folder, created if missing.
        meta: the manifest's own fields, JSON-able and equal for equal inputs.
        writers: file name (such as ``vectors.npy``) to a function that writes that file at the
            path it is given.
        record: measured values kept beside the manifest.

    Returns:
        The manifest as written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, dict[str, Any]] = {}
    for name, write in writers.items():
        temporary = folder / f".{name}.{os.getpid()}.tmp"
        try:
            write(temporary)
            with open(temporary, "rb+") as handle:
                os.fsync(handle.fileno())
            sha256 = file_sha256(temporary)
            stem, dot, suffix = name.partition(".")
            final = f"{stem}-{sha256[:12]}{dot}{suffix}"
            files[name] = {
                "file": final,
                "bytes": temporary.stat().st_size,
                "sha256": sha256,
            }
            os.replace(temporary, folder / final)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    manifest = {**meta, "format": FORMAT, "files": files}
    # The record goes first: a manifest without its record would be an artefact without a time.
    write_atomically(folder / RECORD, canonical_json(record or {}))
    write_atomically(folder / MANIFEST, canonical_json(manifest))
    _remove_orphans(folder, {entry["file"] for entry in files.values()})
    return manifest


def _remove_orphans(folder: Path, keep: set[str]) -> None:
    for path in folder.iterdir():
        ours = path.name not in {MANIFEST, RECORD, ".lock"} and path.name not in keep
        if ours and path.is_file():
            path.unlink(missing_ok=True)


class Damaged(Conflict):
    """A manifest that cannot be what was written: its artefact has to be made again."""

    @classmethod
    def of(cls, folder: Path, what: str, mend: str | None, then: str = "") -> Damaged:
        text = f"{folder / MANIFEST} is damaged: {what}."
        if mend is None:
            return cls(f"{text} Delete the folder {folder} and build it again.")
        return cls(text, command=mend, then=then)


class _Fields(dict[str, Any]):
    """An object of a manifest: a field that is not there is damage, not a defect of ours."""

    damaged: Callable[[str], Damaged]

    def __missing__(self, key: str) -> Any:
        raise self.damaged(f"it has no {key!r}")


# Fields that mean the same in every manifest that has them.
_KINDS = ("collection", "vectors", "index")  # whose fields are those below
_TYPES: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("build", "files", "identity", "search"), dict),
    **dict.fromkeys(("code_size", "d", "dim", "n", "photos", "queries", "vectors"), int),
    **dict.fromkeys(("collection", "extractor", "fingerprint", "index", "kind"), str),
    **dict.fromkeys(("distance", "metric", "vectors_sha256"), str),
    **dict.fromkeys(("local", "normalised"), bool),
    "bytes_per_vector": (int, float),
    "notes": list,
}
_ENTRY: dict[str, type] = {"file": str, "bytes": int, "sha256": str}


def read_manifest(
    folder: Path, kind: str | None = None, mend: str | None = None, then: str = ""
) -> dict[str, Any] | None:
    """The manifest, or None when the folder holds no artefact.

    Args:
        kind: what the artefact has to be, such as "vectors"; None: anything.
        mend: the command that makes the artefact again; None: deleting its folder helps.
        then: what the error says behind the command.

    Raises:
        Damaged: it is not one that was written here; also later, where a field is missing.
    """
    try:
        content = (folder / MANIFEST).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None

    def damaged(what: str) -> Damaged:
        return Damaged.of(folder, what, mend, then)

    def fields(found: dict[str, Any]) -> _Fields:
        made = _Fields(found)
        made.damaged = damaged
        return made

    try:
        manifest = json.loads(content.decode("utf-8"), object_hook=fields)
    except (ValueError, RecursionError):
        manifest = None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise damaged(f"it is not a manifest of format {FORMAT}")
    if kind is not None and manifest["kind"] != kind:
        raise damaged(f"its kind is {str(manifest['kind'])[:60]!r} instead of {kind!r}")
    wrong = _wrong_field(manifest)
    if wrong is not None:
        raise damaged(f"{wrong} is illegal")
    return manifest


def usable_manifest(folder: Path, kind: str | None = None) -> dict[str, Any] | None:
    """``read_manifest`` for what is made again anyway: a damaged one counts as none."""
    try:
        return read_manifest(folder, kind)
    except Damaged:
        return None


def _wrong_field(manifest: dict[str, Any]) -> str | None:
    """The first field that is not of its type, with its value."""
    typed = _TYPES if manifest.get("kind") in _KINDS else {"files": dict, "kind": str}
    for name, legal in typed.items():
        if name in manifest and not _is(manifest[name], legal):
            return f"{name} ({str(manifest[name])[:60]!r})"
    for part in ("config", "weights") if manifest.get("kind") == "vectors" else ():
        if not isinstance(manifest["identity"][part], dict):
            return f"{part} ({str(manifest['identity'][part])[:60]!r})"
    for name, entry in manifest["files"].items():
        if not isinstance(entry, dict):
            return f"entry of {name} ({str(entry)[:60]!r})"
        for key, kind in _ENTRY.items():
            if not _is(entry[key], kind):
                return f"{key} of {name} ({str(entry[key])[:60]!r})"
    return None


def _is(value: object, legal: type | tuple[type, ...]) -> bool:
    # A truth value is an int to Python.
    return isinstance(value, legal) and (legal is bool or not isinstance(value, bool))


def read_record(folder: Path) -> dict[str, Any]:
    """Measured values saved with the artefact; empty when there are none."""
    try:
        value = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def file_path(
    folder: Path,
    manifest: dict[str, Any],
    name: str,
    mend: str,
    then: str = "",
    content: bool = True,
) -> Path:
    """The path of one of the artefact's files, after checking its size and SHA-256.

    Args:
        mend: the command that builds the artefact again, quoted in the error.
        then: what the error says behind the command.
        content: compare the SHA-256, too, and not the size alone.

    Raises:
        NotFound: the file is not there.
        Conflict: it is damaged.
    """
    entry = manifest["files"].get(name)
    if entry is None:
        raise NotFound(f"The artefact {folder} has no {name}.", command=mend, then=then)
    # The manifest is untrusted: only a plain name inside the folder is opened.
    if Path(entry["file"]).name != entry["file"]:
        outside = f"{folder / MANIFEST} names a file outside its folder."
        raise Conflict(outside, command=mend, then=then)
    path = folder / entry["file"]
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise NotFound(f"{path} is missing.", command=mend, then=then) from None
    if size != entry["bytes"]:
        sizes = f"{path} has {size} bytes, its manifest says {entry['bytes']}."
        raise Conflict(sizes, command=mend, then=then)
    if content and file_sha256(path) != entry["sha256"]:
        other = f"{path} does not have the SHA-256 of its manifest."
        raise Conflict(other, command=mend, then=then)
    return path


def damage(
    folder: Path, manifest: dict[str, Any], mend: str, content: bool = True
) -> PlaygroundError | None:
    """What is wrong with the artefact's files; None where nothing is. See ``file_path``."""
    try:
        for name in manifest["files"]:
            file_path(folder, manifest, name, mend, content=content)
    except PlaygroundError as error:
        return error
    return None
