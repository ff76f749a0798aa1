"""The chart of recipes: its data follow from the rows."""

from __future__ import annotations

from evaluation.run import evaluate
from indexing.build import build
from pages.tradeoffs import recipes


def test_a_point_per_recipe(toy_collection: object) -> None:
    build("toy", ["hog"], ["flat"])
    rows = evaluate("toy", ["hog"], ["flat"], reranks=["none", "aqe:k=2"])
    lines = recipes.points(rows)
    by_name = {line["rerank"]: line for line in lines}
    assert set(by_name) == {"none", "AQE k=2"}
    for row, name in zip(rows, ("none", "AQE k=2"), strict=True):
        assert by_name[name]["ms"] == row.search_ms + row.rerank_ms
        assert by_name[name]["mean"] == row.map
    assert by_name["none"]["recipe"] == "Flat"
    assert lines == sorted(lines, key=lambda line: line["ms"])
