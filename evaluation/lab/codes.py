"""Compression: every quantiser that FAISS has, at equal bytes per vector."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import PlaygroundError
from evaluation.lab.base import Experiment, Ground, Problem, Row, built
from indexing import registry as index_registry
from indexing.base import BuiltIndex
from indexing.faiss_settings import faiss
from indexing.pq import divisors

BUDGETS = (16, 32, 64, 128)  # bytes per vector
SECOND_LOOK = " + second look"
_ROUNDS = 5  # of OPQ, instead of 50: a tenth of the time, most of the gain
_BEAM = 1  # of RQ, instead of 5: a greedy encoder
_RESIDUAL = 32  # bytes: beyond, RQ trains for minutes


class Codes(Experiment):
    """Recall by bytes per vector: PQ, OPQ, SQ, RaBitQ, EDEN, TurboQuant and residual codes.

    Codes whose length is tied to the dimension come behind a PCA to the most dimensions that the
    budget holds. With a second look, ten candidates per neighbour are compared again by their
    8-bit components. OPQ and RQ learn for less long than FAISS lets them by itself, as their names
    in the figure say.
    """

    name = "codes"
    title = "Compression"
    question = "Which code keeps most neighbours at equal bytes per vector?"
    x_title = "bytes per vector, the second look's included"
    log_x = True

    def measure(self, ground: Ground) -> Iterator[Row]:
        vectors, asked = np.asarray(ground.vectors.vectors), ground.asked
        dim = vectors.shape[1]
        problem = Problem.of(vectors, asked.vectors, asked.own)
        settings = [one for b in BUDGETS for one in candidates(dim, b).items()]
        ground.steps.total = 2 * len(settings) + 1
        exact, _ = built("flat", vectors)
        yield problem.row(exact.searcher(), "Flat", float(4 * dim), setting="Flat")
        ground.steps.add("Flat")
        components, _ = built("factory:SQ8", vectors)
        for family, text in settings:
            try:
                start = time.perf_counter()
                index, _ = built(f"factory:{text}", vectors)
                seconds = time.perf_counter() - start
            except PlaygroundError:  # too few vectors to train it, or too many components
                ground.steps.add(text, 2)
                continue
            yield _row(problem, index, family, text, build_s=seconds)
            ground.steps.add(text)
            text = refined(text)
            index = _second_look(index, components, text)
            yield _row(problem, index, family + SECOND_LOOK, text)
            ground.steps.add(text)

    def lesson(self, rows: Sequence[Row]) -> str:
        plain = [row for row in rows if SECOND_LOOK not in row.series and row.series != "Flat"]
        small = min(float(row.x) for row in plain)
        budget = min(BUDGETS, key=lambda b: abs(b - 64))
        fitting = [row for row in plain if small <= float(row.x) <= budget] or plain
        best = max(fitting, key=lambda row: row.recall)
        second = max(
            (row for row in rows if SECOND_LOOK in row.series),
            key=lambda row: row.recall,
            default=None,
        )
        sentence = f"Within {budget} bytes per vector, {best.series} keeps {_told(best)}"
        pq = max(
            (row for row in fitting if row.series == "PQ" and float(row.x) <= float(best.x)),
            key=lambda row: row.recall,
            default=None,
        )
        if pq is not None and pq is not best:
            sentence += f", plain PQ {_told(pq)}"
        if second is not None:
            sentence += (
                f". A second look at the ten best candidates per neighbour brings it to "
                f"{second.recall:.3f} ({second.series}, {second.x:.0f} bytes)"
            )
        return sentence + "."


def _told(row: Row) -> str:
    ms = f"{row.latency_ms:,.0f}" if row.latency_ms >= 10 else f"{row.latency_ms:.2g}"
    return f"{row.recall:.3f} of the neighbours ({row.x:.0f} bytes, {ms} ms a search)"


def candidates(dim: int, budget: int) -> dict[str, str]:
    """Family -> the factory spec of at most ``budget`` bytes per vector, where there is one."""
    found: dict[str, str] = {}
    parts = max((m for m in divisors(dim) if m <= budget), default=0)
    if parts:
        found["PQ"] = f"PQ{parts}x8"
        name = f"OPQ, {_ROUNDS} rounds"
        found[name] = f"OPQ{parts}_{dim},PQ{parts}x8;opq_iterations={_ROUNDS}"
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
    if budget <= _RESIDUAL:
        found[f"RQ, beam {_BEAM}"] = f"RQ{budget}x8;beam={_BEAM}"
    return found


def _behind(dim: int, kept: int, text: str, rotate: bool = False) -> str:
    """A code behind a PCA, or behind a rotation where all dimensions are kept."""
    if kept < dim:
        return f"PCA{'R' if rotate else ''}{kept},{text}"
    return f"RR{dim},{text}" if rotate else text


def refined(text: str) -> str:
    """The same spec with a second look at the candidates' 8-bit components."""
    factory, mark, training = text.partition(";")
    return f"{factory},Refine(SQ8){mark}{training}"


def _second_look(index: BuiltIndex, components: BuiltIndex, text: str) -> BuiltIndex:
    """What ``refined(text)`` builds, of the index that is there: training would be the same."""
    kind, overrides = index_registry.parse_index_spec(f"factory:{text}")
    plan = kind.plan(index.n, index.d, overrides)
    made: Any = faiss.IndexRefine(index.inspect(), components.inspect())
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / kind.file
        with open(file, "wb") as handle:
            faiss.write_index(made, faiss.PyCallbackIOWriter(handle.write))
        about = {"n": index.n, "d": index.d, "build": plan.build, "search": plan.search}
        return kind.load(file, about)


def _row(problem: Problem, index: BuiltIndex, series: str, text: str, **more: float) -> Row:
    """Recall and latency, and how well the file's size was told before."""
    kind, overrides = index_registry.parse_index_spec(f"factory:{text}")
    told = kind.estimate_bytes(kind.plan(index.n, index.d, overrides), index.n, index.d)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / kind.file
        index.save(file)
        size = file.stat().st_size
    return problem.row(
        index.searcher(),
        series,
        float(index.code_size),
        setting=text,
        file_bytes=float(size),
        estimated=told / size,
        **more,
    )
