"""Compression: every quantiser that FAISS has, at equal bytes per vector."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from data.errors import PlaygroundError
from evaluation.lab.base import Experiment, Ground, Problem, Row, built
from indexing import registry as index_registry
from indexing.base import BuiltIndex, Floats
from indexing.pq import divisors

BUDGETS = (16, 32, 64, 128)  # bytes per vector
REFINED = ",Refine(SQ8)"
_RESIDUAL = 8  # bytes: beyond, additive quantisers take minutes to encode


class Codes(Experiment):
    """Recall by bytes per vector: PQ, OPQ, SQ, RaBitQ, EDEN, TurboQuant and additive codes.

    Codes whose length is tied to the dimension come behind a PCA to the most dimensions that the
    budget holds. With a second look, ten candidates per neighbour are compared again by their
    8-bit components.
    """

    name = "codes"
    title = "Compression"
    question = "Which code keeps most neighbours at equal bytes per vector?"
    x_title = "bytes per vector, the second look's included"
    log_x = True

    def measure(self, ground: Ground) -> Iterator[Row]:
        vectors, asked = np.asarray(ground.vectors.vectors), ground.asked
        n, dim = vectors.shape
        problem = Problem.of(vectors, asked.vectors, asked.own)
        settings = [
            (family, text + tail)
            for tail in ("", REFINED)
            for budget in BUDGETS
            for family, text in candidates(dim, budget).items()
        ]
        ground.steps.total = len(settings) + 1
        exact, _ = _timed("flat", vectors)
        yield problem.row(exact.searcher(), "Flat", float(4 * dim), setting="Flat")
        ground.steps.add("Flat")
        for family, text in settings:
            spec = f"{index_registry.FREE_TEXT}:{text}"
            try:
                index, seconds = _timed(spec, vectors)
            except PlaygroundError:  # too few vectors to train it, or too many components
                ground.steps.add(text)
                continue
            kind, overrides = index_registry.parse_index_spec(spec)
            told = kind.estimate_bytes(kind.plan(n, dim, overrides), n, dim)
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / kind.file
                index.save(file)
                size = file.stat().st_size
            name = family + (" + second look" if text.endswith(REFINED) else "")
            yield problem.row(
                index.searcher(),
                name,
                float(index.code_size),
                setting=text,
                build_s=seconds,
                file_bytes=float(size),
                estimated=told / size,
            )
            ground.steps.add(text)

    def lesson(self, rows: Sequence[Row]) -> str:
        plain = [row for row in rows if "second look" not in row.series and row.series != "Flat"]
        small = min(float(row.x) for row in plain)
        budget = min(BUDGETS, key=lambda b: abs(b - 64))
        fitting = [row for row in plain if small <= float(row.x) <= budget] or plain
        best = max(fitting, key=lambda row: row.recall)
        second = max(
            (row for row in rows if "second look" in row.series),
            key=lambda row: row.recall,
            default=None,
        )
        sentence = (
            f"Within {budget} bytes per vector, {best.series} keeps {best.recall:.2f} of the "
            f"neighbours ({best.x:.0f} bytes)"
        )
        pq = max(
            (row for row in fitting if row.series == "PQ"), key=lambda r: r.recall, default=None
        )
        if pq is not None and pq is not best:
            sentence += f", plain PQ {pq.recall:.2f}"
        if second is not None:
            sentence += (
                f". A second look at the ten best candidates per neighbour brings it to "
                f"{second.recall:.2f} ({second.series}, {second.x:.0f} bytes)"
            )
        return sentence + "."


def candidates(dim: int, budget: int) -> dict[str, str]:
    """Family -> the factory string of at most ``budget`` bytes per vector, where there is one."""
    found: dict[str, str] = {}
    parts = max((m for m in divisors(dim) if m <= budget), default=0)
    if parts:
        found["PQ"] = f"PQ{parts}x8"
        found["OPQ"] = f"OPQ{parts}_{dim},PQ{parts}x8"
    for bits in (4, 8):
        if (kept := min(dim, 8 * budget // bits)) >= 2:
            found[f"SQ, {bits} bits"] = _behind(dim, kept, f"SQ{bits}")
    # RaBitQ, EDEN and TurboQuant carry 8 bytes of factors per vector (RaBitQ of several bits 20).
    for family, text, bits, factors in (
        ("RaBitQ, 1 bit", "RaBitQ", 1, 8),
        ("RaBitQ, 4 bits", "RaBitQ4", 4, 20),
        ("EDEN, 4 bits", "EDEN4", 4, 8),
        ("TurboQuant, 4 bits", "SQtq4", 4, 8),
    ):
        kept = min(dim, 8 * (budget - factors) // bits) // 8 * 8
        if kept >= 8:
            found[family] = _behind(dim, kept, text, rotate=True)
    if budget == BUDGETS[0]:
        found["RQ"] = f"RQ{_RESIDUAL}x8"
    return found


def _behind(dim: int, kept: int, text: str, rotate: bool = False) -> str:
    """A code behind a PCA, or behind a rotation where all dimensions are kept."""
    if kept < dim:
        return f"PCA{'R' if rotate else ''}{kept},{text}"
    return f"RR{dim},{text}" if rotate else text


def _timed(spec: str, vectors: Floats) -> tuple[BuiltIndex, float]:
    """A built index and the seconds that building took."""
    start = time.perf_counter()
    index, _ = built(spec, vectors)
    return index, time.perf_counter() - start
