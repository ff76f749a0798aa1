"""Play and step buttons of Inside the index, on a real, tiny, built collection."""

from __future__ import annotations

import time

import numpy as np
import pytest
from test_pages_inside import built, fine, home, page, text  # noqa: F401  (fixtures)

from indexing.inside import hnsw
from pages.inside.hnsw import so_far
from pages.parts import inside_play


@pytest.mark.parametrize(
    ("now", "back", "on"), [(1, 1, 4), (4, 1, 9), (6, 4, 9), (9, 4, 9), (20, 9, 9)]
)
def test_the_values_before_and_after(now: int, back: int, on: int) -> None:
    assert inside_play.before((1, 4, 9), now) == back
    assert inside_play.after((1, 4, 9), now) == on


def test_nprobe_step_by_step_until_all_are_found(home: object) -> None:  # noqa: F811
    test = page(index="ivf")
    slider = next(one for one in test.slider if one.label.startswith("nprobe"))
    key, shares = str(slider.key), []
    slider.set_value(1)
    fine(test.run())
    for nprobe in (1, 2, 3):
        slider = next(one for one in test.slider if one.key == key)
        assert slider.value == nprobe
        assert f"Cell {nprobe} of 3 on the way" in text(test)
        recall = next(one for one in test.metric if one.label == "Agrees with exact")
        shares.append(float(recall.value))
        button = test.button(key=f"{key}-on")
        assert button.disabled == (nprobe == 3)
        if nprobe < 3:
            button.click()
            fine(test.run())
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    test.button(key=f"{key}-back").click()
    fine(test.run())
    assert next(one for one in test.slider if one.key == key).value == 2


def test_play_goes_on_by_itself_and_pauses(
    home: object,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    test = page(index="ivf")
    slider = next(one for one in test.slider if one.label.startswith("nprobe"))
    key = str(slider.key)
    slider.set_value(1)
    fine(test.run())
    clock = [time.monotonic()]
    monkeypatch.setattr(inside_play.time, "monotonic", lambda: clock[0])
    test.button(key=f"{key}-play").click()
    fine(test.run())
    assert test.button(key=f"{key}-play").label == "⏸ Pause"
    fine(test.run())  # too early: nothing moves
    assert next(one for one in test.slider if one.key == key).value == 1
    clock[0] += inside_play.EVERY
    fine(test.run())
    assert next(one for one in test.slider if one.key == key).value == 2
    test.button(key=f"{key}-play").click()
    clock[0] += inside_play.EVERY
    fine(test.run())
    assert test.button(key=f"{key}-play").label == "▶ Play"
    assert next(one for one in test.slider if one.key == key).value == 2
    test.button(key=f"{key}-play").click()
    fine(test.run())
    for _ in range(3):  # to the end, where it stops
        clock[0] += inside_play.EVERY
        fine(test.run())
    assert next(one for one in test.slider if one.key == key).value == 3
    assert test.button(key=f"{key}-play").label == "▶ Play"


def test_the_walk_ends_where_the_search_ends() -> None:
    rng = np.random.default_rng(3)
    vectors = rng.standard_normal((400, 12)).astype(np.float32)
    query = rng.standard_normal(12).astype(np.float32)
    graph = hnsw.build(vectors, 8)
    path = hnsw.replay(graph, query, 5, 32)
    nearer = []
    for done in range(1, len(path.steps) + 1):
        part = so_far(graph, path, query, done, 5)
        assert part.computed <= path.computed
        np.testing.assert_allclose(
            part.distances, ((vectors[part.found] - query) ** 2).sum(1), rtol=1e-4
        )
        nearer.append(part.distances[0])
    assert nearer == sorted(nearer, reverse=True)
    np.testing.assert_array_equal(part.found, path.found)
    assert part.computed == path.computed


def test_the_walk_of_hnsw_on_the_page(home: object) -> None:  # noqa: F811
    test = page(index="hnsw")
    test.segmented_control(key="in_hnsw_played").set_value("walk")
    fine(test.run())
    slider = next(one for one in test.slider if one.label == "Steps of the walk")
    assert slider.value == slider.max
    slider.set_value(1)
    fine(test.run())
    assert f"Step 1 of {slider.max:.0f}" in text(test)
