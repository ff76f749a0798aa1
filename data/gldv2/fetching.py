"""Fetching the photos, shard by shard: by byte range, or from whole shards."""

from __future__ import annotations

import dataclasses
import functools

from data.gldv2 import shards
from data.gldv2.ranged import fetch_ranged
from data.gldv2.session import Session
from data.gldv2.shards import Task
from data.gldv2.tar import BrokenShardError
from data.gldv2.whole import fetch_whole
from data.http import ChangedError, WebError

_FEW = 8  # shards


class Fetching:
    """The photos of one download."""

    def __init__(self, session: Session, search_all: bool) -> None:
        self._session, self._search_all = session, search_all
        self._failures = 0  # shards in a row that could not be reached

    def fetch(self, task: Task) -> None:
        """All photos of a task, shard by shard; what is nowhere becomes ``missing``."""
        tried: dict[str, int] = {}
        failed: set[str] = set()
        left = set(task.ids)
        while left:
            by_shard: dict[int, set[str]] = {}
            for photo in left:
                places = task.candidates(photo) if task.ordered else sorted(task.shards)
                if tried.get(photo, 0) < len(places):
                    number = places[tried.get(photo, 0)]
                    by_shard.setdefault(number, set()).add(photo)
            if not by_shard:
                break
            if not task.ordered:
                # Nobody knows where: every shard is asked for everything that is left.
                by_shard = dict.fromkeys(task.shards, left)
            got: set[str] = set()  # grows as the shards go, so that a broken one costs its rest

            def one(number: int, ids: set[str], got: set[str] = got) -> None:
                fetch = fetch_whole if task.whole else fetch_ranged
                try:
                    fetch(self._session, task, task.shards[number], ids, got)
                except (WebError, ChangedError, BrokenShardError) as error:
                    self._shard_failed(task, number, error)
                    with self._session.lock:
                        failed.update(ids if task.ordered else ())
                else:
                    self._failures = 0

            jobs = [functools.partial(one, number, ids) for number, ids in sorted(by_shard.items())]
            self._session.parallel(jobs)
            left -= got
            if not task.ordered:
                break
            for photo in left:
                tried[photo] = tried.get(photo, 0) + 1
        # A few shards may ascend by chance; looking through all of them is not much, either.
        if left - failed and task.ordered and (self._search_all or len(task.shards) < _FEW):
            everywhere = dataclasses.replace(task, ids=left, ordered=False)
            self.fetch(everywhere)
            return
        self._session.left_out(task.split, left)
        lost = left - failed
        if lost:
            more = " Look through every shard with --search-all." if task.ordered else ""
            where = "where the order of the shards puts them" if task.ordered else "in any shard"
            some = ", ".join(sorted(lost)[:5]) + (" and others" if len(lost) > 5 else "")
            self._session.problem(
                f"{len(lost):,} photos of {task.split}",
                f"are listed, but not {where}: {some}.{more}",
            )

    def _shard_failed(self, task: Task, number: int, error: Exception) -> None:
        if isinstance(error, ChangedError):
            shards.forget(task.split)
        self._session.problem(f"{task.split}/images_{number:03d}.tar", str(error))
        with self._session.lock:
            self._failures += 1
            unreachable = isinstance(error, WebError) and not error.absent
            if unreachable and self._failures > 2 * self._session.web.settings.parallel:
                # The network is gone: hundreds of shards would each wait for all attempts.
                raise error
