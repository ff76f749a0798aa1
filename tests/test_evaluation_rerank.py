"""Rows by recipe: what is kept apart, what is left out, and the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest

from data import changing, store
from data.errors import PlaygroundError
from evaluation.run import evaluate, load_rows
from indexing.build import build
from retrieval.engine import SearchEngine
from retrieval.rerank import registry
from retrieval.rerank.aqe import Aqe
from scripts import evaluate as script
from scripts.console import call


@pytest.fixture
def built(toy_collection: store.Collection) -> store.Collection:
    build("toy", ["hog"], ["flat"])
    return toy_collection


def test_chains_have_rows_of_their_own(
    built: store.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, expanded = evaluate("toy", ["hog"], ["flat"], reranks=["usual", "aqe:k=2"])
    assert (plain.rerank, expanded.rerank) == ("none", "aqe:k=2")
    assert (plain.name, expanded.name) == ("hog flat", "hog flat aqe:k=2")
    assert plain.rerank_ms == 0 and expanded.rerank_ms > 0
    assert [row.name for row in load_rows("toy")] == [plain.name, expanded.name]
    x = np.array(SearchEngine().vectors("toy", "hog").vectors)
    answer = expanded.queries[0]
    first = [built.position(one) for one in plain.queries[0].ranking[:2]]
    engine = SearchEngine()
    from retrieval.ranking import Query

    query = Query.of_photo(built, built.query(answer.query_id))
    q = engine.describe("toy", "hog", query).features.vectors[0] + x[first].sum(axis=0)
    assert list(answer.ranking) == [built.ids[i] for i in np.argsort(-(x @ q), kind="stable")]
    monkeypatch.setattr(Aqe, "version", 2)
    assert not load_rows("toy")[0].stale
    assert "the re-ranking method changed" in load_rows("toy")[1].stale


def test_a_query_does_not_help_itself(toy_collection: store.Collection) -> None:
    """Leave one out: the query's own photo is in no expansion, and in no ranking."""
    name = toy_collection.name
    build(name, ["hog"], ["flat"])
    changing.remove(name, [query.id for query in toy_collection.queries])
    alone = store.load(name)
    assert not alone.queries
    (row,) = evaluate(name, ["hog"], ["flat"], reranks=["aqe:k=1"])
    assert all(answer.query_id not in answer.ranking for answer in row.queries)
    assert all(answer.ranked == len(alone.photos) - 1 for answer in row.queries)


def test_the_command_line_tells_what_it_leaves_out(
    built: store.Collection, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--collection", "toy", "--extractors", "hog", "--indexes", "flat", "--quiet"]
    chains = ["--rerank", "none", "--rerank", "aqe:k=2", "--rerank", "ransac"]
    assert call(script.main, [*arguments, *chains, "--json"]) == 0
    shown = capsys.readouterr()
    assert [row["rerank"] for row in json.loads(shown.out)] == ["none", "aqe:k=2"]
    assert "left out: ransac needs the extractor's own local features" in shown.err
    assert call(script.main, [*arguments, "--rerank", "ransac"]) == 2
    assert "Legal after it: aqe" in capsys.readouterr().err


def test_names_of_methods_are_told() -> None:
    with pytest.raises(PlaygroundError, match=f"Legal: {registry.names()[0]}"):
        registry.chain("qe")
