"""Times worth showing: warm, several runs, all recipes in turn, and what disturbed them.

Interleaving spreads whatever else the machine does over all recipes alike, so that their order is
not decided by who was measured at a bad moment. The first round is warm-up and is dropped.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Collection as Ids
from collections.abc import Mapping, Sequence

from retrieval.engine import SearchEngine
from retrieval.ranking import Query, Recipe

RUNS = 5


@dataclasses.dataclass(frozen=True)
class Timing:
    """ms of one stage over several runs: their median and the quartiles around it."""

    median: float
    low: float
    high: float
    runs: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Timing:
        """From the runs' ms."""
        if len(values) < 2:
            return cls(values[0], values[0], values[0], len(values))
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high, len(values))


@dataclasses.dataclass(frozen=True)
class Measured:
    """The stages of one recipe in order, without a total: see ``total_ms``.

    ``alone`` is False where other searches ran in this process meanwhile.
    """

    stages: Mapping[str, Timing]
    alone: bool

    @property
    def total_ms(self) -> float:
        """The stages' medians together, so that what is shown adds up."""
        return sum(timing.median for timing in self.stages.values())


def measure(
    engine: SearchEngine,
    collection: str,
    recipes: Sequence[Recipe],
    query: Query,
    k: int,
    *,
    exclude: Ids[str] = (),
    runs: int = RUNS,
) -> dict[Recipe, Measured]:
    """Search with every recipe in turn, describing the query anew each time.

    Decoding is not repeated: its time is the query's own.

    Args:
        runs: 2 or more, besides the warm-up.

    Raises:
        PlaygroundError: see ``SearchEngine.search``.
    """
    query.pixels()  # decoded once, outside the clock
    found: dict[Recipe, list[dict[str, float]]] = {recipe: [] for recipe in recipes}
    begun, running = engine.activity()
    for number in range(runs + 1):
        for recipe in recipes:
            fresh = engine.without_queries()
            result = fresh.search(collection, recipe, query.again(), k, exclude=exclude)
            if number:
                found[recipe].append(result.timings_ms)
    ours = (runs + 1) * len(recipes)
    alone = not running and engine.activity()[0] - begun == ours
    return {
        recipe: Measured(
            {
                stage: Timing.of([times[stage] for times in rounds])
                for stage in rounds[0]
                if stage != "total"
            },
            alone,
        )
        for recipe, rounds in found.items()
    }
