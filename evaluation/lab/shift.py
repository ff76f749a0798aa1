"""Queries of another kind than what the index was trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from evaluation.lab.base import Experiment, Ground, Problem, Row, built, label
from evaluation.lab.structure import directions
from indexing.base import Floats

OWN, NOISE = "the collection's queries", "random directions"
_SEED, _MOST = 0, 200


class Shift(Experiment):
    """Recall and latency for the collection's queries beside photos of other collections."""

    name = "shift"
    title = "Other queries"
    question = "Does an index keep its recall for queries unlike the photos it was trained on?"
    x_title = "index"
    words = True

    def measure(self, ground: Ground) -> Iterator[Row]:
        vectors, asked = np.asarray(ground.vectors.vectors), ground.asked
        rng = np.random.default_rng(_SEED)
        others: dict[str, Floats] = {
            f"photos of {name}": drawn(rng, found) for name, found in ground.strangers.items()
        }
        others = others or {NOISE: directions(rng, len(asked), vectors.shape[1])}
        problems = {OWN: Problem.of(vectors, asked.vectors, asked.own)} | {
            series: Problem.of(vectors, queries) for series, queries in others.items()
        }
        specs = ground.specs()
        ground.steps.total = len(specs) * len(problems)
        for spec in specs:
            index, _ = built(spec, vectors)
            for series, problem in problems.items():
                yield problem.row(index.searcher(), series, label(spec))
                ground.steps.add(f"{label(spec)}: {series}")

    def lesson(self, rows: Sequence[Row]) -> str:
        own = {row.x: row.recall for row in rows if row.series == OWN}
        worst = max(
            (row for row in rows if row.series != OWN), key=lambda row: own[row.x] - row.recall
        )
        lost = own[worst.x] - worst.recall
        if lost < 0.02:
            return (
                f"No index loses more than {max(0.0, lost):.2f} of its recall for {worst.series}: "
                f"what these indexes learned holds for such queries, too."
            )
        return (
            f"{worst.x} falls from {own[worst.x]:.2f} to {worst.recall:.2f} for {worst.series}: "
            f"its cells, parts or links follow the photos it was trained on, and such queries lie "
            f"between them. Measure recall with the queries that will come, not with photos of "
            f"the collection."
        )


def drawn(rng: np.random.Generator, vectors: Floats) -> Floats:
    """At most 200 rows that describe something, in their order."""
    kept = np.flatnonzero(vectors.any(axis=1))
    if len(kept) > _MOST:
        kept = np.sort(rng.choice(kept, _MOST, replace=False))
    return np.ascontiguousarray(vectors[kept], np.float32)
