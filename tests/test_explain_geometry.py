"""The query laid over the found photo, and what is said of scores: no search is needed."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pages.parts import heat
from retrieval.explain import matches, sentences
from retrieval.explain.base import Grid, Word
from retrieval.ranking import Hit, Recipe, SearchResult

BOX = (60, 40, 460, 340)
TURN = cv2.getRotationMatrix2D((250, 200), 17, 0.7)
WARPS = {
    "affine": np.vstack([TURN + np.array([[0, 0, 90], [0, 0, 40]]), [0, 0, 1]]),
    "homography": np.array([[0.8, 0.1, 60], [-0.05, 0.75, 50], [2e-4, 3e-4, 1]]),
}


def moved(warp: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    return cv2.perspectiveTransform(points[None].astype(np.float64), warp)[0]


def pairs(warp: NDArray[np.float64], count: int, noise: float = 0.3) -> NDArray[np.float32]:
    rng = np.random.default_rng(1)
    x0, y0, x1, y1 = BOX
    points = rng.uniform((x0, y0), (x1, y1), (count, 2))
    target = moved(warp, points) + rng.normal(0, noise, (count, 2))
    return np.hstack([points, target]).astype(np.float32)


@pytest.mark.parametrize("kind", WARPS)
def test_the_overlay_of_a_known_warp_lies_within_2_px(kind: str) -> None:
    """Bright discs of the query, seen again where the warp says."""
    warp = WARPS[kind]
    places = np.array([[110, 90], [400, 80], [260, 190], [120, 300], [420, 310]], np.float64)
    query = np.zeros((400, 520, 3), np.uint8)
    for x, y in places.astype(int):
        cv2.circle(query, (int(x), int(y)), 9, (255, 255, 255), -1)
    photo = np.zeros((600, 800, 3), np.uint8)
    found = matches.align(pairs(warp, 40), BOX, 800)
    assert found.model == "homography" and not found.weak and found.transform is not None
    small, seen, mask = matches.overlay(query, photo, found, side=400)  # at half the size
    assert small.shape == seen.shape == (300, 400, 3) and mask.shape == (300, 400)
    lit = (seen[:, :, 0] > 100).astype(np.uint8)
    count, _, _, centres = cv2.connectedComponentsWithStats(lit)
    assert count == len(places) + 1
    wanted = (moved(warp, places) + 0.5) / 2 - 0.5
    for place in wanted:
        nearest = np.linalg.norm(centres[1:] - place, axis=1).min()
        assert nearest * 2 < 2  # px of the photo
    # The mask is the region and nothing else: its corners, and a step outside of them.
    x0, y0, x1, y1 = BOX
    middle = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.float64)
    for step, value in ((0.95, 255), (1.05, 0)):
        for x, y in (moved(warp, middle + step * (corners - middle)) + 0.5) / 2 - 0.5:
            assert mask[round(y), round(x)] == value


def test_blending_goes_from_the_photo_to_the_query() -> None:
    photo, query = np.full((4, 4, 3), 50, np.uint8), np.full((4, 4, 3), 250, np.uint8)
    mask = np.zeros((4, 4), np.uint8)
    mask[:2] = 255
    assert (matches.blend(photo, query, mask, 0.0) == photo).all()
    half = matches.blend(photo, query, mask, 0.5)
    assert (half[:2] == 150).all() and (half[2:] == 50).all()
    assert (matches.blend(photo, query, mask, 1.0)[:2] == 250).all()


def test_few_matches_are_weak_and_get_an_affine_map() -> None:
    found = matches.align(pairs(WARPS["affine"], 6), BOX, 800)
    assert found.model == "affine" and found.weak
    alone = matches.align(np.empty((0, 4), np.float32), BOX, 800)
    assert alone.transform is None and alone.weak and alone.model == ""


def test_a_map_that_folds_the_region_is_not_used() -> None:
    folding = np.array([[1, 0, 0], [0, 1, 0], [-0.004, 0, 1.0]])  # horizon at x = 250
    assert not matches._unfolded(folding, BOX)
    assert matches._unfolded(WARPS["homography"], BOX)
    assert matches._unfolded(-WARPS["homography"], BOX)  # its sign is free


def result(extractor: str, metric: str = "l2", rerank: str | None = None) -> SearchResult:
    recipe = Recipe.of(extractor, "flat", rerank)
    return SearchResult("toy", recipe, "", metric, 5, BOX, [], {}, False)


def test_scores_and_distances_in_a_sentence() -> None:
    hit = Hit(1, "a", None, 0.4, 0.8)
    exact = sentences.of_score(result("hog"), hit, 0.80001)
    assert "0.8 is the cosine" in exact and "estimate" not in exact
    assert "estimate of 0.7500" in sentences.of_score(result("hog"), hit, 0.75)
    expanded = sentences.of_score(result("hog", rerank="aqe"), hit, 0.75)
    assert "cosine of the two descriptors themselves is 0.7500" in expanded
    assert "voted" in sentences.of_score(result("delf", rerank="none"), Hit(1, "a", None, 0.4, 12))
    assert "RANSAC" in sentences.of_score(result("delf"), Hit(1, "a", None, 0.4, 12))
    assert "squared distance" in sentences.of_distance(result("hog"), hit)
    assert "bits" in sentences.of_distance(result("hog", "hamming"), hit)
    lost = Hit(1, "a", None, float("nan"), 0.8)
    assert "no distance" in sentences.of_distance(result("hog"), lost)


def test_the_share_of_the_strongest_cells() -> None:
    grid = Grid(np.array([[0.4, 0.2], [0.1, -0.1]]), (0, 0, 2, 2), rest=0.2)
    assert grid.total == pytest.approx(0.8)
    assert grid.strongest(3) == [(0, 0), (0, 1), (1, 0)] and len(grid.strongest(9)) == 3
    assert grid.half() == 1
    said = sentences.of_cells([0.4, 0.2], grid, 0.8, "the query")
    assert "2 of the 4 cells of the query (outlined) make 75.0\u00a0% of the score" in said
    assert "25.0\u00a0% has no place" in said
    assert "%" not in sentences.of_cells([0.1], grid, -0.2, "the query")


def test_the_strongest_cell_is_drawn_brightest() -> None:
    values = np.zeros((4, 6))
    values[1, 4], values[3, 0] = 0.5, -0.5
    photo = np.full((200, 300, 3), 90, np.uint8)
    for sharp in (False, True):
        drawn = heat.cells(photo, Grid(values, (0, 0, 300, 200)), 0.5, [], sharp).astype(int)
        assert drawn.shape == (480, 720, 3)
        warm, cold, plain = drawn[180, 540], drawn[420, 60], drawn[60, 60]
        assert warm[0] > warm[2] + 40 and cold[2] > cold[0] + 30
        assert abs(plain[0] - plain[2]) < 8 and warm.sum() > plain.sum() + 150
    assert (photo == 90).all()


def test_words_are_drawn_at_their_places() -> None:
    photo = np.full((200, 300, 3), 90, np.uint8)
    at = np.array([[130, 70, 20]], np.float32)
    drawn = heat.words(photo, (100, 50, 250, 150), [Word(3, 0.1, 2.0, at, at)], True).astype(int)
    assert drawn.shape == (480, 720, 3)
    ring = drawn[round(20.5 * 4.8), round(30.5 * 4.8) - 48]
    assert ring[0] > ring[2] + 100  # orange, at the keypoint's radius
