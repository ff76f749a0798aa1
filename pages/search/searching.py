"""Running the searches of a page: every chosen extractor, index type and chain."""

from __future__ import annotations

import dataclasses
import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from data.base import Box
from data.errors import PlaygroundError
from pages.parts import backend, state
from pages.parts.compare import Row, is_weak
from pages.parts.query import Query
from pages.parts.text import plain
from pages.search.table import Judged
from pages.search.timing import MEASURE
from retrieval.compare import truth_of

if TYPE_CHECKING:
    from data.store import Collection
    from indexing.status import ExtractorStatus
    from retrieval.clock import Measured
    from retrieval.ranking import Recipe, SearchResult

_KEPT = 400  # results that a session keeps, so that a click on something else searches nothing


@dataclasses.dataclass(frozen=True)
class Failure:
    """A row that could not be searched, and why."""

    where: str
    error: PlaygroundError
    impossible: bool = False  # the chain cannot follow this extractor: nothing went wrong

    @property
    def message(self) -> str:
        return f"{self.where}: {self.error}"


def search_all(
    collection: Collection,
    query: Query,
    box: Box | None,
    wanted: Sequence[str],
    indexes: Sequence[str],
    ready: Mapping[str, Sequence[str]],
    found: Sequence[ExtractorStatus],
    k: int,
    chains: Sequence[str] = (),
) -> tuple[list[Row], list[Failure]]:
    """Rows in the order of the choices; a failing one does not stop the others.

    Each extractor and index has the row that its method prescribes, and behind it one per chain.
    """
    from retrieval.ranking import Recipe

    marked = state.current()
    if (marked.right or marked.wrong) and not any("rocchio" in chain for chain in chains):
        chains = [*chains, "rocchio"]
    rows: list[Row] = []
    failures: list[Failure] = []
    truth = truth_of(collection, query.photo, query.label)
    stamps = {one.extractor: (one.weights, one.dim, one.n) for one in found}
    search = _Searcher(collection, query, box, k, st.empty())
    for extractor in wanted:
        has = ready.get(extractor, ())
        stamp, flat_ids = stamps.get(extractor), None
        try:
            if "flat" in has:
                exact = search(Recipe.of(extractor, "flat"), stamp)
                flat_ids = tuple(hit.id for hit in exact.hits)
        except PlaygroundError as error:
            failures.append(Failure(backend.title(extractor), error))
            continue
        for index in indexes:
            if index not in has:
                continue
            figures = backend.stats(collection.name, extractor, index)
            done: dict[Recipe, Row] = {}
            for chain in (None, *chains):
                try:
                    recipe = Recipe.of(extractor, index, chain)
                except PlaygroundError as error:
                    impossible = Failure(backend.title(extractor), error, impossible=True)
                    if impossible.message not in {one.message for one in failures}:
                        failures.append(impossible)
                    continue
                if recipe in done:
                    continue
                try:
                    result = search(recipe, stamp)
                except PlaygroundError as error:
                    parts = (extractor, index, *recipe.rerank)
                    where = " · ".join(map(backend.title, parts))
                    failures.append(Failure(where, error))
                    continue
                base = next(iter(done.values()), None)
                done[recipe] = Row(result, figures, truth, flat_ids, base)
            rows += done.values()
    search.note.empty()
    return _measured(search, rows, stamps), failures


def unlike(collection: Collection, rows: Sequence[Row]) -> str:
    """That nothing looks like the query, in words; empty unless most rows say so.

    A row of global descriptors says it where its best cosine is below what random pairs of the
    collection reach (``retrieval.chance``), one of local features where no hit has enough matches
    that agree. Rows whose score is a re-ranker's say nothing, and nothing is said of a query whose
    landmark is known to be here.
    """
    from retrieval import chance

    if any(row.truth is not None and row.truth.positives for row in rows):
        return ""
    judged: dict[str, str] = {}
    for row in rows:
        title = backend.title(row.extractor)
        counts = [hit.inliers for hit in row.hits if hit.inliers is not None]
        if counts:
            weak = all(is_weak(hit) for hit in row.hits)
            judged[title] = f"{title} verifies {max(counts)} matches at most" if weak else ""
        elif row.hits and not row.result.recipe.rerank:
            try:
                level = chance.level(backend.engine(), collection, row.extractor)
            except PlaygroundError:
                continue
            if level is not None:
                best = row.hits[0].score
                words = f"{title}'s best score {best:.3f} is below {level:.3f}"
                judged.setdefault(title, words if best < level else "")
    said = [words for words in judged.values() if words]
    if 2 * len(said) <= len(judged):
        return ""
    reasons = ", ".join(said)
    if "below" in reasons:
        share = round(1 / chance.SHARE)
        reasons += f", which one in {share} random pairs of different landmarks reaches"
    return f"Nothing looks like the query: its landmark is probably not here. {reasons}."


def _measured(search: _Searcher, rows: list[Row], stamps: Mapping[str, Any]) -> list[Row]:
    """The rows with what was measured for them; measures them now where the button was pressed."""
    kept: OrderedDict[Any, Measured] = st.session_state.setdefault("measured", OrderedDict())
    recipes = {row.result.recipe: stamps.get(row.extractor) for row in rows}
    keys = {recipe: search.key(recipe, stamp) for recipe, stamp in recipes.items()}
    if st.session_state.pop(MEASURE, False) and rows:
        from retrieval import clock

        jobs = any(job.state == "running" for job in backend.jobs())
        with st.spinner(f"Measuring every row {clock.RUNS} times, in turn …"):
            found = clock.measure(
                backend.engine(),
                search.collection.name,
                list(recipes),
                search.searched,
                search.k,
                exclude=search.left_out,
            )
        jobs = jobs or any(job.state == "running" for job in backend.jobs())
        for recipe, measured in found.items():
            kept[keys[recipe]] = dataclasses.replace(measured, alone=measured.alone and not jobs)
        while len(kept) > _KEPT:
            kept.popitem(last=False)
    return [dataclasses.replace(row, measured=kept.get(keys[row.result.recipe])) for row in rows]


def judged(collection: Collection, query: Query, box: Box | None) -> Judged | None:
    """The protocol's AP of the query, where the query was evaluated exactly as it is shown."""
    from evaluation import registry

    if query.photo is None or query.id_for(box) is None:
        return None
    try:
        rows = backend.evaluations(collection.name)
    except PlaygroundError:
        return None
    name = registry.of_collection(collection)
    rows = [row for row in rows if row.protocol == name and not row.stale]
    # Rows exist, so the protocol does; a photo may share its id with a query.
    if not rows or query.photo not in rows[0].judged_by.queries(collection):
        return None
    values = {
        (row.extractor, row.index, row.rerank): row.values(measure="ap").get(
            query.photo.id, math.nan
        )
        for row in rows
    }
    known = {pair: value for pair, value in values.items() if not math.isnan(value)}
    return Judged(name, rows[0].judged_by.title, known) if known else None


class _Searcher:
    """The searches of one query; a result that the session has seen is not searched again."""

    def __init__(
        self, collection: Collection, query: Query, box: Box | None, k: int, note: Any
    ) -> None:
        from retrieval import ranking

        self.collection, self.query, self.k, self.note = collection, query, k, note
        self.searched = ranking.Query(
            query.pixels,
            box,
            key=query.image_id,
            id=query.id_for(box),
            decode_ms=query.decode_ms,
            right=state.current().right,
            wrong=state.current().wrong,
        )

    def key(self, recipe: Recipe, stamp: Any) -> tuple[Any, ...]:
        """Equal for searches that give the same result."""
        feedback = any(spec.startswith("rocchio") for spec in recipe.rerank)
        return (
            self.collection.name,
            self.collection.fingerprint,
            stamp,
            recipe,
            self.query.image_id,
            self.query.own_id,
            self.searched.box,
            self.k,
            (self.searched.right, self.searched.wrong) if feedback else (),
        )

    @property
    def left_out(self) -> tuple[str, ...]:
        """The query's own photo is no answer."""
        return () if self.query.own_id is None else (self.query.own_id,)

    def __call__(self, recipe: Recipe, stamp: Any) -> SearchResult:
        kept: OrderedDict[Any, SearchResult]
        kept = st.session_state.setdefault("kept_results", OrderedDict())
        key = self.key(recipe, stamp)
        if key in kept:
            kept.move_to_end(key)
            return kept[key]
        self.note.caption(
            f"Searching with "
            f"{plain(backend.row_title(recipe.extractor, recipe.index, recipe.chain))} …"
        )
        result = backend.engine().search(
            self.collection.name, recipe, self.searched, self.k, exclude=self.left_out
        )
        kept[key] = result
        while len(kept) > _KEPT:
            kept.popitem(last=False)
        return result
