"""The contract of an evaluation protocol: whose answers count, and how a ranking is judged.

A protocol says which photos answer a query (``truths``), how one ranking is judged against them
(``judge``), and how the queries' values become one number (``aggregate``). A *setting* is one of
several ground truths that a protocol judges the same ranking by, such as easy, medium and hard.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from data.base import Photo
from data.errors import PlaygroundError
from data.store import Collection
from evaluation import metrics
from retrieval.compare import Truth

__all__ = ["Protocol", "Truth", "listed_truth"]


class Protocol(abc.ABC):
    """Base of all protocols. They hold no state and are shared freely."""

    name: ClassVar[str]
    version: ClassVar[int] = 1  # raised when the same ranking gets other values
    title: ClassVar[str]
    meaning: ClassVar[str]  # what its numbers mean, for a class; two or three sentences
    paper: ClassVar[str]
    url: ClassVar[str]
    settings: ClassVar[tuple[str, ...]] = ("all",)
    main: ClassVar[str] = "all"  # the setting whose mean AP is "the" mAP
    measures: ClassVar[dict[str, str]]  # measure -> what it means; "ap" is among them
    headline: ClassVar[str] = "ap"  # the measure that methods are compared by
    depth: ClassVar[int | None] = None  # ranks that the measures look at; None: all

    @abc.abstractmethod
    def truths(self, collection: Collection, query: Photo) -> dict[str, Truth]:
        """The ground truth of a query, one per setting.

        Raises:
            PlaygroundError: the query has no ground truth of this protocol's kind.
        """

    @abc.abstractmethod
    def judge(self, ranking: Sequence[str], truth: Truth) -> dict[str, float]:
        """The measures of one ranking (ids, best first, as many as there are).

        A value that is not defined, because nothing answers the query, is NaN.
        """

    def queries(self, collection: Collection) -> tuple[Photo, ...]:
        """The queries that count, in the order of their ids."""
        return collection.queries

    def aggregate(self, values: Iterable[Mapping[str, float]]) -> dict[str, float]:
        """The queries' values of one setting to their means; queries without one are left out."""
        listed = list(values)
        return {name: metrics.mean(value[name] for value in listed) for name in self.measures}

    def judge_all(
        self, collection: Collection, query: Photo, ranking: Sequence[str]
    ) -> dict[str, dict[str, float]]:
        """One ranking in every setting: setting -> measure -> value."""
        truths = self.truths(collection, query)
        return {setting: self.judge(ranking, truth) for setting, truth in truths.items()}


def listed_truth(query: Photo, protocol: str, keys: Sequence[str]) -> dict[str, frozenset[str]]:
    """The lists in ``extra["ground_truth"]`` of a query, such as easy, hard and junk.

    Raises:
        PlaygroundError: the query has none, or of another form.
    """
    listed = query.extra.get("ground_truth")
    if not isinstance(listed, Mapping) or not all(
        isinstance(listed.get(key, []), list | tuple) for key in keys
    ):
        raise PlaygroundError(
            f"The query {query.id} has no lists {', '.join(keys)}, which the protocol {protocol} "
            f"judges by. Choose the protocol that the collection was imported with: --protocol "
            f"auto; labels fits every collection with landmarks."
        )
    return {key: frozenset(map(str, listed.get(key, ()))) for key in keys}
