"""One setting on the session's query, beside exact search over the same vectors."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from data.errors import PlaygroundError
from pages.parts import backend, details, results, thumbnails
from pages.parts.compare import seconds, size
from pages.parts.text import plain
from pages.tradeoffs.data import SIMULATED, Scale, briefly
from retrieval.compare import truth_of

if TYPE_CHECKING:
    from evaluation.tradeoffs.live import Answer, Comparison, LiveIndex
    from evaluation.tradeoffs.padding import VectorSet
    from evaluation.tradeoffs.rows import Point
    from pages.parts.inside_data import Case
    from retrieval.clock import Timing

_SMALL = 64_000_000  # bytes of an index, up to which several are kept
_DRAWN = 32_000_000  # bytes of simulated vectors that are drawn without asking
_QUICK = 20.0  # s; what took longer to build when it was measured is built when asked for
MISSED = ("missed", "the index does not return it")
WRONG = ("wrong", "exact search does not return it")


@dataclasses.dataclass(frozen=True)
class Asked:
    """An index's answer beside the exact one, without the query's own photo."""

    title: str
    vectors: VectorSet
    live: LiveIndex
    answer: Answer
    exact: Answer
    comparison: Comparison
    search: Timing
    exact_search: Timing | None  # None: a Flat index of these vectors does not fit into memory


# Kept for all sessions, under keys that name the exact vectors; nothing that is kept is changed.


def open_vectors(case: Case, scale: Scale) -> VectorSet:
    """The vectors that a scale was measured with.

    Raises:
        PlaygroundError: they are not on this disk any more.
    """
    words = scale.distractors
    n = None if scale.n == scale.photos else scale.n
    name, spec = case.collection.name, case.extractor
    if words is None or not can_open(case, scale):
        raise PlaygroundError(
            f"The {scale.n:,} vectors that this was measured with are not on this disk any more. "
            f"Measure again: {command(name, spec, scale)}"
        )
    opened: VectorSet = _open(case.vectors.version, name, spec, n, words)
    return opened


def can_open(case: Case, scale: Scale) -> bool:
    """Whether a scale's vectors are there, or are few enough to be drawn again at once."""
    words = scale.distractors
    if scale.n == scale.photos or words is None:
        return words is not None
    if _made(case.collection.name, case.extractor, scale.n, words):
        return True
    return words == SIMULATED and drawing_bytes(case, scale) <= _DRAWN


def drawing_bytes(case: Case, scale: Scale) -> int:
    """What simulated vectors take on the disk that are to be drawn again; 0: they are there."""
    if scale.n == scale.photos or scale.distractors != SIMULATED:
        return 0
    if _made(case.collection.name, case.extractor, scale.n, SIMULATED):
        return 0
    return 4 * scale.n * int(case.vectors.vectors.shape[1])


def _made(name: str, spec: str, n: int, distractors: str) -> bool:
    from data import artefact
    from evaluation.tradeoffs import padding

    return artefact.read_manifest(padding.set_folder(name, spec, n, distractors)) is not None


@st.cache_resource(max_entries=4, show_spinner="Opening the vectors …")
def _open(version: str, name: str, spec: str, n: int | None, distractors: str) -> VectorSet:
    from evaluation.tradeoffs import padding

    del version  # only part of the cache's key
    return padding.open_set(name, spec, n, distractors)


def build(vectors: VectorSet, spec: str, index_bytes: float) -> LiveIndex:
    """Build an index in memory, or give back the one that was built before.

    Args:
        index_bytes: what it takes, about; of large ones only the last is kept.
    """
    from evaluation.tradeoffs import padding

    if index_bytes > padding.free_memory():
        raise PlaygroundError(
            f"An index of {size(index_bytes)} does not fit into the "
            f"{size(padding.free_memory())} of free memory. Choose a smaller size."
        )
    keep = _build_small if index_bytes <= _SMALL else _build_large
    built: LiveIndex = keep(vectors.version, spec, vectors)
    return built


def prepare(vectors: VectorSet, spec: str, index_bytes: float) -> None:
    """Build an index before it is asked for, where it is small enough to be kept beside others."""
    if index_bytes <= _SMALL:
        _build_small(vectors.version, spec, vectors)


@st.cache_resource(max_entries=48, show_spinner=False)
def _build_small(version: str, spec: str, _vectors: VectorSet) -> LiveIndex:
    from evaluation.tradeoffs import live

    del version  # only part of the cache's key
    return live.build(_vectors, spec)


@st.cache_resource(max_entries=1, show_spinner=False)
def _build_large(version: str, spec: str, _vectors: VectorSet) -> LiveIndex:
    from evaluation.tradeoffs import live

    del version  # only part of the cache's key
    return live.build(_vectors, spec)


@st.cache_resource(max_entries=1, show_spinner=False)
def _flat_large(version: str, _vectors: VectorSet) -> LiveIndex:
    from evaluation.tradeoffs import live

    del version  # only part of the cache's key
    return live.build(_vectors, "flat")


def flat(vectors: VectorSet) -> LiveIndex | None:
    """Exact search as the charts have it: FAISS's IndexFlat; None where it does not fit."""
    from evaluation.tradeoffs import padding

    needed = 4 * vectors.n * vectors.dim
    if needed <= _SMALL:
        return _build_small(vectors.version, "flat", vectors)
    if needed > padding.free_memory():
        return None
    built: LiveIndex = _flat_large(vectors.version, vectors)
    return built


@st.cache_resource(max_entries=64, show_spinner=False)
def _exact(version: str, key: str, k: int, _vectors: VectorSet, _vector: Any) -> Answer:
    from evaluation.tradeoffs import live

    del version, key  # only parts of the cache's key
    return live.exact(_vectors, _vector, k)


# One question


def ask(
    case: Case, vectors: VectorSet, built: LiveIndex, params: Mapping[str, int], title: str
) -> Asked:
    """Search the case's query in an index and exactly."""
    from evaluation.tradeoffs import live

    own = case.asked.query.own_id
    row = vectors.ids.index(own) if own in vectors.ids else -1
    k = min(case.k + (row >= 0), vectors.n)
    exact = _exact(vectors.version, case.asked.key, k, vectors, case.vector)
    answer = without(built.answer(case.vector, k, params), row, case.k)
    exact = without(exact, row, case.k)
    timed = [(built, params)]
    beside = built if built.spec == "flat" else flat(vectors)
    if beside is not None and beside is not built:
        timed.append((beside, {}))
    times = live.timed(timed, case.vector, k)
    exact_search = None if beside is None else times[-1]
    compared = live.compare(answer, exact)
    return Asked(title, vectors, built, answer, exact, compared, times[0], exact_search)


def without(answer: Answer, row: int, k: int) -> Answer:
    """The first k results, the query's own photo (-1: none) left out."""
    keep = np.flatnonzero(answer.rows != row)[:k]
    return dataclasses.replace(
        answer,
        rows=answer.rows[keep],
        photo_ids=tuple(answer.photo_ids[i] for i in keep),
        distances=answer.distances[keep],
        squared=answer.squared[keep],
    )


def of_point(case: Case, point: Point, scale: Scale) -> Asked | None:
    """Run a measured setting on the query; None, with a button, where building takes long."""
    needed = drawing_bytes(case, scale)
    if needed > _DRAWN:
        st.info(
            f"These {scale.n:,} vectors are not on this disk: they were measured elsewhere, or "
            f"deleted. Simulated ones can be drawn again, {size(needed)} of them."
        )
        if not st.button("Draw them", key="t_draw"):
            return None
        _open(case.vectors.version, case.collection.name, case.extractor, scale.n, SIMULATED)
    vectors = open_vectors(case, scale)
    takes_long = point.build_s > _QUICK
    key = f"t_build-{point.key[:16]}"
    if takes_long and not st.session_state.get(f"{key}-done"):
        st.info(
            f"{plain(point.setting)} is not in memory. Building it over {point.n:,} vectors took "
            f"{seconds(point.build_s)} when it was measured."
        )
        if not st.button("Build it now", key=key):
            return None
        st.session_state[f"{key}-done"] = True
    with st.spinner(f"Building {plain(point.index)} …") if takes_long else st.empty():
        built = build(vectors, point.index, float(point.disk_bytes))
    return ask(case, vectors, built, point.search, point.setting)


def show(case: Case, asked: Asked, key: str) -> None:
    """Figures of an answer, then both rankings with what differs marked."""
    comparison = asked.comparison
    one, two, three, four = st.columns(4)
    one.metric(
        "Agrees with exact",
        f"{comparison.recall:.3f}",
        help=f"Recall@{len(asked.exact.rows)} of this query: the share of exact search's answer",
    )
    two.metric("Missed / wrong", f"{len(comparison.missing)} / {len(comparison.wrong)}")
    three.metric("Search", briefly(asked.search.median), help=_spread(asked.search))
    flat_ms = asked.exact_search
    four.metric(
        "Exact search (Flat)",
        briefly(flat_ms.median if flat_ms else None),
        help=_spread(flat_ms) if flat_ms else "A Flat index of these vectors does not fit here",
    )
    payload = grid(case, asked)
    payload["key"] = f"{asked.vectors.version}:{case.asked.key}:{case.k}:{asked.title}:{key}"
    opened = results.results_grid(payload, key=key)
    photo = opened and next((p for p in case.collection.photos if p.id == opened.get("id")), None)
    if photo:
        details.show_photo(case.collection, photo)


def _spread(timing: Timing) -> str:
    return (
        f"Median of {timing.runs} runs in turns with exact search, warm, one thread, as in the "
        f"charts; the middle half {briefly(timing.low)} to {briefly(timing.high)}"
    )


def grid(case: Case, asked: Asked) -> dict[str, Any]:
    """Both rankings as rows of the results grid.

    Times are not in it: it is drawn anew only when something else changes.
    """
    missing, wrong = set(asked.comparison.missing), set(asked.comparison.wrong)
    labels: dict[str, str] = {}
    thumbs: dict[str, str] = {}
    truth = truth_of(case.collection, case.asked.query.photo, case.asked.query.label)

    def hits(answer: Answer, marked: set[int]) -> list[list[Any]]:
        found: list[list[Any]] = []
        for row, photo_id, squared in zip(
            answer.rows.tolist(), answer.photo_ids, answer.squared.tolist(), strict=True
        ):
            name = photo_id or f"distractor {row:,}"
            verdict: bool | None = False if truth is not None else None
            if photo_id is not None:
                photo = case.collection.photo(photo_id)
                labels[name] = backend.caption(case.collection, photo)
                thumbs[name] = thumbnails.url(case.collection, photo)
                verdict = truth.verdict(photo_id, photo.label) if truth else None
            else:
                labels[name] = _kind(asked.vectors, row)
            score = round(1 - squared / 2, 4)
            code = -1 if verdict is None else int(verdict)
            found.append([name, score, code, int(row in marked), None])
        return found

    words = f"{asked.vectors.n:,} vectors"
    if asked.vectors.simulated:
        words += f", {asked.vectors.simulated:,} simulated"
    rows = [
        {
            "id": "exact",
            "title": "Exact search",
            "index": words,
            "badges": [],
            "notes": [],
            "hits": hits(asked.exact, missing),
            "mark": list(MISSED),
        },
        {
            "id": "index",
            "title": asked.title,
            "index": words,
            "badges": [[f"agrees with exact {asked.comparison.recall:.3f}", "blue"]],
            "notes": [],
            "hits": hits(asked.answer, wrong),
            "mark": list(WRONG),
        },
    ]
    return {"rows": rows, "thumbs": thumbs, "labels": labels}


def _kind(vectors: VectorSet, row: int) -> str:
    """A row that is no photo: real distractors come before simulated ones."""
    return "simulated" if row >= vectors.n - vectors.simulated else "distractor"


def command(name: str, extractor: str, scale: Scale | None = None) -> str:
    """The command that measures the grid, or one size of it."""
    sizes = "real,10k,100k,1m" if scale is None else str(scale.n)
    words = f"python -m scripts.benchmark index --collection {name} --extractor '{extractor}'"
    words += f" --sizes {sizes}"
    if scale is not None and scale.distractors not in (None, SIMULATED):
        words += f" --distractors '{scale.distractors}'"
    return words
