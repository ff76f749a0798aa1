"""Indexes: exactness, small collections, determinism, sharing, saved files."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from data.errors import PlaygroundError
from data.paths import PROJECT_ROOT
from indexing.base import BuiltIndex, Floats, SearchHits, manifest_of
from indexing.faiss_settings import (
    BLAS_THRESHOLD,
    building,
    coarse_clustering,
    coarse_points,
    faiss,
    reason,
    search_threads,
    threads,
)
from indexing.registry import parse_index_spec

SPECS = [
    "flat",
    "ivf",
    "lsh",
    "lsh:thresholds=1",
    "pq",
    "factory:HNSW16",
    "factory:SQ8",
    "factory:PQ8x4fs,RFlat",
    "factory:OPQ8_16,IVF4,PQ8x4fs,RFlat",
    "factory:RR,RaBitQfs,RFlat",
]


def unit(n: int, d: int, seed: int = 0) -> Floats:
    rows = np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def build(spec: str, vectors: Floats) -> BuiltIndex:
    kind, overrides = parse_index_spec(spec)
    n, d = vectors.shape
    return kind.build(vectors, kind.plan(n, d, overrides))


def equal(a: SearchHits, b: SearchHits) -> bool:
    return (
        np.array_equal(a.ids, b.ids)
        and np.array_equal(a.distances, b.distances)
        and np.array_equal(a.offsets, b.offsets)
    )


def brute(vectors: Floats, query: Floats, k: int) -> tuple[list[int], list[float]]:
    squared = ((vectors.astype(np.float64) - query.astype(np.float64)) ** 2).sum(axis=1)
    order = np.lexsort((np.arange(len(vectors)), squared))[:k]
    return order.tolist(), squared[order].tolist()


# -- values that can be checked by hand --------------------------------------------------------


def test_flat_by_hand() -> None:
    vectors = np.array([[1, 0], [0, 1], [-1, 0], [0.6, 0.8]], np.float32)
    built = build("flat", vectors)
    hits = built.search(np.array([[1, 0]], np.float32), 10)
    ids, distances = hits[0]
    assert ids.tolist() == [0, 3, 1, 2]
    assert distances.tolist() == pytest.approx([0, 0.8, 2, 4])
    assert built.scores(distances).tolist() == pytest.approx([1, 0.6, 0, -1])
    assert built.code_size == 8
    assert built.bytes_per_vector == pytest.approx(built.size_bytes / 4)


def test_lsh_scores_by_hand() -> None:
    built = build("lsh:nbits=64", unit(50, 8))
    assert built.distance == "hamming"
    scores = built.scores(np.array([0, 16, 32, 64], np.float32))
    assert scores.tolist() == pytest.approx([1, np.sqrt(0.5), 0, -1], abs=1e-6)


def test_lsh_estimates_the_cosine() -> None:
    vectors = unit(300, 32)
    built = build("lsh:nbits=1024", vectors)
    hits = built.search(vectors[:5], 300)
    cosines = np.einsum("ij,ij->i", vectors[hits.queries], vectors[hits.ids])
    assert np.abs(built.scores(hits.distances) - cosines).max() < 0.25


@pytest.mark.parametrize("batch", [1, 40])
@pytest.mark.parametrize("k", [1, 7, 120])
def test_flat_equals_brute_force(batch: int, k: int) -> None:
    vectors, queries = unit(500, 24), unit(batch, 24, 1)
    for query, (ids, distances) in zip(
        queries, build("flat", vectors).search(queries, k), strict=True
    ):
        wanted, squared = brute(vectors, query, k)
        assert ids.tolist() == wanted
        assert distances == pytest.approx(squared, abs=1e-5)


@pytest.mark.parametrize("spec", ["flat", "ivf:nlist=6,nprobe=6", "factory:IVF6,Flat;nprobe=6"])
def test_ties_go_to_the_lowest_id(spec: str) -> None:
    """Small whole numbers: many equal distances, all exact."""
    vectors = np.random.default_rng(0).integers(0, 2, (400, 5)).astype(np.float32)
    built = build(spec, vectors)
    for k in (1, 3, 20, 150, 400):
        for query, (ids, _) in zip(vectors[:20], built.search(vectors[:20], k), strict=True):
            assert ids.tolist() == brute(vectors, query, k)[0]


def test_lsh_ties_go_to_the_lowest_id() -> None:
    vectors = unit(400, 6)
    built = build("lsh:nbits=16", vectors)
    everything = built.search(vectors[:10], 400)
    for k in (1, 5, 120):
        for (some, _), (ids, _) in zip(built.search(vectors[:10], k), everything, strict=True):
            assert some.tolist() == ids[:k].tolist()


def test_ivf_with_all_lists_equals_flat() -> None:
    vectors, queries = unit(2000, 16), unit(30, 16, 1)
    exact = build("flat", vectors).search(queries, 50)
    built = build("ivf:nlist=40", vectors)
    assert np.array_equal(built.search(queries, 50, {"nprobe": 40}).ids, exact.ids)
    found = [
        sum(len(np.intersect1d(a, b)) for (a, _), (b, _) in zip(part, exact, strict=True))
        for part in (built.search(queries, 50, {"nprobe": p}) for p in (1, 5, 20, 40))
    ]
    assert found == sorted(found)
    assert found[-1] == 30 * 50


def test_lsh_ignores_lengths() -> None:
    vectors, queries = unit(500, 16), unit(20, 16, 1)
    scale = np.random.default_rng(2).uniform(0.1, 50, (500, 1)).astype(np.float32)
    one = build("lsh", vectors).search(queries, 100)
    other = build("lsh", vectors * scale).search(queries, 100)
    assert np.array_equal(one.ids, other.ids)


# -- nothing but real hits ---------------------------------------------------------------------


def test_missing_neighbours_are_left_out() -> None:
    vectors = unit(300, 8)
    hits = build("ivf:nlist=30", vectors).search(vectors[:20], 100, {"nprobe": 1})
    assert (hits.ids >= 0).all()
    assert (hits.ids < 300).all()
    counts = np.diff(hits.offsets)
    assert counts.min() >= 1
    assert counts.max() < 100
    assert [len(ids) for ids, _ in hits] == counts.tolist()
    assert np.isfinite(hits.distances).all()
    assert hits.distances.max() < 5
    assert hits.queries.tolist() == np.repeat(np.arange(20), counts).tolist()
    with pytest.raises(IndexError):
        hits[20]


def test_padding_is_removed_and_rows_are_sorted() -> None:
    big = np.finfo(np.float32).max
    hits = SearchHits.from_padded(
        np.array([[2, 1, 1, big], [big, big, big, big]], np.float32),
        np.array([[5, 9, 4, -1], [-1, -1, -1, -1]]),
    )
    assert hits[0][0].tolist() == [4, 9, 5]
    assert hits[0][1].tolist() == [1, 1, 2]
    assert len(hits) == 2
    assert hits[1][0].tolist() == []


@pytest.mark.parametrize("spec", ["flat", "ivf", "lsh", "pq"])
def test_any_small_number_of_vectors(spec: str, capfd: pytest.CaptureFixture[str]) -> None:
    for n in [*range(1, 61), 200, 700]:
        vectors = unit(n, 24)
        built = build(spec, vectors)
        hits = built.search(vectors[:3], n + 5)
        assert len(hits) == min(3, n)
        assert (hits.ids >= 0).all()
        assert (hits.ids < n).all()
        if spec != "ivf":  # probes a part of its lists
            assert np.diff(hits.offsets).tolist() == [n] * min(3, n)
        if spec == "flat":
            assert hits[0][0][0] == 0
    assert capfd.readouterr() == ("", "")  # FAISS prints no warnings about clustering


@pytest.mark.parametrize("spec", SPECS)
def test_odd_collections(spec: str) -> None:
    duplicates = np.repeat(unit(3, 16), 40, axis=0)
    for vectors in (duplicates, np.zeros((120, 16), np.float32)):
        hits = build(spec, vectors).search(vectors[:2], 5)
        assert len(hits) == 2
        assert (hits.ids >= 0).all()
        assert np.isfinite(hits.distances).all()


@pytest.mark.parametrize("spec", SPECS)
def test_no_queries_and_one_query(spec: str) -> None:
    built = build(spec, unit(100, 16))
    nothing = built.search(np.empty((0, 16), np.float32), 3)
    assert len(nothing) == 0
    assert nothing.ids.dtype == np.int64
    both = built.search(unit(2, 16, 1), 3)
    assert built.search(unit(2, 16, 1)[:1], 3)[0][0].tolist() == both[0][0].tolist()


# -- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", SPECS)
def test_refusals_name_the_value(spec: str) -> None:
    kind, overrides = parse_index_spec(spec)
    with pytest.raises(PlaygroundError, match="n is 0"):
        kind.plan(0, 16, overrides)
    with pytest.raises(PlaygroundError, match="Legal"):
        kind.plan(100, 16, {**overrides, "bogus": 1})
    plan = kind.plan(100, 16, overrides)
    bad = unit(100, 16)
    bad[7, 3] = np.nan
    with pytest.raises(PlaygroundError, match="row 7"):
        kind.build(bad, plan)
    with pytest.raises(PlaygroundError, match="float64"):
        kind.build(unit(100, 16).astype(np.float64), plan)
    built = kind.build(unit(100, 16), plan)
    with pytest.raises(PlaygroundError, match="16 numbers"):
        built.search(unit(1, 8), 3)
    with pytest.raises(PlaygroundError, match="k is 0"):
        built.search(unit(1, 16), 0)
    with pytest.raises(PlaygroundError, match="bogus"):
        built.search(unit(1, 16), 1, {"bogus": 1})
    with pytest.raises(PlaygroundError, match="NaN"):
        built.search(bad[7:8], 1)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("ivf:nlist=0", "1 to 1000"),
        ("ivf:nlist=1001", "1 to 1000"),
        ("ivf:nlist=10,nprobe=11", "1 to 10"),
        ("ivf:nlist=x", "1 to 1000"),
        ("lsh:nbits=12", "multiples of 8"),
        ("lsh:nbits=0", "8 to"),
        ("pq:m=7", "1, 2, 4, 8, 16"),
        ("pq:nbits=10", "1 to 9"),
        ("flat:nprobe=3", "none"),
        ("factory:bogus", "could not parse"),
        ("factory:PQ7", "1, 2, 4, 8, 16"),
        ("factory:PQ7,RFlat", "divisors of 16"),
        ("factory:PQ8x12", "at most 9 bits"),
        ("factory:IVF5000,Flat", "1 to 1000"),
        ("factory:IVF999999999999,Flat", "1 to 1000"),
        ("factory:HNSW0", "2 to 256"),  # by itself it would end the process
        ("factory:NSG4", "HNSW32"),  # by itself it would never end
        ("factory:PCA32,Flat", "PCA1 to PCA16"),
        ("factory:PCA99999,Flat", "1 to 16384"),
        ("factory:IDMap,Flat", "row numbers"),
        ("factory:LSH", "'lsh'"),
        ("factory:Flat;nprobe=2", "none"),
        ("factory:HNSW8;nprobe=2", "ef_search"),
        ("factory:Flat'", "Examples"),
    ],
)
def test_illegal_parameters(spec: str, words: str) -> None:
    kind, overrides = parse_index_spec(spec)
    with pytest.raises(PlaygroundError, match=r"Legal|Examples") as caught:
        kind.plan(1000, 16, overrides)
    assert words in str(caught.value)


def test_too_large_for_the_memory() -> None:
    kind, overrides = parse_index_spec("factory:Flat")
    with pytest.raises(PlaygroundError, match="half of this machine's memory"):
        kind.plan(10**12, 512, overrides)


# -- plans -------------------------------------------------------------------------------------


def test_plans_adapt_and_say_so() -> None:
    ivf, _ = parse_index_spec("ivf")
    small = ivf.plan(1000, 128)
    assert small.build == {"nlist": 25}
    assert small.search == {"nprobe": 4}
    assert "25 instead of FAISS's guideline 4 sqrt(n) = 126" in small.notes[0]
    large = ivf.plan(1_000_000, 128)
    assert large.build == {"nlist": 4000}
    assert large.search == {"nprobe": 64}
    assert not large.notes
    assert ivf.plan(1, 128).build == {"nlist": 1}
    assert "39 per list" in ivf.plan(100, 8, {"nlist": 50}).notes[0]

    pq, _ = parse_index_spec("pq")
    assert pq.plan(10_000, 512).build == {"m": 64, "nbits": 8}
    assert pq.plan(10_000, 512).notes == ()
    few = pq.plan(1000, 512)
    assert few.build == {"m": 64, "nbits": 4}
    assert "4 instead of 8" in few.notes[0]
    assert pq.plan(3000, 512).build["nbits"] == 6
    assert pq.plan(1, 512).build["nbits"] == 1
    assert [pq.plan(10_000, d).build["m"] for d in (40, 7, 13, 3780, 2048)] == [5, 1, 1, 252, 256]
    assert "no divisor" in pq.plan(10_000, 1009).notes[0]

    lsh, _ = parse_index_spec("lsh")
    assert [lsh.plan(100_000, d).build["nbits"] for d in (3, 40, 41, 512, 2048)] == [
        64,
        160,
        168,
        2048,
        2048,
    ]
    assert [lsh.plan(n, 512).build["nbits"] for n in (10, 300, 301, 5000)] == [256, 304, 304, 2048]
    assert "rotation" in lsh.plan(10, 512).notes[0]
    assert not lsh.plan(100_000, 512).notes

    factory, _ = parse_index_spec("factory:x")
    plan = factory.plan(500, 64, {"factory": "OPQ16_32, IVF32,PQ16x4fs,RFlat", "k_factor": "20"})
    assert plan.build == {"factory": "OPQ16_32,IVF32,PQ16x4fs,RFlat"}
    assert plan.search == {"nprobe": 4, "k_factor": 20}
    assert "500 vectors in 32 lists" in plan.notes[0]
    assert "16 centres" in plan.notes[1]


# -- sharing -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec",
    [
        "ivf:nlist=32",
        "factory:IVF32,Flat",
        "factory:PCAR16,IVF32,Flat",
        "factory:OPQ8,IVF32,PQ8x4fs,RFlat",
    ],
)
def test_two_threads_have_their_own_parameters(spec: str) -> None:
    vectors, queries = unit(2000, 16), unit(25, 16, 1)
    built = build(spec, vectors)
    before = built.search(queries, 10)
    wanted = {p: built.search(queries, 10, {"nprobe": p}) for p in (1, 32)}
    assert not np.array_equal(wanted[1].ids, wanted[32].ids)
    wrong: list[int] = []

    def work(probes: int) -> None:
        for _ in range(60):
            if not equal(built.search(queries, 10, {"nprobe": probes}), wanted[probes]):
                wrong.append(probes)

    workers = [threading.Thread(target=work, args=(p,)) for p in (1, 32, 1, 32)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong
    assert equal(built.search(queries, 10), before)


def test_search_parameters_are_honoured() -> None:
    """Where FAISS ignored a parameter object, more effort would find no more."""
    vectors, queries = unit(3000, 32), unit(40, 32, 1)
    exact = build("flat", vectors).search(queries, 10)
    for spec, little, much in (
        ("factory:HNSW8", {"ef_search": 1}, {"ef_search": 500}),
        ("factory:IVF32,SQ8", {"nprobe": 1}, {"nprobe": 32}),
        ("factory:PQ8x4fs,RFlat", {"k_factor": 1}, {"k_factor": 100}),
        ("factory:RR,IVF32,PQ8x4fs,RFlat", {"nprobe": 1, "k_factor": 50}, {"nprobe": 32}),
    ):
        built = build(spec, vectors)
        assert set(built.search_parameters) >= set(little)
        found = [
            sum(len(np.intersect1d(a, b)) for (a, _), (b, _) in zip(part, exact, strict=True))
            for part in (built.search(queries, 10, p) for p in (little, {**little, **much}))
        ]
        assert found[1] > 1.2 * found[0], spec


def test_thread_counts_belong_to_their_thread() -> None:
    before = faiss.omp_get_max_threads()
    seen: list[int] = []
    with search_threads(1):
        assert faiss.omp_get_max_threads() == 1
        with threads(2):
            other = threading.Thread(target=lambda: seen.append(faiss.omp_get_max_threads()))
            other.start()
            other.join()
            assert faiss.omp_get_max_threads() == 2
        assert faiss.omp_get_max_threads() == 1
    assert faiss.omp_get_max_threads() == before
    with building():
        faiss.cvar.distance_compute_blas_threshold = 1
    with search_threads(8):
        assert faiss.cvar.distance_compute_blas_threshold == BLAS_THRESHOLD


def test_a_batch_waits_for_another_and_a_single_query_does_not() -> None:
    entered: list[str] = []

    def ask(queries: int, name: str) -> None:
        with search_threads(queries):
            entered.append(name)

    batch = threading.Thread(target=ask, args=(2, "batch"))
    with search_threads(2):
        batch.start()
        single = threading.Thread(target=ask, args=(1, "single"))
        single.start()
        single.join()
        entered.append("the first batch ends")
    batch.join()
    assert entered == ["single", "the first batch ends", "batch"]


# -- files -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec",
    [
        "flat",
        "ivf:nlist=20",
        "lsh:nbits=256",
        "pq:m=8,nbits=5",
        "factory:RQ4x6",
        "factory:RQ2x4_1x6",
        "factory:LSQ2x6",
        "factory:PRQ2x2x5",
        "factory:PLSQ2x2x4",
        "factory:IVF16,RQ2x5",
        "factory:IVF16_HNSW32,Flat",
        "factory:IMI2x5,PQ8x5",
        "factory:PCA16,Flat",
        "factory:OPQ4_16,IVF16,PQ4x4fs,RFlat",
        "factory:HNSW16,SQ8",
        "factory:EDEN4",
        "factory:RR,RaBitQfs,RFlat",
    ],
)
def test_the_estimate_is_the_size_of_the_file(spec: str) -> None:
    n, d = 1_600, 32
    kind, overrides = parse_index_spec(spec)
    plan = kind.plan(n, d, overrides)
    size = kind.build(unit(n, d), plan).size_bytes
    # FAISS's own headers are not estimated: some 50 bytes of every part, some of every list.
    assert 0 <= size - kind.estimate_bytes(plan, n, d) < max(0.02 * size, 700)


@pytest.mark.parametrize(("text", "name"), [("OPQ4_16,PQ4x4", "opq_iterations"), ("RQ4x4", "beam")])
def test_training_can_be_shortened(text: str, name: str) -> None:
    vectors = unit(800, 32)

    def error(spec: str) -> float:
        kind, overrides = parse_index_spec(spec)
        index = kind.build(vectors, kind.plan(800, 32, overrides)).inspect()
        return float(((index.sa_decode(index.sa_encode(vectors)) - vectors) ** 2).sum())

    whole = error(f"factory:{text}")
    assert error(f"factory:{text};{name}=1") != whole
    assert error(f"factory:{text};{name}={50 if 'OPQ' in text else 5}") == whole  # the default
    with pytest.raises(PlaygroundError, match=rf"has no parameter '{name}'"):
        parse_index_spec("factory:SQ8")[0].plan(800, 32, {"factory": "SQ8", name: 1})


@pytest.mark.parametrize("spec", SPECS)
def test_saved_index_gives_the_same_hits(spec: str, tmp_path: Path) -> None:
    vectors, queries = unit(500, 16), unit(20, 16, 1)
    kind, overrides = parse_index_spec(spec)
    built = kind.build(vectors, kind.plan(500, 16, overrides))
    path = tmp_path / "índex.faiss"
    built.save(path)
    assert path.stat().st_size == built.size_bytes
    loaded = kind.load(path, manifest_of(built))
    assert equal(loaded.search(queries, 600), built.search(queries, 600))
    assert equal(loaded.search(queries[:1], 5), built.search(queries[:1], 5))
    assert manifest_of(loaded) == manifest_of(built)
    assert (loaded.code_size, loaded.n, loaded.d) == (built.code_size, 500, 16)
    assert loaded.search_parameters == built.search_parameters


@pytest.mark.parametrize("spec", SPECS)
def test_damaged_files_are_refused(spec: str, tmp_path: Path) -> None:
    kind, overrides = parse_index_spec(spec)
    built = kind.build(unit(200, 16), kind.plan(200, 16, overrides))
    manifest = manifest_of(built)
    path = tmp_path / "index.faiss"
    with pytest.raises(PlaygroundError, match="missing"):
        kind.load(path, manifest)
    built.save(path)
    whole = path.read_bytes()
    for content in (b"", b"not an index" * 9, whole[:40], whole[:-3], whole + b"x"):
        path.write_bytes(content)
        with pytest.raises(PlaygroundError, match="damaged"):
            kind.load(path, manifest)
    path.write_bytes(whole)
    for change in ({"n": 199}, {"d": 8}, {"build": {"bogus": 1}}, {"search": {"nprobe": 999}}):
        with pytest.raises(PlaygroundError):
            kind.load(path, {**manifest, **change})
    with pytest.raises(PlaygroundError, match="manifest"):
        kind.load(path, {"n": 200})
    other = "flat" if spec != "flat" else "lsh"
    build(other, unit(200, 16)).save(path)
    with pytest.raises(PlaygroundError, match="instead of"):
        kind.load(path, manifest)


def test_another_plan_is_refused(tmp_path: Path) -> None:
    for one, other in (
        ("ivf:nlist=4", "ivf:nlist=5"),
        ("lsh:nbits=64", "lsh:nbits=72"),
        ("lsh", "lsh:thresholds=1"),
        ("pq:m=4", "pq:m=8"),
        ("factory:IVF4,PQ4x4", "factory:IVF4,PQ8x4"),
    ):
        kind, _ = parse_index_spec(one)
        path = tmp_path / "index.faiss"
        build(one, unit(200, 16)).save(path)
        with pytest.raises(PlaygroundError, match=r"not the .* index of its manifest"):
            kind.load(path, manifest_of(build(other, unit(200, 16))))


def test_full_disk_keeps_its_reason() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    with pytest.raises(OSError, match="No space left"):
        build("flat", unit(60_000, 16)).save(Path("/dev/full"))


def test_faiss_reasons_lose_their_paths() -> None:
    error = RuntimeError("Error in void f(int) at /p/a.cpp:64: Error: 'd % M == 0' failed: no fit")
    assert reason(error) == "no fit"
    assert reason(RuntimeError("Error in g() at /p/b.cpp:1: could not parse x")) == (
        "could not parse x"
    )
    assert "memory" in reason(MemoryError("std::bad_alloc"))


_HASHES = """
import hashlib, sys, tempfile
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.test_indexing_types import SPECS, build, unit
from indexing.faiss_settings import threads
more = ["factory:PCAR16,IVF8,SQ8", "factory:OPQ8,PQ8x6", "factory:IVF8_HNSW4,PQ8x4"]
with threads(int(sys.argv[1])), tempfile.TemporaryDirectory() as folder:
    for spec in [*SPECS, *more]:
        path = Path(folder) / "x"
        build(spec, unit(3000, 32)).save(path)
        print(spec, hashlib.sha256(path.read_bytes()).hexdigest())
"""


def test_equal_bytes_in_other_processes_and_with_other_thread_counts() -> None:
    outputs = [
        subprocess.run(
            [sys.executable, "-c", _HASHES, str(count), str(PROJECT_ROOT)],
            capture_output=True,
            text=True,
            cwd=PROJECT_ROOT,
            check=True,
        ).stdout
        for count in (1, 1, 2)
    ]
    assert len(outputs[0].splitlines()) == len(SPECS) + 3
    assert outputs[0] == outputs[1] == outputs[2]


def test_the_sample_of_many_cells_is_capped_and_never_below_the_advice() -> None:
    points = [coarse_points(nlist) for nlist in (1, 316, 1024, 4000, 100_000)]
    assert points == [256, 256, 256, 65, 64]
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(8), 8, 4000)
    coarse_clustering(index.cp, 4000)
    assert index.cp.max_points_per_centroid == 65 and index.cp.seed == 1234
