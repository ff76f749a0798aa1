"""What is built for a collection, read from manifests and the sizes of files.

That is cheap, and read again only where a file has changed; contents are verified where they are
loaded, built and checked.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data import artefact, store
from data.errors import PlaygroundError
from data.paths import collections_root, vectors_root, weights_root
from extractors import registry as extractor_registry
from extractors import weights
from indexing import jobs, prebuilt
from indexing import registry as index_registry
from indexing.artefacts import (
    build_command,
    built_extractors,
    built_indexes,
    extractor_folder,
    identity_difference,
    index_bytes,
    index_folder,
    index_manifest,
    recorded_source,
    vectors_manifest,
)


@dataclasses.dataclass(frozen=True)
class IndexStatus:
    """``state``: ready, stale (over other vectors), damaged or missing.

    ``message`` says of a damaged one what is wrong and what mends it.
    """

    index: str
    state: str
    bytes: int = 0
    bytes_per_photo: float | None = None  # what each adds; see ``artefacts.index_bytes``
    shared_bytes: int | None = None  # what all share
    build_s: float | None = None
    notes: tuple[str, ...] = ()
    message: str = ""


@dataclasses.dataclass(frozen=True)
class ExtractorStatus:
    """``state``: ready, stale, damaged, missing or building.

    ``message`` says why and what mends it.
    """

    extractor: str
    state: str
    weights: str = ""
    dim: int | None = None
    n: int = 0  # vectors
    photos: int = 0
    bytes: int = 0
    extract_s: float | None = None
    runtime: str = ""
    indexes: tuple[IndexStatus, ...] = ()
    message: str = ""
    current: bool = False  # the vectors fit the collection as it is, whatever is being built
    packed: str = ""  # where and when it was described, in words, where that was not here

    @property
    def searchable(self) -> bool:
        """Whether at least one index can be searched now."""
        return self.current and any(index.state == "ready" for index in self.indexes)


_KEPT: dict[str, tuple[object, list[ExtractorStatus]]] = {}
_GUARD = threading.Lock()


def collection_status(name: str) -> list[ExtractorStatus]:
    """The registry's extractors, cheapest first, then any other spec that has been built."""
    now = _signature(name)
    with _GUARD:
        kept = _KEPT.get(name)
    if kept is None or kept[0] != now:
        kept = (now, _read_status(name))
        with _GUARD:
            _KEPT[name] = kept
    return list(kept[1])


def _signature(name: str) -> object:
    """Differs when any file that the status is read from does: their sizes and times."""
    # Weights that came or went decide what a build would take now.
    of_weights = [weights_root(), weights.BUNDLED_ROOT, weights.torch_folder() / "hub"]
    folders = [collections_root() / name, vectors_root(name), *of_weights]
    files = sorted(one for folder in folders for one in _files(folder))
    return files, tuple(sorted(jobs.building(name)))


def _files(folder: Path | str) -> Iterator[tuple[str, int, int]]:
    # A folder that is not there, or goes at this moment, has no files.
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if not entry.is_dir():
                    stat = entry.stat()
                    yield entry.path, stat.st_mtime_ns, stat.st_size
                elif entry.name not in ("partial", "rerank", "thumbs", "photos"):
                    yield from _files(entry.path)


def _read_status(name: str) -> list[ExtractorStatus]:
    found = store.summary(name)
    specs = extractor_registry.names()
    specs += [spec for spec in built_extractors(name) if spec not in specs]
    busy = jobs.building(name)
    return [
        _extractor_status(name, spec, found["fingerprint"], found["photos"], spec in busy)
        for spec in specs
    ]


def _extractor_status(
    name: str, spec: str, fingerprint: str, photos: int, busy: bool
) -> ExtractorStatus:
    try:
        folder = extractor_folder(name, spec)
    except PlaygroundError:
        # What is left of a folder does not tell what it was.
        folder = vectors_root(name) / spec
        return ExtractorStatus(spec, "damaged", message=str(_nameless(folder)))
    mend = build_command(name, spec)
    try:
        manifest = vectors_manifest(name, spec)
    except artefact.Damaged as error:
        return ExtractorStatus(spec, "building" if busy else "damaged", message=str(error))
    if manifest is None:
        state = "building" if busy else "missing"
        return ExtractorStatus(spec, state, message="" if busy else f"Not built yet. Run: {mend}")
    message, state = "", "ready"
    source = str(manifest["identity"]["weights"].get("source", ""))
    try:
        extractor = extractor_registry.create(spec, weights=recorded_source(source) or "auto")
        difference = identity_difference(extractor, manifest)
        if difference is not None:
            state, message = "stale", f"Built otherwise: {difference}. Run: {mend}"
        else:
            best = _best_source(spec) or source
            if best != source:
                before, now = weights.source_words(source), weights.source_words(best)
                message = f"Weights it was built with: {before}. Here now: {now}. Run: {mend}"
    except PlaygroundError as error:
        state, message = "stale", str(error)
    if manifest["fingerprint"] != fingerprint:
        state = "stale"
        message = (
            f"The collection has changed since ({manifest['photos']} photos then, {photos} now). "
            f"Run: {mend}"
        )
    damage = artefact.damage(folder, manifest, mend, content=False)
    if damage is not None:
        state, message = "damaged", str(damage)
    current = state == "ready"
    indexes = []
    for index in _known_indexes(name, spec):
        indexes.append(_index_status(name, spec, index, manifest))
    if (busy and state != "ready") or (busy and any(entry.state != "ready" for entry in indexes)):
        state = "building"
    measured = artefact.read_record(folder)
    return ExtractorStatus(
        spec,
        state,
        source,
        manifest["dim"],
        manifest["vectors"],
        manifest["photos"],
        sum(entry["bytes"] for entry in manifest["files"].values()),
        measured.get("seconds"),
        str(measured.get("runtime", "")),
        tuple(indexes),
        message,
        current,
        prebuilt.said_of(measured),
    )


def _best_source(spec: str) -> str:
    """Where a build would take the weights from now; empty where it would refuse."""
    try:
        return extractor_registry.create(spec).weights_identity().get("source", "")
    except PlaygroundError:
        return ""


def _known_indexes(name: str, spec: str) -> list[str]:
    standard = index_registry.basic()
    return standard + [i for i in built_indexes(name, spec) if i not in standard]


def _index_status(name: str, spec: str, index: str, vectors: dict[str, Any]) -> IndexStatus:
    try:
        folder = index_folder(name, spec, index)
    except PlaygroundError:
        folder = extractor_folder(name, spec) / "indexes" / index
        return IndexStatus(index, "damaged", message=str(_nameless(folder)))
    try:
        manifest = index_manifest(name, spec, index)
    except artefact.Damaged as error:
        return IndexStatus(index, "damaged", message=str(error))
    if manifest is None:
        return IndexStatus(index, "missing")
    current = manifest["vectors_sha256"] == vectors["files"]["vectors.npy"]["sha256"]
    mend = build_command(name, spec, index)
    damage = artefact.damage(folder, manifest, mend, content=False)
    state = "damaged" if damage else "ready" if current else "stale"
    return IndexStatus(
        index,
        state,
        sum(entry["bytes"] for entry in manifest["files"].values()),
        *index_bytes(manifest, vectors["photos"]),
        artefact.read_record(folder).get("seconds"),
        tuple(map(str, manifest["notes"])),
        str(damage or ""),
    )


def _nameless(folder: Path) -> PlaygroundError:
    return artefact.Damaged.of(folder, "it does not say what it belongs to", None)
