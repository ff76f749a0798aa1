"""Photos out of whole shards, which are streamed and never kept."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from data.gldv2.keeping import keep, place_of
from data.gldv2.session import Problem, Session
from data.gldv2.shards import Shard, Task
from data.gldv2.tar import MAX_PHOTO
from data.http import RestartError, WebError
from data.photos import BadPhoto


def fetch_whole(session: Session, task: Task, shard: Shard, ids: set[str], got: set[str]) -> None:
    """Stream one shard, its photos aside until its MD5 is right."""
    name = f"{task.split}/images_{shard.number:03d}.tar"
    ids = ids - got
    if not ids:
        return
    expected = _md5(session, task.split, shard.number)
    for _attempt in range(2):
        aside = session.incoming / f"{task.split}-{shard.number:03d}"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        bad: list[Problem] = []
        found, md5 = _stream(session, task, shard, ids, aside, bad)
        if expected in ("", md5):
            break
    else:
        shutil.rmtree(aside, ignore_errors=True)
        got |= found
        session.left_out(task.split, found)
        session.problem(
            name,
            f"has the MD5 {md5}, {session.mirror.md5_url(task.split, shard.number)} says "
            f"{expected}, twice in a row. Its {len(found):,} photos were left out. Run the "
            f"same command again later, or tell the keeper of the mirror.",
        )
        return
    for problem in bad:
        session.problem(problem.what, problem.reason)
    for photo in sorted(found):
        kept = aside / f"{photo}.jpg"
        if not kept.exists():
            session.left_out(task.split, [photo])
            continue
        place = place_of(session, task.split, photo)
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(kept, place)
        with session.lock:
            session.report.by_shard += 1
            session.count(photo)
    got |= found
    shutil.rmtree(aside, ignore_errors=True)
    with session.lock:
        session.report.shards_checked += bool(expected)


def _md5(session: Session, split: str, number: int) -> str:
    """What the shard's MD5 should be; empty, and a problem, where the server has none."""
    url = session.mirror.md5_url(split, number)
    try:
        words = session.web.get(url, limit=4096).decode("ascii", "replace").split()
    except WebError as error:
        if not error.absent:
            raise
        words = []
    if words and re.fullmatch(r"[0-9a-fA-F]{32}", words[0]):
        return words[0].lower()
    session.problem(
        f"{split}/images_{number:03d}.tar",
        f"could not be checked: {url} is missing or holds no MD5. Its photos were kept.",
    )
    return ""


def _stream(
    session: Session, task: Task, shard: Shard, ids: set[str], aside: Path, bad: list[Problem]
) -> tuple[set[str], str]:
    """Read a whole shard once; begun again when it breaks off on a server without ranges."""
    attempts = session.web.settings.attempts
    for attempt in range(attempts):
        reader = _Reader(session.web.stream(shard.remote))
        found: set[str] = set()
        bad.clear()
        try:
            try:
                with tarfile.open(fileobj=cast(Any, reader), mode="r|") as tar:
                    for info in tar:
                        photo = Path(info.name).stem
                        fits = info.isreg() and info.name.lower().endswith((".jpg", ".jpeg"))
                        if not fits or photo not in ids or not 0 <= info.size <= MAX_PHOTO:
                            continue
                        content = tar.extractfile(info)
                        raw = content.read() if content is not None else b""
                        found.add(photo)
                        try:
                            keep(session, task.split, photo, raw, aside / f"{photo}.jpg")
                        except BadPhoto as error:
                            bad.append(Problem(f"{task.split}/{photo}.jpg", str(error)))
            except tarfile.TarError as error:
                bad.append(
                    Problem(f"{task.split}/images_{shard.number:03d}.tar", f"is broken: {error}.")
                )
            # To the last byte: the MD5 is of all of them.
            return found, reader.finish()
        except RestartError as error:
            if attempt + 1 == attempts:
                raise WebError(
                    f"{shard.remote.url} broke off {attempts} times ({error}), and this "
                    f"server cannot continue a file. Run the same command again."
                ) from error
            session.web.cancel.wait(session.web.settings.backoff * 2**attempt)
    raise AssertionError("the last attempt returns or raises")


class _Reader:
    """A stream of chunks as the file that ``tarfile`` reads; computes the MD5 on the way."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._buffer = bytearray()
        # Not for security: the data set publishes MD5 sums against damage.
        self._md5 = hashlib.md5(usedforsecurity=False)

    def read(self, size: int) -> bytes:
        while len(self._buffer) < size:
            chunk = next(self._chunks, b"")
            if not chunk:
                break
            self._md5.update(chunk)
            self._buffer += chunk
        found = bytes(self._buffer[:size])
        del self._buffer[:size]
        return found

    def finish(self) -> str:
        for chunk in self._chunks:
            self._md5.update(chunk)
        return self._md5.hexdigest()
