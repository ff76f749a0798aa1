"""Votes of local descriptors."""

from __future__ import annotations

import numpy as np
import pytest

from indexing.base import BuiltIndex, Floats
from indexing.registry import parse_index_spec
from retrieval.voting import default_neighbours, vote


def flat(vectors: Floats) -> BuiltIndex:
    kind, _ = parse_index_spec("flat")
    return kind.build(vectors, kind.plan(*vectors.shape))


def column(*values: float) -> Floats:
    return np.array(values, np.float32)[:, None]


# Photo 0: rows 0-2, photo 1: none, photo 2: rows 3-4, photo 3: row 5.
ROWS = column(0, 1, 10, 2, 20, 11)
OFFSETS = np.array([0, 3, 3, 5, 6])


def test_by_hand() -> None:
    """Neighbours of 0.4: rows 0 (0.16), 1 (0.36), 3 (2.56); of 10.4: rows 5 (0.36), 2 (0.16)."""
    result = vote(flat(ROWS), column(0.4, 10.4), OFFSETS, neighbours=3)
    # 10.4's third is row 3 (8.4^2 = 70.56). Photo 0 gets one vote of each, by its nearest row.
    assert result.photos.tolist() == [0, 2, 3]
    assert result.votes.tolist() == [2, 2, 1]
    assert result.mean_distance.tolist() == pytest.approx(
        [0.16, (2.56 + 70.56) / 2, 0.36], abs=1e-5
    )
    assert len(result) == 3


def test_ties_go_to_the_smaller_distance_then_the_position() -> None:
    rows = column(5, 1, -1)
    result = vote(flat(rows), column(0), np.array([0, 1, 2, 3]), neighbours=3)
    assert result.photos.tolist() == [1, 2, 0]
    assert result.votes.tolist() == [1, 1, 1]


def test_nothing_to_vote() -> None:
    result = vote(flat(ROWS), np.empty((0, 1), np.float32), OFFSETS)
    assert len(result) == 0
    assert result.votes.dtype == np.int64


def test_neighbours_scale_with_the_collection() -> None:
    assert [default_neighbours(n) for n in (1, 100, 200, 1000, 1200, 10**6)] == [
        5, 5, 10, 50, 60, 60,
    ]  # fmt: skip


def test_offsets_must_fit() -> None:
    for offsets in ([0, 3, 5], [1, 6], [0, 4, 3, 6], [6]):
        with pytest.raises(ValueError, match="offsets"):
            vote(flat(ROWS), column(1), np.array(offsets))


def test_equals_plain_loops() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.integers(0, 60, 300)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    rows = rng.standard_normal((offsets[-1], 8)).astype(np.float32)
    queries = rng.standard_normal((1000, 8)).astype(np.float32)
    built = flat(rows)
    result = vote(built, queries, offsets, neighbours=60)

    wanted: dict[int, dict[int, float]] = {}
    for q, (ids, distances) in enumerate(built.search(queries, 60)):
        for row, distance in zip(ids, distances, strict=True):
            photo = next(p for p in range(300) if offsets[p] <= row < offsets[p + 1])
            wanted.setdefault(photo, {}).setdefault(q, float(distance))
    order = sorted(wanted, key=lambda p: (-len(wanted[p]), np.mean([*wanted[p].values()]), p))
    assert result.photos.tolist() == order
    assert result.votes.tolist() == [len(wanted[p]) for p in order]
