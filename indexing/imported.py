"""Imported descriptors as a collection's vectors, and its queries' stored descriptors.

The artefact is that of a built extractor (see ``indexing.artefacts``), with ``queries.npy`` and
``query_ids.json`` besides.
"""

from __future__ import annotations

import dataclasses
import errno
import functools
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from data import artefact, descriptors, permission, store
from data.descriptors import Layout, ListOrder, Matrix, Norms
from data.errors import Conflict, NotFound, PlaygroundError
from data.paths import check_name
from data.sources.distractors import DistractorSource, open_shards
from data.store import Collection
from extractors import registry as extractor_registry
from indexing.artefacts import build_command, extractor_folder, vectors_manifest
from indexing.build import library_versions, record
from indexing.progress import Clock

_QUERIES, _QUERY_IDS = "queries.npy", "query_ids.json"


@dataclasses.dataclass(frozen=True)
class Report:
    """What an import did; ``notes`` are sentences for people."""

    extractor: str  # the spec to build indexes over, and to evaluate
    photos: int
    queries: int
    dim: int
    norms: Norms
    seconds: float
    notes: tuple[str, ...]


def spec_of(name: str) -> str:
    """The extractor spec of imported descriptors of this name."""
    return extractor_registry.canonical(f"imported:name={check_name(name, 'descriptor')}")


def import_descriptors(
    collection_name: str,
    name: str,
    file: Path | str,
    *,
    ids: Path | str | None = None,
    queries: Path | str | None = None,
    query_ids: Path | str | None = None,
    layout: Layout = "auto",
    key: str | None = None,
    query_key: str | None = None,
    distractors: Path | str | None = None,
) -> Report:
    """Save descriptors of a file as a collection's vectors.

    Args:
        name: what they are to be called; an import of the same name is replaced.
        file: N x D or D x N (see ``data.descriptors``).
        ids: a text file that names the rows; without it, parquet files name their own, and those
            of a benchmark follow its list.
        queries, query_ids: the same for the queries. A .mat file may hold both (X and Q).
        key, query_key: variables of .mat files, X and Q where omitted; columns of .parquet files.
        distractors: feature files of the R1M distractors, in the order of their list.

    Raises:
        PlaygroundError: the file does not fit the collection, is damaged or not finite, or the
            disk is full. What was there before stays.
    """
    permission.require("import descriptors")
    clock = Clock()
    spec = spec_of(name)
    collection = store.load(collection_name)
    orders = descriptors.list_orders(collection)
    far = orders.get(DistractorSource.kind) if distractors is not None else None
    if distractors is not None and far is None:
        raise NotFound(
            f"The collection {collection_name} has no listed distractors. Add them first:",
            command=f"python -m scripts.collections add {collection_name} --source distractors "
            f"--path FOLDER --no-photos",
        )
    others = set(far.ids) if far is not None else set()
    members = [photo.id for photo in collection.photos if photo.id not in others]
    if not members:
        raise PlaygroundError(
            f"The collection {collection_name} has nothing but distractors. Add a benchmark to it."
        )
    main, positions = _match(Path(file), members, _sole(orders, members), ids, layout, key, None)
    place = {one: row for row, one in enumerate(collection.ids)}
    parts = [(main, _placed(positions, members, place))]
    if far is not None and distractors is not None:
        shards = open_shards(distractors, dim=main.dim, count=far.count, layout=layout, key=key)
        rows = descriptors.positions_by_id(shards, far.ids, far.rows)
        parts.append((shards, _placed(rows, far.ids, place)))
    asked, query_rows, notes = _queries(
        collection, Path(file), main.dim, queries, query_ids, layout, query_key
    )
    own = descriptors.own_photos(collection) if not asked else {}
    if own:
        asked = sorted(own)
        query_rows = np.zeros((len(asked), main.dim), np.float32)
        notes = [f"{len(asked):,} queries are photos of the collection and use their vectors."]
    elif collection.queries and not asked:
        notes = [
            f"No descriptors of the {len(collection.queries):,} queries were given, so that they "
            f"cannot be searched: --queries FILE."
        ]
    if main.left_out:
        notes.append(f"Left out, as they are no part of the vectors: {', '.join(main.left_out)}.")
    shape = (len(collection.photos), main.dim)
    norms: list[Norms] = []
    folder = extractor_folder(collection_name, spec)
    doing = f"Importing {spec} for {collection_name}"
    with artefact.explain_os_errors(doing), artefact.exclusive(folder, doing):
        _check_space(folder, 4 * shape[0] * shape[1])

        def write_vectors(path: Path) -> None:
            vectors = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
            _take_space(path)
            for matrix, where in parts:
                norms.append(descriptors.fill(matrix, vectors, where, collection.ids))
            if own:
                query_rows[:] = vectors[[place[own[one]] for one in asked]]
            vectors.flush()

        listed = {
            "ids": list(collection.ids),
            "sha256": [photo.sha256 for photo in collection.photos],
        }
        writers: dict[str, Callable[[Path], None]] = {
            "vectors.npy": write_vectors,
            "ids.json": _json_writer(listed),
            "state.safetensors": lambda path: _write_state(path, main.dim),
        }
        if asked:
            writers[_QUERY_IDS] = _json_writer(asked)
            writers[_QUERIES] = lambda path: _save_npy(path, query_rows)
        extractor = extractor_registry.create(spec)
        meta: dict[str, Any] = {
            "kind": "vectors",
            "collection": collection_name,
            "fingerprint": collection.fingerprint,
            "extractor": spec,
            "identity": extractor.identity(),
            "dim": main.dim,
            "metric": extractor.metric,
            "normalised": True,
            "local": False,
            "photos": shape[0],
            "vectors": shape[0],
            "notes": [],
            "imported": {"file": Path(file).name, "sha256": artefact.file_sha256(Path(file))},
            "libraries": library_versions(),
        }
        artefact.save(
            folder, meta, writers, record(seconds=clock.seconds, described=0, runtime="imported")
        )
    joined = Norms(
        min(one.least for one in norms),
        max(one.greatest for one in norms),
    )
    return Report(spec, shape[0], len(asked), main.dim, joined, clock.seconds, tuple(notes))


@dataclasses.dataclass(frozen=True)
class StoredQueries:
    """The queries' descriptors: ``vectors[rows[id]]``, (D,) float32 of unit length."""

    rows: dict[str, int]
    vectors: NDArray[np.float32]
    version: str  # of the photos' vectors


def stored_queries(collection: str, spec: str) -> StoredQueries:
    """The queries that were imported with the vectors; verified, and kept until they change.

    Raises:
        PlaygroundError: nothing was imported, or it is damaged.
    """
    folder = extractor_folder(collection, spec)
    manifest = vectors_manifest(collection, spec)
    if manifest is None:
        raise NotFound(
            f"The collection {collection} has no vectors of {spec} yet.",
            command=build_command(collection, spec),
        )
    return _stored(collection, spec, folder, artefact.canonical_json(manifest))


@functools.lru_cache(maxsize=8)
def _stored(collection: str, spec: str, folder: Path, manifest_text: str) -> StoredQueries:
    manifest = json.loads(manifest_text)
    mend = build_command(collection, spec)
    version = str(manifest["files"]["vectors.npy"]["sha256"])
    if _QUERIES not in manifest["files"]:
        return StoredQueries({}, np.zeros((0, manifest["dim"]), np.float32), version)
    listed = json.loads(
        artefact.file_path(folder, manifest, _QUERY_IDS, mend).read_text(encoding="utf-8")
    )
    vectors = np.load(artefact.file_path(folder, manifest, _QUERIES, mend), allow_pickle=False)
    if vectors.shape != (len(listed), manifest["dim"]) or vectors.dtype != np.float32:
        raise Conflict(
            f"{folder / _QUERIES} is {vectors.shape} {vectors.dtype}, expected are "
            f"{(len(listed), manifest['dim'])} float32.",
            command=mend,
        )
    return StoredQueries({one: row for row, one in enumerate(listed)}, vectors, version)


# -- which row is whose ----------------------------------------------------------------------------


def _match(
    file: Path,
    wanted: list[str],
    order: ListOrder | None,
    ids: Path | str | None,
    layout: Layout,
    key: str | None,
    dim: int | None,
) -> tuple[Matrix, NDArray[np.int64]]:
    """A file of descriptors, and for each of its rows the place in ``wanted`` (-1: not wanted)."""
    if ids is not None:
        named = descriptors.read_ids(ids)
        matrix = descriptors.open_matrix(file, count=len(named), dim=dim, layout=layout, key=key)
        if matrix.rows != len(named):
            raise PlaygroundError(
                f"{file.name} has {matrix.rows:,} descriptors and {Path(ids).name} names "
                f"{len(named):,} photos."
            )
        matrix = dataclasses.replace(matrix, ids=named)
        return matrix, descriptors.positions_by_id(matrix, wanted)
    if file.suffix == ".parquet":
        matrix = descriptors.open_matrix(file, key=key)
        return matrix, descriptors.positions_by_id(matrix, wanted)
    if order is None:
        raise PlaygroundError(
            f"{file.name} does not say which photo its rows belong to, and this collection "
            f"remembers no order of its own. --ids FILE (--query-ids for queries) names the rows, "
            f"one id per line."
        )
    matrix = descriptors.open_matrix(file, count=order.count, dim=dim, layout=layout, key=key)
    if matrix.rows != order.count:
        raise PlaygroundError(
            f"{file.name} has {matrix.rows:,} descriptors, the list of {order.list} has "
            f"{order.count:,}. Is it of another data set? --ids FILE names its rows."
        )
    rows = dict(zip(order.ids, order.rows, strict=True))
    return matrix, descriptors.positions_by_id(matrix, wanted, [rows[one] for one in wanted])


def _sole(orders: dict[str, ListOrder], wanted: list[str]) -> ListOrder | None:
    """The list that all of the wanted come from, if it is one."""
    needed = set(wanted)
    return next((order for order in orders.values() if needed <= set(order.ids)), None)


def _placed(
    positions: NDArray[np.int64], ids: list[str] | tuple[str, ...], place: dict[str, int]
) -> NDArray[np.int64]:
    where = np.array([place[one] for one in ids], np.int64)
    return np.where(positions >= 0, where[positions], -1)


def _queries(
    collection: Collection,
    file: Path,
    dim: int,
    queries: Path | str | None,
    query_ids: Path | str | None,
    layout: Layout,
    key: str | None,
) -> tuple[list[str], NDArray[np.float32], list[str]]:
    """The queries' ids, their vectors (nq, D), and notes; all empty where none are given."""
    nothing = np.zeros((0, dim), np.float32)
    if queries is None:
        if not collection.queries or not descriptors.has_variable(file, key or "Q"):
            return [], nothing, []
        queries, key = file, key or "Q"
    elif Path(queries).suffix == ".mat":
        key = key or "Q"
    wanted = [query.id for query in collection.queries]
    if not wanted:
        raise PlaygroundError(f"The collection {collection.name} has no queries.")
    order = _sole(descriptors.list_orders(collection, queries=True), wanted)
    matrix, positions = _match(Path(queries), wanted, order, query_ids, layout, key, dim)
    if matrix.dim != dim:
        raise PlaygroundError(
            f"The queries' descriptors have {matrix.dim} numbers, the photos' have {dim}."
        )
    vectors = np.zeros((len(wanted), dim), np.float32)
    descriptors.fill(matrix, vectors, positions, wanted)
    return wanted, vectors, []


# -- files -----------------------------------------------------------------------------------------


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise PlaygroundError(
            f"The descriptors need {needed / 1e9:.1f} GB in {folder}, and {free / 1e9:.1f} GB are "
            f"free. Free some space, or set PLAYGROUND_HOME to a larger disk."
        )


def _take_space(path: Path) -> None:
    """Reserve a file's space: a memory-mapped one that meets a full disk ends the process."""
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        with open(path, "rb+") as handle:
            os.posix_fallocate(handle.fileno(), 0, path.stat().st_size)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        # Some file systems cannot reserve; the check of free space has to do there.


def _json_writer(value: Any) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_text(artefact.canonical_json(value), encoding="utf-8")

    return write


def _write_state(path: Path, dim: int) -> None:
    path.write_bytes(safetensors.numpy.save({"dim": np.array(dim, np.int64)}))


def _save_npy(path: Path, values: NDArray[Any]) -> None:
    with open(path, "wb") as handle:
        np.save(handle, values, allow_pickle=False)
