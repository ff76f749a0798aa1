"""Database augmentation against the plain formula."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rerank_view import SmallView, answer, clusters, unit


def test_by_hand(tmp_path: Path) -> None:
    """Photos (1, 0), (0.8, 0.6), (0, 1); k 1, alpha 1. Cosines 0.8, 0 and 0.6.

    v1 = x1 + 0.8 x2 = (1.64, 0.48); v2 = x2 + 0.8 x1 = (1.6, 0.6); v3 = x3 + 0.6 x2 = (0.48, 1.36).
    """
    view = SmallView(unit((1, 0), (4, 3), (0, 1)), tmp_path)
    found = answer(view, "dba:alpha=1,k=1", (0.0, 1.0))
    assert found.rows.tolist() == [2, 1, 0]
    second = [1.36 / np.hypot(0.48, 1.36), 0.6 / np.hypot(1.6, 0.6), 0.48 / np.hypot(1.64, 0.48)]
    assert found.scores == pytest.approx(second, abs=1e-5)


@pytest.mark.parametrize(("k", "alpha"), [(1, 3.0), (4, 3.0), (3, 0.0), (50, 3.0)])
def test_equals_the_plain_formula(tmp_path: Path, k: int, alpha: float) -> None:
    x, q = clusters(20), clusters(30)[27]
    found = answer(SmallView(x, tmp_path), f"dba:alpha={alpha},k={k}", q)
    scores = []
    for i in range(20):
        others = sorted((j for j in range(20) if j != i), key=lambda j: -float(x[i] @ x[j]))
        v = x[i].copy()
        for j in others[:k]:
            v += max(0.0, float(x[i] @ x[j])) ** alpha * x[j]
        scores.append(float(v @ q) / float(np.linalg.norm(v)))
    assert sorted(found.rows.tolist()) == list(range(20))
    assert found.scores == pytest.approx([scores[row] for row in found.rows], abs=1e-5)
    assert (np.diff(found.scores) <= 0).all()


def test_photos_that_the_index_did_not_find_come_in(tmp_path: Path) -> None:
    """All photos are compared, so a short ranking is not what limits the answer."""
    x, q = clusters(20), clusters(30)[27]
    view = SmallView(x, tmp_path)
    whole, short = answer(view, "dba:k=8", q), answer(view, "dba:k=8", q, k=3)
    assert short.rows.tolist() == whole.rows[:3].tolist()
    before = view.search(q, 3).rows.tolist()
    for row, distance in zip(short.rows, short.columns["distance"], strict=True):
        assert np.isnan(distance) == (row not in before)


def test_more_left_out_than_there_are_spare_neighbours(tmp_path: Path) -> None:
    """Then a photo may get fewer neighbours, but never one that is left out."""
    x, q = clusters(120, seed=3), clusters(130, seed=3)[125]
    gone = frozenset(np.argsort(-(x @ q))[:40].tolist())
    found = answer(SmallView(x, tmp_path, excluded=gone), "dba:k=60", q)
    assert len(found) == 80 and not gone & set(found.rows.tolist())
