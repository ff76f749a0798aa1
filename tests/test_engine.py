"""Search end to end on the toy collection: hits, scores, timings, caching, threads."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from data import changing, store
from data.errors import PlaygroundError
from extractors import registry
from extractors.bovw import Bovw
from indexing.build import build
from retrieval.engine import SearchEngine
from retrieval.ranking import STAGES, Query, Recipe
from scripts import search as search_script
from scripts.console import call
from tests.conftest import TOY_VIEWS

INDEXES = ["flat", "ivf", "lsh", "pq", "factory:HNSW8"]
BOVW = "bovw:words=128"


@pytest.fixture
def built(toy_collection: store.Collection) -> store.Collection:
    build("toy", ["hog", BOVW], INDEXES)
    return toy_collection


def test_flat_hits_equal_brute_force(built: store.Collection) -> None:
    engine = SearchEngine()
    query = built.queries[2]
    photo = built.read(query)
    asked = Query(photo, query.box)
    result = engine.search("toy", Recipe.of("hog", "flat"), asked, 10)
    extractor = registry.create("hog")
    q = extractor.extract(photo, query.box).vectors[0]
    x = np.concatenate([extractor.extract(built.read(p)).vectors for p in built.photos])
    d2 = ((x - q) ** 2).sum(axis=1)
    order = np.argsort(d2, kind="stable")[:10]
    assert [hit.id for hit in result.hits] == [built.photos[i].id for i in order]
    assert np.allclose([hit.distance for hit in result.hits], d2[order], atol=1e-5)
    assert np.allclose([hit.score for hit in result.hits], x[order] @ q, atol=1e-4)
    assert [hit.rank for hit in result.hits] == list(range(1, 11))
    assert result.hits[0].label == built.photo(result.hits[0].id).label


@pytest.mark.parametrize("index", INDEXES)
def test_every_index_finds_the_landmark(built: store.Collection, index: str) -> None:
    engine = SearchEngine()
    good = 0
    for query in built.queries:
        asked = Query(built.read(query), query.box)
        result = engine.search("toy", Recipe.of(BOVW, index), asked, TOY_VIEWS)
        scores = [hit.score for hit in result.hits]
        assert scores == sorted(scores, reverse=True)
        assert all(hit.id in built.ids for hit in result.hits)
        good += result.hits[0].label == query.label
    assert good >= 4


@pytest.mark.parametrize("index", INDEXES)
def test_more_results_than_photos(built: store.Collection, index: str) -> None:
    engine = SearchEngine()
    asked = Query(built.read(built.queries[0]))
    result = engine.search("toy", Recipe.of("hog", index), asked, 100)
    ids = [hit.id for hit in result.hits]
    assert len(ids) == len(set(ids)) <= 30
    if index == "flat":
        assert len(ids) == 30


def test_probing_everything_is_exact(built: store.Collection) -> None:
    engine = SearchEngine()
    build("toy", ["hog"], ["ivf:nlist=6"])
    asked = Query(built.read(built.queries[0]))
    exact = engine.search("toy", Recipe.of("hog", "flat"), asked, 20)
    probed = engine.search("toy", Recipe.of("hog", "ivf:nlist=6,nprobe=6"), asked, 20)
    assert [h.id for h in probed.hits] == [h.id for h in exact.hits]
    few = engine.search("toy", Recipe.of("hog", "ivf:nlist=6"), asked, 20, params={"nprobe": 1})
    assert len(few.hits) < 20
    assert any("part of the collection" in note for note in few.notes)


def test_a_crop_is_described_once(built: store.Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    real = Bovw.describe
    monkeypatch.setattr(Bovw, "describe", lambda self, p: calls.append(1) or real(self, p))
    engine = SearchEngine()
    photo = built.read(built.queries[0])
    first = engine.describe("toy", BOVW, Query(photo, (10, 10, 150, 120), key="photo"))
    again = Query(photo, (10, 10, 150, 120), key="photo")
    for index in INDEXES:
        for k in (1, 5):
            result = engine.search("toy", Recipe.of(BOVW, index), again, k)
            assert result.earlier and not result.cold
    assert engine.describe("toy", BOVW, again).features is first.features
    assert len(calls) == 1
    engine.describe("toy", BOVW, Query(photo, (10, 10, 151, 120), key="photo"))
    assert len(calls) == 2


def test_timings_have_every_stage(built: store.Collection) -> None:
    engine = SearchEngine()
    asked = Query(built.read(built.queries[0]), decode_ms=3.0)
    result = engine.search("toy", Recipe.of("hog", "flat"), asked, 3)
    assert set(result.timings_ms) == {*STAGES, "total"}
    assert result.timings_ms["decode"] == 3.0
    assert result.timings_ms["extract"] > 0
    assert result.timings_ms["search"] > 0
    assert result.timings_ms["total"] == pytest.approx(
        sum(result.timings_ms[stage] for stage in STAGES)
    )


def test_a_box_outside_the_photo_names_the_legal_values(built: store.Collection) -> None:
    photo = built.read(built.queries[0])
    with pytest.raises(PlaygroundError, match="200 x 150"):
        Query(photo, (0, 0, 201, 100))


def test_a_crop_without_features_gives_a_note(built: store.Collection) -> None:
    engine = SearchEngine()
    blank = np.full((150, 200, 3), 128, np.uint8)
    result = engine.search("toy", Recipe.of(BOVW, "flat"), Query(blank), 5)
    assert result.hits == []
    assert any("nothing to describe" in note for note in result.notes)


def test_what_is_not_built_names_the_command(built: store.Collection) -> None:
    engine = SearchEngine()
    photo = built.read(built.queries[0])
    with pytest.raises(PlaygroundError, match=r"scripts\.build --collection toy"):
        engine.describe("toy", "bovw", Query(photo))
    asked = Query(photo)
    with pytest.raises(PlaygroundError, match=r"scripts\.build --collection toy"):
        engine.search("toy", Recipe.of("hog", "factory:HNSW16"), asked, 3)
    with pytest.raises(PlaygroundError, match="k = 0"):
        engine.search("toy", Recipe.of("hog", "flat"), asked, 0)


def test_a_rebuilt_collection_is_seen_without_a_restart(built: store.Collection) -> None:
    engine, recipe = SearchEngine(), Recipe.of("hog", "flat")
    query = Query(built.read(built.queries[0]))
    best = engine.search("toy", recipe, query, 1).hits[0].id
    changing.remove("toy", [best])
    with pytest.raises(PlaygroundError, match="has changed since"):
        engine.search("toy", recipe, query, 1)
    build("toy", ["hog"], ["flat"])
    assert engine.search("toy", recipe, query, 30).hits[0].id != best


def test_a_search_beside_changes_answers_from_one_state(built: store.Collection) -> None:
    """Every hit is a photo of one state, with its own label and asked."""
    engine, recipe = SearchEngine(), Recipe.of("hog", "flat")
    photo = built.read(built.queries[0])
    truth = {one.id: one.label for one in built.photos}
    distances = {
        hit.id: hit.distance for hit in engine.search("toy", recipe, Query(photo), 30).hits
    }
    away = [one.id for one in built.photos[::3]]
    files = [(built.photo(one).label, built.path(built.photo(one))) for one in away]
    assert all(path.is_file() for _, path in files)
    wrong: list[str] = []
    answers = [0]
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            try:
                hits = engine.search("toy", recipe, Query(photo, key="same"), 30).hits
            except PlaygroundError:
                continue  # between a change and its build there is nothing to answer from
            answers[0] += 1
            for hit in hits:
                if truth[hit.id] != hit.label or abs(distances[hit.id] - hit.distance) > 1e-5:
                    wrong.append(hit.id)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for one in threads:
        one.start()
    for photo_id in away:
        changing.remove("toy", [photo_id])
        build("toy", ["hog"], ["flat"])
    stop.set()
    for one in threads:
        one.join()
    assert not wrong
    assert answers[0] > 0


def test_sessions_share_an_engine(built: store.Collection) -> None:
    """Many threads at once get what one thread gets, each with its own nprobe."""
    build("toy", ["hog"], ["ivf:nlist=6"])
    engine = SearchEngine()
    photos = [built.read(query) for query in built.queries]

    def ask(job: tuple[int, int]) -> list[str]:
        number, nprobe = job
        asked = Query(photos[number], key=str(number))
        found = engine.search(
            "toy", Recipe.of("hog", "ivf:nlist=6"), asked, 30, params={"nprobe": nprobe}
        )
        return [hit.id for hit in found.hits]

    work = [(n, p) for n in range(5) for p in (1, 3, 6)] * 4
    alone = [ask(item) for item in work]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, work)) == alone


def test_stats_come_from_the_manifests(built: store.Collection) -> None:
    stats = SearchEngine().stats("toy", "hog", "flat")
    assert (stats.n, stats.dim) == (30, 3780)
    assert stats.bytes_per_vector == pytest.approx(4 * 3780, rel=0.01)
    assert stats.build_s is not None
    assert stats.extract_s is not None


# Local askeds, with a small DELF of random weights


@pytest.fixture
def delf(toy_collection: store.Collection) -> str:
    spec = "delf:trunk=resnet50,image_size=128,scales=0.7071+1.0,max_features=60,dim=16"
    build("toy", [spec], ["flat", "lsh", "pq", "ivf"], weights="untrained")
    return spec


def test_local_askeds_vote_and_are_verified(toy_collection: store.Collection, delf: str) -> None:
    engine = SearchEngine()
    photo = toy_collection.photos[8]
    asked = Query(toy_collection.read(photo))
    for index in ("flat", "lsh", "pq", "ivf"):
        result = engine.search("toy", Recipe.of(delf, index), asked, 10)
        assert result.weights == "untrained"
        assert result.recipe.rerank == ("ransac",)
        scores = [hit.score for hit in result.hits]
        assert scores == sorted(scores, reverse=True)
        assert all(hit.votes for hit in result.hits)
        if index == "flat":
            # A photo finds itself, every feature at its own place.
            best = result.hits[0]
            assert best.id == photo.id
            assert best.inliers is not None
            assert best.inliers > 30
            matches = result.matches[photo.id]
            assert matches.shape == (best.inliers, 4)
            assert np.allclose(matches[:, :2], matches[:, 2:], atol=1.0)


def test_matches_of_a_crop_lie_in_the_original_photo(
    toy_collection: store.Collection, delf: str
) -> None:
    engine = SearchEngine()
    photo = toy_collection.photos[8]
    box = (64, 32, 192, 144)
    asked = Query(toy_collection.read(photo), box)
    result = engine.search("toy", Recipe.of(delf, "flat"), asked, 30)
    matches = result.matches.get(photo.id)
    assert matches is not None
    assert (matches[:, 0] >= box[0] - 8).all()
    assert (matches[:, 0] <= box[2]).all()
    assert (matches[:, 1] >= box[1] - 8).all()
    assert (matches[:, 1] <= box[3]).all()
    assert (matches[:, 2:] <= [photo.width, photo.height]).all()


# The command line


def test_search_script_prints_the_documented_json(
    built: store.Collection, capsys: pytest.CaptureFixture[str]
) -> None:
    query = built.queries[1]
    arguments = ["--collection", "toy", "--extractor", "hog", "--index", "ivf", "--k", "4"]
    arguments += ["--image", str(built.path(query)), "--box", "20,10,180,140", "--json"]
    assert call(search_script.main, arguments) == 0
    value = json.loads(capsys.readouterr().out)
    assert {"collection", "extractor", "weights", "index", "metric", "k", "box"} <= value.keys()
    assert value["box"] == [20, 10, 180, 140]
    assert len(value["hits"]) == 4
    assert value["hits"][0].keys() == {"rank", "id", "label", "distance", "score"}
    assert value["timings_ms"]["total"] > 0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (["--box", "1,2,3"], "four whole numbers"),
        (["--box", "0,0,5000,10"], "does not lie inside"),
        (["--image", "missing.jpg"], "no photo"),
        (["--index", "annoy"], "flat, ivf"),
        (["--param", "nprobe=x"], "NAME=NUMBER"),
    ],
)
def test_search_script_errors_are_sentences(
    built: store.Collection,
    capsys: pytest.CaptureFixture[str],
    changed: list[str],
    message: str,
) -> None:
    arguments = ["--collection", "toy", "--extractor", "hog"]
    arguments += ["--image", str(built.path(built.queries[0])), *changed]
    try:
        code = call(search_script.main, arguments)
    except SystemExit as stop:
        code = int(stop.code or 0)
    assert code == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
