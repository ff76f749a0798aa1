"""Diffusion against a graph worked out by hand, and against dense linear algebra."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from rerank_view import SmallView, answer, clusters, unit

from retrieval import graph


def test_by_hand(tmp_path: Path) -> None:
    """a, b, c with the cosines ab 0.8, bc 0.6, ac 0: a path.

    Degrees 0.8, 1.4, 0.6, so S_ab = s with s^2 = 0.64 / 1.12 = 4/7, S_bc = t with t^2 = 3/7.
    (I - S / 2) f = e_a: f_c = t f_b / 2, so f_b (1 - t^2 / 4) = s f_a / 2, so f_b = 14/25 s f_a;
    f_a = 1 + s f_b / 2 = 1 + 0.16 f_a. So f_a = 25/21, f_b = 2/3 s, f_c = s t / 3.
    """
    view = SmallView(unit((1, 0), (4, 3), (0, 1)), tmp_path)
    s, t = math.sqrt(4 / 7), math.sqrt(3 / 7)
    wanted = [25 / 21, 2 / 3 * s, s * t / 3]
    spec = "diffusion:alpha=0.5,gamma=1,kd=2,kq=1"
    found = answer(view, spec, (1.0, 0.0))
    assert found.rows.tolist() == [0, 1, 2]
    assert found.scores == pytest.approx(wanted, abs=1e-6)
    # A query at cosine 0.8 to a, and 0.28 to b: the same, times 0.8.
    found = answer(view, spec, (0.8, -0.6))
    assert found.scores == pytest.approx([0.8 * value for value in wanted], abs=1e-6)
    # Only mutual neighbours are joined: with kd 1, c names b, and b names a. c is cut off.
    found = answer(view, spec.replace("kd=2", "kd=1"), (1.0, 0.0))
    assert found.scores[:2] == pytest.approx([4 / 3, 2 / 3], abs=1e-6)
    assert found.rows.tolist() == [0, 1, 2] and found.scores[2] == 0  # the cosine that it had


def plain(
    x: np.ndarray, q: np.ndarray, kq: int, kd: int, reach: int, gamma: float, alpha: float
) -> np.ndarray:
    """The same by nested loops and dense solving."""
    n = len(x)
    names = [
        sorted((j for j in range(n) if j != i), key=lambda j: -float(x[i] @ x[j]))[:kd]
        for i in range(n)
    ]
    a = np.zeros((n, n))
    for i in range(n):
        for j in names[i]:
            if i in names[j]:
                a[i, j] = max(0.0, float(x[i] @ x[j])) ** gamma
    degree = a.sum(axis=1)
    s = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if a[i, j]:
                s[i, j] = a[i, j] / math.sqrt(degree[i] * degree[j])
    total = np.zeros(n)
    for i in sorted(range(n), key=lambda i: -float(x[i] @ q))[:kq]:
        around = sorted(range(n), key=lambda j: (j != i, -float(x[i] @ x[j])))[:reach]
        e = np.array([float(j == i) for j in around])
        local = np.eye(len(around)) - alpha * s[np.ix_(around, around)]
        total[around] += max(0.0, float(x[i] @ q)) ** gamma * np.linalg.solve(local, e)
    return total


@pytest.mark.parametrize("reach", [1000, 18, 9, 1])
@pytest.mark.parametrize(("kq", "kd"), [(1, 3), (3, 5), (5, 50)])
def test_equals_dense_algebra(tmp_path: Path, reach: int, kq: int, kd: int) -> None:
    x, q = clusters(18), clusters(30)[27]
    spec = f"diffusion:alpha=0.9,kd={kd},kq={kq},truncation={reach}"
    view = SmallView(x, tmp_path)
    found = answer(view, spec, q)
    wanted = plain(x, q, kq, kd, reach, 3.0, 0.9)
    reached = int((wanted > 1e-12).sum())
    assert found.scores[:reached] == pytest.approx(wanted[found.rows[:reached]], rel=1e-4)
    assert (np.diff(found.scores[:reached]) <= 0).all()
    # Those that nothing reaches keep their order.
    behind = found.rows[reached:]
    assert behind.tolist() == sorted(behind, key=lambda row: -float(x[row] @ q))


def test_the_usual_alpha(tmp_path: Path) -> None:
    """0.99, as published: in a graph this small, 20 steps are enough."""
    x, q = clusters(14), clusters(30)[27]
    found = answer(SmallView(x, tmp_path), "diffusion:kd=4,kq=3", q)
    wanted = plain(x, q, 3, 4, 14, 3.0, 0.99)
    reached = int((wanted > 1e-12).sum())
    assert found.scores[:reached] == pytest.approx(wanted[found.rows[:reached]], rel=1e-3)


def test_photos_beyond_the_ranking_come_in(tmp_path: Path) -> None:
    """A chain of photos, each like the next: the far end is found, though it is unlike the query.

    A photo that is as near to the query but stands alone is not.
    """
    angles = [0.0, 0.3, 0.6, 0.9]
    chain = [(math.cos(a), math.sin(a), 0.0) for a in angles]
    alone = (math.cos(0.85), 0.0, math.sin(0.85))
    view = SmallView(unit(*chain, alone), tmp_path)
    plain_rows = view.search(np.array([1.0, 0, 0]), 4).rows.tolist()
    assert plain_rows == [0, 1, 2, 4]
    found = answer(view, "diffusion:kd=2,kq=1", (1.0, 0.0, 0.0), k=4)
    assert set(found.rows.tolist()) == {0, 1, 2, 3}
    assert np.isnan(found.columns["distance"][found.rows.tolist().index(3)])


def test_blocks_make_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, q = clusters(40), clusters(50)[45]
    (tmp_path / "one").mkdir()
    (tmp_path / "many").mkdir()
    spec = "diffusion:kd=6,kq=3,truncation=12"
    whole = answer(SmallView(x, tmp_path / "one"), spec, q)
    monkeypatch.setattr(graph, "CHUNK", 20 * 40 * 3)  # three photos at a time
    pieces = answer(SmallView(x, tmp_path / "many"), spec, q)
    assert pieces.rows.tolist() == whole.rows.tolist()
    assert pieces.scores == pytest.approx(whole.scores, rel=1e-4)
