"""What a download will take, and the question that waits for an answer."""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from data import artefact, paths, permission
from data.errors import PlaygroundError
from data.gldv2.session import Session
from data.gldv2.shards import Task
from data.gldv2.tar import BLOCK
from data.http import ChangedError, Stopped, WebError

SPARE = 256 << 20  # bytes that must stay free on the disk
# Of a search, for the estimate: simulated on shards of 8,266 evenly spread ids, 120 kB a photo.
_PER_SEARCH = 5  # requests of 128 kB


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What the next step will take."""

    step: Literal["lists", "photos"]
    files: int  # lists, or photos
    bytes: int  # to fetch, about
    requests: int  # about
    disk: int  # bytes to write, about
    seconds: float | None  # None where the server's pace is not known yet
    how: str  # a sentence for people
    shards: int = 0  # tars that are read, in part or whole
    free: int = 0  # bytes on the disk that is written to


def ask(confirm: Callable[[Estimate], bool], estimate: Estimate, folder: Path) -> None:
    """Disk first, then the question."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < estimate.disk + SPARE:
        raise PlaygroundError(
            f"The disk of {folder} has {free / 1e9:,.2f} GB free; the {estimate.step} need about "
            f"{estimate.disk / 1e9:,.2f} GB, and {SPARE / 1e9:,.2f} GB must stay free. Free some "
            f"space, set PLAYGROUND_HOME to another disk, or choose fewer or smaller photos "
            f"(--landmarks, --max-photos, --longer-side)."
        )
    if not confirm(dataclasses.replace(estimate, free=free)):
        raise Stopped(f"Nothing of the {estimate.step} was downloaded, as you chose.")


def of_photos(session: Session, tasks: list[Task]) -> Estimate:
    fetched = requests = disk = touched = 0
    how = []
    for task in tasks:
        sizes = {n: max(0, shard.remote.size) for n, shard in task.shards.items()}
        mean = sum(sizes.values()) / max(1, session.mirror.photos[task.split])
        # A photo shrunk to JPEG quality 90 may take more bytes than the original did.
        disk += int(len(task.ids) * max(mean * 1.5, 16_384))
        if not task.shards:
            how.append(f"No shard of {task.split} is on this server.")
        elif task.whole:
            numbers = {n for photo in task.ids for n in task.candidates(photo)[:1]}
            numbers = numbers if task.ordered else set(task.shards)
            fetched += sum(sizes[n] for n in numbers)
            requests += 2 * len(numbers)
            touched += len(numbers)
            how.append(f"{len(numbers)} whole shards of {task.split}, MD5 checked.")
        elif task.ordered:
            requests += len(task.ids) * (_PER_SEARCH + 1)
            fetched += int(len(task.ids) * (mean + _PER_SEARCH * (1 << 17)))
            touched += len({task.candidates(photo)[0] for photo in task.ids})
            how.append(
                f"{len(task.ids):,} photos of {task.split} by byte range, supposing that ids "
                f"ascend within its shards (else it takes longer)."
            )
        else:
            requests += session.mirror.photos[task.split] + len(task.ids)
            fetched += int(len(task.ids) * mean + session.mirror.photos[task.split] * 1024)
            touched += len(task.shards)
            how.append(
                f"{len(task.ids):,} photos of {task.split} by byte range, looking through the "
                f"headers of all {len(task.shards)} shards, which are in no order."
            )
    seconds = _seconds(session, tasks, requests, fetched)
    words = " ".join(how)
    return Estimate("photos", session.left, fetched, requests, disk, seconds, words, touched)


def _seconds(session: Session, tasks: list[Task], requests: int, fetched: int) -> float | None:
    """By the pace of one megabyte and the time a small request takes."""
    ranged = [s.remote for t in tasks for s in t.shards.values() if s.remote.ranges]
    if not ranged:
        return None
    remote, parallel = ranged[0], session.web.settings.parallel
    length = min(1 << 20, remote.size)
    times = []
    try:
        for size in (BLOCK, length):
            started = time.perf_counter()
            session.web.read(remote, 0, min(size, remote.size))
            times.append(time.perf_counter() - started)
    except (WebError, ChangedError):
        return None  # the photos will say what is wrong
    pace = length / max(1e-3, times[1] - times[0])
    return requests * times[0] / parallel + fetched / pace


@dataclasses.dataclass(frozen=True)
class Question:
    """An estimate that waits for an answer, and the command's arguments to go on with."""

    name: str
    estimate: Estimate
    arguments: tuple[str, ...]


def _question_file(name: str) -> Path:
    return paths.downloads_root() / "questions" / f"{paths.check_name(name, 'collection')}.json"


def keep_question(question: Question) -> None:
    """Keep an estimate until somebody answers it, in whatever process."""
    text = json.dumps(dataclasses.asdict(question))
    artefact.write_atomically(_question_file(question.name), text)


def kept_question(name: str) -> Question | None:
    """The estimate that waits for an answer, if there is one."""
    try:
        kept = json.loads(_question_file(name).read_text(encoding="utf-8"))
        arguments = tuple(str(one) for one in kept["arguments"])
        return Question(name, Estimate(**kept["estimate"]), arguments)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def forget_question(name: str) -> None:
    """It was answered."""
    permission.require("decide on a download")
    _question_file(name).unlink(missing_ok=True)
