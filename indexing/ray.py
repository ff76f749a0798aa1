"""Shards made by Ray, on this machine or a cluster that shares PLAYGROUND_HOME (docs.ray.io)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from data import elsewhere
from data.errors import PlaygroundError
from data.paths import PROJECT_ROOT, artifacts_root
from indexing.executor import ShardTask

INSTALL = "pip install -r requirements-ray.txt"
_WAITING = 1_000  # tasks that Ray knows of: enough for every core, whatever joins or leaves
_TRIES = 3  # of a shard, beside the first, whose worker died: its photos may be the reason


class RayExecutor:
    """A task per shard; Ray keeps a process per core, which opens the extractor once.

    What a dead worker or a lost machine was at is done again elsewhere, by Ray itself; a task that
    fails because of a photo fails the build with its sentence.
    """

    def __init__(self, address: str | None = None) -> None:
        # Ray reports its use to its makers unless it is told not to.
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        try:
            import ray
        except ImportError as error:
            raise PlaygroundError(
                "The executor ray needs the Python package ray, which is not installed.",
                command=INSTALL,
            ) from error
        self._ray = ray
        # Every process of one photo at a time: actors with threads of their own starve each other.
        quiet = {"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
        there = {"PLAYGROUND_HOME": str(artifacts_root()), "PYTHONPATH": str(PROJECT_ROOT)}
        if photos := elsewhere.url():
            there[elsewhere.VARIABLE] = photos
        try:
            ray.init(
                address=address,
                include_dashboard=None if address else False,
                log_to_driver=False,
                logging_level="ERROR",
                runtime_env={"env_vars": {**quiet, **there}},
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise PlaygroundError(
                f"Ray cannot be reached at {address or 'this machine'}: {error}. Legal: the "
                f"address that 'ray start --head' prints, such as 127.0.0.1:6379; or none, for a "
                f"Ray of this build alone."
            ) from error

    def map(self, tasks: Sequence[ShardTask]) -> Iterator[ShardTask]:
        ray = self._ray
        made = ray.remote(num_cpus=1, max_retries=_TRIES)(make_shard)
        waiting = list(reversed(tasks))
        running: dict[Any, ShardTask] = {}
        while waiting or running:
            while waiting and len(running) < _WAITING:
                task = waiting.pop()
                running[made.remote(task)] = task
            done, _ = ray.wait(list(running), num_returns=1)
            task = running.pop(done[0])
            try:
                sentence = ray.get(done[0])
            except ray.exceptions.RayError as error:
                died = isinstance(error, ray.exceptions.WorkerCrashedError)
                why = f"its workers died {_TRIES + 1} times" if died else type(error).__name__
                raise PlaygroundError(
                    f"Ray gave up at the photos {', '.join(task.ids)}: {why}. What was described "
                    f"is kept: run the same command again, or without --executor."
                ) from error
            if sentence:
                raise PlaygroundError(sentence)
            yield task

    def close(self) -> None:
        self._ray.shutdown()


def make_shard(task: ShardTask) -> str:
    """In a worker: a sentence where the shard cannot be made, empty where it is there."""
    from indexing.build import encode_shard

    try:
        encode_shard(task)
    except PlaygroundError as error:
        return str(error)
    return ""
