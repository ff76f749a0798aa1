"""The contract of an index: from descriptors to the nearest ones.

Callers see ``IndexType``, ``Plan``, ``BuiltIndex`` and ``SearchHits``, never a library's object.
A built index is shared by many sessions and is never changed: search parameters go with the call.
Distances are always "smaller is better"; ``BuiltIndex.scores`` turns them into a similarity.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from data.errors import PlaygroundError


class Unreachable(PlaygroundError):  # noqa: N818 (read as a word, like BadPhoto)
    """What holds an index does not answer now; building it again would not help."""


Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Value = int | float | str

_CHUNK = 65_536  # rows checked at a time, so that a memory-mapped matrix is not copied


@dataclasses.dataclass(frozen=True)
class IndexCard:
    """What a person wants to know before choosing the index."""

    title: str
    idea: str  # what it does, for a class, two or three sentences
    formula: str  # LaTeX without the dollar signs
    parameters: dict[str, str]  # override -> meaning, default, legal values
    paper: str  # authors, title, venue, year
    url: str
    cost: str  # bytes and time in words; measured figures come from the build records
    when_to_use: str


@dataclasses.dataclass(frozen=True)
class Plan:
    """What will be built: everything decided, nothing left to defaults of a library."""

    build: dict[str, Value]
    search: dict[str, int]  # the defaults of a search; each call may override them
    notes: tuple[str, ...] = ()  # sentences: what was reduced for this collection, and why


@dataclasses.dataclass(frozen=True)
class SearchParameter:
    """A number that each search may choose."""

    low: int
    high: int
    default: int
    meaning: str


@dataclasses.dataclass(frozen=True)
class SearchHits:
    """The neighbours of several queries, without padding (an ANN index may find fewer than k).

    The hits of all queries lie behind each other, query i's at ``offsets[i]:offsets[i + 1]``,
    nearest first, ties by id.

    Attributes:
        ids: (total,) int64: rows of the indexed matrix, never negative.
        distances: (total,) float32, smaller is better.
        offsets: (nq + 1,) int64.
    """

    ids: Ints
    distances: Floats
    offsets: Ints

    def __len__(self) -> int:
        """The number of queries."""
        return len(self.offsets) - 1

    def __getitem__(self, query: int) -> tuple[Ints, Floats]:
        """(ids, distances) of one query."""
        if not 0 <= query < len(self):
            raise IndexError(f"query {query} of {len(self)}")
        part = slice(int(self.offsets[query]), int(self.offsets[query + 1]))
        return self.ids[part], self.distances[part]

    def __iter__(self) -> Iterator[tuple[Ints, Floats]]:
        return (self[i] for i in range(len(self)))

    @property
    def queries(self) -> Ints:
        """(total,) int64: the query that each hit belongs to."""
        return np.repeat(np.arange(len(self), dtype=np.int64), np.diff(self.offsets))

    @classmethod
    def from_padded(cls, distances: Floats, ids: Ints) -> SearchHits:
        """From (nq, k) arrays where id -1 stands for "nothing found"; sorts by distance, id."""
        if in_order(distances, ids):
            return cls(
                ids.ravel().astype(np.int64, copy=False),
                distances.ravel().astype(np.float32, copy=False),
                np.arange(0, ids.size + 1, ids.shape[1], dtype=np.int64),
            )
        found = ids >= 0
        order = np.lexsort((ids, np.where(found, distances, np.inf), ~found), axis=-1)
        found = np.take_along_axis(found, order, axis=-1)
        counts = found.sum(axis=1, dtype=np.int64)
        return cls(
            np.take_along_axis(ids, order, axis=-1)[found].astype(np.int64, copy=False),
            np.take_along_axis(distances, order, axis=-1)[found].astype(np.float32, copy=False),
            np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)]),
        )


def in_order(distances: Floats, ids: Ints) -> bool:
    """Whether all of (nq, k) was found and each row ascends, as is usual: nothing is to be sorted.

    Equal distances are not in order, as their ids decide.
    """
    ascending = (distances[:, 1:] > distances[:, :-1]).all()
    return bool(ids.size and ascending and ids.min() >= 0)


class BuiltIndex(abc.ABC):
    """An index over n vectors of d numbers. Safe to share between threads."""

    name: str  # registry name of its type
    plan: Plan
    distance: str  # "l2": squared L2; "l1"; "hamming": number of differing bits
    n: int
    d: int
    code_size: int  # bytes per vector of the code alone: no centroids, ids, links or rotation
    search_parameters: Mapping[str, SearchParameter]  # the legal keys of ``params``
    seconds: tuple[float, float] | None = None  # training and adding, where it was just built

    @abc.abstractmethod
    def search(
        self, queries: Floats, k: int, params: Mapping[str, int] | None = None
    ) -> SearchHits:
        """The nearest vectors of each query.

        Args:
            queries: (nq, d) float32; nq may be 0.
            k: neighbours per query, at least 1; more than n gives all that are found.
            params: values of ``search_parameters`` for this call only.

        Raises:
            PlaygroundError: wrong dimension, k < 1, unknown or illegal parameter.
        """

    @abc.abstractmethod
    def save(self, path: Path) -> None:
        """Write the index, or a handle to what a server holds of it.

        Equal vectors and plans give equal bytes on the same machine.
        """

    @property
    @abc.abstractmethod
    def size_bytes(self) -> int:
        """Bytes of the saved file."""

    @property
    def bytes_per_vector(self) -> float:
        """Bytes of the saved file per vector, with everything that is shared by them."""
        return self.size_bytes / self.n

    def inspect(self) -> Any:
        """The library's own object, for ``indexing.inside`` to read and never to change.

        None where there is nothing to read.
        """
        return None

    def searcher(
        self, params: Mapping[str, int] | None = None
    ) -> Callable[[Floats, int], tuple[Floats, Ints]]:
        """A search whose parameters are settled, with nothing around it that costs time.

        Returns:
            From queries (nq, d) and k <= n to distances and ids, (nq, k) each; -1 where nothing
            was found.
        """

        def search(queries: Floats, k: int) -> tuple[Floats, Ints]:
            hits = self.search(queries, k, params)
            found = np.arange(k) < np.diff(hits.offsets)[:, None]
            distances, ids = np.full(found.shape, np.inf, np.float32), np.full(found.shape, -1)
            distances[found], ids[found] = hits.distances, hits.ids
            return distances, ids

        return search

    def scores(self, distances: Floats) -> Floats:
        """Similarity, higher is better, of squared L2 distances between unit vectors.

        It is the cosine, 1 - d2 / 2 (approximate where the index approximates d2).
        """
        return (1.0 - np.asarray(distances, np.float32) / 2.0).astype(np.float32)

    def choose(self, params: Mapping[str, int] | None) -> dict[str, int]:
        """The plan's search parameters with a call's overrides, checked."""
        legal = self.search_parameters
        values = dict(self.plan.search)
        for key, value in (params or {}).items():
            if key not in legal:
                known = ", ".join(legal) or "none"
                raise PlaygroundError(
                    f"'{key}' is not a search parameter of this {self.name} index. Legal: {known}."
                )
            entry = legal[key]
            values[key] = as_int(key, value, entry.low, entry.high)
        return values

    def check_queries(self, queries: Floats, k: int) -> Floats:
        """The queries as a contiguous float32 matrix, or a sentence about what is wrong."""
        queries = np.asarray(queries)
        if queries.ndim != 2 or queries.shape[1] != self.d:
            raise PlaygroundError(
                f"The queries have the shape {queries.shape}, this {self.name} index holds "
                f"vectors of {self.d} numbers. Use the extractor that the index was built with, "
                f"or build the index of this extractor."
            )
        if k < 1:
            raise PlaygroundError(f"k is {k}. Legal: 1 or more neighbours.")
        queries = np.ascontiguousarray(queries, np.float32)
        if not np.isfinite(queries).all():
            raise PlaygroundError(
                "A query vector holds NaN or infinity, so it has no neighbours. Extract the "
                "query's descriptors again."
            )
        return queries


class IndexType(abc.ABC):
    """A kind of index. To add one, write its file and its row in ``indexing.registry``."""

    name: ClassVar[str]
    card: ClassVar[IndexCard]
    distance: ClassVar[str] = "l2"
    file: ClassVar[str] = "index.bin"  # what an artefact calls the file
    alone: ClassVar[bool] = False  # built in a process of its own, as its library may crash
    search_names: ClassVar[tuple[str, ...]] = ()  # overrides that do not change what is built
    families: ClassVar[tuple[str, ...]] = ()  # titles of families that have no row of their own

    @abc.abstractmethod
    def plan(self, n: int, d: int, overrides: Mapping[str, Value] | None = None) -> Plan:
        """Decide every parameter for n vectors of d numbers.

        Raises:
            PlaygroundError: n or d below 1, an unknown override, or an illegal value.
        """

    @abc.abstractmethod
    def estimate_bytes(self, plan: Plan, n: int, d: int) -> int:
        """Bytes of the filled index, worked out before it is built."""

    def shared_bytes(self, plan: Plan, n: int, d: int) -> int:
        """Bytes of it that all vectors share: centroids, codebooks, a rotation.

        What is left grows with every vector: codes, ids, links.
        """
        return max(0, 2 * self.estimate_bytes(plan, n, d) - self.estimate_bytes(plan, 2 * n, d))

    def factory_string(self, plan: Plan) -> str:
        """What ``faiss.index_factory`` makes the same kind of index from; empty where nothing."""
        return ""

    def family(self, overrides: Mapping[str, Value]) -> str:
        """What charts colour and compare as one kind; several names with ``+`` between them."""
        return self.name

    @abc.abstractmethod
    def build(self, vectors: Floats, plan: Plan) -> BuiltIndex:
        """Index a matrix.

        Args:
            vectors: (n, d) float32, finite; row i gets the id i.

        Raises:
            PlaygroundError: the vectors or the plan cannot be indexed.
        """

    @abc.abstractmethod
    def load(self, path: Path, manifest: Mapping[str, Any]) -> BuiltIndex:
        """Read a saved index and check it against its manifest.

        Args:
            manifest: with ``n``, ``d``, ``build`` and ``search`` (see ``manifest_of``).

        Raises:
            Unreachable: what holds it does not answer.
            PlaygroundError: the file is damaged or is not the index of the manifest.
        """

    def check(self, path: Path) -> None:  # noqa: B027 (the file is all there is)
        """Compare all that something else than the file holds with what was built.

        Args:
            path: of the saved file, whose own digest was verified.

        Raises:
            Unreachable: what holds it does not answer.
            PlaygroundError: it holds something else.
        """

    def drop(self, path: Path) -> None:  # noqa: B027 (the file is all there is)
        """Remove what something else than the file holds, before the file goes.

        Args:
            path: of the saved file.

        Raises:
            PlaygroundError: it cannot be removed now.
        """


def manifest_of(built: BuiltIndex) -> dict[str, Any]:
    """What ``IndexType.load`` needs beside the file; JSON-able, equal for equal indexes."""
    return {
        "n": built.n,
        "d": built.d,
        "distance": built.distance,
        "build": dict(built.plan.build),
        "search": dict(built.plan.search),
    }


def check_size(name: str, n: int, d: int) -> None:
    """Refuse to plan an index of nothing."""
    if n < 1:
        raise PlaygroundError(
            f"There are no vectors for the {name} index: n is {n}. Legal: 1 or more. Add photos "
            f"in which the extractor finds something, then build again."
        )
    if d < 1:
        raise PlaygroundError(f"The vectors for the {name} index have d = {d}. Legal: 1 or more.")


def check_overrides(
    name: str, overrides: Mapping[str, Value] | None, legal: Mapping[str, tuple[int, int]]
) -> dict[str, int]:
    """Whole-number overrides within their ranges, as a dict of int.

    Args:
        legal: override -> (lowest, highest).
    """
    values: dict[str, int] = {}
    for key, value in (overrides or {}).items():
        if key not in legal:
            known = ", ".join(f"{k} ({low} to {high})" for k, (low, high) in legal.items())
            raise PlaygroundError(
                f"The {name} index has no parameter '{key}'. Legal: {known or 'none'}."
            )
        values[key] = as_int(key, value, *legal[key])
    return values


def as_int(key: str, value: object, low: int, high: int) -> int:
    """A whole number within [low, high], from an int or its text."""
    number: int | None = None
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        number = int(value)
    elif isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
        number = int(value) if len(value) < 19 else None
    if number is None or not low <= number <= high:
        raise PlaygroundError(f"{key}={value} is not legal here. Legal: whole {low} to {high}.")
    return number


def check_vectors(vectors: Floats, name: str) -> Floats:
    """An (n, d) float32 matrix, contiguous and finite, or a sentence about what is wrong.

    A contiguous memory map is passed on as it is.
    """
    if vectors.ndim != 2 or vectors.dtype != np.float32:
        raise PlaygroundError(
            f"The vectors for the {name} index are {vectors.shape} {vectors.dtype}. Legal: a "
            f"matrix (n, d) of float32. Extract the descriptors again."
        )
    check_size(name, *vectors.shape)
    for start in range(0, len(vectors), _CHUNK):
        finite = np.isfinite(vectors[start : start + _CHUNK]).all(axis=1)
        if not finite.all():
            row = start + int(np.argmin(finite))
            raise PlaygroundError(
                f"The vector in row {row} holds NaN or infinity and cannot be indexed. Extract "
                f"the descriptors again."
            )
    return np.ascontiguousarray(vectors)


def plural(count: int, noun: str) -> str:
    """A count with its noun: 1 vector, 2 vectors."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
