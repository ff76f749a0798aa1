"""Measured times: medians by hand, every run described anew, and what disturbed them."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from data import store
from evaluation.run import evaluate
from extractors.hog import Hog
from indexing.build import build
from retrieval import clock
from retrieval.engine import SearchEngine
from retrieval.ranking import Query, Recipe
from retrieval.rerank.sift import SiftDetector


def test_the_median_and_quartiles_by_hand() -> None:
    assert clock.Timing.of([5, 1, 4, 2, 3]) == clock.Timing(3, 2, 4, 5)
    assert clock.Timing.of([7]) == clock.Timing(7, 7, 7, 1)


def test_stages_add_up() -> None:
    timing = clock.Timing(2.0, 1.0, 3.0, 5)
    assert clock.Measured({"extract": timing, "search": timing}, True).total_ms == 4.0


def test_every_run_is_described_anew_and_in_turn(
    toy_collection: store.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    build("toy", ["hog"], ["flat", "ivf"])
    engine = SearchEngine()
    query = Query.of_photo(toy_collection, toy_collection.queries[0])
    recipes = [Recipe.of("hog", "flat"), Recipe.of("hog", "ivf"), Recipe.of("hog", "flat", "aqe")]
    engine.search("toy", recipes[0], query, 5)
    described: list[int] = []
    real = Hog.describe

    def counting(self: Any, prepared: Any) -> Any:
        described.append(1)
        return real(self, prepared)

    monkeypatch.setattr(Hog, "describe", counting)
    found = clock.measure(engine, "toy", recipes, query, 5, runs=3)
    assert len(described) == 4 * 3
    assert list(found) == recipes
    for recipe, measured in found.items():
        assert list(measured.stages)[:5] == ["decode", "crop", "preprocess", "extract", "search"]
        assert list(measured.stages)[5:] == list(recipe.rerank)
        assert all(timing.runs == 3 for timing in measured.stages.values())
        assert measured.stages["extract"].median > 0
        assert measured.alone
    assert engine.search("toy", recipes[0], query, 5).hits  # the shared engine still has its own


def test_other_searches_are_noticed(
    toy_collection: store.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    build("toy", ["hog"], ["flat"])
    engine, recipe = SearchEngine(), Recipe.of("hog", "flat")
    query = Query.of_photo(toy_collection, toy_collection.queries[0])
    query.pixels()
    beside = threading.Thread(target=lambda: engine.search("toy", recipe, query, 1))
    real = Query.again

    def slow(self: Query) -> Query:
        if beside.ident is None:
            beside.start()
            beside.join()
        return real(self)

    monkeypatch.setattr(Query, "again", slow)
    found = clock.measure(engine, "toy", [recipe], query, 5, runs=2)
    assert not found[recipe].alone


def test_keypoints_of_the_query_are_part_of_every_run(
    toy_collection: store.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    build("toy", ["hog"], ["flat", "ivf"])
    engine = SearchEngine()
    query = Query.of_photo(toy_collection, toy_collection.queries[0])
    seen: list[object] = []
    real = SiftDetector.detect

    def counting(self: Any, photo: Any, box: Any = None) -> Any:
        seen.append(box)
        return real(self, photo, box)

    monkeypatch.setattr(SiftDetector, "detect", counting)
    recipes = [Recipe.of("hog", index, "sift:depth=3") for index in ("flat", "ivf")]
    clock.measure(engine, "toy", recipes, query, 5, runs=3)
    assert seen.count(query.box) == 4 * 2  # photos, without a box, are kept
    seen.clear()
    for recipe in recipes:
        engine.search("toy", recipe, query, 5)
    assert seen.count(query.box) == 1  # one query, one answer: made once


def test_an_evaluation_times_what_is_made_of_the_query(
    toy_collection: store.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    build("toy", ["hog"], ["flat"])
    seen: list[object] = []
    real = SiftDetector.detect
    monkeypatch.setattr(
        SiftDetector,
        "detect",
        lambda self, photo, box=None: seen.append(box) or real(self, photo, box),
    )
    (row,) = evaluate("toy", ["hog"], ["flat"], reranks=["sift:depth=2"])
    asked = [box for box in seen if box is not None]
    assert len(asked) == 1 + 2 * len(row.queries)  # warm-up; the ranking and the timed search
