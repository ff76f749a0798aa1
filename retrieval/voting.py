"""Retrieval by local descriptors: every descriptor of the query votes for photos.

As in DELF's retrieval system (H. Noh et al., Large-Scale Image Retrieval with Attentive Deep
Local Features, ICCV 2017, https://arxiv.org/abs/1612.06321): all descriptors of the collection
lie in one index; each query descriptor's nearest ones point to photos, and the photos with most
matches are then verified geometrically, see ``retrieval.verification``.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from indexing.base import BuiltIndex, Floats, Ints, SearchHits

MOST_NEIGHBOURS = 60  # of the paper's index of a million photos
FEWEST_NEIGHBOURS = 5


def default_neighbours(photos: int) -> int:
    """Neighbours per query descriptor for a collection: 5 % of its photos, 5 to 60.

    The paper's 60 would let each descriptor vote for every photo of a small collection; this
    scaling is ours.
    """
    return min(MOST_NEIGHBOURS, max(FEWEST_NEIGHBOURS, math.ceil(photos / 20)))


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

    def __len__(self) -> int:
        return len(self.photos)


def vote(
    built: BuiltIndex,
    queries: Floats,
    offsets: Ints,
    neighbours: int | None = None,
    params: Mapping[str, int] | None = None,
    hits: SearchHits | None = None,
) -> Votes:
    """Let each query descriptor vote for the photos of its nearest database descriptors.

    A descriptor votes at most once for a photo, by its nearest match there.

    Args:
        built: over all descriptors of all photos, photo after photo.
        queries: (nq, D) float32; nq may be 0.
        offsets: (N + 1,) int64: rows offsets[i]:offsets[i + 1] belong to photo i (may be none).
        neighbours: per query descriptor; None: ``default_neighbours``.
        params: search parameters, see ``BuiltIndex.search``.
        hits: what this search has given before, in place of it.

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
    hits = built.search(queries, count, params) if hits is None else hits
    query_of, photo_of = hits.queries, np.searchsorted(offsets, hits.ids, side="right") - 1
    # Hits are sorted by distance within a query, so the first of a pair is its nearest match.
    _, first = np.unique(query_of * photos + photo_of, return_index=True)
    photo_of, distances = photo_of[first], hits.distances[first]

    votes = np.bincount(photo_of, minlength=photos).astype(np.int64)
    sums = np.bincount(photo_of, weights=distances, minlength=photos)
    voted = np.flatnonzero(votes)
    means = (sums[voted] / votes[voted]).astype(np.float32)
    ranking = np.lexsort((voted, means, -votes[voted]))

    return Votes(voted[ranking], votes[voted][ranking], means[ranking])
