"""Photos with a known homography between them, for the tests of what matches photos."""

from __future__ import annotations

import cv2
import numpy as np
from conftest import toy_canvas
from numpy.typing import NDArray

from data.photos import RGB
from extractors.base import Floats

# Width and height in px: 8 divides none of them.
QUERY_SIZE, PHOTO_SIZE = (313, 471), (257, 339)
HOMOGRAPHY = np.array([[0.76, 0.06, 6.0], [-0.07, 0.68, 24.0], [1.5e-4, -8e-5, 1.0]])
"""From the query's px to the photo's."""


def scene(landmark: int = 0) -> RGB:
    """The query's photo, (471, 313, 3)."""
    return np.ascontiguousarray(cv2.resize(toy_canvas(landmark), QUERY_SIZE))


def seen(picture: RGB) -> RGB:
    """The same from another place, (339, 257, 3)."""
    return cv2.warpPerspective(picture, HOMOGRAPHY, PHOTO_SIZE, borderMode=cv2.BORDER_REFLECT)


def moved(points: Floats) -> NDArray[np.float64]:
    """Where the query's points lie in the photo."""
    ends = np.c_[points, np.ones(len(points))] @ HOMOGRAPHY.T
    return ends[:, :2] / ends[:, 2:]


def errors(matches: Floats) -> NDArray[np.float64]:
    """Px between where each match (k, 4) lies and where it should."""
    return np.linalg.norm(moved(matches[:, :2]) - matches[:, 2:], axis=1)
