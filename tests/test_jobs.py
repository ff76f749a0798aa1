"""Jobs: what they are when the clock is set, how they queue, and what a dead one was at."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import filelock
import psutil
import pytest

from data import paths, store
from data.errors import PlaygroundError
from indexing import jobs
from indexing.jobs import BUILD, MEASURE, JobProgress
from indexing.progress import Stage


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


@pytest.mark.parametrize("step", [5.0, -5.0, 3e7])
def test_a_clock_that_is_set_changes_no_job(
    home: Path, monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    try:
        created = psutil.Process(process.pid).create_time()
        birth = jobs._birth(process.pid)
        if not birth:
            pytest.skip("this system does not tell a process's birth without the clock")
        now = time.time()
        jobs.write(jobs.Job("j", "toy", "running", process.pid, created, now, now, birth=birth))
        real = psutil.Process.create_time
        monkeypatch.setattr(psutil.Process, "create_time", lambda self: real(self) + step)
        assert jobs.job("j").state == "running"
        with pytest.raises(PlaygroundError, match="running already"):
            jobs.start_build("toy", ["hog"], ["flat"])
    finally:
        process.kill()
        process.wait()
    assert jobs.job("j").state == "failed"


def test_another_process_of_the_same_number_is_not_the_job(home: Path) -> None:
    now, created = time.time(), psutil.Process().create_time()
    birth = jobs._birth(os.getpid())
    if not birth:
        pytest.skip("this system does not tell a process's birth without the clock")
    boot, _, ticks = birth.rpartition(" ")
    for number, other in enumerate((f"{boot} {int(ticks) + 1}", f"another-boot {ticks}")):
        jobs.write(
            jobs.Job(f"j{number}", "toy", "running", os.getpid(), created, now, now, birth=other)
        )
        assert jobs.job(f"j{number}").state == "failed"


def test_records_of_before_are_still_read(home: Path) -> None:
    now, created = time.time(), psutil.Process().create_time()
    text = (
        f'{{"id": "old", "collection": "toy", "state": "running", "pid": {os.getpid()}, '
        f'"process_started": {created}, "started": {now}, "updated": {now}, "stages": [], '
        f'"error": ""}}'
    )
    paths.jobs_root().mkdir(parents=True)
    (paths.jobs_root() / "old.json").write_text(text)
    assert jobs.job("old").state == "running"


def test_a_build_waits_for_the_one_that_runs(toy_collection: store.Collection) -> None:
    paths.jobs_root().mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(str(paths.jobs_root() / f".{BUILD}.lock")):
        started = jobs.start_build("toy", ["hog"], ["flat"])
        until(lambda: jobs.job(started.id).waiting != "")
        waiting = jobs.job(started.id)
        assert waiting.state == "running" and waiting.current is None
        assert "one runs at a time" in waiting.waiting
    until(lambda: jobs.job(started.id).state != "running")
    ended = jobs.job(started.id)
    assert (ended.state, ended.waiting) == ("done", ""), ended.error


def test_a_waiting_job_can_be_cancelled(toy_collection: store.Collection) -> None:
    paths.jobs_root().mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(str(paths.jobs_root() / f".{BUILD}.lock")):
        started = jobs.start_build("toy", ["hog"], ["flat"])
        until(lambda: jobs.job(started.id).waiting != "")
        jobs.cancel(started.id)
        assert jobs.job(started.id).state == "cancelled"


def test_jobs_of_a_slot_take_turns_in_their_order(home: Path) -> None:
    made = [JobProgress(f"j{i}", f"map:c{i}", [Stage("hog", "extract")]) for i in range(4)]
    turns: list[int] = []
    go = threading.Event()

    def work(i: int) -> None:
        with made[i].turn(BUILD):
            turns.append(i)
            if i == 0:
                go.wait()
        made[i].end("done")

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    threads[0].start()
    until(lambda: turns == [0])
    for thread in threads[:0:-1]:  # the last comes first to the queue
        thread.start()
    words = "Waits until the build of c0 is done; one runs at a time."
    queue = ["", words, f"{words} 1 more waits before it.", f"{words} 2 more wait before it."]
    until(lambda: [jobs.job(f"j{i}").waiting for i in range(4)] == queue)
    with JobProgress("m", "measure", []).turn(MEASURE):  # another slot does not wait
        go.set()
    for thread in threads:
        thread.join()
    assert turns == [0, 1, 2, 3]


def test_a_dead_build_says_what_it_was_at(toy_collection: store.Collection) -> None:
    started = jobs.start_build("toy", ["hog"], ["flat"])
    stage = Stage("hog", "index", "factory:PQ8", state="running")
    os.kill(started.pid, signal.SIGKILL)
    jobs.write(jobs.dataclasses.replace(started, stages=(stage,)))
    until(lambda: jobs.job(started.id).state == "failed")
    assert "while it was at hog, index factory:PQ8 (stopped" in jobs.job(started.id).error
