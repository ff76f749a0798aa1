"""Methods: each extractor, index type and re-ranker, its cost here, and the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from data.errors import PlaygroundError
from extractors import registry as extractors
from indexing import registry as indexes
from pages.methods import training, weights
from pages.parts import backend, choices, looks
from pages.parts.compare import UNTRAINED, seconds, size
from pages.parts.text import photos as count_of
from pages.parts.text import plain
from retrieval.rerank import registry as rerankers

if TYPE_CHECKING:
    from indexing.status import ExtractorStatus


def main() -> None:
    beside = looks.heading(
        "Methods", "What each method computes, and what it costs on this machine."
    )
    kind = st.segmented_control(
        "Kind",
        ["Extractors", "Index types", "Re-rankers", "Weights"],
        default="Extractors",
        required=True,
        key="m_kind",
        bind="query-params",
        label_visibility="collapsed",
    )
    names = backend.collection_names()
    name = None
    if names:
        with beside:
            name = choices.collection_of(names, key="m_collection")
    if kind == "Weights":
        with backend.guard("show the weights"):
            weights.panel()
        return
    with backend.guard("describe this method"):
        if kind == "Extractors":
            _extractor(name)
        elif kind == "Index types":
            _index(name)
        else:
            _reranker(name)


def _extractor(collection: str | None) -> None:
    name = _choose(extractors.names(), "m_extractor")
    card = extractors.card(name)
    facts, cost = _page(card, name)
    with facts:
        st.markdown(f"**Paper**  \n[{card.paper}]({card.url})")
        st.markdown(f"**Licence**  \n{card.licence}")
        training.report(name)
    with cost:
        found = _measured(collection, card.cost)
        one = next((one for one in found if one.extractor == name), None)
        if one is None or one.state == "missing":
            st.caption("Not built for this collection yet, so nothing was measured.")
            return
        _extractor_cost(one)


def _extractor_cost(one: ExtractorStatus) -> None:
    from extractors.weights import source_words

    per_photo = one.extract_s / one.n * 1000 if one.n and one.extract_s else None
    left, right = st.columns(2)
    left.metric("Dimension", f"{one.dim}" if one.dim else "–")
    right.metric("Per photo", f"{per_photo:.1f} ms" if per_photo else "–")
    left.metric("All photos", seconds(one.extract_s))
    right.metric("Descriptors", size(one.bytes))
    if one.packed:
        st.caption(f"Described {plain(one.packed)}: the times are of that machine.")
    if one.weights:
        if one.weights == "untrained":
            st.warning(f"Weights: none on this machine, so {UNTRAINED}.")
        else:
            st.caption(f"Weights: {plain(source_words(one.weights))}.")
    if one.message:
        st.caption(plain(one.message))


def _index(collection: str | None) -> None:
    name = _choose(indexes.names(), "m_index")
    try:
        card = indexes.card(name)
    except PlaygroundError as error:  # its package is optional
        st.header(plain(indexes.TYPES[name].title), anchor=False)
        st.info(plain(str(error)))
        return
    facts, cost = _page(card, name)
    with facts:
        st.markdown(f"**Paper**  \n[{card.paper}]({card.url})")
        when = getattr(card, "when_to_use", "")
        if when:
            st.markdown(f"**When to use it**  \n{when}")
    with cost:
        lines = []
        for one in _measured(collection, card.cost):
            for index in one.indexes:
                if index.state == "ready" and index.index.partition(":")[0] == name:
                    lines.append(
                        {
                            "Extractor": backend.title(one.extractor),
                            "Index": backend.title(index.index),
                            "Build": seconds(index.build_s),
                            "Bytes / photo": index.bytes_per_photo,
                            "Shared by all": size(index.shared_bytes),
                            "File": size(index.bytes),
                        }
                    )
        if not lines:
            st.caption("Not built for this collection yet, so nothing was measured.")
            return
        columns: dict[str, Any] = {"Bytes / photo": st.column_config.NumberColumn(format="%.0f")}
        st.dataframe(lines, hide_index=True, column_config=columns, width="stretch")


def _reranker(collection: str | None) -> None:
    name = _choose(rerankers.names(), "m_rerank")
    card = rerankers.card(name)
    facts, cost = _page(card, name)
    with facts:
        st.markdown(f"**Score of a hit afterwards**  \n{card.score}")
        st.markdown(f"**When it hurts**  \n{card.hurts}")
        st.markdown(f"**Paper**  \n[{card.paper}]({card.url})")
        if card.licence:
            st.markdown(f"**Licence**  \n{card.licence}")
    with cost:
        st.markdown(card.cost)
        rows = backend.evaluations(collection) if collection is not None else []
        lines = [
            {
                "Extractor": backend.title(row.extractor),
                "Index": backend.title(row.index),
                "Chain": backend.chain_title(row.rerank),
                "ms": row.rerank_ms,
                "mAP": row.map,
            }
            for row in rows
            if not row.stale and name in {one.partition(":")[0] for one in row.rerank.split("+")}
        ]
        if not lines:
            st.caption("Not evaluated on this collection yet: the Accuracy page does it.")
            return
        columns: dict[str, Any] = {
            "ms": st.column_config.NumberColumn(format="%.1f"),
            "mAP": st.column_config.NumberColumn(format="%.3f"),
        }
        st.caption(f"Evaluated on {plain(str(collection))}, median per query:")
        st.dataframe(lines, hide_index=True, column_config=columns, width="stretch")


def _choose(names: list[str], key: str) -> str:
    chosen = st.pills(
        "Method",
        names,
        default=names[0],
        required=True,
        format_func=backend.title,
        wrap=True,
        key=key,
        bind="query-params",
        label_visibility="collapsed",
    )
    return chosen or names[0]


def _page(card: Any, name: str) -> tuple[Any, Any]:
    """What both kinds share; the containers for the facts and for the measured cost."""
    st.header(card.title, anchor=False)
    left, right = st.columns([7, 5], gap="large")
    with left:
        st.markdown(card.idea)
        with st.container(border=True, key=f"formula-{name}"):
            st.latex(card.formula)
        if card.parameters:
            st.subheader("Parameters", anchor=False)
            st.table([{"Name": key, "Meaning": text} for key, text in card.parameters.items()])
        facts = st.container()
    with right:
        cost = st.container(border=True)
        cost.subheader("What it costs here", anchor=False)
    return facts, cost


def _measured(name: str | None, words: str) -> list[ExtractorStatus]:
    st.markdown(words)
    if name is None:
        st.caption("There is no collection to measure on yet.")
        return []
    photos = count_of(len(backend.collection(name).photos))
    st.caption(f"Measured while building the collection {plain(name)} of {photos}:")
    return backend.statuses(name)


main()
