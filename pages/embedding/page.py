"""Embedding map: the collection's descriptors in two dimensions, with the query among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pages.embedding import beside, pictures
from pages.embedding import map as embedding_map
from pages.parts import backend, choices, inside_query, looks
from pages.parts.inside_case import case_of, choose_extractor
from pages.parts.inside_data import Case, exact_neighbours, explain

if TYPE_CHECKING:
    from data.store import Collection
    from indexing.embedding import Embedding

_NEAREST = 10  # neighbours that are marked
_METHODS = {"pca": "PCA", "umap": "UMAP"}


def main() -> None:
    place = looks.heading(
        "Embedding map", "Where the query lies among the photos, as the extractor sees them."
    )
    names = backend.collection_names()
    if not names:
        st.info("There is no collection yet. Import one on the Collections page.")
        return
    with place:
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
    by, coloured, filtered = _groups(collection, case, embedding_map.relevant(case, neighbours))
    left, right = st.columns([8, 5], gap="medium")
    with left:
        # Another choice of colours begins with nothing selected.
        key = f"em_chart-{case.extractor}-{method}-{by}-{collection.fingerprint[:12]}"
        picked = embedding_map.draw(case, fitted, coloured, neighbours, key, by)
        pictures.on_hover(collection, fitted.rows, key)
        _notes(case, fitted, method)
    with right:
        beside.show(collection, case, picked, neighbours, by, coloured if filtered else [])


def _notes(case: Case, fitted: Embedding, method: str) -> None:
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


def _groups(collection: Collection, case: Case, first: list[str]) -> tuple[str, list[str], bool]:
    """What the dots are coloured by, the coloured groups, and whether they are a filter."""
    kinds = embedding_map.kinds(case)
    options = [*([embedding_map.KIND] if len(kinds) > 1 else [])]
    options += [embedding_map.LANDMARK] if collection.labels else []
    if not options:
        return embedding_map.LANDMARK, [], False
    left, right = st.columns([3, 9], gap="medium", vertical_alignment="bottom")
    by = options[0]
    if len(options) > 1:
        with left:
            chosen = st.segmented_control(
                "Colour by",
                options,
                default=options[0],
                format_func=str.capitalize,
                key="em_by",
                bind="query-params",
                required=True,
            )
            by = chosen or options[0]
    with right:
        if by == embedding_map.KIND:
            titles = embedding_map.titles(case, kinds, by)
            only = st.multiselect(
                "Only these kinds",
                kinds,
                format_func=lambda one: titles[one],
                key=f"em_kinds-{collection.fingerprint[:12]}",
                placeholder="All kinds",
                help="On the map and beside it. Type to search.",
            )
            return by, [one for one in kinds if one in only] or kinds, bool(only)
        coloured = st.multiselect(
            "Coloured landmarks",
            collection.labels,
            default=first,
            format_func=lambda one: collection.titles.get(one, one),
            max_selections=embedding_map.MOST_COLOURS,
            # Another query begins with its own landmarks.
            key=f"em_labels-{case.extractor}-{case.asked.key}",
            help="At first the query's own and those of its nearest photos. Type to search.",
        )
    return by, coloured, coloured != first


main()
