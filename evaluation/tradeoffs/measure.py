"""Measuring one built index: what it costs, what it finds, and how fast.

Latency is that of FAISS's own call with its search parameters made beforehand, so that the figures
compare with anybody's FAISS script (see ``bare``); what the engine adds is measured by ``python -m
scripts.benchmark query``. The index that is measured was saved and loaded again, as on the pages.
"""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import gc
import itertools
import math
import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from evaluation import metrics
from evaluation.tradeoffs.grid import Build
from evaluation.tradeoffs.live import distances_to
from evaluation.tradeoffs.padding import VectorSet
from evaluation.tradeoffs.questions import DEPTH, Questions
from evaluation.tradeoffs.rows import RECALLS, TIMED_K, Latency, Spread
from indexing import registry as index_registry
from indexing.base import BuiltIndex, Floats, Ints, manifest_of
from indexing.faiss_settings import apply, faiss, threads

BATCH = 256  # queries in one call, for the throughput
_WARM_UP = 8  # queries before each pass
_RSS_FROM = 32 * 1024 * 1024  # bytes: smaller indexes are lost in what else the process does
_TRIAL = 10_000  # vectors of a trial build
_SLOWER = 1.6  # a graph's vector costs so much more when the graph no longer fits into the cache

# FAISS counts distances in variables of the whole process.
_COUNTING = threading.Lock()


@dataclasses.dataclass(frozen=True)
class Effort:
    """How long a pass may take.

    Attributes:
        samples: single queries per pass; the queries are asked again and again.
        seconds: after which a pass ends, with at least ``fewest`` samples.
    """

    samples: int = 300
    seconds: float = 3.0
    fewest: int = 10


QUICK = Effort(samples=100, seconds=1.0)


@dataclasses.dataclass(frozen=True)
class Subject:
    """A built index, as it is measured."""

    build: Build
    built: BuiltIndex
    train_s: float
    add_s: float
    build_s: float
    disk_bytes: int
    memory_bytes: int
    memory_how: str


def expected_seconds(build: Build, vectors: VectorSet) -> float:
    """What a slow build would take, from a trial on some thousand vectors; 0 for a fast one.

    Graphs are built by one thread, so that equal vectors give equal graphs.
    """
    if "HNSW" not in build.spec or vectors.n <= 5 * _TRIAL:
        return 0.0
    kind, _ = index_registry.parse_index_spec(build.spec)
    part = vectors.vectors[:_TRIAL]
    start = time.perf_counter()
    kind.build(part, build.plan)
    spent = time.perf_counter() - start
    growth = vectors.n * math.log(vectors.n) / (len(part) * math.log(len(part)))
    return spent * growth * _SLOWER


def prepare(build: Build, vectors: VectorSet, scratch: Path) -> Subject:
    """Build, save and load again.

    Args:
        scratch: a folder for the file, which is deleted again.

    Raises:
        PlaygroundError: it cannot be built, or the disk is full.
    """
    kind, _ = index_registry.parse_index_spec(build.spec)
    start = time.perf_counter()
    built = kind.build(vectors.vectors, build.plan)
    spent = time.perf_counter() - start
    train_s, add_s = built.seconds or (math.nan, math.nan)
    file = scratch / kind.file
    try:
        built.save(file)
        size = file.stat().st_size
        manifest = manifest_of(built)
        del built
        before = resident_bytes()
        loaded = kind.load(file, manifest)
    finally:
        file.unlink(missing_ok=True)
    loaded.search(np.ascontiguousarray(vectors.vectors[:1]), 1)
    grown = resident_bytes(trim=False) - before
    by_rss = size >= _RSS_FROM and grown > 0
    return Subject(
        build,
        loaded,
        train_s,
        add_s,
        spent,
        size,
        grown if by_rss else size,
        "rss" if by_rss else "file",
    )


def resident_bytes(trim: bool = True) -> int:
    """Resident memory of this process, after giving back what is free."""
    if trim:
        gc.collect()
        if sys.platform == "linux":
            # The C library keeps freed memory otherwise, and the next index would seem to be free.
            getattr(ctypes.CDLL(None), "malloc_trim", lambda _: 0)(0)
    return int(psutil.Process().memory_info().rss)


# Quality


@dataclasses.dataclass(frozen=True)
class Truth:
    """Exact neighbours of the queries, own photo left out.

    Attributes:
        distances: per query the squared L2 distances of the nearest 100, ascending, float64.
        map100: of exact search.
        tolerance: of equal distances.
    """

    distances: list[np.ndarray]
    map100: float
    tolerance: float


@dataclasses.dataclass(frozen=True)
class Quality:
    """What an index finds with some search parameters."""

    recall: dict[int, float]
    map100: float
    distances: float
    distances_how: str


def quality(
    subject: Subject,
    search: dict[str, int],
    vectors: VectorSet,
    questions: Questions,
    truth: Truth,
) -> Quality:
    """Recall by distance, class mAP and how many distances it took."""
    few = answers(subject, search, questions, TIMED_K)
    many = answers(subject, search, questions, DEPTH)
    recall = {}
    for k in RECALLS:
        found = few if k <= TIMED_K else many
        recall[k] = recall_at(k, found, vectors.vectors, questions.vectors, truth)
    counted, how = count_distances(subject, search, questions)
    return Quality(recall, questions.mean_ap(many, vectors), counted, how)


def answers(subject: Subject, search: dict[str, int], questions: Questions, k: int) -> list[Ints]:
    """Rows of the k nearest per query, own photo left out."""
    wanted = min(subject.built.n, k + int((questions.own >= 0).any()))
    apply()
    _, rows = subject.built.searcher(search)(questions.vectors, wanted)
    return questions.without_own(rows, k)


def recall_at(
    k: int, found: Sequence[Ints], vectors: Floats, queries: Floats, truth: Truth
) -> float:
    """Mean recall@k by true distance."""
    values = []
    for rows, query, exact in zip(found, queries, truth.distances, strict=True):
        mine = distances_to(vectors, query, rows[:k])
        values.append(metrics.recall_by_distance(mine.tolist(), exact.tolist(), k, truth.tolerance))
    return metrics.mean(values)


def count_distances(
    subject: Subject, search: dict[str, int], questions: Questions
) -> tuple[float, str]:
    """Mean distances computed per query, and how that is known.

    IVF: vectors compared in the visited lists, and all centroids (as ann-benchmarks counts). HNSW:
    visited nodes. With a second look, its candidates besides. FAISS's counters belong to the
    process: they are set to 0 and read under a lock, with nothing else searching.
    """
    index, text = subject.built.inspect(), subject.build.spec
    again = TIMED_K * search.get("k_factor", 0)
    if not isinstance(index, faiss.Index):
        return math.nan, "not counted"
    if not ("IVF" in text or "HNSW" in text or text.startswith("ivf")):
        return float(subject.built.n + again), "by definition"
    with _COUNTING, threads(1):
        faiss.cvar.indexIVF_stats.reset()
        faiss.cvar.hnsw_stats.reset()
        subject.built.searcher(search)(questions.vectors, min(TIMED_K, subject.built.n))
        lists, graph = int(faiss.cvar.indexIVF_stats.ndis), int(faiss.cvar.hnsw_stats.ndis)
    if lists + graph == 0:  # some kinds of lists do not count
        return math.nan, "not counted"
    per_query = (lists + graph) / len(questions)
    if lists and not graph:
        per_query += _lists_of(index)
    return per_query + again, "counted"


def _lists_of(index: Any) -> int:
    """The centroids that each query is compared with."""
    core = faiss.try_extract_index_ivf(index)
    return int(core.nlist) if core is not None else 0


# Time


@dataclasses.dataclass
class Times:
    """Figures of one setting, a repeat behind the other."""

    one: list[tuple[float, float, float]] = dataclasses.field(default_factory=list)
    every: list[tuple[float, float, float]] = dataclasses.field(default_factory=list)
    rates: list[float] = dataclasses.field(default_factory=list)
    samples: int = 0
    samples_all: int = 0
    batch: int = 0

    def latency(self, repeats: list[tuple[float, float, float]], samples: int) -> Latency:
        columns = [spread(column) for column in zip(*repeats, strict=True)]
        return Latency(columns[0], columns[1], columns[2], samples)


def spread(values: Sequence[float]) -> Spread:
    """Median and quartiles (linear interpolation)."""
    low, median, high = np.quantile(np.asarray(values, np.float64), [0.25, 0.5, 0.75])
    return Spread(float(median), float(low), float(high))


def all_threads() -> int:
    """How many threads "all" are: the cores, or what OMP_NUM_THREADS says."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return int(wanted) if wanted.isdigit() and int(wanted) > 0 else os.cpu_count() or 1


def time_once(
    subject: Subject, search: dict[str, int], questions: Questions, effort: Effort, times: Times
) -> None:
    """One repeat: single queries with 1 thread and with all, then a batch; added to ``times``."""
    ask = subject.built.searcher(search)
    k = min(TIMED_K, subject.built.n)
    apply()
    one = single_queries(ask, questions.vectors, k, 1, effort)
    every = single_queries(ask, questions.vectors, k, all_threads(), effort)
    times.one.append(_percentiles(one))
    times.every.append(_percentiles(every))
    times.samples = max(times.samples, len(one))
    times.samples_all = max(times.samples_all, len(every))
    # As many queries as can be asked in the time of a pass, judged by single ones.
    fitting = int(2e3 * effort.seconds / max(1e-6, float(np.median(one))))
    times.batch = times.batch or max(len(questions), min(BATCH, fitting))
    rows = np.resize(np.arange(len(questions)), times.batch)
    block = np.ascontiguousarray(questions.vectors[rows])
    with threads(all_threads()):
        ask(block[:_WARM_UP], k)
        start = time.perf_counter()
        ask(block, k)
        times.rates.append(len(block) / (time.perf_counter() - start))


def single_queries(
    ask: Callable[[Floats, int], Any], queries: Floats, k: int, count: int, effort: Effort
) -> np.ndarray:
    """Milliseconds of each of many single searches on ``count`` threads, after a warm-up."""
    rows = [queries[i : i + 1] for i in range(len(queries))]
    spent = []
    with threads(count):
        for row in rows[:_WARM_UP]:
            ask(row, k)
        begun = time.perf_counter()
        for number, row in enumerate(itertools.cycle(rows)):
            start = time.perf_counter()
            ask(row, k)
            done = time.perf_counter()
            spent.append(1e3 * (done - start))
            late = done - begun > effort.seconds and number + 1 >= effort.fewest
            if late or number + 1 >= effort.samples:
                return np.asarray(spent)
    raise AssertionError("there are queries")


def _percentiles(ms: np.ndarray) -> tuple[float, float, float]:
    low, middle, high = np.percentile(ms, [50, 95, 99])
    return float(low), float(middle), float(high)


# The machine


@functools.cache
def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def machine() -> dict[str, Any]:
    """What figures were measured on."""
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu(),
        "cores": os.cpu_count() or 1,
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "load": load,
        "wait_policy": os.environ.get("OMP_WAIT_POLICY", ""),
    }


def machine_key() -> list[Any]:
    """What makes it another machine."""
    now = machine()
    return [now["system"], now["cpu"], now["cores"]]
