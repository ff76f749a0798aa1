"""Search: crop a query, choose extractors and index types, compare what they return."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import streamlit as st

from data.base import Box
from pages.parts import (
    backend,
    building,
    choices,
    compare,
    cropper,
    details,
    feedback,
    link,
    query,
    region,
    results,
    state,
    thumbnails,
    weights,
    why,
)
from pages.parts.text import plain
from pages.search import duel, report, searching, table
from retrieval.compare import kind_of

if TYPE_CHECKING:
    from data.store import Collection


_HIGH = 230  # px of the photo that is cropped: the choice of methods is to be seen below it
_OPEN = "open_hit"  # in the session: whose dialog is open, and of which results


def main() -> None:
    names = backend.collection_names()
    if not names:
        st.title("Search", anchor=False)
        st.info("There is no collection yet. Import one on the Collections page.")
        return
    state.follow_address(names)
    strip = st.container(key="search_strip")
    with st.container(key="search"):
        side = st.container(key="search_query", gap="xsmall")
        choice = st.container(key="search_methods", gap="small")
        shown = st.container(key="search_results", gap="small")
    with side:
        with st.container(horizontal=True, vertical_alignment="center", key="search_top"):
            st.title("Search", anchor=False, width="content")
            name = choices.collection_of(names, labelled=False)
        collection = backend.collection(name)
        chosen = query.choose(collection)
        box = _crop(chosen) if chosen is not None else None
    with choice:
        # After a start this can take seconds, so the query is drawn before.
        seen = building.look(name)
        found, ready = seen.found, seen.ready
        extractors, indexes, chains, k = choices.methods(name, found, ready)
    with strip:
        building.progress_strip(seen)
    with shown:
        if chosen is not None and extractors and indexes:
            rows, failures = searching.search_all(
                collection, chosen, box, extractors, indexes, ready, found, k, chains
            )
            _fail(failures)
            if rows:
                _results(collection, chosen, box, rows, k)
        elif chosen is not None and ready:
            st.warning("Choose at least one extractor and one index type.")
    # While a build runs, what nobody chose stays open, so that new extractors join by themselves.
    chosen_for_link = {"extractors": tuple(extractors), "indexes": tuple(indexes)}
    state.write_link(**(chosen_for_link if seen.job is None else {}))


def _crop(chosen: query.Query) -> Box | None:
    box = cropper.pick_region(chosen.pixels, chosen.image_id, chosen.default_box, high=_HIGH)
    with st.container(horizontal=True, gap="small", key="search_box"):
        st.button(
            "Whole photo",
            key="whole",
            on_click=cropper.remember,
            args=(chosen.image_id, region.whole(chosen.size)),
            disabled=box is None,
        )
        st.button(
            "Reset box",
            key="reset",
            on_click=cropper.remember,
            args=(chosen.image_id, None),
        )
        uploaded = chosen.photo is None
        link.copy_button(
            "The link holds all settings"
            + (" but your own photo, which stays on this machine." if uploaded else ".")
        )
    about = region.describe(box, chosen.size)
    st.caption(f"Searched region: **{plain(chosen.name)}**, {about}. Drag to draw another.")
    state.update(box=box or "whole")
    return box


def _fail(failures: Sequence[searching.Failure]) -> None:
    for failure in failures:
        if failure.impossible:
            st.caption(plain(failure.message))
        else:
            st.error(plain(failure.message))
            backend.offer_build(failure.error)


def _results(
    collection: Collection,
    chosen: query.Query,
    box: Box | None,
    rows: Sequence[compare.Row],
    k: int,
) -> None:
    names = {row.id: backend.row_title(row.extractor, row.index, row.chain) for row in rows}
    pair = _view(rows, names)
    feedback.strip(collection)
    untrained = list(
        dict.fromkeys(
            backend.label(row.extractor) for row in rows if row.result.weights == "untrained"
        )
    )
    if untrained:
        st.warning(f"{', '.join(untrained)}: {compare.UNTRAINED}.")
    nothing = searching.unlike(collection, rows)
    if nothing:
        st.info(plain(nothing))
    ids = dict.fromkeys(hit.id for row in rows for hit in row.hits)
    photos = {one: collection.photo(one) for one in ids}
    thumbs = {one: thumbnails.url(collection, photo) for one, photo in photos.items()}
    labels = {one: backend.marked(collection, photo) for one, photo in photos.items()}
    titles = {
        name: backend.title(name)
        for row in rows
        for name in (row.extractor, row.index, *row.result.recipe.rerank)
    }
    kind = kind_of(collection, chosen.photo, chosen.label)
    kin = frozenset(one for one, photo in photos.items() if kind and photo.kind == kind)
    data = compare.payload(rows, thumbs, labels, titles, kin)
    data["key"] = _digest(data["rows"], collection.fingerprint)
    data["differ"] = state.current().differences
    if pair is None:
        clicked = results.results_grid(data, key="grid")
    else:
        st.caption(duel.summary(*pair))
        clicked = duel.draw(pair, data, names)
    if clicked is not None:
        st.session_state[_OPEN] = (data["key"], clicked)
        details.begin()
    # A run that begins while the dialog is open (a build that ended, a late box) must not shut it.
    of, opened = st.session_state.get(_OPEN, (None, None))
    if opened is not None and of == data["key"]:
        _open(collection, chosen, box, rows, opened, kin)
    else:
        _close()
    with backend.guard("offer ImageNet's weights"):
        weights.offer(collection.name, rows)
    st.header("Comparison", anchor=False)
    save = functools.partial(report.of_search, collection, chosen, box, rows, k)
    judged = searching.judged(collection, chosen, box)
    table.show(rows, k, dataclasses.asdict(state.current()), save, judged)


def _view(
    rows: Sequence[compare.Row], names: Mapping[str, str]
) -> tuple[compare.Row, compare.Row] | None:
    """Draw how the rows are shown; the two that are compared, None for all of them."""
    settings = state.current()
    by_id = {row.id: row for row in rows}
    several = len(rows) > 1
    pair = settings.pair if several else None
    if pair is not None and not set(pair) <= set(by_id):
        pair = _pair_at_first(rows)
    with st.container(horizontal=True, vertical_alignment="center", key="search_view"):
        if rows[0].truth is not None:
            st.caption(_truth_sentence(rows[0]))
        if several:
            # The settings are the truth and the widgets follow, as a link or Back sets them.
            st.session_state["w_differences"] = settings.differences
            st.session_state["w_compare"] = pair is not None
            st.toggle(
                "Differences only",
                key="w_differences",
                on_change=lambda: _set(differences=st.session_state["w_differences"]),
                disabled=pair is not None,
                help="Dims the photos that every row has found",
            )
            st.toggle(
                "Compare two",
                key="w_compare",
                on_change=lambda first: _set(pair=first if st.session_state["w_compare"] else None),
                args=(_pair_at_first(rows),),
            )
    if pair is None:
        return None
    with st.container(horizontal=True, key="search_pair"):
        for key, words, chosen in zip(("w_left", "w_right"), ("Left", "Right"), pair, strict=True):
            st.session_state[key] = chosen
            st.selectbox(
                words,
                list(by_id),
                format_func=lambda one: names.get(one, one),
                key=key,
                label_visibility="collapsed",
                on_change=lambda: _set(
                    pair=(st.session_state["w_left"], st.session_state["w_right"])
                ),
            )
    return by_id[pair[0]], by_id[pair[1]]


def _set(**changes: object) -> None:
    state.update(**changes)


def _pair_at_first(rows: Sequence[compare.Row]) -> tuple[str, str]:
    """A row before and after re-ranking, where there is one, else the first two."""
    for row in rows:
        if row.base is not None:
            return row.base.id, row.id
    return rows[0].id, rows[-1 if len(rows) == 1 else 1].id


def _truth_sentence(row: compare.Row) -> str:
    count = len(row.truth.positives) if row.truth is not None else 0
    if count == 0:
        return "No photo of the collection shows the query's landmark, so every hit is wrong."
    said = f"{count} photos of the collection show the query's landmark."
    if row.truth is not None and row.truth.junk:
        said += f" {len(row.truth.junk)} show too little of it: junk, not judged."
    return said


def _digest(rows: object, fingerprint: str) -> str:
    return hashlib.sha1(json.dumps([rows, fingerprint]).encode()).hexdigest()


def _close() -> None:
    st.session_state.pop(_OPEN, None)


def _open(
    collection: Collection,
    chosen: query.Query,
    box: Box | None,
    rows: Sequence[compare.Row],
    opened: Mapping[str, str],
    kin: frozenset[str],
) -> None:
    row = next((row for row in rows if row.id == opened.get("row")), None)
    if row is None:
        return
    parts = (row.extractor, row.index, *row.result.recipe.rerank)
    details.show_row(
        collection,
        [
            details.Place(hit, verdict, verdict is False and hit.id in kin)
            for hit, verdict in zip(row.hits, row.verdicts(), strict=True)
        ],
        opened.get("id", ""),
        " · ".join(map(backend.title, parts)),
        why.Why(row.result, chosen, box),
        after=_close,
    )


main()
