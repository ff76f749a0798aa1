"""Shards that are made elsewhere: the same bytes, whatever the workers do."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from test_build import artefact_bytes

from data import changing, importing, store
from data.demo import DemoSource
from data.errors import Invalid, PlaygroundError
from data.paths import vectors_root
from indexing import artefacts
from indexing import build as build_module
from indexing.build import build, encode_shard
from indexing.executor import ShardTask, open_executor

SPECS = ["hog", "bovw:words=64"]


class Backwards:
    """Makes tasks in this process, the last one first, twice, until ``most`` are done."""

    def __init__(self, most: int = 10**6) -> None:
        self.most, self.tasks = most, list[ShardTask]()

    def map(self, tasks: Sequence[ShardTask]) -> Iterator[ShardTask]:
        for task in reversed(tasks):
            if len(self.tasks) == self.most:
                raise PlaygroundError("the worker is gone")
            encode_shard(task)
            encode_shard(task)
            self.tasks.append(task)
            yield task

    def close(self) -> None:
        pass


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_module, "BLOCK", 5)
    build_module._opened.cache_clear()


@pytest.fixture
def plain(toy_collection: store.Collection, small_blocks: None) -> Iterator[dict[str, str]]:
    """The files of a build by threads; they are gone when the test begins."""
    build("toy", SPECS, ["flat"])
    found = artefact_bytes(vectors_root("toy"))
    shutil.rmtree(vectors_root("toy"))
    yield found


def test_the_same_bytes_as_here(plain: dict[str, str]) -> None:
    executor = Backwards()
    outcomes = build("toy", SPECS, ["flat"], executor=executor)
    assert artefact_bytes(vectors_root("toy")) == plain
    # bovw's sample holds all 30 photos, so that nothing is left to describe.
    assert [task.spec for task in executor.tasks] == ["hog"] * 6
    assert [one.described for one in outcomes if one.index is None] == [30, 30]


def test_what_is_learned_travels_and_what_is_there_does_not(
    toy_folder: Path, toy_collection: store.Collection, small_blocks: None
) -> None:
    spec = "bovw:words=64"
    first = [photo.id for photo in toy_collection.photos[:10]]
    changing.remove("toy", first)
    build("toy", [spec], ["flat"])
    importing.import_collection("toy", DemoSource(toy_folder), on_exists="refresh")
    whole = store.load("toy")
    executor = Backwards()
    build("toy", [spec], ["flat"], executor=executor)
    assert {one for task in executor.tasks for one in task.ids} <= set(first)
    assert executor.tasks and all(task.state is not None for task in executor.tasks)
    found, _ = artefacts.load_vectors(whole, spec)
    shutil.rmtree(vectors_root("toy"))
    changing.remove("toy", first)
    build("toy", [spec], ["flat"])
    importing.import_collection("toy", DemoSource(toy_folder), on_exists="refresh")
    build("toy", [spec], ["flat"])
    again, _ = artefacts.load_vectors(store.load("toy"), spec)
    assert np.array_equal(found.vectors, again.vectors)


def test_a_build_goes_on_where_its_workers_ended(plain: dict[str, str]) -> None:
    first = Backwards(most=2)
    with pytest.raises(PlaygroundError, match="the worker is gone"):
        build("toy", ["hog"], ["flat"], executor=first)
    second = Backwards()
    build("toy", ["hog"], ["flat"], executor=second)
    done = {task.out for task in first.tasks}
    assert len(second.tasks) == 4 and not done & {task.out for task in second.tasks}
    hog = {name: value for name, value in plain.items() if name.startswith("hog")}
    assert artefact_bytes(vectors_root("toy")) == hog


def test_a_damaged_shard_is_made_again(plain: dict[str, str]) -> None:
    class Damaging(Backwards):
        def map(self, tasks: Sequence[ShardTask]) -> Iterator[ShardTask]:
            for task in super().map(tasks):
                task.out.write_bytes(task.out.read_bytes()[:-3])
                yield task

    build("toy", ["hog"], ["flat"], executor=Damaging())
    hog = {name: value for name, value in plain.items() if name.startswith("hog")}
    assert artefact_bytes(vectors_root("toy")) == hog


def test_unknown_executor() -> None:
    assert open_executor("threads") is None
    with pytest.raises(Invalid, match=r"There is no executor 'dask'\. Legal: threads, ray"):
        open_executor("dask")


def test_ray_missing_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(PlaygroundError, match=r"requirements-ray\.txt"):
        open_executor("ray")


@pytest.mark.slow
def test_ray_makes_the_same_bytes_though_a_worker_is_killed(plain: dict[str, str]) -> None:
    pytest.importorskip("ray", reason="Ray is optional: pip install -r requirements-ray.txt")
    executor: Any = open_executor("ray")

    class Killing:
        """Ends a worker, as the system does when memory is short, after the first shard."""

        def map(self, tasks: Sequence[ShardTask]) -> Iterator[ShardTask]:
            for number, task in enumerate(executor.map(tasks)):
                if number == 0:
                    workers = [
                        one
                        for one in psutil.process_iter(["cmdline"])
                        if "_Worker" in " ".join(one.info["cmdline"] or [])
                    ]
                    assert workers
                    os.kill(workers[0].pid, signal.SIGKILL)
                yield task

        def close(self) -> None:
            executor.close()

    try:
        build("toy", ["hog"], ["flat"], executor=Killing())
    finally:
        executor.close()
    hog = {name: value for name, value in plain.items() if name.startswith("hog")}
    assert artefact_bytes(vectors_root("toy")) == hog
