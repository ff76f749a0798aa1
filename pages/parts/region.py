"""Boxes between the photo and its smaller picture on the screen. No Streamlit here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from data.base import Box

EDGE = 5.0  # px of the shown picture; nearer to its edge is at its edge
MIN_SIDE = 8  # px of the original photo; a smaller box is a slip of the mouse
Size = tuple[int, int]
"""(width, height) in px."""


def fit(size: Size, max_width: int, max_height: int) -> Size:
    """The largest size of the same shape inside the limits, at least 1 x 1 px.

    Small photos are enlarged, up to four times, so that their box can be grasped.
    """
    width, height = size
    factor = min(max_width / width, max_height / height, 4.0)
    return max(1, round(width * factor)), max(1, round(height * factor))


def whole(size: Size) -> Box:
    """The box of all pixels."""
    return (0, 0, size[0], size[1])


def clip(box: Box, size: Size) -> Box | None:
    """The part of the box inside the photo; None where less than a usable region is left."""
    x0, y0, x1, y1 = box
    width, height = size
    x0, y0, x1, y1 = max(0, x0), max(0, y0), min(width, x1), min(height, y1)
    if x1 - x0 < min(MIN_SIDE, width) or y1 - y0 < min(MIN_SIDE, height):
        return None
    return (x0, y0, x1, y1)


def to_display(box: Box, size: Size, shown: Size) -> tuple[int, int, int, int]:
    """The box in px of the shown picture, as st_cropper wants it: (left, right, top, bottom)."""
    sx, sy = shown[0] / size[0], shown[1] / size[1]
    x0, y0, x1, y1 = box
    # Two px inside the picture, so that a box at its edge is seen and can be grasped.
    left, top = max(2, round(x0 * sx)), max(2, round(y0 * sy))
    right, bottom = min(shown[0] - 4, round(x1 * sx)), min(shown[1] - 4, round(y1 * sy))
    return (left, max(left + 1, right), top, max(top + 1, bottom))


def from_display(rect: Mapping[str, Any], size: Size, shown: Size) -> Box | None:
    """What st_cropper returns, in px of the photo and clipped; None where nothing usable is left.

    The rectangle may hang over the left and top edges: st_cropper moves ``left`` and ``top`` to
    0 there without making the rectangle smaller, and its width includes the stroke. So the
    result is clipped here, and a side within EDGE shown px of the photo's edge is taken as
    reaching it.
    """
    left, top = float(rect["left"]), float(rect["top"])
    right, bottom = left + float(rect["width"]), top + float(rect["height"])
    left, top = (0.0 if left < EDGE else left), (0.0 if top < EDGE else top)
    right = float(shown[0]) if right > shown[0] - EDGE else right
    bottom = float(shown[1]) if bottom > shown[1] - EDGE else bottom
    sx, sy = size[0] / shown[0], size[1] / shown[1]
    return clip((round(left * sx), round(top * sy), round(right * sx), round(bottom * sy)), size)


def describe(box: Box | None, size: Size) -> str:
    """A sentence part such as "320 x 240 px of 900 x 600"."""
    if box is None or box == whole(size):
        return f"whole photo, {size[0]} x {size[1]} px"
    return f"{box[2] - box[0]} x {box[3] - box[1]} px of {size[0]} x {size[1]}"
