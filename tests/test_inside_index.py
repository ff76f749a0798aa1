"""The views of ``indexing.inside`` say what FAISS does: every number is checked against it."""

from __future__ import annotations

import numpy as np
import pytest

from data.errors import PlaygroundError
from indexing import registry
from indexing.base import BuiltIndex, Floats
from indexing.faiss_settings import faiss
from indexing.inside import common, flat, hnsw, ivf, lsh, pq

N, D, K = 500, 32, 10


def unit(rows: int, seed: int) -> Floats:
    """Unit vectors around 20 centres, so that neighbours mean something."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(20, D))
    found = centres[rng.integers(0, 20, rows)] + 0.7 * rng.normal(size=(rows, D))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


VECTORS = unit(N, 1)
QUERIES = unit(12, 2)


def built(spec: str, vectors: Floats = VECTORS) -> BuiltIndex:
    kind, overrides = registry.parse_index_spec(spec)
    return kind.build(vectors, kind.plan(*vectors.shape, overrides))


def test_distances_and_angles_by_hand() -> None:
    vectors = np.array([[1, 0], [0, 2], [-3, 0], [0, 0]], np.float32)
    query = np.array([1, 0], np.float32)
    assert common.squared_distances(query, vectors).tolist() == [0, 5, 16, 1]
    np.testing.assert_allclose(common.angles(query, vectors), np.radians([0, 90, 180, 90]))
    assert common.nearest(np.array([2.0, 1.0, 1.0, 0.5]), 3).tolist() == [3, 1, 2]
    assert common.recall(np.array([1, 2]), np.array([2, 3])) == 0.5


def test_flat_ranks_everything() -> None:
    view = flat.look(built("flat"), QUERIES[0])
    exact = common.squared_distances(QUERIES[0], VECTORS)
    assert sorted(view.rows) == list(range(N))
    np.testing.assert_allclose(view.distances, exact[view.rows], atol=1e-5)
    assert (np.diff(view.distances) >= 0).all()


def test_flat_ranks_everything_by_its_own_metric() -> None:
    view = flat.look(built("flat-l1"), QUERIES[0])
    exact = np.abs(VECTORS - QUERIES[0]).sum(axis=1)
    assert sorted(view.rows) == list(range(N))
    np.testing.assert_allclose(view.distances, np.sort(exact), atol=1e-4)


def test_a_view_refuses_another_type_and_another_query() -> None:
    with pytest.raises(PlaygroundError, match="type ivf, not flat"):
        ivf.look(built("flat"), VECTORS, QUERIES[0], K)
    with pytest.raises(PlaygroundError, match="32 numbers"):
        flat.look(built("flat"), QUERIES[0, :7])


def test_ivf_cells_are_the_nearest_centroids() -> None:
    view = ivf.look(built("ivf:nlist=16"), VECTORS, QUERIES[0], K)
    to_centroids = ((VECTORS[:, None] - view.centroids[None]) ** 2).sum(-1)
    assert (to_centroids.argmin(1) == view.cells).all()
    assert view.sizes.sum() == N and view.sizes.tolist() == np.bincount(view.cells).tolist()
    from_query = ((QUERIES[0] - view.centroids) ** 2).sum(-1)
    assert view.order.tolist() == np.argsort(from_query).tolist()
    np.testing.assert_allclose(view.cell_distances, np.sort(from_query), atol=1e-5)


def test_ivf_finds_what_its_cells_allow_and_stays_as_it_was() -> None:
    index = built("ivf:nlist=16,nprobe=3")
    before = index.search(QUERIES, K)
    for query in QUERIES:
        view = ivf.look(index, VECTORS, query, K)
        points = ivf.curve(index, view, query)
        assert [point.nprobe for point in points] == list(range(1, 17))
        for point in points:  # a neighbour is found exactly where its cell is visited
            assert point.recall == pytest.approx((view.probes_needed <= point.nprobe).mean())
        assert points[-1].recall == 1.0 and points[-1].scanned == N
    assert common.faiss_object(index, "ivf").nprobe == 1  # FAISS's own default: never set
    after = index.search(QUERIES, K)
    assert (after.ids == before.ids).all() and (after.distances == before.distances).all()


def test_ivf_names_damaged_lists() -> None:
    index = built("ivf:nlist=4")
    raw = common.faiss_object(index, "ivf")
    size = raw.invlists.list_size(0)
    faiss.rev_swig_ptr(raw.invlists.get_ids(0), size)[0] = N + 5
    with pytest.raises(PlaygroundError, match="Build the index again"):
        ivf.look(index, VECTORS, QUERIES[0], K)


@pytest.mark.parametrize("nbits", [64, 24])
def test_lsh_bits_and_hamming_are_those_of_faiss(nbits: int) -> None:
    index = built(f"lsh:nbits={nbits}")
    raw = common.faiss_object(index, "lsh")
    rotation = faiss.vector_to_array(raw.rrot.A).reshape(nbits, D)
    for query in QUERIES:
        view = lsh.look(index, VECTORS, query, K)
        ids, distances = index.search(query[None], N)[0]
        assert view.hamming[ids].tolist() == distances.tolist()
        assert view.order.tolist() == ids.tolist()
        projected = rotation @ query
        sure = np.abs(projected) > 1e-5
        assert (view.query_bits == (projected >= 0))[sure].all()
        rows = np.array([0, 7, 499])
        differing = (view.bits(rows) != view.query_bits).sum(1)
        assert differing.tolist() == view.hamming[rows].tolist()


def test_hamming_follows_the_angle() -> None:
    """Random hyperplanes: the mean over many vectors lies on Charikar's line."""
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(2000, D)).astype(np.float32)
    index = built("lsh:nbits=1024", vectors)
    view = lsh.look(index, vectors, vectors[0] + 0.5 * vectors[1], K)
    expected = lsh.expected_hamming(view.angles, 1024)
    assert abs((view.hamming - expected).mean()) < 4
    assert lsh.expected_hamming(np.array([np.pi / 2]), 64).tolist() == [32]
    assert lsh.deviation(np.array([np.pi / 2]), 64)[0] == pytest.approx(4)  # sqrt(64 / 4)


def test_more_bits_tell_the_angle_better() -> None:
    other = lsh.rebuild(VECTORS, (16, 128, 1024))
    spreads = np.array(
        [[p.spread for p in lsh.compare_bits(other, VECTORS, q, K)] for q in QUERIES]
    ).mean(0)
    assert spreads[0] > 1.5 * spreads[1] > 1.5 * spreads[2]
    points = lsh.compare_bits(other, VECTORS, QUERIES[0], K)
    assert [(p.nbits, p.bytes_per_vector) for p in points] == [(16, 2), (128, 16), (1024, 128)]


def test_rebuilding_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lsh, "MOST_REBUILT", 100)
    other = lsh.rebuild(VECTORS, (16,))
    assert len(set(other.rows.tolist())) == 100 and other.built[16].n == 100
    assert (lsh.rebuild(VECTORS, (16,)).rows == other.rows).all()
    assert len(lsh.compare_bits(other, VECTORS, QUERIES[0], K)) == 1


@pytest.mark.parametrize("spec", ["pq:m=8,nbits=4", "pq:m=4,nbits=8", "pq:m=4,nbits=5"])
def test_pq_table_sums_to_the_distance_of_faiss(spec: str) -> None:
    index = built(spec)
    raw = common.faiss_object(index, "pq")
    for query in QUERIES:
        view = pq.look(index, VECTORS, query)
        ids, distances = index.search(query[None], N)[0]
        np.testing.assert_allclose(view.estimates[ids], distances, atol=1e-4)
        row = int(ids[0])
        assert view.terms(row).sum() == pytest.approx(float(distances[0]), abs=1e-4)
        np.testing.assert_allclose(view.reconstruct(row), raw.reconstruct(row), atol=1e-6)
    assert view.code_bytes == index.code_size
    assert view.compression == 4 * D / index.code_size


def test_pq_keeps_the_nearest_codeword_of_each_part() -> None:
    view = pq.look(built("pq:m=8,nbits=4"), VECTORS, QUERIES[0])
    parts = VECTORS[3].reshape(8, 4)
    apart = ((view.centroids - parts[:, None]) ** 2).sum(-1)
    assert view.codes[3].tolist() == apart.argmin(1).tolist()
    np.testing.assert_allclose(pq.error(view, 3, VECTORS[3]), apart.min(1), atol=1e-6)


@pytest.fixture(scope="module")
def graph() -> hnsw.Graph:
    return hnsw.build(VECTORS, 4)


def test_hnsw_graph_has_faiss_layers(graph: hnsw.Graph) -> None:
    raw = graph.index.hnsw
    assert graph.layers == raw.max_level + 1 > 1
    assert graph.top[graph.entry] == graph.layers - 1
    assert len(graph.nodes(0)) == N > len(graph.nodes(1)) >= 1
    for node in (0, graph.entry):
        assert 1 <= len(graph.links(node, 0)) <= 2 * graph.m
        assert node not in graph.links(node, 0)
    for node in graph.nodes(1):  # links never lead out of their layer
        assert (graph.top[graph.links(int(node), 1)] >= 1).all()


@pytest.mark.parametrize("ef", [1, 4, 16, 64])
@pytest.mark.parametrize("k", [1, 10])
def test_the_replay_ends_where_faiss_ends(graph: hnsw.Graph, ef: int, k: int) -> None:
    stats = faiss.cvar.hnsw_stats
    for query in QUERIES:
        path = hnsw.replay(graph, query, k, ef)
        before = stats.ndis
        nodes, distances = hnsw.search(graph, query, k, ef)
        assert path.found.tolist() == nodes.tolist()
        np.testing.assert_allclose(path.distances, distances, atol=1e-5)
        # FAISS does not count the distance to the entry point.
        assert path.computed - 1 == stats.ndis - before


def test_the_path_leads_down_and_nearer(graph: hnsw.Graph) -> None:
    path = hnsw.replay(graph, QUERIES[0], 1, 1)
    layers = [step.layer for step in path.steps]
    assert layers == sorted(layers, reverse=True)
    assert set(layers) == set(range(graph.layers))
    assert path.steps[0].node == graph.entry
    for layer in range(1, graph.layers):
        distances = [step.distance for step in path.on(layer)]
        assert distances == sorted(distances, reverse=True)


def test_graphs_are_repeatable_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = hnsw.build(VECTORS, 8), hnsw.build(VECTORS, 8)
    assert (first._links == second._links).all() and first.entry == second.entry
    monkeypatch.setattr(hnsw, "MOST_VECTORS", 60)
    small = hnsw.build(VECTORS, 8)
    assert len(small.rows) == 60 and (np.diff(small.rows) > 0).all()
    assert len(hnsw.replay(small, QUERIES[0], 100, 200).found) <= 60
    one = hnsw.build(VECTORS[:1], 4)
    assert hnsw.replay(one, QUERIES[0], 3, 8).found.tolist() == [0]


def test_illegal_settings_are_sentences(graph: hnsw.Graph) -> None:
    with pytest.raises(PlaygroundError, match="M=1 is not legal"):
        hnsw.build(VECTORS, 1)
    with pytest.raises(PlaygroundError, match="efSearch=0 is not legal"):
        hnsw.replay(graph, QUERIES[0], 1, 0)
