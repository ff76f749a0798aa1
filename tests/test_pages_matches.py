"""Drawn matches: places in the picture are those of the photos, scaled."""

from __future__ import annotations

import numpy as np

from pages.parts import matches


def marked(picture: np.ndarray, x: int, y: int, reach: int = 6) -> bool:
    """Whether something was drawn near a place of a black picture."""
    return bool(picture[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1].any())


def test_a_match_is_drawn_at_both_its_places() -> None:
    query = np.zeros((240, 320, 3), np.uint8)  # drawn at twice its size: 480 x 640
    found = np.zeros((960, 480, 3), np.uint8)  # at half of it: 480 x 240
    pair = np.array([[100, 60, 200, 800]], np.float32)
    picture = matches.draw(query, found, pair)
    assert picture.shape == (480, 640 + 240, 3)
    assert marked(picture, 200, 120)
    assert marked(picture, 640 + 100, 400)
    assert not marked(picture, 40, 40)
    assert not query.any() and not found.any()  # the photos stay as they were


def test_of_many_matches_an_even_choice_is_drawn() -> None:
    photo = np.zeros((480, 480, 3), np.uint8)
    rows = np.linspace(0, 470, 4000, dtype=np.float32)
    pairs = np.stack([np.full(4000, 5), rows, np.full(4000, 470), rows], axis=1)
    picture = matches.draw(photo, photo, pairs.astype(np.float32))
    assert marked(picture, 5, 0) and marked(picture, 480 + 470, 470)  # first and last are there
    assert (picture.any(axis=2).mean(axis=1) > 0).mean() > 0.8


def test_no_match_draws_the_photos_alone() -> None:
    photo = np.full((480, 300, 3), 7, np.uint8)
    picture = matches.draw(photo, photo, np.empty((0, 4), np.float32))
    assert (picture == 7).all()
