"""Why this hit: the query beside the photo, with what makes their score drawn over both."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from data.base import Box, Photo
from extractors.base import RGB
from pages.parts import backend, heat, matches, region
from pages.parts.text import plain

if TYPE_CHECKING:
    from extractors.base import Floats
    from pages.parts.query import Query
    from retrieval.explain.base import Alignment, Explanation, Grid, Heat, Pair, Words
    from retrieval.ranking import Hit, SearchResult

WHY, MATCHES, OVERLAY, PHOTO = "Why this hit", "Matches", "Overlay", "Photo"
ATTENTION = "Attention"
_TOP = 3  # cells that are outlined and named
_ROWS = 8  # words in the table, each with its colour


@dataclasses.dataclass(frozen=True)
class Why:
    """What a hit's explanation needs.

    Attributes:
        result: the search that found it.
        query: what was searched with.
        box: the region; None: all of it.
    """

    result: SearchResult
    query: Query
    box: Box | None


def choose(why: Why, photo: Photo) -> str:
    """Draw the choice of views and say which one; the last choice stays for the next hit."""
    from extractors import registry

    local = registry.is_local(why.result.extractor)
    options = [] if local else [WHY]
    if local or photo.id in why.result.matches:
        options += [MATCHES, OVERLAY]
    if registry.attends(why.result.extractor):
        options.append(ATTENTION)
    options.append(PHOTO)
    before = st.session_state.get("why_before")
    picked = st.segmented_control(
        "What to show of this hit",
        options,
        default=before if before in options else options[0],
        key="why_view",
        required=True,
        label_visibility="collapsed",
    )
    chosen = picked or options[0]
    st.session_state["why_before"] = chosen
    return chosen


def show(why: Why, view: str, photo: Photo, pixels: RGB, hit: Hit, beside: DeltaGenerator) -> None:
    """Draw a view; what score and distance are goes ``beside``."""
    from retrieval.explain import registry
    from retrieval.explain.base import Alignment, Heat, UnexplainedError, Words

    if view in (ATTENTION, PHOTO):
        if view == ATTENTION:
            _attention(why, photo, pixels)
        else:
            _beside(_region(why), pixels)
        with beside:
            _sentences(why, hit, None)
        return
    with st.spinner("Taking the score apart …"):
        pair = _pair(why, photo)
        found: Explanation | None = None
        said = ""
        try:
            found = registry.explain(pair) if view == WHY else _alignment(pair)
        except UnexplainedError as error:
            said = str(error)
    cosine = found.score if isinstance(found, Heat | Words) else None
    if isinstance(found, Heat):
        _heat(why, found, pixels)
    elif isinstance(found, Words):
        _words(why, found, pixels)
    elif isinstance(found, Alignment) and view == OVERLAY:
        _overlay(why, found, pixels)
    elif isinstance(found, Alignment):
        _matches(why, found, pixels)
    else:
        _beside(_region(why), pixels)
        st.info(plain(said))
    with beside:
        _sentences(why, hit, cosine)


def _pair(why: Why, photo: Photo) -> Pair:
    from retrieval import ranking
    from retrieval.explain import registry

    query = why.query
    searched = ranking.Query(
        query.pixels,
        why.box,
        # The name under which the search has described it.
        key=f"{query.image_id}:{st.session_state.get('measure_round', 0)}",
        id=query.id_for(why.box),
    )
    return registry.pair_of(backend.engine(), why.result, searched, photo.id)


def _alignment(pair: Pair) -> Explanation | None:
    from retrieval.explain import registry

    return registry.aligned(pair) or registry.explain(pair)


def _region(why: Why) -> RGB:
    x0, y0, x1, y1 = why.box or region.whole(why.query.size)
    return why.query.pixels[y0:y1, x0:x1]


def _beside(query: RGB, photo: RGB) -> None:
    _pictures((query, "The query's region"), (photo, "This photo"))


def _pictures(*named: tuple[RGB, str]) -> None:
    """Pictures in a row, below one another on a phone; the style keeps tall ones small."""
    with st.container(key="why_pictures"):
        for place, (picture, name) in zip(st.columns(len(named), gap="small"), named, strict=True):
            url = backend.picture_url(picture, 900 if len(named) > 1 else 1400)
            place.image(url, width="stretch", caption=name, alt=name)


def _heat(why: Why, found: Heat, pixels: RGB) -> None:
    from retrieval.explain import sentences

    peak = max(_peak(found.query), _peak(found.photo)) if found.aligned else 0.0
    drawn = []
    for grid, whole in ((found.query, why.query.pixels), (found.photo, pixels)):
        labels = [
            (cell, sentences.part(float(grid.values[cell]), found.score).replace("\u00a0", ""))
            for cell in grid.strongest(_TOP)
        ]
        drawn.append(heat.cells(whole, grid, peak or _peak(grid), labels, sharp=found.aligned))
    _beside(*drawn)
    _legend(found)
    said = []
    for grid, whose in ((found.query, "the query"), (found.photo, "this photo")):
        top = [float(grid.values[cell]) for cell in grid.strongest(_TOP)]
        said.append(
            sentences.of_cells(top, grid, found.score, whose)
            if not found.aligned or grid is found.query
            else ""
        )
    st.markdown(plain(" ".join(filter(None, said))))
    st.caption(plain(found.note))


def _peak(grid: Grid) -> float:
    return float(abs(grid.values).max())


def _legend(found: Heat) -> None:
    """The colours with numbers; markup is constant but for numbers of ours."""
    from retrieval.explain.sentences import part

    grids = (found.query,) if found.aligned else (found.query, found.photo)
    highest = max(_peak(grid) for grid in grids)
    lowest = min(float(grid.values.min()) for grid in grids)
    against = lowest < -0.02 * highest
    several = len(grids) > 1
    top = " | ".join(part(_peak(grid), found.score) for grid in grids)
    stops = heat.legend_colours(heat.WARM)
    if against:
        low = " | ".join(part(-_peak(grid), found.score) for grid in grids)
        stops = f"{heat.legend_colours(heat.COLD[::-1])}, #8b94a3, {stops}"
        first = low
    else:
        stops = f"#8b94a3, {stops}"
        first = "0"
    bar = (
        f"<i style='flex:0 1 150px;height:.8rem;border-radius:.3rem;"
        f"background:linear-gradient(90deg,{stops})'></i>"
    )
    what = "of the score per cell" if found.score > 0.01 else "of the cosine per cell"
    what += " (query | photo)" if several else ""
    what += "; blue speaks against it" if against else ""
    st.html(
        "<div style='display:flex;flex-wrap:wrap;gap:.2rem .6rem;align-items:center;"
        "font-size:.85rem;font-variant-numeric:tabular-nums'>"
        f"<span>{first}</span>{bar}<span>{top}</span>"
        f"<span style='opacity:.75'>{what}</span></div>"
    )


def _words(why: Why, found: Words, pixels: RGB) -> None:
    from retrieval.explain.sentences import part

    if not found.words:
        _beside(_region(why), pixels)
        st.info("The two pictures share no visual word that weighs anything.")
        return
    whole = region.whole((pixels.shape[1], pixels.shape[0]))
    _beside(
        heat.words(why.query.pixels, why.box or region.whole(why.query.size), found.words, True),
        heat.words(pixels, whole, found.words, False),
    )
    top = found.words[:_ROWS]
    share = part(sum(one.value for one in top), found.score)
    st.markdown(
        plain(
            f"{len(found.words):,} visual words are in both ({found.found[0]:,} keypoints in the "
            f"query, {found.found[1]:,} in the photo). The {len(top)} strongest make {share} of "
            f"the score: they are coloured and numbered, the next ones are thin circles."
        )
    )
    rows = [
        {
            "": str(rank),
            "part of score": part(one.value, found.score),
            "in query": len(one.query),
            "in photo": len(one.photo),
            "idf weight": f"{one.idf:.2f}",
            "word": str(one.number),
        }
        for rank, one in enumerate(top, 1)
    ]
    table = pd.DataFrame(rows).style.apply(
        lambda column: [heat.css(rank) for rank in range(len(column))], subset=[""]
    )
    st.dataframe(table, hide_index=True, height="content")


def _matches(why: Why, found: Alignment, pixels: RGB) -> None:
    drawn = matches.draw(why.query.pixels, pixels, found.matches)
    _pictures((drawn, "The query at the left, this photo at the right"))
    _strength(found)


def _overlay(why: Why, found: Alignment, pixels: RGB) -> None:
    from retrieval.explain.matches import blend, overlay

    if found.transform is None:
        _beside(_region(why), pixels)
    else:
        share = st.slider(
            "From this photo to the query",
            0.0,
            1.0,
            0.5,
            0.05,
            key="why_blend",
            help="0: this photo alone; 1: the query's region, moved to where its matches lie.",
        )
        photo, moved, mask = overlay(why.query.pixels, pixels, found)
        drawn = blend(photo, moved, mask, share)
        _pictures((drawn, "Laid over this photo"), (_region(why), "The query's region"))
    _strength(found)


def _strength(found: Alignment) -> None:
    count = len(found.matches)
    if not count:
        st.info("No match of the two photos agrees with any other: no geometry speaks for this.")
        return
    model = f"one {found.model}" if found.model else "no common map"
    kind = {"affine": "an affine map", "homography": "a homography"}.get(found.model, model)
    text = f"{count} matches agree on where they go"
    text += f"; {kind} lays the query over this photo." if found.model else "."
    if found.weak:
        st.warning(
            f"Weak: {text} Fewer than 8 say little, as three fit any affine map and four or five "
            f"of unrelated photos agree by chance."
        )
    elif found.transform is None:
        st.warning(f"{text} But no single map lays the whole region over this photo.")
    else:
        st.markdown(text)


def _attention(why: Why, photo: Photo, pixels: RGB) -> None:
    """One picture whose places can be clicked, with what the clicked place takes from all."""
    from retrieval.explain.base import Grid

    which = st.segmented_control(
        "Picture", ["Query", "This photo"], default="Query", key="why_of", required=True
    )
    of_query = which != "This photo"
    whole = why.query.pixels if of_query else pixels
    box = (why.box if of_query else None) or region.whole((whole.shape[1], whole.shape[0]))
    with st.spinner("Asking the network where it looks …"):
        pair = _pair(why, photo)
        name = f"{pair.query.key if of_query else photo.sha256} {box}"
        taken = _taken(f"{pair.view.loaded.version} {name}", pair, whole, box)
    height, width = taken.shape[:2]
    kept = f"why_place {name}"
    row, column = st.session_state.get(kept, (height // 2, width // 2))
    cell = (min(row, height - 1), min(column, width - 1))
    given = taken[cell].astype(np.float64)
    peak = float(given.max())
    drawn = heat.cells(whole, Grid(given, box), peak, [(cell, "here")], sharp=False)
    chosen = _clicked(drawn, (height, width), f"why_click {name} {cell}")
    if chosen is not None and chosen != cell:
        st.session_state[kept] = chosen
        st.rerun(scope="fragment")
    st.markdown(
        plain(
            f"Click a place. Second-order attention mixes into it what it finds elsewhere: the "
            f"strongest cell gives {100 * peak:.2f} %, where all {given.size:,} alike would give "
            f"{100 / given.size:.2f} % each."
        )
    )


@st.cache_resource(max_entries=8, show_spinner=False)
def _taken(key: str, _pair: Pair, _pixels: RGB, _box: Box) -> Floats:
    """(h, w, h, w), as ``Extractor.attention``."""
    del key
    extractor = _pair.extractor
    return extractor.attention(extractor.prepare(_pixels, _box))


def _clicked(picture: RGB, shape: tuple[int, int], key: str) -> tuple[int, int] | None:
    """Draw a picture in cells of ``shape``; the row and column of the one that was clicked."""
    rows, columns = shape
    height, width = picture.shape[:2]
    places = [(row, column) for row in range(rows) for column in range(columns)]
    made = go.Figure(
        go.Scatter(
            x=[(column + 0.5) * width / columns for _, column in places],
            y=[(row + 0.5) * height / rows for row, _ in places],
            mode="markers",
            marker={"size": 12, "color": "rgba(255,255,255,0.01)"},
            hoverinfo="none",
        )
    )
    made.add_layout_image(
        source=backend.picture_url(picture, 900),
        xref="x",
        yref="y",
        x=0,
        y=0,
        sizex=width,
        sizey=height,
        sizing="stretch",
        layer="below",
    )
    made.update_xaxes(range=[0, width], visible=False, fixedrange=True, constrain="domain")
    made.update_yaxes(
        range=[height, 0], visible=False, fixedrange=True, scaleanchor="x", constrain="domain"
    )
    made.update_layout(
        height=420,
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        clickmode="event+select",
        dragmode=False,
    )
    event: Any = st.plotly_chart(
        made,
        key=key,
        on_select="rerun",
        selection_mode="points",
        config={"displayModeBar": False},
    )
    points = event["selection"]["point_indices"] if event else []
    return places[points[0]] if points else None


def _sentences(why: Why, hit: Hit, cosine: float | None) -> None:
    from retrieval.explain import sentences

    said: Sequence[str] = (
        sentences.of_score(why.result, hit, cosine),
        sentences.of_distance(why.result, hit),
    )
    st.caption("\n\n".join(map(plain, said)))
