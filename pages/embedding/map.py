"""The drawing of the Embedding map page, and the making of a map that takes long."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from plotly import colors

from data import permission
from pages.parts import backend, plots
from pages.parts.inside_data import Case, names, percent
from pages.parts.text import plain
from retrieval.cache import Cache

if TYPE_CHECKING:
    from data.store import Collection
    from indexing.base import Floats, Ints
    from indexing.embedding import Embedding
    from indexing.jobs import Job

HEIGHT = 560  # px
MOST_COLOURS = len(plots.COLOURS)
# For more groups than the charts' own colours; each is legible on its background.
_MANY = {"light": colors.qualitative.Dark24, "dark": colors.qualitative.Light24}
_SYMBOLS = ("circle", "diamond", "square")  # a palette that begins again has another shape
_NAMED = 3  # photos that a group needs for a name on the map
_APART = (0.11, 0.045)  # shares of the map's width and height between two names
_NUMBERED = re.compile(r"([^\d(]+?) \d+ \(")
LANDMARK, KIND = "landmark", "kind"
_LEGEND = 24  # characters of a landmark's name
EVERY = 1.5  # s between two looks at a running job
REST = "the others"
UNLABELLED = "photo"

WORDS = {
    "pca": (
        "Every dot is a photo: PCA shows the descriptors along the two directions in which they "
        "vary most. Only {share} of the variance is in these two axes, so photos that are far "
        "apart may still lie over each other."
    ),
    "umap": (
        "Every dot is a photo: UMAP arranges them so that photos with similar descriptors stay "
        "neighbours. Who is near whom means something; how far groups are apart, and how large "
        "they are, does not."
    ),
}
FORMULAS = {
    "pca": r"y = (v_1\; v_2)^{\top} (x - \mu),\quad \Sigma\, v_i = \lambda_i v_i",
    "umap": r"e^{-\max(0,\; d(x_i, x_j) - \rho_i) / \sigma_i} \;\approx\; "
    r"\left(1 + a \lVert y_i - y_j \rVert^{2b}\right)^{-1}",
}


def load(case: Case, method: str) -> Embedding | None:
    """The map; PCA is made at once where there is none, UMAP is not."""
    from indexing import embedding

    if method == "pca":
        from pages.parts.inside_data import pca

        return pca(case)
    folder = embedding.folder_of(case.collection.name, case.extractor, method)
    manifest = folder / "manifest.json"
    stamp = manifest.stat().st_mtime_ns if manifest.is_file() else 0
    return _load(case.vectors.version, method, stamp, case)


@st.cache_resource(max_entries=24, show_spinner=False)
def _load(version: str, method: str, stamp: int, _case: Case) -> Embedding | None:
    from indexing import embedding

    del version, stamp  # only parts of the cache's key
    return embedding.load(_case.collection.name, _case.extractor, method, _case.vectors)


def offer(case: Case, method: str) -> None:
    """Make a map in a process of its own, and follow it."""
    from indexing import embedding

    about = f"map:{case.collection.name}"
    found = backend.jobs(about)
    if found and found[0].state == "running":
        st.fragment(_follow, run_every=EVERY)(case, found[0].id)
        return
    mine = found and any(stage.extractor == case.extractor for stage in found[0].stages)
    if mine and found[0].state == "failed":
        st.error(f"The last map was not finished: {plain(found[0].error or 'no reason is known')}")
    title = embedding.METHODS[method]
    st.info(
        f"There is no {title} map of {backend.label(case.extractor)} yet. It is made once, in a "
        f"process of its own, and kept."
    )
    if st.button(f"Make the {title} map", type="primary", key="em_make"):
        arguments = ["--collection", case.collection.name, "--extractors", case.extractor]
        backend.start_map(case.collection.name, [*arguments, "--methods", method])
        st.rerun()


def _follow(case: Case, job_id: str) -> None:
    with backend.guard("follow the map that is being made"):
        job: Job | None = next(
            (one for one in backend.jobs(f"map:{case.collection.name}") if one.id == job_id), None
        )
        if job is None or job.state != "running":
            st.rerun(scope="app")
        what = ", ".join(backend.label(stage.extractor) for stage in job.stages)
        with st.container(border=True, key="em_strip", gap="xsmall"):
            st.markdown(f"UMAP of **{what or backend.label(case.extractor)}** is being made …")
            if job.waiting:
                st.caption(plain(job.waiting))
            st.caption("Most of the time it compiles its own code; the page can be used meanwhile.")
            if permission.allowed() and st.button("Cancel", key="em_cancel"):
                backend.cancel(job_id)


def relevant(case: Case, neighbours: Ints) -> list[str]:
    """The landmarks to colour at first: the query's own, then those of its neighbours."""
    own = case.asked.query.label
    near = [case.collection.photos[int(one)].label for one in neighbours]
    counted = [label for label, _ in Counter(one for one in near if one).most_common()]
    listed = ([own] if own in set(case.collection.labels) else []) + counted
    return list(dict.fromkeys(listed))[:MOST_COLOURS]


def group_of(case: Case, row: int, by: str) -> str | None:
    """What a photo is coloured by."""
    photo = case.collection.photos[row]
    return photo.kind if by == KIND else photo.label


def kinds(case: Case) -> list[str]:
    """The kinds of landmark in the collection, the most frequent first."""
    counted = Counter(photo.kind for photo in case.collection.photos if photo.kind)
    return [kind for kind, _ in counted.most_common()]


def titles(case: Case, groups: Sequence[str], by: str) -> dict[str, str]:
    """How groups are called."""
    if by != KIND:
        return {group: case.collection.titles.get(group, group) for group in groups}
    first = {one.kind: one.title or "" for one in reversed(case.collection.photos)}
    named = {}
    for group in groups:
        numbered = _NUMBERED.match(first.get(group, ""))  # the demo's: "Castle keep 2 (…"
        words = numbered[1] if numbered else group
        named[group] = words[:1].upper() + words[1:]
    return named


def draw(
    case: Case, fitted: Embedding, coloured: Sequence[str], neighbours: Ints, key: str, by: str
) -> list[int]:
    """The map; the positions of the photos that someone selected on it.

    Args:
        coloured: groups with a colour and a name; all else is grey.
        by: what groups are, LANDMARK or KIND.
    """
    # Plotly checks traces for longer than all else here takes. A collection's object is its state.
    points = hashlib.sha256(fitted.points.tobytes()).digest()
    about = (case.key, points, fitted.method, tuple(coloured), neighbours.tobytes(), by)
    made, frame, _ = _figures.get(
        (id(case.collection), plots.theme(), *about),
        lambda: (*_figure(case, fitted, coloured, neighbours, by), case.collection),
    )
    picked = plots.figure_with_downloads(
        made,
        frame,
        f"{case.name}-{fitted.method}",
        key=key,
        select=("points", "box", "lasso"),
        alt="The collection's photos on a map",
        note="Draw around photos, or click one: they are shown beside the map.",
    )
    return [int(one) for one in picked.custom()]


_figures: Cache[tuple[go.Figure, pd.DataFrame, Collection]] = Cache(32)


def _figure(
    case: Case, fitted: Embedding, coloured: Sequence[str], neighbours: Ints, by: str
) -> tuple[go.Figure, pd.DataFrame]:
    """The map and its values. Neither is ever changed."""
    place = _place(case, fitted)
    groups = [group_of(case, int(row), by) for row in fitted.rows]
    made = plots.figure(*_axes(fitted), height=HEIGHT, legend=len(coloured) <= MOST_COLOURS)
    made.update_layout(dragmode="lasso")
    hover = np.array(names(case, fitted.rows), dtype=object)
    known = np.array([one if one in coloured else None for one in groups], dtype=object)
    rest = np.array([one is None for one in known])
    made.add_trace(_dots(fitted, rest, hover, REST if coloured else UNLABELLED, plots.GREY, 6))
    many = len(coloured) > MOST_COLOURS
    named = {one: plots.safe(_short(title)) for one, title in titles(case, coloured, by).items()}
    palette = tuple(_MANY[plots.theme()]) if many else plots.COLOURS
    for number, group in enumerate(coloured):
        mask = known == group
        colour = palette[number % len(palette)]
        symbol = _SYMBOLS[number // len(palette) % len(_SYMBOLS)]
        made.add_trace(_dots(fitted, mask, hover, named[group], colour, 7 if many else 9, symbol))
    near = np.isin(fitted.rows, neighbours)
    made.add_trace(_rings(fitted.points[near], f"its {int(near.sum())} nearest photos"))
    made.add_trace(_star(place))
    made.update_layout(
        annotations=[
            {
                "x": x,
                "y": y,
                "text": named[group],
                "showarrow": False,
                "yshift": 13,  # above its dots
                "font": {"size": 12, "color": plots.ink()},
                "bgcolor": "rgba(255,255,255,0.72)"
                if plots.theme() == "light"
                else "rgba(14,17,23,0.72)",
                "borderpad": 2,
            }
            for group, (x, y) in named_places(fitted.points, known, coloured).items()
        ]
    )
    frame = pd.DataFrame(
        {
            "photo": [case.collection.photos[int(row)].id for row in fitted.rows],
            "landmark": [case.collection.photos[int(row)].label for row in fitted.rows],
            "kind": [case.collection.photos[int(row)].kind for row in fitted.rows],
            "x": fitted.points[:, 0],
            "y": fitted.points[:, 1],
            "nearest_to_query": near,
        }
    )
    frame.loc[len(frame)] = ["the query", case.asked.query.label, None, *place, False]
    return made, frame


def named_places(
    points: Floats, groups: Any, wanted: Sequence[str]
) -> dict[str, tuple[float, float]]:
    """Where the names of groups stand: at their densest photo, the closest groups first.

    A name that would lie on another is left out; its group keeps its colour and its legend.

    Args:
        points: (n, 2).
        groups: (n,) the group of each point; None without one.
    """
    size = np.maximum(np.ptp(points, axis=0), 1e-9)
    centres = []
    for group in wanted:
        own = points[groups == group] / size
        if len(own) < _NAMED:
            continue
        middle = np.median(own, axis=0)
        apart = np.linalg.norm(own - middle, axis=1)
        centres.append((float(np.median(apart)), group, own[int(np.argmin(apart))]))
    placed: dict[str, tuple[float, float]] = {}
    taken: list[Any] = []
    for _, group, centre in sorted(centres, key=lambda one: one[:2]):
        if any((np.abs(centre - other) < _APART).all() for other in taken):
            continue
        taken.append(centre)
        placed[group] = (float(centre[0] * size[0]), float(centre[1] * size[1]))
    return placed


def _short(text: str) -> str:
    """For the legend: a phone has room for one such name in a row."""
    return text if len(text) <= _LEGEND else f"{text[: _LEGEND - 1].rstrip(' (,')}…"


def _axes(fitted: Embedding) -> list[str]:
    if fitted.explained is None:
        return ["UMAP 1", "UMAP 2"]
    shares = [percent(float(share)) for share in fitted.explained]
    return [f"PCA axis {axis} ({share} of the variance)" for axis, share in enumerate(shares, 1)]


def _place(case: Case, fitted: Embedding) -> Floats:
    from indexing.embedding import project

    return project(fitted, case.vectors.vectors, case.vector)


def _dots(
    fitted: Embedding,
    mask: Any,
    hover: Any,
    name: str,
    colour: str,
    size: int,
    symbol: str = "circle",
) -> go.Scatter:
    return go.Scatter(
        x=fitted.points[mask, 0],
        y=fitted.points[mask, 1],
        mode="markers",
        name=name,
        marker={
            "color": colour,
            "size": size,
            "symbol": symbol,
            "opacity": 0.9 if size > 6 else 0.55,
        },
        text=hover[mask],
        customdata=fitted.rows[mask].reshape(-1, 1),
        hovertemplate="%{text}<extra></extra>",
        # What is not selected stays legible.
        unselected={"marker": {"opacity": 0.25}},
    )


def _rings(points: Floats, name: str) -> go.Scatter:
    return go.Scatter(
        x=points[:, 0],
        y=points[:, 1],
        mode="markers",
        name=name,
        marker={"symbol": "circle-open", "size": 14, "color": plots.ink(), "line": {"width": 1.5}},
        hoverinfo="skip",
    )


def _star(place: Floats) -> go.Scatter:
    return go.Scatter(
        x=place[:1],
        y=place[1:],
        mode="markers",
        name="query",
        marker={
            "symbol": "star",
            "size": 20,
            "color": "#ffd23f",
            "line": {"width": 1.5, "color": "#1c2333"},
        },
        hovertemplate="the query<extra></extra>",
    )


def words(fitted: Embedding) -> str:
    """What is seen, in two sentences."""
    share = fitted.explained.sum() if fitted.explained is not None else 0.0
    return WORDS[fitted.method].format(share=percent(float(share)))
