"""A collection's files (see data.store for the list of them): written, named and read.

Thumbnails and copies are named by content and written before the manifest, so that a process
killed at any time leaves the old collection whole, and the next import takes up what is there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Collection as Container
from pathlib import Path
from typing import Any

from data import artefact, commands, names, paths
from data.base import Photo

HEADER, PHOTOS, QUERIES = "collection.json", "photos.jsonl", "queries.jsonl"
COPIES, _THUMBS, INCOMING = "photos", "thumbs", ".incoming"
_FIELDS = {field.name: field for field in dataclasses.fields(Photo)}


def folder_of(name: str) -> Path:
    return paths.collections_root() / paths.check_name(name, "collection")


def clear(folder: Path) -> None:
    """Delete what is in a collection's folder, then the folder, while its lock is held."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != ".lock":
            path.unlink(missing_ok=True)
    # Some systems do not let go of a lock file that is held: then the empty folder stays.
    with contextlib.suppress(OSError):
        (folder / ".lock").unlink(missing_ok=True)
        folder.rmdir()


def new_header() -> dict[str, Any]:
    return {"title": "", "description": "", "licence": "", "author": "", "sources": [], "roots": []}


def read_header(folder: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    header: dict[str, Any] = json.loads(read(folder, manifest, HEADER))
    return header


def read(folder: Path, manifest: dict[str, Any], file: str) -> str:
    """The text of one of the collection's files, verified."""
    mend = commands.delete(folder.name)
    path = artefact.file_path(folder, manifest, file, mend, commands.AGAIN)
    return path.read_text(encoding="utf-8")


def partial(photos_missing: int, queries_missing: int) -> dict[str, Any]:
    missing = {
        "photos_missing": max(0, photos_missing),
        "queries_missing": max(0, queries_missing),
    }
    return {"partial": missing} if any(missing.values()) else {}


def fingerprint(collection_photos: Iterable[Photo]) -> str:
    """SHA-256 (hex) of the sorted (id, sha256) of photos: what vectors are computed from."""
    digest = hashlib.sha256()
    for photo in sorted(collection_photos, key=lambda photo: photo.id):
        digest.update(f"{photo.id}\t{photo.sha256}\n".encode())
    return digest.hexdigest()


def save(
    folder: Path,
    header: dict[str, Any],
    kept: Iterable[Photo],
    queries: Iterable[Photo],
    record: dict[str, Any],
) -> None:
    kept = sorted(kept, key=lambda photo: photo.id)
    queries = sorted(queries, key=lambda query: query.id)
    summary = {
        "name": folder.name,
        "photos": len(kept),
        "queries": len(queries),
        "landmarks": len({photo.label for photo in kept} - {None}),
        "fingerprint": fingerprint(kept),
    }
    header = {**header, **summary}

    def lines(of: list[Photo]) -> Callable[[Path], None]:
        def write(path: Path) -> None:
            with open(path, "w", encoding="utf-8", newline="\n") as handle:
                handle.writelines(_to_line(photo) for photo in of)

        return write

    def write_header(path: Path) -> None:
        path.write_text(artefact.canonical_json(header), encoding="utf-8")

    artefact.save(
        folder,
        {"kind": "collection", **summary},
        {HEADER: write_header, PHOTOS: lines(kept), QUERIES: lines(queries)},
        record,
    )
    _remove_unused(folder, [*kept, *queries])


def _to_line(photo: Photo) -> str:
    # Values equal to their defaults are left out: most lines have few others.
    fields = {
        name: value
        for name, field in _FIELDS.items()
        if (value := getattr(photo, name)) != field.default and value != {}
    }
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")) + "\n"


def from_line(line: str) -> Photo:
    fields = json.loads(line)
    box, relevant = fields.get("box"), fields.get("relevant")
    if box is not None:
        fields["box"] = tuple(box)
    if relevant is not None:
        fields["relevant"] = tuple(relevant)
    label = fields.get("label")
    if label is not None and not label.isascii():
        # Kept before labels were: "é" as one character and as two were two landmarks.
        fields["label"] = names.label(label)
    return Photo(**fields)


def describe_root(root: Path) -> dict[str, str]:
    # Relative inside the project, so that a clone that was moved still finds its photos.
    if root.is_relative_to(paths.PROJECT_ROOT):
        return {"base": "project", "path": root.relative_to(paths.PROJECT_ROOT).as_posix()}
    return {"base": "absolute", "path": str(root)}


def root_path(folder: Path, root: Mapping[str, str]) -> Path:
    bases = {"project": paths.PROJECT_ROOT, "collection": folder, "absolute": Path("/")}
    return bases[root["base"]] / root["path"]


def thumb_path(folder: Path, sha256: str) -> Path:
    return folder / _THUMBS / sha256[:2] / f"{sha256}.jpg"


def has_bytes(path: Path, size: int | None = None) -> bool:
    try:
        found = path.stat().st_size
    except OSError:
        return False
    return found > 0 if size is None else found == size


def write_once(path: Path, content: bytes, again: bool = False) -> None:
    """Write a file named by its content. Not synced: it can be made again from the photo."""
    if not again and has_bytes(path):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _remove_unused(folder: Path, used: Container[Photo]) -> None:
    """Delete thumbnails and copies that no photo has any more."""
    wanted = {photo.sha256 for photo in used}
    for shelf in (_THUMBS, COPIES):
        for path in _files_below(folder / shelf):
            if path.stem not in wanted:
                # The collection is saved; what stays here only takes space until the next time.
                with contextlib.suppress(OSError):
                    path.unlink()


def _files_below(folder: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        for shard in sorted(folder.iterdir()):
            yield from shard.iterdir()
