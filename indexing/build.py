"""The offline build: from a collection to descriptors and indexes, resumable at any moment.

Results of the expensive steps go to small shard files whose names are digests of what they were
made from, so a build that is killed and started again finds them by itself, and a shard can never
be taken for another. Shards are blocks of photos in the collection's order; memory is bounded by
a block, whatever the collection's size. Each holds the digest of its content, and a damaged one is
made again. When an artefact is complete its shards are removed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import errno
import functools
import hashlib
import itertools
import json
import os
import platform
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from data import artefact, permission, store
from data.base import Photo
from data.errors import PlaygroundError
from data.store import Collection
from extractors import registry as extractor_registry
from extractors.base import Extractor, Features, Prepared, Raw
from indexing import alone
from indexing import registry as index_registry
from indexing.artefacts import (
    Vectors,
    extractor_folder,
    identity_difference,
    index_damage,
    index_folder,
    index_manifest,
    load_vectors,
    read_vectors_manifest,
)
from indexing.base import IndexType, Plan
from indexing.executor import Executor, ShardTask
from indexing.faiss_settings import building, parallel
from indexing.progress import Clock, Progress, Silent, Stage

Item = TypeVar("Item")
Result = TypeVar("Result")

BLOCK = 16  # photos in a shard: a kill costs the work of at most so many
SAMPLE_SEED = 0
_DIGEST = "sha256"  # in a shard's header: of its tensors' names, kinds, shapes and bytes
WORKERS = min(4, os.cpu_count() or 1)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What was done for one extractor, or one index over it."""

    extractor: str
    index: str | None
    action: str  # built, updated or unchanged
    seconds: float
    photos: int
    described: int  # photos that went through the extractor in this run
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Failure:
    """What could not be built, and why."""

    extractor: str
    index: str | None
    error: PlaygroundError

    def __str__(self) -> str:
        return f"{self.extractor}{f' {self.index}' if self.index else ''}: {self.error}"


class Incomplete(PlaygroundError):  # noqa: N818 (read as a word, like BadPhoto)
    """A part of what was asked for could not be built; the rest was."""

    def __init__(self, outcomes: Sequence[Outcome], failures: Sequence[Failure]) -> None:
        self.outcomes, self.failures = list(outcomes), list(failures)
        super().__init__(
            f"{len(failures)} of {len(failures) + len(outcomes)} could not be built. "
            + " ".join(f"({i}) {failure}" for i, failure in enumerate(failures, 1))
        )


def build(
    collection_name: str,
    extractors: Sequence[str],
    indexes: Sequence[str],
    *,
    weights: str = "auto",
    force: bool = False,
    progress: Progress | None = None,
    executor: Executor | None = None,
) -> list[Outcome]:
    """Build what is missing, out of date or damaged; everything else is left as it is.

    What cannot be built does not keep the rest from it: every extractor and index is tried.

    Args:
        extractors: specs, see ``extractors.registry``.
        indexes: specs, see ``indexing.registry``.
        force: build again what is up to date, learned state included.
        progress: is told of every step.
        executor: makes the shards of new photos elsewhere; None: they are made here.

    Raises:
        Incomplete: a part could not be built.
        PlaygroundError: unknown names, a collection that cannot be read, a full disk; or the
            only extractor cannot be built.
    """
    permission.require("build")
    progress = progress or Silent()
    collection = store.load(collection_name)
    if not collection.photos:
        raise PlaygroundError(
            f"The collection {collection_name} has no photos. Add some: "
            f"python -m scripts.collections add {collection_name} --source folder --path FOLDER"
        )
    extractors = [extractor_registry.canonical(spec) for spec in extractors]
    for spec in extractors:  # a wrong config or a missing checkpoint is told before hours of work
        extractor = extractor_registry.create(spec, weights=weights)
        extractor.weights_identity()
        if collection.fingerprint in extractor.learned_from:
            raise PlaygroundError(
                f"{spec} was learned from the collection {collection.name} itself, so searching it "
                f"would be looking at the answers. Learn it from another collection: "
                f"python -m scripts.fit_whitening --help"
            )
    for spec in indexes:
        index_registry.parse_index_spec(spec)
    outcomes: list[Outcome] = []
    failures: list[Failure] = []
    for spec in extractors:
        folder = extractor_folder(collection.name, spec)
        doing = f"Building {spec} for {collection.name}"
        try:
            with artefact.explain_os_errors(doing), artefact.exclusive(folder, doing), building():
                task = _ExtractorBuild(collection, spec, weights, force, progress, executor)
                vectors, outcome = task.run()
                outcomes.append(outcome)
                for index in indexes:
                    one = _IndexBuild(collection, spec, index, vectors, force, progress)
                    try:
                        outcomes.append(one.run())
                    except PlaygroundError as error:
                        failures.append(Failure(spec, index, error))
                        one.failed()
        except PlaygroundError as error:
            if len(extractors) == 1 or _ends_everything(error):
                raise
            failures.append(Failure(spec, None, error))
            for stage in planned_stages([spec], indexes):
                stage.state = "failed"
                progress.update(stage)
    if failures:
        raise Incomplete(outcomes, failures)
    return outcomes


def _ends_everything(error: PlaygroundError) -> bool:
    """Whether nothing else can be built either: nothing can be written any more."""
    full = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
    return isinstance(error.__cause__, OSError) and error.__cause__.errno in full


def planned_stages(extractors: Sequence[str], indexes: Sequence[str]) -> list[Stage]:
    """The steps that ``build`` will go through, in its order."""
    stages = []
    for spec in map(extractor_registry.canonical, extractors):
        names = ["fit"] if extractor_registry.create(spec).fit_sample else []
        stages += [Stage(spec, name) for name in [*names, "extract"]]
        stages += [Stage(spec, "index", index=index) for index in indexes]
    return stages


def record(**values: Any) -> dict[str, Any]:
    """Measured values with what they were measured on."""
    return {
        **values,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    }


def library_versions() -> dict[str, str]:
    """Versions of what computes the vectors and indexes."""
    names = ("faiss-cpu", "numpy", "opencv-python-headless", "scikit-image", "torch", "openvino")
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except ModuleNotFoundError:
            continue
    return found


def describe_ahead(
    extractor: Extractor, collection: Collection, photos: Sequence[Photo]
) -> Iterator[Raw]:
    """``describe`` of some photos in their order; a few are decoded and described ahead, in
    threads, while the caller works on those before."""

    def prepare(photo: Photo) -> Prepared:
        return extractor.prepare(collection.read(photo))

    if not photos:
        return
    network = extractor.load(streams=WORKERS)
    if network is not None and network.batches:
        prepared = _ahead(photos, prepare)
        for block in _blocks(photos):
            yield from extractor.describe_batch(list(itertools.islice(prepared, len(block))))
    else:
        # The cores are best used by several photos at once.
        yield from _ahead(photos, lambda photo: extractor.describe(prepare(photo)))


def encode_shard(task: ShardTask) -> None:
    """Describe a shard's photos and write it, in a worker's process.

    Raises:
        PlaygroundError: the collection has changed, or a photo cannot be read.
    """
    extractor, collection = _opened(task.collection, task.spec, task.weights, task.state)
    photos = [collection.photo(one) for one in task.ids]
    raws = describe_ahead(extractor, collection, photos)
    _write_features(task.out, [extractor.encode(raw) for raw in raws], extractor)


@functools.lru_cache(maxsize=1)
def _opened(
    collection: str, spec: str, weights: str, state: Path | None
) -> tuple[Extractor, Collection]:
    extractor = extractor_registry.create(spec, weights=weights)
    if state is not None:
        extractor.load_state(_whole_shard(state))
    return extractor, store.load(collection)


class _ExtractorBuild:
    """The vectors of one extractor. ``run`` does it all; the rest are its steps."""

    def __init__(
        self,
        collection: Collection,
        spec: str,
        weights: str,
        force: bool,
        progress: Progress,
        executor: Executor | None = None,
    ) -> None:
        self.collection = collection
        self.spec = spec
        self.weights = weights
        self.force = force
        self.progress = progress
        self.executor = executor
        self.folder = extractor_folder(collection.name, spec)
        self.extractor = extractor_registry.create(spec, weights=weights)
        self.described = 0

    def run(self) -> tuple[Vectors, Outcome]:
        clock = Clock()
        old = self._reusable()
        n = len(self.collection.photos)
        if old is not None and old.manifest["fingerprint"] == self.collection.fingerprint:
            for stage in planned_stages([self.spec], []):
                stage.done, stage.total, stage.state = n, n, "done"
                self.progress.update(stage)
            shutil.rmtree(self.folder / "partial", ignore_errors=True)  # of a build killed late
            return old, Outcome(self.spec, None, "unchanged", clock.seconds, n, 0)
        self._check_space(n)
        partial = self.folder / "partial" / artefact.digest(self.extractor.identity())[:16]
        if self.force:
            shutil.rmtree(partial, ignore_errors=True)
        raws = _Shards(partial / "raw")
        state: dict[str, NDArray[Any]] = {}
        fit_seconds = 0.0
        if self.extractor.fit_sample:
            fit_clock = Clock()
            if old is not None:
                state = old.state
                self.extractor.load_state(state)
            else:
                state = self._fit(partial, raws)
            fit_seconds = fit_clock.seconds
        blocks = self._encode(partial, raws, state, old)
        vectors = self._assemble(blocks, state, clock, fit_seconds)
        shutil.rmtree(self.folder / "partial", ignore_errors=True)
        action = "built" if old is None else "updated"
        return vectors, Outcome(self.spec, None, action, clock.seconds, n, self.described)

    def _reusable(self) -> Vectors | None:
        """What is there already, if this extractor made it; None to start afresh."""
        if extractor_registry.is_imported(self.spec):
            # Nothing can be computed again: it is there and fits, or has to be imported again.
            return load_vectors(self.collection, self.spec)[0]
        if self.force:
            return None
        manifest = read_vectors_manifest(self.collection.name, self.spec)
        if manifest is None or identity_difference(self.extractor, manifest) is not None:
            return None
        try:
            vectors, _ = load_vectors(self.collection, self.spec, allow_changed=True)
        except PlaygroundError:
            return None  # damaged: build it again
        return vectors

    def _check_space(self, photos: int) -> None:
        needed = 2 * photos * self.extractor.photo_bytes  # the shards and the artefact
        free = shutil.disk_usage(_existing(self.folder)).free
        if needed > free:
            raise PlaygroundError(
                f"Building {self.spec} for {photos} photos needs some {needed / 1e9:.1f} GB in "
                f"{self.folder}, and {free / 1e9:.1f} GB are free. Free some space, or set "
                f"PLAYGROUND_HOME to a larger disk."
            )

    # -- describe ------------------------------------------------------------------------------

    def _described(self, photos: Sequence[Photo]) -> Iterator[Raw]:
        for raw in describe_ahead(self.extractor, self.collection, photos):
            self.described += 1
            yield raw

    def _raw_blocks(
        self, shards: _Shards, blocks: Sequence[Sequence[Photo]]
    ) -> Iterator[list[Raw]]:
        """What ``describe`` made of each block, from its shard where that is there and whole."""
        absent = [block for block in blocks if not shards.path(_key(block)).exists()]
        ahead = self._described([photo for block in absent for photo in block])
        keys = {_key(block) for block in absent}
        for block in blocks:
            key = _key(block)
            found = None if key in keys else shards.read_raws(key)
            if found is None:
                found = list(
                    itertools.islice(ahead, len(block)) if key in keys else self._described(block)
                )
                shards.write_raws(key, found)
            yield found

    # -- fit -----------------------------------------------------------------------------------

    def _sample(self) -> list[Photo]:
        photos = self.collection.photos
        size = self.extractor.fit_sample
        if len(photos) <= size:
            return list(photos)
        rng = np.random.default_rng(SAMPLE_SEED)
        return [photos[i] for i in sorted(rng.choice(len(photos), size, replace=False))]

    def _fit(self, partial: Path, raws: _Shards) -> dict[str, NDArray[Any]]:
        sample = self._sample()
        path = partial / f"state-{_key(sample)}.safetensors"
        stage = Stage(self.spec, "fit", total=len(sample) + 1, state="running")
        clock = Clock()
        self.progress.update(stage)
        state = self._stored_state(path)
        if state is None:

            def done(photos: int) -> None:
                stage.done = max(stage.done, photos)
                stage.seconds = clock.seconds
                self.progress.update(stage)

            self.extractor.fit(_Sample(lambda blocks: self._raw_blocks(raws, blocks), sample, done))
            state = self.extractor.state()
            _write_shard(path, state)
        stage.done, stage.seconds, stage.state = stage.total, clock.seconds, "done"
        self.progress.update(stage)
        return state

    def _stored_state(self, path: Path) -> dict[str, NDArray[Any]] | None:
        """What a build that was stopped had learned; None where there is nothing usable."""
        state = _read_shard(path)
        if state is None:
            return None
        try:
            self.extractor.load_state(state)
        except PlaygroundError:
            return None
        return state

    # -- encode --------------------------------------------------------------------------------

    def _encode(
        self,
        partial: Path,
        raws: _Shards,
        state: dict[str, NDArray[Any]],
        old: Vectors | None,
    ) -> list[Path]:
        """One shard of final vectors per block of photos; their paths in order."""
        state_key = _tensors_digest(state)[:16]
        shards = _Shards(partial / f"vectors-{state_key}")
        sampled: dict[str, str] = {}  # id -> key of its raw shard
        if self.extractor.fit_sample and old is None:
            for block in _blocks(self._sample()):
                sampled.update({photo.id: _key(block) for photo in block})
        known = {}
        if old is not None:
            known = {pair: row for row, pair in enumerate(zip(old.ids, old.sha256, strict=True))}
        photos = self.collection.photos
        stage = Stage(self.spec, "extract", total=len(photos), state="running")
        clock = Clock()
        self.progress.update(stage)
        if self.executor is not None:
            elsewhere = {*known, *((p.id, p.sha256) for p in photos if p.id in sampled)}
            self._made_elsewhere(self.executor, shards, state, elsewhere, stage, clock)
            stage.done = 0  # what is there is read again, and verified

        def fresh(block: Sequence[Photo]) -> list[Photo]:
            """The photos of a block that nothing is known of."""
            return [p for p in block if (p.id, p.sha256) not in known and p.id not in sampled]

        def part(block: Sequence[Photo]) -> Path:
            """Where workers put the new photos of a block."""
            return shards.path(_key(fresh(block)))

        blocks = [(block, shards.path(_key(block))) for block in _blocks(photos)]
        absent = [
            (block, path)
            for block, path in blocks
            if not path.exists() and not part(block).exists()
        ]
        ahead = self._described([photo for block, _ in absent for photo in fresh(block)])
        to_come = {path for _, path in absent}
        cached: tuple[str, dict[str, Raw]] = ("", {})
        for block, path in blocks:
            if path in to_come or _read_shard(path) is None:
                new = fresh(block)
                there = None if path in to_come else _read_shard(part(block))
                encoded: Iterable[Features]
                if there is not None:
                    encoded = _read_features(there)
                else:
                    described = (
                        itertools.islice(ahead, len(new))
                        if path in to_come
                        else self._described(new)
                    )
                    encoded = map(self.extractor.encode, described)
                features = dict(zip((photo.id for photo in new), encoded, strict=True))
                for photo in block:
                    row = known.get((photo.id, photo.sha256))
                    if row is not None and old is not None:
                        features[photo.id] = _old_features(old, row)
                    elif photo.id in sampled:
                        if cached[0] != sampled[photo.id]:
                            cached = (
                                sampled[photo.id],
                                self._sampled_raws(raws, sampled, sampled[photo.id]),
                            )
                        features[photo.id] = self.extractor.encode(cached[1][photo.id])
                _write_features(path, [features[photo.id] for photo in block], self.extractor)
            stage.done += len(block)
            stage.seconds = clock.seconds
            self.progress.update(stage)
        stage.state = "done"
        self.progress.update(stage)
        return [path for _, path in blocks]

    def _made_elsewhere(
        self,
        executor: Executor,
        shards: _Shards,
        state: dict[str, NDArray[Any]],
        known: set[tuple[str, str]],
        stage: Stage,
        clock: Clock,
    ) -> None:
        """What has to be described of every block, by the executor's workers."""
        learned: Path | None = None
        if state:
            learned = shards.folder / "state.safetensors"
            _write_shard(learned, state)
        tasks = []
        for block in _blocks(self.collection.photos):
            if _read_shard(shards.path(_key(block))) is not None:
                continue
            new = [photo for photo in block if (photo.id, photo.sha256) not in known]
            path = shards.path(_key(new))
            if new and _read_shard(path) is None:
                ids = tuple(photo.id for photo in new)
                tasks.append(
                    ShardTask(self.collection.name, self.spec, self.weights, ids, learned, path)
                )
        for task in executor.map(tasks):
            self.described += len(task.ids)
            stage.done += len(task.ids)
            stage.seconds = clock.seconds
            self.progress.update(stage)

    def _sampled_raws(self, raws: _Shards, sampled: dict[str, str], key: str) -> dict[str, Raw]:
        members = [photo for photo in self.collection.photos if sampled.get(photo.id) == key]
        return {
            photo.id: raw
            for photo, raw in zip(members, next(self._raw_blocks(raws, [members])), strict=True)
        }

    # -- assemble ------------------------------------------------------------------------------

    def _assemble(
        self,
        blocks: list[Path],
        state: dict[str, NDArray[Any]],
        clock: Clock,
        fit_seconds: float,
    ) -> Vectors:
        extractor, photos = self.extractor, self.collection.photos
        counts = np.concatenate([_whole_shard(path)["counts"] for path in blocks])
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        total, dim = int(offsets[-1]), extractor.dim
        if total == 0:
            raise PlaygroundError(
                f"{self.spec} found nothing to describe in the {len(photos)} photos of "
                f"{self.collection.name}. Add photos with more detail."
            )

        def streamed(name: str, width: int) -> Callable[[Path], None]:
            def write(path: Path) -> None:
                with open(path, "wb") as handle:
                    header = {"descr": "<f4", "fortran_order": False, "shape": (total, width)}
                    np.lib.format.write_array_header_2_0(handle, header)
                    for block in blocks:
                        part = _whole_shard(block)[name]
                        handle.write(np.ascontiguousarray(part, "<f4").tobytes())

            return write

        ids = {"ids": [p.id for p in photos], "sha256": [p.sha256 for p in photos]}
        writers: dict[str, Callable[[Path], None]] = {
            "vectors.npy": streamed("vectors", dim),
            "ids.json": lambda path: _write_text(path, artefact.canonical_json(ids)),
        }
        if extractor.local:
            writers["geometry.npy"] = streamed("geometry", 4)
            writers["offsets.npy"] = lambda path: _save_npy(path, offsets)
        if state:
            writers["state.safetensors"] = lambda path: _write_tensors(path, state)
        meta = {
            "kind": "vectors",
            "collection": self.collection.name,
            "fingerprint": self.collection.fingerprint,
            "extractor": self.spec,
            "identity": extractor.identity(),
            "dim": dim,
            "metric": extractor.metric,
            "normalised": extractor.normalised,
            "local": extractor.local,
            "photos": len(photos),
            "vectors": total,
            "notes": [extractor.note] if extractor.note else [],
            "libraries": library_versions(),
        }
        measured = record(
            seconds=clock.seconds,
            fit_seconds=fit_seconds,
            described=self.described,
            runtime=extractor.runtime(),
        )
        artefact.save(self.folder, meta, writers, measured)
        return load_vectors(self.collection, self.spec)[0]


class _IndexBuild:
    """One index over the vectors of an extractor."""

    def __init__(
        self,
        collection: Collection,
        spec: str,
        index: str,
        vectors: Vectors,
        force: bool,
        progress: Progress,
    ) -> None:
        self.collection, self.spec, self.vectors = collection, spec, vectors
        self.index = index_registry.without_search(index)
        self.force, self.progress = force, progress
        self.folder = index_folder(collection.name, spec, index)
        # By the name that the planned stages have.
        self.stage = Stage(spec, "index", index=index, state="running")

    def failed(self) -> None:
        self.stage.state = "failed"
        self.progress.update(self.stage)

    def run(self) -> Outcome:
        clock = Clock()
        self.progress.update(self.stage)
        vectors, index = self.vectors, self.index
        kind, overrides = index_registry.parse_index_spec(index)
        matrix: NDArray[np.float32] = vectors.vectors
        filled = np.flatnonzero(np.einsum("ij,ij->i", matrix, matrix) > 0)
        rows = None if len(filled) == len(matrix) else filled.astype(np.int64)
        n = len(filled)
        plan = kind.plan(n, matrix.shape[1], overrides)
        notes = plan.notes
        if rows is not None:
            left_out = len(matrix) - n
            notes += (
                f"{left_out} photo{'s' if left_out > 1 else ''} without any descriptor "
                f"{'are' if left_out > 1 else 'is'} not in the index.",
            )
        meta = {
            "kind": "index",
            "collection": self.collection.name,
            "extractor": self.spec,
            "index": index,
            "vectors_sha256": vectors.version,
            "n": n,
            "d": int(matrix.shape[1]),
            "build": plan.build,
            "search": plan.search,
            "distance": kind.distance,
            "notes": list(notes),
            "libraries": library_versions(),
        }
        files = {kind.file, *(["rows.npy"] if rows is not None else [])}
        if not self.force and self._up_to_date(meta, files):
            action = "unchanged"
        else:
            with self._built(kind, plan, rows) as built:
                writers: dict[str, Callable[[Path], None]] = {kind.file: built.save}
                if rows is not None:
                    writers["rows.npy"] = lambda path: _save_npy(path, rows)
                meta["bytes_per_vector"] = built.bytes_per_vector
                meta["code_size"] = built.code_size
                how = {"parallel": True} if parallel() else {}
                measured = record(seconds=clock.seconds, **how)
                artefact.save(self.folder, meta, writers, measured)
            action = "built"
        self.stage.done, self.stage.seconds, self.stage.state = 1, clock.seconds, "done"
        self.progress.update(self.stage)
        photos = len(self.collection.photos)
        return Outcome(self.spec, index, action, clock.seconds, photos, 0, tuple(notes))

    def _up_to_date(self, meta: dict[str, Any], files: set[str]) -> bool:
        """Whether the index that is there is the one of ``meta``, and whole."""
        which = self.collection.name, self.spec, self.index
        try:
            old = index_manifest(*which)
            if old is None or files - set(old["files"]):
                return False
            same = all(old[key] == value for key, value in meta.items() if key != "libraries")
        except artefact.Damaged:
            return False
        return same and index_damage(*which) is None

    @contextlib.contextmanager
    def _built(
        self, kind: IndexType, plan: Plan, rows: NDArray[np.int64] | None
    ) -> Iterator[alone.Made]:
        """The index, to be saved while this lasts."""
        if kind.alone:
            file = self.vectors.manifest["files"]["vectors.npy"]["file"]
            path = extractor_folder(self.collection.name, self.spec) / file
            with alone.built(self.index, path, rows, self.folder) as made:
                yield made
            return
        matrix: NDArray[np.float32] = self.vectors.vectors
        built = kind.build(np.ascontiguousarray(matrix if rows is None else matrix[rows]), plan)
        yield alone.Made(built.bytes_per_vector, built.code_size, built.save)


class _Sample:
    """The ``describe`` results of some photos, read from their shards at each pass."""

    def __init__(
        self,
        read: Callable[[Sequence[Sequence[Photo]]], Iterator[list[Raw]]],
        photos: Sequence[Photo],
        done: Callable[[int], None],
    ) -> None:
        self._read, self._photos, self._done = read, photos, done

    def __iter__(self) -> Iterator[Raw]:
        count = 0
        for raws in self._read(list(_blocks(self._photos))):
            yield from raws
            count += len(raws)
            self._done(count)


# -- shards ------------------------------------------------------------------------------------


class _Shards:
    """A folder of safetensors files named by digests of their photos."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: str) -> Path:
        return self.folder / f"{key}.safetensors"

    def read_raws(self, key: str) -> list[Raw] | None:
        found = _read_shard(self.path(key))
        if found is None:
            return None
        raws: dict[int, Raw] = {}
        for name, value in found.items():
            number, _, field = name.partition("/")
            raws.setdefault(int(number), {})[field] = value
        return [raws[i] for i in sorted(raws)]

    def write_raws(self, key: str, raws: list[Raw]) -> None:
        tensors = {
            f"{i:06d}/{field}": value for i, raw in enumerate(raws) for field, value in raw.items()
        }
        _write_shard(self.path(key), tensors)


def _blocks(photos: Sequence[Photo]) -> Iterator[Sequence[Photo]]:
    for start in range(0, len(photos), BLOCK):
        yield photos[start : start + BLOCK]


def _key(photos: Sequence[Photo]) -> str:
    return artefact.digest([[photo.id, photo.sha256] for photo in photos])[:24]


def _ahead(items: Sequence[Item], work: Callable[[Item], Result]) -> Iterator[Result]:
    """Results in order, with some being made ahead in threads; memory holds a few at a time."""
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(WORKERS) as pool:
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) > 2 * WORKERS:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _old_features(old: Vectors, row: int) -> Features:
    if old.offsets is None or old.geometry is None:
        return Features(np.array(old.vectors[row : row + 1]))
    first, last = old.offsets[row], old.offsets[row + 1]
    return Features(np.array(old.vectors[first:last]), np.array(old.geometry[first:last]))


def _write_features(path: Path, features: list[Features], extractor: Extractor) -> None:
    for feature in features:
        rows = feature.vectors.shape[0]
        if feature.vectors.shape != (rows, extractor.dim) or not np.isfinite(feature.vectors).all():
            raise RuntimeError(
                f"{extractor.name} made vectors of shape {feature.vectors.shape} (expected "
                f"(n, {extractor.dim}), finite)"
            )
    tensors: dict[str, NDArray[Any]] = {
        "vectors": np.concatenate([f.vectors for f in features]).astype(np.float32),
        "counts": np.array([len(f.vectors) for f in features], np.int64),
    }
    if extractor.local:
        geometry = [f.geometry for f in features if f.geometry is not None]
        tensors["geometry"] = np.concatenate(geometry).astype(np.float32)
    _write_shard(path, tensors)


def _read_features(shard: dict[str, NDArray[Any]]) -> list[Features]:
    ends = np.cumsum(shard["counts"])[:-1]
    vectors = np.split(shard["vectors"], ends)
    if "geometry" not in shard:
        return [Features(one) for one in vectors]
    return [
        Features(*both) for both in zip(vectors, np.split(shard["geometry"], ends), strict=True)
    ]


def _write_tensors(path: Path, tensors: dict[str, NDArray[Any]]) -> None:
    artefact.write_atomically(path, safetensors.numpy.save(_contiguous(tensors)))


def _write_shard(path: Path, tensors: dict[str, NDArray[Any]]) -> None:
    contiguous = _contiguous(tensors)
    about = {_DIGEST: _tensors_digest(contiguous)}
    artefact.write_atomically(path, safetensors.numpy.save(contiguous, metadata=about))


def _read_shard(path: Path) -> dict[str, NDArray[Any]] | None:
    """A shard as it was written; None where there is none, or a damaged one."""
    try:
        content = path.read_bytes()
        tensors = safetensors.numpy.load(content)
        length = int.from_bytes(content[:8], "little")
        about = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    except (OSError, ValueError, KeyError, safetensors.SafetensorError):
        return None
    return tensors if about.get(_DIGEST) == _tensors_digest(tensors) else None


def _whole_shard(path: Path) -> dict[str, NDArray[Any]]:
    """A shard of this build, which has just been made or verified."""
    tensors = _read_shard(path)
    if tensors is None:
        raise PlaygroundError(
            f"{path} was damaged or removed while the build was using it. Run the same command "
            f"again: what is lost is made anew."
        )
    return tensors


def _tensors_digest(tensors: dict[str, NDArray[Any]]) -> str:
    listed = {k: [v.dtype.str, list(v.shape), _sha256(v)] for k, v in tensors.items()}
    return artefact.digest(listed)


def _contiguous(tensors: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    # Not ascontiguousarray: it makes a scalar one-dimensional.
    return {k: np.asarray(v, order="C") for k, v in tensors.items()}


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _save_npy(path: Path, values: NDArray[Any]) -> None:
    with open(path, "wb") as handle:
        np.save(handle, values, allow_pickle=False)


def _sha256(values: NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path
