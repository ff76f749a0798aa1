"""LSH: the bits of query and candidates, and how well their Hamming distance tells the angle."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexing import registry
from indexing.base import BuiltIndex, Floats, Ints
from indexing.faiss_settings import faiss
from indexing.inside.common import (
    angles,
    as_query,
    faiss_object,
    nearest,
    recall,
    squared_distances,
)

TRIED_BITS = (16, 32, 64, 128, 256, 512, 1024)
MOST_REBUILT = 5_000  # vectors of the small indexes with other numbers of bits
SEED = 1234


@dataclasses.dataclass(frozen=True)
class LshView:
    """A hash index and one query.

    Attributes:
        query_bits: (nbits,) bool.
        packed: (n, nbits / 8) uint8 codes as FAISS stores them.
        hamming: (n,) int64 differing bits of query and each row.
        angles: (n,) float64 true angle between query and each row, radians.
        order: (n,) int64 rows by Hamming distance, ties by row.
        neighbours: (k,) int64 rows of the exact nearest neighbours.
    """

    query_bits: NDArray[np.bool_]
    packed: NDArray[np.uint8]
    hamming: Ints
    angles: NDArray[np.float64]
    order: Ints
    neighbours: Ints

    @property
    def nbits(self) -> int:
        return len(self.query_bits)

    def bits(self, rows: Ints) -> NDArray[np.bool_]:
        """(len(rows), nbits) bits of some rows."""
        return unpack(self.packed[rows])


@dataclasses.dataclass(frozen=True)
class BitsPoint:
    """What an index with ``nbits`` bits gives for one query, against exact search.

    Attributes:
        recall: recall@k of exact search.
        spread: standard deviation of the angle that the bits estimate, degrees; over all vectors.
    """

    nbits: int
    recall: float
    spread: float
    bytes_per_vector: int


def unpack(packed: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """FAISS's codes as bits: bit i is bit i % 8 of byte i // 8, the lowest first."""
    return np.unpackbits(packed, axis=-1, bitorder="little").astype(bool)


def codes(index: Any) -> NDArray[np.uint8]:
    """(n, code_size) the codes that the index stores."""
    return faiss.vector_to_array(index.codes).reshape(int(index.ntotal), int(index.code_size))


def look(built: BuiltIndex, vectors: Floats, query: Floats, k: int) -> LshView:
    """Read the codes from the index and compare them with the query's.

    Args:
        built: an index of the type ``lsh``.
        vectors: (n, d) float32 that the index holds, in its order.
        query: d numbers.
        k: exact neighbours wanted.
    """
    index = faiss_object(built, "lsh")
    asked = as_query(query, built.d)
    stored = codes(index)
    mine = index.sa_encode(asked)
    hamming = np.bitwise_count(np.bitwise_xor(stored, mine)).sum(axis=1, dtype=np.int64)
    return LshView(
        unpack(mine)[0],
        stored,
        hamming,
        angles(asked, vectors),
        nearest(hamming.astype(np.float64), len(hamming)),
        nearest(squared_distances(asked, vectors), k),
    )


def expected_hamming(radians: NDArray[np.float64], nbits: int) -> NDArray[np.float64]:
    """Charikar (2002): two vectors at the angle t differ in each bit with probability t / pi."""
    return nbits * radians / np.pi


def deviation(radians: NDArray[np.float64], nbits: int) -> NDArray[np.float64]:
    """Standard deviation of the Hamming distance, for independent hyperplanes (binomial)."""
    share = radians / np.pi
    return np.sqrt(nbits * share * (1 - share))


@dataclasses.dataclass(frozen=True)
class OtherBits:
    """Small indexes over the collection with other numbers of bits, to compare.

    Attributes:
        rows: (s,) int64 rows of the vectors that they hold: all, or a seeded sample.
        built: number of bits -> index.
    """

    rows: Ints
    built: dict[int, BuiltIndex]


def rebuild(vectors: Floats, bits: Sequence[int] = TRIED_BITS) -> OtherBits:
    """Build an index per number of bits; at most MOST_REBUILT vectors go in."""
    rows = np.arange(len(vectors), dtype=np.int64)
    if len(rows) > MOST_REBUILT:
        drawn = np.random.default_rng(SEED).choice(len(rows), MOST_REBUILT, replace=False)
        rows = np.sort(drawn).astype(np.int64)
    part = np.ascontiguousarray(vectors[rows], np.float32)
    kind = registry.index_type("lsh")
    n, d = part.shape
    built = {nbits: kind.build(part, kind.plan(n, d, {"nbits": nbits})) for nbits in bits}
    return OtherBits(rows, built)


def compare_bits(other: OtherBits, vectors: Floats, query: Floats, k: int) -> list[BitsPoint]:
    """Search every one of the small indexes with the query."""
    part = np.asarray(vectors[other.rows])
    points = []
    for nbits, built in sorted(other.built.items()):
        view = look(built, part, query, k)
        estimated = np.pi * view.hamming / nbits
        spread = float(np.degrees((estimated - view.angles).std()))
        found = view.order[: len(view.neighbours)]
        points.append(BitsPoint(nbits, recall(found, view.neighbours), spread, built.code_size))
    return points
