"""The drawings of the Accuracy page. Vega comes with Streamlit: nothing is fetched."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import altair as alt
import pandas as pd
import streamlit as st

from pages.accuracy import words
from pages.parts import backend, evaluated, vega

if TYPE_CHECKING:
    from evaluation.rows import Row

HEIGHT = 340  # px
COLOURS = ["#2457d6", "#e07a1f", "#1a936f", "#8a4fd3", "#c2314b", "#5b6b84", "#0f9fb8", "#9a7b13"]


def _extractors(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(backend.title(row.extractor) for row in rows))


def _colour(names: Sequence[str], legend: bool = True) -> Any:
    """One colour per extractor, the same in all drawings."""
    scale = alt.Scale(
        domain=list(names), range=[COLOURS[i % len(COLOURS)] for i in range(len(names))]
    )
    keys = alt.Legend(title=None, orient="top", columns=4, labelLimit=220) if legend else None
    return alt.Color("extractor:N", scale=scale, legend=keys)


def curves(rows: Sequence[Row], setting: str) -> None:
    """Precision over recall, a line per extractor, for one index type at a time."""
    indexes = list(dict.fromkeys(row.index for row in rows))
    index = st.segmented_control(
        "Index type",
        indexes,
        default=indexes[0],
        required=True,
        format_func=backend.label,
        key=f"a_curve-{len(indexes)}",
    )
    lines = [
        {
            "extractor": backend.title(row.extractor),
            "rerank": row.rerank,
            "recall": level,
            "precision": value,
        }
        for row in rows
        if row.index == (index or indexes[0])
        for level, value in zip(_levels(), row.precision_recall(setting), strict=False)
    ]
    if not lines:
        st.caption("No query has a right photo in this setting.")
        return
    drawn = _curves(lines, _extractors(rows))
    st.vega_lite_chart(drawn, width="stretch", alt="Precision over recall", key="a_curves")


@vega.once
def _curves(lines: Sequence[dict[str, Any]], extractors: Sequence[str]) -> alt.Chart:
    share = alt.Scale(domain=[0, 1])
    chains = {str(line["rerank"]) for line in lines}
    keys = alt.Legend(title="Re-rank", orient="top") if len(chains) > 1 else None
    return (
        alt.Chart(pd.DataFrame(lines), height=HEIGHT)
        .mark_line(strokeWidth=2.5, interpolate="step-before")
        .encode(
            x=alt.X("recall:Q", title="Recall", scale=share),
            y=alt.Y("precision:Q", title="Precision", scale=share),
            color=_colour(extractors),
            strokeDash=alt.StrokeDash("rerank:N", legend=keys),
            tooltip=[
                alt.Tooltip("extractor:N", title="Extractor"),
                alt.Tooltip("rerank:N", title="Re-rank"),
                alt.Tooltip("recall:Q", title="Recall", format=".2f"),
                alt.Tooltip("precision:Q", title="Precision", format=".3f"),
            ],
        )
    )


def _levels() -> Sequence[float]:
    from evaluation.rows import LEVELS

    return LEVELS


def intervals(rows: Sequence[Row], setting: str) -> None:
    """Every row's mean as a point on its 95 % interval, best first."""
    measure = rows[0].judged_by.headline
    lines = []
    for row in words.ordered(rows, setting):
        mean, interval = evaluated.score(row, setting), row.interval(setting)
        if math.isnan(mean):
            continue
        low, high = interval or (mean, mean)
        lines.append(
            {
                "method": backend.row_title(row.extractor, row.index, row.rerank),
                "extractor": backend.title(row.extractor),
                "mean": mean,
                "low": low,
                "high": high,
                "interval": words.between(interval),
            }
        )
    if not lines:
        return
    name = evaluated.mean_name(measure)
    drawn = _intervals(lines, _extractors(rows), name)
    st.vega_lite_chart(drawn, width="stretch", alt=f"{name} of every row", key="a_intervals")


@vega.once
def _intervals(
    lines: Sequence[dict[str, Any]], extractors: Sequence[str], name: str
) -> alt.LayerChart:
    base = alt.Chart(pd.DataFrame(lines), height=max(120, 28 * len(lines) + 30)).encode(
        y=alt.Y(
            "method:N", sort=None, title=None, axis=alt.Axis(labelLimit=190, labelOverlap=False)
        ),
        color=_colour(extractors, legend=False),
        tooltip=[
            alt.Tooltip("method:N", title="Method"),
            alt.Tooltip("mean:Q", title=name, format=".3f"),
            alt.Tooltip("interval:N", title="95 %"),
        ],
    )
    across = alt.X("low:Q", title=f"{name} with 95 % interval", scale=alt.Scale(zero=True))
    rule = base.mark_rule(strokeWidth=2.5).encode(x=across, x2="high:Q")
    point = base.mark_point(size=70, filled=True, opacity=1).encode(x="mean:Q")
    return rule + point


def scatter(
    points: Sequence[dict[str, Any]], names: tuple[str, str], measure: str, chosen: str, key: str
) -> str | None:
    """A point per query, at its value by the first and by the second method.

    Returns:
        The id of the query whose point is selected, None where none is.
    """
    word = words.value_name(measure)
    event: Any = st.vega_lite_chart(
        _scatter(points, names, word, chosen),
        width="stretch",
        key=key,
        on_select="rerun",
        selection_mode="query",
        alt=f"{word} of each query by two methods",
    )
    picked = event.selection.get("query") if event else None
    return str(picked[0]["query"]) if picked and "query" in picked[0] else None


@vega.once
def _scatter(
    points: Sequence[dict[str, Any]], names: tuple[str, str], word: str, chosen: str
) -> alt.TopLevelMixin:
    # Axes end at the next fifth above the best query, as weak methods crowd near 0.
    most = max(max(point["first"], point["second"]) for point in points)
    high = max(1, math.ceil(5 * most - 1e-9)) / 5
    listed = pd.DataFrame(
        [{**point, "shown": point["query"] == chosen, "better": _better(point)} for point in points]
    )
    scale = alt.Scale(domain=[0, high])
    pick = alt.selection_point(name="query", fields=["query"], on="click", empty=False)
    dots = (
        alt.Chart(listed)
        .mark_point(filled=True, stroke="white", strokeWidth=0.8, cursor="pointer")
        .encode(
            x=alt.X("first:Q", title=f"{word} of {names[0]}", scale=scale),
            y=alt.Y("second:Q", title=f"{word} of {names[1]}", scale=scale),
            color=alt.Color(
                "better:N",
                scale=alt.Scale(
                    domain=["first", "second", "equal"], range=["#2457d6", "#e07a1f", "#5b6b84"]
                ),
                legend=None,
            ),
            size=alt.condition("datum.shown", alt.value(260), alt.value(80)),
            opacity=alt.condition("datum.shown", alt.value(1.0), alt.value(0.65)),
            tooltip=[
                alt.Tooltip("name:N", title="Query"),
                alt.Tooltip("first:Q", title=names[0], format=".3f"),
                alt.Tooltip("second:Q", title=names[1], format=".3f"),
            ],
        )
        .add_params(pick)
    )
    ends = pd.DataFrame([{"first": 0, "second": 0}, {"first": high, "second": high}])
    diagonal = (
        alt.Chart(ends)
        .mark_line(strokeDash=[5, 5], color="#8b94a3", strokeWidth=1.2)
        .encode(x="first:Q", y="second:Q")
    )
    return alt.layer(diagonal, dots, height=HEIGHT + 60)


def _better(point: dict[str, Any]) -> str:
    difference = point["first"] - point["second"]
    if abs(difference) < 1e-12:
        return "equal"
    return "first" if difference > 0 else "second"
