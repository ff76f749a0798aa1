"""The score that pairs of different landmarks reach by chance."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from data import store
from indexing.build import build
from retrieval import chance
from retrieval.engine import SearchEngine
from retrieval.ranking import Query, Recipe


def vectors(rows: Any) -> Any:
    return SimpleNamespace(vectors=np.asarray(rows, np.float32))


def test_the_level_is_that_of_different_landmarks() -> None:
    """Three directions: a and b are 60 degrees apart, both at right angles to c."""
    directions = {"a": (1, 0, 0), "b": (0.5, math.sqrt(0.75), 0), "c": (0, 0, 1)}
    labels = [name for name in directions for _ in range(20)]
    found = chance._level(vectors([directions[name] for name in labels]), list(labels))
    assert found == pytest.approx(0.5)  # never 1, which pairs of one landmark have
    longer = chance._level(vectors([7 * np.array(directions[name]) for name in labels]), [*labels])
    assert longer == pytest.approx(0.5)


@pytest.mark.parametrize("labels", [["a"] * 40, [None] * 40, [], ["a"], ["a", "b"] * 21], ids=len)
def test_without_pairs_there_is_no_level(labels: list[str | None]) -> None:
    rows = np.eye(8, dtype=np.float32)[np.arange(40) % 8][: max(2, len(labels))]
    assert math.isnan(chance._level(vectors(rows), labels))


def test_it_is_computed_once_per_descriptors(toy_collection: store.Collection) -> None:
    build("toy", ["hog"], ["flat"])
    engine = SearchEngine()
    first = chance.level(engine, toy_collection, "hog")
    assert first is not None and 0 < first < 1
    assert chance.level(engine, toy_collection, "hog") == first
    query = toy_collection.queries[0]
    own = engine.search("toy", Recipe.of("hog"), Query.of_photo(toy_collection, query), 1)
    assert own.hits[0].score > first
