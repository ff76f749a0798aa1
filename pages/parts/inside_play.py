"""Play, pause and step for a slider of Inside the index: its values one after the other.

The view is a fragment that is drawn again every ``EVERY`` seconds while it plays, and moves the
slider on each time. One thing plays at a time; a slider that is moved by hand plays on from there.
"""

from __future__ import annotations

import bisect
import time
from collections.abc import Sequence

import streamlit as st

EVERY = 1.1  # s between two values
_PLAYING = "in_playing"  # in the session: (key of the slider, when the next value is due)


def every() -> float | None:
    """How often the view's fragment is drawn again; None while nothing plays."""
    return EVERY if _PLAYING in st.session_state else None


def stop() -> None:
    st.session_state.pop(_PLAYING, None)


def is_playing(key: str) -> bool:
    """Whether this slider plays."""
    return bool(st.session_state.get(_PLAYING, ("", 0.0))[0] == key)


def controls(key: str, values: Sequence[int], default: int, what: str) -> None:
    """Draw the buttons; call it before the slider, whose value they change.

    Args:
        key: of the slider, in the session.
        values: ascending, what is played through; the slider may stand between them.
        default: the slider's value before anybody moved it.
        what: what is played, for screen readers: "nprobe".
    """
    now = int(st.session_state.get(key, default))
    if _PLAYING in st.session_state and not is_playing(key):
        stop()  # another slider's play ended when its view was left
        st.rerun(scope="app")
    if is_playing(key) and time.monotonic() >= st.session_state[_PLAYING][1]:
        if now >= values[-1]:
            stop()
            st.rerun(scope="app")  # only a whole run ends the drawing again
        now = after(values, now)
        st.session_state[_PLAYING] = (key, time.monotonic() + 0.8 * EVERY)
    st.session_state[key] = now
    playing = is_playing(key)
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        toggled = st.button(
            "⏸ Pause" if playing else "▶ Play",
            key=f"{key}-play",
            help=f"{'Stop at' if playing else 'Go through the values of'} {what}",
            on_click=_toggle,
            args=(key, values, default),
        )
        if toggled:
            st.rerun(scope="app")
        st.button(
            "‹",
            key=f"{key}-back",
            help=f"One value of {what} back",
            disabled=now <= values[0],
            on_click=_move,
            args=(key, before(values, now)),
        )
        st.button(
            "›",
            key=f"{key}-on",
            help=f"One value of {what} on",
            disabled=now >= values[-1],
            on_click=_move,
            args=(key, after(values, now)),
        )


def after(values: Sequence[int], now: int) -> int:
    """The next value; the last one where there is none."""
    return values[min(bisect.bisect_right(values, now), len(values) - 1)]


def before(values: Sequence[int], now: int) -> int:
    """The value before; the first one where there is none."""
    return values[max(bisect.bisect_left(values, now) - 1, 0)]


def _toggle(key: str, values: Sequence[int], default: int) -> None:
    if is_playing(key):
        stop()
        return
    if int(st.session_state.get(key, default)) >= values[-1]:
        st.session_state[key] = values[0]  # from the beginning
    st.session_state[_PLAYING] = (key, time.monotonic() + 0.8 * EVERY)


def _move(key: str, value: int) -> None:
    st.session_state[key] = value
    stop()
