"""Measuring indexes: exact truth with ties, simulated distractors, memory, grids, whole runs."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data import store
from data.errors import PlaygroundError
from evaluation.tradeoffs import (
    bare,
    front,
    grid,
    live,
    measure,
    padding,
    questions,
    rows,
    run,
    simulate,
)
from evaluation.tradeoffs.measure import Effort, Truth
from evaluation.tradeoffs.padding import VectorSet
from indexing import registry
from indexing.base import Floats
from indexing.faiss_index import FaissIndex
from indexing.imported import import_descriptors
from scripts import benchmark
from scripts.console import call
from tests.conftest import TOY_LANDMARKS, TOY_VIEWS

SPEC = "imported:name=tiny"
DIM = 16
FAST = Effort(samples=3, seconds=0.1, fewest=1)


def unit(vectors: Floats) -> Floats:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def clustered(groups: int, each: int, dim: int = DIM, seed: int = 0) -> tuple[Floats, list[str]]:
    """Unit vectors around random centres, and the group of each."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((groups, dim))
    vectors = np.repeat(centres, each, axis=0) + 0.4 * rng.standard_normal((groups * each, dim))
    return unit(vectors), [f"g{i}" for i in range(groups) for _ in range(each)]


@pytest.fixture
def tiny(toy_collection: store.Collection, tmp_path: Path) -> store.Collection:
    """The toy collection with descriptors of 16 numbers: photos and queries of 5 landmarks."""
    members = toy_collection
    vectors, _ = clustered(TOY_LANDMARKS, TOY_VIEWS + 1)
    of = {
        f"toy-{landmark}-{view:02d}": vectors[landmark * (TOY_VIEWS + 1) + view]
        for landmark in range(TOY_LANDMARKS)
        for view in range(TOY_VIEWS + 1)
    }
    files = {"photos": [p.id for p in members.photos], "queries": [q.id for q in members.queries]}
    for name, ids in files.items():
        np.save(tmp_path / f"{name}.npy", np.stack([of[one.removeprefix("q-")] for one in ids]))
        (tmp_path / f"{name}.txt").write_text("\n".join(ids), encoding="utf-8")
    import_descriptors(
        "toy",
        "tiny",
        tmp_path / "photos.npy",
        ids=tmp_path / "photos.txt",
        queries=tmp_path / "queries.npy",
        query_ids=tmp_path / "queries.txt",
    )
    return members


def a_set(vectors: Floats, photos: int | None = None) -> VectorSet:
    """Vectors in memory as a set; the photos are called p0, p1 and so on."""
    count = len(vectors) if photos is None else photos
    ids = tuple(f"p{i}" for i in range(count))
    return VectorSet("toy", SPEC, vectors, ids, "", len(vectors) - count, None, "v", "v")


def ask(vectors: Floats, own: list[int] | None = None) -> questions.Questions:
    count = len(vectors)
    return questions.Questions(
        tuple(f"q{i}" for i in range(count)),
        np.ascontiguousarray(vectors, np.float32),
        np.asarray(own if own is not None else [-1] * count, np.int64),
        (None,) * count,
    )


# Exact search and recall


def test_exact_neighbours_by_hand() -> None:
    vectors = np.array([[0, 0], [3, 0], [1, 0], [0, 1], [2, 0]], np.float32)
    squared, found = live.nearest(vectors, np.zeros((1, 2), np.float32), 4)
    assert found.tolist() == [[0, 2, 3, 4]]  # equally near ones by row
    assert squared.tolist() == [[0, 1, 1, 4]]


def test_exact_neighbours_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((100, 8)).astype(np.float32)
    queries = rng.standard_normal((3, 8)).astype(np.float32)
    apart = ((queries[:, None].astype(np.float64) - vectors) ** 2).sum(axis=2)
    monkeypatch.setattr(live, "_BLOCK", 7)
    squared, found = live.nearest(vectors, queries, 20)
    assert found.tolist() == np.argsort(apart, axis=1, kind="stable")[:, :20].tolist()
    assert squared == pytest.approx(np.sort(apart, axis=1)[:, :20])


def test_recall_tolerates_ties_by_hand() -> None:
    # Rows 1, 2 and 3 are at distance 1 of the query, row 4 at 4: any two of the three are right.
    vectors = np.array([[0, 0], [1, 0], [0, 1], [-1, 0], [2, 0]], np.float32)
    query = np.zeros((1, 2), np.float32)
    asked = ask(query)
    truth = run.exact_truth(a_set(vectors), asked)
    assert truth.distances[0].tolist() == [0, 1, 1, 1, 4]

    def recall(k: int, found: list[int]) -> float:
        return measure.recall_at(k, [np.array(found)], vectors, query, truth)

    assert recall(3, [0, 1, 2]) == recall(3, [0, 3, 2]) == 1
    assert recall(3, [0, 4, 2]) == pytest.approx(2 / 3)
    assert recall(1, [3]) == 0
    assert recall(10, [0, 1, 2, 3, 4]) == 1  # there are only 5


def test_the_own_photo_is_left_out() -> None:
    vectors = np.eye(4, dtype=np.float32)
    asked = ask(vectors[:2], own=[0, 1])
    truth = run.exact_truth(a_set(vectors), asked)
    assert [one.tolist() for one in truth.distances] == [[2, 2, 2], [2, 2, 2]]
    build = grid.one_build("flat", 4, 4)
    built = live.build(a_set(vectors), "flat").built
    assert isinstance(built, FaissIndex)
    subject = measure.Subject(build, built, 0, 0, 0, 0, 0, "")
    assert [one.tolist() for one in measure.answers(subject, {}, asked, 2)] == [[1, 2], [0, 2]]


def test_map_counts_distractors_as_wrong() -> None:
    from evaluation.base import Truth as Judged

    vectors = a_set(np.eye(4, dtype=np.float32), photos=2)
    asked = dataclasses.replace(
        ask(np.eye(4, dtype=np.float32)[:1]), truths=(Judged(frozenset({"p0", "p1"})),)
    )
    # Ranks: p0 right, a distractor wrong, p1 right: (1 / 1 + 2 / 3) / 2.
    assert asked.mean_ap([np.array([0, 3, 1])], vectors) == pytest.approx(5 / 6)


# Simulated distractors


def test_simulated_vectors_are_the_same_every_time_and_unit() -> None:
    vectors, labels = clustered(6, 8)
    one, two = simulate.fit(vectors, labels), simulate.fit(vectors, labels)
    first = one.block(3)
    assert first.shape == (simulate.BLOCK, DIM) and first.dtype == np.float32
    assert np.array_equal(first, two.block(3))
    assert not np.array_equal(first, one.block(4))
    assert np.linalg.norm(first, axis=1) == pytest.approx(1, abs=1e-5)
    other = simulate.fit(vectors, labels, seed=1)
    assert not np.array_equal(first, other.block(3))


def test_fewer_simulated_vectors_are_the_start_of_more() -> None:
    vectors, labels = clustered(6, 8)
    model = simulate.fit(vectors, labels)
    few = np.concatenate(list(model.blocks(100)))
    many = np.concatenate(list(model.blocks(simulate.BLOCK + 50)))
    assert len(few) == 100 and len(many) == simulate.BLOCK + 50
    assert np.array_equal(few, many[:100])


def test_lengths_are_kept_where_vectors_are_not_unit() -> None:
    vectors, labels = clustered(6, 8)
    model = simulate.fit(vectors * np.float32(5), labels)
    assert not model.unit
    assert 3 < np.linalg.norm(model.block(0), axis=1).mean() < 7


def test_simulated_neighbours_are_nearer_to_real_ones_than_noise_is() -> None:
    vectors, labels = clustered(40, 8)
    model = simulate.fit(vectors, labels)
    drawn = simulate.check(vectors, model.block(1), labels)
    noise = unit(np.random.default_rng(5).standard_normal(vectors.shape))
    random = simulate.check(vectors, noise, labels)
    assert drawn.ks_among < 0.3 < random.ks_among
    assert drawn.compared == len(vectors)
    assert "Kolmogorov" in drawn.sentence()


def test_the_check_of_a_set_against_itself_finds_nothing() -> None:
    vectors, _ = clustered(20, 5)
    found = simulate.check(vectors, vectors)
    assert found.ks_among == 0
    assert found.lid_real == found.lid_simulated


def test_intrinsic_dimension_by_hand() -> None:
    # -1 / mean(log 1/2, log 1) = 2 / log 2
    assert simulate.intrinsic_dimension(np.array([[1.0, 2.0]])) == pytest.approx(2 / np.log(2))
    assert np.isnan(simulate.intrinsic_dimension(np.array([[1.0, 1.0], [0.0, 1.0]])))


def test_intrinsic_dimension_of_a_plane_is_about_two() -> None:
    points = np.random.default_rng(0).uniform(size=(2_000, 2)).astype(np.float32)
    distances = simulate._distances(points, points, 21)[:, 1:]
    assert simulate.intrinsic_dimension(distances) == pytest.approx(2, abs=0.25)


def test_too_few_vectors_to_simulate_from() -> None:
    with pytest.raises(PlaygroundError, match="too few"):
        simulate.fit(np.eye(4, dtype=np.float32))


def test_without_landmarks_groups_are_found() -> None:
    vectors, _ = clustered(6, 8)
    model = simulate.fit(vectors, [None] * len(vectors))
    assert len(model.means) == len(vectors) // 8


# Sizes, grids, memory


@pytest.mark.parametrize(
    ("text", "size"), [("real", None), ("10k", 10_000), ("1M", 10**6), ("250000", 250_000)]
)
def test_sizes(text: str, size: int | None) -> None:
    assert padding.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "k", "-5", "1.5k", "0", "10g", "²"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(PlaygroundError, match="Legal"):
        padding.parse_size(text)


def test_factory_strings_of_users() -> None:
    found = grid.user_specs("default flat ivf:nlist=8,nprobe=2 HNSW16 OPQ4_8,IVF4,PQ4x4fs,RFlat")
    assert found == [
        "default",
        "flat",
        "ivf:nlist=8,nprobe=2",
        "factory:HNSW16",
        "factory:OPQ4_8,IVF4,PQ4x4fs,RFlat",
    ]
    with pytest.raises(PlaygroundError):
        grid.builds(1_000, DIM, grid.user_specs("NoSuchIndex9"))


def test_one_build_serves_many_searches() -> None:
    (build,), _ = grid.builds(1_000, DIM, ["ivf:nlist=20"])
    assert build.spec == "ivf:nlist=20"
    # The default, an eighth but at least 4, is among the powers of two up to nlist.
    assert [one["nprobe"] for one in build.searches] == [1, 2, 4, 8, 16]
    (given,), _ = grid.builds(1_000, DIM, ["ivf:nlist=20,nprobe=3"])
    assert given.searches == ({"nprobe": 3},)
    (both,), _ = grid.builds(1_000, DIM, ["ivf:nlist=20,nprobe=3", "ivf:nlist=20,nprobe=5"])
    assert both.searches == ({"nprobe": 3}, {"nprobe": 5})
    (refined,), _ = grid.builds(1_000, DIM, ["factory:IVF4,PQ4x4fs,RFlat"], quick=True)
    assert refined.searches == ({"nprobe": 1, "k_factor": 10}, {"nprobe": 4, "k_factor": 10})


def test_the_default_grid_has_every_kind_and_is_legal() -> None:
    for n, dim in ((60, 16), (10_000, 512), (100_000, 3_780)):
        for quick in (True, False):
            builds, left_out = grid.builds(n, dim, None, quick)
            specs = [registry.parse_index_spec(build.spec) for build in builds]
            families = {kind.family(overrides) for kind, overrides in specs}
            assert {"flat", "ivf", "lsh", "pq", "hnsw", "pq+refine"} <= families
            assert left_out == []


def test_memory_is_worked_out_by_hand() -> None:
    n, dim = 1_000_000, 512
    sizes = {
        spec: grid.one_build(spec, n, dim).bytes
        for spec in ("flat", "ivf:nlist=1000", "lsh:nbits=256", "pq:m=64", "factory:PQ64x4fs")
    }
    assert sizes["flat"] == 4 * 512 * n
    assert sizes["ivf:nlist=1000"] == (4 * 512 + 8) * n + 4 * 512 * 1_000
    assert sizes["lsh:nbits=256"] == 32 * n + 4 * 512 * 256
    assert sizes["pq:m=64"] == 64 * n + 4 * 512 * 256
    assert 32 * n <= sizes["factory:PQ64x4fs"] < 33 * n


def test_what_does_not_fit_is_refused_with_what_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(padding, "free_memory", lambda: 10**9)
    builds, _ = grid.builds(1_000_000, 512, ["flat", "lsh:nbits=256"])
    with pytest.raises(PlaygroundError) as refused:
        grid.check_memory(builds, 1_000_000, 512, 240, "demo")
    text = str(refused.value)
    assert "2.0 GB" in text and "1.0 GB may be asked for" in text
    assert "up to 480,000 vectors" in text  # 10^9 bytes / 2,048
    assert "--indexes 'lsh:nbits=256'" in text
    grid.check_memory(builds[1:], 1_000_000, 512, 240, "demo")


def test_a_full_disk_is_refused_before_anything_is_written(
    tiny: store.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = dataclasses.make_dataclass("Usage", ["total", "used", "free"])
    monkeypatch.setattr(padding.shutil, "disk_usage", lambda _: usage(1, 1, 64_000))
    with pytest.raises(PlaygroundError, match=r"up to 900 vectors"):
        padding.open_set("toy", SPEC, 5_000)
    assert not padding.set_folder("toy", SPEC, 5_000).joinpath("manifest.json").exists()


# Vector sets


def test_padded_sets_can_be_deleted_and_nothing_else_is(tiny: store.Collection) -> None:
    for n in (100, 200):
        padding.open_set("toy", SPEC, n)
    points = rows.points_path("toy", SPEC)
    points.write_text("kept")
    assert padding.clear("toy", SPEC) > 4 * 16 * (100 + 200)
    assert not padding.set_folder("toy", SPEC, 100).exists()
    assert points.read_text() == "kept"
    assert padding.clear("toy", SPEC) == 0
    assert padding.open_set("toy", SPEC, 100).n == 100  # made again


def test_real_size_is_the_collection_itself(tiny: store.Collection) -> None:
    found = padding.open_set("toy", SPEC)
    assert (found.n, found.photos, found.simulated, found.padding) == (30, 30, 0, "")
    assert found.ids == tuple(photo.id for photo in tiny.photos)


def test_padded_sets_begin_with_the_photos_and_are_kept(tiny: store.Collection) -> None:
    own = padding.open_set("toy", SPEC)
    first = padding.open_set("toy", SPEC, 100)
    again = padding.open_set("toy", SPEC, 100)
    assert (first.n, first.photos, first.simulated) == (100, 30, 70)
    assert first.padding == "70 simulated" and first.plausibility is not None
    assert np.array_equal(first.vectors[:30], own.vectors)
    assert np.linalg.norm(first.vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert first.version == again.version != own.version
    assert first.photo_id(29) == tiny.photos[29].id and first.photo_id(30) is None


def test_real_distractors_come_before_simulated_ones(
    tiny: store.Collection, tmp_path: Path
) -> None:
    folder = tmp_path / "shards"
    folder.mkdir()
    real, _ = clustered(4, 5, seed=9)
    np.save(folder / "a.1.npy", 3 * real[:12])  # not unit: brought to length 1 like the photos
    np.save(folder / "a.2.npy", real[12:])
    found = padding.open_set("toy", SPEC, 60, f"shards:{folder}")
    assert found.vectors[30:50] == pytest.approx(real, abs=1e-6)
    assert found.simulated == 10
    assert found.padding == "20 feature files of shards and 10 simulated" or "20" in found.padding
    all_real = padding.open_set("toy", SPEC, 45, f"shards:{folder}")
    assert all_real.simulated == 0 and all_real.plausibility is None


@pytest.mark.parametrize(
    ("n", "distractors", "words"),
    [
        (10, "simulated", "more than the 10"),
        (50, "elsewhere", "names no distractors"),
        (50, "collection:toy", "its own distractors"),
        (50, "collection:none", "none"),
        (50, "shards:/nowhere", "nowhere"),
    ],
)
def test_sets_that_cannot_be(tiny: store.Collection, n: int, distractors: str, words: str) -> None:
    with pytest.raises(PlaygroundError, match=words):
        padding.open_set("toy", SPEC, n, distractors)


# One index, live


def test_search_parameters_do_not_change_the_shared_index() -> None:
    vectors, _ = clustered(30, 10)
    index = live.build(a_set(vectors), "ivf:nlist=16,nprobe=4")
    query = unit(vectors[:1] + 0.3)[0]
    before = index.answer(query, 20)
    narrow = index.answer(query, 20, {"nprobe": 1})
    everything = index.answer(query, 20, {"nprobe": 16})
    after = index.answer(query, 20)
    assert before.rows.tolist() == after.rows.tolist()
    built = index.built
    assert isinstance(built, FaissIndex) and built.inspect().nprobe == 1  # FAISS's default
    exact = live.exact(a_set(vectors), query, 20)
    assert everything.rows.tolist() == exact.rows.tolist()
    assert live.compare(everything, exact) == live.Comparison(1.0, (), ())
    lost = live.compare(narrow, exact)
    assert lost.recall < 1
    assert set(lost.missing) == set(exact.rows.tolist()) - set(narrow.rows.tolist())
    with pytest.raises(PlaygroundError, match="Legal"):
        index.answer(query, 20, {"nprobe": 17})


def test_equally_near_answers_are_neither_missing_recall_nor_wrong() -> None:
    vectors = a_set(np.array([[1, 0], [-1, 0], [5, 0]], np.float32))
    query = np.zeros(2, np.float32)
    exact = live.exact(vectors, query, 1)
    other = dataclasses.replace(exact, rows=np.array([1]))
    assert exact.rows.tolist() == [0]
    assert live.compare(other, exact) == live.Comparison(1.0, (0,), ())


def test_construction_effort_of_a_graph_is_a_build_parameter() -> None:
    vectors, _ = clustered(30, 10)
    few = live.build(a_set(vectors), "factory:HNSW4;ef_construction=4")
    many = live.build(a_set(vectors), "factory:HNSW4;ef_construction=200")
    assert few.spec == "factory:HNSW4;ef_construction=4"
    for index, wanted in ((few, 4), (many, 200)):
        assert isinstance(index.built, FaissIndex)
        assert index.built.inspect().hnsw.efConstruction == wanted
    with pytest.raises(PlaygroundError, match="ef_construction"):
        live.build(a_set(vectors), "factory:PQ4x4fs;ef_construction=4")


# Distances


def test_distances_are_counted_or_known() -> None:
    vectors, _ = clustered(30, 10)
    asked = ask(vectors[:7])
    whole = a_set(vectors)
    for spec, search, expected in (
        ("flat", {}, 300.0),
        ("ivf:nlist=10", {"nprobe": 10}, 310.0),  # all vectors and all centroids
        ("factory:PQ4x4fs,RFlat", {"k_factor": 5}, 350.0),  # and 50 candidates again
    ):
        built = live.build(whole, spec).built
        assert isinstance(built, FaissIndex)
        subject = measure.Subject(grid.one_build(spec, 300, DIM), built, 0, 0, 0, 0, 0, "")
        assert measure.count_distances(subject, search, asked)[0] == expected
    graph = live.build(whole, "factory:HNSW8").built
    assert isinstance(graph, FaissIndex)
    subject = measure.Subject(grid.one_build("factory:HNSW8", 300, DIM), graph, 0, 0, 0, 0, 0, "")
    few, how = measure.count_distances(subject, {"ef_search": 10}, asked)
    more, _ = measure.count_distances(subject, {"ef_search": 200}, asked)
    assert how == "counted" and 0 < few < more


# Whole runs


def measured(**options: Any) -> run.Outcome:
    given: dict[str, Any] = {"specs": ["flat", "ivf:nlist=8"], "repeats": 2, "effort": FAST}
    return run.measure_grid("toy", SPEC, [None, 200], **{**given, **options})


def test_a_run_measures_keeps_and_does_not_repeat(tiny: store.Collection) -> None:
    steps: list[tuple[int, int]] = []
    first = measured(progress=lambda done, total, _: steps.append((done, total)))
    assert steps[-1][0] == steps[-1][1]
    # Flat, and nprobe 1, 2, 4, 8, at both sizes.
    assert (len(first.points), first.measured) == (10, 10)
    by_setting = {(point.n, point.setting): point for point in first.points}
    for n in (30, 200):
        flat = by_setting[n, "flat"]
        assert flat.recall == {1: 1.0, 10: 1.0, 100: 1.0}
        assert flat.map100 == flat.map100_exact
        assert by_setting[n, "ivf:nlist=8,nprobe=8"].recall[10] == 1
        assert by_setting[n, "ivf:nlist=8,nprobe=1"].recall[100] < 1
        assert flat.bytes_per_photo == pytest.approx(4 * DIM, abs=4)
        assert flat.repeats == 2 and flat.queries == 5
    assert by_setting[30, "flat"].simulated == 0 and by_setting[200, "flat"].simulated == 170
    kept = rows.load_points("toy", SPEC)
    assert {p.key for p in kept} == {p.key for p in first.points}
    assert all(point.stale == "" for point in kept)
    second = measured()
    assert second.measured == 0
    assert {p.key for p in second.points} == {p.key for p in first.points}
    assert measured(specs=["flat"], force=True).measured == 2
    front_points = front.pareto_front([p for p in kept if p.n == 200], "distances")
    assert all(p.recall[10] <= 1 for p in front_points) and front_points


def test_what_was_measured_before_a_kill_is_kept(tiny: store.Collection) -> None:
    class KillError(Exception):
        pass

    def kill(done: int, total: int, text: str) -> None:
        # Builds are steps, too: the third timed setting of the first size.
        if done == 2 + 3:
            raise KillError

    with pytest.raises(KillError):
        measured(repeats=1, progress=kill)
    assert len(rows.load_points("toy", SPEC)) == 3
    rest = measured(repeats=1)
    assert (len(rest.points), rest.measured) == (10, 7)
    assert list(rows.points_path("toy", SPEC).parent.glob("scratch-*")) == []


def test_points_of_older_vectors_say_so(tiny: store.Collection, tmp_path: Path) -> None:
    measured(specs=["flat"], repeats=1)
    again = np.load(tmp_path / "photos.npy")[::-1]
    np.save(tmp_path / "photos.npy", again)
    import_descriptors(
        "toy",
        "tiny",
        tmp_path / "photos.npy",
        ids=tmp_path / "photos.txt",
        queries=tmp_path / "queries.npy",
        query_ids=tmp_path / "queries.txt",
    )
    kept = rows.load_points("toy", SPEC)
    assert len(kept) == 2 and all("changed" in point.stale for point in kept)


def test_what_takes_too_long_to_build_is_left_out(
    tiny: store.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "expected_seconds", lambda build, _: 900.0)
    outcome = measured(specs=["factory:HNSW8"], repeats=1)
    assert outcome.points == []
    assert "15 minutes" in outcome.left_out[0] and "--build-limit 1350" in outcome.left_out[0]


def test_sizes_below_the_collection_are_left_out(tiny: store.Collection) -> None:
    with pytest.raises(PlaygroundError, match="left out"):
        run.measure_grid("toy", SPEC, [10])
    outcome = run.measure_grid("toy", SPEC, [10, None], specs=["flat"], repeats=1, effort=FAST)
    assert len(outcome.points) == 1 and len(outcome.left_out) == 1


def test_collections_without_queries_ask_with_their_photos(
    tiny: store.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "_chosen", lambda members, _: list(members.photos))
    asked = questions.ask(padding.open_set("toy", SPEC))
    assert asked.own.tolist() == list(range(30))
    assert all(
        truth is not None and len(truth.positives) == TOY_VIEWS - 1 for truth in asked.truths
    )


def test_plain_faiss_finds_the_same(tiny: store.Collection) -> None:
    vectors = padding.open_set("toy", SPEC, 300)
    specs = ["flat", "ivf:nlist=8,nprobe=2", "lsh:nbits=64", "pq:m=4,nbits=4"]
    specs += ["factory:HNSW8;ef_search=20", "factory:PQ4x4fs,RFlat;k_factor=5"]
    specs += ["factory:IVF8,PQ4x4fs,RFlat;k_factor=5,nprobe=2"]
    for pair in bare.compare(vectors, specs, rounds=1):
        assert pair.recall == pytest.approx(pair.bare_recall), pair
        assert pair.latency_ms > 0 and pair.bare_latency_ms > 0


def test_truth_has_a_tolerance_in_the_scale_of_the_vectors() -> None:
    small = run.exact_truth(a_set(np.eye(3, dtype=np.float32)), ask(np.eye(3, dtype=np.float32)))
    large = np.float32(100) * np.eye(3, dtype=np.float32)
    assert run.exact_truth(a_set(large), ask(large)).tolerance == pytest.approx(
        1e4 * small.tolerance
    )
    assert isinstance(small, Truth)


def test_the_command(
    tiny: store.Collection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["index", "--collection", "toy", "--extractor", SPEC, "--sizes", "real,100", "--quick"]
    words += ["--indexes", "flat ivf:nlist=4", "--factory", "PQ4x4fs,RFlat", "--repeats", "1"]
    html = tmp_path / "report.html"
    given = [*words, "--tune", "recall@10>=0.95", "--html", str(html), "--json", "--quiet"]
    assert call(benchmark.main, given) == 0
    found = json.loads(capsys.readouterr().out)
    assert {row["index"] for row in found["rows"]} == {
        "flat",
        "ivf:nlist=4",
        "factory:PQ4x4fs,RFlat",
    }
    assert found["choices"]["100"]["setting"] is not None
    assert "<svg" in html.read_text(encoding="utf-8")
    assert call(benchmark.main, words) == 0
    assert "recall@10" in capsys.readouterr().out
    assert call(benchmark.main, [*words, "--tune", "fast"]) == 2
    assert "is not a constraint" in capsys.readouterr().err


def test_local_descriptors_are_refused(
    tiny: store.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = padding.real_vectors("toy", SPEC)
    local = dataclasses.replace(own, offsets=np.array([0, 30]))
    monkeypatch.setattr(padding, "load_vectors", lambda *_: (local, None))
    with pytest.raises(PlaygroundError, match="one vector per photo"):
        padding.real_vectors("toy", SPEC)
