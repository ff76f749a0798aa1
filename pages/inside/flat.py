"""Inside Flat: the distance of the query to every photo, sorted."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from pages.parts import plots
from pages.parts.inside_data import (
    COLOURS,
    Case,
    Opened,
    explain,
    names,
    ranked,
    strip,
    verdicts,
)

_MOST = 4_000  # photos in the drawing


@dataclasses.dataclass(frozen=True)
class _Metric:
    """How a distance is written."""

    axis: str
    symbol: str
    column: str
    formula: str
    judges: str  # what the order is good for


_METRICS = {
    "l2": _Metric(
        "Squared L2 distance",
        "d²",
        "squared_l2",
        r"d^2(q, x) = \sum_{j=1}^{d} (q_j - x_j)^2 \overset{\lVert x \rVert = 1}{=} "
        r"2 - 2\cos(q, x)",
        "this is the exact order that every other index is judged by",
    ),
    "l1": _Metric(
        "L1 distance",
        "d",
        "l1",
        r"d(q, x) = \sum_{j=1}^{d} |q_j - x_j|",
        "this is the exact order by this distance, which is not that of the cosine",
    ),
}


def draw(case: Case, opened: Opened) -> None:
    """The sorted distances and the K nearest photos."""
    from indexing.inside import flat

    view = flat.look(opened.built, case.vector)
    metric = _METRICS[opened.built.distance]
    explain(
        "Every dot is a photo, placed by its rank and its distance to the query; the K nearest in "
        f"the blue band are the answer. Nothing is skipped, so {metric.judges}.",
        metric.formula,
    )
    shown = min(len(view.rows), _MOST)
    positions = opened.photos(view.rows[:shown])
    listed = pd.DataFrame(
        {
            "rank": range(1, shown + 1),
            "photo": [case.collection.photos[int(one)].id for one in positions],
            "landmark": [case.collection.photos[int(one)].label for one in positions],
            metric.column: view.distances[:shown],
            "verdict": verdicts(case, positions),
        }
    )
    made = plots.figure("Rank (logarithmic)", metric.axis, log_x=True)
    made.add_vrect(0.9, case.k + 0.5, fillcolor=plots.ACCENT, opacity=0.10, line_width=0)
    marks = [step * 10**power for power in range(6) for step in (1, 2, 5)]
    made.update_xaxes(
        tickvals=marks,
        ticktext=[f"{mark:,}" for mark in marks],
        range=[np.log10(0.9), np.log10(1.1 * shown)],
    )
    hover = names(case, positions)
    for verdict, part in listed.groupby("verdict", sort=False):
        made.add_trace(
            go.Scatter(
                x=part["rank"],
                y=part[metric.column],
                mode="markers",
                name=str(verdict),
                marker={"color": COLOURS[str(verdict)], "size": 8},
                text=[hover[i] for i in part.index],
                hovertemplate="%{text}<br>rank %{x}, "
                f"{metric.symbol} %{{y:.4f}}<extra></extra>",
            )
        )
    plots.figure_with_downloads(
        made,
        listed,
        f"{case.name}-{opened.built.name}",
        key="in_flat",
        alt="Distance of every photo over its rank",
        note=f"All {len(view.rows):,} photos"
        + ("." if shown == len(view.rows) else f"; the nearest {shown:,} are drawn."),
    )
    st.markdown(f"**The {min(case.k, shown)} nearest**")
    strip(case, positions[: case.k], ranked(positions[: case.k], view.distances, ".3f"), "in_top")
