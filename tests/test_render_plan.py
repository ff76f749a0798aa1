"""Framing and layout of rendered photos: what the camera sees must not name the landmark."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from scripts.render import kinds, leak, plan
from scripts.render.kit import Kit


def _photo(**changes: object) -> plan.PhotoPlan:
    drawn = plan.draw_photo(1, "castle-01", "photo", 0)
    return dataclasses.replace(drawn, **changes)  # type: ignore[arg-type]


def _row(p: plan.PhotoPlan, slope: float) -> float:
    """Row (share of the frame's height from its top) of a direction of an elevation's tangent."""
    seen = math.tan(math.atan(slope) - plan.pitch(p)) / plan.half_frame(p)[1]
    return (1 - seen) / 2


def test_the_field_of_view_turns_with_the_camera() -> None:
    # 36 mm on a sensor of 36 x 27 mm: tangents 18/36 and 13.5/36.
    assert plan.half_frame(_photo(focal_mm=36.0, portrait=False)) == (0.5, 0.375)
    assert plan.half_frame(_photo(focal_mm=36.0, portrait=True)) == (0.375, 0.5)


@pytest.mark.parametrize("portrait", [False, True])
@pytest.mark.parametrize("horizon", [0.6, 0.7, 0.82])
def test_horizon_and_top_lie_where_drawn(horizon: float, portrait: bool) -> None:
    p = _photo(horizon=horizon, portrait=portrait, fill=0.8)
    assert _row(p, 0.0) == pytest.approx(horizon)
    assert _row(p, plan.top_slope(p)) == pytest.approx(horizon * 0.2)
    assert plan.REFERENCE_HEIGHT_M / plan.reference_distance(p) <= plan.top_slope(p) + 1e-9


def test_a_level_camera_has_its_horizon_in_the_middle() -> None:
    assert plan.pitch(_photo(horizon=0.5)) == 0.0


def test_framing_has_the_same_distribution_for_all_landmarks() -> None:
    """Means over 100 photos of a landmark agree within four standard errors with all others'."""
    names = ["cathedral-01", "lighthouse-01", "aqueduct-02", "opera-01"]
    drawn = {n: [plan.draw_photo(1, n, "photo", i) for i in range(100)] for n in names}
    measures = {
        "portrait": lambda p: float(p.portrait),
        "horizon": lambda p: p.horizon,
        "reference": plan.reference_distance,
        "eye": lambda p: p.eye_m,
        "houses": lambda p: float(len(p.surroundings.houses)),
        "night": lambda p: float(p.sky.weather == "night"),
    }
    for measure in measures.values():
        values = np.array([[measure(p) for p in drawn[name]] for name in names])
        error = values.std() / math.sqrt(100)
        assert np.abs(values.mean(1) - values.mean()).max() < 4 * error


def test_surroundings_leave_the_middle_of_the_frame_free_before_the_landmark() -> None:
    for i in range(100):
        s = plan.draw_photo(2, "temple-01", "photo", i).surroundings
        assert all(abs(t.aside) >= 0.7 for t in s.trees if t.along < 1.6)
        assert all(h.along >= 1.7 for h in s.houses)


@pytest.mark.parametrize("kind", plan.KINDS)
def test_every_kind_builds_the_same_landmark_twice(kind: str) -> None:
    kits, notes = [], []
    for _ in range(2 if kind in ("arch", "stave") else 1):
        rng = plan.rng_for(3, f"{kind}-01", "landmark")
        kits.append(Kit(rng))
        notes.append(kinds.builder(kind)(kits[-1], rng))
    points = np.concatenate(kits[0].vertices)
    assert np.isfinite(points).all()
    assert points[:, 2].min() > -1.0  # stands on the ground
    assert 10 < np.ptp(points[:, 2]) < 130
    assert len(kits[0].faces) == len(kits[0].materials) == len(kits[0].smooth) > 500
    assert kinds.title(f"{kind}-01", notes[0]).endswith(")")
    for kit in kits[1:]:
        np.testing.assert_array_equal(np.concatenate(kit.vertices), points)


def test_an_unknown_kind_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"castle.*temple"):
        kinds.builder("shed")


def test_top1_counts_the_best_other_photo() -> None:
    labels = np.array(["a", "a", "b", "b"])
    own = np.array([[9, 5, 1, 1], [5, 9, 1, 1], [1, 1, 9, 0], [1, 1, 0, 9.0]])
    # The a photos find each other, the b photos find an a.
    assert leak.top1(own, labels) == 0.5


def test_top1_breaks_ties_at_random() -> None:
    labels = np.array(["a", "a", "b", "b"])
    # All others tie: one of the three is right.
    assert leak.top1(np.zeros((4, 4)), labels) == pytest.approx(1 / 3, abs=0.06)


def test_thumbnails_ignore_brightness_and_contrast() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(60, 120, (64, 64, 3)).astype(np.uint8)
    other = rng.integers(60, 120, (64, 64, 3)).astype(np.uint8)
    scores = leak.by_thumbnail([image, image * 2, other])
    assert scores[0, 1] > 0.99 * scores[0, 0]
    assert scores[0, 2] < 0.5 * scores[0, 0]
