"""k-reciprocal re-ranking against sets worked out by hand, and by nested loops."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from rerank_view import SmallView, answer, clusters

from retrieval.rerank.k_reciprocal import KReciprocal, KReciprocalConfig


def by_hand(**config: float) -> np.ndarray:
    """The query and a, b, c: a at 0.2, b at 0.5 of it, a to b 0.3, c at 1 of all."""
    distances = [[0, 0.2, 0.5, 1], [0.2, 0, 0.3, 1], [0.5, 0.3, 0, 1], [1, 1, 1, 0]]
    method = KReciprocal(KReciprocalConfig(**config))  # type: ignore[arg-type]
    return method._mixed(np.array(distances, float))


def test_by_hand() -> None:
    """k1 1: only the query and a name each other. V_q = (1, x), V_a = (x, 1), x = exp(-0.2).

    Their minima sum up to 2x, their maxima to 2, so that the Jaccard distance is 1 - x.
    """
    x = math.exp(-0.2)
    wanted = [0, 0.7 * (1 - x) + 0.3 * 0.2, 0.7 + 0.3 * 0.5, 0.7 + 0.3]
    assert by_hand(k1=1, k2=1) == pytest.approx(wanted)


def test_averaged_sets_by_hand() -> None:
    """k1 2: the query, a and b all name each other; c is alone. k2 2 averages with the nearest.

    x = exp(-0.2), y = exp(-0.3), z = exp(-0.5): V_q = (1, x, z), V_a = (x, 1, y), V_b = (z, y, 1).
    Query and a become the mean of both, and equal; b becomes its mean with a, c with the query.
    """
    x, y, z = math.exp(-0.2), math.exp(-0.3), math.exp(-0.5)
    b = 1 - ((x + z) + (1 + y) + (y + z)) / ((1 + x) + (1 + x) + (1 + y))
    assert b == pytest.approx(0.160804, abs=1e-6)
    c = 1 - (1 + x + z) / ((1 + x) + (1 + x) + (y + z) + 1)
    assert by_hand(k1=2, k2=2, weight=0.0) == pytest.approx([0, 0, b, c], abs=1e-12)
    assert by_hand(weight=1.0) == pytest.approx([0, 0.2, 0.5, 1])  # the distance alone


def plain(points: np.ndarray, k1: int, k2: int, weight: float) -> list[float]:
    """By nested loops; the query is the first point."""
    n = len(points)
    d = [[float(((p - g) ** 2).sum()) for g in points] for p in points]
    order = [sorted(range(n), key=lambda g: (g != p, d[p][g])) for p in range(n)]
    d = [[value / max(row) for value in row] for row in d]

    def mutual(p: int, k: int) -> set[int]:
        return {g for g in order[p][: k + 1] if p in order[g][: k + 1]}

    v = np.zeros((n, n))
    for p in range(n):
        members = mutual(p, k1)
        for g in mutual(p, k1):
            half = mutual(g, round(k1 / 2))
            if len(half & mutual(p, k1)) >= 2 / 3 * len(half) - 1e-9:
                members |= half
        for g in members:
            v[p, g] = math.exp(-d[p][g])
    v = np.array([sum(v[g] for g in order[p][:k2]) / len(order[p][:k2]) for p in range(n)])
    result = []
    for i in range(n):
        least = sum(min(v[0, g], v[i, g]) for g in range(n))
        most = sum(max(v[0, g], v[i, g]) for g in range(n))
        result.append((1 - weight) * (1 - least / most) + weight * d[0][i])
    return result


@pytest.mark.parametrize(
    ("depth", "k1", "k2", "weight"),
    [(400, 20, 6, 0.3), (400, 5, 3, 0.3), (12, 4, 1, 0.0), (3, 7, 2, 0.5)],
)
def test_equals_the_plain_formula(
    tmp_path: Path, depth: int, k1: int, k2: int, weight: float
) -> None:
    x, q = clusters(30), clusters(40)[33]
    spec = f"k-reciprocal:depth={depth},k1={k1},k2={k2},weight={weight}"
    view = SmallView(x, tmp_path)
    found = answer(view, spec, q)
    order = view.search(q, 30).rows
    points = np.vstack([q, x[order[:depth]]]).astype(np.float32)
    distances = plain(points, k1, k2, weight)[1:]
    places = sorted(range(len(distances)), key=lambda place: distances[place])
    assert found.rows.tolist() == [*order[places].tolist(), *order[depth:].tolist()]
    assert found.scores[: len(places)] == pytest.approx(
        [1 - distances[place] for place in places], abs=1e-5
    )


def test_equal_photos(tmp_path: Path) -> None:
    found = answer(SmallView(np.ones((5, 4)) / 2, tmp_path), "k-reciprocal", np.ones(4) / 2)
    assert sorted(found.rows.tolist()) == [0, 1, 2, 3, 4]
    assert np.isfinite(found.scores).all()
