"""Verified matches of local features, drawn between the query and a found photo."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from extractors.base import RGB

HEIGHT = 480  # px that both photos are drawn at
_SHOWN = 80  # lines; more hide the photos
_COLOURS = 12


def draw(query: RGB, found: RGB, matches: NDArray[np.float32]) -> RGB:
    """Both photos side by side, a line from each matched place to its partner.

    Args:
        query: (H, W, 3) the query's whole photo.
        found: (H', W', 3).
        matches: (m, 4) x, y in the query and x, y in the found photo, px
            (``SearchResult.matches``).

    Returns:
        (``HEIGHT``, ·, 3) picture. Of many matches it shows an even choice.
    """
    shown = matches[np.linspace(0, len(matches) - 1, min(len(matches), _SHOWN)).round().astype(int)]
    left, left_points = _placed(query, shown[:, :2])
    right, right_points = _placed(found, shown[:, 2:])
    canvas = np.ascontiguousarray(np.hstack([left, right]))
    for number, (start, end) in enumerate(zip(left_points, right_points, strict=True)):
        first = (int(start[0]), int(start[1]))
        last = (int(end[0]) + left.shape[1], int(end[1]))
        hue = 180 * (number % _COLOURS) // _COLOURS  # OpenCV's hues of 8-bit pictures end at 180
        red, green, blue = cv2.cvtColor(np.uint8([[[hue, 220, 255]]]), cv2.COLOR_HSV2RGB)[0, 0]  # type: ignore[arg-type, call-overload]
        colour = (int(red), int(green), int(blue))
        cv2.line(canvas, first, last, colour, 1, cv2.LINE_AA)
        for point in (first, last):
            cv2.circle(canvas, point, 4, colour, 1, cv2.LINE_AA)
    return canvas


def _placed(photo: RGB, points: NDArray[np.float32]) -> tuple[RGB, NDArray[np.float32]]:
    """The photo at ``HEIGHT``, and the points in its px (pixel centres on integers)."""
    scale = HEIGHT / photo.shape[0]
    width = max(1, round(photo.shape[1] * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = np.asarray(cv2.resize(photo, (width, HEIGHT), interpolation=how), np.uint8)
    return small, ((points + 0.5) * scale - 0.5).astype(np.float32)
