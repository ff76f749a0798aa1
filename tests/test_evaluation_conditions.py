"""Failures by condition: records of the renderer, shares counted by hand, and the page's table."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from learn_demo import lines

from data.base import Photo
from data.errors import NotFound
from evaluation import conditions
from evaluation.conditions import PLAIN, between
from evaluation.rows import QueryRow
from retrieval.compare import Truth
from scripts.render import truth as renderer

SCENE = {
    "kind": "castle",
    "azimuth_deg": 10.0,
    "focal_mm": 30.0,
    "distance_m": 30.0,
    "weather": "clear",
    "hidden_share": 0.0,
    "detail": False,
}


def photo(name: str, scene: object = None, **changes: Any) -> Photo:
    record = {**SCENE, **changes} if scene is None else scene
    return dataclasses.replace(
        Photo(id=name, file=name, width=4, height=3, sha256=name), extra={"scene": record}
    )


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, {PLAIN}),
        ({"azimuth_deg": 45.0}, {PLAIN}),  # 35 degrees are not more than 35
        ({"azimuth_deg": 45.1}, {"angle"}),
        ({"azimuth_deg": -340.0}, {PLAIN}),  # around the circle: 10 degrees
        ({"weather": "night"}, {"light"}),
        ({"weather": "overcast"}, {PLAIN}),
        ({"distance_m": 61.0}, {"zoom"}),
        ({"distance_m": 14.9}, {"zoom"}),
        ({"hidden_share": 0.21}, {"hidden"}),
        ({"weather": "haze", "azimuth_deg": 170.0}, {"light", "angle"}),
    ],
)
def test_conditions_of_a_pair(changes: dict[str, Any], found: set[str]) -> None:
    assert between(photo("q"), photo("p", **changes)) == found


def test_a_detail_as_the_query_is_another_size() -> None:
    assert between(photo("q", detail=True), photo("p")) == {"zoom"}


@pytest.mark.parametrize(
    "scene", [{}, {"azimuth_deg": "x"}, "a text", [1], {**SCENE, "focal_mm": 0}]
)
def test_other_records_have_no_conditions(scene: object) -> None:
    assert between(photo("q"), photo("p", scene)) is None
    assert between(photo("q", scene), photo("p")) is None


def test_the_limits_are_the_renderers() -> None:
    assert (conditions.ANGLE_DEG, conditions.SCALE) == (
        renderer.HARD_ANGLE_DEG,
        renderer.HARD_SCALE,
    )
    assert conditions.HIDDEN == renderer.HARD_HIDDEN
    assert conditions.LIGHT == renderer.LIGHT


def test_hard_photos_of_the_demo_are_those_with_a_condition() -> None:
    photos = {one["id"]: one for one in lines("photos")}
    counted = 0
    for query in lines("queries"):
        truth: Any = query["ground_truth"]
        for name in ("easy", "hard"):
            for one in truth[name]:
                pair = photo("q", query["scene"]), photo("p", photos[one]["scene"])
                assert (between(*pair) == {PLAIN}) == (name == "easy")
                counted += 1
    assert counted > 1000


class Members:
    """The part of a collection that is asked here."""

    def __init__(self, *photos: Photo) -> None:
        self.by_id = {one.id: one for one in photos}

    def photo(self, photo_id: str) -> Photo:
        if photo_id not in self.by_id:
            raise NotFound(photo_id)
        return self.by_id[photo_id]


def answer(*ranking: str) -> QueryRow:
    return QueryRow("q", {}, ranking, len(ranking), {}, {}, 1.0, 1.0, 1.0)


def test_missed_photos_are_counted_under_their_conditions() -> None:
    members: Any = Members(
        photo("a"),
        photo("b", weather="night"),
        photo("c", weather="dusk", azimuth_deg=100.0),
        photo("x", kind="castle"),
        photo("y", kind="bridge"),
        photo("j"),
    )
    query = photo("q")
    truth = Truth(frozenset({"a", "b", "c", "gone"}), junk=frozenset({"j"}))
    found = answer("j", "a", "x", "y", "c", "b")  # of four places without junk: a x y c
    pairs = conditions.pairs_of(members, query, found, truth)
    assert [(one.photo_id, one.missed) for one in pairs] == [
        ("a", False),
        ("b", True),
        ("c", False),
    ]
    assert conditions.shares(pairs) == {
        PLAIN: (0, 1),
        "light": (1, 2),
        "angle": (0, 1),
        "zoom": (0, 0),
        "hidden": (0, 0),
    }
    said = conditions.reason(members, query, found, truth, pairs)
    assert said == (
        "1 of 3 right photos missed: 1 in other light. 1 of 2 wrong ones before them are of the "
        "same kind."
    )
    assert json.dumps(said)
    assert conditions.reason(members, query, found, truth, []) == ""
