"""Exact search by the L1 distance, against its formula."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.errors import PlaygroundError
from indexing import registry
from indexing.base import manifest_of
from indexing.flat import Flat
from indexing.flat_l1 import FlatL1


def unit(n: int, d: int, seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_it_ranks_by_the_sum_of_absolute_differences(tmp_path: Path) -> None:
    vectors, queries = unit(60, 7, 0), unit(5, 7, 1)
    made = FlatL1()
    built = made.build(vectors, made.plan(60, 7))
    built.save(tmp_path / "index.faiss")
    loaded = made.load(tmp_path / "index.faiss", manifest_of(built))
    exact = np.abs(queries[:, None] - vectors[None]).sum(axis=2)
    for index in (built, loaded):
        assert index.distance == "l1"
        hits = index.search(queries, 10)
        for q in range(5):
            rows = slice(hits.offsets[q], hits.offsets[q + 1])
            assert hits.ids[rows].tolist() == np.argsort(exact[q], kind="stable")[:10].tolist()
            np.testing.assert_allclose(hits.distances[rows], np.sort(exact[q])[:10], atol=1e-5)
    # Not the order of the squared distance.
    flat = Flat().build(vectors, Flat().plan(60, 7)).search(queries, 10)
    assert flat.ids.tolist() != loaded.search(queries, 10).ids.tolist()
    assert built.scores(np.array([0.0, 2.0], np.float32)).tolist() == [1.0, 0.0]


def test_an_index_of_the_other_metric_is_refused(tmp_path: Path) -> None:
    vectors = unit(20, 4, 0)
    flat = Flat().build(vectors, Flat().plan(20, 4))
    flat.save(tmp_path / "index.faiss")
    with pytest.raises(PlaygroundError, match="another metric"):
        FlatL1().load(tmp_path / "index.faiss", manifest_of(flat) | {"distance": "l1"})


def test_it_is_asked_for_by_name() -> None:
    assert isinstance(registry.index_type("flat-l1"), FlatL1)
    assert "flat-l1" not in registry.basic()
