"""Shards that are made elsewhere: the same bytes, whatever the workers do."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
from test_build import artefact_bytes

from data import changing, importing, store
from data.demo import DemoSource
from data.errors import PlaygroundError
from data.paths import PROJECT_ROOT, vectors_root
from extractors.base import Features
from indexing import artefacts
from indexing import build as build_module
from indexing.build import build, encode_shard
from indexing.executor import ShardTask
from indexing.ray import RayExecutor

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


def test_only_new_photos_of_a_block_are_made_elsewhere(
    toy_folder: Path, toy_collection: store.Collection, plain: dict[str, str]
) -> None:
    removed = [photo.id for photo in toy_collection.photos[::3]]
    changing.remove("toy", removed)
    build("toy", ["hog"], ["flat"])
    importing.import_collection("toy", DemoSource(toy_folder), on_exists="refresh")
    executor = Backwards()
    outcome = build("toy", ["hog"], ["flat"], executor=executor)[0]
    assert sorted(one for task in executor.tasks for one in task.ids) == removed
    assert outcome.described == len(removed)
    hog = {name: value for name, value in plain.items() if name.startswith("hog")}
    assert artefact_bytes(vectors_root("toy")) == hog


@pytest.mark.parametrize("local", [False, True])
def test_a_shard_gives_back_its_features(local: bool, tmp_path: Path) -> None:
    counts = (3, 0, 2) if local else (1, 1, 1)
    rng = np.random.default_rng(1)
    made = [
        Features(rng.random((n, 7), np.float32), rng.random((n, 4), np.float32) if local else None)
        for n in counts
    ]
    extractor: Any = SimpleNamespace(name="any", dim=7, local=local)
    build_module._write_features(tmp_path / "shard", made, extractor)
    found = build_module._read_features(build_module._whole_shard(tmp_path / "shard"))
    for one, right in zip(found, made, strict=True):
        assert np.array_equal(one.vectors, right.vectors)
        assert (one.geometry is None) == (not local)
        assert not local or np.array_equal(one.geometry, right.geometry)  # type: ignore[arg-type]


def test_ray_missing_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(PlaygroundError, match=r"requirements-ray\.txt"):
        RayExecutor()


class WorkerError(Exception):
    """What Ray raises where a task's workers died again and again."""


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (WorkerError(), r"gave up at the photos one, two: its workers died 4 times"),
        (KeyError(), r"gave up at the photos one, two: KeyError"),
        ("The photo one is missing.", r"^The photo one is missing\.$"),
    ],
)
def test_what_ray_cannot_make_is_a_sentence(answer: Any, words: str) -> None:
    def get(reference: Any) -> Any:
        if isinstance(reference, Exception):
            raise reference
        return reference

    executor = object.__new__(RayExecutor)
    executor._ray = SimpleNamespace(
        remote=lambda **options: lambda run: SimpleNamespace(remote=lambda task: answer),
        wait=lambda references, num_returns: (references[:num_returns], []),
        get=get,
        exceptions=SimpleNamespace(RayError=Exception, WorkerCrashedError=WorkerError),
    )
    task = ShardTask("any", "hog", "auto", ("one", "two"), None, Path("shard"))
    with pytest.raises(PlaygroundError, match=words):
        list(executor.map([task]))


# -- Ray ---------------------------------------------------------------------------------------


@pytest.fixture
def ray(plain: dict[str, str]) -> Any:
    return pytest.importorskip("ray", reason="Ray is optional: pip install -r requirements-ray.txt")


def hog_of(files: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in files.items() if name.startswith("hog")}


class Losing:
    """Ray, and what befalls it after the first shard."""

    def __init__(self, executor: RayExecutor, lose: Callable[[], object]) -> None:
        self.executor, self.lose, self.lost = executor, lose, False

    def map(self, tasks: Sequence[ShardTask]) -> Iterator[ShardTask]:
        for task in self.executor.map(tasks):
            if not self.lost:
                self.lose()
                self.lost = True
            yield task

    def close(self) -> None:
        self.executor.close()


def kill_a_worker() -> None:
    """As the system does when memory is short."""
    named = ((one, one.info["cmdline"] or [""]) for one in psutil.process_iter(["cmdline"]))
    workers = [one.pid for one, words in named if words[0].startswith("ray::make_shard")]
    assert workers
    os.kill(workers[0], signal.SIGKILL)


@pytest.mark.slow
def test_ray_makes_the_same_bytes_though_a_worker_is_killed(
    ray: Any, plain: dict[str, str]
) -> None:
    executor = Losing(RayExecutor(), kill_a_worker)
    try:
        build("toy", ["hog"], ["flat"], executor=executor)
    finally:
        executor.close()
    assert executor.lost and artefact_bytes(vectors_root("toy")) == hog_of(plain)


@pytest.mark.slow
def test_ray_makes_the_same_bytes_though_a_machine_is_lost(ray: Any, plain: dict[str, str]) -> None:
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    second = cluster.add_node(num_cpus=1)
    try:
        executor = RayExecutor(cluster.address)
        assert len([one for one in ray.nodes() if one["Alive"]]) == 2
        losing = Losing(executor, lambda: cluster.remove_node(second, allow_graceful=False))
        try:
            build("toy", ["hog"], ["flat"], executor=losing)
        finally:
            executor.close()
    finally:
        cluster.shutdown()
    assert losing.lost and artefact_bytes(vectors_root("toy")) == hog_of(plain)


DRIVER = """
import os, signal, sys
from indexing import build
from indexing.ray import RayExecutor

class Dying(RayExecutor):
    def map(self, tasks):
        for number, task in enumerate(super().map(tasks)):
            if number == int(sys.argv[1]):
                os.kill(os.getpid(), signal.SIGKILL)
            yield task

build.BLOCK = 5
executor = Dying()
print([one.described for one in build.build("toy", ["hog"], ["flat"], executor=executor)][0])
executor.close()
"""


@pytest.mark.slow
def test_ray_goes_on_after_its_driver_was_killed(ray: Any, plain: dict[str, str]) -> None:
    def drive(most: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", DRIVER, str(most)]
        return subprocess.run(
            command, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=600
        )

    assert drive(2).returncode == -signal.SIGKILL
    whole = list(vectors_root("toy").rglob("*.safetensors"))
    assert len(whole) >= 3 and artefact_bytes(vectors_root("toy")) != hog_of(plain)
    again = drive(99)
    assert again.returncode == 0, again.stderr
    assert int(again.stdout.split()[-1]) <= 30 - 15  # three shards of five were there
    assert artefact_bytes(vectors_root("toy")) == hog_of(plain)
