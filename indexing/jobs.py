"""Builds in a process of their own: started, followed and cancelled from anywhere.

A job is a process running ``python -m scripts.build … --job ID`` and a progress file
``jobs/ID.json`` that it writes. Whoever wants to know reads the file.
"""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from data import artefact
from data.errors import PlaygroundError
from data.paths import PROJECT_ROOT, check_name, jobs_root
from indexing.progress import Stage

WRITE_EVERY = 0.3  # s
KEEP = 30  # ended jobs whose files are kept


@dataclasses.dataclass(frozen=True)
class Job:
    """One build. ``state``: running, done, failed or cancelled."""

    id: str
    collection: str
    state: str
    pid: int
    process_started: float  # tells the process from a later one with the same pid
    started: float  # seconds since the epoch
    updated: float
    stages: tuple[Stage, ...] = ()
    error: str = ""

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
        error = (
            "The build process ended before it was done (stopped, or out of memory). Start it "
            "again: it goes on where it was."
        )
        job = dataclasses.replace(job, state="failed", error=error)
    return job


def _process(job: Job) -> psutil.Process | None:
    try:
        process = psutil.Process(job.pid)
        if abs(process.create_time() - job.process_started) > 1.0:
            return None
        return process if process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.Error:
        return None


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
        raise PlaygroundError(f"There is no job {job_id}.")
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
        PlaygroundError: a build of this collection is running already.
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
        PlaygroundError: a job about this is running already.
    """
    current = running(collection)
    if current is not None:
        raise PlaygroundError(
            f"A {what} of {collection} is running already (job {current.id}). Wait for it, or "
            f"cancel it first."
        )
    job_id = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
    command = [sys.executable, "-m", *arguments, "--job", job_id]
    jobs_root().mkdir(parents=True, exist_ok=True)
    _forget_old()
    with open(jobs_root() / f"{job_id}.log", "wb") as log:
        process = subprocess.Popen(
            command,
            cwd=PROJECT_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
    now = time.time()
    try:
        created = psutil.Process(process.pid).create_time()
    except psutil.Error:
        created = now
    started = Job(job_id, collection, "running", process.pid, created, now, now)
    write(started)
    return started


def cancel(job_id: str) -> None:
    """Stop a running job; what it has finished stays, and the next build goes on from there."""
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
            job_id, collection, "running", os.getpid(), created, now, now, tuple(planned)
        )
        self._written = 0.0
        write(self._job)

    def plan(self, stages: Sequence[Stage]) -> None:
        """The stages, where they were not known at first."""
        self._job = dataclasses.replace(self._job, stages=tuple(stages), updated=time.time())
        write(self._job)

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
