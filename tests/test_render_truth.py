"""Easy, hard and junk of the rendered demo: hand-made scenes, one reason at a time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from data.demo import DemoSource
from evaluation.registry import protocol
from scripts.render import manifest, truth

PLAIN: dict[str, Any] = {
    "azimuth_deg": 10.0,
    "focal_mm": 30.0,
    "distance_m": 60.0,
    "visible_share": 0.3,
    "hidden_share": 0.05,
    "weather": "clear",
    "detail": False,
}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, "easy"),
        ({"azimuth_deg": 44.0}, "easy"),  # 34 degrees apart
        ({"azimuth_deg": 46.0}, "hard"),  # 36 degrees apart
        ({"azimuth_deg": -26.0}, "hard"),
        ({"focal_mm": 59.0}, "easy"),  # 1.97 times as large
        ({"focal_mm": 61.0}, "hard"),  # 2.03 times as large
        ({"distance_m": 125.0}, "hard"),  # 2.08 times as small
        ({"focal_mm": 60.0, "distance_m": 120.0}, "easy"),  # farther with a longer lens
        ({"hidden_share": 0.25}, "hard"),
        ({"hidden_share": 0.45}, "junk"),
        ({"visible_share": 0.06}, "junk"),
        ({"weather": "overcast"}, "easy"),
        ({"weather": "snow"}, "easy"),
        ({"weather": "night"}, "hard"),
        ({"weather": "haze"}, "hard"),
        ({"detail": True}, "junk"),
        ({"detail": True, "weather": "night"}, "junk"),
    ],
)
def test_a_photo_is_judged_by_its_scene(change: dict[str, Any], expected: str) -> None:
    assert truth.judge(PLAIN, PLAIN | change) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [({"detail": True}, "hard"), ({"hidden_share": 0.3}, "hard"), ({"weather": "dusk"}, "hard")],
)
def test_a_difficult_query_makes_plain_photos_hard(change: dict[str, Any], expected: str) -> None:
    assert truth.judge(PLAIN | change, PLAIN) == expected


def test_photos_of_one_light_are_easy_at_night_too() -> None:
    assert truth.judge(PLAIN | {"weather": "night"}, PLAIN | {"weather": "dusk"}) == "easy"


@pytest.mark.parametrize(
    ("a", "b", "between"), [(10, 350, 20), (-170, 170, 20), (0, 180, 180), (90, 90, 0)]
)
def test_angles_wrap_around(a: float, b: float, between: float) -> None:
    assert truth.angle_between(a, b) == pytest.approx(between)


def _save(out: Path, key: str, label: str, scene: dict[str, Any], query: bool = False) -> None:
    record: dict[str, Any] = {"id": key, "file": f"photos/{key}.jpg", "label": label}
    record |= {"title": label, "scene": PLAIN | scene}
    if query:
        record["box"] = [0, 0, 5, 5]
    manifest.save_photo(out, key.encode(), record)


def test_the_lists_reach_the_revisited_protocol(tmp_path: Path) -> None:
    manifest.start_collection(tmp_path, {"seed": 1}, name="made")
    _save(tmp_path, "a_00", "a", {})
    _save(tmp_path, "a_01", "a", {"weather": "night"})
    _save(tmp_path, "a_02", "a", {"visible_share": 0.01})
    _save(tmp_path, "b_00", "b", {})
    _save(tmp_path, "a_q0", "a", {}, query=True)
    assert manifest.assemble(tmp_path) == (4, 1)
    source = DemoSource(tmp_path)
    assert source.describe()["protocol"] == "revisited"
    query = next(one for one in source.candidates() if one.query)
    lists = {"easy": ["a_00"], "hard": ["a_01"], "junk": ["a_02"]}
    assert query.extra["ground_truth"] == lists
    truths = protocol("revisited").truths(None, query)  # type: ignore[arg-type]
    assert truths["easy"].positives == {"a_00"}
    assert truths["easy"].junk == {"a_01", "a_02"}
    assert truths["medium"].positives == {"a_00", "a_01"}
    assert truths["hard"].positives == {"a_01"}


def test_lists_are_made_anew_when_photos_are_added(tmp_path: Path) -> None:
    manifest.start_collection(tmp_path, {"seed": 1}, name="made")
    _save(tmp_path, "a_00", "a", {})
    _save(tmp_path, "a_q0", "a", {}, query=True)
    manifest.assemble(tmp_path)
    manifest.drop_records(tmp_path)
    _save(tmp_path, "a_01", "a", {"azimuth_deg": 80.0})
    manifest.assemble(tmp_path)
    [line] = (tmp_path / "queries.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["ground_truth"] == {"easy": ["a_00"], "hard": ["a_01"], "junk": []}


def test_a_listing_without_ground_truth_is_judged_by_labels(tmp_path: Path) -> None:
    manifest.start_collection(tmp_path, {"seed": 1}, name="made")
    for name in ("photos.jsonl", "queries.jsonl"):
        manifest.write_atomic(tmp_path / name, b"")
    assert "protocol" not in DemoSource(tmp_path).describe()
