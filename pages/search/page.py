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
    looks,
    query,
    region,
    results,
    state,
    weights,
    why,
)
from pages.parts.text import plain
from pages.search import report, searching, table

if TYPE_CHECKING:
    from data.store import Collection


_OPEN = "open_hit"  # in the session: whose dialog is open, and of which results


def main() -> None:
    beside = looks.heading(
        "Search", "Crop a landmark, then see what each method finds and how long it takes."
    )
    names = backend.collection_names()
    if not names:
        st.info("There is no collection yet. Import one on the Collections page.")
        return
    state.follow_address(names)
    with beside:
        name = choices.collection_of(names)
    collection = backend.collection(name)
    strip = st.container()
    left, right = st.columns([6, 6], gap="large")
    with left:
        chosen = query.choose(collection)
        box = _crop(chosen) if chosen is not None else None
    with right:
        if chosen is not None:
            _show_crop(chosen, box)
        # After a start this can take seconds, so the query is drawn before.
        seen = building.look(name)
        found, ready = seen.found, seen.ready
        extractors, indexes, chains, k = choices.methods(name, found, ready)
    with strip:
        building.progress_strip(seen)
    # While a build runs, what nobody chose stays open, so that new extractors join by themselves.
    chosen_for_link = {"extractors": tuple(extractors), "indexes": tuple(indexes)}
    state.write_link(**(chosen_for_link if seen.job is None else {}))
    if chosen is None:
        return
    if not extractors or not indexes:
        if ready:
            st.warning("Choose at least one extractor and one index type.")
        return
    rows, failures = searching.search_all(
        collection, chosen, box, extractors, indexes, ready, found, k, chains
    )
    for failure in failures:
        if failure.impossible:
            st.caption(plain(failure.message))
        else:
            st.error(plain(failure.message))
            backend.offer_build(failure.error)
    if rows:
        judged = searching.judged(collection, chosen, box)
        _results(collection, chosen, box, rows, k, judged)


def _crop(chosen: query.Query) -> Box | None:
    with st.container(key="cropper"):
        box = cropper.pick_region(chosen.pixels, chosen.image_id, chosen.default_box)
    with st.container(horizontal=True, gap="small"):
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
    st.caption("Drag on the photo to draw a box; the search follows when you let go.")
    state.update(box=box or "whole")
    return box


def _show_crop(chosen: query.Query, box: Box | None) -> None:
    x0, y0, x1, y1 = box or region.whole(chosen.size)
    crop = chosen.pixels[y0:y1, x0:x1]
    tall = crop.shape[0] > 0.62 * crop.shape[1]
    shape = min(1.0, 190 / crop.shape[0] * crop.shape[1] / 320) if tall else 1.0
    st.image(
        backend.picture_url(crop, 640),
        width=max(60, round(320 * shape)),
        alt="The region that is searched",
    )
    about = region.describe(box, chosen.size)
    label = f"**{plain(chosen.name)}**, "
    st.caption(f"Searched region: {label}{about}")


def _results(
    collection: Collection,
    chosen: query.Query,
    box: Box | None,
    rows: Sequence[compare.Row],
    k: int,
    judged: table.Judged | None,
) -> None:
    st.header("Comparison", anchor=False)
    save = functools.partial(report.of_search, collection, chosen, box, rows, k)
    table.show(rows, k, dataclasses.asdict(state.current()), save, judged)
    st.header("Results", anchor=False)
    feedback.strip(collection)
    untrained = list(
        dict.fromkeys(
            backend.label(row.extractor) for row in rows if row.result.weights == "untrained"
        )
    )
    if untrained:
        st.warning(f"{', '.join(untrained)}: {compare.UNTRAINED}.")
    if rows[0].truth is not None:
        st.caption(_truth_sentence(rows[0]))
    with backend.guard("offer ImageNet's weights"):
        weights.offer(collection.name, rows)
    ids = dict.fromkeys(hit.id for row in rows for hit in row.hits)
    photos = {one: collection.photo(one) for one in ids}
    thumbnails = {one: backend.thumbnail_url(collection, photo) for one, photo in photos.items()}
    labels = {one: backend.marked(collection, photo) for one, photo in photos.items()}
    titles = {
        name: backend.title(name)
        for row in rows
        for name in (row.extractor, row.index, *row.result.recipe.rerank)
    }
    data = compare.payload(rows, thumbnails, labels, titles)
    data["key"] = _digest(data["rows"], collection.fingerprint)
    clicked = results.results_grid(data, key="grid")
    if clicked is not None:
        st.session_state[_OPEN] = (data["key"], clicked)
    # A run that begins while the dialog is open (a build that ended, a late box) must not shut it.
    of, opened = st.session_state.get(_OPEN, (None, None))
    if opened is not None and of == data["key"]:
        _open(collection, chosen, box, rows, opened)
    else:
        _close()


def _truth_sentence(row: compare.Row) -> str:
    count = len(row.truth.positives) if row.truth is not None else 0
    if count == 0:
        return "No photo of the collection shows the query's landmark, so every hit is wrong."
    said = f"{count} photos of the collection show the query's landmark."
    if row.truth is not None and row.truth.junk:
        said += f" {len(row.truth.junk)} more show too little of it and count for nothing (junk)."
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
) -> None:
    row = next((row for row in rows if row.id == opened.get("row")), None)
    if row is None:
        return
    for hit, verdict in zip(row.hits, row.verdicts(), strict=True):
        if hit.id == opened.get("id"):
            parts = (row.extractor, row.index, *row.result.recipe.rerank)
            where = " · ".join(map(backend.title, parts))
            details.show_photo(
                collection,
                collection.photo(hit.id),
                hit,
                where,
                verdict,
                reason=why.Why(row.result, chosen, box),
                after=_close,
                on_dismiss=_close,
            )
            return


main()
