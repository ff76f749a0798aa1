"""The demo collection that comes with the project: rendered landmarks in ``data/demo``."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import filelock

from data import artefact, importing, names, store
from data.base import Box, Candidate, Skipped
from data.errors import PlaygroundError
from data.paths import PROJECT_ROOT, collections_root

DEMO_FOLDER = PROJECT_ROOT / "data" / "demo"
PREBUILT = DEMO_FOLDER / "prebuilt"  # what is built of it already (``indexing.prebuilt``)
FORMAT = 1
_HEADER, _PHOTOS, _QUERIES = "collection.json", "photos.jsonl", "queries.jsonl"
_MEND = "git checkout -- data/demo"


class DemoSource:
    """A collection in the format of ``data/demo``, referenced where it lies.

    ``collection.json`` holds the header; ``photos.jsonl`` and ``queries.jsonl`` hold one JSON
    object per line with ``id``, ``file``, ``label``, ``title``, ``sha256`` and, for queries,
    ``box``. Whatever describes the rendered scene (``scene``) is kept in ``Photo.extra``, and so
    are the easy, hard and junk photos of a query (``ground_truth``), by which the collection is
    judged as Revisited Oxford is; a listing without them is judged by its labels.

    Args:
        folder: another folder of the same format.
    """

    kind = "demo"

    def __init__(self, folder: Path | str | None = None) -> None:
        self.folder = Path(folder).expanduser() if folder is not None else DEMO_FOLDER

    def header(self) -> dict[str, Any]:
        """The content of ``collection.json``, checked."""
        try:
            header = json.loads(self._bytes(_HEADER))
        except ValueError:
            header = None
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            raise PlaygroundError(
                f"{self.folder / _HEADER} is not a collection header of format {FORMAT}. "
                f"Restore it: {_MEND}"
            )
        return header

    def name(self) -> str:
        return str(self.header().get("name", "demo"))

    def root(self) -> Path:
        self.header()
        return self.folder.resolve()

    def candidates(self) -> Iterator[Candidate | Skipped]:
        root = self.root()
        for listing, query in ((_PHOTOS, False), (_QUERIES, True)):
            for number, line in enumerate(self._bytes(listing).splitlines(), start=1):
                if line.strip():
                    found = _candidate(root, line, f"{listing}:{number}", query)
                    # What the project ships was decoded when it was rendered and described.
                    if isinstance(found, Candidate) and self.folder == DEMO_FOLDER:
                        found = dataclasses.replace(found, decoded=True)
                    yield found

    def count(self) -> int:
        return self._bytes(_PHOTOS).count(b"\n") + self._bytes(_QUERIES).count(b"\n")

    def describe(self) -> dict[str, Any]:
        """The content's hash is among the parameters: it tells when the demo has changed."""
        content = hashlib.sha256()
        for listing in (_HEADER, _PHOTOS, _QUERIES):
            content.update(hashlib.sha256(self._bytes(listing)).digest())
        described = {"kind": self.kind, "content": content.hexdigest()}
        if b'"ground_truth"' in self._bytes(_QUERIES):
            described["protocol"] = "revisited"
        if self.folder != DEMO_FOLDER:
            described["path"] = str(self.folder.resolve())
        return described

    def about(self) -> dict[str, str]:
        header = self.header()
        fields = ("title", "description", "licence", "author")
        return {field: str(header[field]) for field in fields if header.get(field)}

    def _bytes(self, name: str) -> bytes:
        try:
            return (self.folder / name).read_bytes()
        except OSError as error:
            raise PlaygroundError(
                f"The demo collection is incomplete: {self.folder / name} cannot be read "
                f"({error.strerror}). Restore it: {_MEND}"
            ) from error


def _candidate(root: Path, line: bytes, where: str, query: bool) -> Candidate | Skipped:
    try:
        entry = json.loads(line)
        file = str(entry["file"])
        if PurePosixPath(file).is_absolute() or ".." in PurePosixPath(file).parts:
            return Skipped(names.printable(file), f"{where} names a file outside the collection.")
        box: Box | None = None
        if query and entry.get("box") is not None:
            x0, y0, x1, y1 = (int(value) for value in entry["box"])
            box = (x0, y0, x1, y1)
        return Candidate(
            id=str(entry["id"]),
            path=root / file,
            file=file,
            label=entry.get("label"),
            title=entry.get("title"),
            box=box,
            query=query,
            extra={key: entry[key] for key in ("scene", "ground_truth") if entry.get(key)},
            sha256=entry.get("sha256"),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return Skipped(where, f"is not a photo's description ({error!r}).")


def ensure_demo(folder: Path | str | None = None) -> store.Collection:
    """The demo collection, imported first where it is missing or has changed.

    Photos added to it from elsewhere stay. Two processes that call this at once do the work once.

    Args:
        folder: another folder in the demo's format.

    Raises:
        PlaygroundError: ``data/demo`` is missing or broken, or the import failed.
    """
    source = DemoSource(folder)
    name = source.name()
    described = source.describe()
    current = _if_current(name, described)
    if current is not None:
        return current
    with artefact.explain_os_errors("Preparing the demo collection"):
        collections_root().mkdir(parents=True, exist_ok=True)
    # The collection's own lock refuses instead of waiting; here the second caller should wait.
    with filelock.FileLock(str(collections_root() / f".{name}.ensure.lock"), timeout=600):
        current = _if_current(name, described)
        if current is None:
            importing.import_collection(name, source, on_exists="refresh")
            current = store.load(name)
    return current


def _if_current(name: str, described: dict[str, Any]) -> store.Collection | None:
    if not store.exists(name):
        return None
    collection = store.load(name)
    return collection if described in collection.sources else None
