"""What a lesson is made of: steps that run recipes of the real app, and a question about each.

A lesson holds no figures. What is right is decided by what the engine answers when a step is
revealed, and every sentence that follows is chosen by that answer, so that it stays true with other
weights, other photos and other machines. No Streamlit here.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from data.base import Box

WHOLE = "whole"  # the box that is the photo
MORE, SAME, LESS = "more", "same", "less"
_PLACES = 9  # digits in which figures that were counted are equal


@dataclasses.dataclass(frozen=True)
class Measure:
    """A figure of a run.

    Attributes:
        title: in tables, where K stands for the results per run.
        timed: measured over several runs, so that it is a median with quartiles.
    """

    title: str
    timed: bool = False


MEASURES = {
    "found": Measure("right of K"),
    "agrees": Measure("agrees with exact"),
    "shared": Measure("the same photos"),
    "describe_ms": Measure("describe the query", timed=True),
    "search_ms": Measure("search", timed=True),
    "rerank_ms": Measure("re-rank", timed=True),
    "bytes": Measure("bytes per photo"),
    "memory": Measure("index in memory"),
    "compared": Measure("vectors compared"),
    "features": Measure("vectors per photo"),
}


@dataclasses.dataclass(frozen=True)
class Figure:
    """The value of a measure; ``low`` and ``high`` are the quartiles of one that was timed."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, value: float) -> Figure:
        """A figure that was counted."""
        return cls(value, value, value)


Figures = Mapping[str, Figure]
"""By the names of ``MEASURES``."""


@dataclasses.dataclass(frozen=True)
class Run:
    """One search of the real app.

    Attributes:
        name: what the step calls it.
        rerank: chain of re-rankers; None: what the method prescribes.
        box: px of the query photo; None: the query's own; ``WHOLE``: all of it.
        vectors: an index in memory over as many vectors, padded with simulated ones (0: over the
            collection's alone); None: the built index.
        planned: nothing is built or searched; the index's plan says what it takes.
        against: the run whose photos are compared with this one's (``shared``).
    """

    name: str
    extractor: str
    index: str = "flat"
    rerank: str | None = None
    box: Box | str | None = None
    vectors: int | None = None
    planned: bool = False
    against: int | None = None


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What was right, and why.

    Attributes:
        right: the answers that count as right, as ``said`` in the address.
        answer: what was measured, in words.
        because: the explanation that fits it.
    """

    right: tuple[str, ...]
    answer: str
    because: str


@dataclasses.dataclass(frozen=True)
class Because:
    """One answer to a question: what can be predicted, and the sentence where it is so."""

    label: str
    because: str


@dataclasses.dataclass(frozen=True)
class Compare:
    """Has one run more of something than another, as much, or less?

    Medians that were timed are the same where their quartiles overlap.
    """

    text: str
    measure: str
    of: int
    than: int
    more: Because
    same: Because
    less: Because

    @property
    def measures(self) -> tuple[str, ...]:
        return (self.measure,)

    def options(self, runs: Sequence[Run]) -> dict[str, str]:
        """What can be predicted: key in the address to words."""
        return {MORE: self.more.label, SAME: self.same.label, LESS: self.less.label}

    def judge(self, runs: Sequence[Run], figures: Sequence[Figures]) -> Verdict:
        mine, other = figures[self.of][self.measure], figures[self.than][self.measure]
        if MEASURES[self.measure].timed:
            equal = mine.low <= other.high and other.low <= mine.high
        else:
            equal = round(mine.value, _PLACES) == round(other.value, _PLACES)
        key = SAME if equal else MORE if mine.value > other.value else LESS
        chosen: Because = {MORE: self.more, SAME: self.same, LESS: self.less}[key]
        return Verdict((key,), chosen.label, chosen.because)


@dataclasses.dataclass(frozen=True)
class Which:
    """Which run has most (or least) of something?

    Attributes:
        because: a sentence for each run, where it is the only one ahead.
        tie: the sentence where several are.
    """

    text: str
    measure: str
    because: tuple[str, ...]
    tie: str
    least: bool = False

    @property
    def measures(self) -> tuple[str, ...]:
        return (self.measure,)

    def options(self, runs: Sequence[Run]) -> dict[str, str]:
        return {str(at): run.name for at, run in enumerate(runs)}

    def judge(self, runs: Sequence[Run], figures: Sequence[Figures]) -> Verdict:
        values = [round(one[self.measure].value, _PLACES) for one in figures]
        best = min(values) if self.least else max(values)
        ahead = [at for at, value in enumerate(values) if value == best]
        right = tuple(map(str, ahead))
        if len(ahead) == 1:
            return Verdict(right, runs[ahead[0]].name, self.because[ahead[0]])
        names = [runs[at].name for at in ahead]
        return Verdict(right, f"{', '.join(names[:-1])} and {names[-1]}", self.tie)


@dataclasses.dataclass(frozen=True)
class Number:
    """How much of something has a run?

    Attributes:
        over: the run that it is divided by; None: the figure itself.
        low, high: what can be predicted.
        near: how far a prediction may be off to count as right, as a share of what was measured;
            counts of a few may be off by one.
        unit: behind the number.
    """

    text: str
    measure: str
    of: int
    low: float
    high: float
    because: str
    over: int | None = None
    near: float = 0.25
    unit: str = ""

    @property
    def measures(self) -> tuple[str, ...]:
        return (self.measure,)

    def value(self, figures: Sequence[Figures]) -> float:
        """What is right."""
        value = figures[self.of][self.measure].value
        if self.over is None:
            return value
        below = figures[self.over][self.measure].value
        return value / below if below else math.inf

    def judge(self, runs: Sequence[Run], figures: Sequence[Figures]) -> Verdict:
        value = self.value(figures)
        shown = f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.2g}"
        return Verdict((str(value),), f"{shown} {self.unit}".strip(), self.because)

    def is_near(self, said: float, value: float) -> bool:
        """Whether a prediction counts as right."""
        return abs(said - value) <= max(self.near * abs(value), 1 if self.over is None else 0)


Question = Compare | Which | Number


@dataclasses.dataclass(frozen=True)
class Step:
    """A saved state of the app with one question.

    Attributes:
        setup: what is run, in a sentence or two of Markdown.
        query: id of a query of the demo.
        shows: measures in the table of the answer, besides that of the question.
        k: results per run.
    """

    title: str
    setup: str
    query: str
    runs: tuple[Run, ...]
    question: Question
    shows: tuple[str, ...] = ("found",)
    minutes: int = 3
    k: int = 10

    @property
    def measures(self) -> tuple[str, ...]:
        """All measures that the answer needs, each once."""
        return tuple(dict.fromkeys([*self.question.measures, *self.shows]))


@dataclasses.dataclass(frozen=True)
class Lesson:
    """A few steps on one subject; ``idea`` is what stays of it, in one sentence."""

    name: str
    title: str
    idea: str
    steps: tuple[Step, ...]

    @property
    def minutes(self) -> int:
        return sum(step.minutes for step in self.steps)


def is_right(question: Question, verdict: Verdict, said: str) -> bool:
    """Whether a prediction, as it stands in the address, was right."""
    if isinstance(question, Number):
        try:
            return question.is_near(float(said), float(verdict.right[0]))
        except ValueError:
            return False
    return said in verdict.right


def in_words(question: Question, runs: Sequence[Run], said: str) -> str:
    """A prediction for people."""
    if isinstance(question, Number):
        return f"{said} {question.unit}".strip()
    return question.options(runs).get(said, said)
