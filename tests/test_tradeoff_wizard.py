"""From a budget to a setting, to a factory string, to FAISS code that runs."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.tradeoffs import live, padding, wizard
from evaluation.tradeoffs.padding import VectorSet
from evaluation.tradeoffs.rows import Point
from evaluation.tradeoffs.wizard import Budget, advise
from indexing import registry
from tests.test_tradeoff_rows import make


def point(spec: str, recall: float, ms: float, n: int = 1_000, **more: Any) -> Point:
    """A point as it would be planned, its file as large as the plan says; 8 numbers a vector."""
    kind, overrides = registry.parse_index_spec(spec)
    plan = kind.plan(n, 8, overrides)
    size = kind.estimate_bytes(plan, n, 8)
    values = {"build": plan.build, "search": plan.search, "disk_bytes": size, "memory_bytes": size}
    index = registry.without_search(spec)
    return make(index, recall, ms, n=n, **{**values, "key": f"{spec}/{n}"} | more)


# 8 numbers: flat 32 bytes a photo; PQ with 4 parts of 4 bits 2 bytes; LSH of 64 bits 8 bytes.
FLAT = point("flat", 1.0, 4.0)
IVF = point("ivf:nlist=10,nprobe=5", 0.97, 1.0)
PQ = point("pq:m=4,nbits=4", 0.80, 0.5)
LSH = point("lsh:nbits=64", 0.60, 0.25)
POINTS = [FLAT, IVF, PQ, LSH]


def test_bytes_of_a_photo_are_apart_from_what_all_share() -> None:
    assert (FLAT.shared_bytes, FLAT.bytes_per_photo) == (0, 32)
    # 10 centres of 8 float32; a vector with its 8-byte id.
    assert (IVF.shared_bytes, IVF.bytes_per_photo) == (10 * 8 * 4, 40)
    # 16 centres for each part of 2 numbers: 16 x 8 float32.
    assert (PQ.shared_bytes, PQ.bytes_per_photo) == (16 * 8 * 4, 2)
    # A rotation to 64 numbers of 8.
    assert (LSH.shared_bytes, LSH.bytes_per_photo) == (64 * 8 * 4, 8)
    assert LSH.memory_of(1_000_000) == 64 * 8 * 4 + 8_000_000


def test_a_point_that_does_not_name_its_parameters_shares_nothing() -> None:
    bare = make("lsh:nbits=64", size=100)
    assert (bare.shared_bytes, bare.bytes_per_photo) == (0, 100)
    assert wizard.factory_string(bare) == wizard.snippet(bare) == ""


def test_the_fastest_within_the_budget() -> None:
    assert advise(POINTS, Budget(1_000, least=0.95)).best is IVF
    assert advise(POINTS, Budget(1_000, least=0.99)).best is FLAT
    assert advise(POINTS, Budget(1_000, least=0.7, bytes_per_photo=4)).best is PQ
    assert advise(POINTS, Budget(1_000)).best is LSH
    # 40 bytes each and 320 for the centres: 40,320 for 1,000 photos.
    assert advise(POINTS, Budget(1_000, least=0.95, ram=40_320)).best is IVF
    assert advise(POINTS, Budget(1_000, least=0.95, ram=40_319)).best is FLAT


def test_memory_is_that_of_the_photos_asked_for() -> None:
    found = advise(POINTS, Budget(1_000_000, least=0.95, ram=33e6))
    assert found.best is FLAT and found.beyond(1_000_000)
    assert advise(POINTS, Budget(1_000_000, least=0.95, ram=31e6)).best is None


def test_what_is_impossible_says_which_limit_to_move_and_how_far() -> None:
    found = advise(POINTS, Budget(1_000, least=0.9, ms=0.6))
    assert found.best is None and found.nearest is PQ
    moves = {one.limit.name: (one.needed, one.point) for one in found.relaxations}
    # With 0.6 ms at most, PQ agrees best; with 0.9 at least, IVF is the fastest.
    assert moves == {"recall": (0.80, PQ), "ms": (1.0, IVF)}
    # 0.1 of 0.9 is a smaller step than 0.4 of 0.6.
    assert [one.limit.name for one in found.relaxations] == ["recall", "ms"]


def test_two_limits_that_have_to_move_together_are_both_named() -> None:
    found = advise(POINTS, Budget(1_000, least=0.99, ms=0.1, bytes_per_photo=1))
    assert found.best is None and found.relaxations == ()
    assert {one.name for one in found.failing} >= {"ms", "bytes"}


def test_the_next_measured_size_is_judged_by() -> None:
    large = [point("flat", 1.0, 40.0, 10_000), point("lsh:nbits=64", 0.5, 2.0, 10_000)]
    both = POINTS + large
    assert [wizard.size_for(both, n) for n in (1, 1_000, 1_001, 10_000, 99_999)] == [
        1_000,
        1_000,
        10_000,
        10_000,
        10_000,
    ]
    found = advise(both, Budget(5_000, least=0.9))
    assert found.best is large[0] and not found.beyond(5_000)
    assert list(found.judged) == large


def test_real_vectors_are_judged_by_before_simulated_ones() -> None:
    real = point("flat", 1.0, 9.0, simulated=0, key="real")
    assert advise([*POINTS, real], Budget(1_000, least=0.9)).best is real


def test_without_points_there_is_no_advice() -> None:
    assert advise([], Budget(10)).nearest is None


@pytest.fixture(scope="module")
def vectors() -> VectorSet:
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((2_000, 16)).astype(np.float32)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    ids = tuple(map(str, range(2_000)))
    return padding.VectorSet("toy", "hog", matrix, ids, "", 0, None, "v", "v")


@pytest.mark.parametrize(
    ("spec", "text", "least"),
    [
        ("flat", "Flat", 1.0),
        ("ivf:nlist=8,nprobe=8", "IVF8,Flat", 1.0),  # all cells: exact
        ("lsh:nbits=128", "LSH128r", 0.0),
        ("lsh:nbits=64,thresholds=1", "LSH64rt", 0.0),
        ("pq:m=8,nbits=4", "PQ8x4", 0.2),
        ("factory:HNSW16;ef_construction=80,ef_search=200", "HNSW16", 0.9),
        ("factory:IVF8,PQ8x4fs,RFlat;nprobe=8,k_factor=100", "IVF8,PQ8x4fs,RFlat", 0.9),
    ],
)
def test_the_snippet_runs_and_finds_what_the_setting_finds(
    spec: str,
    text: str,
    least: float,
    vectors: VectorSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kind, overrides = registry.parse_index_spec(spec)
    plan = kind.plan(vectors.n, 16, overrides)
    made = make(
        registry.without_search(spec), dim=16, build=dict(plan.build), search=dict(plan.search)
    )
    assert wizard.factory_string(made) == text
    code = wizard.snippet(made)
    np.save(tmp_path / "vectors.npy", vectors.vectors)
    monkeypatch.chdir(tmp_path)
    queries = np.ascontiguousarray(vectors.vectors[:20])
    names: dict[str, Any] = {"query": queries}
    exec(code, names)
    rows = names["rows"]
    assert rows.shape == (20, 10)
    exact = live.nearest(vectors.vectors, queries, 10)[1]
    found = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(rows, exact, strict=True)])
    assert found >= least
    if "nprobe" in plan.search:
        import faiss

        assert faiss.extract_index_ivf(names["index"]).nprobe == plan.search["nprobe"]


def test_times_are_taken_in_turns_and_the_first_round_is_dropped(
    vectors: VectorSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    flat, ivf = live.build(vectors, "flat"), live.build(vectors, "ivf:nlist=8")
    # Seconds: begun twice in the round of the warm-up, then begun and done, IVF 1 ms, Flat 2 ms.
    clock = iter([0.0, 0.0, *[0.0, 0.001, 0.0, 0.002] * 3])
    fake = types.SimpleNamespace(perf_counter=lambda: next(clock))
    monkeypatch.setattr(live, "time", fake)
    one, two = live.timed([(ivf, {"nprobe": 2}), (flat, {})], vectors.vectors[0], 5, runs=3)
    assert (one.median, two.median, one.runs) == (pytest.approx(1.0), pytest.approx(2.0), 3)
    assert next(clock, None) is None
