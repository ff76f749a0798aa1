"""Running the searches of a page: every chosen extractor on every chosen index type."""

from __future__ import annotations

import dataclasses
import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from data.base import Box
from data.errors import PlaygroundError
from pages.parts import backend
from pages.parts.compare import Row, truth_of, without
from pages.parts.query import Query
from pages.parts.table import Judged

if TYPE_CHECKING:
    from data.store import Collection
    from indexing.engine import SearchResult
    from indexing.status import ExtractorStatus

_KEPT = 400  # results that a session keeps, so that a click on something else searches nothing


@dataclasses.dataclass(frozen=True)
class Failure:
    """A row that could not be searched, and why."""

    where: str
    message: str


def search_all(
    collection: Collection,
    query: Query,
    box: Box | None,
    wanted: Sequence[str],
    indexes: Sequence[str],
    ready: Mapping[str, Sequence[str]],
    found: Sequence[ExtractorStatus],
    k: int,
) -> tuple[list[Row], list[Failure]]:
    """Rows in the order of the choices; a failing extractor does not stop the others."""
    rows: list[Row] = []
    failures: list[Failure] = []
    truth = truth_of(query.photo, query.label, collection.photos)
    stamps = {one.extractor: (one.weights, one.dim, one.n) for one in found}
    note = st.empty()
    for extractor in wanted:
        search = _Searcher(collection, query, box, extractor, stamps.get(extractor), k, note)
        has = ready.get(extractor, ())
        flat_ids = None
        try:
            if "flat" in has:
                flat_ids = tuple(hit.id for hit in search("flat").hits)
        except PlaygroundError as error:
            failures.append(Failure(backend.title(extractor), str(error)))
            continue
        for index in indexes:
            if index not in has:
                continue
            try:
                result = search(index)
            except PlaygroundError as error:
                where = f"{backend.title(extractor)} · {backend.title(index)}"
                failures.append(Failure(where, str(error)))
                continue
            figures = backend.stats(collection.name, extractor, index)
            rows.append(Row(extractor, index, result, figures, truth, flat_ids))
    note.empty()
    return rows, failures


def judged(collection: Collection, query: Query, box: Box | None) -> Judged | None:
    """The protocol's AP of the query, where the query was evaluated exactly as it is shown."""
    from evaluation import registry

    if query.photo is None or box != query.photo.box:
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
        (row.extractor, row.index): row.values(measure="ap").get(query.photo.id, math.nan)
        for row in rows
    }
    known = {pair: value for pair, value in values.items() if not math.isnan(value)}
    return Judged(name, rows[0].judged_by.title, known) if known else None


class _Searcher:
    """One extractor's searches of one query; the descriptor is made once, when it is needed."""

    def __init__(
        self,
        collection: Collection,
        query: Query,
        box: Box | None,
        extractor: str,
        stamp: Any,
        k: int,
        note: Any,
    ) -> None:
        self.collection, self.query, self.box = collection, query, box
        self.extractor, self.stamp, self.k, self.note = extractor, stamp, k, note
        self.descriptor: Any = None
        self.round = st.session_state.get("measure_round", 0)

    def __call__(self, index: str) -> SearchResult:
        kept: OrderedDict[Any, SearchResult]
        kept = st.session_state.setdefault("kept_results", OrderedDict())
        key = (
            self.collection.name,
            self.collection.fingerprint,
            self.stamp,
            self.extractor,
            index,
            self.query.image_id,
            self.query.own_id,
            self.box,
            self.k,
            self.round,
        )
        if key in kept:
            kept.move_to_end(key)
            return kept[key]
        result = self._search(index)
        kept[key] = result
        while len(kept) > _KEPT:
            kept.popitem(last=False)
        return result

    def _search(self, index: str) -> SearchResult:
        engine = backend.engine()
        if self.descriptor is None:
            self.note.caption(f"Describing the crop with {backend.title(self.extractor)} …")
            self.descriptor = engine.describe(
                self.collection.name,
                self.extractor,
                self.query.pixels,
                self.box,
                f"{self.query.image_id}:{self.box}:{self.round}",
                decode_ms=self.query.decode_ms,
            )
        more = 1 if self.query.own_id is not None else 0  # the photo itself is left out below
        result = engine.search(
            self.collection.name, self.extractor, index, self.descriptor, self.k + more
        )
        return without(result, self.query.own_id, self.k)
