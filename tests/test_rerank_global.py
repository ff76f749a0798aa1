"""What every re-ranker of global descriptors keeps to, and what is made offline for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rerank_view import Asked, SmallView, answer, clusters

from data import store
from data.errors import PlaygroundError
from data.paths import vectors_root
from indexing.build import build
from retrieval import graph, prepare
from retrieval.engine import SearchEngine
from retrieval.ranking import Query, Recipe
from retrieval.rerank import registry
from retrieval.rerank.diffusion import Diffusion
from scripts import build as build_script
from scripts.console import call

GLOBAL = [name for name in registry.names() if name in registry.legal_after("hog")]
GLOBAL = [name for name in GLOBAL if registry.create(name).needs == "global"]
OFFLINE = [name for name in GLOBAL if registry.create(name).offline == "needed"]


@pytest.mark.parametrize("name", GLOBAL)
@pytest.mark.parametrize("photos", [1, 2, 3, 7])
@pytest.mark.parametrize("k", [1, 2, 100])
def test_small_collections(tmp_path: Path, name: str, photos: int, k: int) -> None:
    view = SmallView(clusters(photos), tmp_path)
    found = answer(view, name, clusters(30)[29], k)
    assert len(found) == min(photos, k)
    assert len(set(found.rows.tolist())) == len(found)
    assert np.isfinite(found.scores).all()
    assert len(found.columns["distance"]) == len(found)


@pytest.mark.parametrize("name", GLOBAL)
def test_an_empty_ranking_stays_one(tmp_path: Path, name: str) -> None:
    view = SmallView(clusters(6), tmp_path, excluded=frozenset(range(6)))
    assert len(answer(view, name, clusters(7)[6])) == 0


@pytest.mark.parametrize("name", GLOBAL)
def test_what_is_left_out_has_no_part(tmp_path: Path, name: str) -> None:
    """As if the collection had never had it, whatever was made offline."""
    x, query = clusters(24), clusters(30)[28]
    near = int(np.argmax(x @ query))
    stay = np.array([row for row in range(24) if row not in (near, 5)])
    (tmp_path / "whole").mkdir()
    (tmp_path / "less").mkdir()
    whole = SmallView(x, tmp_path / "whole")
    answer(whole, name, query)  # made with all photos
    whole.excluded = frozenset((near, 5))
    found = answer(whole, name, query)
    wanted = answer(SmallView(x[stay], tmp_path / "less"), name, query)
    assert found.rows.tolist() == stay[wanted.rows].tolist()
    assert found.scores == pytest.approx(wanted.scores, abs=1e-4)


@pytest.mark.parametrize("name", GLOBAL)
def test_a_photo_without_a_descriptor_is_no_answer(tmp_path: Path, name: str) -> None:
    x = clusters(12)
    x[[0, 7]] = 0
    query = -x.sum(axis=0) / np.linalg.norm(x.sum(axis=0))  # far from everything
    found = answer(SmallView(x, tmp_path), name, query)
    assert sorted(found.rows.tolist()) == [row for row in range(12) if row not in (0, 7)]


@pytest.mark.parametrize("name", GLOBAL)
def test_the_same_again_and_nothing_changed(tmp_path: Path, name: str) -> None:
    view, query = SmallView(clusters(20), tmp_path), clusters(30)[25].view(Asked)
    given = view.search(query, 20)
    rows, scores = given.rows.copy(), given.scores.copy()
    method = registry.create(name)
    first, second = (method.rerank(query, given, view) for _ in range(2))
    assert first.rows.tolist() == second.rows.tolist()
    assert first.scores.tolist() == second.scores.tolist()
    assert np.array_equal(given.rows, rows) and np.array_equal(given.scores, scores)


@pytest.mark.parametrize("name", [name for name in GLOBAL if name != "aqe"])
def test_after_an_expansion_the_expanded_query_counts(tmp_path: Path, name: str) -> None:
    view, query = SmallView(clusters(20), tmp_path), clusters(30)[25].view(Asked)
    expanded = answer(view, "aqe:k=2", query)
    assert expanded.vector is not None
    chained = answer(view, f"aqe:k=2+{name}", query)
    wanted = answer(view, name, expanded.vector)
    assert chained.rows.tolist() == wanted.rows.tolist()
    assert chained.scores == pytest.approx(wanted.scores, abs=1e-5)


@pytest.mark.parametrize("name", OFFLINE)
def test_a_search_does_not_wait_for_large_collections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(graph, "ONLINE_PHOTOS", 8)
    view, query = SmallView(clusters(9), tmp_path), clusters(30)[25]
    with pytest.raises(PlaygroundError, match=rf"scripts\.build .*small.* --rerank '{name}'"):
        answer(view, name, query)
    told: list[tuple[int, int]] = []
    registry.create(name).prepare(view, lambda done, total, _: told.append((done, total)))
    assert told[-1] == (9, 9)
    assert len(answer(view, name, query)) == 9


@pytest.mark.parametrize("name", GLOBAL)
def test_illegal_values_say_what_is_legal(name: str) -> None:
    field = {"diffusion": "kq", "superglobal": "depth", "k-reciprocal": "k1"}.get(name, "k")
    with pytest.raises(PlaygroundError, match=f"{name}.*Legal"):
        registry.create(f"{name}:{field}=-1")


# -- through the engine ------------------------------------------------------------------------


@pytest.fixture
def built(toy_collection: store.Collection) -> store.Collection:
    build("toy", ["hog"], ["flat"])
    return toy_collection


@pytest.mark.parametrize("name", GLOBAL)
def test_in_a_search(built: store.Collection, name: str) -> None:
    engine, own = SearchEngine(), built.photos[3]
    query = Query.of_photo(built, own)
    plain = engine.search("toy", Recipe.of("hog", "flat", "none"), query, 30, exclude=(own.id,))
    found = engine.search("toy", Recipe.of("hog", "flat", name), query, 30, exclude=(own.id,))
    assert sorted(hit.id for hit in found.hits) == sorted(hit.id for hit in plain.hits)
    assert own.id not in {hit.id for hit in found.hits}
    assert found.timings_ms[name] > 0
    assert found.to_json()["rerank"] == [name]


def test_a_search_makes_only_what_is_needed(
    built: store.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []
    monkeypatch.setattr(Diffusion, "prepare", lambda self, view: called.append(self.offline))
    for offline in ("needed", "optional"):
        monkeypatch.setattr(Diffusion, "offline", offline)
        query = Query.of_photo(built, built.queries[0])
        SearchEngine().search("toy", Recipe.of("hog", "flat", "diffusion"), query, 5)
    assert called == ["needed"]


def test_prepared_once_and_read_again(built: store.Collection) -> None:
    recipe = Recipe.of("hog", "flat", "diffusion+dba")
    steps = prepare.plan("toy", recipe)
    assert [step.spec for step in steps] == ["diffusion", "dba"]
    assert steps[0].bytes_per_photo == steps[0].bytes / 30
    told: list[str] = []
    prepare.prepare("toy", recipe, lambda done, total, text: told.append(text))
    assert {"nearest neighbours", "diffusion", "dba"} <= set(told)
    files = {path: path.stat() for path in (vectors_root("toy")).rglob("rerank/**/*.npy")}
    assert {path.name.partition("-")[0] for path in files} == {"diffusion", "dba", "neighbours"}
    header = 128  # of an npy file
    assert sum(s.st_size - header for s in files.values()) <= sum(step.bytes for step in steps)
    query = Query.of_photo(built, built.queries[0])
    SearchEngine().search("toy", recipe, query, 5)
    prepare.prepare("toy", recipe)
    for path, stat in files.items():
        assert (path.stat().st_mtime_ns, path.stat().st_ino) == (stat.st_mtime_ns, stat.st_ino)


def test_nothing_to_prepare(built: store.Collection) -> None:
    assert prepare.plan("toy", Recipe.of("hog", "flat", "aqe+superglobal")) == []


def test_a_full_disk_is_told_before(
    built: store.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "_free", lambda folder: 10)
    with pytest.raises(PlaygroundError, match=r"diffusion.*needs some .* are free"):
        prepare.prepare("toy", Recipe.of("hog", "flat", "diffusion"))


def test_the_command(toy_collection: store.Collection, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--collection", "toy", "--extractors", "hog", "--indexes", "flat", "--quiet"]
    assert call(build_script.main, [*command, "--rerank", "diffusion:kd=5,dba"]) == 0
    out = capsys.readouterr().out
    assert "diffusion:kd=5" in out and "per photo" in out
    assert call(build_script.main, [*command, "--rerank", "ransac"]) == 2
    assert "Legal after it" in capsys.readouterr().err
