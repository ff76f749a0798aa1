"""The same figures from plain FAISS calls, as anybody would write them, to compare with ours.

Nothing of ``indexing`` or ``measure`` is used for the plain half but FAISS itself with the
process-wide settings of ``faiss_settings``: the index is made by its factory, parameters are
set on it, recall is the share of equal ids, and time is a loop around ``index.search``. Both
halves take turns, query set by query set, so that a busy machine is busy for both.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from data.errors import PlaygroundError
from evaluation.tradeoffs import grid, measure, padding, questions
from evaluation.tradeoffs.measure import Effort
from evaluation.tradeoffs.padding import VectorSet
from evaluation.tradeoffs.run import exact_truth
from indexing import registry as index_registry
from indexing.base import Floats
from indexing.faiss_settings import coarse_points, faiss

K = 10
ROUNDS = 7


@dataclasses.dataclass(frozen=True)
class Pair:
    """Our figures and the plain ones of one setting; latency of single queries with 1 thread."""

    setting: str
    n: int
    recall: float  # recall@10 by distance
    bare_recall: float  # recall@10 by ids
    latency_ms: float  # median of the rounds' medians
    bare_latency_ms: float
    latency_ratio: float  # ours / bare, the median over the rounds

    @property
    def agrees(self) -> bool:
        """Equal recall (ties aside) and latency within 5 %."""
        return abs(self.recall - self.bare_recall) < 0.005 and abs(self.latency_ratio - 1) <= 0.05


def compare(vectors: VectorSet, specs: Sequence[str], rounds: int = ROUNDS) -> list[Pair]:
    """Measure settings in both ways.

    Args:
        specs: whole settings, such as ``ivf:nlist=400,nprobe=8``.
    """
    asked = questions.ask(vectors)
    truth = exact_truth(vectors, asked)
    exact = _plain_exact(vectors.vectors, asked.vectors)
    pairs = []
    for spec in specs:
        build = grid.one_build(spec, vectors.n, vectors.dim)
        search = build.searches[-1]
        if 2 * build.bytes > padding.free_memory():
            raise PlaygroundError(
                f"{build.spec} over {vectors.n:,} vectors takes {build.bytes / 1e9:.1f} GB, and is "
                f"built twice here; {padding.free_memory() / 1e9:.1f} GB may be asked for. Choose "
                f"a smaller size: --sizes 100k."
            )
        kind, _ = index_registry.parse_index_spec(build.spec)
        built = kind.build(vectors.vectors, build.plan)
        subject = measure.Subject(build, built, 0.0, 0.0, 0.0, 0, 0, "")
        plain = plain_index(build.spec, dict(build.plan.build), vectors.vectors)
        set_parameters(plain, search)
        found = measure.answers(subject, search, asked, K)
        recall = measure.recall_at(K, found, vectors.vectors, asked.vectors, truth)
        ask = built.searcher(search)
        ours, theirs = [], []
        effort = Effort(samples=2 * len(asked), seconds=2.0)
        for number in range(rounds):
            if number % 2:
                theirs.append(plain_latency(plain, asked.vectors, effort.samples))
            one = measure.single_queries(ask, asked.vectors, K, 1, effort)
            ours.append(float(np.median(one)))
            if number % 2 == 0:
                theirs.append(plain_latency(plain, asked.vectors, effort.samples))
        pairs.append(
            Pair(
                _setting(build.spec, search),
                vectors.n,
                recall,
                _plain_recall(plain, asked.vectors, exact, asked.own),
                statistics.median(ours),
                statistics.median(theirs),
                statistics.median(a / b for a, b in zip(ours, theirs, strict=True)),
            )
        )
    return pairs


def _setting(spec: str, search: dict[str, int]) -> str:
    return spec + "".join(f" {name}={value}" for name, value in search.items())


# The plain half


def plain_index(spec: str, build: dict[str, Any], vectors: Floats) -> Any:
    """A trained and filled index, by FAISS's own factory.

    Raises:
        PlaygroundError: FAISS has no such index.
    """
    d = vectors.shape[1]
    xb = np.ascontiguousarray(vectors)
    kind = spec.partition(":")[0]
    texts = {
        "flat": "Flat",
        "ivf": "IVF{nlist},Flat",
        "lsh": "LSH{nbits}r" + "t" * int(build.get("thresholds", 0)),
        "pq": "PQ{m}x{nbits}np",  # no polysemous training
        "factory": "{factory}",
    }
    if kind not in texts:
        raise PlaygroundError(
            f"There are no plain FAISS calls to compare {spec} with: it is another library's. "
            f"Legal: {', '.join(texts)}."
        )
    # A rotation and a graph depend on the number of threads.
    faiss.omp_set_num_threads(1 if kind in ("lsh", "factory") else measure.all_threads())
    index = faiss.index_factory(d, texts[kind].format(**build))
    if (ivf := faiss.try_extract_index_ivf(index)) is not None:
        ivf.cp.max_points_per_centroid = coarse_points(ivf.nlist)  # or the cells differ
    index.train(xb)
    index.add(xb)
    faiss.omp_set_num_threads(measure.all_threads())
    return index


def set_parameters(index: Any, search: dict[str, int]) -> None:
    """Search parameters as attributes of the index: it is ours alone."""
    space = faiss.ParameterSpace()
    names = {"nprobe": "nprobe", "ef_search": "efSearch", "k_factor": "k_factor_rf"}
    for name, value in search.items():
        space.set_index_parameter(index, names[name], value)


def plain_latency(index: Any, queries: Floats, samples: int) -> float:
    """Median ms of single searches with 1 thread."""
    faiss.omp_set_num_threads(1)
    for i in range(min(8, len(queries))):
        index.search(queries[i : i + 1], K)
    spent = []
    for number in range(samples):
        i = number % len(queries)
        query = queries[i : i + 1]
        start = time.perf_counter()
        index.search(query, K)
        spent.append(time.perf_counter() - start)
    faiss.omp_set_num_threads(measure.all_threads())
    return 1e3 * statistics.median(spent)


def _plain_exact(vectors: Floats, queries: Floats) -> np.ndarray:
    _, ids = faiss.knn(queries, np.ascontiguousarray(vectors), min(K + 1, len(vectors)))
    return np.asarray(ids)


def _plain_recall(index: Any, queries: Floats, exact: np.ndarray, own: np.ndarray) -> float:
    # As many as a user would ask for: with a second look, more neighbours get more candidates.
    _, ids = index.search(queries, min(K + int((own >= 0).any()), index.ntotal))
    shares = []
    for found, true, itself in zip(ids, exact, own, strict=True):
        wanted = [row for row in true if row != itself][:K]
        have = [row for row in found if row != itself][:K]
        shares.append(len(set(wanted) & set(have)) / len(wanted))
    return float(np.mean(shares))
