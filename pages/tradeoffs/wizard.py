"""A budget in, a setting out: what the Trade-offs page opens with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from indexing import registry
from pages.parts.compare import size
from pages.parts.text import plain
from pages.tradeoffs.data import briefly, machines

if TYPE_CHECKING:
    from evaluation.tradeoffs.rows import Point
    from evaluation.tradeoffs.wizard import Advice, Budget, Limit, Relaxation

_MEGA = 1_000_000


def show(points: Sequence[Point], photos: int) -> str | None:
    """Draw the budget and what it buys.

    Args:
        points: everything that is measured of an extractor, all sizes.
        photos: of the collection, the budget's beginning.

    Returns:
        The key of the setting that is to be shown, in the run in which that is asked for.
    """
    from evaluation.tradeoffs.wizard import advise

    budget = _budget(photos)
    advice = advise(points, budget)
    if advice.nearest is None:
        return None
    if advice.best is not None:
        _setting(advice.best, budget)
    else:
        _impossible(advice, budget)
    st.caption(plain(_basis(advice, budget)))
    label = "Show it on my query" if advice.best else "Show the nearest on my query"
    return advice.nearest.key if st.button(label, key="t_wizard_show") else None


def _budget(photos: int) -> Budget:
    from evaluation.tradeoffs.wizard import Budget

    one, two, three, four, five = st.columns(5)
    count = one.number_input("Photos", 1, 10**9, photos, key=f"t_w_photos-{photos}")
    ram = two.number_input(
        "Memory, MB at most", 0.001, None, None, key="t_w_ram", placeholder="any", format="%.4g"
    )
    ms = three.number_input(
        "ms per query, at most", 0.001, None, None, key="t_w_ms", placeholder="any", format="%.4g"
    )
    least = four.number_input(
        "Agrees with exact, at least",
        0.0,
        1.0,
        0.95,
        0.01,
        key="t_w_recall",
        help="Share of the 10 nearest that exact search (Flat) finds too: recall@10",
    )
    most = five.number_input(
        "Bytes per photo, at most",
        0.1,
        None,
        None,
        key="t_w_bytes",
        placeholder="any",
        format="%.4g",
        help="What each photo adds to the index; what all share (centroids, codebooks, a "
        "rotation) counts as memory only",
    )
    return Budget(
        int(count),
        None if least is None else float(least),
        None if ms is None else float(ms),
        None if ram is None else float(ram) * _MEGA,
        None if most is None else float(most),
    )


def _setting(point: Point, budget: Budget) -> None:
    from evaluation.tradeoffs.wizard import factory_string, snippet

    text = factory_string(point)
    left, right = st.columns([5, 7], gap="large")
    with left:
        st.success(f"**{plain(registry.family_title(point.family))}**: {plain(point.setting)}")
        first, second = st.columns(2)
        first.metric("Agrees with exact", f"{point.recall.get(budget.k, 0):.3f}")
        second.metric("Search", briefly(point.latency_ms))
        first.metric(f"Memory for {budget.photos:,}", size(point.memory_of(budget.photos)))
        second.metric("Bytes per photo", f"{point.bytes_per_photo:,.0f}")
    with right:
        st.markdown(f"FAISS factory string: `{text}`" if text else "FAISS does not make this one.")
        if text:
            st.code(snippet(point), language="python")


def _impossible(advice: Advice, budget: Budget) -> None:
    words = "Nothing that was measured holds all of this. "
    if advice.relaxations:
        words += "One of these is enough:" if len(advice.relaxations) > 1 else "This is enough:"
        lines = [f"- {_relaxed(one)}" for one in advice.relaxations]
        st.warning("\n".join([words, "", *lines]))
        return
    assert advice.nearest is not None
    moved = " and ".join(
        f"{_value(one, one.of(advice.nearest))} instead of {_value(one, one.value)}"
        for one in advice.failing
    )
    nearest = plain(advice.nearest.setting)
    st.warning(f"{words}More than one limit has to move. Nearest is {nearest}: {moved}.")


def _relaxed(one: Relaxation) -> str:
    limit = one.limit
    verb = "accept" if limit.at_least else "allow"
    step = _number(limit, abs(one.needed - limit.value))
    by = f"{step} {'less' if limit.at_least else 'more'}"
    return (
        f"**{verb} {_value(limit, one.needed)}** instead of {_number(limit, limit.value)} ({by}): "
        f"{plain(one.point.setting)}"
    )


def _value(limit: Limit, value: float) -> str:
    number = _number(limit, value)
    return {
        "recall": f"an agreement of {number}",
        "ms": f"{number} per query",
        "ram": f"{number} of memory",
        "bytes": f"{number} bytes per photo",
    }[limit.name]


def _number(limit: Limit, value: float) -> str:
    if limit.name == "recall":
        return f"{value:.3f}"
    if limit.name == "ms":
        return briefly(value)
    return size(value) if limit.name == "ram" else f"{value:,.0f}"


def _basis(advice: Advice, budget: Budget) -> str:
    """What the answer rests on."""
    simulated = max(point.simulated for point in advice.judged)
    words = f"Judged by {len(advice.judged)} settings measured with {advice.n:,} vectors"
    words += f", {simulated:,} of them simulated" if simulated else ""
    if advice.beyond(budget.photos):
        words += (
            f": {budget.photos:,} photos take longer and agree less, so measure that size before "
            f"you trust it. The memory is calculated for them"
        )
    elif advice.n > budget.photos:
        words += ", the next measured size. The memory is calculated for your photos"
    return f"{words}. One thread, {machines(advice.judged)}."
