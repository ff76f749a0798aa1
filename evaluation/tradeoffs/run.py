"""Measure a grid of indexes over a collection at several sizes, and keep every point.

    outcome = measure("demo", "resnet50", [None, 10_000, 100_000], quick=True)
    front.tune(outcome.points, front.parse_constraints("recall@10>=0.95,bytes<=64"))

Indexes that fit into memory together are timed in turns, round after round, so that a machine that
slows down slows all of them. After each round the points so far are appended (their ``repeats``
says how many rounds they hold), so that a kill loses one measurement. What was measured before, on
the same machine and of the same vectors, is not measured again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import platform
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from data import artefact, permission
from data.errors import PlaygroundError
from data.progress import Progress, Steps
from evaluation.tradeoffs import grid, measure, padding, questions, rows
from evaluation.tradeoffs.grid import Build
from evaluation.tradeoffs.live import TIE, nearest
from evaluation.tradeoffs.measure import Effort, Quality, Subject, Times, Truth
from evaluation.tradeoffs.padding import VectorSet
from evaluation.tradeoffs.questions import Questions
from evaluation.tradeoffs.rows import Point
from extractors import registry as extractor_registry
from indexing.build import library_versions

REPEATS, QUICK_REPEATS = 5, 3
BUILD_LIMIT = 300.0  # seconds
_TOGETHER = 3_000_000_000  # bytes of indexes that are timed in turns
_SHOWN = ("faiss-cpu", "numpy")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a run measured or found measured.

    Attributes:
        points: of all sizes and settings asked for.
        left_out: sentences: what was not measured, and why.
        notes: sentences about the vectors, such as how plausible simulated ones are.
        measured: how many of the points are new.
    """

    points: list[Point]
    left_out: list[str]
    notes: list[str]
    measured: int


def measure_grid(
    collection: str,
    extractor: str,
    sizes: Sequence[int | None],
    *,
    distractors: str = padding.SIMULATED,
    specs: Sequence[str] | None = None,
    quick: bool = False,
    repeats: int | None = None,
    force: bool = False,
    build_limit: float = BUILD_LIMIT,
    progress: Progress | None = None,
    effort: Effort | None = None,
) -> Outcome:
    """Measure every setting at every size.

    Args:
        sizes: vectors in all; None is the collection as it is. Sizes below it are left out.
        distractors: see ``padding``.
        specs: index specs; None for the default grid.
        quick: fewer settings, repeats and samples.
        force: measure again what was measured.
        build_limit: seconds; what would take longer to build is left out.
        progress: told of every step (a build, or one setting in one round); an exception of it (a
            cancel) stops, keeping what is done.

    Raises:
        PlaygroundError: the vectors are not there or local, something does not fit into memory or
            on the disk (refused before anything is made), or another process measures the same.
        Refused: a visitor asks for too many vectors, or for what was measured already.
    """
    for size in sizes:
        padding.check_size(size)
    if force:
        permission.require("measure again what was measured")
    spec = extractor_registry.canonical(extractor)
    own = padding.real_vectors(collection, spec)
    photos, dim = len(own.ids), int(own.vectors.shape[1])
    wanted, left_out = _plan(collection, sizes, photos, dim, specs, quick)
    task = _Task(
        repeats or (QUICK_REPEATS if quick else REPEATS),
        effort or (measure.QUICK if quick else Effort()),
        force,
        build_limit,
        Steps(progress),
    )
    task.steps.total = sum(
        len(builds) + task.repeats * sum(len(build.searches) for build in builds)
        for builds in wanted.values()
    )
    folder = rows.points_path(collection, spec).parent
    points: list[Point] = []
    notes: list[str] = []
    doing = f"Measuring indexes of {spec} on {collection}"
    with artefact.explain_os_errors(doing), artefact.exclusive(folder, doing):
        for n, builds in wanted.items():
            vectors = padding.open_set(
                collection, spec, n, distractors, task.steps.aside("distractors")
            )
            if vectors.plausibility is not None:
                notes.append(f"{vectors.n:,}: {vectors.plausibility.sentence()}")
                others = padding.others_with(collection, spec)
                if others and distractors == padding.SIMULATED:
                    notes.append(
                        f"There are real vectors of {spec} to use instead: --distractors "
                        f"collection:{others[0]}."
                    )
            found, skipped = task.size(vectors, builds)
            points += found
            left_out += skipped
    return Outcome(points, left_out, list(dict.fromkeys(notes)), task.measured)


def _plan(
    collection: str,
    sizes: Sequence[int | None],
    photos: int,
    dim: int,
    specs: Sequence[str] | None,
    quick: bool,
) -> tuple[dict[int | None, list[Build]], list[str]]:
    """The builds per size; refuses what does not fit before anything is made."""
    wanted: dict[int | None, list[Build]] = {}
    left_out: list[str] = []
    for n in dict.fromkeys(sizes):
        count = photos if n is None else n
        if count < photos or (n is not None and count == photos):
            left_out.append(
                f"The size {count:,} is left out: the collection has {photos:,} vectors by itself "
                f"(real)."
            )
            continue
        builds, skipped = grid.builds(count, dim, specs, quick)
        grid.check_memory(builds, count, dim, photos, collection)
        wanted[n] = builds
        left_out += skipped
    if not wanted:
        raise PlaygroundError(" ".join(left_out) or "No size was asked for. Legal: real, 10k, 1m.")
    return wanted, left_out


@dataclasses.dataclass
class _Setting:
    """A search of a built index, while it is measured."""

    subject: Subject
    search: dict[str, int]
    key: str
    quality: Quality
    times: Times


class _Task:
    """What holds for all sizes of a run."""

    def __init__(
        self, repeats: int, effort: Effort, force: bool, build_limit: float, steps: Steps
    ) -> None:
        self.repeats = repeats
        self.effort = effort
        self.force = force
        self.build_limit = build_limit
        self.steps = steps
        self.measured = 0

    def size(self, vectors: VectorSet, builds: list[Build]) -> tuple[list[Point], list[str]]:
        """All builds over one set of vectors."""
        asked = questions.ask(vectors)
        kept = {point.key: point for point in rows.load_points(*_names(vectors))}
        found: list[Point] = []
        pending: list[Build] = []
        for build in builds:
            missing = []
            for search in build.searches:
                point = kept.get(point_key(vectors, asked, build.spec, search))
                if point is not None and point.repeats >= self.repeats and not self.force:
                    found.append(point)
                    self.steps.add(build.spec, self.repeats)
                else:
                    missing.append(search)
            if missing:
                pending.append(dataclasses.replace(build, searches=tuple(missing)))
            else:
                self.steps.add(build.spec)
        if not pending:
            return found, []
        self.steps.show("exact search")
        truth = exact_truth(vectors, asked)
        left_out: list[str] = []
        with _scratch(vectors) as scratch:
            for group in together(pending):
                found += self._group(group, vectors, asked, truth, scratch, left_out)
        return found, left_out

    def _group(
        self,
        group: list[Build],
        vectors: VectorSet,
        asked: Questions,
        truth: Truth,
        scratch: Path,
        left_out: list[str],
    ) -> list[Point]:
        """Indexes that are in memory together, timed in turns."""
        settings: list[_Setting] = []
        for build in group:
            settings += self._settings(build, vectors, asked, truth, scratch, left_out)
        points: dict[str, Point] = {}
        for number in range(self.repeats):
            # Each round begins elsewhere: no setting always follows the same one.
            first = number * len(settings) // self.repeats
            for setting in settings[first:] + settings[:first]:
                measure.time_once(
                    setting.subject, setting.search, asked, self.effort, setting.times
                )
                point = make_point(setting, vectors, asked, truth)
                rows.append(point)
                points[point.key] = point
                self.steps.add(f"{vectors.n:,} {point.setting}")
        self.measured += len(points)
        return list(points.values())

    def _settings(
        self,
        build: Build,
        vectors: VectorSet,
        asked: Questions,
        truth: Truth,
        scratch: Path,
        left_out: list[str],
    ) -> list[_Setting]:
        """Build one index and judge what it finds; empty where that would take too long."""
        self.steps.show(f"{vectors.n:,} building {build.spec}")
        expected = measure.expected_seconds(build, vectors)
        if expected > self.build_limit:
            left_out.append(
                f"{build.spec} is left out at {vectors.n:,} vectors: building it would take about "
                f"{expected / 60:.0f} minutes, more than the limit of {self.build_limit:.0f} "
                f"seconds. Allow it: --build-limit {expected * 1.5:.0f}."
            )
            self.steps.add(build.spec, 1 + self.repeats * len(build.searches))
            return []
        subject = measure.prepare(build, vectors, scratch)
        self.steps.add(f"{vectors.n:,} {build.spec}")
        return [
            _Setting(
                subject,
                search,
                point_key(vectors, asked, build.spec, search),
                measure.quality(subject, search, vectors, asked, truth),
                Times(),
            )
            for search in build.searches
        ]


def exact_truth(vectors: VectorSet, asked: Questions) -> Truth:
    """The true 100 nearest vectors of every query."""
    own = int((asked.own >= 0).any())
    squared, ids = nearest(vectors.vectors, asked.vectors, questions.DEPTH + own)
    distances, ranked = [], []
    for one, found, itself in zip(squared, ids, asked.own, strict=True):
        keep = found != itself
        distances.append(one[keep][: questions.DEPTH])
        ranked.append(found[keep][: questions.DEPTH])
    # The tolerance is that of unit vectors, in the scale of these.
    scale = float((asked.vectors.astype("float64") ** 2).sum(axis=1).mean())
    return Truth(distances, asked.mean_ap(ranked, vectors), TIE * max(scale, 1e-12))


def together(builds: Sequence[Build]) -> Iterator[list[Build]]:
    """Builds that are held in memory at the same time, in their order."""
    limit = min(_TOGETHER, padding.free_memory() // 4)
    group: list[Build] = []
    for build in builds:
        if group and sum(one.bytes for one in group) + build.bytes > limit:
            yield group
            group = []
        group.append(build)
    if group:
        yield group


def point_key(vectors: VectorSet, asked: Questions, spec: str, search: dict[str, int]) -> str:
    """Identifies what is measured: vectors, queries, setting, machine and library."""
    return artefact.digest(
        [
            rows.VERSION,
            vectors.version,
            asked.version,
            spec,
            search,
            measure.machine_key(),
            measure.all_threads(),
            library_versions().get("faiss-cpu", ""),
        ]
    )


def make_point(setting: _Setting, vectors: VectorSet, asked: Questions, truth: Truth) -> Point:
    """The point of the rounds so far."""
    subject, times = setting.subject, setting.times
    plausibility = vectors.plausibility
    versions = {name: v for name, v in library_versions().items() if name in _SHOWN}
    return Point(
        collection=vectors.collection,
        extractor=vectors.extractor,
        n=vectors.n,
        photos=vectors.photos,
        dim=vectors.dim,
        padding=vectors.padding,
        simulated=vectors.simulated,
        plausibility=dataclasses.asdict(plausibility) if plausibility else {},
        index=subject.build.spec,
        build=dict(subject.build.plan.build),
        search=dict(setting.search),
        queries=len(asked),
        recall=dict(setting.quality.recall),
        map100=setting.quality.map100,
        map100_exact=truth.map100,
        latency_1=times.latency(times.one, times.samples),
        latency_all=times.latency(times.every, times.samples_all),
        throughput=measure.spread(times.rates),
        batch=times.batch,
        train_s=subject.train_s,
        add_s=subject.add_s,
        build_s=subject.build_s,
        disk_bytes=subject.disk_bytes,
        memory_bytes=subject.memory_bytes,
        memory_how=subject.memory_how,
        code_bytes=subject.built.code_size,
        distances=setting.quality.distances,
        distances_how=setting.quality.distances_how,
        repeats=len(times.one),
        threads=measure.all_threads(),
        machine=measure.machine(),
        versions={**versions, "python": platform.python_version()},
        vectors_version=vectors.photos_version,
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        notes=subject.build.plan.notes,
        key=setting.key,
        distractors=vectors.distractors,
    )


def _names(vectors: VectorSet) -> tuple[str, str]:
    return vectors.collection, vectors.extractor


@contextlib.contextmanager
def _scratch(vectors: VectorSet) -> Iterator[Path]:
    """A folder for one index file at a time, on the disk of the points."""
    parent = rows.points_path(*_names(vectors)).parent
    for left in parent.glob("scratch-*"):  # of a run that was killed: this one holds the lock
        shutil.rmtree(left, ignore_errors=True)
    needed, free = 4 * vectors.n * vectors.dim, shutil.disk_usage(parent).free
    if needed > free:
        raise PlaygroundError(
            f"An index over {vectors.n:,} vectors takes up to {needed / 1e9:.1f} GB of disk while "
            f"it is measured, and {free / 1e9:.1f} GB are free. Free some space."
        )
    with tempfile.TemporaryDirectory(prefix="scratch-", dir=parent) as folder:
        yield Path(folder)
