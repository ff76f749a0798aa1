"""Query-guided expansion: its two steps by the plain formulas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rerank_view import SmallView, answer, clusters, unit


def test_the_expansion_by_hand(tmp_path: Path) -> None:
    """k 2: weights 1 and (1/2)^4. v = (1, 0) + (0.8, 0.6) + (0.6, 0.8) / 16."""
    view = SmallView(unit((4, 3), (3, 4), (0, 1)), tmp_path)
    found = answer(view, "qge:k=2", (1.0, 0.0))
    v = np.array([1 + 0.8 + 0.6 / 16, 0.6 + 0.8 / 16])
    assert found.vector == pytest.approx(v / np.linalg.norm(v), abs=1e-5)


def test_is_expansion_then_diffusion(tmp_path: Path) -> None:
    x, q = clusters(30), clusters(40)[35]
    view = SmallView(x, tmp_path)
    found = answer(view, "qge:kd=5,kq=2,truncation=9", q)
    order = sorted(range(30), key=lambda row: -float(x[row] @ q))
    v = q.copy()
    for rank, row in enumerate(order[:10]):
        v += ((10 - rank) / 10) ** 4 * x[row]
    v /= np.linalg.norm(v)
    wanted = answer(view, "diffusion:kd=5,kq=2,truncation=9", v)
    assert found.rows.tolist() == wanted.rows.tolist()
    assert found.scores == pytest.approx(wanted.scores, abs=1e-4)


def test_fewer_answers_than_k_keep_their_weights(tmp_path: Path) -> None:
    x, q = clusters(3), clusters(40)[35]
    found = answer(SmallView(x, tmp_path), "qge", q)
    order = sorted(range(3), key=lambda row: -float(x[row] @ q))
    v = q + x[order[0]] + 0.9**4 * x[order[1]] + 0.8**4 * x[order[2]]
    assert found.vector == pytest.approx(v / np.linalg.norm(v), abs=1e-5)
