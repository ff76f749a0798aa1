"""The automatic choice: constraints in, the fastest measured setting out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from pages.parts.text import plain

if TYPE_CHECKING:
    from evaluation.tradeoffs.rows import Point


def box(points: Sequence[Point], measure: str) -> str | None:
    """Draw the constraints and the outcome.

    Returns:
        The key of the setting that is to be shown, in the run in which that is asked for.
    """
    from evaluation.tradeoffs.front import Constraint, tune

    st.subheader("Find me a setting", anchor=False)
    first, second, third = st.columns(3)
    least = first.number_input(
        f"{measure} of at least", 0.0, 1.0, 0.95, 0.01, key=f"t_tune_recall-{measure}"
    )
    most = second.number_input(
        "Bytes per vector, at most", 1.0, None, None, key="t_tune_bytes", placeholder="any"
    )
    limit = third.number_input(
        "Milliseconds per query, at most",
        0.001,
        None,
        None,
        key="t_tune_ms",
        placeholder="any",
        format="%.3f",
    )
    constraints = [Constraint(measure, ">=", float(least))]
    if most is not None:
        constraints.append(Constraint("bytes", "<=", float(most)))
    if limit is not None:
        constraints.append(Constraint("latency", "<=", float(limit)))
    choice = tune(points, constraints)
    (st.success if choice.best is not None else st.warning)(plain(choice.sentence))
    if choice.nearest is not None and st.button("Show it on my query", key="t_tune_show"):
        return choice.nearest.key
    return None
