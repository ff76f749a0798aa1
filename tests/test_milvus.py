"""Indexes in Milvus: milvus-lite in this process, and servers, also lost, empty or others."""

from __future__ import annotations

import dataclasses
import gc
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from data import artefact, changing, store
from data.errors import Invalid, NotFound, PlaygroundError
from data.paths import PROJECT_ROOT, artifacts_root
from evaluation.run import evaluate
from indexing import checking, registry
from indexing.artefacts import drop_held, index_folder, load_index, load_vectors
from indexing.base import Unreachable, manifest_of
from indexing.build import Incomplete, build
from retrieval.engine import SearchEngine
from retrieval.ranking import Query, Recipe
from retrieval.voting import vote

KINDS = ("milvus-flat", "milvus-ivf", "milvus-hnsw")
N, D = 2_300, 24


def test_without_the_package_there_is_a_sentence() -> None:
    hide = (
        "import sys; sys.modules['pymilvus'] = None\n"
        "from indexing import registry\n"
        "assert 'milvus-flat' not in registry.basic()\n"
        "from data.errors import PlaygroundError\n"
        "try: registry.index_type('milvus-flat')\n"
        "except PlaygroundError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", hide], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    )
    assert "need the Python package pymilvus" in done.stdout
    assert done.stdout.strip().endswith("python -m pip install -r requirements-milvus.txt")


milvus = pytest.importorskip(
    "indexing.milvus",
    reason="pymilvus is not installed: requirements-milvus.txt",
    exc_type=Exception,
)

grpc = pytest.importorskip("grpc")


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No server unless the test has one, and a home of the test's own."""
    monkeypatch.delenv("PLAYGROUND_MILVUS", raising=False)
    monkeypatch.setenv("PLAYGROUND_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def vectors() -> Any:
    found = np.random.default_rng(3).normal(size=(N, D)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def queries() -> Any:
    found = np.random.default_rng(4).normal(size=(9, D)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def exact(vectors: Any, queries: Any, k: int) -> tuple[Any, Any]:
    """Distances and ids by NumPy alone."""
    apart = ((queries[:, None, :].astype(np.float64) - vectors) ** 2).sum(axis=2)
    ids = np.argsort(apart, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(apart, ids, 1), ids


def built(name: str, vectors: Any, **overrides: Any) -> Any:
    kind = registry.index_type(name)
    return kind.build(vectors, kind.plan(*vectors.shape, overrides))


# -- milvus-lite ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
def test_what_is_built_is_found_saved_and_loaded(
    name: str, vectors: Any, queries: Any, tmp_path: Path
) -> None:
    index = built(name, vectors)
    distances, ids = exact(vectors, queries, 10)
    exhaustive = {"milvus-ivf": {"nprobe": index.plan.build.get("nlist")}, "milvus-hnsw": {"ef": N}}
    hits = index.search(queries, 10, exhaustive.get(name))
    found = hits.ids.reshape(9, 10)
    shared = [len(set(a) & set(b)) for a, b in zip(found, ids, strict=True)]
    assert np.mean(shared) == 10 if name != "milvus-hnsw" else np.mean(shared) >= 9.8
    if name != "milvus-hnsw":
        assert hits.distances.reshape(9, 10) == pytest.approx(distances, abs=1e-5)
    assert index.scores(hits.distances[:1]) == pytest.approx(1 - hits.distances[0] / 2)
    kind = registry.index_type(name)
    estimate = kind.estimate_bytes(index.plan, N, D)
    assert index.size_bytes == pytest.approx(estimate, rel=0.05)
    path = tmp_path / "saved"
    index.save(path)
    assert path.stat().st_size == index.size_bytes
    manifest, seconds = manifest_of(index), index.seconds
    assert seconds is not None and min(seconds) > 0
    del index
    loaded = kind.load(path, manifest)
    again = loaded.search(queries, 10, exhaustive.get(name))
    assert np.array_equal(again.ids, hits.ids)
    assert len(loaded.search(queries[:0], 5)) == 0
    assert sorted(loaded.search(queries[:1], N + 5, exhaustive.get(name)).ids) == list(range(N))
    with pytest.raises(PlaygroundError, match="is not a search parameter"):
        loaded.search(queries, 1, {"colour": 1})
    # Nothing is left of it, nor of the build, when nobody holds it any more.
    del loaded
    gc.collect()
    assert not [one for one in (artifacts_root() / "milvus").iterdir() if one.is_dir()]


def test_equal_vectors_give_equal_files(vectors: Any, tmp_path: Path) -> None:
    for number in (1, 2):
        built("milvus-flat", vectors[:500]).save(tmp_path / str(number))
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_two_hold_the_same_file_at_once(vectors: Any, queries: Any, tmp_path: Path) -> None:
    index = built("milvus-flat", vectors[:300])
    index.save(tmp_path / "saved")
    kind = registry.index_type("milvus-flat")
    both = [kind.load(tmp_path / "saved", manifest_of(index)) for _ in range(2)]
    ids = [one.search(queries, 3).ids for one in both]
    assert np.array_equal(*ids)


def test_a_build_that_was_stopped_goes_on(vectors: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(milvus, "BATCH", 200)
    calls: list[int] = []
    upsert = milvus.MilvusClient.upsert

    def counted(self: Any, name: str, data: Any, **more: Any) -> Any:
        calls.append(data[0]["id"])
        if len(calls) == 7:
            raise KeyboardInterrupt
        return upsert(self, name, data, **more)

    with mock.patch.object(milvus.MilvusClient, "upsert", counted):
        with pytest.raises(KeyboardInterrupt):
            built("milvus-flat", vectors)
        gc.collect()
        assert calls == [0, 200, 400, 600, 800, 1000, 1200]
        index = built("milvus-flat", vectors)
    assert calls[7:] == list(range(1000, N, 200))  # the last that had arrived is sent again
    assert sorted(index.search(vectors[:1], N).ids) == list(range(N))


@pytest.mark.parametrize(
    ("name", "overrides", "words"),
    [
        ("milvus-flat", {"nlist": 3}, "Legal: none"),
        ("milvus-ivf", {"nlist": N + 1}, "whole 1 to"),
        ("milvus-ivf", {"nlist": 5, "nprobe": 6}, "whole 1 to 5"),
        ("milvus-hnsw", {"M": 3}, "whole 4 to 64"),
    ],
)
def test_illegal_parameters(name: str, overrides: dict[str, int], words: str) -> None:
    with pytest.raises(PlaygroundError, match=words):
        registry.index_type(name).plan(N, D, overrides)


def test_plans(vectors: Any) -> None:
    assert registry.index_type("milvus-ivf").plan(N, D).build == {"nlist": N // 39}
    plan = registry.index_type("milvus-hnsw").plan(N, D, {"M": "8", "ef": 9})
    assert (plan.build, plan.search) == ({"M": 8, "efConstruction": 100}, {"ef": 9})
    # ef is never below k, and the lists are as many as were planned.
    assert len(built("milvus-hnsw", vectors[:400], ef=1).search(vectors[:1], 50).ids) == 50
    one_list = built("milvus-ivf", vectors[:400], nlist=1)
    assert sorted(one_list.search(vectors[:1], 400).ids) == list(range(400))
    many = built("milvus-ivf", vectors[:400], nlist=200, nprobe=1)
    assert len(many.search(vectors[:1], 400).ids) < 50


def test_more_than_milvus_gives_is_refused(vectors: Any) -> None:
    index = built("milvus-flat", vectors[:10])
    index.n = milvus.MOST + 1
    with pytest.raises(Invalid, match="at most 16,384"):
        index.search(vectors[:1], milvus.MOST + 1)


@pytest.mark.parametrize("content", [b"", b"no archive at all", b"x" * 10_240])
def test_a_damaged_file_is_a_sentence(vectors: Any, tmp_path: Path, content: bytes) -> None:
    index = built("milvus-flat", vectors[:50])
    path = tmp_path / "saved"
    path.write_bytes(content)
    with pytest.raises(PlaygroundError, match="Build the index again"):
        registry.index_type("milvus-flat").load(path, manifest_of(index))


def test_a_file_of_another_index_is_refused(vectors: Any, tmp_path: Path) -> None:
    index = built("milvus-flat", vectors[:50])
    index.save(tmp_path / "saved")
    manifest = manifest_of(index) | {"n": 51}
    with pytest.raises(PlaygroundError, match="is of 50 vectors"):
        registry.index_type("milvus-flat").load(tmp_path / "saved", manifest)


# -- in the playground ------------------------------------------------------------------------


def test_it_is_built_searched_and_evaluated(toy_collection: store.Collection) -> None:
    build("toy", ["hog"], ["flat", "milvus-flat", "milvus-ivf:nlist=2"])
    assert "milvus-flat" in registry.offered() and "milvus-flat" not in registry.expand("all")
    engine = SearchEngine()
    for query in toy_collection.queries:
        asked = Query.of_photo(toy_collection, query)
        flat = engine.search("toy", Recipe.of("hog", "flat", "aqe:k=2"), asked, 30)
        mine = engine.search("toy", Recipe.of("hog", "milvus-flat", "aqe:k=2"), asked, 30)
        assert [one.id for one in mine.hits] == [one.id for one in flat.hits]
    _, row = evaluate("toy", ["hog"], ["flat", "milvus-flat"], k=10)
    assert (row.index, row.recall) == ("milvus-flat", 1.0)
    assert [one.action for one in build("toy", ["hog"], ["milvus-flat"])] == ["unchanged"] * 2
    folder = index_folder("toy", "hog", "milvus-flat")
    assert list(artefact.read_manifest(folder)["files"]) == ["index.milvus"]


def test_local_descriptors_vote(vectors: Any, queries: Any) -> None:
    offsets = np.arange(0, N + 1, 100)  # 100 descriptors of each of 23 photos
    flat, mine = (vote(built(name, vectors), queries, offsets) for name in ("flat", "milvus-flat"))
    assert np.array_equal(mine.photos, flat.photos) and np.array_equal(mine.votes, flat.votes)
    assert mine.mean_distance == pytest.approx(flat.mean_distance, abs=1e-5)
    assert flat.votes.sum() > 0


# -- a server ---------------------------------------------------------------------------------


class Server:
    """``milvus-lite server`` on a free port of this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "milvus_lite", "server", "--data-dir", str(self.folder)]
        self.process = subprocess.Popen(
            [*command, "--port", str(self.port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        # Not by a bare connection: a free port of this range may answer to itself.
        with grpc.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            grpc.channel_ready_future(channel).result(120)

    def stop(self, how: int = signal.SIGTERM) -> None:
        if self.process is not None:
            os.kill(self.process.pid, how)
            self.process.wait(60)
            self.process = None


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    made = Server(tmp_path / "server")
    made.start()
    monkeypatch.setenv("PLAYGROUND_MILVUS", made.uri)
    monkeypatch.setattr(milvus, "_SECONDS", 5.0)
    try:
        yield made
    finally:
        made.stop()


def collections(server: Server) -> set[str]:
    opened = milvus._Store(server.uri)
    return {one for one in opened.client.list_collections() if one.startswith("playground_")}


def loaded(index: str = "milvus-flat") -> Any:
    vectors, _ = load_vectors(store.load("toy"), "hog")
    return load_index("toy", "hog", index, vectors)


def test_an_artefact_on_a_server(
    server: Server, toy_collection: store.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Built, switched by its alias, found again after a restart, and dropped with the artefact."""
    build("toy", ["hog"], ["flat", "milvus-flat"])
    folder = index_folder("toy", "hog", "milvus-flat")
    size = artefact.read_manifest(folder)["files"]["index.milvus"]["bytes"]
    assert size < 20_000 < artefact.read_manifest(folder)["bytes_per_vector"] * 30
    (first,) = collections(server)
    alias = milvus.alias_of(folder)
    assert milvus._Store(server.uri).named_by(alias) == first
    query = Query.of_photo(toy_collection, toy_collection.queries[0])
    engine = SearchEngine()
    flat = engine.search("toy", Recipe.of("hog", "flat"), query, 30)
    mine = engine.search("toy", Recipe.of("hog", "milvus-flat"), query, 30)
    assert [one.id for one in mine.hits] == [one.id for one in flat.hits]

    # Another state of the collection: a new Milvus collection, then the alias, then the old goes.
    changing.remove("toy", ["toy-0-00"])
    build("toy", ["hog"], ["milvus-flat"])
    gc.collect()
    assert milvus._Store(server.uri).named_by(alias) != first
    again = loaded().built
    assert again.n == 29
    (second,) = collections(server)
    assert second != first

    # The server was stopped, or killed, and started again: the same index answers.
    for how in (signal.SIGTERM, signal.SIGKILL):
        server.stop(how)
        with pytest.raises(
            Unreachable, match=r"127\.0\.0\.1:\d+ does not answer.*PLAYGROUND_MILVUS"
        ):
            loaded()
        with pytest.raises(Unreachable, match="does not answer"):
            again.search(np.zeros((1, again.d), np.float32), 3)
        server.start()
        assert len(again.search(np.zeros((1, again.d), np.float32), 3).ids) == 3
        assert loaded().built.n == 29

    # Without the variable nobody knows where to look.
    monkeypatch.delenv("PLAYGROUND_MILVUS")
    with pytest.raises(Unreachable, match="Set PLAYGROUND_MILVUS"):
        loaded()
    monkeypatch.setenv("PLAYGROUND_MILVUS", server.uri)

    changing.delete("toy", drop_held)
    gc.collect()
    assert collections(server) == set()


def test_a_server_that_holds_something_else(server: Server, toy_collection: Any) -> None:
    build("toy", ["hog"], ["milvus-flat"])
    (name,) = collections(server)
    opened = milvus._Store(server.uri)
    row = opened.client.get(name, ids=[0], output_fields=["vector"])[0]["vector"]
    # A row more, another id, other numbers, nothing at all: each is told and nothing answers.
    for change, words in (
        (lambda: opened.client.upsert(name, [{"id": 99, "vector": row}]), "31 of 3,780 numbers"),
        (lambda: opened.client.delete(name, ids=[0]), "30 of 3,780 numbers, 29 of them"),
        (
            lambda: (
                opened.client.delete(name, ids=[99]),
                opened.client.upsert(name, [{"id": 0, "vector": row[::-1]}]),
            ),
            "holds other vectors",
        ),
    ):
        change()
        with pytest.raises(PlaygroundError, match=words) as error:
            loaded()
        assert error.value.command is not None and "scripts.build" in error.value.command
    opened.client.drop_alias(milvus.alias_of(index_folder("toy", "hog", "milvus-flat")))
    opened.client.drop_collection(name)
    with pytest.raises(PlaygroundError, match="does not hold this index any more"):
        loaded()
    build("toy", ["hog"], ["milvus-flat"], force=True)
    assert loaded().built.n == 30


def test_a_check_reads_back_every_row(server: Server, toy_collection: Any) -> None:
    """A row that opening does not look at, and an id in exchange for another one."""
    build("toy", ["hog"], ["milvus-flat"])
    (name,) = collections(server)
    opened = milvus._Store(server.uri)
    assert 5 not in milvus._probes(30)
    row = opened.client.get(name, ids=[5], output_fields=["vector"])[0]["vector"]
    for change in (
        lambda: opened.client.upsert(name, [{"id": 5, "vector": row[::-1]}]),
        lambda: (
            opened.client.delete(name, ids=[5]),
            opened.client.upsert(name, [{"id": -1, "vector": row}]),
        ),
    ):
        assert not [one for one in checking.check("toy") if one.wrong]
        change()
        found = checking.check("toy")
        (wrong,) = [one for one in found if one.wrong]
        assert wrong.index == "milvus-flat" and "holds other vectors" in wrong.wrong
        (done,) = checking.mend("toy", found)
        assert (done.index, done.action) == ("milvus-flat", "built")
    server.stop()
    found = checking.check("toy")
    (away,) = [one for one in found if one.wrong]
    assert away.away and "does not answer" in away.wrong
    with pytest.raises(Incomplete, match="does not answer"):
        checking.mend("toy", found)


def test_everything_read_back_has_one_digest(vectors: Any) -> None:
    ids = np.arange(40)
    whole = milvus._content_digest([(ids, vectors[:40])])
    parts = [(ids[:7], list(vectors[:7])), (ids[7:], vectors[7:40].tolist())]
    assert milvus._content_digest(parts) == whole
    assert milvus._content_digest([(ids[::-1], vectors[:40])]) != whole


def test_what_is_only_measured_is_not_left(server: Server, vectors: Any, tmp_path: Path) -> None:
    index = built("milvus-flat", vectors[:40])
    assert len(collections(server)) == 1
    index.save(tmp_path / "scratch")
    manifest = manifest_of(index)
    del index
    gc.collect()
    kept = registry.index_type("milvus-flat").load(tmp_path / "scratch", manifest)
    assert len(kept.search(vectors[:1], 3).ids) == 3
    del kept
    gc.collect()
    assert collections(server) == set()
    built("milvus-flat", vectors[:40])  # never saved
    gc.collect()
    assert collections(server) == set()


def test_a_server_that_is_lost_while_it_is_filled(
    server: Server, toy_collection: store.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(milvus, "BATCH", 10)
    build("toy", ["hog"], ["flat"])
    upsert = milvus.MilvusClient.upsert

    def then_gone(self: Any, name: str, data: Any, **more: Any) -> Any:
        if data[0]["id"] == 20:
            server.stop(signal.SIGKILL)
        return upsert(self, name, data, timeout=3, **more)

    with (
        mock.patch.object(milvus.MilvusClient, "upsert", then_gone),
        pytest.raises((Incomplete, Unreachable), match="does not answer"),
    ):
        build("toy", ["hog"], ["milvus-flat"])
    engine, query = SearchEngine(), Query.of_photo(toy_collection, toy_collection.queries[0])
    assert engine.search("toy", Recipe.of("hog", "flat"), query, 3).hits  # the rest is whole
    with pytest.raises(NotFound):
        loaded()
    server.start()
    build("toy", ["hog"], ["milvus-flat"])
    assert loaded().built.n == 30


def test_a_secret_of_the_address_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = milvus._shown("https://me:secret@cluster.example:19530/db?token=x")
    assert shown == "https://cluster.example:19530"
    handle = milvus.Handle("c", 1, 1, "r", server=shown)
    assert "secret" not in str(dataclasses.asdict(handle))
