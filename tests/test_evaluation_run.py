"""The evaluator end to end on the toy collection: values, storage, resuming, odd collections."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data import artefact, changing, importing, store
from data.demo import DemoSource
from data.errors import PlaygroundError
from data.specs import Row
from evaluation import rows as stored
from evaluation import run
from evaluation.run import evaluate, load_rows
from extractors import registry as extractor_registry
from extractors.base import Extractor, Features, Prepared, crop_and_shrink, l2_normalise
from indexing.build import build
from indexing.imported import import_descriptors
from indexing.status import ExtractorStatus, collection_status
from retrieval import engine as retrieval_engine
from retrieval.engine import SearchEngine
from retrieval.ranking import Query, Recipe
from scripts import evaluate as script
from scripts.console import call
from tests.conftest import TOY_VIEWS, write_toy

LSH = "lsh:nbits=256"
INDEXES = ["flat", "ivf:nlist=6", LSH, "pq"]
KEYS = [
    "collection",
    "protocol",
    "extractor",
    "weights",
    "index",
    "rerank",
    "queries",
    "map",
    "map_ci",
    "mp@1",
    "mp@5",
    "mp@10",
    "recall@k_vs_exact",
    "extract_ms",
    "search_ms",
    "bytes_per_vector",
    "build_s",
]


@pytest.fixture(scope="session")
def built_once(toy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the toy collection built. Read only: ``built`` copies it."""
    folder = tmp_path_factory.mktemp("evaluated") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLAYGROUND_HOME", str(folder))
        importing.import_collection("toy", DemoSource(toy_folder))
        build("toy", ["hog"], INDEXES)
    return folder


@pytest.fixture
def built(home: Path, built_once: Path) -> store.Collection:
    shutil.copytree(built_once, home)
    return store.load("toy")


class Count:
    """A progress callback that remembers; stops when it is told to."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.calls: list[tuple[int, int, str]] = []
        self.stop_at = stop_at

    def __call__(self, done: int, total: int, text: str) -> None:
        self.calls.append((done, total, text))
        if done == self.stop_at:
            raise KeyboardInterrupt


@pytest.fixture
def described(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the queries that were described, warm-ups not counted."""
    seen: list[str] = []
    real = retrieval_engine._describe

    def counting(loaded: Any, query: Query) -> Any:
        if query.key != "warm-up":
            seen.append(str(query.id))
        return real(loaded, query)

    monkeypatch.setattr(retrieval_engine, "_describe", counting)
    return seen


def brute_force(collection: store.Collection) -> dict[str, list[str]]:
    """Query id to all ids, nearest first, by HOG without any index."""
    extractor = extractor_registry.create("hog")
    x = np.concatenate([extractor.extract(collection.read(p)).vectors for p in collection.photos])
    rankings = {}
    for query in collection.queries:
        q = extractor.extract(collection.read(query), query.box).vectors[0]
        order = np.argsort(((x - q) ** 2).sum(axis=1), kind="stable")
        rankings[query.id] = [collection.ids[i] for i in order]
    return rankings


def test_the_exact_row_equals_brute_force(built: store.Collection) -> None:
    (row,) = evaluate("toy", ["hog"], ["flat"])
    rankings = brute_force(built)
    for query in row.queries:
        ranking = rankings[query.query_id]
        label = built.query(query.query_id).label
        hits = [built.photo(one).label == label for one in ranking]
        ap = sum(sum(hits[: i + 1]) / (i + 1) for i in range(30) if hits[i]) / TOY_VIEWS
        assert list(query.ranking) == ranking
        assert query.ranked == 30
        assert query.ap == {"all": pytest.approx(ap)}
        assert query.ranks["all"] == tuple(i for i in range(30) if hits[i])
        assert query.positives == {"all": TOY_VIEWS}
        assert query.extract_ms > 0 and query.search_ms > 0 and query.rerank_ms == 0
    assert row.map == pytest.approx(sum(q.ap["all"] for q in row.queries) / 5)
    assert row.map > 0.3
    assert row.recall == 1.0
    interval = row.interval()
    assert interval is not None and interval[0] <= row.map <= interval[1]
    curve = row.precision_recall()
    assert len(curve) == 101 and all(a >= b for a, b in itertools.pairwise(curve))
    worst = row.worst(5)
    assert [q.ap["all"] for q in worst] == sorted(q.ap["all"] for q in row.queries)


def test_every_index(built: store.Collection, described: list[str]) -> None:
    progress = Count()
    rows = evaluate("toy", ["hog"], INDEXES, progress=progress)
    assert [row.index for row in rows] == INDEXES
    assert described == [query.id for query in built.queries]  # once for all indexes
    assert progress.calls[-1][:2] == (20, 20)
    flat, ivf, lsh, _ = rows
    engine = SearchEngine()
    for row in rows:
        assert 0 < row.recall <= 1
        assert row.bytes_per_vector == engine.stats("toy", "hog", row.index).bytes_per_vector
        assert row.build_s is not None and row.rerank == "none"
    # An inverted file returns a part of the photos: what it lacks counts as not found.
    assert ivf.recall < 1
    assert all(query.ranked < 30 for query in ivf.queries)
    for query in ivf.queries:
        ap = sum((j + 1) / (rank + 1) for j, rank in enumerate(query.ranks["all"])) / TOY_VIEWS
        assert query.ap["all"] == pytest.approx(ap)
    comparison = flat.compare(lsh)
    assert comparison.queries == 5
    assert comparison.difference == pytest.approx(flat.map - lsh.map)
    probed = evaluate("toy", ["hog"], ["ivf:nlist=6,nprobe=6"])[0]
    assert probed.recall == 1.0
    assert probed.map == pytest.approx(flat.map)
    assert [q.ranking for q in probed.queries] == [q.ranking for q in flat.queries]


def test_recall_is_by_distance(built: store.Collection) -> None:
    (row,) = evaluate("toy", ["hog"], ["pq"], k=5)
    exact = {one: ranking[:5] for one, ranking in brute_force(built).items()}
    for query in row.queries:
        # No two toy photos are equally far, so that ids and distances agree.
        shared = len(set(exact[query.query_id]) & set(query.ranking[:5]))
        assert query.recall == pytest.approx(shared / 5)


def test_whole_collections_are_ranked_however_large(
    built: store.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "MAX_K", 3)  # as if 30 photos were more than a search may return
    (row,) = evaluate("toy", ["hog"], ["flat"])
    assert all(query.ranked == 30 for query in row.queries)
    engine = SearchEngine(max_k=3)
    query = built.queries[0]
    asked = Query.of_photo(built, query)
    with pytest.raises(PlaygroundError, match="Legal: 1 to 3"):
        engine.search("toy", Recipe.of("hog", "flat"), asked, 4)


def test_without_the_exact_index_recall_is_not_known(toy_collection: store.Collection) -> None:
    build("toy", ["hog"], [LSH])
    (row,) = evaluate("toy", ["hog"], [LSH])
    assert math.isnan(row.recall) and row.as_json()["recall@k_vs_exact"] is None
    build("toy", ["hog"], ["flat"])
    assert evaluate("toy", ["hog"], [LSH])[0].recall > 0  # now it is


def test_rows_are_kept_and_used_again(built: store.Collection, described: list[str]) -> None:
    first = evaluate("toy", ["hog"], ["flat", LSH])
    assert len(described) == 5
    assert evaluate("toy", ["hog"], [LSH, "flat"]) == first[::-1]
    assert load_rows("toy") == first
    assert len(described) == 5
    more = evaluate("toy", ["hog"], ["flat", "pq"])
    assert more[0] == first[0] and len(described) == 10
    evaluate("toy", ["hog"], ["flat"], force=True)
    assert len(described) == 15
    other = evaluate("toy", ["hog"], ["flat"], "gldv2")[0]
    assert other.protocol == "gldv2" and len(described) == 20
    assert [row.protocol for row in load_rows("toy")] == ["gldv2", "labels", "labels", "labels"]
    assert [row.index for row in load_rows("toy", "labels")] == ["flat", LSH, "pq"]


def test_equal_inputs_give_equal_bytes(built: store.Collection) -> None:
    evaluate("toy", ["hog"], ["flat"])
    (manifest,) = stored.folder_of("toy").glob("*/*/*/manifest.json")
    before = manifest.read_bytes()
    evaluate("toy", ["hog"], ["flat"], force=True)
    assert manifest.read_bytes() == before
    assert not list(manifest.parent.glob("*partial*"))


@pytest.mark.parametrize("stop_at", [1, 7, 10])
def test_a_stopped_evaluation_goes_on(
    built: store.Collection, described: list[str], stop_at: int
) -> None:
    with pytest.raises(KeyboardInterrupt):
        evaluate("toy", ["hog"], ["flat", LSH], progress=Count(stop_at))
    assert load_rows("toy") == []
    before = len(described)
    progress = Count()
    rows = evaluate("toy", ["hog"], ["flat", LSH], progress=progress)
    assert progress.calls[-1][:2] == (10, 10)
    assert len(progress.calls) - 2 == 10 - stop_at  # two calls tell what was there
    assert len(described) - before == math.ceil((10 - stop_at) / 2)
    fresh = evaluate("toy", ["hog"], ["flat", LSH], force=True)
    for row, again in zip(rows, fresh, strict=True):
        assert [q.stable() for q in row.queries] == [q.stable() for q in again.queries]


def test_a_line_cut_short_by_a_kill_is_done_again(built: store.Collection) -> None:
    with pytest.raises(KeyboardInterrupt):
        evaluate("toy", ["hog"], ["flat"], progress=Count(3))
    (partial,) = stored.folder_of("toy").glob("*/*/*/*partial*")
    content = partial.read_bytes()
    partial.write_bytes(content[:-30])
    progress = Count()
    evaluate("toy", ["hog"], ["flat"], progress=progress)
    assert [done for done, _, _ in progress.calls] == [2, 3, 4, 5]


def test_other_inputs_do_not_go_on_from_a_partial_row(built: store.Collection) -> None:
    with pytest.raises(KeyboardInterrupt):
        evaluate("toy", ["hog"], ["flat"], progress=Count(3))
    (partial,) = stored.folder_of("toy").glob("*/*/*/*partial*")
    lines = partial.read_text().splitlines(keepends=True)
    partial.write_text("".join(['{"key":"of another collection"}\n', *lines[1:]]))
    progress = Count()
    evaluate("toy", ["hog"], ["flat"], progress=progress)
    assert [done for done, _, _ in progress.calls] == [0, 1, 2, 3, 4, 5]


def test_a_damaged_row_is_evaluated_again(built: store.Collection, described: list[str]) -> None:
    evaluate("toy", ["hog"], ["flat"])
    (queries,) = stored.folder_of("toy").glob("*/*/*/queries-*.jsonl")
    queries.write_bytes(queries.read_bytes()[:-9])
    assert load_rows("toy") == []
    evaluate("toy", ["hog"], ["flat"])
    assert len(described) == 10
    record = queries.parent / artefact.RECORD
    record.write_text("{}")
    assert load_rows("toy") == []
    assert len(evaluate("toy", ["hog"], ["flat"])[0].queries) == 5


def test_what_changed_is_told_and_evaluated_again(built: store.Collection) -> None:
    (row,) = evaluate("toy", ["hog"], ["flat"])
    changing.remove("toy", [built.ids[0]])
    (old,) = load_rows("toy")
    assert old == dataclasses.replace(row, stale=old.stale)
    assert "photos" in old.stale and "ground truth" in old.stale
    with pytest.raises(PlaygroundError, match=r"Run: python -m scripts\.build"):
        evaluate("toy", ["hog"], ["flat"])
    build("toy", ["hog"], ["flat"])
    (new,) = evaluate("toy", ["hog"], ["flat"])
    assert new.photos == 29
    assert [row.stale for row in load_rows("toy")] == [""]


def test_a_built_index_that_is_gone_makes_its_row_stale(built: store.Collection) -> None:
    evaluate("toy", ["hog"], [LSH])
    for path in stored.paths.vectors_root("toy").glob("hog/indexes/lsh*/*"):
        path.unlink()
    (row,) = load_rows("toy")
    assert "no lsh:nbits=256 index" in row.stale


def test_nothing_is_evaluated_when_something_is_not_built(
    built: store.Collection, described: list[str]
) -> None:
    with pytest.raises(PlaygroundError, match=r"no flat index of bovw.*scripts\.build.*--extr"):
        evaluate("toy", ["hog", "bovw"], ["flat"])
    with pytest.raises(PlaygroundError, match="Legal: auto"):
        evaluate("toy", ["hog"], ["flat"], "oxford")
    with pytest.raises(PlaygroundError, match="Legal: 1 or more"):
        evaluate("toy", ["hog"], ["flat"], k=0)
    with pytest.raises(PlaygroundError, match="has no lists"):
        evaluate("toy", ["hog"], ["flat"], "revisited")
    assert described == []


@dataclasses.dataclass(frozen=True)
class GridConfig:
    size: int = 96  # px


class Grid(Extractor):
    """Local descriptors without a network: the pixels of 25 places, 8 numbers each."""

    name = "grid"
    local = True

    def __init__(self, config: GridConfig) -> None:
        super().__init__(config)

    @property
    def dim(self) -> int:
        return 8

    def prepare(self, photo: Any, box: Any = None) -> Prepared:
        return crop_and_shrink(photo, box, self.config.size)

    def describe(self, prepared: Prepared) -> Any:
        places = np.array([[x, y] for y in range(5, 46, 10) for x in range(5, 46, 10)], np.float32)
        grey = prepared.pixels.mean(axis=2, dtype=np.float32)
        patches = [grey[int(y) : int(y) + 8, int(x) : int(x) + 8].mean(axis=0) for x, y in places]
        return {"vectors": np.stack(patches) - 100, "places": prepared.to_photo(places)}

    def encode(self, raw: Any) -> Features:
        ones = np.ones((len(raw["places"]), 2), np.float32)
        geometry = np.hstack([raw["places"], ones]).astype(np.float32)
        return Features(l2_normalise(raw["vectors"]), geometry)


def test_local_descriptors_are_verified(
    toy_collection: store.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(extractor_registry.METHODS, "grid", Row(f"{__name__}:Grid", "grid"))
    build("toy", ["grid"], ["flat", "pq"])
    exact, coarse = evaluate("toy", ["grid"], ["flat", "pq"], k=5)
    for row in (exact, coarse):
        assert row.rerank == "ransac"
        assert row.rerank_ms > 0 and row.as_json()["rerank_ms"] == row.rerank_ms
        assert row.map > 0
    assert exact.recall == 1.0
    assert 0 < coarse.recall < 1  # of the neighbours of each of the query's descriptors


def test_imported_descriptors_are_evaluated_without_photos(
    built: store.Collection, tmp_path: Path
) -> None:
    extractor = extractor_registry.create("hog")
    for name, listed in (("x", built.photos), ("q", built.queries)):
        vectors = [extractor.extract(built.read(one), one.box).vectors for one in listed]
        np.save(tmp_path / f"{name}.npy", np.concatenate(vectors))
        (tmp_path / f"{name}.txt").write_text("".join(f"{one.id}\n" for one in listed))
    spec = import_descriptors(
        "toy",
        "published",
        tmp_path / "x.npy",
        ids=tmp_path / "x.txt",
        queries=tmp_path / "q.npy",
        query_ids=tmp_path / "q.txt",
    ).extractor
    build("toy", [spec], ["flat"])
    ours, theirs = evaluate("toy", ["hog", spec], ["flat"])
    assert theirs.map == pytest.approx(ours.map)
    assert [q.ranking for q in theirs.queries] == [q.ranking for q in ours.queries]
    assert theirs.as_json()["extract_ms"] is None  # nothing was extracted
    assert [row.name for row in load_rows("toy")] == [ours.name, theirs.name]


class Lists(DemoSource):
    """The toy photos with the lists of the revisited protocol, and two of them missing."""

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "protocol": "revisited", "partial": {"photos_missing": 2}}

    def candidates(self) -> Any:
        for one in super().candidates():
            if getattr(one, "query", False):
                ids = [f"{one.label}-{view:02d}" for view in range(TOY_VIEWS)]
                easy = ids[:2] if one.label != "toy-0" else []  # toy-0 has no easy photo
                lists = {"easy": easy, "hard": [*ids[2:4], "lost"], "junk": ids[4:]}
                one = dataclasses.replace(one, extra={"ground_truth": lists})
            yield one


def test_revisited_and_partial(home: Path, toy_folder: Path) -> None:
    importing.import_collection("lists", Lists(toy_folder))
    build("lists", ["hog"], ["flat"])
    (row,) = evaluate("lists", ["hog"], ["flat"])
    assert row.protocol == "revisited" and row.partial
    result = row.as_json()
    assert result["partial"] is True
    assert result["map"] == result["medium"]["map"]
    assert set(result["easy"]) == {"map", "map_ci", "mp@1", "mp@5", "mp@10"}
    assert math.isnan(row.queries[0].ap["easy"])
    known = [query.ap["easy"] for query in row.queries[1:]]
    assert result["easy"]["map"] == pytest.approx(sum(known) / 4)  # toy-0 is left out
    assert row.queries[1].positives == {"easy": 2, "medium": 5, "hard": 3}  # "lost" counts
    assert row.precision_recall("hard")[-1] == 0.0  # so that recall 1 is never reached
    json.dumps(result, allow_nan=False)
    (loaded,) = load_rows("lists")
    assert loaded.as_json() == result
    assert [q.stable() for q in loaded.queries] == [q.stable() for q in row.queries]


def test_photos_of_the_collection_as_queries(home: Path, tmp_path: Path) -> None:
    folder = write_toy(tmp_path / "small", landmarks=2, views=3)
    (folder / "queries.jsonl").write_text("")
    importing.import_collection("own", DemoSource(folder))
    build("own", ["hog"], ["flat"])
    (row,) = evaluate("own", ["hog"], ["flat"])
    assert len(row.queries) == 6
    for query in row.queries:
        assert query.ranking[0] == query.query_id  # the photo itself, which is not judged
        assert query.positives == {"all": 2}
        assert len(query.ranks["all"]) == 2 and max(query.ranks["all"]) < 5


def test_a_collection_without_anything_to_find(home: Path, tmp_path: Path) -> None:
    folder = write_toy(tmp_path / "one", landmarks=1, views=1)
    (folder / "queries.jsonl").write_text("")
    importing.import_collection("one", DemoSource(folder))
    build("one", ["hog"], ["flat"])
    with pytest.raises(PlaygroundError, match="has no queries"):
        evaluate("one", ["hog"], ["flat"])
    with pytest.raises(PlaygroundError, match="has no queries"):
        evaluate("one", ["hog"], ["flat"], "gldv2")


def test_the_script(
    built: store.Collection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, page = tmp_path / "rows.json", tmp_path / "report.html"
    words = ["--collection", "toy", "--extractors", "all", "--indexes", f"flat,{LSH}"]
    assert call(script.main, [*words, "--json", str(out), "--html", str(page)]) == 0
    rows = json.loads(out.read_text())
    assert [row["index"] for row in rows] == ["flat", LSH]
    assert all(set(KEYS) <= set(row) for row in rows)
    assert rows[0]["map_ci"][0] <= rows[0]["map"] <= rows[0]["map_ci"][1]
    assert rows[0]["recall@k_vs_exact"] == 1.0 and rows[0]["queries"] == 5
    assert page.read_text().startswith("<!doctype html>")
    table = capsys.readouterr().out
    assert "mAP" in table and "hog" in table and "recall@10" in table
    assert call(script.main, [*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == rows  # not evaluated again: even times agree


def test_the_script_takes_all_that_is_built(
    built: store.Collection, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--collection", "toy", "--indexes", "all", "--json"]
    assert call(script.main, words) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["index"] for row in rows} == set(INDEXES)
    assert {row["extractor"] for row in rows} == {"hog"}
    for indexes in ("flat", "all"):
        words = ["--collection", "toy", "--extractors", "hog,bovw", "--indexes", indexes]
        assert call(script.main, words) == 2
        assert "python -m scripts.build" in capsys.readouterr().err


def test_the_script_says_what_it_leaves_out(
    built: store.Collection, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stale = ExtractorStatus("delf", "stale", message="The vectors of delf were made otherwise.")
    real = collection_status("toy")
    monkeypatch.setattr(script, "collection_status", lambda name: [*real, stale])
    assert call(script.main, ["--collection", "toy", "--json"]) == 0
    found = capsys.readouterr()
    assert "left out: The vectors of delf were made otherwise." in found.err
    assert {row["extractor"] for row in json.loads(found.out)} == {"hog"}


def test_the_script_when_nothing_is_built(
    toy_collection: store.Collection, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(script.main, ["--collection", "toy"]) == 2
    assert "is built for the collection toy yet. Run: python -m" in capsys.readouterr().err
    assert call(script.main, ["--collection", "no-such"]) == 2
    assert "There is no collection" in capsys.readouterr().err
