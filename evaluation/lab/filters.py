"""Searching among a part of the photos only, such as one category."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from evaluation.lab.base import (
    Ask,
    Experiment,
    Ground,
    K,
    Problem,
    Row,
    built,
    label,
    search_parameters,
)
from indexing.base import BuiltIndex, Floats, Ints
from indexing.faiss_settings import faiss

SHARES = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01)  # of the vectors that may be answered
_SEED = 0


class Filters(Experiment):
    """Recall and latency by the share of vectors that pass a filter.

    The vectors that pass are drawn at random. Where FAISS takes an ``IDSelector`` the filter is
    within the search; else enough results for it are asked for, and filtered afterwards.
    """

    name = "filters"
    title = "Filtered search"
    question = "What does a search among a few of the photos (one category, one city) cost?"
    x_title = "share of the vectors that pass the filter"
    log_x = True

    def measure(self, ground: Ground) -> Iterator[Row]:
        vectors, asked = np.asarray(ground.vectors.vectors), ground.asked
        order = np.random.default_rng(_SEED).permutation(len(vectors))
        shares = [share for share in SHARES if share * len(vectors) >= K]
        parts = {share: np.sort(order[: round(share * len(vectors))]) for share in (1.0, *shares)}
        problems = {
            share: Problem.of(vectors, asked.vectors, asked.own, None if share == 1 else part)
            for share, part in parts.items()
        }
        specs = ground.specs()
        ground.steps.total = len(specs) * len(parts)
        for spec in specs:
            index, _ = built(spec, vectors)
            for share, part in parts.items():
                ask, how = (index.searcher(), "") if share == 1 else filtered(index, part)
                name = f"{label(spec)}{', ' * bool(how) + how if how == AFTER else ''}"
                yield problems[share].row(ask, name, share, filter=how or "none")
                ground.steps.add(f"{label(spec)} {share:g}")

    def lesson(self, rows: Sequence[Row]) -> str:
        least = min(float(row.x) for row in rows)
        at_least = [row for row in rows if row.x == least]
        worst = min(at_least, key=lambda row: row.recall)
        slowest = max(at_least, key=lambda row: row.latency_ms)
        before = next(
            row for row in rows if row.x == 1 and worst.series.startswith(row.series.split(",")[0])
        )
        flat = next(row for row in at_least if row.series == "Flat")
        return (
            f"With {least:.0%} of the vectors left, {worst.series} finds {worst.recall:.2f} of the "
            f"neighbours (without a filter {before.recall:.2f}), and the slowest, "
            f"{slowest.series}, takes {slowest.latency_ms:.2g} ms; exact search over "
            f"the few that pass takes {flat.latency_ms:.2g} ms and misses none. "
            f"The narrower a filter is, the less an index helps."
        )


WITHIN, AFTER = "within the search", "filtered afterwards"


def filtered(index: BuiltIndex, part: Ints) -> tuple[Ask, str]:
    """A search that answers rows of ``part`` (ascending) alone, and how it does it."""
    inner = index.inspect()
    if isinstance(inner, faiss.Index):
        made = search_parameters(index, faiss.IDSelectorBatch(part))
        try:
            inner.search(np.zeros((1, index.d), np.float32), 1, params=made)
            return functools.partial(inner.search, params=made), WITHIN
        except RuntimeError:  # PQ, LSH and others take no selector
            pass
    plain = index.searcher()
    passes = np.zeros(index.n, bool)
    passes[part] = True
    # Twice as many as hold K answers on average.
    wide = min(index.n, math.ceil(2 * K * index.n / len(part)))

    def ask(queries: Floats, k: int) -> tuple[Floats, Ints]:
        distances, rows = plain(queries, max(k, wide))
        keep = (rows >= 0) & passes[np.maximum(rows, 0)]
        first = np.argsort(~keep, axis=1, kind="stable")[:, :k]
        rows = np.where(keep, rows, -1)
        return np.take_along_axis(distances, first, 1), np.take_along_axis(rows, first, 1)

    return ask, AFTER
