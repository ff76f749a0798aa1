"""Choosing among measured points: the Pareto front, crossing points, and the automatic choice."""

from __future__ import annotations

import dataclasses
import math
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from data.errors import PlaygroundError
from evaluation.tradeoffs.rows import MEASURES, Point

_OPERATORS: dict[str, Callable[[float, float], bool]] = {"<=": operator.le, ">=": operator.ge}
_CONSTRAINT = re.compile(r"\s*([a-z0-9_@]+)\s*(<=|>=)\s*([0-9.]+(?:e[+-]?[0-9]+)?)\s*")


def pareto_front(
    points: Iterable[Point], cost: str = "latency", gain: str = "recall@10"
) -> list[Point]:
    """The points that no other one beats: none costs no more and brings more, or vice versa.

    Of points that are equal in both, all are on the front.

    Args:
        cost, gain: names of ``rows.MEASURES``; each in its own better direction.

    Returns:
        By rising cost. Points without one of the two values are left out.
    """
    known = [
        (_effort(point, cost), _effort(point, gain), point)
        for point in points
        if not math.isnan(point.value(cost)) and not math.isnan(point.value(gain))
    ]
    known.sort(key=lambda one: one[:2])
    front: list[tuple[float, float, Point]] = []
    for effort, loss, point in known:
        best = front[-1] if front else None
        if best is None or loss < best[1] or (effort, loss) == best[:2]:
            front.append((effort, loss, point))
    return [point for _, _, point in front]


def _effort(point: Point, measure: str) -> float:
    """The measure, turned so that smaller is better."""
    value = point.value(measure)
    return -value if MEASURES[measure].higher_is_better else value


@dataclasses.dataclass(frozen=True)
class Constraint:
    """Such as recall@10 >= 0.95: a name of ``rows.MEASURES``, ``<=`` or ``>=``, a number."""

    measure: str
    sign: str
    limit: float

    def __str__(self) -> str:
        return f"{self.measure} {self.sign} {self.limit:g}"

    def holds(self, point: Point) -> bool:
        """False where the point does not have the value."""
        return _OPERATORS[self.sign](point.value(self.measure), self.limit)

    def miss(self, point: Point) -> float:
        """How far the point is from it, relative to the limit; 0 where it holds."""
        if self.holds(point):
            return 0.0
        value = point.value(self.measure)
        if math.isnan(value):
            return math.inf
        return abs(value - self.limit) / max(abs(self.limit), 1e-9)


def parse_constraints(text: str) -> tuple[Constraint, ...]:
    """The constraints of a text such as ``recall@10>=0.95, bytes<=64, latency<=2``.

    Raises:
        PlaygroundError: not of that form, or an unknown measure.
    """
    found = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        match = _CONSTRAINT.fullmatch(part)
        if match is None or match.group(1) not in MEASURES:
            raise PlaygroundError(
                f"'{part}' is not a constraint. Legal: a measure, <= or >=, and a number, such as "
                f"recall@10>=0.95 or bytes<=64; measures: {', '.join(MEASURES)}."
            )
        try:
            found.append(Constraint(match.group(1), match.group(2), float(match.group(3))))
        except ValueError:
            raise PlaygroundError(f"'{match.group(3)}' in '{part}' is not a number.") from None
    if not found:
        raise PlaygroundError(
            "There is no constraint to choose by. Give one, such as recall@10>=0.95."
        )
    return tuple(found)


@dataclasses.dataclass(frozen=True)
class Choice:
    """What ``tune`` found.

    Attributes:
        best: the fastest point that holds all constraints; None where none does.
        nearest: the point that misses them least (relative misses added); None without points.
        failing: of ``nearest``, the constraints that do not hold.
        impossible: constraints that not one of the points holds by itself.
        sentence: the outcome in words.
    """

    best: Point | None
    nearest: Point | None
    failing: tuple[Constraint, ...]
    impossible: tuple[Constraint, ...]
    sentence: str


def tune(
    points: Sequence[Point], constraints: Sequence[Constraint], goal: str = "latency"
) -> Choice:
    """The best measured point for the goal among those that hold all constraints.

    Args:
        points: of one collection, extractor and size: points of different sizes do not compare.
        goal: a name of ``rows.MEASURES``.
    """
    wanted = " and ".join(map(str, constraints))
    if not points:
        sentence = f"Nothing was measured yet, so nothing can be chosen for {wanted}."
        return Choice(None, None, (), (), sentence)
    holding = [
        point
        for point in points
        if all(constraint.holds(point) for constraint in constraints)
        and not math.isnan(point.value(goal))
    ]
    if holding:
        best = min(holding, key=lambda point: (_effort(point, goal), point.bytes_per_photo))
        figure = f"{best.value(goal):.4g} {MEASURES[goal].unit}".rstrip()
        sentence = (
            f"Of {len(points)} measured settings {len(holding)} hold {wanted}; the best of them "
            f"for {MEASURES[goal].title} is {best.setting} with {figure}."
        )
        return Choice(best, best, (), (), sentence)
    impossible = tuple(c for c in constraints if not any(map(c.holds, points)))
    nearest = min(
        points, key=lambda point: (sum(c.miss(point) for c in constraints), _effort(point, goal))
    )
    failing = tuple(c for c in constraints if not c.holds(nearest))
    if impossible:
        why = f"no measured setting has {' or '.join(map(str, impossible))}"
    else:
        why = "each can be had, but no measured setting has all of them"
    values = ", ".join(f"{c.measure} is {nearest.value(c.measure):.4g}" for c in failing)
    sentence = f"Not possible: {why}. The nearest is {nearest.setting}, where {values}."
    return Choice(None, nearest, failing, impossible, sentence)


def fastest(points: Sequence[Point], measure: str, least: float) -> list[Point]:
    """Of each kind and size the fastest setting with at least this recall; by kind, then size."""
    good = [p for p in points if p.value(measure) >= least and not math.isnan(p.latency_ms)]
    found: dict[tuple[str, int], Point] = {}
    for point in sorted(good, key=lambda p: p.latency_ms):
        found.setdefault((point.family, point.n), point)
    return [found[place] for place in sorted(found)]


@dataclasses.dataclass(frozen=True)
class Crossing:
    """From which size on a kind of index is faster than exact search.

    Attributes:
        family: see ``Point.family``.
        speedup: n -> latency of ``flat`` / that of the family's fastest setting with enough recall.
        size: where the speed-up passes 1, between two measured sizes by interpolation of its
            logarithm; the smallest measured size where it is above 1 from there on; None where it
            never is at the largest one.
    """

    family: str
    speedup: dict[int, float]
    size: float | None


def crossings(
    points: Sequence[Point], recall: float = 0.9, measure: str = "recall@10"
) -> list[Crossing]:
    """Where each kind of index beats ``flat`` at recall@10 of at least ``recall``.

    Args:
        points: of one collection and extractor, several sizes.
        measure: another recall of ``rows.MEASURES``.
    """
    flat = {point.n: point.latency_ms for point in points if point.family == "flat"}
    quick = fastest([point for point in points if point.n in flat], measure, recall)
    found = []
    for family in dict.fromkeys(point.family for point in points if point.family != "flat"):
        speedup = {p.n: flat[p.n] / p.latency_ms for p in quick if p.family == family}
        found.append(Crossing(family, speedup, _crossing(speedup)))
    return found


def _crossing(speedup: dict[int, float]) -> float | None:
    """The size from which on all speed-ups are above 1."""
    sizes = sorted(speedup)
    if not sizes or speedup[sizes[-1]] <= 1:
        return None
    for n, larger in reversed(list(pairwise(sizes))):
        if speedup[n] <= 1:
            low, high = math.log(speedup[n]), math.log(speedup[larger])
            share = -low / (high - low)
            return math.exp(math.log(n) + share * (math.log(larger) - math.log(n)))
    return float(sizes[0])
