"""How long work tells how far it is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int, str], None]
"""Called as (done, total, text); total 0 means unknown."""


class Steps:
    """Counts steps for a progress callback."""

    def __init__(self, progress: Progress | None, total: int = 0) -> None:
        self._progress, self.done, self.total = progress, 0, total

    def add(self, text: str, count: int = 1) -> None:
        self.done += count
        self.show(text)

    def show(self, text: str) -> None:
        if self._progress is not None:
            self._progress(self.done, self.total, text)

    def aside(self, words: str) -> Progress:
        """For a step within a step: shown as text, so that a cancel gets through."""

        def show(done: int, total: int, _: str) -> None:
            self.show(f"{words} {done:,}/{total:,}")

        return show
