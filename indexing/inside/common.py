"""What the views of all index types share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import PlaygroundError
from indexing.base import BuiltIndex, Floats, Ints

_CHUNK = 8_192  # rows taken to float64 at a time


def faiss_object(built: BuiltIndex, *kinds: str) -> Any:
    """FAISS's object behind an index of one of our types ``kinds``."""
    found = built.inspect()
    if found is None or built.name not in kinds:
        raise PlaygroundError(
            f"This view shows an index of the type {' or '.join(kinds)}, not {built.name}. Choose "
            f"an index of that type, or build one: python -m scripts.build --indexes {kinds[0]}"
        )
    return found


def as_query(query: Floats, d: int) -> Floats:
    """One query as a (1, d) float32 matrix."""
    matrix = np.ascontiguousarray(np.atleast_2d(query), np.float32)
    if matrix.shape != (1, d):
        raise PlaygroundError(
            f"The query has the shape {np.shape(query)}, this index holds vectors of {d} numbers. "
            f"Describe the query with the extractor that the index was built with."
        )
    return matrix


def squared_distances(query: Floats, vectors: Floats) -> NDArray[np.float64]:
    """(n,) squared L2 distances of one query to (n, d) vectors, without FAISS."""
    asked = np.asarray(query, np.float64).reshape(1, -1)
    distances = np.empty(len(vectors))
    for start in range(0, len(vectors), _CHUNK):
        apart = np.asarray(vectors[start : start + _CHUNK], np.float64) - asked
        distances[start : start + _CHUNK] = np.einsum("ij,ij->i", apart, apart)
    return distances


def angles(query: Floats, vectors: Floats) -> NDArray[np.float64]:
    """(n,) angles in radians between a query and (n, d) vectors; a zero vector is at 90 degrees."""
    asked = np.asarray(query, np.float64).reshape(-1)
    cosines = np.zeros(len(vectors))
    for start in range(0, len(vectors), _CHUNK):
        part = np.asarray(vectors[start : start + _CHUNK], np.float64)
        lengths = np.linalg.norm(part, axis=1) * np.linalg.norm(asked)
        place = cosines[start : start + _CHUNK]
        np.divide(part @ asked, lengths, out=place, where=lengths > 0)
    found: NDArray[np.float64] = np.arccos(np.clip(cosines, -1.0, 1.0))
    return found


def nearest(distances: NDArray[np.floating], k: int) -> Ints:
    """The positions of the k smallest distances, nearest first, ties by position."""
    order = np.argsort(distances, kind="stable")
    return order[:k].astype(np.int64)


def recall(found: Ints, wanted: Ints) -> float:
    """The share of the wanted neighbours that were found; 1 where none is wanted."""
    return float(np.isin(wanted, found).mean()) if len(wanted) else 1.0
