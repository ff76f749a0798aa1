"""Inside IVF: the cells on a map, which of them a query visits, and what lies outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.parts import inside_play, plots
from pages.parts.inside_data import (
    Case,
    Opened,
    appearing,
    explain,
    names,
    pca,
    percent,
    ranked,
    strip,
)
from pages.parts.text import photos

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from indexing.base import Floats
    from indexing.inside.ivf import IvfView, Probe

_OUTLINED = 40  # cells whose outline is drawn; with more only the visited ones get theirs


def draw(case: Case, opened: Opened) -> None:
    """Map, slider and curve; the slider goes with the search, the index stays as it is."""
    view, points = _look(opened.version, case.key, case.k, case, opened)
    explain(
        "The dots are photos, the squares the centres of the index's cells; a search compares the "
        "query with the photos in the *nprobe* nearest cells only (coloured). True neighbours "
        "outside them (red rings) are missed.",
        r"\mathcal{C}(q) = \bigcup_{c\, \in\, \mathrm{NN}_{nprobe}(q)} \{x : "
        r"c = \arg\min_{c'} \lVert x - \mu_{c'} \rVert\}",
    )
    nlist = len(view.order)
    default = int(opened.built.plan.search["nprobe"])
    slider, figures = st.columns([5, 6], gap="medium", vertical_alignment="center")
    nprobe, key = 1, f"in_nprobe-{opened.version[:12]}"
    with slider:
        if nlist > 1:
            inside_play.controls(key, [p.nprobe for p in points], min(default, nlist), "nprobe")
            nprobe = int(st.slider("nprobe: cells visited", 1, nlist, key=key))
        else:
            st.caption("This index has one cell only, so every search visits everything.")
    needed = view.probes_needed
    found = needed <= nprobe
    _figures(figures, view, nprobe, found)
    _newest(view, nprobe)
    words = [
        f"rank {rank}: {'found' if there else f'nprobe {need}'}"
        for rank, (need, there) in enumerate(zip(needed, found, strict=True), 1)
    ]
    appearing(case, opened.photos(view.neighbours), found, words, "in_ivf_found")
    left, right = st.columns([7, 5], gap="large")
    with left:
        _map(case, opened, view, nprobe)
    with right:
        _curve(case, view, points, nprobe)
    if inside_play.is_playing(key):
        return
    if (~found).any():
        missed = view.neighbours[~found]
        st.markdown(f"**Missed at nprobe {nprobe}**: what each would need")
        words = [f"rank {1 + rank}: nprobe {needed[rank]}" for rank in np.flatnonzero(~found)]
        strip(case, opened.photos(missed), words, "in_missed")
    else:
        st.markdown(f"**The {len(view.neighbours)} nearest**: none is missed")
        positions = opened.photos(view.neighbours)
        strip(case, positions, ranked(positions, view.neighbour_distances, ".3f"), "in_missed")


@st.cache_resource(max_entries=64, show_spinner="Reading the index …")
def _look(
    version: str, key: str, k: int, _case: Case, _opened: Opened
) -> tuple[IvfView, list[Probe]]:
    from indexing.inside import ivf

    del version, key  # only parts of the cache's key
    view = ivf.look(_opened.built, _opened.matrix, _case.vector, k)
    return view, ivf.curve(_opened.built, view, _case.vector)


def _figures(place: DeltaGenerator, view: IvfView, nprobe: int, found: NDArray[np.bool_]) -> None:
    scanned, total = view.scanned(nprobe), len(view.cells)
    row = place.container(horizontal=True, gap="medium")
    row.metric(
        "Agrees with exact", f"{found.mean():.2f}", help=f"Recall@{len(found)} of this query"
    )
    row.metric("Photos compared", f"{scanned:,} of {total:,}")
    row.metric("That is", percent(scanned / total))


def _newest(view: IvfView, nprobe: int) -> None:
    """What the last visited cell brought."""
    cell = view.order[nprobe - 1]
    brought = int((view.probes_needed == nprobe).sum())
    st.caption(
        f"Cell {nprobe} of {len(view.order)} on the way: {photos(int(view.sizes[cell]))}, "
        f"{brought or 'none'} of them among the {len(view.neighbours)} true neighbours. All cells "
        f"so far hold {int((view.probes_needed <= nprobe).sum())} of them."
    )


def _map(case: Case, opened: Opened, view: IvfView, nprobe: int) -> None:
    from indexing.embedding import linear

    fitted = pca(case)
    here = np.arange(len(view.cells)) if opened.rows is None else opened.rows
    shown = np.flatnonzero(np.isin(here, fitted.rows))  # a large collection is sampled
    shown = np.union1d(shown, view.neighbours)
    places = linear(fitted, opened.matrix[shown])
    centres = linear(fitted, view.centroids)
    query = linear(fitted, case.vector[None])[0]
    rank = np.empty(len(view.order), np.int64)
    rank[view.order] = np.arange(len(view.order))
    made = plots.figure(height=470)
    explained = fitted.explained if fitted.explained is not None else np.zeros(2)
    made.update_xaxes(title_text=f"PCA axis 1 ({percent(float(explained[0]))} of the variance)")
    made.update_yaxes(title_text=f"PCA axis 2 ({percent(float(explained[1]))})")
    cells = view.cells[shown]
    outlined = view.order if len(view.order) <= _OUTLINED else view.order[:nprobe]
    for cell in outlined[::-1]:
        _outline(made, places[cells == cell], _colour(int(rank[cell]), nprobe))
    hover = names(case, opened.photos(shown))
    lit = rank[cells] < nprobe
    made.add_trace(_dots(places, ~lit, cells, hover, "not compared", plots.GREY))
    shades = [_colour(int(rank[cell]), nprobe) for cell in cells[lit]]
    made.add_trace(_dots(places, lit, cells, hover, "compared", shades))
    for probe in view.order[:nprobe]:
        made.add_trace(_line(query, centres[probe]))
    made.add_trace(
        go.Scatter(
            x=centres[:, 0],
            y=centres[:, 1],
            mode="markers+text" if len(centres) <= _OUTLINED else "markers",
            name="centre",
            text=[str(one + 1) for one in rank],
            textposition="top center",
            marker={
                "symbol": "square",
                "size": 10,
                "color": [_colour(int(one), nprobe) for one in rank],
                "line": {"width": 1.5, "color": plots.ink()},
            },
            hovertemplate="visited as number %{text}<extra></extra>",
        )
    )
    place_of = np.searchsorted(shown, view.neighbours)
    inside = view.probes_needed <= nprobe
    for name, mask, colour in (
        ("neighbour", inside, plots.GOOD),
        ("missed", ~inside, plots.BAD),
    ):
        made.add_trace(_rings(places[place_of[mask]], name, colour))
    made.add_trace(_star(query))
    frame = pd.DataFrame(
        {
            "photo": [case.collection.photos[int(one)].id for one in opened.photos(shown)],
            "cell": cells,
            "cell_visited_as": rank[cells] + 1,
            "compared": lit,
            "true_neighbour": np.isin(shown, view.neighbours),
            "pca_1": places[:, 0],
            "pca_2": places[:, 1],
        }
    )
    plots.figure_with_downloads(
        made, frame, f"{case.name}-ivf-map", key="in_ivf_map", alt="Cells of the index on a map"
    )
    st.caption(
        f"The cells live in {case.vector.shape[0]:,} dimensions. A flat map keeps a part of the "
        f"distances only, so outlines (the hull of each cell's photos) overlap here and are no "
        f"true borders."
    )


def _colour(rank: int, nprobe: int) -> str:
    """Visited cells have a colour each, the others are grey."""
    wheel = (*plots.COLOURS[:2], plots.COLOURS[3], *plots.COLOURS[5:7])  # no green, no red
    return wheel[rank % len(wheel)] if rank < nprobe else plots.GREY


def _outline(made: go.Figure, places: Floats, colour: str) -> None:
    """The convex hull of a cell's photos."""
    from scipy.spatial import ConvexHull, QhullError

    if len(places) < 3:
        return
    try:
        corners = places[ConvexHull(places.astype(np.float64)).vertices]
    except QhullError:  # all on one line
        return
    ring = np.vstack([corners, corners[:1]])
    made.add_trace(
        go.Scatter(
            x=ring[:, 0],
            y=ring[:, 1],
            mode="lines",
            fill="toself",
            fillcolor=_faint(colour),
            line={"color": colour, "width": 1},
            hoverinfo="skip",
            showlegend=False,
        )
    )


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.08)"


def _dots(
    places: Floats,
    mask: NDArray[np.bool_],
    cells: NDArray[np.int64],
    hover: list[str],
    name: str,
    colour: str | list[str],
) -> go.Scatter:
    return go.Scatter(
        x=places[mask, 0],
        y=places[mask, 1],
        mode="markers",
        name=name,
        marker={"size": 6, "color": colour, "opacity": 0.85},
        text=[text for text, keep in zip(hover, mask, strict=True) if keep],
        customdata=cells[mask],
        hovertemplate="%{text}<br>cell %{customdata}<extra></extra>",
    )


def _line(start: Floats, end: Floats) -> go.Scatter:
    return go.Scatter(
        x=[start[0], end[0]],
        y=[start[1], end[1]],
        mode="lines",
        line={"color": plots.GREY, "width": 1, "dash": "dot"},
        hoverinfo="skip",
        showlegend=False,
    )


def _rings(places: Floats, name: str, colour: str) -> go.Scatter:
    return go.Scatter(
        x=places[:, 0],
        y=places[:, 1],
        mode="markers",
        name=name,
        marker={
            "symbol": "circle-open",
            "size": 13,
            "color": colour,
            "line": {"width": 2.5, "color": colour},
        },
        hoverinfo="skip",
    )


def _star(query: Floats) -> go.Scatter:
    return go.Scatter(
        x=[query[0]],
        y=[query[1]],
        mode="markers",
        name="query",
        marker={
            "symbol": "star",
            "size": 18,
            "color": "#ffd23f",
            "line": {"width": 1.5, "color": "#1c2333"},
        },
        hovertemplate="the query<extra></extra>",
    )


def _curve(case: Case, view: IvfView, points: list[Probe], nprobe: int) -> None:
    total = len(view.cells)
    frame = pd.DataFrame(
        {
            "nprobe": [point.nprobe for point in points],
            "recall": [point.recall for point in points],
            "share_compared": [point.scanned / total for point in points],
        }
    )
    made = plots.figure("nprobe: cells visited", "Share", height=470)
    for column, name, colour in (
        ("recall", f"agrees with exact (recall@{len(view.neighbours)})", plots.GOOD),
        ("share_compared", "compared", plots.SECOND),
    ):
        made.add_trace(
            go.Scatter(
                x=frame["nprobe"],
                y=frame[column],
                name=name,
                mode="lines+markers",
                line={"color": colour, "width": 2.5},
                hovertemplate="nprobe %{x}: %{y:.2f}<extra></extra>",
            )
        )
    made.add_vline(nprobe, line={"color": plots.ACCENT, "width": 2, "dash": "dot"})
    made.update_yaxes(range=[-0.03, 1.05])
    plots.figure_with_downloads(
        made,
        frame,
        f"{case.name}-ivf-nprobe",
        key="in_ivf_curve",
        alt="Agreement with exact search over nprobe",
    )
    st.caption("Every point is a search of the real index with that nprobe.")
