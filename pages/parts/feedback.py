"""Relevance feedback: hits that were marked right or wrong, and taking marks back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pages.parts import backend, state
from pages.parts.text import plain

if TYPE_CHECKING:
    from data.store import Collection

MARKS = {"right": "Right", "wrong": "Wrong"}


def mark(photo_id: str, as_what: str | None) -> None:
    """Mark a photo as "right" or "wrong", or take its mark back (None)."""
    settings = state.current()
    changes = {
        name: tuple(one for one in getattr(settings, name) if one != photo_id) for name in MARKS
    }
    if as_what is not None:
        changes[as_what] += (photo_id,)
    state.update(**changes)


def buttons(photo_id: str) -> bool:
    """Draw the two marks of a hit; whether one was clicked (then search again)."""
    settings = state.current()
    now = next((name for name in MARKS if photo_id in getattr(settings, name)), None)
    clicked = False
    with st.container(horizontal=True, gap="small"):
        for name, words in MARKS.items():
            on = now == name
            clicked |= st.button(
                f"{words} {'✓' if on else ''}".strip(),
                key=f"mark_{name}",
                type="primary" if on else "secondary",
                on_click=mark,
                args=(photo_id, None if on else name),
                help="Moves the query towards right hits and away from wrong ones (Rocchio)",
            )
    return clicked


def strip(members: Collection) -> None:
    """What is marked, each with a button that takes it back; nothing where nothing is."""
    settings = state.current()
    marked = [(one, name) for name in MARKS for one in getattr(settings, name)]
    if not marked:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="feedback"):
        st.caption("Feedback moves the query in the rows with Rocchio:")
        for number, (photo_id, name) in enumerate(marked):
            known = photo_id in members.ids
            words = backend.caption(members, members.photo(photo_id)) if known else photo_id
            st.button(
                f"{'✓' if name == 'right' else '✗'} {plain(words)}  ×",
                key=f"unmark-{number}",
                on_click=mark,
                args=(photo_id, None),
                help=f"Marked {name}: take it back",
            )
        st.button("Clear", key="unmark-all", on_click=clear)


def clear() -> None:
    """Take all marks back."""
    state.update(right=(), wrong=())
