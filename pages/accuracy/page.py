"""Accuracy: how well every method does on queries whose answers are known, and where it fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pages.accuracy import causes, charts, pairs, run, table, words
from pages.parts import backend, choices, evaluated, looks
from pages.parts.text import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from data.store import Collection
    from evaluation.base import Protocol
    from evaluation.rows import Row


def main() -> None:
    beside = looks.heading(
        "Accuracy", "How well each method finds the right photos, on queries with known answers."
    )
    names = backend.collection_names()
    if not names:
        st.info("There is no collection yet. Import one on the Collections page.")
        return
    with beside:
        name = choices.collection_of(names, key="a_collection")
    collection = backend.collection(name)
    run.progress_strip(name)
    kept = backend.evaluations(name)
    protocol = _protocol(collection, kept)
    if protocol is None:
        st.info(
            "This collection has no ground truth: no queries with answers, and no photos that "
            "share a landmark. Import photos in folders, one per landmark, or a benchmark."
        )
        return
    setting = _setting(protocol)
    rows = evaluated.one_per_recipe([row for row in kept if row.protocol == protocol.name])
    run.offer(name, protocol.name, rows, backend.ready_indexes(backend.statuses(name)))
    if not rows:
        st.caption(plain(protocol.meaning))
        return
    table.show(collection, rows, setting)
    table.meaning(rows[0])
    current = [row for row in rows if not row.stale]
    if current:
        _pictures(collection, current, setting)


def _protocol(collection: Collection, kept: Sequence[Row]) -> Protocol | None:
    from evaluation import registry

    names = words.fitting(collection, {row.protocol for row in kept})
    if not names:
        return None
    titles = {name: registry.protocol(name).title for name in names}
    chosen = names[0]
    if len(names) > 1:
        chosen = st.selectbox(
            "Protocol",
            names,
            format_func=titles.__getitem__,
            key="a_protocol",
            bind="query-params",
            width=420,
            help="Who counts as right, and how a ranking is judged. The collection's own is first.",
        )
    else:
        st.caption(f"Protocol: {plain(titles[chosen])}")
    return registry.protocol(chosen)


def _setting(protocol: Protocol) -> str:
    """The ground truth that curves, tests and failures are drawn for."""
    if len(protocol.settings) == 1:
        return protocol.main
    chosen = st.segmented_control(
        "Ground truth",
        list(protocol.settings),
        default=protocol.main,
        required=True,
        format_func=str.capitalize,
        key=f"a_setting-{protocol.name}",
        help="The table shows the mean of each; all else is of the chosen one.",
    )
    return chosen or protocol.main


def _pictures(collection: Collection, rows: Sequence[Row], setting: str) -> None:
    st.header("Precision and recall", anchor=False)
    left, right = st.columns(2, gap="large")
    with left, backend.guard("draw the curves"):
        charts.curves(rows, setting)
        st.caption(
            "The best precision that a ranking reaches at each recall or beyond, mean over the "
            "queries. A line that falls to 0 early belongs to an index that never returns some "
            "right photos."
        )
    with right, backend.guard("draw the intervals"):
        charts.intervals(rows, setting)
    st.header("Query by query", anchor=False)
    with backend.guard("compare two methods"):
        pairs.compare(collection, rows, setting)
    if causes.has_records(collection):
        st.header("Failures by condition", anchor=False)
        with backend.guard("count the failures"):
            causes.table(collection, rows, setting)
    st.header("The worst failures first", anchor=False)
    with backend.guard("show the failures"):
        pairs.failures(collection, rows, setting)


main()
