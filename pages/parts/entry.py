"""Addresses that are no page's own: those of a first request, and ``/search``.

Streamlit takes a folder named ``pages`` for its older kind of app until ``st.navigation`` has run
once in the process: each file right in the folder is then a page, and any other address "Page not
found". So that the first link to ``/collections`` after a start works, ``pages`` holds a door for
each address (``_collections.py``), which runs app.py, which shows the page.
"""

from __future__ import annotations

import runpy

import streamlit as st

from data.paths import PROJECT_ROOT


def open_app() -> None:
    """What a door does."""
    runpy.run_path(str(PROJECT_ROOT / "app.py"), run_name="__main__")


def to_search() -> None:
    """The page at ``/search``: goes to the Search page with the link's parameters."""
    kept = {name: st.query_params.get_all(name) for name in st.query_params}
    st.switch_page("pages/search/page.py", query_params=kept)
