"""Networks: which cells of their maps make the cosine.

The cosine of query q and photo d is linear in the pooled map of either one, when the other's
descriptor and the norms stay as they are. ``GlobalNetwork.trace`` says what each cell gives; maps
of several scales are summed on the finest grid. What no cell gives is shown beside the map, not
spread over it: the bias of a whitening is the same whatever is in the photo.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from data.base import Box
from extractors.base import RGB, Extractor, Floats
from retrieval.explain.base import Grid, Heat, Pair, UnexplainedError

if TYPE_CHECKING:
    from extractors.cnn import GlobalNetwork

NOTE = (
    "A cell is a place of the network's last map. It has seen more of the photo than its square: "
    "the map says where the network answered, not which pixels it needed."
)


def explain(pair: Pair) -> Heat:
    score = pair.cosine
    query = grid(pair.extractor, pair.query.pixels(), pair.query.box, pair.photo_vector, score)
    photo = grid(pair.extractor, pair.photo(), None, pair.query_vector, score)
    return Heat(score, query, photo, aligned=False, note=NOTE)


def grid(
    extractor: Extractor, pixels: RGB, box: Box | None, direction: Floats, score: float
) -> Grid:
    """What the cells of one picture give to its cosine with ``direction``, which is ``score``."""
    prepared = extractor.prepare(pixels, box)
    inner, towards = extractor.unwrapped(prepared, direction)
    network = cast("GlobalNetwork", inner)
    if network.untraceable:
        raise UnexplainedError(network.untraceable)
    values = summed([one.astype(np.float64) for one in network.trace(prepared, towards)])
    height, width = pixels.shape[:2]
    x0, y0, x1, y1 = box if box is not None else (0, 0, width, height)
    return Grid(values, (x0, y0, x1, y1), score - float(values.sum()))


def summed(maps: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Maps of one picture at several resolutions on the finest one's grid; sums are kept."""
    height = max(one.shape[0] for one in maps)
    width = max(one.shape[1] for one in maps)
    total = np.zeros((height, width))
    for one in maps:
        total += shares(one.shape[0], height).T @ one @ shares(one.shape[1], width)
    return total


def shares(coarse: int, fine: int) -> NDArray[np.float64]:
    """(coarse, fine): how much of each of ``coarse`` equal parts of a line lies in each of ``fine``
    equal parts; rows sum to 1."""
    starts = np.arange(coarse)[:, None] / coarse
    ends = starts + 1 / coarse
    left, right = np.arange(fine) / fine, np.arange(1, fine + 1) / fine
    common = np.minimum(ends, right) - np.maximum(starts, left)
    return np.asarray(np.maximum(common, 0) * coarse)
