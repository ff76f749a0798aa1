"""A collection that grows and shrinks under an index that was trained once."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import numpy as np

from evaluation.lab.base import (
    Ask,
    Experiment,
    Ground,
    Problem,
    Row,
    built,
    label,
    search_parameters,
)
from indexing.base import BuiltIndex, Floats, Ints
from indexing.faiss_settings import faiss

STEP = 0.1  # of the collection, inserted or deleted at a time
ONCE, AGAIN = "trained once", "built again"


class Stream(Experiment):
    """Recall and latency while vectors are inserted, then the oldest deleted.

    They come in the order of their first principal component, so that what comes later looks
    different: the hard case. The index is trained on the first half and never again; beside it, an
    index that is built again at every step.
    """

    name = "stream"
    title = "Growing collection"
    question = "When does an index have to be trained again, as photos come and go?"
    x_title = "step: 10 % more, then 10 % fewer vectors each"

    def measure(self, ground: Ground) -> Iterator[Row]:
        order = along_main_direction(np.asarray(ground.vectors.vectors))
        place = np.argsort(order)
        asked = ground.asked
        vectors = np.asarray(ground.vectors.vectors)[order]
        own = np.where(asked.own >= 0, place[np.maximum(asked.own, 0)], -1)
        n = len(vectors)
        cuts = [round(n * share) for share in np.arange(0.5, 1 + STEP / 2, STEP)]
        spans = [(0, end) for end in cuts]
        spans += [(round(n * share), n) for share in np.arange(STEP, 0.5 + STEP / 2, STEP)]
        problems = [_within(vectors, asked.vectors, own, span) for span in spans]
        specs = ground.specs()
        ground.steps.total = 2 * len(specs) * len(spans)
        for spec in specs:
            once = Changing(spec, vectors[: cuts[0]])
            for step, (span, problem) in enumerate(zip(spans, problems, strict=True)):
                once.to(vectors, span)
                size = {"vectors": float(span[1] - span[0])}
                yield problem.row(once.ask(), f"{label(spec)}, {ONCE}", float(step), **size)
                ground.steps.add(f"{label(spec)} step {step}")
                fresh, _ = built(spec, problem.vectors)
                yield problem.row(fresh.searcher(), f"{label(spec)}, {AGAIN}", float(step), **size)
                ground.steps.add(f"{label(spec)} step {step}")

    def lesson(self, rows: Sequence[Row]) -> str:
        last = max(float(row.x) for row in rows)
        end = {row.series: row for row in rows if row.x == last}
        lost = {
            name.rpartition(",")[0]: end[f"{name.rpartition(',')[0]}, {AGAIN}"].recall - row.recall
            for name, row in end.items()
            if name.endswith(ONCE)
        }
        worst = max(lost, key=lambda name: lost[name])
        if lost[worst] < 0.02:
            return (
                f"After all inserts and deletes no index is more than {max(0.0, lost[worst]):.2f} "
                f"of recall behind one that is built again: these vectors look alike all along, so "
                f"that training once is enough."
            )
        return (
            f"After all inserts and deletes {worst} finds {lost[worst]:.2f} less of the "
            f"neighbours than when it is built again: what it learned was of photos that are "
            f"gone. Flat learns nothing and loses nothing."
        )


class Changing:
    """An index that is filled and emptied as FAISS does it, without training it again."""

    def __init__(self, spec: str, vectors: Floats) -> None:
        self._built: BuiltIndex = built(spec, vectors)[0]
        self._index = self._built.inspect()
        self._first, self._end = 0, len(vectors)
        self._shift = 0  # FAISS's row 0 is this row: a flat array closes its gaps
        self._graph = isinstance(self._index, faiss.IndexHNSW)

    def to(self, vectors: Floats, span: tuple[int, int]) -> None:
        """Hold the rows of a span, which never begins or ends earlier than the last."""
        first, end = span
        if end > self._end:
            self._index.add(np.ascontiguousarray(vectors[self._end : end]))
            self._end = end
        if first > self._first:
            if not self._graph:  # a graph cannot delete: what is gone is passed over
                begin = self._first - self._shift
                gone = faiss.IDSelectorRange(begin, begin + first - self._first)
                self._index.remove_ids(gone)
                if not isinstance(self._index, faiss.IndexIVF):  # lists keep their ids
                    self._shift += first - self._first
            self._first = first

    def ask(self) -> Ask:
        """A search whose rows are those of the span."""
        there = faiss.IDSelectorRange(self._first, self._end) if self._graph else None
        params = search_parameters(self._built, there)
        search = functools.partial(self._index.search, params=params)
        shift = self._shift - self._first  # rows of a span count from its beginning

        def ask(queries: Floats, k: int) -> tuple[Floats, Ints]:
            distances, rows = search(queries, k)
            return distances, np.where(rows >= 0, rows + shift, -1)

        return ask


def along_main_direction(vectors: Floats) -> Ints:
    """The rows in the order of their first principal component."""
    centred = np.asarray(vectors, np.float64) - vectors.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    return np.argsort(centred @ directions[:, -1], kind="stable")


def _within(vectors: Floats, queries: Floats, own: Ints, span: tuple[int, int]) -> Problem:
    """Queries on the rows of a span, counted from its beginning."""
    first, end = span
    inside = (own >= first) & (own < end)
    return Problem.of(
        np.ascontiguousarray(vectors[first:end]), queries, np.where(inside, own - first, -1)
    )
