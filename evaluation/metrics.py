"""The measures, as pure functions with the exact definitions of the benchmarks.

A ranking is judged by *flags*, one boolean per rank, best rank first (``relevance_flags``), or
by the 0-based ranks of the positives (``positive_ranks``). A measure that has no value for a
query, because nothing is relevant to it, is NaN; ``mean`` leaves such queries out. An argument
that contradicts itself is a defect of the caller and raises ValueError.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Collection, Hashable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Id = Hashable


def relevance_flags(ranking: Sequence[Id], relevant: Collection[Id]) -> list[bool]:
    """Whether each rank is a hit; an id that was ranked before earns nothing and keeps its rank.

    Args:
        ranking: ids, best first.
        relevant: ids that answer the query.
    """
    wanted = set(relevant)
    flags = []
    for one in ranking:
        flags.append(one in wanted)
        wanted.discard(one)
    return flags


def positive_ranks(
    ranking: Sequence[Id], positives: Collection[Id], junk: Collection[Id] = ()
) -> list[int]:
    """0-based ranks of the positives that were found, after removing junk from the ranking.

    Junk ids (too hard or ambiguous to be judged) neither help nor harm: every later rank moves
    up by one. Repeated ids earn nothing and keep their rank, as in ``relevance_flags``.
    """
    wanted, ignored = set(positives), set(junk)
    judged = wanted | ignored  # nearly all of a long ranking is neither: one look-up each
    ranks, removed = [], 0
    for place, one in enumerate(ranking):
        if one in judged:
            if one in ignored:
                removed += 1
            elif one in wanted:
                ranks.append(place - removed)
                wanted.discard(one)
    return ranks


def precision_at_k(flags: Sequence[bool], k: int) -> float:
    """Hits in the first k ranks / k; a rank that a short ranking lacks counts as a miss."""
    _check_k(k)
    return sum(map(bool, flags[:k])) / k


def recall_at_k(flags: Sequence[bool], n_relevant: int, k: int) -> float:
    """Share of the relevant photos that are in the first k ranks; NaN when there is none."""
    _check_k(k)
    found = sum(map(bool, flags[:k]))
    _check_positives(found, n_relevant)
    return found / n_relevant if n_relevant else math.nan


def average_precision_at_k(flags: Sequence[bool], n_relevant: int, k: int) -> float:
    """AP@k of the Google Landmarks v2 retrieval challenge; its mean over queries is mAP@k.

    AP@k = (sum over hits in the first k ranks of hits so far / rank) / min(n_relevant, k).
    Weyand et al., "Google Landmarks Dataset v2", CVPR 2020.

    Args:
        flags: per rank, best first; may be shorter than k.
        n_relevant: relevant photos in the database, found or not.

    Returns:
        A value from 0 to 1; NaN when nothing is relevant.
    """
    _check_k(k)
    _check_positives(sum(map(bool, flags[:k])), n_relevant)
    if n_relevant == 0:
        return math.nan
    hits = 0
    total = 0.0
    for rank, hit in enumerate(flags[:k], start=1):
        if hit:
            hits += 1
            total += hits / rank
    return total / min(n_relevant, k)


def trapezoid_ap(ranks0: Sequence[int], nres: int) -> float:
    """AP of Oxford, Paris, ROxford, RParis and Holidays: area under the precision-recall curve.

    Each positive adds a trapezoid of width 1 / nres between the precision just before its rank
    and the precision at it. Philbin et al., CVPR 2007; Radenovic et al., CVPR 2018.

    Args:
        ranks0: 0-based ranks of the positives found, ascending, junk removed.
        nres: positives in the ground truth, found or not.

    Returns:
        A value from 0 to 1; NaN when there is no positive.
    """
    _check_ranks(ranks0)
    _check_positives(len(ranks0), nres)
    if nres == 0:
        return math.nan
    area = 0.0
    for found, rank in enumerate(ranks0):
        before = 1.0 if rank == 0 else found / rank
        area += (before + (found + 1) / (rank + 1)) / 2
    return area / nres


def revisited_precision_at_k(ranks0: Sequence[int], k: int, nres: int | None = None) -> float:
    """P@k of ROxford and RParis: over the first min(k, rank of the last positive) ranks.

    Args:
        ranks0: 0-based ranks of the positives found, ascending, junk removed.
        nres: positives in the ground truth; None: as many as were found. A positive that was
            never found has no rank, so its last one lies beyond any k.

    Returns:
        A value from 0 to 1; NaN when there is no positive.
    """
    _check_k(k)
    _check_ranks(ranks0)
    expected = len(ranks0) if nres is None else nres
    _check_positives(len(ranks0), expected)
    if expected == 0:
        return math.nan
    depth = min(k, ranks0[-1] + 1) if len(ranks0) == expected else k
    return sum(rank < depth for rank in ranks0) / depth


def ukbench_score(flags: Sequence[bool]) -> float:
    """N-S of UKBench: hits in the top 4, the query itself being one of its group of 4; 0 to 4.

    Nister and Stewenius, CVPR 2006.
    """
    return float(sum(map(bool, flags[:4])))


def overlap_at_k(ids_a: Sequence[Id], ids_b: Sequence[Id], k: int) -> float:
    """How much two rankings agree in their first k: shared ids / ids of the longer one.

    Symmetric, 0 to 1. Repeated ids count once. When both rankings are shorter than k, the longer
    one is the measure; NaN when both are empty.
    """
    _check_k(k)
    first, second = set(ids_a[:k]), set(ids_b[:k])
    longer = max(len(first), len(second))
    return len(first & second) / longer if longer else math.nan


def recall_by_distance(
    found: Sequence[float], exact: Sequence[float], k: int, eps: float = 1e-6
) -> float:
    """Recall@k of an approximate index by distance: a photo as near as the k-th exact one counts.

    As in ann-benchmarks and ``faiss.contrib.evaluation``: of photos that are equally near, it
    does not matter which one an index names.

    Args:
        found: distances of what the index returned (the exact measure, not the index's estimate).
        exact: those of the exact search, ascending.
        eps: tolerance for rounding, in the unit of the distances.

    Returns:
        A value from 0 to 1; NaN when the exact search found nothing.
    """
    _check_k(k)
    if len(exact) == 0:
        return math.nan
    wanted = min(k, len(exact))
    limit = exact[wanted - 1] + eps
    return min(sum(distance <= limit for distance in found[:k]), wanted) / wanted


def precision_recall(ranks0: Sequence[int], nres: int, levels: Sequence[float]) -> list[float]:
    """Interpolated precision at each recall level: the best precision at that recall or more.

    Manning et al., Introduction to Information Retrieval, chapter 8.4. A recall that the ranking
    never reaches has precision 0.

    Args:
        ranks0: 0-based ranks of the positives found, ascending, junk removed.
        nres: positives in the ground truth, found or not.
        levels: recalls from 0 to 1.

    Returns:
        One value per level; NaN where there is no positive.
    """
    _check_ranks(ranks0)
    _check_positives(len(ranks0), nres)
    if nres == 0:
        return [math.nan] * len(levels)
    best = np.zeros(nres)
    found = np.arange(1, len(ranks0) + 1) / (np.asarray(ranks0, np.int64) + 1)
    best[: len(found)] = np.maximum.accumulate(found[::-1])[::-1]
    values: list[float] = best[_needed(tuple(levels), nres) - 1].tolist()
    return values


@functools.lru_cache(maxsize=4096)
def _needed(levels: tuple[float, ...], nres: int) -> NDArray[np.int64]:
    """Photos from which on a recall level is reached: its ceiling."""
    return np.maximum(1, np.ceil(np.asarray(levels) * nres - 1e-9)).astype(np.int64)


def mean(values: Iterable[float]) -> float:
    """Mean over the queries that have a value; NaN when none has."""
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else math.nan


def _check_k(k: int) -> None:
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")


def _check_positives(found: int, expected: int) -> None:
    if expected < 0:
        raise ValueError(f"the number of positives must not be negative, got {expected}")
    if found > expected:
        raise ValueError(f"{found} positives were found, but only {expected} exist")


def _check_ranks(ranks0: Sequence[int]) -> None:
    if any(rank < 0 for rank in ranks0):
        raise ValueError(f"ranks must not be negative, got {list(ranks0)}")
    if any(later <= earlier for earlier, later in itertools.pairwise(ranks0)):
        raise ValueError(f"ranks must be ascending without repetition, got {list(ranks0)}")
