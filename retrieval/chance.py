"""What score two photos of different landmarks reach by chance: below it, a hit says nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from data.store import Collection
    from indexing.artefacts import Vectors
    from retrieval.engine import SearchEngine

PAIRS = 20_000  # that are drawn
SHARE = 0.01  # of the pairs reach the level
_FEWEST = 200  # pairs of different landmarks; from fewer nothing is concluded


def level(engine: SearchEngine, collection: Collection, extractor: str) -> float | None:
    """The cosine that one in a hundred random pairs of different landmarks reaches or passes.

    Computed once per set of descriptors and kept by the engine. None for local features, whose
    scores are votes, and where too few photos have landmarks.
    """
    vectors = engine.vectors(collection.name, extractor)
    if vectors.offsets is not None:
        return None
    key = ("chance", collection.fingerprint, vectors.version)
    found = engine.kept(key, lambda: _level(vectors, [photo.label for photo in collection.photos]))
    return None if np.isnan(found) else found


def _level(vectors: Vectors, labels: list[str | None]) -> float:
    """NaN where there are too few pairs."""
    names = np.array([label or "" for label in labels])
    count = len(names)
    if count < 2 or count != len(vectors.vectors):
        return float("nan")
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, count, (2, PAIRS))
    apart = (names[one] != names[other]) & (names[one] != "") & (names[other] != "")
    one, other = one[apart], other[apart]
    if len(one) < _FEWEST:
        return float("nan")
    cosines = np.empty(len(one), np.float32)
    for start in range(0, len(one), 1024):  # a part at a time: HOG's descriptors are long
        part = slice(start, start + 1024)
        left, right = vectors.vectors[one[part]], vectors.vectors[other[part]]
        lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
        cosines[part] = (left * right).sum(axis=1) / np.maximum(lengths, 1e-12)
    return float(np.quantile(cosines, 1 - SHARE))
