"""How a long build tells where it is: to a terminal, to a file, to nobody."""

from __future__ import annotations

import dataclasses
import sys
import time
from typing import Protocol

from tqdm import tqdm


@dataclasses.dataclass
class Stage:
    """One step of a build. ``done`` and ``total`` count photos, or are 0 and 1."""

    extractor: str
    stage: str  # fit, extract or index
    index: str | None = None
    done: int = 0
    total: int = 1
    seconds: float = 0.0
    state: str = "waiting"  # waiting, running, done, failed

    @property
    def eta_s(self) -> float | None:
        """Seconds left at the pace so far; None before there is a pace."""
        if self.state != "running" or self.done == 0:
            return None
        return self.seconds / self.done * (self.total - self.done)


class Progress(Protocol):
    """Is told of every change of a stage. May be called often."""

    def update(self, stage: Stage) -> None: ...


class Silent:
    """Tells nobody."""

    def update(self, stage: Stage) -> None:
        pass


class Terminal:
    """A bar per stage on standard error, with the time left."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None  # type: ignore[type-arg]
        self._stage: Stage | None = None

    def update(self, stage: Stage) -> None:
        if stage is not self._stage:
            name = f"{stage.extractor} {stage.stage}{f' {stage.index}' if stage.index else ''}"
            self._stage = stage
            self._bar = tqdm(
                total=stage.total, desc=f"{name:<28}", unit="", file=sys.stderr, mininterval=0.2
            )
        assert self._bar is not None
        self._bar.total = stage.total
        self._bar.update(stage.done - self._bar.n)
        if stage.state in ("done", "failed"):
            self._bar.close()
            self._stage = None


class Clock:
    """Seconds since it was made, for the stages' times."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._start
