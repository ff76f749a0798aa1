"""Shards made by Ray: on this machine, or on a cluster that shares the disk (docs.ray.io)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from data.errors import PlaygroundError
from data.paths import PROJECT_ROOT, artifacts_root
from indexing.executor import ShardTask

INSTALL = "pip install -r requirements-ray.txt"
_QUEUED = 2  # tasks per worker that wait: the next photo is there when one is done


class RayExecutor:
    """One actor per core, each of which holds the extractor.

    An actor that dies is started again and does its task once more; a task that fails because of
    a photo fails the build with its sentence.
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
        worker = ray.remote(num_cpus=1, max_restarts=-1, max_task_retries=-1)(_Worker)
        count = max(1, min(len(tasks), int(ray.cluster_resources().get("CPU", 1))))
        actors = [worker.remote() for _ in range(count)]
        waiting = list(reversed(tasks))
        running: dict[Any, tuple[Any, ShardTask]] = {}
        for actor in actors * _QUEUED:
            if waiting:
                task = waiting.pop()
                running[actor.run.remote(task)] = (actor, task)
        while running:
            done, _ = ray.wait(list(running), num_returns=1)
            actor, task = running.pop(done[0])
            sentence = ray.get(done[0])
            if sentence:
                raise PlaygroundError(sentence)
            yield task
            if waiting:
                following = waiting.pop()
                running[actor.run.remote(following)] = (actor, following)

    def close(self) -> None:
        self._ray.shutdown()


class _Worker:
    """In a process of its own; the extractor is opened with the first task."""

    def run(self, task: ShardTask) -> str:
        """Make a shard; a sentence where that is not possible, empty where it is done."""
        from indexing.build import encode_shard

        try:
            encode_shard(task)
        except PlaygroundError as error:
            return str(error)
        return ""
