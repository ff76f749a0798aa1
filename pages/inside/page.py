"""Inside the index: what each index type does with the query, step by step, on its real data."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import streamlit as st

from data.errors import PlaygroundError
from indexing import registry
from pages.parts import backend, choices, inside_play, inside_query, looks, state
from pages.parts.inside_case import case_of, choose_extractor
from pages.parts.inside_data import Case, open_index
from pages.parts.settings import MAX_K
from pages.parts.text import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

_HNSW = "hnsw"  # no type of its own: a graph is built for the page


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
            damaged = [
                index.message
                for one in found
                for index in one.indexes
                if one.extractor == extractor
                and index.state == "damaged"
                and index.index.partition(":")[0] == kind
            ]
            _view(case, kind, backend.ready_indexes(found).get(extractor, []), damaged)


def _kind() -> str:
    chosen = st.segmented_control(
        "Index",
        [*(name for name, row in registry.TYPES.items() if not row.package), _HNSW],
        default="flat",
        format_func=registry.family_title,
        key="in_index",
        bind="query-params",
        required=True,
        wrap=True,
    )
    return chosen or "flat"


def _k() -> int:
    settings = state.current()
    state.seed("in_k", settings.k)
    k = int(st.slider("Neighbours wanted (K)", 1, MAX_K, key="in_k"))
    if k != settings.k:
        state.update(k=k)
    return k


def _view(case: Case, kind: str, specs: Sequence[str], damaged: Sequence[str]) -> None:
    if kind == _HNSW:
        st.fragment(_guarded, run_every=inside_play.every())(case, "")
        return
    title = backend.title(kind)
    if not registry.TYPES[kind].view:
        st.info(
            f"{plain(title)} cannot be looked into: nothing here draws such an index. What it "
            f"finds is on the Search page, what it costs under Trade-offs."
        )
        return
    built = [spec for spec in specs if spec.partition(":")[0] == kind]
    if damaged and not built:
        st.info(plain(" ".join(damaged)))
        return
    if not built:
        from indexing.artefacts import build_command

        command = build_command(case.collection.name, case.extractor, kind)
        st.info(
            f"There is no {plain(title)} index of {backend.label(case.extractor)} for "
            f"{plain(case.collection.name)} yet. Build it on the Collections page, or run:"
        )
        st.code(command, language="bash", wrap_lines=True)
        return
    spec = built[0]
    if len(built) > 1:
        key = f"in_spec-{case.extractor}-{kind}-{len(built)}"
        spec = st.selectbox("Built with", built, key=key, width=420) or spec
    st.fragment(_guarded, run_every=inside_play.every())(case, spec)


def _guarded(case: Case, spec: str) -> None:
    """A slider draws its view again, not the page."""
    with backend.guard("look into this index"):
        try:
            view = registry.TYPES[spec.partition(":")[0]].view if spec else _HNSW
            draw = importlib.import_module(f"pages.inside.{view}").draw
            draw(case, *([open_index(case, spec)] if spec else []))
        except PlaygroundError as error:
            st.info(plain(str(error)))


main()
