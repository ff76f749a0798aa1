"""What the steps of one download share, and its report."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from data import importing, mirrors
from data.gldv2.lists import BASE_URL, Mirror, Wanted
from data.http import Cancel, Settings, Stopped, Web
from data.progress import Progress


@dataclasses.dataclass(frozen=True)
class Problem:
    """Something that could not be fetched or was not right, and why."""

    what: str
    reason: str


@dataclasses.dataclass
class Report:
    """What a download did. Photos count queries, too."""

    folder: Path
    wanted: int = 0
    before: int = 0  # were here already
    by_range: int = 0
    by_shard: int = 0  # from whole shards
    shards_checked: int = 0  # whole shards whose MD5 was right
    missing: list[str] = dataclasses.field(default_factory=list)  # split/id of photos
    problems: list[Problem] = dataclasses.field(default_factory=list)
    requests: int = 0
    retries: int = 0
    bytes: int = 0
    seconds: float = 0.0
    imported: importing.Report | None = None
    local: str = ""  # a copy on disk that was imported instead

    @property
    def complete(self) -> bool:
        return not self.missing and not self.problems

    def checked(self) -> str:
        """What was and was not verified, for people."""
        parts = []
        if self.by_shard:
            parts.append(
                f"{self.by_shard:,} photos came from whole shards; the MD5 of "
                f"{self.shards_checked:,} shards was checked and right"
            )
        if self.by_range:
            parts.append(
                f"{self.by_range:,} photos came by byte range; their tar headers and JPEG data "
                f"were checked, the MD5 of their shards was not (it needs the whole shard)"
            )
        return ". ".join(parts) + "." if parts else "Nothing new was fetched."


class Session:
    """What the steps of one download share; used by several threads at a time."""

    def __init__(
        self,
        folder: Path,
        wanted: Wanted,
        mirror: Mirror,
        settings: Settings | None,
        progress: Progress | None,
        cancel: Cancel | None,
    ) -> None:
        self.folder, self.wanted, self.mirror, self.progress = folder, wanted, mirror, progress
        self.incoming = folder / ".incoming"
        self._abort = _Either(cancel)
        self.web = Web(settings, self._abort, known=[mirrors.host_of(BASE_URL)])
        self.lock = threading.Lock()
        self.report = Report(folder)
        self.left = 0  # photos to fetch
        self._done = 0

    def parallel(self, jobs: Sequence[Callable[[], None]]) -> None:
        """Run the jobs, a few at a time; the first error that escapes one stops the others."""
        failure: BaseException | None = None
        with concurrent.futures.ThreadPoolExecutor(self.web.settings.parallel) as pool:
            waiting = [pool.submit(job) for job in jobs]
            try:
                for future in concurrent.futures.as_completed(waiting):
                    error = future.exception() if not future.cancelled() else None
                    # Stopped by us after another error: that one is the cause.
                    if error is not None and (failure is None or isinstance(failure, Stopped)):
                        failure = error
                        self._abort.set()
                        for other in waiting:
                            other.cancel()
            except BaseException:
                # Ctrl-C: the threads notice at their next chunk.
                self._abort.set()
                for other in waiting:
                    other.cancel()
                raise
        if failure is not None:
            raise failure

    def problem(self, what: str, reason: str) -> None:
        with self.lock:
            self.report.problems.append(Problem(what, reason))

    def left_out(self, split: str, ids: Iterable[str]) -> None:
        with self.lock:
            self.report.missing += [f"{split}/{photo}" for photo in ids]

    def count(self, photo: str) -> None:
        """One more is here; call it with the lock."""
        self._done += 1
        self.tell(self._done, self.left, photo)

    def tell(self, done: int, total: int, text: str) -> None:
        if self.progress:
            self.progress(done, total, text)


class _Either:
    """Set when the caller's cancel is, or our own."""

    def __init__(self, other: Cancel | None) -> None:
        self._own, self._other = threading.Event(), other

    def set(self) -> None:
        self._own.set()

    def is_set(self) -> bool:
        return self._own.is_set() or (self._other is not None and self._other.is_set())

    def wait(self, timeout: float | None = None) -> bool:
        if self._other is None:
            return self._own.wait(timeout)
        end = time.monotonic() + (timeout or 0.0)
        while not self.is_set() and time.monotonic() < end:
            self._other.wait(min(0.2, max(0.0, end - time.monotonic())))
        return self.is_set()
