"""SuperGlobal's re-ranking against a shortlist worked out by hand, and by nested loops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rerank_view import SmallView, answer, clusters, unit


def test_by_hand(tmp_path: Path) -> None:
    """x1 = (1, 0), x2 = (0.8, 0.6), x3 = (0.6, 0.8); K 1, beta 0.5; q = x1.

    Cosines 0.8, 0.6 and x2 x3 0.96: x1 takes in x2, and x2 and x3 each other.
    x1' = (1.32, 0.24) / 1.4, x2' = (1.088, 0.984) / 1.48, x3' = (0.984, 1.088) / 1.48.
    S1 = 0.942857, 0.735135, 0.664865; the first two give the maximum (0.942857, 0.664865).
    S2 = 1.002957, 1.135172, 1.115639.
    """
    view = SmallView(unit((1, 0), (4, 3), (3, 4)), tmp_path)
    found = answer(view, "superglobal:beta=0.5,k=1", (1.0, 0.0))
    assert found.rows.tolist() == [0, 1, 2]
    assert found.scores == pytest.approx([0.972907, 0.935154, 0.890252], abs=1e-6)
    # beta 0: photos stay, the maximum is (1, 0.6). S = (1 + 1) / 2, (0.8 + 1.16) / 2, ...
    found = answer(view, "superglobal:beta=0.0,k=1", (1.0, 0.0))
    assert found.scores == pytest.approx([1.0, 0.98, 0.84], abs=1e-6)


def plain(shortlist: np.ndarray, q: np.ndarray, k: int, beta: float) -> list[float]:
    refined = []
    for i in range(len(shortlist)):
        others = [j for j in range(len(shortlist)) if j != i]
        others.sort(key=lambda j: -float(shortlist[i] @ shortlist[j]))
        total, weights = shortlist[i].copy(), 1.0
        for j in others[:k]:
            weight = beta * max(0.0, float(shortlist[i] @ shortlist[j]))
            total, weights = total + weight * shortlist[j], weights + weight
        refined.append(total / weights)
    first = [float(one @ q) for one in refined]
    best = sorted(range(len(first)), key=lambda i: -first[i])[: k + 1]
    expanded = [max(float(refined[i][d]) for i in best) for d in range(len(q))]
    return [(a + float(one @ expanded)) / 2 for a, one in zip(first, refined, strict=True)]


@pytest.mark.parametrize(
    ("depth", "k", "beta"), [(400, 9, 0.15), (12, 3, 0.15), (12, 0, 0.15), (3, 9, 1.0)]
)
def test_equals_the_plain_formula(tmp_path: Path, depth: int, k: int, beta: float) -> None:
    x, q = clusters(25), clusters(30)[28]
    found = answer(SmallView(x, tmp_path), f"superglobal:beta={beta},depth={depth},k={k}", q)
    order = sorted(range(25), key=lambda row: -float(x[row] @ q))
    scores = plain(x[order[:depth]], q, k, beta)
    places = sorted(range(len(scores)), key=lambda place: -scores[place])
    wanted = [order[place] for place in places] + order[depth:]
    assert found.rows.tolist() == wanted
    assert found.scores[: len(scores)] == pytest.approx(sorted(scores, reverse=True), abs=1e-5)
    behind = [float(x[row] @ q) for row in order[depth:]]
    assert found.scores[len(scores) :] == pytest.approx(behind, abs=1e-5)
