"""Flat, by either metric: the distance of the query to every vector."""

from __future__ import annotations

import dataclasses

from indexing.base import BuiltIndex, Floats, Ints
from indexing.inside.common import as_query, faiss_object


@dataclasses.dataclass(frozen=True)
class FlatView:
    """All n vectors, nearest first.

    Attributes:
        rows: (n,) int64 rows of the index.
        distances: (n,) float32, ascending; squared L2, or L1 of ``flat-l1``.
    """

    rows: Ints
    distances: Floats


def look(built: BuiltIndex, query: Floats) -> FlatView:
    """Rank the whole collection for one query of d numbers, as FAISS does."""
    faiss_object(built, "flat", "flat-l1")
    rows, distances = built.search(as_query(query, built.d), built.n)[0]
    return FlatView(rows, distances)
