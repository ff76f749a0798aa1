"""What the Trade-offs page says about measured points: scales, tables, curves. No Streamlit."""

from __future__ import annotations

import dataclasses
import html
import math
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from indexing import registry
from pages.parts.compare import milliseconds

if TYPE_CHECKING:
    from evaluation.tradeoffs.rows import Point

SIMULATED = "simulated"
_OTHER = re.compile(r"vectors of the collection (\S+)$")


@dataclasses.dataclass(frozen=True, order=True)
class Scale:
    """A size that was measured, and what fills it up.

    Attributes:
        n: vectors in all.
        simulated: how many of them were drawn from a model.
        photos: how many are the collection's own.
        padding: what the others are, in words; empty without others.
    """

    n: int
    simulated: int
    photos: int
    padding: str = ""

    @property
    def label(self) -> str:
        """For the slider: what is not real is said."""
        if self.n == self.photos:
            return f"{short(self.n)} (the collection)"
        others = self.n - self.photos
        if self.simulated == others:
            return f"{short(self.n)} (simulated)"
        return f"{short(self.n)} ({'partly simulated' if self.simulated else 'real'})"

    @property
    def sentence(self) -> str:
        """What the vectors are."""
        if self.n == self.photos:
            return f"{self.n:,} vectors: the photos of the collection."
        words = f"{self.n:,} vectors: {self.photos:,} photos of the collection and {self.padding}"
        if self.simulated:
            return (
                f"{words} distractors. Simulated ones are drawn from a model of this collection's "
                f"descriptors: they show how cost grows with size, and recall is about them, too."
            )
        return f"{words} as distractors."

    @property
    def distractors(self) -> str | None:
        """How the vectors are opened again (``tradeoffs.padding``); None where that is not known.

        Padding in words names its collection at the end, unless simulated ones follow.
        """
        if self.n == self.photos or self.simulated == self.n - self.photos:
            return SIMULATED
        named = _OTHER.search(self.padding.partition(" and ")[0])
        return f"collection:{named[1]}" if named else None


def scale_of(point: Point) -> Scale:
    return Scale(point.n, point.simulated, point.photos, point.padding)


def scales(points: Iterable[Point]) -> list[Scale]:
    """The sizes that were measured, ascending."""
    return sorted({scale_of(point) for point in points})


def short(count: int) -> str:
    """``240``, ``10k``, ``1M``."""
    for limit, unit in ((1_000_000, "M"), (1_000, "k")):
        if count >= limit and count % (limit // 10) == 0:
            return f"{count / limit:g}{unit}"
    return f"{count:,}"


def briefly(ms: float | None) -> str:
    """A time of two digits, also where an index answers in microseconds: ``0.0063 ms``."""
    return f"{ms:.2g} ms" if ms is not None and 0 < ms < 0.0995 else milliseconds(ms)


def machines(points: Sequence[Point]) -> str:
    """Where and when points were measured, and that it was elsewhere where it was."""
    from evaluation.tradeoffs.measure import machine

    now = machine()
    found: dict[tuple[str, str], list[str]] = {}
    for point in points:
        place = (str(point.machine.get("cpu", "")), str(point.machine.get("cores", "")))
        found.setdefault(place, []).append(point.date[:10])
    said = []
    for (cpu, cores), dates in found.items():
        when = " to ".join(dict.fromkeys((min(dates), max(dates))))
        here = (cpu, cores) == (str(now["cpu"]), str(now["cores"]))
        said.append(f"{cpu}, {cores} cores, {when}{'' if here else ' (not this machine)'}")
    return "; ".join(said)


def families(points: Iterable[Point]) -> list[str]:
    """The kinds of index there are, those with a row of their own first."""
    order = registry.names()
    found = {point.family for point in points}
    return sorted(found, key=lambda one: (order.index(one) if one in order else 99, one))


def frame(points: Sequence[Point], front: Iterable[Point] = ()) -> pd.DataFrame:
    """The points as a table, units in the column names; ``front`` marks those on it."""
    from evaluation.tradeoffs.rows import MEASURES

    on_front = {point.key for point in front}
    lines = []
    for point in points:
        line = {
            "collection": point.collection,
            "extractor": point.extractor,
            "vectors": point.n,
            "simulated_vectors": point.simulated,
            "index": point.index,
            "setting": point.setting,
            "kind": point.family,
            "on_front": point.key in on_front,
        }
        for name, measure in MEASURES.items():
            line[f"{name}_{measure.unit}" if measure.unit else name] = point.value(name)
        line["latency_iqr_ms"] = point.latency_1.p50.iqr
        line |= {"repeats": point.repeats, "date": point.date}
        lines.append(line)
    return pd.DataFrame(lines)


def tip(point: Point) -> str:
    """What the mouse shows over a point, in Plotly's HTML."""
    spread = point.latency_1.p50
    lines = [
        f"<b>{html.escape(point.setting)}</b>",
        f"recall@1 {_share(point, 1)}, @10 {_share(point, 10)}, @100 {_share(point, 100)}",
        f"{spread.median:.3g} ms ({spread.low:.3g}–{spread.high:.3g}), 1 thread",
        f"{point.bytes_per_photo:,.0f} bytes per photo, built in {point.build_s:,.3g} s",
        f"{point.n:,} vectors" + (f", {point.simulated:,} simulated" if point.simulated else ""),
    ]
    return "<br>".join(lines)


def _share(point: Point, k: int) -> str:
    value = point.recall.get(k, math.nan)
    return "–" if math.isnan(value) else f"{value:.3f}"
