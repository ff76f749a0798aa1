"""Recipes and chains: spelling, legality, what re-ranking sees, and the ranks before and after."""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest

from data import store
from data.errors import PlaygroundError
from indexing.build import build
from retrieval.engine import SearchEngine
from retrieval.ranking import Query, Ranking, Recipe
from retrieval.rerank import registry


@pytest.fixture
def built(toy_collection: store.Collection) -> store.Collection:
    build("toy", ["hog"], ["flat", "ivf"])
    return toy_collection


@pytest.mark.parametrize(
    ("text", "specs"),
    [
        ("none", ()),
        ("aqe", ("aqe",)),
        ("aqe:k=5+ransac:depth=7", ("aqe:k=5", "ransac:depth=7")),
        ("aqe:k=5,ransac", ("aqe:k=5", "ransac")),
        (" aqe:k=10 , ransac", ("aqe", "ransac")),
    ],
)
def test_chains_have_one_spelling(text: str, specs: tuple[str, ...]) -> None:
    assert registry.chain(text) == specs
    assert registry.chain(registry.join(specs)) == specs


@pytest.mark.parametrize("text", ["aqe+aqe:k=2", "aqee", "aqe:k=0", "aqe:k=x", "aqe:depth=3"])
def test_an_illegal_chain_says_what_is_legal(text: str) -> None:
    with pytest.raises(PlaygroundError, match="Legal"):
        registry.chain(text)


def test_a_method_prescribes_its_own() -> None:
    assert Recipe.of("delf").rerank == ("ransac",)
    assert Recipe.of("delf", "flat", "none").rerank == ()
    assert Recipe.of("hog").chain == "none"
    assert Recipe.of("hog", "flat", "aqe").without == Recipe.of("hog", "flat")


def test_what_cannot_follow_an_extractor_says_why() -> None:
    with pytest.raises(
        PlaygroundError, match=r"one descriptor per photo.*Legal after it: .*ransac"
    ):
        Recipe.of("delf", "flat", "aqe")
    with pytest.raises(PlaygroundError, match=r"local features.*Legal after it: .*aqe"):
        Recipe.of("hog", "flat", "ransac")


def test_reordering_by_hand() -> None:
    ranking = Ranking(np.array([7, 3, 9, 1]), np.array([0.9, 0.8, 0.7, 0.6]))
    new = ranking.reordered(np.array([1.0, 5.0, 1.0]), inliers=np.array([1, 5, 1]))
    assert new.rows.tolist() == [3, 7, 9, 1]  # equal scores keep their order
    assert new.scores.tolist() == [5, 1, 1, 0.6]
    assert new.columns["inliers"].tolist()[:3] == [5, 1, 1]
    assert np.isnan(new.columns["inliers"][3])
    assert ranking.rows.tolist() == [7, 3, 9, 1]


def test_new_photos_before_the_old_ones_by_hand() -> None:
    ranking = Ranking(
        np.array([7, 3, 9, 1]), np.array([0.9, 0.8, 0.7, 0.6]), {"distance": np.arange(4.0)}
    )
    new = ranking.led_by(np.array([9, 5]), np.array([2.0, 1.0]))
    assert new.rows.tolist() == [9, 5, 7, 3]  # as long as before: 1 is pushed off
    assert new.scores.tolist() == [2, 1, 0.9, 0.8]
    assert new.columns["distance"][[0, 2, 3]].tolist() == [2, 0, 1]
    assert np.isnan(new.columns["distance"][1])
    whole = ranking.led_by(np.array([1, 2, 3, 4, 5]), np.arange(5.0))
    assert whole.rows.tolist() == [1, 2, 3, 4]
    assert ranking.led_by(np.array([], np.int64), np.array([])).rows.tolist() == [7, 3, 9, 1]


@pytest.mark.parametrize("spec", ["aqe", "aqe:k=3", "ransac:depth=7"])
def test_a_re_ranker_knows_its_spec(spec: str) -> None:
    assert registry.create(spec).spec == spec


@pytest.mark.parametrize("index", ["flat", "ivf"])
def test_expansion_equals_the_plain_formula(built: store.Collection, index: str) -> None:
    engine, query = SearchEngine(), Query.of_photo(built, built.queries[1])
    plain = engine.search("toy", Recipe.of("hog", index), query, 30)
    found = engine.search("toy", Recipe.of("hog", index, "aqe:k=3"), query, 30)
    x = np.array(engine.vectors("toy", "hog").vectors)
    q = engine.describe("toy", "hog", query).features.vectors[0]
    first = [built.position(hit.id) for hit in plain.hits[:3]]
    mean = (q + x[first[0]] + x[first[1]] + x[first[2]]) / 4
    mean /= np.linalg.norm(mean)
    if index == "flat":
        order = np.argsort(-(x @ mean), kind="stable")
        assert [built.position(hit.id) for hit in found.hits] == order[:30].tolist()
    for hit in found.hits:
        assert hit.score == pytest.approx(float(x[built.position(hit.id)] @ mean), abs=1e-4)
    before = {hit.id: hit.rank for hit in plain.hits}
    for hit in found.hits:
        assert hit.before == before.get(hit.id)
        if hit.before is not None:
            assert hit.moved == hit.before - hit.rank
    assert found.timings_ms["aqe:k=3"] > 0
    assert found.rerank_ms == found.timings_ms["aqe:k=3"]
    assert all(hit.before is None for hit in plain.hits)
    json_hit = found.to_json()["hits"][0]
    assert json_hit["rank_before"] == found.hits[0].before
    assert found.to_json()["rerank"] == ["aqe:k=3"]


def test_what_is_left_out_helps_nobody(built: store.Collection) -> None:
    """The query's own photo is no answer, and no part of an expansion."""
    engine, own = SearchEngine(), built.photos[4]
    query = Query.of_photo(built, own)
    x = np.array(engine.vectors("toy", "hog").vectors)
    q = x[4]
    others = np.argsort(-(x @ q), kind="stable")
    others = others[others != 4]
    mean = q + x[others[0]]
    mean /= np.linalg.norm(mean)
    wanted = [row for row in np.argsort(-(x @ mean), kind="stable") if row != 4]
    recipe = Recipe.of("hog", "flat", "aqe:k=1")
    found = engine.search("toy", recipe, query, 30, exclude=(own.id, "no such photo"))
    assert [built.position(hit.id) for hit in found.hits] == wanted
    assert [hit.rank for hit in found.hits] == list(range(1, 30))


def test_a_query_pickles_without_what_was_made_of_it(built: store.Collection) -> None:
    engine = SearchEngine()
    query = Query.of_photo(built, built.queries[0])
    first = engine.describe("toy", "hog", query)
    again = pickle.loads(pickle.dumps(query))
    assert not again._memo and again.key == query.key and again.box == query.box
    second = engine.describe("toy", "hog", again)
    assert second.earlier and not second.cold and not first.earlier
    assert np.array_equal(first.features.vectors, second.features.vectors)
    assert dataclasses.replace(second, earlier=False, cold=first.cold) == first
