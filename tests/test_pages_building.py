"""The build's progress as one share and one remaining time."""

from __future__ import annotations

import pytest
from ui_fakes import FakeJob

from extractors import registry
from indexing.progress import Stage
from pages.parts import building


def ahead(*stages: Stage) -> tuple[float, float | None]:
    share, left = building.ahead(FakeJob(stages=stages))  # type: ignore[arg-type]
    return pytest.approx(share), left  # type: ignore[return-value]


@pytest.fixture(autouse=True)
def costs(monkeypatch: pytest.MonkeyPatch) -> None:
    """hog 1 and delf 9 per photo; an index as much as 10 photos of hog."""
    monkeypatch.setattr(registry, "cost", {"hog": 1.0, "delf": 9.0, "bovw": 4.0}.__getitem__)
    monkeypatch.setattr(building, "_INDEX", 10.0)


def test_nothing_is_said_before_five_per_cent() -> None:
    # 100 photos: hog 100, delf 900 of 1,000 in all; 49 photos of hog are 4.9 %.
    stages = [
        Stage("hog", "extract", None, 49, 100, 7.0, "running"),
        Stage("delf", "extract"),
    ]
    assert ahead(*stages) == (0.049, None)
    stages[0].done = 50
    share, left = ahead(*stages)
    assert share == 0.05 and left == pytest.approx(7.0 / 50 * 950)


def test_what_was_there_already_says_nothing_about_the_pace() -> None:
    stages = [
        Stage("hog", "extract", None, 100, 100, 0.0, "done"),
        Stage("hog", "index", "flat", 1, 1, 0.2, "done"),  # 10
        Stage("delf", "extract", None, 50, 100, 23.8, "running"),  # 450 of 900
        Stage("delf", "index", "flat"),  # 10
    ]
    share, left = ahead(*stages)
    assert share == 460 / 920 and left == pytest.approx(24.0)  # as much again


def test_a_sample_is_half_of_the_work_of_an_extractor_that_learns() -> None:
    stages = [
        Stage("bovw", "fit", None, 61, 61, 20.0, "done"),
        Stage("bovw", "extract", None, 50, 100, 10.0, "running"),
    ]
    share, left = ahead(*stages)
    assert share == 0.75 and left == pytest.approx(10.0)


def test_failed_steps_are_not_waited_for() -> None:
    stages = [
        Stage("delf", "extract", None, 3, 100, 1.0, "failed"),
        Stage("hog", "extract", None, 25, 100, 5.0, "running"),
    ]
    assert ahead(*stages) == (0.25, 15.0)
    assert ahead(stages[0])[1] is None


def test_the_strip_says_it_once() -> None:
    job = FakeJob(stages=(Stage("hog", "extract", None, 25, 100, 5.0, "running"),))
    words = building._headline(job, 75.0)  # type: ignore[arg-type]
    assert words == "Building **HOG**: describing photos 25 of 100, about 75 s left in all"
    assert "left" not in building._headline(job, None)  # type: ignore[arg-type]
