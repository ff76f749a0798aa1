"""Boxes of a photo: kept inside it, and in words. No Streamlit here."""

from __future__ import annotations

from collections.abc import Sequence

from data.base import Box

MIN_SIDE = 8  # px of the original photo; a smaller box is a slip of the mouse
_FAR = 1e6  # px; no photo is that large, and NaN is not below it
Size = tuple[int, int]
"""(width, height) in px."""


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


def of_browser(sent: object, size: Size) -> Box | None:
    """A box as a browser sends it, clipped; None for anything else: a browser can send anything."""
    if not isinstance(sent, Sequence) or len(sent) != 4:
        return None
    if not all(isinstance(side, int | float) and abs(side) < _FAR for side in sent):
        return None
    x0, y0, x1, y1 = (round(side) for side in sent)
    return clip((x0, y0, x1, y1), size)


def describe(box: Box | None, size: Size) -> str:
    """A sentence part such as "320 x 240 px of 900 x 600"."""
    if box is None or box == whole(size):
        return f"whole photo, {size[0]} x {size[1]} px"
    return f"{box[2] - box[0]} x {box[3] - box[1]} px of {size[0]} x {size[1]}"
