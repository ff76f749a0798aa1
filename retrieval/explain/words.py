"""BoVW: the visual words that both pictures have, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from extractors.base import RGB, Floats
from retrieval.explain.base import Pair, Word, Words

if TYPE_CHECKING:
    from data.base import Box
    from extractors.bovw import Bovw


def explain(pair: Pair) -> Words:
    bovw = cast("Bovw", pair.extractor)
    idf = bovw.state()["idf"]
    values = pair.query_vector.astype(np.float64) * pair.photo_vector
    query_words, query_places = _described(bovw, pair.query.pixels(), pair.query.box)
    photo_words, photo_places = _described(bovw, pair.photo(), None)
    shared = np.flatnonzero(values)
    words = [
        Word(
            number=int(one),
            value=float(values[one]),
            idf=float(idf[one]),
            query=query_places[query_words == one],
            photo=photo_places[photo_words == one],
        )
        for one in shared[np.argsort(-values[shared], kind="stable")]
    ]
    return Words(pair.cosine, tuple(words), (len(query_words), len(photo_words)))


def _described(bovw: Bovw, pixels: RGB, box: Box | None) -> tuple[np.ndarray, Floats]:
    """The word of each keypoint (n,), and its x, y and diameter in px of the photo (n, 3)."""
    prepared = bovw.prepare(pixels, box)
    raw = bovw.describe(prepared)
    size = raw["scale"] / np.float32(np.mean(prepared.scale))
    return bovw.words(raw), np.column_stack([prepared.to_photo(raw["xy"]), size])
