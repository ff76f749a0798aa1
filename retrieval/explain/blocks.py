"""HOG: the cells of both crops whose edges run alike.

The cosine is a sum over the numbers of the descriptor, and each number belongs to one cell; cells
that lie in several blocks gather from all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from data.base import Box
from retrieval.explain.base import Grid, Heat, Pair

if TYPE_CHECKING:
    from extractors.hog import Hog, HogConfig

NOTE = (
    "A cell of the query is compared with the cell at the same place of the photo, and with no "
    "other: it is strong where edges of one direction lie in both."
)


def explain(pair: Pair) -> Heat:
    pixels = pair.query.pixels()
    prepared = pair.extractor.prepare(pixels, pair.query.box)
    inner, towards = pair.extractor.unwrapped(prepared, pair.photo_vector)
    hog = cast("Hog", inner)
    vector = hog.encode(hog.describe(prepared)).vectors[0]
    values = per_cell(vector.astype(np.float64) * towards, hog.config)
    score = pair.cosine
    rest = score - float(values.sum())
    photo = pair.view.photos[pair.row]
    whole = (0, 0, photo.width, photo.height)
    return Heat(
        score,
        Grid(values, _covered(pair.query.box, hog.config), rest),
        Grid(values, _covered(whole, hog.config), rest),
        aligned=True,
        note=NOTE,
    )


def per_cell(products: NDArray[np.float64], config: HogConfig) -> NDArray[np.float64]:
    """(rows, columns) of cells: the sum of the numbers that belong to each.

    Args:
        products: (D,), in the order of the descriptor: blocks, the cells of a block, orientations.
    """
    rows, columns, block = config.height // config.cell, config.width // config.cell, config.block
    down, across = rows - block + 1, columns - block + 1
    of_cells = products.reshape(down, across, block, block, config.orientations).sum(axis=4)
    total = np.zeros((rows, columns))
    for y in range(block):
        for x in range(block):
            total[y : y + down, x : x + across] += of_cells[:, :, y, x]
    return total


def _covered(box: Box, config: HogConfig) -> tuple[float, float, float, float]:
    """The part of a crop that whole cells cover."""
    x0, y0, x1, y1 = box
    width = config.width // config.cell * config.cell / config.width
    height = config.height // config.cell * config.cell / config.height
    return (x0, y0, x0 + (x1 - x0) * width, y0 + (y1 - y0) * height)
