"""The charts of the Trade-offs page."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import plotly.graph_objects as go
import streamlit as st

from indexing import registry
from pages.parts import plots
from pages.tradeoffs.data import Scale, families, frame, short, tip

if TYPE_CHECKING:
    from evaluation.tradeoffs.rows import Point

_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "star", "cross", "hexagon", "x")


def axes(
    points: Sequence[Point],
    everything: Sequence[Point],
    scale: Scale,
    cost: str,
    gain: str,
    chosen: str,
    key: str,
) -> str | None:
    """A measure over another one: a point per setting, a line per build, the Pareto front ringed.

    Args:
        points: those of the scale.
        everything: of all sizes; they decide the axes, so that they stay when the size changes.
        cost, gain: names of ``rows.MEASURES``, to the right and up.
        chosen: key of the point that is looked at.

    Returns:
        The key of a point that was just clicked, else None.
    """
    from evaluation.tradeoffs import front as fronts
    from evaluation.tradeoffs.rows import MEASURES

    across, up = MEASURES[cost], MEASURES[gain]
    made = plots.figure(_title(across), _title(up), log_x=across.log, log_y=up.log, height=460)
    best = fronts.pareto_front(points, cost, gain)
    made.add_trace(
        go.Scatter(
            x=[point.value(cost) for point in best],
            y=[point.value(gain) for point in best],
            name="Pareto front",
            mode="lines+markers",
            line={"color": plots.ink(), "width": 1.5, "dash": "dot"},
            marker={"symbol": "circle-open", "size": 17, "color": plots.ink()},
            hoverinfo="skip",
        )
    )
    _points(made, points, everything, cost, gain)
    picked = next((point for point in points if point.key == chosen), None)
    if picked is not None:
        made.add_trace(
            go.Scatter(
                x=[picked.value(cost)],
                y=[picked.value(gain)],
                name="shown below",
                mode="markers",
                marker={
                    "symbol": "circle-open",
                    "size": 24,
                    "color": plots.SECOND,
                    "line": {"width": 3},
                },
                hoverinfo="skip",
            )
        )
    _legend_below(made)
    made.update_xaxes(range=_range([p.value(cost) for p in everything], across.log))
    made.update_yaxes(range=_range([p.value(gain) for p in everything], up.log))
    _label_simulated(made, scale.simulated > 0)
    clicked = plots.figure_with_downloads(
        made,
        frame(points, best),
        f"{points[0].collection}-{gain}-{cost}-{scale.n}",
        key=f"{key}-{scale.n}-{scale.simulated}-{gain}",
        select=("points",),
        alt=f"{_title(up)} over {_title(across)} of every measured setting",
        note="Ringed: the Pareto front, which no other setting beats in both. Click a point.",
    ).custom()
    return str(clicked[0]) if clicked else None


def _points(
    made: go.Figure, points: Sequence[Point], everything: Sequence[Point], cost: str, gain: str
) -> None:
    """A trace per kind; settings of one build are joined."""
    for family, (colour, symbol) in _styles(everything).items():
        mine = [point for point in points if point.family == family]
        if not mine:
            continue
        x: list[float | None] = []
        y: list[float | None] = []
        keys: list[str | None] = []
        tips: list[str] = []
        for index in dict.fromkeys(point.index for point in mine):
            build = [point for point in mine if point.index == index]
            for point in sorted(build, key=lambda one: one.value(cost)):
                x.append(point.value(cost))
                y.append(point.value(gain))
                keys.append(point.key)
                tips.append(tip(point))
            x.append(None)  # a gap: the next build is another line
            y.append(None)
            keys.append(None)
            tips.append("")
        made.add_trace(
            go.Scatter(
                x=x,
                y=y,
                name=registry.family_title(family),
                mode="lines+markers",
                connectgaps=False,
                line={"color": colour, "width": 1},
                marker={"size": 9, "color": colour, "symbol": symbol},
                customdata=[[key] for key in keys],
                text=tips,
                hovertemplate="%{text}<extra></extra>",
            )
        )


def _styles(points: Sequence[Point]) -> dict[str, tuple[str, str]]:
    """Kind -> (colour, symbol): the colour of its row, else one that no row has."""
    taken = {row.colour for row in registry.TYPES.values()}
    free = itertools.cycle(one for one in plots.COLOURS if one not in taken)
    styles = {}
    for family, symbol in zip(families(points), itertools.cycle(_SYMBOLS), strict=False):
        row = registry.TYPES.get(family)
        styles[family] = (row.colour if row and row.colour else next(free), symbol)
    return styles


def growth(points: Sequence[Point], measure: str, least: float, key: str) -> None:
    """Latency over size: of each kind the fastest setting that reaches a recall."""
    from evaluation.tradeoffs.front import fastest

    steps = fastest(points, measure, least)
    if not steps:
        st.caption(f"No measured setting agrees with exact search to {least:g} ({measure}).")
        return
    made = plots.figure(
        "Vectors in the index", "Latency, median, 1 thread (ms)", log_x=True, log_y=True, height=460
    )
    for family, (colour, symbol) in _styles(points).items():
        mine = [step for step in steps if step.family == family]
        if not mine:
            continue
        # Hollow: with simulated vectors.
        symbols = [symbol + ("-open" if step.simulated else "") for step in mine]
        made.add_trace(
            go.Scatter(
                x=[step.n for step in mine],
                y=[step.latency_ms for step in mine],
                name=registry.family_title(family),
                mode="lines+markers",
                line={"color": colour, "width": 2},
                marker={"size": 10, "color": colour, "symbol": symbols},
                text=[tip(step) for step in mine],
                hovertemplate="%{text}<extra></extra>",
            )
        )
    _legend_below(made)
    sizes = sorted({step.n for step in steps})
    made.update_xaxes(tickvals=sizes, ticktext=[short(n) for n in sizes])
    simulated = any(step.simulated for step in steps)
    _label_simulated(made, simulated)
    plots.figure_with_downloads(
        made,
        frame(steps),
        f"{points[0].collection}-latency-size",
        key=key,
        alt="Latency over the number of vectors, a line per kind of index",
        note="Hollow: sizes with simulated vectors." if simulated else "",
    )
    st.caption(_crossed(points, measure, least))


def _crossed(points: Sequence[Point], measure: str, least: float) -> str:
    from evaluation.tradeoffs.front import crossings

    sizes = {point.n for point in points}
    found = [one for one in crossings(points, least, measure) if one.size is not None]
    if len(sizes) < 2 or not found:
        return (
            f"No kind of index is faster than exact search at the largest measured size with "
            f"an agreement ({measure}) of at least {least:g}."
        )
    words = [
        f"{registry.family_title(one.family)} {_from(one.size or 0, min(one.speedup))}"
        for one in sorted(found, key=lambda one: one.size or 0)
    ]
    return f"Faster than exact search on this machine: {', '.join(words)} vectors on."


def _from(size: float, smallest: int) -> str:
    """From which size on; the smallest that was measured may not be where it begins."""
    return f"from {smallest:,} or fewer" if size <= smallest else f"from about {_round(size)}"


def _round(size: float) -> str:
    """To two digits: 12,345 becomes 12,000."""
    unit = 10 ** max(0, int(math.log10(size)) - 1)
    return f"{round(size / unit) * unit:,}"


def _title(measure: object) -> str:
    title, unit = getattr(measure, "title", ""), getattr(measure, "unit", "")
    words = f"{title[:1].upper()}{title[1:]}"
    return f"{words} ({unit})" if unit else words


def _range(values: Sequence[float], log: bool) -> list[float] | None:
    """Axis ends with a little room; logarithms on a logarithmic axis, as Plotly wants them."""
    known = [value for value in values if math.isfinite(value) and (value > 0 or not log)]
    if not known:
        return None
    low, high = (
        (math.log10(min(known)), math.log10(max(known))) if log else (min(known), max(known))
    )
    room = 0.06 * (high - low) or (0.3 if log else 0.05)
    return [low - room, high + room]


def _legend_below(made: go.Figure) -> None:
    """Many kinds take two lines, which would run into the buttons above the chart."""
    made.update_layout(legend={"y": -0.2, "yanchor": "top"})


def _label_simulated(made: go.Figure, simulated: bool) -> None:
    """Say it in the picture, too: a saved one has no page around it."""
    if simulated:
        made.add_annotation(
            text="with simulated distractors",
            xref="paper",
            yref="paper",
            x=0.995,
            y=0.01,
            showarrow=False,
            xanchor="right",
            yanchor="bottom",
            font={"size": 12, "color": plots.GREY},
        )
