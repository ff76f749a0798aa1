"""k-means over the local features of a sample, without holding the sample.

The features of thousands of photos do not fit into memory; those that k-means learns from are drawn
first, with a seed. BoVW, VLAD, NetVLAD and ASMK cluster such a draw, Fisher vectors fit theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import faiss
import numpy as np
from numpy.typing import NDArray

from extractors.base import Floats

# FAISS recommends 39 points per centroid at least and uses 256 at most. On held-out SIFT, 64, 128
# and 256 of them gave a mean squared distance of 0.175, 0.171 and 0.171, and the time is
# proportional to them (4,096 words with 128: 137 CPU seconds on a busy 2-core machine).
MIN_POINTS_PER_WORD = 39
MAX_POINTS_PER_WORD = 64
# The BLAS inside FAISS rounds differently with each number of threads, so k-means always gets
# the same one, whatever the machine has. (Other kinds of CPU may still round differently.)
THREADS = 4

Item = TypeVar("Item")


def repeatable(items: Iterable[Item]) -> Iterable[Item]:
    """What can be gone through again: ``items``, or a list of what they give."""
    return list(items) if iter(items) is items else items


def draw(
    parts: Iterable[NDArray[Any]],
    counts: Sequence[int],
    most: int,
    seed: int,
    convert: Callable[[NDArray[Any]], Floats] = np.asarray,
) -> Floats:
    """Rows of many arrays, drawn without replacement and kept in order; all where there are few.

    Args:
        parts: (n_i, C) each, gone through once.
        counts: the n_i.
        most: rows at most.
        convert: of chosen rows to float32, row by row.

    Returns:
        (min(sum n_i, most), C').
    """
    ends = np.cumsum(np.asarray(counts, np.int64))
    total = int(ends[-1])
    chosen = np.arange(total)
    if total > most:
        chosen = np.sort(np.random.default_rng(seed).choice(total, most, replace=False))
    found: Floats | None = None
    done = 0
    own = np.split(chosen, np.searchsorted(chosen, ends))
    for part, places, end in zip(parts, own, ends, strict=False):  # ``own`` ends with none
        rows = convert(part[places - (end - len(part))])
        if found is None:
            found = np.empty((len(chosen), rows.shape[1]), np.float32)
        found[done : done + len(rows)] = rows
        done += len(rows)
    assert found is not None
    return found


def k_means(points: Floats, clusters: int, seed: int, iterations: int = 10) -> Floats:
    """(K, C) centres of (n, C) rows: the same with any number of cores."""
    kmeans = faiss.Kmeans(
        points.shape[1],
        clusters,
        niter=iterations,
        seed=seed,
        min_points_per_centroid=1,  # silences the warning for tiny collections
        max_points_per_centroid=len(points),  # all of them
    )
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(THREADS)  # OpenMP: of this Python thread only
    try:
        kmeans.train(np.ascontiguousarray(points, np.float32))
    finally:
        faiss.omp_set_num_threads(threads)
    return np.asarray(kmeans.centroids, np.float32)


def vocabulary_size(asked: int, descriptors: int) -> int:
    """Words that a sample of so many descriptors can support: 39 descriptors each, at least 2.

    Where that is fewer than asked for, it is rounded down to a multiple of 64 (8 below 64), as
    product quantisation needs a dimension with small divisors.
    """
    possible = descriptors // MIN_POINTS_PER_WORD
    if possible >= asked:
        return asked
    step = 64 if possible >= 64 else 8 if possible >= 8 else 1
    return min(asked, max(2, possible // step * step))
