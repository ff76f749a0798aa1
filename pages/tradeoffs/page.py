"""Trade-offs: recall against latency against memory, measured here, and shown on your query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from pages.parts import (
    backend,
    choices,
    inside_query,
    looks,
    saving,
    state,
)
from pages.parts.inside_case import case_of, choose_extractor
from pages.parts.settings import DEFAULT_K
from pages.parts.text import plain
from pages.tradeoffs import answer as answers
from pages.tradeoffs import charts, data, lab, live, recipes, report, run, wizard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from data.store import Collection
    from evaluation.tradeoffs.rows import Point
    from pages.parts.inside_data import Case

_RECALLS = ("recall@1", "recall@10", "recall@100")
_CHARTS = {
    "latency": "Agreement and latency",
    "bytes": "Agreement and memory",
    "build": "Agreement and build time",
}
_POINT = "t_point"  # the setting that is shown


def main() -> None:
    beside = looks.heading(
        "Trade-offs", "Agreement with exact search against time and memory: find a setting, try it."
    )
    names = backend.collection_names()
    if not names:
        st.info("There is no collection yet. Import one on the Collections page.")
        return
    with beside:
        name = choices.collection_of(names, key="t_collection")
    collection = backend.collection(name)
    run.progress_strip(name)
    extractor = choose_extractor(backend.statuses(name), key="t_extractor")
    if extractor is None:
        return
    points = _points(name, extractor)
    if points:
        st.header("Find a setting", anchor=False)
        with st.container(border=True, key="t_wizard"), backend.guard("find a setting"):
            _show_found(wizard.show(points, len(collection.photos)), points)
    else:
        run.offer(name, extractor, len(collection.photos), nothing_yet=True)
    st.header("Move a parameter", anchor=False)
    asked = inside_query.picture(collection)
    inside_query.change(collection)
    case: Case | None = None
    if asked is not None:
        case = case_of(collection, extractor, asked, state.current().k or DEFAULT_K)
    if case is not None:
        photos = len(case.vectors.ids)
        scale = _scale(points) if points else data.Scale(photos, 0, photos)
        st.fragment(live.show)(case, scale)
    if points:
        _measured(case, collection, points)
    with backend.guard("draw the recipes"):
        recipes.show(collection, extractor)
    lab.show(name, extractor)
    if points:
        st.header("Measure more", anchor=False)
        run.offer(name, extractor, len(collection.photos), nothing_yet=False)


def _show_found(key: str | None, points: Sequence[Point]) -> None:
    """Show the setting that the wizard found, at its size."""
    found = next((point for point in points if point.key == key), None)
    if found is not None:
        labels = {scale: label for label, scale in _labelled(data.scales(points)).items()}
        st.session_state["t_scale"] = labels[data.scale_of(found)]
        _choose(found.key)


def _points(name: str, extractor: str) -> list[Point]:
    """What is measured and up to date."""
    from evaluation.tradeoffs.rows import load_points

    found = load_points(name, extractor)
    stale = [point for point in found if point.stale]
    if stale:
        st.warning(f"{len(stale):,} points are out of date and left out. {plain(stale[0].stale)}")
    return [point for point in found if not point.stale]


def _measured(case: Case | None, collection: Collection, everything: Sequence[Point]) -> None:
    """Charts, and the chosen setting on the query."""
    st.header("What was measured", anchor=False)
    scale, measure = _controls(everything)
    points = [point for point in everything if data.scale_of(point) == scale]
    st.caption(plain(f"{scale.sentence} Measured on {data.machines(points)}."))
    _plausible(points)
    chosen = _chosen(points)
    _charts(points, everything, scale, measure, chosen)
    if case is None:
        return
    st.header("A setting on your query", anchor=False)
    chosen = _setting(points, chosen)
    asked, payload = _on_query(case, chosen, scale)
    least = float(st.session_state.get("t_least", 0.9))
    saving.button(
        "Report HTML",
        lambda: report.of_tradeoffs(
            case, points, everything, scale, measure, least, asked, payload
        ),
        f"{collection.name}-tradeoffs.html",
        "Settings, query, results side by side and charts in one file that opens offline",
        key="t_report",
    )


def _scale(everything: Sequence[Point]) -> data.Scale:
    """The size that is on: what the slider below says, else the smallest."""
    labels = _labelled(data.scales(everything))
    return labels.get(str(st.session_state.get("t_scale")), next(iter(labels.values())))


def _controls(everything: Sequence[Point]) -> tuple[data.Scale, str]:
    """Size of the collection, and which recall."""
    scales = data.scales(everything)
    left, right = st.columns([7, 4], gap="large", vertical_alignment="bottom")
    scale = scales[0]
    if len(scales) > 1:
        labels = _labelled(scales)
        if st.session_state.get("t_scale") not in labels:
            st.session_state["t_scale"] = next(iter(labels))
        with left:
            label = st.select_slider("Vectors in the index", list(labels), key="t_scale")
        scale = labels[label]
    with right:
        measure = st.segmented_control(
            "Agrees with exact, among the first",
            list(_RECALLS),
            default="recall@10",
            format_func=lambda one: one.partition("@")[2],
            key="t_recall",
            required=True,
        )
    return scale, str(measure or "recall@10")


def _labelled(scales: Sequence[data.Scale]) -> dict[str, data.Scale]:
    """Scales by their labels; of equal ones (other distractors) the later say what they are."""
    labels: dict[str, data.Scale] = {}
    for one in scales:
        labels[f"{one.label}: {one.padding}" if one.label in labels else one.label] = one
    return labels


def _plausible(points: Sequence[Point]) -> None:
    """How far the simulated vectors are from real ones."""
    from evaluation.tradeoffs.simulate import Plausibility

    found = next((point.plausibility for point in points if point.plausibility), None)
    if found:
        known: dict[str, Any] = {**found, "compared": int(found["compared"])}
        st.caption(f":orange-badge[simulated] {plain(Plausibility(**known).sentence())}")


def _charts(
    points: Sequence[Point],
    everything: Sequence[Point],
    scale: data.Scale,
    measure: str,
    chosen: Point,
) -> None:
    clicked: dict[str, str | None] = {}
    first, second = st.columns(2, gap="large")
    third, fourth = st.columns(2, gap="large")
    for (cost, title), place in zip(_CHARTS.items(), (first, second, third), strict=True):
        with place, backend.guard("draw this chart"):
            st.subheader(title, anchor=False)
            clicked[cost] = charts.axes(
                points, everything, scale, cost, measure, chosen.key, f"t_chart_{cost}"
            )
    with fourth, backend.guard("draw this chart"):
        st.subheader("How cost grows", anchor=False)
        least = st.slider(
            f"Agrees with exact ({measure}), at least", 0.5, 1.0, 0.9, 0.01, key="t_least"
        )
        charts.growth(everything, measure, least, f"t_growth-{measure}")
    # A selection stays in the chart; only a new one is a click.
    seen: dict[str, str | None] = st.session_state.setdefault("t_clicked", {})
    for cost, key in clicked.items():
        new = key is not None and seen.get(cost) != key
        seen[cost] = key
        if new:
            _choose(str(key))


def _choose(key: str) -> None:
    """Show another setting; the charts ring it."""
    if st.session_state.get(_POINT) != key:
        st.session_state[_POINT] = key
        st.rerun()


def _chosen(points: Sequence[Point]) -> Point:
    """The setting that is shown: what was chosen, else the fastest with good recall."""
    kept = next((p for p in points if p.key == st.session_state.get(_POINT)), None)
    if kept is not None:
        return kept
    # The same setting at the size that was shown before.
    words = st.session_state.get("t_setting_words")
    same = next((p for p in points if p.setting == words), None)
    good = [p for p in points if p.family != "flat" and p.recall.get(10, 0) >= 0.9]
    return same or min(good or points, key=lambda point: point.latency_ms)


def _setting(points: Sequence[Point], chosen: Point) -> Point:
    """Any setting by its name, for those who do not click points."""
    by_key = {point.key: point for point in points}
    st.session_state["t_setting"] = chosen.key

    def choose() -> None:
        st.session_state[_POINT] = st.session_state["t_setting"]

    st.selectbox(
        "Setting",
        list(by_key),
        format_func=lambda key: by_key[key].setting,
        key="t_setting",
        on_change=choose,
        width=560,
    )
    st.session_state["t_setting_words"] = chosen.setting
    return chosen


def _on_query(
    case: Case, point: Point, scale: data.Scale
) -> tuple[answers.Asked | None, dict[str, Any] | None]:
    with backend.guard("search with this setting"):
        asked = answers.of_point(case, point, scale)
        if asked is not None:
            answers.show(case, asked, "t_answer")
            return asked, answers.grid(case, asked)
    return None, None


main()
