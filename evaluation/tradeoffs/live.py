"""One index at a time, for the pages: build a setting, ask it one query, compare with exact search.

vectors = live.open_set("demo", "resnet50", 10_000)      # 240 photos and 9,760 distractors
index = live.build(vectors, "ivf:nlist=256")             # cache it: it is never changed
exact = live.exact(vectors, query, k=20)                 # query: (D,) float32
answer = index.answer(query, k=20, params={"nprobe": 4})
live.compare(answer, exact).missing                      # rows that the index did not find
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence

import numpy as np

from evaluation import metrics
from evaluation.tradeoffs.padding import VectorSet, open_set
from indexing import registry as index_registry
from indexing.base import BuiltIndex, Floats, Ints
from indexing.faiss_settings import apply, faiss, search_threads, threads
from retrieval.clock import RUNS, Timing

__all__ = ["Answer", "Comparison", "LiveIndex", "build", "compare", "exact", "open_set", "timed"]

_BLOCK = 65_536  # rows compared at a time
TIE = 1e-6  # of squared distances between unit vectors


@dataclasses.dataclass(frozen=True)
class Answer:
    """The neighbours of one query, nearest first.

    Attributes:
        rows: (k,) int64: rows of the vector set; fewer where the index found fewer.
        photo_ids: of each row; None for a distractor.
        distances: (k,) float32, by the index's own measure (see ``BuiltIndex.distance``).
        squared: (k,) float64: the true squared L2 distances, to compare answers by.
    """

    rows: Ints
    photo_ids: tuple[str | None, ...]
    distances: Floats
    squared: np.ndarray


@dataclasses.dataclass(frozen=True)
class LiveIndex:
    """A built index over a vector set. Safe to share; search parameters go with the call."""

    vectors: VectorSet
    spec: str  # without search parameters
    built: BuiltIndex
    build_s: float

    def answer(self, query: Floats, k: int, params: Mapping[str, int] | None = None) -> Answer:
        """The k nearest vectors of a query (D,) float32, or (1, D)."""
        one = np.ascontiguousarray(np.asarray(query, np.float32).reshape(1, -1))
        rows, distances = self.built.search(one, k, params)[0]
        return _answer(self.vectors, one[0], rows, distances)


def build(vectors: VectorSet, spec: str) -> LiveIndex:
    """Build an index in memory; overrides of ``spec`` that only steer searches are its defaults.

    Raises:
        PlaygroundError: an illegal spec, or one that these vectors do not allow.
    """
    kind, overrides = index_registry.parse_index_spec(spec)
    plan = kind.plan(vectors.n, vectors.dim, overrides)
    start = time.perf_counter()
    built = kind.build(vectors.vectors, plan)
    spent = time.perf_counter() - start
    return LiveIndex(vectors, index_registry.without_search(spec), built, spent)


def exact(vectors: VectorSet, query: Floats, k: int) -> Answer:
    """The true k nearest vectors, compared block by block: no index, no memory.

    This is the truth that answers are compared with. What exact search takes is the time of a
    ``flat`` index, see ``timed``.
    """
    one = np.ascontiguousarray(np.asarray(query, np.float32).reshape(1, -1))
    squared, rows = nearest(vectors.vectors, one, k)
    return _answer(vectors, one[0], rows[0], squared[0].astype(np.float32))


def timed(
    indexes: Sequence[tuple[LiveIndex, Mapping[str, int]]],
    query: Floats,
    k: int,
    runs: int = RUNS,
) -> list[Timing]:
    """ms of one query in each index, as the charts' latency is measured and ``retrieval.clock``.

    The library's own call on one thread, its search parameters made beforehand; all indexes in
    turn, so that whatever else runs slows all of them; the first round is warm-up.

    Args:
        indexes: with the search parameters of the call.
        runs: 2 or more, besides the warm-up.
    """
    one = np.ascontiguousarray(np.asarray(query, np.float32).reshape(1, -1))
    asks = [(index.built.searcher(params), min(k, index.built.n)) for index, params in indexes]
    spent: list[list[float]] = [[] for _ in asks]
    apply()
    with threads(1):
        for number in range(runs + 1):
            for place, (ask, wanted) in enumerate(asks):
                start = time.perf_counter()
                ask(one, wanted)
                if number:
                    spent[place].append(1e3 * (time.perf_counter() - start))
    return [Timing.of(values) for values in spent]


def nearest(vectors: Floats, queries: Floats, k: int) -> tuple[np.ndarray, Ints]:
    """Exact neighbours: (nq, k) squared L2 distances in float64, ascending, and rows.

    FAISS finds candidates in float32, a few more than k, which are then ranked in float64; rows at
    equal distances are in ascending order.
    """
    k = min(k, len(vectors))
    wide = min(len(vectors), k + 16)
    found: list[tuple[Floats, Ints]] = []
    with search_threads(len(queries)):
        for start in range(0, len(vectors), _BLOCK):
            block = np.ascontiguousarray(vectors[start : start + _BLOCK])
            squared, ids = faiss.knn(queries, block, min(wide, len(block)))
            found.append((squared, ids + start))
    squared = np.concatenate([one for one, _ in found], axis=1)
    ids = np.concatenate([one for _, one in found], axis=1)
    order = np.argsort(squared, axis=1, kind="stable")[:, :wide]
    rows = np.take_along_axis(ids, order, 1).astype(np.int64)
    exactly = np.stack([distances_to(vectors, q, r) for q, r in zip(queries, rows, strict=True)])
    order = np.lexsort((rows, exactly), axis=-1)[:, :k]
    return np.take_along_axis(exactly, order, 1), np.take_along_axis(rows, order, 1)


def distances_to(vectors: Floats, query: Floats, rows: Ints) -> np.ndarray:
    """(len(rows),) squared L2 distances in float64."""
    apart = np.asarray(vectors[rows], np.float64) - np.asarray(query, np.float64)
    return np.einsum("ij,ij->i", apart, apart)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """An index's answer beside the exact one.

    Attributes:
        recall: by distance, so that equally near vectors count alike.
        missing: rows of the exact answer that the index does not have.
        wrong: rows of the index's answer that are farther than the last exact one.
    """

    recall: float
    missing: tuple[int, ...]
    wrong: tuple[int, ...]


def compare(answer: Answer, truth: Answer) -> Comparison:
    """How an index's answer differs from exact search for equally many results."""
    k = max(1, len(truth.rows))
    limit = float(truth.squared[-1]) + TIE if len(truth.squared) else 0.0
    recall = metrics.recall_by_distance(answer.squared.tolist(), truth.squared.tolist(), k, TIE)
    have = set(answer.rows.tolist())
    return Comparison(
        recall,
        tuple(row for row in truth.rows.tolist() if row not in have),
        tuple(
            row
            for row, squared in zip(answer.rows.tolist(), answer.squared, strict=True)
            if squared > limit
        ),
    )


def _answer(vectors: VectorSet, query: Floats, rows: Ints, distances: Floats) -> Answer:
    return Answer(
        rows,
        tuple(vectors.photo_id(int(row)) for row in rows),
        distances,
        distances_to(vectors.vectors, query, rows),
    )
