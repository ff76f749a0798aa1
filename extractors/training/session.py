"""The clock of a training: how far it is, when to save, when to stop."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from typing import Any

from data.errors import PlaygroundError
from extractors.training.checkpoint import Progress
from extractors.training.machine import Machine

Say = Callable[[str], None]
"""Called with a line for people."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """When a training ends, and when it pauses. One of the first three is needed."""

    epochs: int | None = None
    steps: int | None = None  # of the optimiser, over all sessions
    minutes: float | None = None  # over all sessions
    session_minutes: float | None = None  # of this process; the same command goes on later
    save_minutes: float = 5.0  # between two checkpoints

    def __post_init__(self) -> None:
        if self.epochs is None and self.steps is None and self.minutes is None:
            raise PlaygroundError("A training needs an end. Give --epochs, --steps or --minutes.")
        for name, value in dataclasses.asdict(self).items():
            if value is not None and ((value <= 0 and name != "save_minutes") or value < 0):
                raise PlaygroundError(f"{name}={value} is not possible. Legal: above 0.")


class Session:
    """One process's stretch of a training; the seconds of earlier ones are counted on."""

    def __init__(self, limits: Limits, progress: Progress, machine: Machine, say: Say) -> None:
        self.limits = limits
        self.progress = progress
        self._machine = machine
        self._say = say
        self._before = progress.seconds
        self._start = self._saved = self._spoke = time.perf_counter()

    @property
    def fraction(self) -> float:
        """How much of the budget is used, 0 to 1: what the learning rate follows."""
        self.progress.seconds = self._before + time.perf_counter() - self._start
        used = []
        if self.limits.epochs is not None:
            used.append(self.progress.epoch / self.limits.epochs)
        if self.limits.steps is not None:
            used.append(self.progress.step / self.limits.steps)
        if self.limits.minutes is not None:
            used.append(self.progress.seconds / (60 * self.limits.minutes))
        return min(1.0, max(used))

    @property
    def over(self) -> bool:
        """Whether the budget is used up (the training is done)."""
        return self._machine.agreed(self.fraction >= 1.0)

    @property
    def paused(self) -> bool:
        """Whether this process's own time is up."""
        limit = self.limits.session_minutes
        elapsed = time.perf_counter() - self._start
        return self._machine.agreed(limit is not None and elapsed >= 60 * limit)

    @property
    def save_due(self) -> bool:
        elapsed = time.perf_counter() - self._saved
        due = self._machine.agreed(elapsed >= 60 * self.limits.save_minutes)
        if due:
            self._saved = time.perf_counter()
        return due

    def record(self, **values: Any) -> None:
        """Add to the history that the report shows, and say it every now and then."""
        entry: dict[str, Any] = {
            "step": self.progress.step,
            "epoch": self.progress.epoch,
            "seconds": round(self.progress.seconds, 1),
            **values,
        }
        self.progress.history.append(entry)
        now = time.perf_counter()
        if self._machine.leads and (now - self._spoke >= 10 or "loss" not in values):
            self._spoke = now
            self._say(" ".join(f"{k}={_short(v)}" for k, v in entry.items()))


def cosine(fraction: float, warm_up: float = 0.03) -> float:
    """Factor of the learning rate: a linear start, then half a cosine down to 0."""
    if fraction < warm_up:
        return max(0.01, fraction / warm_up)
    return 0.5 * (1 + math.cos(math.pi * (fraction - warm_up) / (1 - warm_up)))


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
