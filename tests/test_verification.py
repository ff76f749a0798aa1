"""Spatial verification on transforms that are known."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from indexing.base import Floats
from retrieval.verification import Verification, match, verify, verify_matches

# 313 x 471 and 257 x 339: sizes that 8 does not divide.
AFFINE = np.array([[0.8, -0.25, 40.0], [0.2, 0.9, 11.0]])
HOMOGRAPHY = np.array([[0.9, 0.1, 12.0], [-0.08, 0.95, 30.0], [4e-4, -2e-4, 1.0]])


def move(transform: NDArray[np.float64], points: Floats) -> Floats:
    moved: NDArray[np.float64] = np.c_[points, np.ones(len(points))] @ transform.T
    if transform.shape[0] == 3:
        moved = moved[:, :2] / moved[:, 2:]
    return moved.astype(np.float32)


def pair(
    transform: NDArray[np.float64], true: int = 60, wrong: int = 40, noise: float = 0.5
) -> tuple[Floats, Floats, Floats, Floats]:
    """Query points and descriptors, photo points and descriptors; row i belongs to row i."""
    rng = np.random.default_rng(0)
    query = rng.uniform((0, 0), (313, 471), (true + wrong, 2)).astype(np.float32)
    photo = move(transform, query) + rng.normal(0, noise, query.shape).astype(np.float32)
    photo[true:] = rng.uniform((0, 0), (257, 339), (wrong, 2))
    descriptors = rng.standard_normal((true + wrong, 40)).astype(np.float32)
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    return query, descriptors, photo, descriptors.copy()


def corner_error(found: Verification, transform: NDArray[np.float64]) -> float:
    corners = np.array([[0, 0], [313, 0], [0, 471], [313, 471]], np.float32)
    assert found.transform is not None
    return float(np.abs(move(found.transform, corners) - move(transform, corners)).max())


@pytest.mark.parametrize("wrong", [0, 40, 200])
def test_affine_is_found(wrong: int) -> None:
    found = verify(*pair(AFFINE, wrong=wrong), residual_px=3)
    assert 59 <= found.inliers <= 60 + wrong // 40
    assert (found.matches[:59] == np.arange(60)[: len(found.matches[:59]), None]).mean() > 0.97
    assert found.inliers == len(found.matches)
    assert len(found.putatives) == 60 + wrong
    assert corner_error(found, AFFINE) < 2


def test_homography_is_found() -> None:
    found = verify(*pair(HOMOGRAPHY), model="homography", residual_px=3)
    assert 58 <= found.inliers <= 62
    assert found.transform is not None
    assert found.transform.shape == (3, 3)
    assert corner_error(found, HOMOGRAPHY) < 3


def test_unrelated_photos_have_few_inliers() -> None:
    assert verify(*pair(AFFINE, true=0, wrong=150), residual_px=3).inliers <= 6


def test_matches_by_hand() -> None:
    query = np.array([[1, 0], [0, 1], [0.8, 0.6]], np.float32)
    photo = np.array([[0.6, 0.8], [1, 0]], np.float32)
    # L2 distances to row 0: .894, .632, .283; to row 1: 0, 1.414, .632
    assert match(query, photo).tolist() == [[0, 1], [1, 0], [2, 0]]
    assert match(query, photo, max_distance=0.5).tolist() == [[0, 1], [2, 0]]
    assert match(query, photo, mutual=True).tolist() == [[0, 1], [2, 0]]
    assert match(query[:0], photo).shape == match(query, photo[:0]).shape == (0, 2)


def test_three_matches_are_none() -> None:
    query, qd, photo, pd = pair(AFFINE, true=4, wrong=0, noise=0)
    assert verify(query, qd, photo, pd).inliers == 4
    few = verify(query[:3], qd[:3], photo, pd)
    assert few.inliers == 0
    assert few.transform is None
    assert len(few.putatives) == 3
    assert few.matches.shape == (0, 2)
    empty = np.empty((0, 2), np.float32)
    assert verify(empty, np.empty((0, 40), np.float32), photo, pd).inliers == 0


@pytest.mark.parametrize("model", ["affine", "homography"])
@pytest.mark.parametrize("case", ["mirrored", "collapsed", "one point", "line", "huge", "flat"])
def test_absurd_transforms_are_rejected(model: str, case: str) -> None:
    rng = np.random.default_rng(0)
    query = rng.uniform(0, 300, (50, 2)).astype(np.float32)
    cases: dict[str, NDArray[Any]] = {
        "mirrored": query * [-1, 1] + [300, 0],
        "collapsed": np.full_like(query, 7),
        "one point": query * 0.01,
        "line": query[:, :1] * [1, 1],
        "huge": query * 100,
        "flat": query * [1, 0.02],
    }
    photo = cases[case].astype(np.float32)
    pairs = np.stack([np.arange(50)] * 2, axis=1)
    found = verify_matches(query, photo, pairs, model, 2.0)  # type: ignore[arg-type]
    # A collapsed photo leaves a chance fit of a few points at most.
    assert found.inliers <= (0 if case == "mirrored" else 6)


def test_the_seed_decides_also_in_threads() -> None:
    data = pair(AFFINE, true=15, wrong=120)
    wanted = verify(*data, residual_px=4, seed=3)
    results: list[Verification] = []

    def work() -> None:
        for _ in range(10):
            results.append(verify(*data, residual_px=4, seed=3))

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wanted.transform is not None
    assert len(results) == 40
    for result in results:
        assert result.transform is not None
        assert result.transform.tobytes() == wanted.transform.tobytes()
        assert np.array_equal(result.matches, wanted.matches)


def test_inliers_do_not_depend_on_the_photo_size() -> None:
    query, qd, photo, pd = pair(AFFINE, wrong=20)
    small = verify(query, qd, photo, pd, residual_px=2.5)
    large = verify(query, qd, photo * 8, pd, residual_px=20)
    assert abs(small.inliers - large.inliers) <= 1


def test_shapes_are_checked() -> None:
    query, qd, photo, pd = pair(AFFINE)
    with pytest.raises(ValueError, match="expected"):
        verify(query[:5], qd, photo, pd)
    with pytest.raises(ValueError, match="numbers"):
        verify(query, qd[:, :8], photo, pd)
    with pytest.raises(ValueError, match="model"):
        verify(query, qd, photo, pd, model="rigid")  # type: ignore[arg-type]
    query[0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        verify(query, qd, photo, pd)
