"""The measures against hand-computed values and against plain-loop formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evaluation import metrics

NEAR = 1e-6  # the hand-computed values have seven digits


@pytest.mark.parametrize(
    ("ranks0", "nres", "expected"),
    [
        ([0], 1, 1.0),
        ([1], 1, 0.25),
        ([0, 2], 2, 0.7916667),
        ([3, 4], 2, 0.225),
        ([0, 2], 4, 0.3958333),  # two are never found
        ([], 3, 0.0),
    ],
)
def test_trapezoid_ap_of_known_rankings(ranks0: list[int], nres: int, expected: float) -> None:
    assert metrics.trapezoid_ap(ranks0, nres) == pytest.approx(expected, abs=NEAR)


@pytest.mark.parametrize(
    ("hits", "n_relevant", "expected"),
    [
        ([1, 3], 2, 0.8333333),
        ([1, 3], 5, 0.3333333),
        ([1, 3], 200, 0.0166667),
        ([1], 50, 0.02),  # dividing by the hits found would give 1.0
        ([], 5, 0.0),
    ],
)
def test_ap_at_100_of_known_rankings(hits: list[int], n_relevant: int, expected: float) -> None:
    flags = [rank in hits for rank in range(1, 101)]
    value = metrics.average_precision_at_k(flags, n_relevant, 100)
    assert value == pytest.approx(expected, abs=NEAR)


def test_junk_is_removed_before_ranks_are_counted() -> None:
    ranks0 = metrics.positive_ranks(["j", "p", "n", "q"], {"p", "q"}, junk={"j"})
    assert ranks0 == [0, 2]
    assert metrics.trapezoid_ap(ranks0, 2) == pytest.approx(0.7916667, abs=NEAR)
    assert metrics.revisited_precision_at_k(ranks0, 1) == 1.0
    assert metrics.revisited_precision_at_k(ranks0, 5) == pytest.approx(2 / 3)
    assert metrics.revisited_precision_at_k(ranks0, 10) == pytest.approx(2 / 3)


def test_all_positives_in_front_give_full_revisited_precision() -> None:
    assert metrics.revisited_precision_at_k([0, 1, 2], 10) == 1.0


def test_ukbench_counts_the_query_itself() -> None:
    assert metrics.ukbench_score([True] * 4) == 4.0
    assert metrics.ukbench_score([True, False, False, False, True]) == 1.0


def test_duplicates_earn_nothing_and_keep_their_rank() -> None:
    flags = metrics.relevance_flags(["a", "a", "b", "x"], {"a", "b"})
    assert flags == [True, False, True, False]
    assert metrics.average_precision_at_k(flags, 2, 4) == pytest.approx((1 + 2 / 3) / 2)
    assert metrics.positive_ranks(["a", "a", "b"], {"a", "b"}) == [0, 2]


def test_short_ranking_counts_missing_ranks_as_misses() -> None:
    assert metrics.precision_at_k([True, True], 10) == pytest.approx(0.2)
    assert metrics.precision_at_k([], 5) == 0.0
    assert metrics.average_precision_at_k([True], 1, 100) == 1.0


def test_nothing_relevant_has_no_value_and_is_left_out_of_the_mean() -> None:
    nothing = metrics.average_precision_at_k([False, False], 0, 10)
    assert math.isnan(nothing)
    assert math.isnan(metrics.trapezoid_ap([], 0))
    assert math.isnan(metrics.revisited_precision_at_k([], 5))
    assert metrics.mean([1.0, nothing, 0.5]) == pytest.approx(0.75)
    assert math.isnan(metrics.mean([nothing]))
    assert math.isnan(metrics.mean([]))


def test_overlap_of_short_and_repeated_lists() -> None:
    assert metrics.overlap_at_k([1, 2, 3], [3, 2, 9], 3) == pytest.approx(2 / 3)
    assert metrics.overlap_at_k([1, 2], [1, 2], 10) == 1.0
    assert metrics.overlap_at_k([1, 2], [1, 2, 3, 4], 10) == 0.5
    assert metrics.overlap_at_k([1, 1], [1], 10) == 1.0
    assert metrics.overlap_at_k([], [1], 10) == 0.0
    assert math.isnan(metrics.overlap_at_k([], [], 10))


@pytest.mark.parametrize("k", [0, -1])
def test_impossible_k_is_refused(k: int) -> None:
    for call in (
        lambda: metrics.precision_at_k([True], k),
        lambda: metrics.average_precision_at_k([True], 1, k),
        lambda: metrics.revisited_precision_at_k([0], k),
        lambda: metrics.overlap_at_k([1], [1], k),
    ):
        with pytest.raises(ValueError, match="k must be at least 1"):
            call()


def test_contradictory_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="only 1 exist"):
        metrics.average_precision_at_k([True, True], 1, 10)
    with pytest.raises(ValueError, match="only 1 exist"):
        metrics.trapezoid_ap([0, 1], 1)
    with pytest.raises(ValueError, match="ascending"):
        metrics.trapezoid_ap([2, 1], 2)
    with pytest.raises(ValueError, match="ascending"):
        metrics.trapezoid_ap([1, 1], 2)
    with pytest.raises(ValueError, match="negative"):
        metrics.trapezoid_ap([-1], 2)
    with pytest.raises(ValueError, match="negative"):
        metrics.trapezoid_ap([], -1)


def test_random_rankings_agree_with_the_formulas_in_plain_loops() -> None:
    rng = np.random.default_rng(3)
    for _ in range(300):
        n = int(rng.integers(1, 40))
        flags = (rng.random(n) < rng.random()).tolist()
        k = int(rng.integers(1, 50))
        n_relevant = sum(flags) + int(rng.integers(0, 5))
        ranks0 = [rank for rank in range(n) if flags[rank]]

        in_front = 0
        for rank in range(k):
            in_front += rank < n and flags[rank]
        assert metrics.precision_at_k(flags, k) == pytest.approx(in_front / k)
        if n_relevant == 0:
            continue

        total = 0.0
        for rank in range(min(n, k)):
            if flags[rank]:
                total += sum(flags[: rank + 1]) / (rank + 1)
        value = metrics.average_precision_at_k(flags, n_relevant, k)
        assert value == pytest.approx(total / min(n_relevant, k))
        assert 0 <= value <= 1

        # The area under the curve of precision over recall, point by point.
        area, recall, precision = 0.0, 0.0, 1.0
        for rank in range(n):
            hits = sum(flags[: rank + 1])
            new_recall, new_precision = hits / n_relevant, hits / (rank + 1)
            area += (new_recall - recall) * (precision + new_precision) / 2
            recall, precision = new_recall, new_precision
        value = metrics.trapezoid_ap(ranks0, n_relevant)
        assert value == pytest.approx(area)
        assert 0 <= value <= 1


def test_moving_a_hit_up_never_lowers_a_measure() -> None:
    rng = np.random.default_rng(4)
    for _ in range(200):
        flags = (rng.random(20) < 0.4).tolist()
        swaps = [i for i in range(19) if not flags[i] and flags[i + 1]]
        if not swaps:
            continue
        better = list(flags)
        better[swaps[0]], better[swaps[0] + 1] = True, False
        n = sum(flags)
        ranks = [[i for i, flag in enumerate(one) if flag] for one in (flags, better)]
        assert metrics.trapezoid_ap(ranks[1], n) > metrics.trapezoid_ap(ranks[0], n)
        for k in (1, 5, 20):
            assert metrics.precision_at_k(better, k) >= metrics.precision_at_k(flags, k)
            assert metrics.average_precision_at_k(better, n, k) >= (
                metrics.average_precision_at_k(flags, n, k)
            )
