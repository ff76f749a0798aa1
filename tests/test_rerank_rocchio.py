"""Relevance feedback against the plain formula."""

from __future__ import annotations

import numpy as np
import pytest

from data import store
from data.errors import PlaygroundError
from indexing.build import build
from retrieval.engine import SearchEngine
from retrieval.ranking import Query, Recipe
from retrieval.rerank import registry


@pytest.fixture
def built(toy_collection: store.Collection) -> store.Collection:
    build("toy", ["hog"], ["flat"])
    return toy_collection


def search(
    built: store.Collection, chain: str, right: list[int], wrong: list[int]
) -> tuple[list[int], np.ndarray, np.ndarray, tuple[str, ...]]:
    """The ranked rows, all descriptors, the query's own, and the notes."""
    engine = SearchEngine()
    marked = [[built.photos[row].id for row in rows] for rows in (right, wrong)]
    photo = built.queries[0]
    query = Query(built.read(photo), photo.box, right=marked[0], wrong=[*marked[1], "gone"])
    found = engine.search("toy", Recipe.of("hog", "flat", chain), query, 30)
    x = np.array(engine.vectors("toy", "hog").vectors)
    q = engine.describe("toy", "hog", query).features.vectors[0]
    return [built.position(hit.id) for hit in found.hits], x, q, found.notes


def test_the_query_moves_by_the_formula(built: store.Collection) -> None:
    rows, x, q, _ = search(built, "rocchio:right=0.5,wrong=0.25", [3, 9], [1])
    moved = q + 0.5 * (x[3] + x[9]) / 2 - 0.25 * x[1]
    assert rows == np.argsort(-(x @ moved), kind="stable").tolist()


def test_the_best_of_several_queries(built: store.Collection) -> None:
    rows, x, q, _ = search(built, "rocchio:combine=max", [3, 9], [])
    best = np.max([x @ q, x @ x[3], x @ x[9]], axis=0)
    assert np.allclose(best[rows], np.sort(best)[::-1], atol=1e-5)
    assert sorted(rows[:2]) == [3, 9]


def test_without_marks_nothing_changes(built: store.Collection) -> None:
    rows, x, q, notes = search(built, "rocchio", [], [])
    assert rows == np.argsort(-(x @ q), kind="stable").tolist()
    assert any("No hit was marked" in note for note in notes)


def test_illegal_weights_are_named() -> None:
    with pytest.raises(PlaygroundError, match="Legal: 0 or more"):
        registry.create("rocchio:wrong=-1")
