"""Pictures that show where a score comes from: cells in colour, visual words as circles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from extractors.base import RGB, Floats

if TYPE_CHECKING:
    from retrieval.explain.base import Grid, Word

SIDE = 720  # px, longer side of a picture
# Light grows with the value in both, and orange and blue stay apart for colour-blind eyes.
WARM = ((122, 54, 2), (217, 104, 12), (255, 176, 46), (255, 246, 168))
COLD = ((24, 44, 120), (44, 98, 190), (96, 164, 236), (206, 234, 255))
# Okabe and Ito's colours, for eyes of all kinds.
PALETTE = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
    (255, 255, 255),
)
_WORDS = 60  # drawn; more hide the photo
_OPAQUE = 0.82  # of the strongest cell
_INK, _PAPER = (20, 24, 36), (255, 255, 255)


def cells(
    photo: RGB, grid: Grid, peak: float, labels: Sequence[tuple[tuple[int, int], str]], sharp: bool
) -> RGB:
    """The grid's part of a photo with its cells over it.

    Args:
        photo: (H, W, 3), the whole photo.
        peak: the value that gets the strongest colour.
        labels: cells (row, column) to outline, with what to write there.
        sharp: squares; else the colours run into one another.
    """
    x0, y0, x1, y1 = grid.box
    left, top = round(x0), round(y0)
    picture = _fitted(photo[top : max(top + 1, round(y1)), left : max(left + 1, round(x1))])
    height, width = picture.shape[:2]
    how = cv2.INTER_NEAREST if sharp else cv2.INTER_LINEAR
    level = cv2.resize(grid.values.astype(np.float32), (width, height), interpolation=how)
    level = np.clip(level / max(peak, 1e-12), -1, 1)
    strength = np.abs(level)[:, :, None]
    colour = np.where(level[:, :, None] >= 0, _ramp(WARM, strength), _ramp(COLD, strength))
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[:, :, None].astype(np.float32)
    faint = 0.2 * picture + 0.8 * (0.7 * grey + 40)  # so that the photo's colours say nothing
    # Where colours run into one another, weak ones are lifted: few cells are near the strongest.
    opaque = _OPAQUE * strength ** (1.0 if sharp else 0.6)
    canvas = np.ascontiguousarray(np.clip((1 - opaque) * faint + opaque * colour, 0, 255), np.uint8)
    rows, columns = grid.values.shape
    if sharp:
        for row in range(1, rows):
            y = round(row * height / rows)
            canvas[y : y + 1] = canvas[y : y + 1] // 2 + 90
        for column in range(1, columns):
            x = round(column * width / columns)
            canvas[:, x : x + 1] = canvas[:, x : x + 1] // 2 + 90
    corners = []
    for (row, column), text in labels:
        start = (round(column * width / columns), round(row * height / rows))
        end = (round((column + 1) * width / columns) - 1, round((row + 1) * height / rows) - 1)
        cv2.rectangle(canvas, start, end, _INK, 4)
        cv2.rectangle(canvas, start, end, _PAPER, 2)
        corners.append((text, start, end))
    taken: list[tuple[int, int]] = []
    for text, start, end in corners:
        x, y = (start[0] + end[0]) // 2, (start[1] + end[1]) // 2
        # Of neighbours the later ones move out of the way.
        tries = ((x, y), (x, y - 34), (x, y + 34), (x, y - 68), (x, y + 68))
        free = [at for at in tries if all(_apart(at, other) for other in taken)]
        taken.append((free or [(x, y)])[0])
        _write(canvas, text, taken[-1])
    return canvas


def words(photo: RGB, box: tuple[int, int, int, int], shown: Sequence[Word], query: bool) -> RGB:
    """A region of a photo with the places of visual words: the first ones in colour, numbered.

    Args:
        query: draw the words' places in the query, else those in the photo.
    """
    x0, y0, x1, y1 = box
    region = photo[y0:y1, x0:x1]
    picture = _fitted(region)
    scale = picture.shape[1] / region.shape[1]
    canvas = np.ascontiguousarray(0.6 * picture + 0.4 * 128, np.uint8)
    placed: list[tuple[int, Floats]] = [
        (rank, one.query if query else one.photo) for rank, one in enumerate(shown[:_WORDS])
    ]
    faint = canvas.copy()
    for rank, x, y, size in _in_picture(placed, (x0, y0), scale):
        if rank >= len(PALETTE):
            cv2.circle(faint, (round(x), round(y)), max(4, round(size / 2)), _PAPER, 1, cv2.LINE_AA)
    canvas = np.ascontiguousarray(0.5 * canvas + 0.5 * faint, np.uint8)
    for rank, x, y, size in _in_picture(placed[: len(PALETTE)], (x0, y0), scale):
        centre, radius = (round(x), round(y)), max(8, round(size / 2))
        cv2.circle(canvas, centre, radius, _INK, 5, cv2.LINE_AA)
        cv2.circle(canvas, centre, radius, PALETTE[rank], 3, cv2.LINE_AA)
    taken: list[tuple[int, int]] = []
    for rank, places in placed[: len(PALETTE)]:
        # One number per word, where there is room for it.
        spots = [
            (round(x + 22), round(y - 22))
            for _, x, y, _ in _in_picture([(rank, places)], (x0, y0), scale)
        ]
        free = [at for at in spots if all(_apart(at, other, 30) for other in taken)]
        taken.append((free or spots)[0])
        _write(canvas, str(rank + 1), taken[-1], PALETTE[rank])
    return canvas


def css(rank: int) -> str:
    """A table cell in a word's colour."""
    red, green, blue = PALETTE[rank]
    return f"background-color: #{red:02x}{green:02x}{blue:02x}; color: #141824"


def _in_picture(
    placed: Sequence[tuple[int, Floats]], origin: tuple[int, int], scale: float
) -> list[tuple[int, float, float, float]]:
    """Rank, x, y and diameter in px of the picture; the best word last, so that it is on top."""
    return [
        (
            rank,
            (x - origin[0] + 0.5) * scale - 0.5,
            (y - origin[1] + 0.5) * scale - 0.5,
            size * scale,
        )
        for rank, places in reversed(placed)
        for x, y, size in places
    ]


def legend_colours(ramp: Sequence[tuple[int, int, int]]) -> str:
    """A ramp as CSS colours between commas, weak to strong."""
    return ", ".join("#{:02x}{:02x}{:02x}".format(*colour) for colour in ramp)


def _fitted(pixels: RGB) -> RGB:
    """At ``SIDE``, up or down."""
    factor = SIDE / max(pixels.shape[:2])
    size = (max(8, round(pixels.shape[1] * factor)), max(8, round(pixels.shape[0] * factor)))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, size, interpolation=how), np.uint8)


def _ramp(stops: Sequence[tuple[int, int, int]], level: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h, w, 3) colours of levels (h, w, 1) from 0 to 1."""
    at = np.linspace(0, 1, len(stops))
    channels = [np.interp(level[:, :, 0], at, [stop[c] for stop in stops]) for c in range(3)]
    return np.stack(channels, axis=2).astype(np.float32)


def _apart(one: tuple[int, int], other: tuple[int, int], width: int = 86) -> bool:
    """Whether two labels of ``width`` px do not cover one another."""
    return abs(one[0] - other[0]) > width or abs(one[1] - other[1]) > 30


def _write(
    canvas: RGB, text: str, middle: tuple[int, int], colour: tuple[int, int, int] = _PAPER
) -> None:
    """Text around a place, moved so that all of it is in the picture."""
    font, size = cv2.FONT_HERSHEY_SIMPLEX, 0.72
    (width, height), base = cv2.getTextSize(text, font, size, 2)
    x = int(np.clip(middle[0] - width // 2, 3, max(3, canvas.shape[1] - width - 3)))
    y = int(np.clip(middle[1] + height // 2, height + 3, canvas.shape[0] - base))
    cv2.rectangle(canvas, (x - 3, y - height - 4), (x + width + 3, y + base), _INK, -1)
    cv2.putText(canvas, text, (x, y), font, size, colour, 2, cv2.LINE_AA)
