"""How the weights in use were trained, where their file says so; on the Methods page."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import streamlit as st

from data.errors import PlaygroundError
from pages.parts.text import plain

# The curves that are shown, and their titles.
CURVES = {
    "loss": "Loss",
    "map": "mAP on held-out landmarks",
    "accuracy": "Accuracy on held-out photos",
    "unexplained": "Share of the map of the teacher that each part misses",
    "hard": "Queries whose hardest negative is closer than their positive",
}
MOST = 5000  # points of a curve that are drawn


def report(extractor: str) -> None:
    """The section of an extractor; nothing where its weights tell nothing."""
    from extractors.weights import measured_tables

    card = _card(extractor)
    if card is None:
        return
    st.subheader("How its weights were trained", anchor=False)
    st.markdown(plain(f"{_text(card, 'title')}. Learned from: {_text(card, 'data')}"))
    facts = [_text(card, "hardware"), f"{_number(card, 'hours')} h", _text(card, "commit")]
    st.caption(plain(" · ".join(fact for fact in facts if fact)))
    found = {name: points for name in CURVES if len(points := curve(card, name)) > 1}
    for column, (name, points) in zip(_columns(len(found)), found.items(), strict=False):
        with column:
            st.caption(CURVES[name])
            st.line_chart(points, x_label="step", height=200)
    for rows in measured_tables(card):
        st.dataframe(rows, hide_index=True, width="stretch")
    st.markdown(plain(_text(card, "notes")))
    with st.expander("Recipe"):
        st.code(_text(card, "command"), language=None, wrap_lines=True)
        recipe = card.get("recipe")
        if isinstance(recipe, dict):
            st.dataframe(
                [{"Name": str(key), "Value": str(value)} for key, value in recipe.items()],
                hide_index=True,
                width="stretch",
            )


def curve(card: dict[str, Any], name: str) -> pd.Series:
    """One curve of a card's history, by step; empty where there is none.

    The card comes out of a file of weights: what is no number is left out.
    """
    history = card.get("history")
    points = {
        int(entry["step"]): float(entry[name])
        for entry in (history[:MOST] if isinstance(history, list) else [])
        if isinstance(entry, dict) and _finite(entry.get("step")) and _finite(entry.get(name))
    }
    return pd.Series(points, name=CURVES[name], dtype=float).sort_index()


def _card(name: str) -> dict[str, Any] | None:
    from extractors import registry
    from extractors.weights import training_card

    try:
        weights = getattr(registry.create(name), "weights", None)
    except PlaygroundError:  # a published network whose file is not here
        return None
    path = getattr(weights, "path", None)
    return training_card(path) if path is not None else None


def _columns(count: int) -> list[Any]:
    return list(st.columns(count)) if count else []


def _text(card: dict[str, Any], key: str) -> str:
    value = card.get(key, "")
    return value if isinstance(value, str) else ""


def _number(card: dict[str, Any], key: str) -> str:
    value = card.get(key)
    return f"{value:g}" if _finite(value) else "?"


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
