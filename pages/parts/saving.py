"""Buttons that save what a page shows as files."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

Content = str | Callable[[], str] | Callable[[], bytes]
_KINDS = {
    "CSV": "text/csv",
    "JSON": "application/json",
    "HTML": "text/html",
    "NPZ": "application/zip",
}


def button(label: str, content: Content, file: str, about: str, key: str | None = None) -> None:
    """A button that saves a file, without drawing the page again.

    Args:
        label: what is on it; its last word is the kind: CSV, JSON, HTML or NPZ.
        content: the file; a function is called when the button is pressed, once for each press.
        about: the tooltip.
    """
    st.download_button(
        label,
        content,
        file,
        _KINDS[label.split()[-1].upper()],
        on_click="ignore",
        help=about,
        key=key,
    )
