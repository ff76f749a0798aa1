"""HOG: histograms of oriented gradients of the whole photo.

Dalal and Triggs, "Histograms of Oriented Gradients for Human Detection", CVPR 2005.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
from typing import ClassVar

import cv2
import numpy as np
from skimage.feature import hog

from data.base import Box
from data.errors import PlaygroundError
from extractors.base import RGB, Card, Extractor, Features, Prepared, Raw, crop, l2_normalise


@dataclasses.dataclass(frozen=True)
class HogConfig:
    width: int = 64  # px of the window that every photo is resized to
    height: int = 128  # px
    orientations: int = 9  # bins over 180 degrees
    cell: int = 8  # px, side of a cell
    block: int = 2  # cells, side of a block

    def __post_init__(self) -> None:
        for field in ("width", "height", "orientations", "cell", "block"):
            value = getattr(self, field)
            if value < 1:
                raise PlaygroundError(
                    f"hog: {field}={value} is too small. Legal: whole numbers from 1, such as "
                    f"hog:{field}={getattr(type(self), field)}."
                )
        if self.block * self.cell > min(self.width, self.height):
            raise PlaygroundError(
                f"hog: a block of {self.block} x {self.block} cells of {self.cell} px does not "
                f"fit into {self.width} x {self.height} px. Legal: block * cell up to "
                f"{min(self.width, self.height)}, such as hog:block=2,cell=8."
            )


class Hog(Extractor):
    """One HOG vector per photo, 3,780-d by default.

    A photo without any gradient (one colour) gets the zero vector, which no search may count as
    a match.
    """

    name = "hog"
    evidence = "blocks"
    card: ClassVar[Card] = Card(
        title="HOG (histograms of oriented gradients)",
        paper=(
            "N. Dalal and B. Triggs, Histograms of Oriented Gradients for Human Detection, "
            "CVPR 2005"
        ),
        url="https://doi.org/10.1109/CVPR.2005.177",
        idea=(
            "The photo is squeezed to 64 x 128 px, whatever its aspect ratio, and cut into cells "
            "of 8 x 8 px. Each cell counts in which directions its edges run, and overlapping "
            "blocks of 2 x 2 cells are normalised against changes of light. All blocks in a row "
            "are the descriptor: it knows where in the photo which edges lie, so that it finds "
            "the same view again, but not a shifted, turned or zoomed one."
        ),
        formula=(
            r"h_c(b) = \sum_{p \in c,\; \theta(p) \in b} \lVert\nabla I(p)\rVert, \qquad "
            r"\mathbf{v} \leftarrow \frac{\mathbf{v}}{\sqrt{\lVert\mathbf{v}\rVert_2^2 + "
            r"\varepsilon^2}} \text{ per block, cut at } 0.2 \text{, and once more}"
        ),
        parameters={
            "width": "width in px that every photo is resized to; the aspect ratio is not kept",
            "height": "height in px that every photo is resized to",
            "orientations": "bins of edge direction over 180 degrees",
            "cell": "side of a cell in px",
            "block": "side of a block in cells",
        },
        licence="The code is scikit-image's (BSD 3-clause). We know of no patent in force.",
        cost="Very small: a few milliseconds per photo on a CPU, nothing to learn.",
    )

    def __init__(self, config: HogConfig) -> None:
        super().__init__(config)

    @property
    def dim(self) -> int:
        c = self.config
        across = c.width // c.cell - c.block + 1
        down = c.height // c.cell - c.block + 1
        return int(across * down * c.block * c.block * c.orientations)

    def prepare(self, photo: RGB, box: Box | None = None) -> Prepared:
        """Crop, then resize to the window, each axis by its own factor."""
        pixels, origin = crop(photo, box)
        height, width = pixels.shape[:2]
        new_w, new_h = self.config.width, self.config.height
        # Shrink first, then enlarge: INTER_AREA is antialiased only where it shrinks both axes.
        smaller = (min(width, new_w), min(height, new_h))
        if smaller != (width, height):
            less = cv2.resize(pixels, smaller, interpolation=cv2.INTER_AREA)
            pixels = np.asarray(less, np.uint8)
        if smaller != (new_w, new_h):
            larger = cv2.resize(pixels, (new_w, new_h), interpolation=cv2.INTER_LINEAR)
            pixels = np.asarray(larger, np.uint8)
        scale = (new_w / width, new_h / height)
        return Prepared(np.ascontiguousarray(pixels), scale, origin)

    def describe(self, prepared: Prepared) -> Raw:
        """``hog`` (dim,) float32, blocks normalised by L2-Hys."""
        c = self.config
        vector = hog(
            cv2.cvtColor(prepared.pixels, cv2.COLOR_RGB2GRAY),
            orientations=c.orientations,
            pixels_per_cell=(c.cell, c.cell),
            cells_per_block=(c.block, c.block),
            block_norm="L2-Hys",
        )
        return {"hog": vector.astype(np.float32)}

    def encode(self, raw: Raw) -> Features:
        """One (1, dim) vector of length 1."""
        return Features(l2_normalise(raw["hog"][None]))

    def runtime(self) -> str:
        return f"scikit-image {importlib.metadata.version('scikit-image')}"
