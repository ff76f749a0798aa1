"""One style for the charts of the Trade-offs, Inside the index and Embedding map pages.

Plotly's JavaScript comes with Streamlit: nothing is fetched, and the camera in a chart's corner
makes the PNG in the browser.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from pages.parts import saving

HEIGHT = 360  # px
COLOURS = ("#3b6fe0", "#e07a1f", "#1a936f", "#8a4fd3", "#c2314b", "#0f9fb8", "#9a7b13", "#5b6b84")
"""For series, in this order. Each is legible on white and on the dark theme's background."""
ACCENT = COLOURS[0]  # what is looked at
SECOND = COLOURS[1]  # what it is compared with
GOOD, BAD = COLOURS[2], COLOURS[4]
GREY = "#8b94a3"  # everything else: context, reference lines
BLUES = ((0.0, "#e8eefc"), (1.0, "#1c3f9e"))  # a colour scale, low to high
_BACKGROUND = {"light": "#ffffff", "dark": "#0f1420"}


@dataclasses.dataclass(frozen=True)
class Picked:
    """The points that someone selected in a chart.

    Attributes:
        points: one entry each, with Plotly's names: ``x``, ``y``, ``curve_number``,
            ``point_index``, and ``customdata`` where the trace has it.
    """

    points: tuple[dict[str, Any], ...] = ()

    def custom(self) -> list[Any]:
        """The first ``customdata`` of each point that has one, each once, in order."""
        found = [_first(point["customdata"]) for point in self.points if "customdata" in point]
        return list(dict.fromkeys(one for one in found if one is not None))


def _first(value: Any) -> Any:
    """Rows come back as lists, or as {"0": value} where the trace was given a NumPy array."""
    if isinstance(value, dict):
        value = list(value.values())
    return next(iter(value), None) if isinstance(value, list | tuple) else value


def figure(
    x: str = "",
    y: str = "",
    *,
    height: int = HEIGHT,
    log_x: bool = False,
    log_y: bool = False,
    legend: bool = True,
    made: go.Figure | None = None,
) -> go.Figure:
    """An empty figure in the common style.

    Args:
        x, y: axis titles, with the unit.
        height: px.
        log_x, log_y: logarithmic axes.
        legend: above the chart, where it leaves the width to the data on a phone.
        made: give this one the style, such as one with sub-plots (its axes keep their titles).
    """
    fresh = made is None
    made = go.Figure() if made is None else made
    made.update_layout(
        height=height,
        margin={"l": 8, "r": 12, "t": 44, "b": 8},  # room for the buttons; axes add their own
        hovermode="closest",
        showlegend=legend,
        legend={"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "title_text": ""},
        colorway=list(COLOURS),
        dragmode="pan",
        hoverlabel={"align": "left"},
        paper_bgcolor=background(),  # or the saved PNG would be transparent
    )
    made.update_xaxes(automargin=True)
    made.update_yaxes(automargin=True)
    if fresh:
        made.update_xaxes(title_text=x, type="log" if log_x else "-")
        made.update_yaxes(title_text=y, type="log" if log_y else "-")
    return made


def background() -> str:
    """The colour behind the page."""
    return _BACKGROUND[theme()]


def ink() -> str:
    """The colour of what must stand out from everything."""
    return "#fafafa" if theme() == "dark" else "#1c2333"


def theme() -> str:
    """light or dark: what the viewer's browser asks for, which the pages follow."""
    return "dark" if st.context.theme.type == "dark" else "light"


def safe(text: str) -> str:
    """Text of others for hover boxes, ticks and legends: Plotly would read it as HTML."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def figure_with_downloads(
    made: go.Figure,
    data: pd.DataFrame,
    name: str,
    *,
    key: str,
    select: Sequence[str] = (),
    alt: str = "",
    note: str = "",
) -> Picked:
    """Draw a figure with a button for its data as CSV, and the camera for a PNG.

    Args:
        made: from ``figure``, with its traces.
        data: the plotted values, a row per point, with units in the column names.
        name: of the saved files, without an ending.
        key: unique on the page; a new key forgets the selection.
        select: of "points", "box", "lasso"; empty: the chart is only looked at.
        alt: what the chart shows, for screen readers.
        note: a caption beside the button.

    Returns:
        What is selected in the chart now.
    """
    config = {
        "displaylogo": False,
        "displayModeBar": True,
        "scrollZoom": False,
        "modeBarButtonsToRemove": ["zoom2d", "zoomIn2d", "zoomOut2d", "autoScale2d"]
        + ([] if select else ["select2d", "lasso2d"]),
        "toImageButtonOptions": {"format": "png", "filename": name, "scale": 2},
    }
    picked = Picked()
    if select:
        modes: Any = tuple(select)
        event: Any = st.plotly_chart(
            made,
            key=key,
            on_select="rerun",
            selection_mode=modes,
            config=config,
            alt=alt or None,
        )
        if event and event.selection:
            picked = Picked(tuple(dict(point) for point in event.selection.points))
    else:
        st.plotly_chart(made, key=key, config=config, alt=alt or None)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        saving.button(
            "CSV",
            data.to_csv(index=False),
            f"{name}.csv",
            "The values of this chart. The camera in the chart's corner saves it as PNG.",
            key=f"{key}-csv",
        )
        if note:
            st.caption(note)
    return picked
