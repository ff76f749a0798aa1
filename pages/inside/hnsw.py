"""Inside HNSW: the path of a search through the layers of the graph."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from pages.parts import inside_play, plots
from pages.parts.inside_data import (
    Case,
    appearing,
    explain,
    names,
    pca,
    percent,
    spread,
    strip,
)
from pages.parts.state import seed

if TYPE_CHECKING:
    from indexing.base import Floats, Ints
    from indexing.inside.hnsw import Graph, Path

_LINKS = (4, 8, 16, 32)
_EF = 16  # efSearch at first
_EFS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
_PLAYED = {"ef": "efSearch, small to large", "walk": "one search, step by step"}
_DOTS = 3_000  # nodes drawn on a layer
_LEAN, _FLAT, _RISE = 0.30, 0.55, 0.85  # how a layer lies in the picture, and their distance


def draw(case: Case) -> None:
    """Build the graph once, then replay the query's search through it."""
    from indexing.inside import hnsw

    explain(
        "Each sheet is a layer of the graph: few photos on top, all of them at the bottom. The "
        "search enters at the top, walks to whichever linked photo is nearer until none is, goes "
        "down a layer, and keeps the *efSearch* best candidates at the bottom.",
    )
    left, right = st.columns(2, gap="large")
    with left:
        m = int(
            st.select_slider(
                "M: links per photo", _LINKS, 8, key="in_hnsw_m", help="Twice as many below"
            )
        )
    with right:
        played = st.segmented_control(
            "Play",
            list(_PLAYED),
            default="ef",
            format_func=_PLAYED.__getitem__,
            key="in_hnsw_played",
            required=True,
        )
    graph = _graph(case.vectors.version, m, case)
    truth = _exact(graph, case)
    with right:
        seed("in_hnsw_ef", _EF)
        if played == "ef":
            inside_play.controls("in_hnsw_ef", _EFS, _EF, "efSearch")
        ef = int(st.slider("efSearch: candidates kept", *hnsw.EF, key="in_hnsw_ef"))
    whole = path = hnsw.replay(graph, case.vector, case.k, ef)
    playing = "in_hnsw_ef"
    if played == "walk":
        playing = f"in_hnsw_step-{case.key}-{m}-{ef}"
        with left:
            path = _walked(case, graph, whole, playing)
    share = float(np.isin(truth, path.found).mean())
    figures = st.container(horizontal=True, gap="medium")
    figures.metric("Agrees with exact", f"{share:.2f}", help=f"Recall@{len(truth)} of this query")
    figures.metric(
        "Distances computed",
        f"{path.computed:,} of {len(graph.rows):,}",
        percent(path.computed / len(graph.rows)),
        delta_color="off",
        delta_arrow="off",
    )
    figures.metric("Photos walked over", len(path.steps))
    figures.metric("Layers", graph.layers)
    there = np.isin(truth, path.found)
    words = [f"rank {rank}: {'found' if one else 'not yet'}" for rank, one in enumerate(there, 1)]
    appearing(case, graph.rows[truth], there, words, "in_hnsw_found")
    _layers(case, graph, path, truth)
    if inside_play.is_playing(playing) or path is not whole:
        return
    missed = truth[~np.isin(truth, path.found)]
    if len(missed):
        st.markdown("**True neighbours that this search missed**")
        words = [f"rank {1 + int(np.flatnonzero(truth == one)[0])}" for one in missed]
        strip(case, graph.rows[missed], words, "in_hnsw_strip")
    else:
        st.markdown(f"**The {len(path.found)} nearest**: none is missed")
        words = [f"{1 + i}: {value:.3f}" for i, value in enumerate(path.distances)]
        strip(case, graph.rows[path.found], words, "in_hnsw_strip")
    st.caption(
        f"The graph is built by FAISS for this page (IndexHNSWFlat, M = {m}, efConstruction = "
        f"{hnsw.EF_CONSTRUCTION}) over {len(graph.rows):,} vectors; its search is replayed step by "
        f"step on FAISS's own links, and ends where FAISS ends. To search with such an index, "
        f"build factory:HNSW{m}."
    )


def _walked(case: Case, graph: Graph, path: Path, key: str) -> Path:
    """The search as far as the slider says; what it knows then are the nearest photos it met."""
    count = len(path.steps)
    if count < 2:
        return path
    inside_play.controls(key, range(1, count + 1), count, "the walk")
    done = int(st.slider("Steps of the walk", 1, count, key=key))
    step = path.steps[done - 1]
    where = f"layer {step.layer}" if step.layer else "the bottom layer"
    st.caption(
        f"Step {done} of {count}, on {where}: stands at a photo at the squared distance "
        f"{step.distance:.3f}, and asks {len(step.compared)} linked photos for theirs."
    )
    return path if done == count else so_far(graph, path, case.vector, done, case.k)


def so_far(graph: Graph, path: Path, query: Floats, done: int, k: int) -> Path:
    """The first steps of a search, with the k nearest of the photos met until then."""
    from indexing.inside.common import nearest, squared_distances

    steps = path.steps[:done]
    met = [np.array([step.node for step in steps], np.int64), *(step.compared for step in steps)]
    known = np.unique(np.concatenate(met))
    distances = squared_distances(query, graph.vectors[known])
    best = nearest(distances, k)
    computed = 1 + sum(len(step.compared) for step in steps)
    return dataclasses.replace(
        path, steps=steps, found=known[best], distances=distances[best], computed=computed
    )


@st.cache_resource(max_entries=8, show_spinner="Building the graph …")
def _graph(version: str, m: int, _case: Case) -> Graph:
    from indexing.inside import hnsw

    del version  # only part of the cache's key
    return hnsw.build(_case.vectors.vectors, m)


def _exact(graph: Graph, case: Case) -> Ints:
    from indexing.inside.common import nearest, squared_distances

    return nearest(squared_distances(case.vector, graph.vectors), case.k)


def _layers(case: Case, graph: Graph, path: Path, truth: Ints) -> None:
    from indexing.embedding import linear

    both = np.vstack([linear(pca(case), graph.vectors), linear(pca(case), case.vector[None])])
    places = spread(both)
    made = plots.figure(height=170 + 140 * graph.layers)
    made.update_xaxes(visible=False, range=[-0.16, 1.36])
    made.update_yaxes(visible=False, range=[-0.12, _RISE * (graph.layers - 1) + _FLAT + 0.1])
    steps: list[dict[str, object]] = []
    for layer in range(graph.layers):
        _sheet(made, layer, len(graph.nodes(layer)))
        _nodes(made, case, graph, path, places, layer)
    for layer in range(graph.layers - 1, -1, -1):
        _walk(made, case, graph, path, places, layer)
        steps += [
            {
                "step": number,
                "layer": layer,
                "photo": case.collection.photos[int(graph.rows[step.node])].id,
                "squared_l2": step.distance,
                "distances_computed": len(step.compared),
            }
            for number, step in enumerate(path.on(layer), len(steps) + 1)
        ]
    found = np.isin(path.found, truth)
    for name, nodes, colour in (
        ("result, a true neighbour", path.found[found], plots.GOOD),
        ("result, not a neighbour", path.found[~found], plots.BAD),
        ("neighbour, missed", truth[~np.isin(truth, path.found)], plots.BAD),
    ):
        if len(nodes):
            symbol = "x" if "missed" in name else "circle-open"
            made.add_trace(_marks(_lay(places[nodes], 0), name, colour, symbol, 13))
    query = _lay(places[-1:], 0)
    made.add_trace(_marks(query, "query", "#ffd23f", "star", 18, line="#1c2333"))
    plots.figure_with_downloads(
        made,
        pd.DataFrame(steps),
        f"{case.name}-hnsw-path",
        key="in_hnsw",
        alt="The path of the search through the layers",
        note="Places on a sheet: PCA of the vectors. The CSV has the path step by step.",
    )


def _lay(places: Floats, layer: int) -> Floats:
    """A sheet's places, 0 to 1, as seen from above at an angle."""
    x, y = places[:, 0], places[:, 1]
    return np.column_stack([x + _LEAN * y, _FLAT * y + _RISE * layer])


def _sheet(made: go.Figure, layer: int, count: int) -> None:
    edge = np.array([[-0.03, -0.05], [1.03, -0.05], [1.03, 1.05], [-0.03, 1.05], [-0.03, -0.05]])
    ring = _lay(edge, layer)
    made.add_trace(
        go.Scatter(
            x=ring[:, 0],
            y=ring[:, 1],
            mode="lines",
            fill="toself",
            fillcolor="rgba(139,148,163,0.10)",
            line={"color": plots.GREY, "width": 1},
            hoverinfo="skip",
            showlegend=False,
        )
    )
    made.add_annotation(
        x=ring[0, 0],
        y=ring[0, 1],
        text=f"layer {layer}: {count:,}",
        showarrow=False,
        xanchor="left",
        yanchor="top",
        font={"size": 12},
    )


def _nodes(
    made: go.Figure, case: Case, graph: Graph, path: Path, places: Floats, layer: int
) -> None:
    """All photos of a layer; those whose distance was computed are lit."""
    nodes = graph.nodes(layer)
    steps = path.on(layer)
    asked = [step.compared for step in steps] + [np.array([step.node for step in steps], np.int64)]
    compared = np.unique(np.concatenate(asked)) if steps else np.empty(0, np.int64)
    quiet = np.setdiff1d(nodes, compared)
    if len(quiet) > _DOTS:
        quiet = quiet[np.linspace(0, len(quiet) - 1, _DOTS).astype(int)]
    for name, chosen, colour, size in (
        ("photo", quiet, plots.GREY, 4),
        ("distance computed", compared, plots.COLOURS[5], 7),
    ):
        at = _lay(places[chosen], layer)
        made.add_trace(
            go.Scatter(
                x=at[:, 0],
                y=at[:, 1],
                mode="markers",
                name=name,
                legendgroup=name,
                showlegend=layer == 0,
                marker={"color": colour, "size": size, "opacity": 0.55 if size == 4 else 0.9},
                text=names(case, graph.rows[chosen]),
                hovertemplate="%{text}<extra></extra>",
            )
        )


def _walk(
    made: go.Figure, case: Case, graph: Graph, path: Path, places: Floats, layer: int
) -> None:
    """The path on a layer; above the last it ends with the way down."""
    steps = path.on(layer)
    if not steps:
        return
    nodes = np.array([step.node for step in steps], np.int64)
    at = _lay(places[nodes], layer)
    greedy = layer > 0
    hover = names(case, graph.rows[nodes])
    made.add_trace(
        go.Scatter(
            x=at[:, 0],
            y=at[:, 1],
            mode="lines+markers" if greedy else "markers",
            name="walked over",
            legendgroup="walked",
            showlegend=layer == 0,
            line={"color": plots.ACCENT, "width": 2.5},
            marker={"color": plots.ACCENT, "size": 9, "line": {"width": 1, "color": "#ffffff"}},
            text=[f"{text}<br>d² {s.distance:.4f}" for text, s in zip(hover, steps, strict=True)],
            hovertemplate="%{text}<extra></extra>",
        )
    )
    if greedy:
        below = _lay(places[nodes[-1:]], layer - 1)
        made.add_trace(
            go.Scatter(
                x=[at[-1, 0], below[0, 0]],
                y=[at[-1, 1], below[0, 1]],
                mode="lines",
                name="down a layer",
                legendgroup="down",
                showlegend=layer == graph.layers - 1,
                line={"color": plots.ACCENT, "width": 2, "dash": "dot"},
                hoverinfo="skip",
            )
        )


def _marks(
    at: Floats, name: str, colour: str, symbol: str, size: int, line: str | None = None
) -> go.Scatter:
    return go.Scatter(
        x=at[:, 0],
        y=at[:, 1],
        mode="markers",
        name=name,
        marker={
            "symbol": symbol,
            "size": size,
            "color": colour,
            "line": {"width": 2, "color": line or colour},
        },
        hoverinfo="skip",
    )
