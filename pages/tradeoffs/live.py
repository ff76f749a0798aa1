"""Sliders that change an index under the session's query: what each parameter does, at once."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from indexing import registry
from pages.parts import backend
from pages.parts.compare import seconds, size
from pages.parts.text import plain
from pages.tradeoffs import answer as answers
from pages.tradeoffs.data import Scale

if TYPE_CHECKING:
    from evaluation.tradeoffs.live import LiveIndex
    from evaluation.tradeoffs.padding import VectorSet
    from pages.parts.inside_data import Case

MOST_IVF = 40_000_000  # numbers (vectors x dimensions) that are divided into cells live
MOST_CODED = 3_000_000  # numbers that are coded again whenever a slider moves
_SAMPLE = 64  # photos whose neighbours give the mean recall
_MEAN_K = 10
_TIE = 1e-6  # of squared distances between unit vectors
_QUICK = 1.0  # s; what builds within this is built before the slider gets there

# The index, its search parameters, what to call it, and (spec, bytes) of the slider's next steps.
Drawn = tuple["LiveIndex", dict[str, int], str, list[tuple[str, float]]]


def show(case: Case, scale: Scale) -> None:
    """The section; it draws itself again when a slider moves, without the rest of the page."""
    kinds = [name for name in registry.basic() if name != "flat"]  # the exact one
    kind = st.segmented_control(
        "Index",
        kinds,
        default="ivf",
        format_func=_label,
        key="t_live",
        required=True,
        label_visibility="collapsed",
    )
    with backend.guard("answer with this index"):
        vectors = _vectors(case, scale, MOST_IVF if kind == "ivf" else MOST_CODED)
        draw = _MOVED[kind][0] if kind in _MOVED else functools.partial(_other, str(kind))
        built, params, words, beside = draw(case, vectors)
        asked = answers.ask(case, vectors, built, params, words)
        above = st.container()
        answers.show(case, asked, f"t_live_grid-{kind}")
        with above:  # drawn last: the query's own answer need not wait for the mean of 64
            _figures(vectors, built, params)
        if built.build_s < _QUICK:
            for spec, index_bytes in beside:
                st.empty()  # a slider that has moved meanwhile goes first
                answers.prepare(vectors, spec, index_bytes)


def _label(kind: str) -> str:
    title = backend.title(kind)
    return f"{title}: {_MOVED[kind][1]}" if kind in _MOVED else title


def _vectors(case: Case, scale: Scale, most: int) -> VectorSet:
    """Those of the scale where that is quick, else the collection's own."""
    dim = case.vectors.vectors.shape[1]
    real = Scale(scale.photos, 0, scale.photos)
    quick = scale.n * dim <= most
    chosen = scale if quick and answers.can_open(case, scale) else real
    vectors = answers.open_vectors(case, chosen)
    words = chosen.sentence
    if chosen is not scale:
        why = "are not on this disk" if quick else "would not answer while a slider moves"
        words += f" ({scale.n:,} {why}.)"
    st.caption(plain(words))
    return vectors


def _ivf(case: Case, vectors: VectorSet) -> Drawn:
    """nprobe goes with the call; the index stays."""
    from indexing.ivf import default_lists

    most = max(2, min(4_096, vectors.n // 4))
    options = sorted({n for n in (2, 4, 8, 16, 32, 64, 128, 256, 512, 1024) if n <= most})
    usual = default_lists(vectors.n)
    default = min(options, key=lambda n: abs(n - usual))
    left, right = st.columns(2, gap="large")
    key = f"{vectors.version[:8]}"
    nlist = left.select_slider("nlist: cells", options, default, key=f"t_nlist-{key}")
    nprobe = right.slider("nprobe: cells visited", 1, int(nlist), 1, key=f"t_nprobe-{key}-{nlist}")
    index_bytes = 4.0 * vectors.n * vectors.dim
    built = answers.build(vectors, f"ivf:nlist={nlist}", index_bytes)
    beside = [(f"ivf:nlist={n}", index_bytes) for n in _beside(options, nlist)]
    return built, {"nprobe": int(nprobe)}, f"IVF, {nprobe} of {nlist} cells", beside


def _lsh(case: Case, vectors: VectorSet) -> Drawn:
    options = [8, 16, 32, 64, 128, 256, 512, 1024]  # more: the rotation alone takes too long
    nbits = st.select_slider("nbits: random hyperplanes", options, 128, key="t_nbits")
    built = answers.build(vectors, f"lsh:nbits={nbits}", vectors.n * nbits / 8)
    beside = [(f"lsh:nbits={n}", vectors.n * n / 8) for n in _beside(options, nbits)]
    return built, {}, f"LSH, {nbits} bits", beside


def _pq(case: Case, vectors: VectorSet) -> Drawn:
    from indexing.pq import divisors

    options = [m for m in divisors(vectors.dim) if m <= 256]
    default = min(options, key=lambda m: abs(m - 32))
    m = st.select_slider(
        "m: parts of a vector", options, default, key=f"t_m-{case.extractor}-{vectors.dim}"
    )
    built = answers.build(vectors, f"pq:m={m}", float(vectors.n * m))
    beside = [(f"pq:m={n}", float(vectors.n * n)) for n in _beside(options, m)]
    return built, {}, f"PQ, {m} parts", beside


def _other(kind: str, case: Case, vectors: VectorSet) -> Drawn:
    """A type that this page does not know: as it plans itself, with its own search parameters."""
    method = registry.index_type(kind)
    plan = method.plan(vectors.n, vectors.dim)
    built = answers.build(vectors, kind, method.estimate_bytes(plan, vectors.n, vectors.dim))
    params = {
        name: st.slider(f"{name}: {one.meaning}", one.low, one.high, one.default, key=f"t_{name}")
        for name, one in built.built.search_parameters.items()
        if one.low < one.high
    }
    return built, params, backend.title(kind), []


# Type -> who draws its slider, and the parameter that it moves.
_MOVED: dict[str, tuple[Callable[[Case, VectorSet], Drawn], str]] = {
    "ivf": (_ivf, "nprobe"),
    "lsh": (_lsh, "nbits"),
    "pq": (_pq, "m"),
}


def _beside(options: list[int], chosen: int) -> list[int]:
    """The next steps of a slider: up first."""
    at = options.index(chosen)
    return options[at + 1 : at + 2] + options[max(0, at - 1) : at]


def _figures(vectors: VectorSet, built: LiveIndex, params: dict[str, int]) -> None:
    recall = mean_recall(vectors, built, params)
    kind, _ = registry.parse_index_spec(built.spec)
    shared = kind.shared_bytes(built.built.plan, vectors.n, vectors.dim)
    each = max(0.0, built.built.bytes_per_vector - shared / vectors.n)
    figures = [
        f"{each:,.0f} bytes per photo (Flat: {4 * vectors.dim:,}), {size(shared)} shared by all",
        f"built in {seconds(built.build_s)}",
        f"agrees with exact {recall:.3f}: mean recall@{_MEAN_K} of "
        f"{min(_SAMPLE, vectors.photos)} photos as queries",
    ]
    st.caption(plain(" · ".join(figures)))


@dataclasses.dataclass(frozen=True)
class _Sample:
    """Photos of the collection as queries, and their exact neighbours without themselves."""

    rows: np.ndarray
    squared: np.ndarray  # (n, k) ascending


def mean_recall(vectors: VectorSet, built: LiveIndex, params: dict[str, int]) -> float:
    """Mean recall@10 by distance over a draw of the collection's photos."""
    from evaluation import metrics

    sample = _sample(vectors.version, vectors)
    queries = np.ascontiguousarray(vectors.vectors[sample.rows], np.float32)
    k = min(sample.squared.shape[1], _MEAN_K)
    if k == 0:
        return 1.0
    shares = []
    for row, query, true in zip(sample.rows, queries, sample.squared, strict=True):
        answer = built.answer(query, k + 1, params)
        kept = answers.without(answer, int(row), k)
        shares.append(metrics.recall_by_distance(kept.squared.tolist(), true.tolist(), k, _TIE))
    return float(np.mean(shares))


@st.cache_resource(max_entries=16, show_spinner=False)
def _sample(version: str, _vectors: VectorSet) -> _Sample:
    from evaluation.tradeoffs import live

    del version  # only part of the cache's key
    count = min(_SAMPLE, _vectors.photos)
    rows = np.sort(np.random.default_rng(0).choice(_vectors.photos, count, replace=False))
    queries = np.ascontiguousarray(_vectors.vectors[rows], np.float32)
    squared, ids = live.nearest(_vectors.vectors, queries, min(_MEAN_K + 1, _vectors.n))
    others = [s[i != row][:_MEAN_K] for s, i, row in zip(squared, ids, rows, strict=True)]
    k = min(map(len, others))
    return _Sample(rows, np.stack([one[:k] for one in others]))
