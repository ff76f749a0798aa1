"""Inside PQ: what a code keeps of a vector, and how distances are looked up in a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from plotly.subplots import make_subplots

from pages.parts import backend, plots
from pages.parts.inside_data import Case, Opened, explain, names, percent, photo, strip

if TYPE_CHECKING:
    from indexing.inside.pq import PqView

_PARTS = 64  # of a code that are drawn at a time
_NUMBERS = 64  # of a vector in the picture of its reconstruction
_DOTS = 4_000  # photos in the scatter
_CANDIDATES = 30  # photos to choose from


def draw(case: Case, opened: Opened) -> None:
    """Table, reconstruction and what the approximation costs."""
    from indexing.inside import pq

    view = _look(opened.version, case.key, case, opened)
    explain(
        "The query's vector is cut into *m* parts, and the distance of each part to every codeword "
        "is written into a table once (darker: farther). A photo is stored as one codeword per "
        "part, so its distance is the sum of *m* entries: the lit cells.",
        r"\hat d^2(q, x) = \sum_{i=1}^{m} T_{i,\,c_i(x)},\qquad "
        r"T_{i,j} = \lVert q^{(i)} - \mu_{i,j} \rVert^2",
    )
    ranked = view.ranked()[:_CANDIDATES]
    choice, beside = st.columns([5, 8], gap="medium", vertical_alignment="center")
    rank = choice.selectbox(
        "Photo whose code is shown",
        range(len(ranked)),
        format_func=lambda one: _line(case, opened, view, int(ranked[one]), one),
        key=f"in_pq_photo-{opened.version[:12]}",
    )
    row = int(ranked[rank])
    found, distances = opened.built.search(case.vector[None], len(ranked))[0]
    told = float(distances[np.flatnonzero(found == row)[0]]) if row in found else None
    error = pq.error(view, row, opened.matrix[row])
    length = float((np.asarray(opened.matrix[row], np.float64) ** 2).sum())
    figures = beside.container(horizontal=True, gap="medium")
    figures.metric("Sum of its cells", f"{view.terms(row).sum():.4f}")
    figures.metric("By FAISS", "–" if told is None else f"{told:.4f}")
    figures.metric("Exact", f"{view.exact[row]:.4f}")
    figures.metric(
        "Bytes per vector",
        f"{4 * len(view.query):,} → {view.code_bytes}",
        f"{view.compression:.0f} : 1",
        delta_color="off",
        delta_arrow="off",
    )
    first = _first_part(opened, view)
    _table(case, view, row, first)
    left, right = st.columns(2, gap="large")
    with left:
        _reconstruction(case, opened, view, row, first, float(error.sum()) / (length or 1.0))
    with right:
        _estimates(case, opened, view)
    st.markdown(f"**The {min(case.k, len(ranked))} nearest by their codes**")
    shown = ranked[: case.k]
    words = [f"{view.estimates[one]:.3f}, exact {view.exact[one]:.3f}" for one in shown]
    strip(case, opened.photos(shown), words, "in_pq_top")


@st.cache_resource(max_entries=32, show_spinner="Reading the index …")
def _look(version: str, key: str, _case: Case, _opened: Opened) -> PqView:
    from indexing.inside import pq

    del version, key  # only parts of the cache's key
    return pq.look(_opened.built, _opened.matrix, _case.vector)


def _line(case: Case, opened: Opened, view: PqView, row: int, rank: int) -> str:
    one = photo(case, int(opened.photos(np.array([row]))[0]))
    name = backend.caption(case.collection, one)
    return f"rank {rank + 1}: {name} ({one.id}), {view.estimates[row]:.3f}"


def _first_part(opened: Opened, view: PqView) -> int:
    """The first part that is drawn, from 0; a long code is seen through a window."""
    if view.m <= _PARTS:
        return 0
    last = view.m - _PARTS + 1
    key = f"in_pq_part-{opened.version[:12]}"
    start = st.slider(f"From part (of {view.m}; the sum is over all)", 1, last, key=key, width=420)
    return int(start) - 1


def _table(case: Case, view: PqView, row: int, first: int) -> None:
    """The query's table with the photo's entries lit, and the entries as bars below."""
    m, ksub = view.table.shape
    parts, code, terms = np.arange(1, m + 1), view.codes[row], view.terms(row)
    seen = slice(first, first + _PARTS)
    made = make_subplots(
        rows=2, cols=1, shared_xaxes=True, row_heights=[0.66, 0.34], vertical_spacing=0.05
    )
    made.add_trace(
        go.Heatmap(
            z=view.table[seen].T,
            x=parts[seen],
            y=np.arange(ksub),
            colorscale=[list(stop) for stop in plots.BLUES],
            showscale=False,
            hovertemplate="part %{x}, codeword %{y}: %{z:.4f}<extra></extra>",
        ),
        row=1,
        col=1,
    )
    made.add_trace(
        go.Scatter(
            x=parts[seen],
            y=code[seen],
            mode="markers",
            name="the photo's code",
            marker={
                "symbol": "square",
                "size": 9 if ksub <= 32 else 6,
                "color": plots.SECOND,
                "line": {"width": 1, "color": "#ffffff"},
            },
            customdata=terms[seen],
            hovertemplate="part %{x}: codeword %{y}, T = %{customdata:.4f}<extra></extra>",
        ),
        row=1,
        col=1,
    )
    made.add_trace(
        go.Bar(
            x=parts[seen],
            y=terms[seen],
            name="its entries, which are added up",
            marker={"color": plots.SECOND, "line": {"width": 0}},
            hovertemplate="part %{x}: %{y:.4f}<extra></extra>",
        ),
        row=2,
        col=1,
    )
    plots.figure(made=made, height=470)
    made.update_yaxes(title_text="Codeword", row=1, col=1)
    made.update_yaxes(title_text="Entry", row=2, col=1)
    made.update_xaxes(title_text=f"Part (of {m})", row=2, col=1)
    made.update_xaxes(range=[first + 0.4, min(m, first + _PARTS) + 0.6])
    frame = pd.DataFrame(
        {
            "part": parts,
            "codeword": code,
            "entry": terms,
            "nearest_codeword_of_query": view.table.argmin(axis=1),
            **{f"T_{j}": view.table[:, j] for j in range(ksub)},
        }
    )
    plots.figure_with_downloads(
        made, frame, f"{case.name}-pq-table", key="in_pq_table", alt="The query's distance table"
    )


def _reconstruction(
    case: Case, opened: Opened, view: PqView, row: int, first: int, relative: float
) -> None:
    """The photo's numbers and those of its codewords, part by part."""
    d, wide = len(view.query), len(view.query) // view.m
    per_page = max(1, _NUMBERS // wide)
    begin, end = first * wide, min(d, (first + per_page) * wide)
    numbers = np.arange(begin + 1, end + 1)
    vector, kept = np.asarray(opened.matrix[row]), view.reconstruct(row)
    made = plots.figure(f"Number of the vector (of {d:,})", "Value", height=400)
    for values, name, colour in (
        (vector, "the photo's vector", plots.GREY),
        (kept, "its codewords", plots.SECOND),
        (view.query, "the query", plots.ACCENT),
    ):
        made.add_trace(
            go.Scatter(
                x=numbers,
                y=values[begin:end],
                name=name,
                mode="lines+markers",
                visible="legendonly" if values is view.query else True,
                line={"color": colour, "width": 2.5, "shape": "hvh"},
                marker={"size": 3},
                hovertemplate="%{x}: %{y:.4f}<extra></extra>",
            )
        )
    for edge in range(begin + wide, end, wide):
        made.add_vline(edge + 0.5, line={"color": plots.GREY, "width": 1, "dash": "dot"})
    frame = pd.DataFrame(
        {
            "number": np.arange(1, d + 1),
            "part": np.repeat(np.arange(1, view.m + 1), wide),
            "codeword": np.repeat(view.codes[row], wide),
            "photo": vector,
            "reconstructed": kept,
            "query": view.query,
        }
    )
    plots.figure_with_downloads(
        made, frame, f"{case.name}-pq-vector", key="in_pq_vector", alt="Vector and reconstruction"
    )
    st.caption(
        f"Parts {first + 1} to {min(view.m, first + per_page)} of {view.m}, {wide} numbers each. "
        f"The codewords lose {percent(relative)} of the vector's squared length: "
        f"‖x − x̂‖² / ‖x‖² over all parts."
    )


def _estimates(case: Case, opened: Opened, view: PqView) -> None:
    """Estimated over exact distances."""
    shown = np.arange(len(view.exact))
    nearest = np.argsort(view.exact, kind="stable")[: case.k]
    if len(shown) > _DOTS:
        even = np.linspace(0, len(shown) - 1, _DOTS).astype(int)
        shown = np.union1d(np.argsort(view.exact, kind="stable")[even], nearest)
    made = plots.figure("Exact squared L2", "By the codes", height=400)
    low = float(min(view.exact[shown].min(), view.estimates[shown].min()))
    high = float(max(view.exact[shown].max(), view.estimates[shown].max()))
    made.add_trace(
        go.Scatter(
            x=[low, high],
            y=[low, high],
            mode="lines",
            name="equal",
            line={"color": plots.GREY, "dash": "dash"},
            hoverinfo="skip",
        )
    )
    true = np.isin(shown, nearest)
    hover = names(case, opened.photos(shown))
    for name, mask, colour in (("photo", ~true, plots.GREY), ("true neighbour", true, plots.GOOD)):
        made.add_trace(
            go.Scatter(
                x=view.exact[shown][mask],
                y=view.estimates[shown][mask],
                mode="markers",
                name=name,
                marker={"color": colour, "size": 7},
                text=[text for text, keep in zip(hover, mask, strict=True) if keep],
                hovertemplate="%{text}<br>exact %{x:.4f}, by codes %{y:.4f}<extra></extra>",
            )
        )
    frame = pd.DataFrame(
        {
            "photo": [case.collection.photos[int(one)].id for one in opened.photos(shown)],
            "exact_squared_l2": view.exact[shown],
            "estimated_squared_l2": view.estimates[shown],
            "true_neighbour": true,
        }
    )
    plots.figure_with_downloads(
        made, frame, f"{case.name}-pq-distances", key="in_pq_scatter", alt="Estimated over exact"
    )
    found = view.ranked()[: case.k]
    st.caption(
        f"Only the order counts. Of the {len(nearest)} true neighbours "
        f"{int(np.isin(nearest, found).sum())} are among the {len(found)} nearest by their codes."
    )
