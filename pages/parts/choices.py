"""The controls that choose collection, extractors, index types and K."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import streamlit as st

from indexing import registry as index_registry
from pages.parts import backend, state
from pages.parts.compare import UNTRAINED
from pages.parts.settings import MAX_K
from pages.parts.text import plain

if TYPE_CHECKING:
    from indexing.status import ExtractorStatus

_AT_FIRST = 3  # extractors that are chosen until someone chooses
# Those that see most, and words beside networks; HOG, which sees least, never by itself.
_PREFERRED = ("gem-siamese", "delf", "bovw")
_INDEXES_AT_FIRST = ("flat",)


def collection_of(names: Sequence[str], key: str = "w_collection", labelled: bool = True) -> str:
    """The chosen collection; drawn only where there is a choice.

    Args:
        labelled: whether its label is drawn, or only read out.
    """
    wanted = state.current().collection
    if wanted is not None and wanted not in names:
        state.mend(
            "collection",
            plain(f"There is no collection {wanted} here; {names[0]} is shown instead."),
            collection=names[0],
            query=None,
            box=None,
            right=(),
            wrong=(),
        )
    wanted = state.current().collection or names[0]
    state.warn("collection")
    if len(names) > 1:
        if st.session_state.get(key, wanted) not in names:
            del st.session_state[key]
        state.seed(key, wanted)
        chosen = st.selectbox(
            "Collection", names, key=key, label_visibility="visible" if labelled else "collapsed"
        )
    else:
        chosen = wanted
    if chosen != state.current().collection:
        first = state.current().collection is None
        # A link may name a query without its collection; a switch forgets the old query.
        state.update(collection=chosen, **({} if first else {"query": None, "box": None}))
    return str(chosen)


def methods(
    name: str, found: Sequence[ExtractorStatus], ready: Mapping[str, Sequence[str]]
) -> tuple[list[str], list[str], list[str], int]:
    """Draw the controls: (extractors, index types, chains of re-rankers, K)."""
    settings = state.current()
    extractors = _pills(
        "Extractors",
        list(ready),
        settings.extractors,
        at_first(list(ready)),
        "w_extractors",
    )
    _notes(found, ready, extractors)
    built = dict.fromkeys(index for indexes in ready.values() for index in indexes)
    order = [one for one in index_registry.basic() if one in built]
    order += [one for one in built if one not in order]
    indexes = _pills(
        "Index types",
        order,
        settings.indexes,
        [one for one in _INDEXES_AT_FIRST if one in order],
        "w_indexes",
    )
    with st.expander("Re-rank", expanded=bool(settings.rerank)):
        chains = _chains(settings.rerank)
    state.seed("w_k", settings.k)
    k = int(st.slider("Results per row (K)", 1, MAX_K, key="w_k"))
    if k != settings.k:
        state.update(k=k)
    return extractors, indexes, chains, k


def at_first(ready: Sequence[str]) -> list[str]:
    """The extractors that are chosen until someone chooses."""
    seeing = sorted((one for one in ready if one != "hog"), key=lambda one: one not in _PREFERRED)
    preferred = [one for one in seeing if one in _PREFERRED]
    # Two are a comparison: the first page does not wait for a third that is not among the best.
    chosen = (preferred if len(preferred) > 1 else seeing[:_AT_FIRST]) or ready
    return [one for one in ready if one in chosen]


def _chains(wanted: tuple[str, ...] | None) -> list[str]:
    """What may follow the index: single re-rankers as pills, and chains that were typed."""
    from retrieval.rerank import registry

    typed = [one for one in wanted or () if one not in (registry.NONE, *registry.names())]
    options = [*registry.names(), registry.NONE, *typed]
    chains = _pills("Rows with these re-rankers", options, wanted, [], "w_rerank")
    with st.popover("Chain …", help="Several re-rankers after each other, or other parameters"):
        text = st.text_input("Chain", placeholder="aqe:k=5+sift", key="w_chain")
        st.caption("Names between +, parameters behind a colon. The Methods page lists them.")
        if st.button("Add a row", key="add_chain", disabled=not text):
            with backend.guard("read this chain"):
                chain = registry.join(registry.chain(text))
                state.update(rerank=tuple(dict.fromkeys([*(wanted or ()), chain])))
                st.rerun()
    return chains


def _pills(
    label: str,
    options: list[str],
    wanted: tuple[str, ...] | None,
    default: list[str],
    key: str,
) -> list[str]:
    """Pills for what is ready; what a link wants and is not ready yet stays wanted."""
    if not options:
        return []
    selected = [one for one in options if one in (default if wanted is None else wanted)]
    waiting = tuple(one for one in wanted or () if one not in options)
    # The settings are the truth and the widget follows, so that new options can join.
    if st.session_state.get(key) != selected:
        st.session_state[key] = selected

    def chosen() -> None:
        now = tuple(st.session_state[key])
        state.update(**{key.removeprefix("w_"): now + waiting})

    picked = st.pills(
        label,
        options,
        selection_mode="multi",
        format_func=backend.label,
        wrap=True,
        key=key,
        on_change=chosen,
    )
    return [one for one in options if one in picked]


def _notes(
    found: Sequence[ExtractorStatus],
    ready: Mapping[str, Sequence[str]],
    chosen: Sequence[str],
) -> None:
    if not ready:
        st.info(
            "Nothing is built for this collection yet. Build it on the Collections page; if a "
            "build is running, the first extractor appears here within a minute."
        )
        return
    coming = [one.extractor for one in found if one.extractor not in ready]
    if coming:
        names = ", ".join(backend.label(one) for one in coming)
        st.caption(f"Not ready yet: {names}. Each appears here once it is built.")
    stale = [one.extractor for one in found if one.state == "stale"]
    if stale:
        names = ", ".join(backend.label(one) for one in stale)
        st.caption(f"Out of date: {names}. Build again on the Collections page.")
    damaged = [
        row
        for one in found
        for row in (
            *([backend.label(one.extractor)] if one.state == "damaged" else []),
            *(
                plain(backend.row_title(one.extractor, index.index))
                for index in one.indexes
                if index.state == "damaged"
            ),
        )
    ]
    if damaged:
        st.caption(f"Damaged: {', '.join(damaged)}. Mend it on the Collections page.")
    untrained = [
        one.extractor for one in found if one.weights == "untrained" and one.extractor in chosen
    ]
    if untrained:
        names = ", ".join(backend.label(one) for one in untrained)
        st.caption(f":orange-badge[{names}] {UNTRAINED}.")
