"""Retrieval by local descriptors: every descriptor of the query votes for photos.

As in DELF's retrieval system (H. Noh et al., Large-Scale Image Retrieval with Attentive Deep
Local Features, ICCV 2017, https://arxiv.org/abs/1612.06321): all descriptors of the collection
lie in one index; each query descriptor's nearest ones point to photos, and the photos with most
matches are then verified geometrically, see ``indexing.verification``.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from indexing.base import BuiltIndex, Floats, Ints

MOST_NEIGHBOURS = 60  # of the paper's index of a million photos
FEWEST_NEIGHBOURS = 5


def default_neighbours(photos: int) -> int:
    """Neighbours per query descriptor for a collection: 5 % of its photos, 5 to 60.

    The paper's 60 would let each descriptor vote for every photo of a small collection; this
    scaling is ours.
    """
    return min(MOST_NEIGHBOURS, max(FEWEST_NEIGHBOURS, math.ceil(photos / 20)))


@dataclasses.dataclass(frozen=True)
class Tentatives:
    """Matches of one photo before verification, in the order of the query's rows."""

    query_rows: Ints  # (m,) rows of the query's descriptors, each at most once
    database_rows: Ints  # (m,) rows of the indexed matrix
    distances: Floats  # (m,) in the index's unit


@dataclasses.dataclass(frozen=True)
class Votes:
    """Photos that got votes: most votes first, then smaller mean distance, then position.

    Attributes:
        photos: (p,) int64: positions in the collection.
        votes: (p,) int64: query descriptors that voted for the photo.
        mean_distance: (p,) float32: of those descriptors' matches, in the index's unit.
    """

    photos: Ints
    votes: Ints
    mean_distance: Floats
    _starts: dict[int, tuple[int, int]] = dataclasses.field(repr=False)
    _matches: tuple[Ints, Ints, Floats] = dataclasses.field(repr=False)

    def __len__(self) -> int:
        return len(self.photos)

    def tentatives(self, photo: int) -> Tentatives:
        """The matches behind a photo's votes; empty where it has none."""
        start, stop = self._starts.get(int(photo), (0, 0))
        queries, rows, distances = self._matches
        return Tentatives(queries[start:stop], rows[start:stop], distances[start:stop])


def vote(
    built: BuiltIndex,
    queries: Floats,
    offsets: Ints,
    neighbours: int | None = None,
    params: Mapping[str, int] | None = None,
) -> Votes:
    """Let each query descriptor vote for the photos of its nearest database descriptors.

    A descriptor votes at most once for a photo, by its nearest match there.

    Args:
        built: over all descriptors of all photos, photo after photo.
        queries: (nq, D) float32; nq may be 0.
        offsets: (N + 1,) int64: rows offsets[i]:offsets[i + 1] belong to photo i (may be none).
        neighbours: per query descriptor; None: ``default_neighbours``.
        params: search parameters, see ``BuiltIndex.search``.

    Raises:
        ValueError: the offsets do not divide the index's rows.
        PlaygroundError: see ``BuiltIndex.search``.
    """
    offsets = np.asarray(offsets, np.int64)
    whole = offsets.ndim == 1 and len(offsets) > 1 and offsets[0] == 0 and offsets[-1] == built.n
    if not whole or (np.diff(offsets) < 0).any():
        raise ValueError(f"offsets must rise from 0 to the index's n = {built.n}")
    photos = len(offsets) - 1
    count = default_neighbours(photos) if neighbours is None else neighbours
    hits = built.search(queries, count, params)
    query_of, photo_of = hits.queries, np.searchsorted(offsets, hits.ids, side="right") - 1
    # Hits are sorted by distance within a query, so the first of a pair is its nearest match.
    _, first = np.unique(query_of * photos + photo_of, return_index=True)
    query_of, photo_of = query_of[first], photo_of[first]
    rows, distances = hits.ids[first], hits.distances[first]

    votes = np.bincount(photo_of, minlength=photos).astype(np.int64)
    sums = np.bincount(photo_of, weights=distances, minlength=photos)
    voted = np.flatnonzero(votes)
    means = (sums[voted] / votes[voted]).astype(np.float32)
    ranking = np.lexsort((voted, means, -votes[voted]))

    by_photo = np.argsort(photo_of, kind="stable")
    stops = np.cumsum(votes)
    starts = {int(p): (int(stops[p] - votes[p]), int(stops[p])) for p in voted}
    matches = (query_of[by_photo], rows[by_photo], distances[by_photo])
    return Votes(voted[ranking], votes[voted][ranking], means[ranking], starts, matches)


def photo_of_rows(offsets: Ints, rows: NDArray[np.int64]) -> Ints:
    """The photo that each row of the indexed matrix belongs to."""
    return (np.searchsorted(offsets, rows, side="right") - 1).astype(np.int64)
