"""Local features: the matches, and the map that lays the query over the photo."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from data.base import Box
from extractors.base import RGB, Floats
from retrieval import verification
from retrieval.explain.base import FEW, Alignment, Pair
from retrieval.ranking import Ranking
from retrieval.rerank import registry as rerank_registry

RESIDUAL = 0.02  # of the photo's longer side, between a moved point and its match


def explain(pair: Pair) -> Alignment:
    """From the search's matches, or from those that RANSAC finds where it checked no geometry."""
    matches = pair.matches
    if matches is None:
        ranking = Ranking(np.array([pair.row]), np.zeros(1), {"votes": np.zeros(1)})
        found = rerank_registry.create("ransac").rerank(pair.query, ranking, pair.view)
        matches = found.matches.get(pair.row)
    if matches is None:
        matches = np.empty((0, 4), np.float32)
    photo = pair.view.photos[pair.row]
    return align(matches, pair.query.box, max(photo.width, photo.height))


def align(matches: Floats, box: Box, longer_side: int) -> Alignment:
    """The map that most of the matches obey.

    A homography has 8 numbers, so that few matches say little about it: they get an affine map.

    Args:
        matches: (j, 4) px.
        longer_side: px of the found photo.
    """
    rows = np.arange(len(matches), dtype=np.int64)
    pairs = np.stack([rows, rows], axis=1)
    wanted: tuple[verification.Model, ...] = ("homography", "affine")
    for model in wanted if len(matches) >= FEW else wanted[1:]:
        found = verification.verify_matches(
            matches[:, :2], matches[:, 2:], pairs, model, residual_px=RESIDUAL * longer_side
        )
        if found.transform is None:
            continue
        transform = np.eye(3)
        transform[: len(found.transform)] = found.transform
        if _unfolded(transform, box):
            return Alignment(matches, transform, model, box)
    return Alignment(matches, None, "", box)


def _unfolded(transform: NDArray[np.float64], box: Box) -> bool:
    """Whether the whole region is on one side of the horizon; matches may lie in a part of it."""
    x0, y0, x1, y1 = box
    corners = np.array([[x0, y0, 1], [x1, y0, 1], [x1, y1, 1], [x0, y1, 1]], np.float64)
    depth = corners @ transform[2]
    return bool((depth > 0.1 * depth.max()).all() or (depth < 0.1 * depth.min()).all())


def overlay(query: RGB, photo: RGB, found: Alignment, side: int = 900) -> tuple[RGB, RGB, RGB]:
    """The photo, the query's region moved onto it, and where that lies.

    Args:
        query: the query's whole photo.
        side: px, longer side of the result; never larger than the photo.

    Returns:
        (h, w, 3) the photo, (h, w, 3) the moved region, (h, w) 255 where it lies and 0 elsewhere.
    """
    assert found.transform is not None
    factor = min(1.0, side / max(photo.shape[:2]))
    size = (max(1, round(photo.shape[1] * factor)), max(1, round(photo.shape[0] * factor)))
    small = cv2.resize(photo, size, interpolation=cv2.INTER_AREA) if factor < 1 else photo
    x0, y0, x1, y1 = found.box
    region = np.ascontiguousarray(query[y0:y1, x0:x1])
    to_small = _scaling(size[0] / photo.shape[1], size[1] / photo.shape[0])
    into_photo = np.array([[1, 0, x0], [0, 1, y0], [0, 0, 1.0]])
    move = to_small @ found.transform @ into_photo
    moved = cv2.warpPerspective(region, move, size, flags=cv2.INTER_LINEAR)
    inside = np.full(region.shape[:2], 255, np.uint8)
    mask = cv2.warpPerspective(inside, move, size, flags=cv2.INTER_NEAREST)
    return np.asarray(small, np.uint8), np.asarray(moved, np.uint8), np.asarray(mask, np.uint8)


def blend(photo: RGB, moved: RGB, mask: RGB, share: float) -> RGB:
    """The photo with ``share`` (0 to 1) of the moved query over it."""
    weight = (np.float32(share / 255) * mask.astype(np.float32))[:, :, None]
    return np.asarray(np.rint(photo * (1 - weight) + moved * weight), np.uint8)


def _scaling(x: float, y: float) -> NDArray[np.float64]:
    """px to px of a resized picture, pixel centres on integers."""
    return np.array([[x, 0, x / 2 - 0.5], [0, y, y / 2 - 0.5], [0, 0, 1.0]])
