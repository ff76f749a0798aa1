"""Experiments with indexes: recall by hand, filters and streams that answer what they must."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from data.errors import NotFound
from data.progress import Steps
from evaluation.lab import base, codes, filters, registry, stream
from evaluation.lab.base import Problem, Row, built
from indexing import registry as index_registry

N, DIM = 600, 32
RNG = np.random.default_rng(5)
VECTORS = RNG.standard_normal((N, DIM)).astype(np.float32)
QUERIES = RNG.standard_normal((7, DIM)).astype(np.float32)


def brute(vectors: np.ndarray, query: np.ndarray, rows: np.ndarray) -> list[int]:
    apart = ((vectors[rows].astype(np.float64) - query) ** 2).sum(axis=1)
    return rows[np.argsort(apart, kind="stable")[: base.K]].tolist()


def test_recall_by_hand() -> None:
    line = np.arange(40, dtype=np.float32)[:, None]
    problem = Problem.of(line, np.zeros((1, 1), np.float32))
    half = np.array([[0, 1, 2, 3, 4, 30, 31, 32, 33, 34]])
    assert problem.recall(half) == pytest.approx(0.5)
    assert problem.recall(np.array([[*range(10)]])) == 1.0


def test_own_photo_is_no_answer() -> None:
    line = np.arange(40, dtype=np.float32)[:, None]
    problem = Problem.of(line, line[:1], own=np.array([0]))
    assert problem.recall(np.array([[0, *range(1, 11)]])) == 1.0
    assert problem.squared[0].tolist() == [float(i * i) for i in range(1, 11)]


@pytest.mark.parametrize("spec", ["flat", "ivf:nlist=4,nprobe=4", "lsh", "pq", "factory:HNSW16"])
def test_a_filter_lets_nothing_else_through(spec: str) -> None:
    index, _ = built(spec, VECTORS)
    part = np.sort(RNG.choice(N, 120, replace=False))
    ask, how = filters.filtered(index, part)
    _, rows = ask(QUERIES, base.K)
    assert rows.shape == (len(QUERIES), base.K)
    assert set(rows[rows >= 0].tolist()) <= set(part.tolist())
    assert how == (filters.AFTER if spec in ("lsh", "pq") else filters.WITHIN)
    if spec in ("flat", "ivf:nlist=4,nprobe=4"):  # all cells: exact
        for query, found in zip(QUERIES, rows, strict=True):
            assert found.tolist() == brute(VECTORS, query, part)


@pytest.mark.parametrize("spec", ["flat", "ivf:nlist=4,nprobe=4", "factory:HNSW16"])
def test_a_changing_index_answers_its_span(spec: str) -> None:
    changing = stream.Changing(spec, VECTORS[:300])
    for span in ((0, 300), (0, 450), (0, 600), (150, 600), (300, 600)):
        changing.to(VECTORS, span)
        _, rows = changing.ask()(QUERIES, base.K)
        assert rows.max() < span[1] - span[0]
        inside = np.arange(*span)
        for query, found in zip(QUERIES, rows, strict=True):
            wanted = [row - span[0] for row in brute(VECTORS, query, inside)]
            assert len(set(found.tolist()) & set(wanted)) >= (8 if "HNSW" in spec else base.K)


def test_order_along_the_main_direction() -> None:
    spread = np.zeros((5, 3), np.float32)
    spread[:, 1] = [3, -8, 0, 9, 1]
    order = stream.along_main_direction(spread).tolist()
    assert order in ([1, 2, 4, 0, 3], [3, 0, 4, 2, 1])


@pytest.mark.parametrize("dim", [64, 512, 2048])
def test_codes_keep_within_their_bytes(dim: int) -> None:
    for budget in codes.BUDGETS:
        found = codes.candidates(dim, budget)
        assert {"PQ", "OPQ, 5 rounds", "SQ, 4 bits", "RaBitQ, 1 bit", "TurboQuant, 4 bits"} <= set(
            found
        )
        for text in found.values():
            kind, overrides = index_registry.parse_index_spec(f"factory:{text}")
            plan = kind.plan(20_000, dim, overrides)
            index = kind.estimate_bytes(plan, 30_000, dim) - kind.estimate_bytes(plan, 20_000, dim)
            assert index / 10_000 <= budget, text


@pytest.mark.parametrize("text", ["PQ4x4", "OPQ4_16,PQ4x4;opq_iterations=2", "PCAR8,RaBitQ"])
def test_a_second_look_is_what_the_factory_builds(text: str) -> None:
    plain, components = built(f"factory:{text}", VECTORS)[0], built("factory:SQ8", VECTORS)[0]
    spec = codes.refined(text)
    made = codes._second_look(plain, components, spec)
    wanted = built(f"factory:{spec}", VECTORS)[0]
    answers = zip(made.searcher()(QUERIES, 10), wanted.searcher()(QUERIES, 10), strict=True)
    assert all(np.array_equal(found, right) for found, right in answers)
    assert (made.size_bytes, made.code_size) == (wanted.size_bytes, wanted.code_size)


def test_every_experiment_measures_and_teaches(monkeypatch: pytest.MonkeyPatch) -> None:
    from evaluation.tradeoffs.padding import VectorSet
    from evaluation.tradeoffs.questions import Questions

    monkeypatch.setattr(base, "EFFORT", base.Effort(samples=3, seconds=0.01, fewest=2))
    monkeypatch.setattr(codes, "BUDGETS", (16,))
    monkeypatch.setattr(base.Ground, "specs", lambda self: ["flat", "ivf:nlist=4,nprobe=1"])
    vectors = VectorSet("c", "hog", VECTORS, tuple(map(str, range(N))), "", 0, None, "v", "v")
    own = np.full(len(QUERIES), -1)
    asked = Questions(tuple("abcdefg"), QUERIES, own, (None,) * len(QUERIES))
    for name, one in registry.EXPERIMENTS.items():
        steps = Steps(None)
        rows: list[Row] = list(one.measure(base.Ground(vectors, asked, {}, steps)))
        assert steps.done == steps.total, name
        assert all(0 <= row.recall <= 1 and row.latency_ms > 0 for row in rows)
        exact = [row for row in rows if row.series.partition(",")[0] == "Flat" or row.x == "Flat"]
        assert exact and all(row.recall == 1 for row in exact), name
        assert one.lesson(rows).endswith(".")


def test_unknown_experiment() -> None:
    with pytest.raises(NotFound, match="Legal: codes, shift"):
        registry.experiment("cods")


def test_variants_of_a_code_share_its_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    from evaluation.lab.run import Kept
    from pages.parts import plots
    from pages.tradeoffs import lab

    drawn: list[Any] = []
    monkeypatch.setattr(plots, "figure_with_downloads", lambda made, *_, **__: drawn.append(made))
    names = ("Flat", "PQ", "PQ + second look", "SQ, 4 bits", "SQ, 8 bits", "RQ, beam 1")
    rows = tuple(Row(name, x, 0.5, 1.0) for name in names for x in (16.0, 72.0, 64.0))
    lab._figure(Kept("codes", rows, 10, 0, "", {}, ""), codes.Codes())
    lines = {one.name: one.line for one in drawn[0].data}
    assert lines["PQ"].color == lines["PQ + second look"].color
    assert lines["SQ, 4 bits"].color == lines["SQ, 8 bits"].color
    assert (lines["PQ"].dash, lines["PQ + second look"].dash) == ("solid", "dash")
    assert len({line.color for line in lines.values()}) == 4
    assert list(drawn[0].layout.xaxis.tickvals) == [16, 64]  # 72 has no room beside 64
