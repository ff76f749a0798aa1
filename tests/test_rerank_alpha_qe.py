"""alpha query expansion against the plain formula."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rerank_view import SmallView, answer, clusters, unit


def test_by_hand(tmp_path: Path) -> None:
    """Cosines 1, 0.8 and 0.6; with alpha 1 and k 2: v = (1, 0) + 1 (1, 0) + 0.8 (0.8, 0.6)."""
    view = SmallView(unit((1, 0), (4, 3), (3, 4)), tmp_path)
    found = answer(view, "alpha-qe:alpha=1,k=2", (1.0, 0.0))
    v = np.array([2.64, 0.48])
    assert found.vector == pytest.approx(v / np.sqrt(2.64**2 + 0.48**2), abs=1e-5)
    assert found.rows.tolist() == [0, 1, 2]


@pytest.mark.parametrize(("k", "alpha"), [(1, 3.0), (4, 3.0), (4, 0.0), (50, 2.5)])
def test_equals_the_plain_formula(tmp_path: Path, k: int, alpha: float) -> None:
    x, q = clusters(20), clusters(30)[27]
    found = answer(SmallView(x, tmp_path), f"alpha-qe:alpha={alpha},k={k}", q)
    order = sorted(range(20), key=lambda row: -float(x[row] @ q))
    v = q.copy()
    for row in order[:k]:
        v += max(0.0, float(x[row] @ q)) ** alpha * x[row]
    v /= np.linalg.norm(v)
    assert found.rows.tolist() == sorted(range(20), key=lambda row: -float(x[row] @ v))
    assert found.scores == pytest.approx(np.sort(x @ v)[::-1], abs=1e-5)


def test_alpha_0_is_the_plain_mean_where_all_are_near(tmp_path: Path) -> None:
    x, q = clusters(9, of=1), clusters(10, of=1)[9]
    view = SmallView(x, tmp_path)
    assert answer(view, "alpha-qe:alpha=0,k=5", q).rows.tolist() == (
        answer(view, "aqe:k=5", q).rows.tolist()
    )


def test_an_answer_on_the_other_side_counts_nothing(tmp_path: Path) -> None:
    found = answer(SmallView(unit((1, 0), (-1, 0.1)), tmp_path), "alpha-qe", (1.0, 0.0))
    assert found.vector == pytest.approx([1, 0], abs=1e-5)
