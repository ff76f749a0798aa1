"""A measured setting of an index, and the file that measured settings are kept in.

One line of JSON per point is appended to
``evaluations/<collection>/tradeoffs/<extractor>/points.jsonl``. A line that a kill cut short is
passed over when the file is read, and the next one begins behind it, so that a kill loses at most
the point that was being written. Of equal settings the line that was written last counts.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import filelock

from data import artefact, paths
from data.errors import PlaygroundError
from extractors import registry as extractor_registry
from indexing import registry as index_registry
from indexing.artefacts import read_vectors_manifest
from indexing.base import Plan

VERSION = 1  # raised when the same measurement would get other values
RECALLS = (1, 10, 100)  # k of recall@k
TIMED_K = 10  # results of a timed search
SIMULATED = "simulated"
_FOLDER, _FILE = "tradeoffs", "points.jsonl"


@dataclasses.dataclass(frozen=True)
class Spread:
    """A figure that was measured several times: its median and quartiles over the repeats."""

    median: float
    low: float  # 25 % quartile
    high: float  # 75 % quartile

    @property
    def iqr(self) -> float:
        """Interquartile range, in the unit of the figure."""
        return self.high - self.low


@dataclasses.dataclass(frozen=True)
class Latency:
    """Milliseconds of one query at a time, ``TIMED_K`` results, the FAISS call alone, warm.

    Each percentile is taken within a repeat; the spread is over the repeats.
    """

    p50: Spread
    p95: Spread
    p99: Spread
    samples: int  # queries per repeat: below 100, p99 is little more than the slowest one


@dataclasses.dataclass(frozen=True)
class Point:
    """One index over one set of vectors, searched in one way.

    Attributes:
        collection, extractor: whose vectors; the extractor's canonical spec.
        n: vectors in the index: the collection's and the distractors.
        photos: how many of them are the collection's own (rows 0 to photos - 1).
        dim: numbers per vector.
        padding: what the distractors are, in words; empty without any.
        simulated: how many of them were drawn from a model. Above 0, every figure about recall is
            about simulated data and is to be labelled so.
        plausibility: how near the simulated vectors are to real ones (see
            ``padding.Plausibility``); empty without simulated ones.
        index: spec of what is built, such as ``ivf:nlist=400`` or ``factory:HNSW32``.
        build: every build parameter, those by default included.
        search: the search parameters, such as {"nprobe": 8}; empty where there are none.
        queries: how many queries recall and mAP are means of.
        recall: k -> mean recall@k against exact search, by distance, so that equally near vectors
            count alike. @1 and @10 are of a search for 10 results (the one that is timed), @100
            of a search for 100, which graphs and second looks answer more carefully.
        map100: class mAP@100 by the landmarks of the photos, NaN where none are known.
        map100_exact: the same of exact search over the same vectors. An index can lose
            neighbours and keep its mAP (the lost ones were wrong answers), or the other way.
        latency_1: with 1 thread.
        latency_all: with all of ``threads``.
        throughput: queries per second, ``batch`` of them in one call, all threads.
        batch: how many queries that are.
        train_s, add_s: seconds of the build, where they are known apart; NaN else.
        build_s: seconds of the whole build.
        disk_bytes: the saved file.
        memory_bytes: what the process grew by when the saved index was loaded and searched, where
            ``memory_how`` is ``rss``; for small indexes, which RSS does not tell from noise, the
            size of the ``file``.
        code_bytes: per vector, the code alone.
        distances: mean distances computed per query, centroids included; NaN where not counted.
        distances_how: ``counted`` by FAISS, or ``by definition`` (an exhaustive index).
        repeats: how many times each figure with a spread was measured.
        threads: how many "all threads" are.
        machine: ``system``, ``cpu``, ``cores``, ``memory_gb``, and ``load`` when it was measured.
        versions: package -> version.
        vectors_version: of the collection's own vectors (``indexing.artefacts.Vectors``).
        date: UTC, ISO 8601.
        notes: sentences for people.
        key: identifies what was measured (digest); points of equal key replace one another.
        distractors: how the vectors are opened again (see ``padding.open_set``).
        stale: why the point is out of date, in words; empty for one that is not. Not saved.
    """

    collection: str
    extractor: str
    n: int
    photos: int
    dim: int
    padding: str
    simulated: int
    plausibility: dict[str, float]
    index: str
    build: dict[str, int | float | str]
    search: dict[str, int]
    queries: int
    recall: dict[int, float]
    map100: float
    map100_exact: float
    latency_1: Latency
    latency_all: Latency
    throughput: Spread
    batch: int
    train_s: float
    add_s: float
    build_s: float
    disk_bytes: int
    memory_bytes: int
    memory_how: str
    code_bytes: int
    distances: float
    distances_how: str
    repeats: int
    threads: int
    machine: dict[str, Any]
    versions: dict[str, str]
    vectors_version: str
    date: str
    notes: tuple[str, ...] = ()
    key: str = ""
    distractors: str = SIMULATED
    stale: str = ""

    @property
    def setting(self) -> str:
        """The whole spec, search parameters included: what the Search page would be given."""
        return index_registry.with_search(self.index, self.search)

    @property
    def family(self) -> str:
        """The kind of index for colours and legends, such as ``ivf`` or ``ivf+pq+refine``."""
        kind, overrides = index_registry.parse_index_spec(self.index)
        return kind.family(overrides)

    @property
    def plan(self) -> Plan:
        """The parameters that it was built with."""
        return Plan(self.build, self.search)

    @functools.cached_property
    def shared_bytes(self) -> int:
        """Bytes that all vectors share (centroids, codebooks, a rotation), however many there are.

        0 where the build's parameters do not tell.
        """
        kind, _ = index_registry.parse_index_spec(self.index)
        try:
            shared = kind.shared_bytes(self.plan, self.n, self.dim)
        except (KeyError, TypeError, ValueError, PlaygroundError):
            return 0
        return min(shared, self.disk_bytes)

    @property
    def bytes_per_photo(self) -> float:
        """Bytes that every vector adds to the file; a photo has one vector here."""
        return (self.disk_bytes - self.shared_bytes) / self.n

    def memory_of(self, photos: int) -> float:
        """Bytes of memory of the same index over so many vectors, from what these took."""
        shared = min(self.shared_bytes, self.memory_bytes)
        return shared + photos * (self.memory_bytes - shared) / self.n

    @property
    def memory_per_vector(self) -> float:
        return self.memory_bytes / self.n

    @property
    def latency_ms(self) -> float:
        """Median of a single query with 1 thread: what most people mean by latency."""
        return self.latency_1.p50.median

    def value(self, measure: str) -> float:
        """One of ``MEASURES`` of this point."""
        return MEASURES[measure].of(self)


@dataclasses.dataclass(frozen=True)
class Measure:
    """A figure of a point that can be drawn, or asked for in a constraint."""

    title: str
    unit: str
    higher_is_better: bool
    log: bool  # drawn on a logarithmic axis
    of: Callable[[Point], float]


MEASURES: dict[str, Measure] = {
    "recall@1": Measure(
        "agrees with exact (recall@1)", "", True, False, lambda p: p.recall.get(1, math.nan)
    ),
    "recall@10": Measure(
        "agrees with exact (recall@10)", "", True, False, lambda p: p.recall.get(10, math.nan)
    ),
    "recall@100": Measure(
        "agrees with exact (recall@100)", "", True, False, lambda p: p.recall.get(100, math.nan)
    ),
    "map100": Measure("class mAP@100", "", True, False, lambda p: p.map100),
    "latency": Measure("latency, median, 1 thread", "ms", False, True, lambda p: p.latency_ms),
    "p95": Measure("latency, p95, 1 thread", "ms", False, True, lambda p: p.latency_1.p95.median),
    "p99": Measure("latency, p99, 1 thread", "ms", False, True, lambda p: p.latency_1.p99.median),
    "latency_all": Measure(
        "latency, median, all threads", "ms", False, True, lambda p: p.latency_all.p50.median
    ),
    "throughput": Measure("throughput", "queries/s", True, True, lambda p: p.throughput.median),
    "bytes": Measure("bytes per photo", "B", False, True, lambda p: p.bytes_per_photo),
    "memory": Measure("memory per photo", "B", False, True, lambda p: p.memory_per_vector),
    "build": Measure("build time", "s", False, True, lambda p: p.build_s),
    "distances": Measure("distances per query", "", False, True, lambda p: p.distances),
}


def points_path(collection: str, extractor: str) -> Path:
    """The file of a collection's points of one extractor."""
    slug = extractor_registry.slug(extractor)
    return paths.evaluations_root(collection) / _FOLDER / slug / _FILE


def load_points(collection: str, extractor: str) -> list[Point]:
    """Every point that was measured, the latest of equal ones; by n, index and search parameters.

    A line that cannot be read is passed over. Points of vectors that have changed since are
    there, too, and say so in ``stale``.
    """
    latest: dict[str, Point] = {}
    for line in _lines(points_path(collection, extractor)):
        point = _parse(line)
        if point is not None:
            latest[point.key] = point
    manifest = read_vectors_manifest(collection, extractor) if latest else None
    current = manifest["files"]["vectors.npy"]["sha256"] if manifest else ""
    found = []
    for point in latest.values():
        stale = ""
        if point.vectors_version != current:
            stale = f"The vectors of {extractor} have changed since this was measured."
        found.append(dataclasses.replace(point, stale=stale))
    return sorted(found, key=_order)


def append(point: Point) -> None:
    """Add a point to its file, for good: other processes may append at the same time.

    Raises:
        PlaygroundError: the disk is full or the folder cannot be written.
    """
    path = points_path(point.collection, point.extractor)
    line = json.dumps(as_json(point), sort_keys=True, separators=(",", ":"), allow_nan=False)
    with artefact.explain_os_errors("Saving a measured point"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(str(path.with_suffix(".lock"))), open(path, "ab+") as handle:
            handle.seek(0, os.SEEK_END)
            torn = False
            if handle.tell():
                handle.seek(-1, os.SEEK_END)
                torn = handle.read(1) != b"\n"
            handle.write((b"\n" if torn else b"") + line.encode() + b"\n")
            handle.flush()
            os.fsync(handle.fileno())


def as_json(point: Point) -> dict[str, Any]:
    """JSON-able, what is not known as null; ``stale`` is left out."""
    value = dataclasses.asdict(point)
    del value["stale"]
    value["format"] = VERSION
    value["recall"] = {str(k): recall for k, recall in point.recall.items()}
    return _without_nan(value)


def from_json(value: Mapping[str, Any]) -> Point:
    """The point of a line.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: it is none, or of another version.
    """
    if value["format"] != VERSION:
        raise ValueError(f"format {value['format']}")
    fields = {name: value[name] for name in _FIELDS}
    fields["distractors"] = str(value["distractors"])
    for name in ("map100", "map100_exact", "train_s", "add_s", "build_s", "distances"):
        fields[name] = _float(value[name])
    for name in ("n", "photos", "dim", "simulated", "queries", "disk_bytes", "memory_bytes"):
        fields[name] = int(value[name])
    fields["plausibility"] = {str(k): _float(v) for k, v in value["plausibility"].items()}
    fields["search"] = {str(k): int(v) for k, v in value["search"].items()}
    fields["recall"] = {int(k): _float(v) for k, v in value["recall"].items()}
    fields["latency_1"] = _latency(value["latency_1"])
    fields["latency_all"] = _latency(value["latency_all"])
    fields["throughput"] = _spread(value["throughput"])
    fields["notes"] = tuple(map(str, value["notes"]))
    index_registry.parse_index_spec(fields["index"])
    if fields["n"] < 1:
        raise ValueError("no vectors")
    return Point(**fields)


_FIELDS = tuple(f.name for f in dataclasses.fields(Point) if f.name != "stale")


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise PlaygroundError(f"{path} cannot be read ({error.strerror}).") from error


def _parse(line: bytes) -> Point | None:
    try:
        return from_json(json.loads(line))
    except (ValueError, KeyError, TypeError, AttributeError, PlaygroundError):
        return None


def _order(point: Point) -> tuple[Any, ...]:
    kinds = index_registry.names()
    kind = point.index.partition(":")[0]
    place = kinds.index(kind) if kind in kinds else len(kinds)
    return point.n, point.simulated, place, point.index, sorted(point.search.items())


def _latency(value: Mapping[str, Any]) -> Latency:
    return Latency(
        _spread(value["p50"]), _spread(value["p95"]), _spread(value["p99"]), int(value["samples"])
    )


def _spread(value: Mapping[str, Any]) -> Spread:
    return Spread(_float(value["median"]), _float(value["low"]), _float(value["high"]))


def _float(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nan(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
