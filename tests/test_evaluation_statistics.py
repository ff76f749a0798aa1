"""Intervals and paired tests: exact cases, coverage, seeds."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from evaluation import statistics


def named(values: list[float]) -> dict[str, float]:
    return {f"q{i}": value for i, value in enumerate(values)}


def test_the_interval_contains_the_mean_and_is_seeded() -> None:
    values = np.random.default_rng(1).random(40).tolist()
    first = statistics.bootstrap_interval(values)
    assert first is not None and first == statistics.bootstrap_interval(values)
    low, high = first
    assert 0 <= low < float(np.mean(values)) < high <= 1
    # The width of a normal interval, which the bootstrap approaches.
    normal = 2 * 1.96 * float(np.std(values)) / math.sqrt(40)
    assert high - low == pytest.approx(normal, rel=0.1)


def test_the_interval_of_two_values_by_hand() -> None:
    # Two draws of {0, 1}: means 0, 0.5, 1 with probability 1/4, 1/2, 1/4.
    assert statistics.bootstrap_interval([0.0, 1.0]) == (0.0, 1.0)
    low_level = statistics.bootstrap_interval([0.0, 1.0], level=0.4)
    assert low_level == (0.5, 0.5)


def test_too_little_for_an_interval() -> None:
    assert statistics.bootstrap_interval([]) is None
    assert statistics.bootstrap_interval([0.5, math.nan]) is None
    assert statistics.bootstrap_interval([0.5, 0.5, math.nan]) == (0.5, 0.5)


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    inside = 0
    for _ in range(200):
        sample = rng.beta(0.5, 1.5, 60)  # AP-like: many near 0; mean 0.25
        found = statistics.bootstrap_interval(sample.tolist(), draws=400)
        assert found is not None
        inside += found[0] <= 0.25 <= found[1]
    assert 0.88 <= inside / 200 <= 0.99


def exact_p(differences: list[float]) -> float:
    observed = abs(sum(differences))
    sums = [
        abs(sum(sign * d for sign, d in zip(signs, differences, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    return sum(one >= observed - 1e-12 for one in sums) / len(sums)


def test_the_test_equals_the_exact_enumeration() -> None:
    differences = [0.3, -0.1, 0.2, 0.05, 0.4, -0.02, 0.1, 0.01]
    found = statistics.compare(named(differences), named([0.0] * 8))
    assert found.p_value == pytest.approx(exact_p(differences), abs=1e-12)
    assert found.difference == pytest.approx(sum(differences) / 8)
    assert (found.queries, found.wins, found.ties, found.losses) == (8, 6, 0, 2)


def test_always_better_by_hand() -> None:
    # Of 2^5 exchanges only two are as far apart: none exchanged, and all.
    found = statistics.compare(named([0.2] * 5), named([0.1] * 5))
    assert found.p_value == pytest.approx(2 / 32)


def test_queries_without_a_difference_change_nothing_but_the_count() -> None:
    differences = [0.3, 0.1, -0.05, 0.2]
    alone = statistics.compare(named(differences), named([0.0] * 4))
    more = statistics.compare(named([*differences, 0.5]), named([0.0] * 4 + [0.5 + 1e-15]))
    assert more.p_value == alone.p_value == pytest.approx(exact_p(differences))
    assert (more.queries, more.ties) == (5, 1)


def test_many_queries_are_sampled_with_a_seed_and_symmetric() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.random(60), rng.random(60)
    forth = statistics.compare(named(a.tolist()), named(b.tolist()), draws=2000)
    again = statistics.compare(named(a.tolist()), named(b.tolist()), draws=2000)
    back = statistics.compare(named(b.tolist()), named(a.tolist()), draws=2000)
    assert forth == again
    assert back.difference == -forth.difference
    assert (back.wins, back.losses) == (forth.losses, forth.wins)
    assert back.p_value == pytest.approx(forth.p_value, abs=0.06)
    # The normal approximation of the same test.
    d = a - b
    z = abs(d.sum()) / math.sqrt((d**2).sum())
    assert forth.p_value == pytest.approx(math.erfc(z / math.sqrt(2)), abs=0.06)


def test_a_clear_difference_and_none() -> None:
    rng = np.random.default_rng(4)
    a = rng.random(50)
    better = statistics.compare(named((a + 0.2).tolist()), named(a.tolist()), draws=1000)
    assert better.p_value < 0.01 and better.wins == 50
    same = statistics.compare(named(a.tolist()), named(a.tolist()))
    assert (same.p_value, same.difference, same.ties) == (1.0, 0.0, 50)


def test_only_shared_queries_with_values_count() -> None:
    found = statistics.compare({"a": 0.5, "b": math.nan, "c": 0.1}, {"a": 0.25, "b": 0.3, "d": 0.9})
    assert (found.queries, found.difference, found.wins) == (1, 0.25, 1)
    nothing = statistics.compare({"a": math.nan}, {"a": 1.0})
    assert nothing.queries == 0 and math.isnan(nothing.p_value) and math.isnan(nothing.difference)


def test_under_no_difference_p_is_spread_evenly() -> None:
    rng = np.random.default_rng(5)
    values = [
        statistics.compare(
            named(rng.random(10).tolist()), named(rng.random(10).tolist()), draws=1024
        ).p_value
        for _ in range(150)
    ]
    assert 0.01 <= np.mean(np.array(values) <= 0.1) <= 0.2
    assert 0.35 <= np.mean(np.array(values) <= 0.5) <= 0.65
