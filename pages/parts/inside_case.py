"""From the session's choices to a case: one extractor's description of the query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from pages.parts import backend, choices, state
from pages.parts.compare import UNTRAINED
from pages.parts.inside_data import Case
from pages.parts.inside_query import Asked

if TYPE_CHECKING:
    from data.store import Collection
    from indexing.status import ExtractorStatus


def choose_extractor(found: Sequence[ExtractorStatus], key: str) -> str | None:
    """One of the extractors that are built; the one of the Search page at first."""
    ready = {one.extractor: one for one in found if one.current}
    if not ready:
        st.info("Nothing is built for this collection yet. Build it on the Collections page.")
        return None
    options = list(ready)
    wanted = [st.session_state.get("one_extractor"), *(state.current().extractors or ())]
    default = next((one for one in wanted if one in options), choices.at_first(options)[0])
    if st.session_state.get(key) not in options:
        st.session_state[key] = default
    chosen = st.segmented_control(
        "Extractor", options, format_func=backend.label, key=key, required=True, wrap=True
    )
    extractor = str(chosen or default)
    st.session_state["one_extractor"] = extractor  # kept over page switches, unlike a widget's key
    if ready[extractor].weights == "untrained":
        st.caption(f":orange-badge[{backend.label(extractor)}] {UNTRAINED}.")
    return extractor


def case_of(collection: Collection, extractor: str, asked: Asked, k: int) -> Case | None:
    """Describe the query; None, with a sentence on the page, where there is nothing to show."""
    from retrieval.ranking import Query

    engine = backend.engine()
    vectors = engine.vectors(collection.name, extractor)
    if vectors.offsets is not None:
        per_photo = len(vectors.vectors) / max(1, len(vectors.ids))
        st.info(
            f"{backend.label(extractor)} describes a photo by some {per_photo:,.0f} local vectors "
            f"and ranks photos by votes: a photo has no single vector, and a query is many "
            f"searches at once. Choose an extractor with one vector per photo."
        )
        return None
    query = asked.query
    with st.spinner(f"Describing the crop with {backend.label(extractor)} …"):
        searched = Query(
            query.pixels,
            asked.box,
            key=asked.key,
            id=query.id_for(asked.box),
            decode_ms=query.decode_ms,
        )
        described = engine.describe(collection.name, extractor, searched)
    vector = described.features.vectors
    if len(vector) != 1 or not vector.any():
        st.info(
            f"{backend.label(extractor)} found nothing to describe in this crop. Choose a larger "
            f"or more detailed region."
        )
        return None
    return Case(collection, extractor, asked, vectors, vector[0], min(k, len(vectors.vectors)))
