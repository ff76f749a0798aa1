"""What re-ranking adds, for its time: a point per evaluated recipe of an extractor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import altair as alt
import pandas as pd
import streamlit as st

from pages.parts import backend, evaluated, vega

if TYPE_CHECKING:
    from data.store import Collection
    from evaluation.rows import Row

HEIGHT = 320  # px


def show(collection: Collection, extractor: str) -> None:
    """Draw the extractor's rows of the collection's own protocol, where there are any."""
    from evaluation import registry

    rows = [
        row
        for row in evaluated.one_per_recipe(backend.evaluations(collection.name))
        if row.extractor == extractor
        and not row.stale
        and row.protocol == registry.of_collection(collection)
    ]
    st.header("What re-ranking adds, for its time", anchor=False)
    lines = points(rows)
    if not lines:
        st.caption("Nothing of this extractor is evaluated yet: the Accuracy page does it.")
        return
    name = evaluated.mean_name(rows[0].judged_by.headline)
    drawn = _chart(lines, name)
    st.vega_lite_chart(drawn, width="stretch", alt=f"{name} over time per recipe", key="t_recipes")
    if all(row.rerank == "none" for row in rows):
        st.caption("No re-ranker is evaluated yet: the Accuracy page adds them to its rows.")


def points(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The chart's data: ms after the descriptor, the mean, and the names, fastest first."""
    lines = []
    for row in rows:
        value = evaluated.score(row, row.judged_by.main)
        if math.isnan(value):
            continue
        lines.append(
            {
                "recipe": backend.row_title(row.extractor, row.index, row.rerank).partition(" · ")[
                    2
                ],
                "index": backend.title(row.index),
                "rerank": backend.chain_title(row.rerank) or "none",
                "ms": row.search_ms + row.rerank_ms,
                "search_ms": row.search_ms,
                "rerank_ms": row.rerank_ms,
                "mean": value,
            }
        )
    return sorted(lines, key=lambda line: line["ms"])


@vega.once
def _chart(lines: Sequence[dict[str, Any]], name: str) -> alt.LayerChart:
    """Accuracy over time, logarithmic."""
    base = alt.Chart(pd.DataFrame(lines), height=HEIGHT).encode(
        x=alt.X("ms:Q", title="ms of search and re-ranking (log)", scale=alt.Scale(type="log")),
        y=alt.Y("mean:Q", title=name, scale=alt.Scale(zero=False, padding=18)),
        color=alt.Color("index:N", legend=alt.Legend(title=None, orient="top")),
        tooltip=[
            alt.Tooltip("recipe:N", title="Recipe"),
            alt.Tooltip("mean:Q", title=name, format=".3f"),
            alt.Tooltip("search_ms:Q", title="Search ms", format=".2f"),
            alt.Tooltip("rerank_ms:Q", title="Re-rank ms", format=".2f"),
        ],
    )
    words = base.mark_text(align="left", dx=8, dy=-4, fontSize=12).encode(text="rerank:N")
    return base.mark_point(size=90, filled=True, opacity=1) + words
