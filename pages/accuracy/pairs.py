"""Two methods query by query, and the worst failures, as pictures."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from data.base import Photo
from data.errors import PlaygroundError
from pages.accuracy import causes, charts, table, words
from pages.parts import backend, details, evaluated, results, state, thumbnails
from pages.parts.text import plain

if TYPE_CHECKING:
    from data.store import Collection
    from evaluation.rows import QueryRow, Row

SHOWN = 50  # ranks of two compared rankings
SHORT = 15  # ranks of a failure
FAILURES = 6  # queries that are shown at first


def title(row: Row) -> str:
    return backend.row_title(row.extractor, row.index, row.rerank)


def queries_of(collection: Collection, row: Row) -> dict[str, Photo]:
    """The protocol's queries by their ids."""
    return {query.id: query for query in row.judged_by.queries(collection)}


def compare(collection: Collection, rows: Sequence[Row], setting: str) -> None:
    """Draw the comparison of two methods; a point or the list opens a query's two rankings."""
    if len(rows) < 2:
        st.caption("Two evaluated rows are needed to compare.")
        return
    listed = words.ordered(rows, setting)
    by_name = {row.name: row for row in listed}
    other = next((row for row in listed if row.extractor != listed[0].extractor), listed[1])
    left, right = st.columns(2)
    with left:
        first = by_name[_choose("First method", by_name, listed[0].name, "a_first")]
    with right:
        second = by_name[_choose("Second method", by_name, other.name, "a_second")]
    measure, names = first.judged_by.headline, (title(first), title(second))
    if first is second:
        st.info("Choose two different methods.")
        return
    test = table.compare(first, second, setting)
    means = evaluated.score(first, setting), evaluated.score(second, setting)
    st.markdown(plain(words.sentence(names, means, test, measure)))
    queries = queries_of(collection, first)
    labels = words.names_of(collection, queries.values())
    points = words.points(first, second, setting, labels)
    if not points:
        return
    by_id = {point["query"]: point for point in points}
    if st.session_state.get("a_query") not in by_id:
        st.session_state["a_query"] = points[0]["query"]
    drawing, below = st.columns([6, 5], gap="large", vertical_alignment="center")
    with drawing:
        key = f"a_scatter-{_digest([first.name, second.name, setting, list(by_id)])}"
        key += f"-{st.session_state.get('a_round', 0)}"
        picked = charts.scatter(points, names, measure, st.session_state["a_query"], key)
        # Only a new click counts: the list below may have chosen another query since.
        if picked in by_id and st.session_state.get("a_clicked") != (key, picked):
            st.session_state["a_clicked"] = (key, picked)
            if st.session_state["a_query"] != picked:
                st.session_state["a_query"] = picked
                st.rerun()
    with below:
        st.caption(
            f"Each point is a query. Below the dashed line {plain(names[0])} is better (blue), "
            f"above it {plain(names[1])} (orange). Click a point, or choose a query here; those "
            f"with the largest difference come first."
        )
        chosen = st.selectbox(
            "Query",
            list(by_id),
            format_func=lambda one: _line(by_id[one]),
            key="a_query",
            on_change=_forget_click,
        )
        _picture(collection, queries[chosen])
        _use(collection, queries[chosen], (first, second))
    _two(collection, queries[chosen], (first, second), setting)


def _forget_click() -> None:
    """A choice from the list draws the points anew: the one clicked before can be clicked again."""
    st.session_state["a_round"] = st.session_state.get("a_round", 0) + 1


def _choose(label: str, by_name: Mapping[str, Row], default: str, key: str) -> str:
    if st.session_state.get(key) not in by_name:
        st.session_state[key] = default
    return str(
        st.selectbox(label, list(by_name), format_func=lambda one: title(by_name[one]), key=key)
    )


def _line(point: Mapping[str, Any]) -> str:
    return f"{point['name']}: {point['first']:.2f} and {point['second']:.2f}"


def _picture(collection: Collection, query: Photo) -> None:
    url = crop_url(collection, query, 420)
    if url:
        st.image(url, width=230, alt="The query")
    else:
        st.caption("The query's photo is not on this disk.")


def _use(collection: Collection, query: Photo, rows: Sequence[Row]) -> None:
    """Search with the query, by the two methods."""

    def prepare() -> None:
        is_query = query not in collection.photos
        state.use_as_query(collection.name, query.id, is_query)
        state.update(
            extractors=tuple(dict.fromkeys(row.extractor for row in rows)),
            indexes=tuple(dict.fromkeys(row.index for row in rows)),
            rerank=tuple(dict.fromkeys(row.rerank for row in rows)),
        )

    if not query.absent and st.button("Open in Search", key="a_search", on_click=prepare):
        st.switch_page("pages/search/page.py")


def _two(collection: Collection, query: Photo, rows: tuple[Row, Row], setting: str) -> None:
    """The query's two rankings, rank above rank."""
    truth = rows[0].judged_by.truths(collection, query)[setting]
    strips = [
        words.strip(
            row.name,
            backend.title(row.extractor),
            backend.row_title(row.extractor, row.index, row.rerank).partition(" · ")[2],
            _answer(row, query.id),
            row,
            setting,
            truth,
            SHOWN,
        )
        for row in rows
    ]
    opened = _grid(collection, strips, "a_pair")
    if opened is not None:
        _open(collection, opened["id"])


def _answer(row: Row, query_id: str) -> QueryRow:
    return next(one for one in row.queries if one.query_id == query_id)


def failures(collection: Collection, rows: Sequence[Row], setting: str) -> None:
    """Draw the queries that a method answers worst."""
    listed = words.ordered(rows, setting)
    by_name = {row.name: row for row in listed}
    row = by_name[_choose("Method", by_name, listed[0].name, "a_worst")]
    found = words.worst(row, setting)
    if not found:
        st.success("None: every query is answered perfectly.")
        return
    count = int(st.session_state.get("a_worst_count", FAILURES))
    queries = queries_of(collection, row)
    labels = words.names_of(collection, queries.values())
    strips, listed_links = [], []
    for answer in found[:count]:
        query = queries[answer.query_id]
        why = causes.reason(collection, query, answer, row, setting)
        if not query.absent:
            opened_in = causes.links(collection, query, row)
            listed_links.append(f"- {plain(labels[query.id])}: {opened_in}")
        strips.append(
            words.strip(
                query.id,
                labels[query.id],
                title(row),
                answer,
                row,
                setting,
                row.judged_by.truths(collection, query)[setting],
                SHORT,
                crop_url(collection, query, 200),
                [why] if why else [],
            )
        )
    opened = _grid(collection, strips, "a_failures")
    with st.expander("Open these queries in Search or on the map"):
        st.markdown("\n".join(listed_links))
    if count < len(found):
        st.button(
            f"Show more ({len(found) - count:,} left)",
            key="a_more",
            on_click=lambda: st.session_state.update(a_worst_count=count + FAILURES),
        )
    if opened is not None:
        _open(collection, opened["id"])


def _grid(
    collection: Collection, strips: Sequence[dict[str, Any]], key: str
) -> dict[str, str] | None:
    ids = dict.fromkeys(hit[0] for strip in strips for hit in strip["hits"])
    photos = {one: collection.photo(one) for one in ids}
    data = {
        "rows": list(strips),
        "thumbs": {one: thumbnails.url(collection, photo) for one, photo in photos.items()},
        "labels": {one: backend.caption(collection, photo) for one, photo in photos.items()},
    }
    data["key"] = _digest([data["rows"], collection.fingerprint])
    return results.results_grid(data, key=key)


def _open(collection: Collection, photo_id: str) -> None:
    details.show_photo(
        collection,
        collection.photo(photo_id),
        after=lambda: st.switch_page("pages/search/page.py"),
    )


def crop_url(collection: Collection, query: Photo, side: int) -> str:
    """The region that is searched, as a data URL; empty where its photo cannot be read."""
    try:
        return _crop_url(query.sha256, query.box, side, collection, query)
    except PlaygroundError:
        return ""


@st.cache_data(max_entries=2000, show_spinner=False)
def _crop_url(sha256: str, box: Any, side: int, _members: Collection, _query: Photo) -> str:
    del sha256  # with the box, the content is the cache's key
    pixels = _members.read(_query)
    if box is not None:
        x0, y0, x1, y1 = box
        pixels = pixels[y0:y1, x0:x1]
    return backend.picture_url(pixels, side)


def _digest(value: object) -> str:
    return hashlib.sha1(json.dumps(value).encode()).hexdigest()
