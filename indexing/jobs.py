"""Builds in a process of their own: started, followed and cancelled from anywhere.

A job is a process running ``python -m scripts.build … --job ID`` and a progress file
``jobs/ID.json`` that it writes. Whoever wants to know reads the file.

Of each slot (``BUILD``, ``MEASURE``) one job works at a time on a machine; the others wait for it
in their order, as running jobs that say so.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import filelock
import psutil

from data import artefact, permission
from data.errors import Conflict, NotFound
from data.paths import PROJECT_ROOT, check_name, jobs_root
from indexing.progress import Stage

WRITE_EVERY = 0.3  # s
KEEP = 30  # ended jobs whose files are kept
BUILD, MEASURE = "build", "measurement"  # slots
# What visitors of a classroom may start: it evaluates, maps or measures what is built.
FOR_VISITORS = (
    ("scripts.evaluate",),
    ("scripts.embedding",),
    ("scripts.benchmark", "index"),
    ("scripts.benchmark", "lab"),
)
MOST_OF_VISITORS = 4  # jobs that run or wait, of all; a visitor starts no further one
_LOOK_EVERY = 0.5  # s between two looks at a slot


@dataclasses.dataclass(frozen=True)
class Job:
    """One build. ``state``: running, done, failed or cancelled."""

    id: str
    collection: str
    state: str
    pid: int
    process_started: float  # by the clock, which may be set; see ``birth``
    started: float  # seconds since the epoch
    updated: float
    stages: tuple[Stage, ...] = ()
    error: str = ""
    birth: str = ""  # tells the process from a later one with the same pid, whatever the clock says
    slot: str = ""
    waiting: str = ""  # a sentence: what it waits for

    @property
    def fraction(self) -> float:
        """0 to 1: the stages' done shares, averaged."""
        if not self.stages:
            return 0.0
        return sum(min(1.0, s.done / max(1, s.total)) for s in self.stages) / len(self.stages)

    @property
    def current(self) -> Stage | None:
        """The stage that runs now."""
        return next((stage for stage in self.stages if stage.state == "running"), None)


def _path(job_id: str) -> Path:
    return jobs_root() / f"{check_name(job_id, 'job')}.json"


def write(job: Job) -> None:
    """Save the job's record."""
    artefact.write_atomically(_path(job.id), json.dumps(dataclasses.asdict(job)))


def _read(path: Path) -> Job | None:
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        value["stages"] = tuple(Stage(**stage) for stage in value["stages"])
        job = Job(**value)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    if job.state == "running" and not _alive(job):
        stage = job.current
        about = ""
        if stage is not None:
            what = f"{stage.stage} {stage.index}" if stage.index else stage.stage
            about = f" while it was at {stage.extractor}, {what}"
        error = (
            f"The build process ended before it was done{about} (stopped, or out of memory). Start "
            f"it again: it goes on where it was."
        )
        job = dataclasses.replace(job, state="failed", error=error)
    return job


def _process(job: Job) -> psutil.Process | None:
    try:
        process = psutil.Process(job.pid)
        birth = _birth(job.pid) if job.birth else ""
        if birth:
            same = birth == job.birth
        else:
            same = abs(process.create_time() - job.process_started) <= 1.0
        if not same:
            return None
        return process if process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.Error:
        return None


def _birth(pid: int) -> str:
    """When a process was made, in ticks since which start of the machine; empty: not told here.

    The time of creation that psutil computes moves with the clock on Linux.
    """
    try:
        ticks = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19]
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, IndexError, ValueError):
        return ""
    return f"{boot} {ticks.decode('ascii')}"


def _alive(job: Job) -> bool:
    return _process(job) is not None


def jobs(collection: str | None = None) -> list[Job]:
    """All known jobs, newest first."""
    found = [_read(path) for path in jobs_root().glob("*.json")]
    wanted = [job for job in found if job and collection in (None, job.collection)]
    return sorted(wanted, key=lambda job: job.started, reverse=True)


def job(job_id: str) -> Job:
    """One job by its id."""
    found = _read(_path(job_id))
    if found is None:
        raise NotFound(f"There is no job {job_id}.")
    return found


def running(collection: str) -> Job | None:
    """The collection's running job, if there is one."""
    return next((j for j in jobs(collection) if j.state == "running"), None)


def building(collection: str) -> set[str]:
    """Extractors that a running job has not finished yet."""
    current = running(collection)
    if current is None:
        return set()
    return {stage.extractor for stage in current.stages if stage.state in ("waiting", "running")}


def start_build(
    collection: str,
    extractors: Sequence[str] | str = "all",
    indexes: Sequence[str] | str = "all",
    force: bool = False,
    weights: str = "auto",
) -> Job:
    """Start a build in its own process and return at once.

    Raises:
        Conflict: a build of this collection is running already.
    """
    joined = [v if isinstance(v, str) else ",".join(v) for v in (extractors, indexes)]
    arguments = ["--collection", collection, "--extractors", joined[0], "--indexes", joined[1]]
    arguments += ["--weights", weights, *(["--force"] if force else [])]
    return start(collection, "build", ["scripts.build", *arguments])


def start(collection: str, what: str, arguments: Sequence[str]) -> Job:
    """Start ``python -m ARGUMENTS --job ID`` in a process of its own and return at once.

    Args:
        collection: what the job is about; one job of it at a time.
        what: a word for people, such as "build".
        arguments: a module that writes the job's file with ``JobProgress``, and its arguments.

    Raises:
        Conflict: a job about this is running already, or too many are for a visitor's.
        Refused: a visitor may not start this.
    """
    if not any(tuple(arguments[: len(known)]) == known for known in FOR_VISITORS):
        permission.require(f"start a {what}")
    jobs_root().mkdir(parents=True, exist_ok=True)
    # Two sessions that start at once must not both find that nothing runs.
    with filelock.FileLock(str(jobs_root() / ".start.lock")):
        return _start(collection, what, arguments)


def _start(collection: str, what: str, arguments: Sequence[str]) -> Job:
    current = running(collection)
    if current is not None:
        raise Conflict(
            f"A {what} of {collection} is running already (job {current.id}). Wait for it, or "
            f"cancel it first."
        )
    busy = sum(one.state == "running" for one in jobs())
    if busy >= MOST_OF_VISITORS and not permission.allowed():
        raise Conflict(
            f"{busy} jobs run or wait already, and visitors start one only while there are fewer "
            f"than {MOST_OF_VISITORS}. Try again when one has ended."
        )
    job_id = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
    command = [sys.executable, "-m", *arguments, "--job", job_id]
    _forget_old()
    with open(jobs_root() / f"{job_id}.log", "wb") as log:
        process = subprocess.Popen(
            command,
            cwd=PROJECT_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=permission.environment() | {"PYTHONUNBUFFERED": "1"},
        )
    now = time.time()
    try:
        created = psutil.Process(process.pid).create_time()
    except psutil.Error:
        created = now
    birth = _birth(process.pid)
    started = Job(job_id, collection, "running", process.pid, created, now, now, birth=birth)
    if not _path(job_id).exists():  # else the job itself has said more already
        write(started)
    return started


def cancel(job_id: str) -> None:
    """Stop a running job; what it has finished stays, and the next build goes on from there."""
    permission.require("stop what is running")
    found = job(job_id)
    if found.state != "running":
        return
    process = _process(found)
    if process is not None:
        process.terminate()
        try:
            process.wait(10)
        except psutil.TimeoutExpired:
            process.kill()
    write(dataclasses.replace(found, state="cancelled", updated=time.time()))


def _forget_old() -> None:
    ended = [j for j in jobs() if j.state != "running"]
    for old in ended[KEEP:]:
        _path(old.id).unlink(missing_ok=True)
        (jobs_root() / f"{old.id}.log").unlink(missing_ok=True)


class JobProgress:
    """Writes a job's progress file; the build's side of it."""

    def __init__(self, job_id: str, collection: str, planned: Sequence[Stage]) -> None:
        now = time.time()
        created = psutil.Process().create_time()
        self._job = Job(
            job_id,
            collection,
            "running",
            os.getpid(),
            created,
            now,
            now,
            tuple(planned),
            birth=_birth(os.getpid()),
        )
        self._written = 0.0
        write(self._job)

    def plan(self, stages: Sequence[Stage]) -> None:
        """The stages, where they were not known at first."""
        self._job = dataclasses.replace(self._job, stages=tuple(stages), updated=time.time())
        write(self._job)

    @contextlib.contextmanager
    def turn(self, slot: str) -> Iterator[None]:
        """Wait until this is the slot's only job, and keep it for as long as this lasts.

        The operating system frees the slot when its job dies, however it dies.
        """
        lock = filelock.FileLock(str(jobs_root() / f".{slot}.lock"))
        self._job = dataclasses.replace(self._job, slot=slot)
        while True:
            before = [
                other
                for other in jobs()
                if other.state == "running" and other.slot == slot and other.id != self._job.id
            ]
            earlier = [one for one in before if (one.started, one.id) < self._order]
            if not any(one.waiting for one in earlier):
                try:
                    lock.acquire(timeout=0)
                    break
                except filelock.Timeout:
                    pass
            at_work = next((one for one in before if not one.waiting), None)
            of = f" of {at_work.collection.rpartition(':')[2]}" if at_work else ""
            words = f"Waits until the {slot}{of} is done; one runs at a time."
            ahead = sum(bool(one.waiting) for one in earlier)
            if ahead:
                words += f" {ahead} more {'waits' if ahead == 1 else 'wait'} before it."
            if words != self._job.waiting:
                self._job = dataclasses.replace(self._job, waiting=words, updated=time.time())
                write(self._job)
            time.sleep(_LOOK_EVERY)
        try:
            self._job = dataclasses.replace(self._job, waiting="", updated=time.time())
            write(self._job)
            yield
        finally:
            lock.release()

    @property
    def _order(self) -> tuple[float, str]:
        return self._job.started, self._job.id

    def update(self, stage: Stage) -> None:
        """Take the place of the planned stage of the same name."""
        key = (stage.extractor, stage.stage, stage.index)
        stages = tuple(
            dataclasses.replace(stage) if (s.extractor, s.stage, s.index) == key else s
            for s in self._job.stages
        )
        self._job = dataclasses.replace(self._job, stages=stages, updated=time.time())
        if stage.state != "running" or time.time() - self._written > WRITE_EVERY:
            write(self._job)
            self._written = time.time()

    def end(self, state: str, error: str = "") -> None:
        """The last word: done, failed or cancelled."""
        write(dataclasses.replace(self._job, state=state, error=error, updated=time.time()))
