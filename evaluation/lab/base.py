"""The contract of an experiment, and what all of them measure with."""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from data.progress import Steps
from evaluation.tradeoffs import measure
from evaluation.tradeoffs.live import TIE, nearest
from evaluation.tradeoffs.measure import Effort
from evaluation.tradeoffs.padding import VectorSet
from evaluation.tradeoffs.questions import Questions
from indexing import registry as index_registry
from indexing.base import BuiltIndex, Floats, Ints, Plan
from indexing.faiss_settings import faiss

K = 10  # results of every search
EFFORT = Effort(samples=200, seconds=0.7)
Ask = Callable[[Floats, int], tuple[Floats, Ints]]
"""(nq, D) queries and k to (nq, k) distances and rows, -1 where there is no more answer."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One measured point of an experiment's figure.

    Attributes:
        series: what the legend says, such as the index.
        x: the place on the horizontal axis; a word where the axis has words.
        recall: mean recall@10 by distance against exact search over the same candidates.
        latency_ms: median of single searches, warm, one thread.
        more: further figures for the table, by column.
    """

    series: str
    x: float | str
    recall: float
    latency_ms: float
    more: dict[str, float | str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Ground:
    """What an experiment is made on.

    Attributes:
        vectors: the collection's vectors and distractors.
        asked: its queries.
        strangers: collection -> the vectors of others by the same extractor, as queries.
        steps: told of every row, and counts them.
    """

    vectors: VectorSet
    asked: Questions
    strangers: dict[str, Floats]
    steps: Steps

    def specs(self) -> list[str]:
        """Every basic kind of index as it plans itself, and a graph."""
        return [*index_registry.basic(), "factory:HNSW32"]


class Experiment(abc.ABC):
    """One question about indexes, answered by a figure.

    Attributes:
        name: in the registry, on the command line and in addresses.
        title: of its tab.
        question: one sentence for people.
        x_title: of the horizontal axis, with its unit.
        log_x: whether that axis is logarithmic.
        words: whether that axis has words, so that bars are drawn.
    """

    name: str
    title: str
    question: str
    x_title: str
    log_x: bool = False
    words: bool = False

    @abc.abstractmethod
    def measure(self, ground: Ground) -> Iterator[Row]:
        """The rows, in the order of the legend.

        Raises:
            PlaygroundError: the collection does not allow it, with what would.
        """

    @abc.abstractmethod
    def lesson(self, rows: Sequence[Row]) -> str:
        """What these rows teach, in a sentence made from their figures."""


@dataclasses.dataclass(frozen=True)
class Problem:
    """A database, queries on it, and the exact answers.

    Attributes:
        vectors: (n, D) float32.
        queries: (nq, D) float32.
        own: (nq,) the row that is left out of a query's answers; -1: none.
        squared: per query the squared distances of the K nearest, ascending.
    """

    vectors: Floats
    queries: Floats
    own: Ints
    squared: list[np.ndarray]

    @classmethod
    def of(
        cls, vectors: Floats, queries: Floats, own: Ints | None = None, among: Ints | None = None
    ) -> Problem:
        """Exact search.

        Args:
            among: the only rows that may be answered, ascending; None: all.
        """
        own = np.full(len(queries), -1) if own is None else own
        pool = vectors if among is None else np.ascontiguousarray(vectors[among])
        squared, rows = nearest(pool, queries, min(len(pool), K + 1))
        rows = rows if among is None else among[rows]
        kept = [
            one[found != itself][:K] for one, found, itself in zip(squared, rows, own, strict=True)
        ]
        return cls(vectors, queries, own, kept)

    def recall(self, rows: Ints) -> float:
        """Mean recall@10 of answers (nq, at least K + 1 where a row is left out)."""
        found = [
            one[(one >= 0) & (one != itself)][:K]
            for one, itself in zip(rows, self.own, strict=True)
        ]
        scale = float((self.queries.astype(np.float64) ** 2).sum(axis=1).mean())
        truth = measure.Truth(self.squared, math.nan, TIE * max(scale, 1e-12))
        return measure.recall_at(K, found, self.vectors, self.queries, truth)

    def row(self, ask: Ask, series: str, x: float | str, **more: float | str) -> Row:
        """Recall and latency of a search."""
        _, rows = ask(self.queries, min(len(self.vectors), K + int((self.own >= 0).any())))
        spent = measure.single_queries(ask, self.queries, K, 1, EFFORT)
        return Row(series, x, self.recall(rows), float(np.median(spent)), dict(more))


def built(spec: str, vectors: Floats) -> tuple[BuiltIndex, Plan]:
    """An index over vectors, as it plans itself."""
    kind, overrides = index_registry.parse_index_spec(spec)
    plan = kind.plan(len(vectors), vectors.shape[1], overrides)
    return kind.build(np.ascontiguousarray(vectors), plan), plan


def search_parameters(index: BuiltIndex, selector: Any = None) -> Any:
    """The faiss.SearchParameters of the index's own choice, among the rows of a selector.

    FAISS keeps no reference to the selector but by this object.
    """
    chosen, inner = index.choose(None), index.inspect()
    if isinstance(inner, faiss.IndexIVF):
        return faiss.SearchParametersIVF(sel=selector, nprobe=chosen["nprobe"])
    if isinstance(inner, faiss.IndexHNSW):
        return faiss.SearchParametersHNSW(sel=selector, efSearch=chosen["ef_search"])
    return faiss.SearchParameters(sel=selector) if selector is not None else None


def label(spec: str) -> str:
    """The name of an index in a legend."""
    name, _, rest = spec.partition(":")
    return rest if name == index_registry.FREE_TEXT else index_registry.TYPES[name].title
