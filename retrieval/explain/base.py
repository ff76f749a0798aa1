"""The contract of an explanation: from a query and one hit to numbers with places.

To add a kind, write its file and its line in ``retrieval.explain.registry``; extractors name it in
``evidence``. It gives one of the three forms below, which is what the pages draw.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from data.base import Box
from data.errors import PlaygroundError
from extractors.base import RGB, Extractor, Floats
from retrieval.ranking import Query
from retrieval.snapshot import Snapshot

FEW = 8
"""Fewer matches than this are weak: three fit any affine map, so that four or five of unrelated
photos agree by chance."""


class UnexplainedError(PlaygroundError):
    """A hit that cannot be taken apart; the sentence says why."""


@dataclasses.dataclass(frozen=True)
class Pair:
    """A query and one photo of the collection, as one search saw them.

    Attributes:
        row: the photo's position in the collection.
        matches: (j, 4) px, those of the search (``SearchResult.matches``); None without any.
    """

    view: Snapshot
    query: Query
    row: int
    matches: Floats | None = None

    @property
    def extractor(self) -> Extractor:
        return self.view.loaded.extractor

    @property
    def query_vector(self) -> Floats:
        """(D,) of a global extractor."""
        return self.view.features(self.query).vectors[0]

    @property
    def photo_vector(self) -> Floats:
        """(D,) of a global extractor."""
        return np.array(self.view.vectors().vectors[self.row], np.float32)

    @property
    def cosine(self) -> float:
        """Of the two descriptors, exact whatever the index is."""
        return float(self.query_vector.astype(np.float64) @ self.photo_vector)

    def photo(self) -> RGB:
        return self.view.pixels(self.row)


@dataclasses.dataclass(frozen=True)
class Grid:
    """What each cell of a picture gives to the cosine.

    Attributes:
        values: (h, w) float64; negative where a cell makes the pair less alike.
        box: x0, y0, x1, y1 in px of the photo: what the cells cover, evenly.
        rest: what no cell gives: the bias or the mean of a whitening, and rounding.
    """

    values: NDArray[np.float64]
    box: tuple[float, float, float, float]
    rest: float = 0.0

    @property
    def total(self) -> float:
        return float(self.values.sum()) + self.rest

    def half(self) -> int:
        """How many of the strongest cells give half of what all cells give."""
        given = np.cumsum(-np.sort(-self.values, axis=None))
        return int(np.argmax(given >= given[-1] / 2)) + 1

    def strongest(self, count: int) -> list[tuple[int, int]]:
        """Row and column of the cells that give most, best first."""
        order = np.argsort(-self.values, axis=None, kind="stable")[:count]
        return [
            divmod(int(one), self.values.shape[1]) for one in order if self.values.flat[one] > 0
        ]


@dataclasses.dataclass(frozen=True)
class Heat:
    """Cells of both pictures; each grid's cells and its rest sum to ``score``.

    Attributes:
        score: the cosine of the two descriptors.
        aligned: a cell of one grid belongs to the cell at the same place of the other.
        note: what a cell is, a sentence for people.
    """

    score: float
    query: Grid
    photo: Grid
    aligned: bool
    note: str


@dataclasses.dataclass(frozen=True)
class Word:
    """A visual word that both pictures have.

    Attributes:
        value: what it gives to the cosine.
        idf: its weight: the rarer in the collection, the larger.
        query, photo: (n, 3) float32 px of the photo: x, y and diameter of its keypoints.
    """

    number: int
    value: float
    idf: float
    query: Floats
    photo: Floats


@dataclasses.dataclass(frozen=True)
class Words:
    """Shared visual words, most important first; their values sum to ``score``.

    Attributes:
        found: keypoints in the query and in the photo.
    """

    score: float
    words: tuple[Word, ...]
    found: tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Alignment:
    """Matches of local features and the map that moves the query onto the photo.

    Attributes:
        matches: (j, 4) float32 px: x, y in the query's photo and in the found one.
        transform: query px to photo px, (3, 3) float64; None where no one map was found.
        model: "homography" or "affine" map; empty without one.
        box: the query's region, px.
    """

    matches: Floats
    transform: NDArray[np.float64] | None
    model: str
    box: Box

    @property
    def weak(self) -> bool:
        return len(self.matches) < FEW


Explanation = Heat | Words | Alignment
