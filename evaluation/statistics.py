"""How sure a mean over queries is, and whether two methods differ.

Both are resampling methods: queries are what varies, so they are drawn again (bootstrap) or
have their two methods exchanged (permutation). Both are seeded.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

DRAWS = 10_000
LEVEL = 0.95
SEED = 0
TIE = 1e-12  # values nearer than this are equal; rounding alone separates them
_BATCH = 4_000_000  # numbers drawn at a time, to bound memory


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Two methods on the queries that both have a value for.

    ``difference`` is mean(a) - mean(b); ``p_value`` is two-sided: how often a difference at
    least as large appears when the two methods are exchanged at random for each query. ``wins``
    counts the queries where a is better. NaN where no query is shared.
    """

    queries: int
    difference: float
    p_value: float
    wins: int
    ties: int
    losses: int


def bootstrap_interval(
    values: Sequence[float], *, draws: int = DRAWS, level: float = LEVEL, seed: int = SEED
) -> tuple[float, float] | None:
    """Percentile bootstrap interval of the mean over queries.

    B. Efron, R. Tibshirani, An Introduction to the Bootstrap, 1993.

    Args:
        values: one per query; NaN are left out, as in ``metrics.mean``.

    Returns:
        (low, high); None with fewer than 2 values, which say nothing about their spread.
    """
    from scipy import stats  # a second or more to import: pages show saved rows without it

    known = _known(values)
    if len(known) < 2:
        return None
    if np.ptp(known) == 0:
        return float(known[0]), float(known[0])
    found = stats.bootstrap(
        (known,),
        np.mean,
        n_resamples=draws,
        batch=max(1, _BATCH // len(known)),
        confidence_level=level,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(found.low), float(found.high)


def compare(
    a: Mapping[str, float], b: Mapping[str, float], *, draws: int = DRAWS, seed: int = SEED
) -> Comparison:
    """Paired permutation test of two methods' values, query by query.

    The signs of the differences are exchanged at random; with few queries (2 to the power of
    their number at most ``draws``) all exchanges are counted and p is exact. M. Smucker, J. Allan,
    B. Carterette, A Comparison of Statistical Significance Tests for Information Retrieval
    Evaluation, CIKM 2007.

    Args:
        a, b: query id to value; queries that one lacks, or has NaN for, are left out.
    """
    from scipy import stats

    shared = [one for one in a if one in b and not math.isnan(a[one]) and not math.isnan(b[one])]
    differences = np.array([a[one] - b[one] for one in shared], np.float64)
    differences[np.abs(differences) <= TIE] = 0.0
    n = len(shared)
    if n == 0:
        return Comparison(0, math.nan, math.nan, 0, 0, 0)
    wins, losses = int((differences > 0).sum()), int((differences < 0).sum())
    # A query without a difference is the same either way: leaving it out changes no sum.
    unequal = differences[differences != 0]
    p_value = 1.0  # of one query: exchanged or not, the difference is as large
    if len(unequal) > 1:
        p_value = float(
            stats.permutation_test(
                (unequal,),
                _total,
                permutation_type="samples",
                vectorized=True,
                n_resamples=draws,
                batch=max(1, _BATCH // len(unequal)),
                alternative="two-sided",
                rng=np.random.default_rng(seed),
            ).pvalue
        )
    return Comparison(n, float(differences.mean()), p_value, wins, n - wins - losses, losses)


def _total(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    return np.asarray(np.sum(values, axis=axis))


def _known(values: Sequence[float]) -> NDArray[np.float64]:
    given = np.asarray(values, np.float64)
    return given[~np.isnan(given)]
