"""The same indexes over vectors that form no clusters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from evaluation.lab.base import Experiment, Ground, Problem, Row, built, label
from indexing.base import Floats

REAL, RANDOM = "the collection's vectors", "random directions"
_SEED = 0


class Structure(Experiment):
    """Recall over the collection's vectors beside as many directions drawn at random."""

    name = "structure"
    title = "No clusters"
    question = "What is left of an index when its vectors form no clusters?"
    x_title = "index"
    words = True

    def measure(self, ground: Ground) -> Iterator[Row]:
        vectors, asked = np.asarray(ground.vectors.vectors), ground.asked
        rng = np.random.default_rng(_SEED)
        real = Problem.of(vectors, asked.vectors, asked.own)
        drawn = directions(rng, len(vectors), vectors.shape[1])
        empty = Problem.of(drawn, directions(rng, len(asked), vectors.shape[1]))
        specs = ground.specs()
        ground.steps.total = 2 * len(specs)
        for spec in specs:
            for series, problem in ((REAL, real), (RANDOM, empty)):
                index, _ = built(spec, problem.vectors)
                yield problem.row(index.searcher(), series, label(spec))
                ground.steps.add(f"{label(spec)}: {series}")

    def lesson(self, rows: Sequence[Row]) -> str:
        real = {row.x: row.recall for row in rows if row.series == REAL}
        drawn = {row.x: row.recall for row in rows if row.series == RANDOM}
        worst = max(real, key=lambda x: real[x] - drawn[x])
        return (
            f"{worst} loses most: {real[worst]:.2f} of the neighbours on the collection's vectors, "
            f"{drawn[worst]:.2f} on random directions. Cells, parts and graphs all profit from "
            f"photos that lie close together; in random directions everything is nearly equally "
            f"far. Exact search does not mind."
        )


def directions(rng: np.random.Generator, count: int, dim: int) -> Floats:
    """(count, dim) float32 unit vectors, uniform on the sphere."""
    drawn = rng.standard_normal((count, dim), np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
