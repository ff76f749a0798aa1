"""Inside LSH: the bits of query and candidates, and what their differences tell of the angle."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from pages.parts import plots
from pages.parts.inside_data import Case, Opened, explain, names, percent, strip

if TYPE_CHECKING:
    from indexing.base import Ints
    from indexing.inside.lsh import LshView, OtherBits

_BITS = 256  # of a code that are drawn
_ROWS = 10  # candidates that are drawn
_DOTS = 4_000  # photos in the scatter
_SAME_0, _SAME_1, _DIFFERS = 0, 1, 2
_SCALE = [
    [0.0, "#e4e8f1"],
    [0.333, "#e4e8f1"],
    [0.333, "#8fa0bd"],
    [0.667, "#8fa0bd"],
    [0.667, plots.SECOND],
    [1.0, plots.SECOND],
]


def draw(case: Case, opened: Opened) -> None:
    """Bits, Hamming distance against angle, and other numbers of bits."""
    view = _look(opened.version, case.key, case.k, case, opened)
    explain(
        "Each bit says on which side of a random hyperplane a vector lies; the search only counts "
        "the bits that differ from the query's (orange). The wider the angle between two vectors, "
        "the more hyperplanes fall between them.",
        r"\Pr[h_i(q) \neq h_i(x)] = \frac{\theta(q, x)}{\pi},\qquad "
        r"\mathbb{E}[\mathrm{Hamming}] = nbits \cdot \frac{\theta}{\pi}",
    )
    _bits(case, opened, view)
    found = view.order[: len(view.neighbours)]
    share = np.isin(found, view.neighbours).mean()
    left, right = st.columns(2, gap="large")
    with left:
        _scatter(case, opened, view)
    with right:
        _more_bits(case, opened, view.nbits)
    st.markdown(
        f"**The {len(found)} nearest by their bits**: {percent(float(share))} of them are true "
        f"neighbours (✓)"
    )
    true = np.isin(found, view.neighbours)
    words = [
        f"{'✓' if right else '✗'} {view.hamming[row]} bits"
        for row, right in zip(found, true, strict=True)
    ]
    strip(case, opened.photos(found), words, "in_lsh_top")


@st.cache_resource(max_entries=64, show_spinner="Reading the index …")
def _look(version: str, key: str, k: int, _case: Case, _opened: Opened) -> LshView:
    from indexing.inside import lsh

    del version, key  # only parts of the cache's key
    return lsh.look(_opened.built, _opened.matrix, _case.vector, k)


def _bits(case: Case, opened: Opened, view: LshView) -> None:
    """A row of cells per photo: the nearest by Hamming distance, and one far away."""
    rows = np.append(view.order[:_ROWS], view.order[-1]) if len(view.order) > _ROWS else view.order
    bits = view.bits(rows)[:, :_BITS]
    mine = view.query_bits[:_BITS]
    cells = np.where(bits == mine, bits.astype(int), _DIFFERS)
    listed = names(case, opened.photos(rows))
    ticks = [f"{view.hamming[row]} differ" for row in rows]
    ticks = [f"{tick} · rank {rank}" for rank, tick in enumerate(ticks, 1)]
    if len(view.order) > _ROWS:
        ticks[-1] = f"{view.hamming[rows[-1]]} differ · last"
    made = plots.figure(f"Bit (the first {bits.shape[1]} of {view.nbits})", height=360)
    shown = np.vstack([mine.astype(int), cells])
    made.add_trace(
        go.Heatmap(
            z=shown,
            y=["query", *ticks],
            x=np.arange(shown.shape[1]),
            colorscale=_SCALE,
            zmin=0,
            zmax=2,
            showscale=False,
            ygap=3,
            customdata=np.repeat(
                np.array([["the query", *listed]], dtype=object).T, shown.shape[1], axis=1
            ),
            hovertemplate="%{customdata}<br>bit %{x}<extra></extra>",
        )
    )
    for name, colour in (("0", "#e4e8f1"), ("1", "#8fa0bd"), ("differs", plots.SECOND)):
        made.add_trace(
            go.Scatter(
                x=[None],
                y=[None],
                mode="markers",
                name=name,
                marker={"symbol": "square", "size": 11, "color": colour},
            )
        )
    made.update_yaxes(autorange="reversed", showgrid=False)
    made.update_xaxes(showgrid=False, range=[-0.5, shown.shape[1] - 0.5])
    frame = pd.DataFrame(
        {
            "photo": ["query"]
            + [case.collection.photos[int(one)].id for one in opened.photos(rows)],
            "hamming": [0, *view.hamming[rows]],
            "bits": [
                "".join("01"[bit] for bit in line)
                for line in np.vstack([view.query_bits, view.bits(rows)]).astype(int)
            ],
        }
    )
    plots.figure_with_downloads(
        made, frame, f"{case.name}-lsh-bits", key="in_lsh_bits", alt="Bits of query and candidates"
    )


def _scatter(case: Case, opened: Opened, view: LshView) -> None:
    """Hamming distance over the true angle, with the line of theory."""
    from indexing.inside import lsh

    shown = np.arange(len(view.hamming))
    if len(shown) > _DOTS:  # the nearest, and an even share of the others
        even = np.linspace(0, len(shown) - 1, _DOTS).astype(int)
        shown = np.union1d(view.order[even], view.neighbours)
    angles = view.angles[shown]
    degrees = np.degrees(angles)
    made = plots.figure("True angle to the query (degrees)", "Differing bits", height=400)
    line = np.linspace(0, max(float(angles.max()), 0.1), 100)
    expected, wide = lsh.expected_hamming(line, view.nbits), 2 * lsh.deviation(line, view.nbits)
    across = np.degrees(line)
    made.add_trace(
        go.Scatter(
            x=np.concatenate([across, across[::-1]]),
            y=np.concatenate([expected + wide, (expected - wide)[::-1]]),
            fill="toself",
            mode="lines",
            line={"width": 0},
            fillcolor="rgba(59,111,224,0.13)",
            name="theory ± 2σ",
            hoverinfo="skip",
        )
    )
    made.add_trace(
        go.Scatter(
            x=across,
            y=expected,
            mode="lines",
            name="nbits · θ / π",
            line={"color": plots.ACCENT, "width": 2},
            hoverinfo="skip",
        )
    )
    true = np.isin(shown, view.neighbours)
    hover = names(case, opened.photos(shown))
    for name, mask, colour in (
        ("photo", ~true, plots.GREY),
        ("true neighbour", true, plots.GOOD),
    ):
        made.add_trace(
            go.Scatter(
                x=degrees[mask],
                y=view.hamming[shown][mask],
                mode="markers",
                name=name,
                marker={"color": colour, "size": 7},
                text=[text for text, keep in zip(hover, mask, strict=True) if keep],
                hovertemplate="%{text}<br>%{x:.1f}°, %{y} bits<extra></extra>",
            )
        )
    _cut(made, view.hamming[view.order[: len(view.neighbours)]])
    frame = pd.DataFrame(
        {
            "photo": [case.collection.photos[int(one)].id for one in opened.photos(shown)],
            "angle_degrees": degrees,
            "hamming_bits": view.hamming[shown],
            "expected_bits": lsh.expected_hamming(angles, view.nbits),
            "true_neighbour": true,
        }
    )
    plots.figure_with_downloads(
        made, frame, f"{case.name}-lsh-angles", key="in_lsh_angles", alt="Hamming over angle"
    )
    st.caption(
        "Dots below the dashed line are the answer. A neighbour above it was lost by chance: dots "
        "scatter around the line, and more bits hold them closer to it."
    )


def _cut(made: go.Figure, distances: Ints) -> None:
    """Where the K nearest by bits end."""
    made.add_hline(float(distances.max()) + 0.5, line={"color": plots.SECOND, "dash": "dash"})


def _more_bits(case: Case, opened: Opened, nbits: int) -> None:
    """The same query on small indexes with other numbers of bits."""
    from indexing.inside import lsh

    other = _rebuilt(case.vectors.version, opened)
    points = lsh.compare_bits(other, opened.matrix, case.vector, case.k)
    frame = pd.DataFrame(
        {
            "nbits": [point.nbits for point in points],
            "bytes_per_vector": [point.bytes_per_vector for point in points],
            "recall": [point.recall for point in points],
            "angle_error_degrees": [point.spread for point in points],
        }
    )
    made = plots.figure("Bits per photo", "Agrees with exact", height=400, log_x=True)
    made.add_trace(
        go.Scatter(
            x=frame["nbits"],
            y=frame["recall"],
            name=f"agrees with exact (recall@{case.k})",
            mode="lines+markers",
            line={"color": plots.GOOD, "width": 2.5},
            hovertemplate="%{x} bits: agrees with exact %{y:.2f}<extra></extra>",
        )
    )
    made.add_trace(
        go.Scatter(
            x=frame["nbits"],
            y=frame["angle_error_degrees"],
            yaxis="y2",
            name="error of the angle (degrees)",
            mode="lines+markers",
            line={"color": plots.SECOND, "width": 2.5},
            hovertemplate="%{x} bits: %{y:.1f}°<extra></extra>",
        )
    )
    made.add_vline(nbits, line={"color": plots.ACCENT, "width": 2, "dash": "dot"})
    made.update_xaxes(tickvals=frame["nbits"], ticktext=[str(one) for one in frame["nbits"]])
    made.update_yaxes(range=[-0.03, 1.05])
    made.update_layout(
        yaxis2={
            "overlaying": "y",
            "side": "right",
            "rangemode": "tozero",
            "tickmode": "auto",
            "nticks": 6,
            "title": {"text": "Error (degrees)"},
            "showgrid": False,
            "automargin": True,
        },
    )
    plots.figure_with_downloads(
        made,
        frame,
        f"{case.name}-lsh-bits-recall",
        key="in_lsh_more",
        alt="Agreement with exact search over bits",
    )
    of = "all" if len(other.rows) == len(opened.matrix) else f"{len(other.rows):,} drawn"
    st.caption(
        f"Built for this picture over {of} vectors of the collection. Four times the bits halve "
        f"the error; the dotted line is the index that searches use."
    )


def _rebuilt(version: str, opened: Opened) -> OtherBits:
    return _rebuild(version, len(opened.matrix), opened)


@st.cache_resource(max_entries=4, show_spinner="Building indexes with other numbers of bits …")
def _rebuild(version: str, n: int, _opened: Opened) -> OtherBits:
    from indexing.inside import lsh

    del version, n  # only parts of the cache's key
    return lsh.rebuild(_opened.matrix, lsh.TRIED_BITS)
