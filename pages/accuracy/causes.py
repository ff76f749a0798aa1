"""Failures by condition: what a method misses at night, from another side, zoomed, hidden."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import streamlit as st

from evaluation import conditions
from extractors import registry as extractor_registry
from pages.accuracy import words
from pages.parts import backend, settings
from pages.parts.text import plain

if TYPE_CHECKING:
    from data.base import Photo
    from data.store import Collection
    from evaluation.conditions import Pair
    from evaluation.rows import QueryRow, Row


def has_records(collection: Collection) -> bool:
    """Whether the photos tell how they were taken."""
    return any("scene" in photo.extra for photo in collection.photos[:5])


def table(collection: Collection, rows: Sequence[Row], setting: str) -> None:
    """A line per method: the share of right photos that it misses under each condition."""
    names = list(conditions.CONDITIONS)
    counts = {row.name: _shares(collection, row, setting) for row in rows}
    if not any(total for found in counts.values() for _, total in found.values()):
        st.caption("These photos carry no record of how they were taken.")
        return
    any_row = next(iter(counts.values()))
    header = ["Missed of the right photos"]
    header += [f"{conditions.CONDITIONS[name]} ({any_row[name][1]:,})" for name in names]
    lines = [header, ["---", *["---:"] * len(names)]]
    for row in words.ordered(rows, setting):
        found = counts[row.name]
        title = backend.row_title(row.extractor, row.index, row.rerank)
        lines.append([plain(title), *(_percent(*found[name]) for name in names)])
    with st.container(key="a_conditions"):
        st.html("<style>.st-key-a_conditions { overflow-x: auto; }</style>")  # on a phone
        st.markdown("\n".join(f"| {' | '.join(line)} |" for line in lines))
    meaning = "; ".join(f"{conditions.CONDITIONS[n]}: {conditions.MEANING[n]}" for n in names)
    st.caption(
        f"Of a query's R right photos, those are missed that are not among the first R. In "
        f"brackets the pairs of query and right photo that meet a condition; one pair may meet "
        f"several. {plain(meaning[0].upper() + meaning[1:])}."
    )


def _percent(missed: int, total: int) -> str:
    return f"{100 * missed / total:.0f} %" if total else "–"


def _shares(collection: Collection, row: Row, setting: str) -> dict[str, tuple[int, int]]:
    """Counted once per row and state of the collection."""
    key = f"{collection.fingerprint}:{row.name}:{row.protocol}:{row.date}:{row.weights}"
    return _counted(key, setting, collection, row)


@st.cache_data(max_entries=64, show_spinner=False)
def _counted(
    key: str, setting: str, _collection: Collection, _row: Row
) -> dict[str, tuple[int, int]]:
    del key  # only part of the cache's key
    queries = {query.id: query for query in _row.judged_by.queries(_collection)}
    pairs: list[Pair] = []
    for answer in _row.queries:
        if answer.query_id in queries:
            pairs += pairs_of(_collection, queries[answer.query_id], answer, _row, setting)
    return conditions.shares(pairs)


def pairs_of(
    collection: Collection, query: Photo, answer: QueryRow, row: Row, setting: str
) -> list[Pair]:
    truth = row.judged_by.truths(collection, query)[setting]
    return conditions.pairs_of(collection, query, answer, truth)


def reason(collection: Collection, query: Photo, answer: QueryRow, row: Row, setting: str) -> str:
    """Why the method fails on a query, in one line; empty where nobody knows."""
    truth = row.judged_by.truths(collection, query)[setting]
    pairs = conditions.pairs_of(collection, query, answer, truth)
    return conditions.reason(collection, query, answer, truth, pairs)


def links(collection: Collection, query: Photo, row: Row) -> str:
    """Markdown links to the query in Search and on the map, by this method."""
    state = settings.Settings(
        collection=collection.name,
        source="photo" if query in collection.photos else "query",
        query=query.id,
        extractors=(row.extractor,),
        indexes=(row.index,),
        rerank=None if row.rerank == "none" else (row.rerank,),
    )
    params = urlencode(settings.to_params(state), doseq=True)
    found = [f"[in Search](./?{params})"]
    if not extractor_registry.is_local(row.extractor):  # many vectors have no one place
        found.append(f"[on the map](./embedding?{params})")
    return " · ".join(found)
