"""The aggregated selective match kernel against plain loops, and in a search."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from data import artefact
from data.errors import PlaygroundError
from extractors.base import l2_normalise
from retrieval.ranking import Query, Ranking, Recipe
from retrieval.rerank import registry
from retrieval.rerank.asmk import aggregate, similarity

CODEBOOK = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]], np.float32)


def test_by_hand() -> None:
    one = aggregate(np.array([[0.8, 0.6], [0.8, -0.2]], np.float32), CODEBOOK, 1)
    # Both belong to word 0: (-0.2, 0.6) + (-0.2, -0.2) = (-0.4, 0.4).
    assert one.words.tolist() == [0]
    assert one.residuals[0] == pytest.approx([-math.sqrt(0.5), math.sqrt(0.5)])
    other = aggregate(np.array([[1.0, 0.5], [-0.6, 0.1]], np.float32), CODEBOOK, 1)
    assert other.words.tolist() == [0, 2]  # residual (0, 0.5) to word 0
    u = math.sqrt(0.5)
    assert similarity(one, other, 3.0, 0.0) == pytest.approx(u**3 / math.sqrt(2))
    assert similarity(one, other, 1.0, 0.0) == pytest.approx(u / math.sqrt(2))
    assert similarity(one, other, 1.0, 0.8) == 0  # 0.707 is not above it
    assert similarity(one, one, 3.0, 0.0) == pytest.approx(1)
    empty = aggregate(np.empty((0, 2), np.float32), CODEBOOK, 5)
    assert similarity(one, empty, 3.0, 0.0) == 0


def test_against_plain_loops() -> None:
    rng = np.random.default_rng(0)
    codebook = rng.standard_normal((7, 4)).astype(np.float32)
    sets = [rng.standard_normal((n, 4)).astype(np.float32) for n in (9, 12)]
    sums: list[dict[int, Any]] = []
    for descriptors, assigned in zip(sets, (3, 1), strict=True):
        words: dict[int, Any] = {}
        for d in descriptors:
            for c in np.argsort(np.linalg.norm(codebook - d, axis=1))[:assigned]:
                words[int(c)] = words.get(int(c), 0) + (d - codebook[c])
        sums.append({c: v / np.linalg.norm(v) for c, v in words.items()})
    wanted = 0.0
    for c, v in sums[0].items():
        u = float(v @ sums[1][c]) if c in sums[1] else 0.0
        wanted += u**3 if u > 0 else 0
    wanted /= math.sqrt(len(sums[0]) * len(sums[1]))
    got = similarity(aggregate(sets[0], codebook, 3), aggregate(sets[1], codebook, 1), 3.0, 0.0)
    assert got == pytest.approx(wanted, rel=1e-4)


class Local:
    """The least of a ``View``: local descriptors of eight photos, two of each landmark."""

    name, extractor, excluded = "album", "delf", frozenset[int]()

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(1)
        centres = rng.standard_normal((4, 30, 8))
        photos = [centres[row // 2] + rng.normal(0, 0.2, (30, 8)) for row in range(8)]
        photos[5] = photos[5][:0]  # nothing was found in one
        self.asked = SimpleNamespace(vectors=l2_normalise(np.float32(centres[3])))
        self.found = SimpleNamespace(
            vectors=l2_normalise(np.float32(np.concatenate(photos))),
            offsets=np.cumsum([0, *map(len, photos)]),
        )
        self.folder, self.made = folder, 0

    def vectors(self) -> Any:
        return self.found

    def features(self, _: Any) -> Any:
        return self.asked

    def artefact(self, name: str, key: Any, make: Callable[[Path], None]) -> Path:
        path = self.folder / f"{artefact.digest(key)}-{name}"
        if not path.exists():
            self.made += 1
            make(path)
        return path

    def kept(self, key: Any, make: Callable[[], Any]) -> Any:
        return make()


def test_a_shortlist(tmp_path: Path) -> None:
    view: Any = Local(tmp_path)
    query = Query(np.zeros((8, 8, 3), np.uint8), key="q")
    method: Any = registry.create("asmk:words=5,depth=7,assigned=1")
    given = Ranking(np.array([0, 5, 7, 2, 6, 1, 3, 4]), np.arange(8.0)[::-1])
    found = method.rerank(query, given, view)
    assert set(found.rows[:2].tolist()) == {6, 7} and found.rows[7] == 4
    assert found.scores[:7].tolist() == sorted(found.scores[:7].tolist(), reverse=True)
    assert found.scores[found.rows.tolist().index(5)] == 0
    assert found.scores[7] == 0.0 and np.isnan(found.columns["asmk"][7])
    (path,) = tmp_path.iterdir()
    assert np.load(path, allow_pickle=False).shape == (5, 8)
    assert path.stat().st_size <= method.estimate_bytes(view) + 1024
    registry.create("asmk:words=5,alpha=1").rerank(query, given, view)  # type: ignore[arg-type]
    assert view.made == 1  # the same codebook
    content = path.read_bytes()
    path.unlink()
    method.prepare(view)
    assert path.read_bytes() == content  # seeded


def test_it_needs_local_features() -> None:
    with pytest.raises(PlaygroundError, match="local features"):
        Recipe.of("hog", "flat", "asmk")
    with pytest.raises(PlaygroundError, match="Legal: 2 to 65536"):
        registry.create("asmk:words=1")
