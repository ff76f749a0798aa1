"""From a budget to a setting: photos, memory, time and agreement in, a FAISS recipe out.

advice = advise(points, Budget(photos=50_000, least=0.95, ram=2e8, ms=5))
advice.best.setting, factory_string(advice.best), snippet(advice.best)
advice.relaxations        # where nothing holds: which one limit, and how far it has to move
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

from evaluation.tradeoffs.rows import Point
from indexing import registry as index_registry

# Ours -> FAISS's, for its ParameterSpace.
_SEARCH = {"nprobe": "nprobe", "ef_search": "efSearch", "k_factor": "k_factor_rf"}


@dataclasses.dataclass(frozen=True)
class Budget:
    """What is wanted; None: any.

    Attributes:
        photos: in the collection that is to be searched.
        least: of recall@``k`` against exact search, 0 to 1.
        ms: per query, median, one thread.
        ram: bytes of the whole index.
        bytes_per_photo: that each photo adds to it.
        k: 1, 10 or 100.
    """

    photos: int
    least: float | None = None
    ms: float | None = None
    ram: float | None = None
    bytes_per_photo: float | None = None
    k: int = 10


@dataclasses.dataclass(frozen=True)
class Limit:
    """One number of a budget: a value of a point that has to be at most, or at least, that."""

    name: str  # recall, ms, ram or bytes
    value: float
    of: Callable[[Point], float]
    at_least: bool = False

    def holds(self, point: Point) -> bool:
        """False where the point does not have the value."""
        found = self.of(point)
        return found >= self.value if self.at_least else found <= self.value

    def miss(self, point: Point) -> float:
        """How far the point is off, relative to the limit; 0 where it holds."""
        if self.holds(point):
            return 0.0
        found = self.of(point)
        if math.isnan(found):
            return math.inf
        return abs(found - self.value) / max(abs(self.value), 1e-9)


@dataclasses.dataclass(frozen=True)
class Relaxation:
    """A limit that, moved to ``needed`` alone, makes ``point`` possible."""

    limit: Limit
    needed: float
    point: Point


@dataclasses.dataclass(frozen=True)
class Advice:
    """What ``advise`` found.

    Attributes:
        n: vectors that the points were measured with: the next size from ``photos`` on, else the
            largest one.
        judged: the points that were asked; where the others of a size are real and simulated
            vectors, those with more real ones.
        best: the fastest point that holds everything, the smaller of equally fast ones.
        nearest: the point that misses the limits least; None where nothing is measured.
        failing: the limits that ``nearest`` misses.
        relaxations: single limits whose moving is enough, the smallest relative step first; none
            where two or more have to move.
    """

    n: int
    best: Point | None
    nearest: Point | None
    judged: tuple[Point, ...] = ()
    failing: tuple[Limit, ...] = ()
    relaxations: tuple[Relaxation, ...] = ()

    def beyond(self, photos: int) -> bool:
        """Whether so many photos are more than was measured."""
        return photos > self.n


def limits(budget: Budget) -> list[Limit]:
    """The budget's numbers as limits, those that are given."""
    wanted = [
        ("recall", budget.least, lambda p: p.recall.get(budget.k, math.nan), True),
        ("ms", budget.ms, lambda p: p.latency_ms, False),
        ("ram", budget.ram, lambda p: p.memory_of(budget.photos), False),
        ("bytes", budget.bytes_per_photo, lambda p: p.bytes_per_photo, False),
    ]
    return [Limit(name, float(v), of, least) for name, v, of, least in wanted if v is not None]


def size_for(points: Sequence[Point], photos: int) -> int:
    """The measured size to judge by: the next from ``photos`` on, else the largest."""
    sizes = sorted({point.n for point in points})
    return next((n for n in sizes if n >= photos), sizes[-1])


def advise(points: Sequence[Point], budget: Budget) -> Advice:
    """The fastest measured setting within a budget.

    Args:
        points: of one collection and extractor, any sizes.
    """
    if not points:
        return Advice(0, None, None)
    n = size_for(points, budget.photos)
    simulated = min(point.simulated for point in points if point.n == n)
    known = [
        point
        for point in points
        if (point.n, point.simulated) == (n, simulated) and not math.isnan(point.latency_ms)
    ]
    wanted = limits(budget)
    if not known:
        return Advice(n, None, None)

    def speed(point: Point) -> tuple[float, float]:
        return point.latency_ms, point.bytes_per_photo

    holding = [point for point in known if all(limit.holds(point) for limit in wanted)]
    if holding:
        best = min(holding, key=speed)
        return Advice(n, best, best, tuple(known))
    nearest = min(known, key=lambda point: (sum(one.miss(point) for one in wanted), *speed(point)))
    failing = tuple(limit for limit in wanted if not limit.holds(nearest))
    found = []
    for limit in wanted:
        others = [one for one in wanted if one is not limit]
        possible = [
            point
            for point in known
            if all(one.holds(point) for one in others) and not math.isnan(limit.of(point))
        ]
        if possible:
            best = min(possible, key=lambda point: (limit.miss(point), *speed(point)))
            found.append(Relaxation(limit, limit.of(best), best))
    found.sort(key=lambda one: one.limit.miss(one.point))
    return Advice(n, None, nearest, tuple(known), failing, tuple(found))


def factory_string(point: Point) -> str:
    """What ``faiss.index_factory`` makes the point's index from; empty where nothing does."""
    kind, _ = index_registry.parse_index_spec(point.index)
    try:
        return kind.factory_string(point.plan)
    except KeyError:  # a line that does not name its parameters
        return ""


def snippet(point: Point) -> str:
    """Python that builds the point's index with FAISS alone, and searches it."""
    text = factory_string(point)
    if not text:
        return ""
    lines = [
        "import faiss",
        "import numpy as np",
        "",
        f'vectors = np.load("vectors.npy")  # (n, {point.dim}) float32, one row per photo',
        f'index = faiss.index_factory({point.dim}, "{text}")',
    ]
    if "ef_construction" in point.build:
        parameter = f'"efConstruction", {point.build["ef_construction"]}'
        lines.append(f"faiss.ParameterSpace().set_index_parameter(index, {parameter})")
    lines += ["index.train(vectors)", "index.add(vectors)"]
    for name, value in point.search.items():
        parameter = f'"{_SEARCH.get(name, name)}", {value}'
        lines.append(f"faiss.ParameterSpace().set_index_parameter(index, {parameter})")
    lines.append(f"distances, rows = index.search(query, 10)  # query: (1, {point.dim}) float32")
    return "\n".join(lines)
