"""Embedding map: the collection's descriptors in two dimensions, with the query among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pages.embedding import map as embedding_map
from pages.parts import backend, choices, details, inside_query, looks
from pages.parts.gallery import gallery
from pages.parts.inside_case import case_of, choose_extractor
from pages.parts.inside_data import Case, exact_neighbours, explain
from pages.parts.text import photos as count_photos

if TYPE_CHECKING:
    from data.store import Collection

_SHOWN = 60  # selected photos that are drawn
_NEAREST = 10  # neighbours that are marked
_METHODS = {"pca": "PCA", "umap": "UMAP"}


def main() -> None:
    beside = looks.heading(
        "Embedding map", "Where the query lies among the photos, as the extractor sees them."
    )
    names = backend.collection_names()
    if not names:
        st.info("There is no collection yet. Import one on the Collections page.")
        return
    with beside:
        name = choices.collection_of(names, key="em_collection")
    collection = backend.collection(name)
    left, right = st.columns([4, 7], gap="large", vertical_alignment="center")
    with left:
        asked = inside_query.picture(collection)
    with right:
        extractor = choose_extractor(backend.statuses(name), key="em_extractor")
        method = _method()
    inside_query.change(collection)
    if asked is None or extractor is None:
        return
    with backend.guard("draw this map"):
        case = case_of(collection, extractor, asked, _NEAREST)
        if case is not None:
            _map(collection, case, method)


def _method() -> str:
    chosen = st.segmented_control(
        "Map",
        list(_METHODS),
        default="pca",
        format_func=_METHODS.__getitem__,
        key="em_map",
        bind="query-params",
        required=True,
    )
    return chosen or "pca"


def _map(collection: Collection, case: Case, method: str) -> None:
    fitted = embedding_map.load(case, method)
    if fitted is None:
        embedding_map.offer(case, method)
        return
    explain(embedding_map.words(fitted), embedding_map.FORMULAS[method])
    neighbours = exact_neighbours(case)
    coloured = _coloured(collection, case, embedding_map.relevant(case, neighbours))
    key = f"em_chart-{case.extractor}-{method}-{collection.fingerprint[:12]}"
    picked = embedding_map.draw(case, fitted, coloured, neighbours, key)
    if len(fitted.rows) < len(case.vectors.vectors):
        st.caption(
            f"{len(fitted.rows):,} of {len(case.vectors.vectors):,} photos are on the map, drawn "
            f"at random; neighbours of the query are marked where they are among them."
        )
    if method == "umap":
        st.caption(
            "The query was not there when the map was made: it is placed at the mean of its "
            "nearest photos, weighted by how near they are, where UMAP's own transform begins."
        )
    _selected(collection, picked)


def _coloured(collection: Collection, case: Case, first: list[str]) -> list[str]:
    """The landmarks with a colour of their own; the rest stays grey."""
    if not collection.labels:
        return []
    return st.multiselect(
        "Coloured landmarks",
        collection.labels,
        default=first,
        format_func=lambda one: collection.titles.get(one, one),
        max_selections=embedding_map.MOST_COLOURS,
        # Another query begins with its own landmarks.
        key=f"em_labels-{case.extractor}-{case.asked.key}",
        help="At first the query's own and those of its nearest photos. Type to search.",
    )


def _selected(collection: Collection, picked: list[int]) -> None:
    if not picked:
        return
    shown = [
        collection.photos[position] for position in picked if position < len(collection.photos)
    ]
    st.markdown(
        f"**{count_photos(len(shown))} selected**; click one to see it, or to search with it"
    )
    items = [
        (one.id, backend.thumbnail_url(collection, one), backend.caption(collection, one))
        for one in shown[:_SHOWN]
    ]
    clicked = gallery(items, "em_selected", "Selected photos")
    if len(shown) > _SHOWN:
        st.caption(f"The first {_SHOWN} are shown.")
    by_id = {one.id: one for one in shown}
    if clicked in by_id:
        details.show_photo(collection, by_id[clicked])


main()
