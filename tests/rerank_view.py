"""A collection of a few vectors, as re-rankers see one: to work results out by hand."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import numpy as np

from data import artefact
from retrieval.ranking import Ranking
from retrieval.rerank import registry


@dataclasses.dataclass
class SmallView:
    """``retrieval.rerank.base.View`` over a matrix; queries are vectors."""

    x: np.ndarray
    folder: Path
    excluded: frozenset[int] = frozenset()
    name: str = "small"
    extractor: str = "hog"

    def __post_init__(self) -> None:
        self.x = np.array(self.x, np.float32)
        self.x.flags.writeable = False
        self.photos = tuple(types.SimpleNamespace(id=str(i)) for i in range(len(self.x)))
        self.memory: dict[Hashable, Any] = {}

    def vectors(self, spec: str | None = None) -> Any:
        return types.SimpleNamespace(vectors=self.x)

    def features(self, query: Any, spec: str | None = None) -> Any:
        return types.SimpleNamespace(vectors=np.array(query, np.float32)[None])

    def search(self, vector: np.ndarray, k: int) -> Ranking:
        vector = np.asarray(vector)
        rows = np.array(
            [r for r in range(len(self.x)) if r not in self.excluded and self.x[r].any()], np.int64
        )
        cosines = self.x[rows] @ np.asarray(vector, np.float32)
        order = np.argsort(-cosines, kind="stable")[:k]
        return Ranking(rows[order], cosines[order], {"distance": 2 - 2 * cosines[order]})

    def artefact(
        self, name: str, key: dict[str, Any], make: Callable[[Path], None] | None, **_: bool
    ) -> Path | None:
        path = self.folder / f"{artefact.digest(key)[:16]}-{name}"
        if not path.exists() and make is not None:
            unfinished = path.with_name(f"unfinished-{path.name}")
            make(unfinished)
            unfinished.rename(path)
        return path if path.exists() else None

    def kept(self, key: Hashable, make: Callable[[], Any]) -> Any:
        if key not in self.memory:
            self.memory[key] = make()
        return self.memory[key]


class Asked(np.ndarray):
    """A query that is a vector, with one photo marked right for relevance feedback."""

    right: tuple[str, ...] = ("1",)
    wrong: tuple[str, ...] = ()


def answer(view: SmallView, spec: str, query: Any, k: int = 1000) -> Ranking:
    """A plain search, then one re-ranker or a chain."""
    query = np.asarray(query, float).view(Asked)
    ranking = view.search(query, k)
    for one in registry.chain(spec):
        method = registry.create(one)
        if method.offline == "needed":
            method.prepare(view)  # type: ignore[arg-type]
        ranking = method.rerank(query, ranking, view)  # type: ignore[arg-type]
    return ranking


def unit(*vectors: Any) -> np.ndarray:
    rows = np.array(vectors, float)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def clusters(photos: int = 20, dim: int = 6, of: int = 4, seed: int = 0) -> np.ndarray:
    """(photos, dim) unit vectors around ``of`` centres."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(of, dim))
    return unit(*(centres[i % of] + 0.5 * rng.normal(size=dim) for i in range(photos)))
