"""Spatial verification: do the matching points of two photos move together?

Matches are nearest neighbours below a distance; RANSAC then finds the affine map (or homography)
that moves most of them together, and the number of matches that obey it re-ranks the photo.
Constants are those of DELF's re-ranking (tensorflow/models, ``delf/python/detect_to_retrieve/
image_reranking.py``): distance below 0.9, residual 10 px, 1,000 trials, at least 4 matches.

RANSAC: M. Fischler, R. Bolles, Random Sample Consensus, CACM 1981; the variant used here is
MAGSAC++ (D. Barath et al., CVPR 2020) of OpenCV's USAC, which gives up on wrong pairs early (a
homography: 0.3 against 11 to 23 ms). Its seed is part of the call's own parameters: unlike
``cv2.setRNGSeed``, which changes the process, it is safe with several sessions (checked: 4 threads,
equal bytes). Note that 3 points fit any affine map and 4 any homography, so unrelated photos with
many putative matches reach 4 or 5 inliers by chance.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from indexing.base import Floats, Ints

Model = Literal["affine", "homography"]

MAX_DISTANCE = 0.9  # L2 distance between unit vectors
RESIDUAL_PX = 10.0  # at the size at which features are extracted
FEWEST_MATCHES = 4
TRIALS = 1_000
CONFIDENCE = 0.999
MOST_SCALE = 20.0  # a landmark 20 times larger or smaller than in the query is a chance fit
MOST_STRETCH = 10.0  # of one direction against the other


@dataclasses.dataclass(frozen=True)
class Verification:
    """What two photos have in common.

    Attributes:
        inliers: matches that obey the transform; 0 where there is none.
        matches: (inliers, 2) int64: row of the query's and of the photo's keypoints.
        transform: query px to photo px: (2, 3) affine or (3, 3) homography, float64; None where
            none was found or it folds the picture.
        putatives: (k, 2) int64: the matches before verification.
    """

    inliers: int
    matches: Ints
    transform: NDArray[np.float64] | None
    putatives: Ints


def verify(
    query_xy: Floats,
    query_desc: Floats,
    photo_xy: Floats,
    photo_desc: Floats,
    model: Model = "affine",
    max_distance: float = MAX_DISTANCE,
    residual_px: float = RESIDUAL_PX,
    mutual: bool = False,
    seed: int = 0,
) -> Verification:
    """Count the matches of two photos that one transform explains.

    Args:
        query_xy: (n, 2) px.
        query_desc: (n, D) float32, unit length.
        photo_xy: (m, 2) px.
        photo_desc: (m, D) float32, unit length.
        max_distance: L2 distance below which a nearest neighbour is a match.
        residual_px: px of the photo between a moved point and its match.
        mutual: keep only matches that are nearest in both directions.
        seed: of RANSAC.

    Raises:
        ValueError: shapes that do not fit together, or an unknown model.
    """
    _check(query_xy, query_desc)
    _check(photo_xy, photo_desc)
    if len(query_desc) and len(photo_desc) and query_desc.shape[1] != photo_desc.shape[1]:
        raise ValueError(f"descriptors of {query_desc.shape[1]} and {photo_desc.shape[1]} numbers")
    putatives = match(query_desc, photo_desc, max_distance, mutual)
    return verify_matches(query_xy, photo_xy, putatives, model, residual_px, seed)


def match(
    query_desc: Floats,
    photo_desc: Floats,
    max_distance: float = MAX_DISTANCE,
    mutual: bool = False,
) -> Ints:
    """(k, 2) int64: query row and its nearest photo row, where their L2 distance is small."""
    if len(query_desc) == 0 or len(photo_desc) == 0:
        return np.empty((0, 2), np.int64)
    # The largest q.p - |p|^2 / 2 is the smallest |q - p|^2: one matrix product and no other pass
    # over all pairs.
    half_squares = np.einsum("ij,ij->i", photo_desc, photo_desc) / 2
    closeness = query_desc @ photo_desc.T - half_squares
    rows = np.arange(len(query_desc), dtype=np.int64)
    nearest = closeness.argmax(axis=1)
    distances = np.linalg.norm(query_desc - photo_desc[nearest], axis=1)
    keep = distances < max_distance
    if mutual:
        squares = np.einsum("ij,ij->i", query_desc, query_desc)[:, None] / 2
        keep &= (closeness - squares).argmax(axis=0)[nearest] == rows
    return np.stack([rows[keep], nearest[keep].astype(np.int64)], axis=1)


def verify_matches(
    query_xy: Floats,
    photo_xy: Floats,
    putatives: Ints,
    model: Model = "affine",
    residual_px: float = RESIDUAL_PX,
    seed: int = 0,
) -> Verification:
    """``verify`` from matches that are known already, such as a photo's votes.

    Args:
        putatives: (k, 2): query row, photo row.
    """
    if model not in ("affine", "homography"):
        raise ValueError(f"model must be 'affine' or 'homography', got {model!r}")
    none = Verification(0, np.empty((0, 2), np.int64), None, putatives)
    if len(putatives) < FEWEST_MATCHES:
        return none
    source = np.ascontiguousarray(query_xy[putatives[:, 0]], np.float64)
    target = np.ascontiguousarray(photo_xy[putatives[:, 1]], np.float64)
    if not (np.isfinite(source).all() and np.isfinite(target).all()):
        raise ValueError("keypoints hold NaN or infinity")
    transform = _estimate(source, target, model, residual_px, seed)
    if transform is None:
        return none
    moved, jacobians = _apply(transform, source)
    with np.errstate(invalid="ignore"):
        inlier = np.linalg.norm(moved - target, axis=1) <= residual_px  # NaN: behind the horizon
    if inlier.sum() < FEWEST_MATCHES or not _plausible(jacobians[inlier]):
        return none
    matches = putatives[inlier]
    return Verification(len(matches), matches, transform, putatives)


def _check(xy: Floats, descriptors: Floats) -> None:
    if xy.ndim != 2 or xy.shape[1] != 2 or descriptors.ndim != 2 or len(xy) != len(descriptors):
        raise ValueError(
            f"expected (n, 2) points with (n, D) descriptors, got {xy.shape}, {descriptors.shape}"
        )


def _parameters(residual_px: float, seed: int) -> Any:
    """What ``method=cv2.USAC_MAGSAC`` stands for, with a seed."""
    parameters = cv2.UsacParams()
    parameters.confidence = CONFIDENCE
    parameters.maxIterations = TRIALS
    parameters.threshold = residual_px
    parameters.randomGeneratorState = seed
    parameters.isParallel = False
    parameters.sampler = cv2.SAMPLING_UNIFORM
    parameters.score = cv2.SCORE_METHOD_MAGSAC
    parameters.loMethod = cv2.LOCAL_OPTIM_SIGMA
    parameters.loIterations = 10
    parameters.loSampleSize = 14
    parameters.neighborsSearch = cv2.NEIGH_GRID
    parameters.final_polisher = cv2.MAGSAC
    parameters.final_polisher_iterations = 3
    return parameters


def _estimate(
    source: NDArray[np.float64],
    target: NDArray[np.float64],
    model: Model,
    residual_px: float,
    seed: int,
) -> NDArray[np.float64] | None:
    find: Any = cv2.estimateAffine2D if model == "affine" else cv2.findHomography
    try:
        transform, _ = find(source, target, _parameters(residual_px, seed))
    except cv2.error:  # too few distinct points for any sample
        return None
    if transform is None or not np.isfinite(transform).all():
        return None
    return np.asarray(transform, np.float64)


def _apply(
    transform: NDArray[np.float64], points: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Moved points (n, 2), NaN behind a homography's horizon, and Jacobians (n, 2, 2) there."""
    if transform.shape == (2, 3):
        jacobian = transform[:, :2]
        return points @ jacobian.T + transform[:, 2], np.broadcast_to(jacobian, (len(points), 2, 2))
    homogeneous = points @ transform[:, :2].T + transform[:, 2]
    # A homography's sign is free; the side of the horizon with most points is the visible one.
    depth = homogeneous[:, 2] * (1.0 if np.median(homogeneous[:, 2]) >= 0 else -1.0)
    divisor = np.where(depth > 1e-12, homogeneous[:, 2], np.nan)
    moved = homogeneous[:, :2] / divisor[:, None]
    jacobians = transform[None, :2, :2] - moved[:, :, None] * transform[None, 2:3, :2]
    return moved, jacobians / divisor[:, None, None]


def _plausible(jacobians: NDArray[np.float64]) -> bool:
    """Whether a map neither mirrors nor folds nor changes sizes absurdly at its inliers."""
    determinants = np.linalg.det(jacobians)
    if not (determinants > 0).all():
        return False
    stretches = np.linalg.svd(jacobians, compute_uv=False)  # (n, 2), larger first
    within = stretches[:, 1] >= 1 / MOST_SCALE
    within &= stretches[:, 0] <= MOST_SCALE
    within &= stretches[:, 0] <= MOST_STRETCH * stretches[:, 1]
    return bool(within.all())
