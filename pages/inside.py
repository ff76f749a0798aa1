"""Inside the index: what each index type does with the query, step by step, on its real data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from data.errors import PlaygroundError
from pages.parts import (
    backend,
    choices,
    entry,
    inside_flat,
    inside_hnsw,
    inside_ivf,
    inside_lsh,
    inside_pq,
    inside_query,
    looks,
    state,
)
from pages.parts.inside_case import case_of, choose_extractor
from pages.parts.inside_data import Case, open_index
from pages.parts.settings import MAX_K
from pages.parts.text import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

_VIEWS = {
    "flat": inside_flat.draw,
    "ivf": inside_ivf.draw,
    "lsh": inside_lsh.draw,
    "pq": inside_pq.draw,
}
_KINDS = {"flat": "Flat", "ivf": "IVF", "lsh": "LSH", "pq": "PQ", "hnsw": "HNSW"}


def main() -> None:
    beside = looks.heading(
        "Inside the index", "What an index does with your query, drawn from the real index."
    )
    names = backend.collection_names()
    if not names:
        st.info("There is no collection yet. Import one on the Collections page.")
        return
    with beside:
        name = choices.collection_of(names, key="in_collection")
    collection = backend.collection(name)
    left, right = st.columns([4, 7], gap="large", vertical_alignment="center")
    with left:
        asked = inside_query.picture(collection)
    with right:
        found = backend.statuses(name)
        extractor = choose_extractor(found, key="in_extractor")
        one, two = st.columns(2, gap="medium")
        with one:
            kind = _kind()
        with two:
            k = _k()
    inside_query.change(collection)
    if asked is None or extractor is None:
        return
    with backend.guard("look into this index"):
        case = case_of(collection, extractor, asked, k)
        if case is not None:
            _view(case, kind, backend.ready_indexes(found).get(extractor, []))


def _kind() -> str:
    chosen = st.segmented_control(
        "Index",
        list(_KINDS),
        default="flat",
        format_func=_KINDS.__getitem__,
        key="in_index",
        bind="query-params",
        required=True,
    )
    return chosen or "flat"


def _k() -> int:
    settings = state.current()
    state.seed("in_k", settings.k)
    k = int(st.slider("Neighbours wanted (K)", 1, MAX_K, key="in_k"))
    if k != settings.k:
        state.update(k=k)
    return k


def _view(case: Case, kind: str, specs: Sequence[str]) -> None:
    if kind == "hnsw":
        st.fragment(_guarded)(case, "")
        return
    built = [spec for spec in specs if spec.partition(":")[0] == kind]
    if not built:
        from indexing.artefacts import build_command

        command = build_command(case.collection.name, case.extractor, kind)
        st.info(
            f"There is no {_KINDS[kind]} index of {backend.title(case.extractor)} for "
            f"{plain(case.collection.name)} yet. Build it on the Collections page, or run:"
        )
        st.code(command, language="bash", wrap_lines=True)
        return
    spec = built[0]
    if len(built) > 1:
        key = f"in_spec-{case.extractor}-{kind}-{len(built)}"
        spec = st.selectbox("Built with", built, key=key, width=420) or spec
    st.fragment(_guarded)(case, spec)


def _guarded(case: Case, spec: str) -> None:
    """A slider draws its view again, not the page."""
    with backend.guard("look into this index"):
        try:
            if not spec:
                inside_hnsw.draw(case)
                return
            _VIEWS[spec.partition(":")[0]](case, open_index(case, spec))
        except PlaygroundError as error:
            st.info(plain(str(error)))


entry.run(main)
