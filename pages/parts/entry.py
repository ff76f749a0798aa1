"""A page runs inside app.py, whichever address is opened first.

Streamlit takes a folder named ``pages`` for its older kind of app until ``st.navigation`` has run
once in the process: the first link to ``/collections`` after a start would run the page's script
alone, without navigation, start-up work and error handling. The page then runs app.py instead,
which comes back to the page.
"""

from __future__ import annotations

import contextlib
import runpy
import threading
from collections.abc import Callable, Iterator

import streamlit as st

from data.paths import PROJECT_ROOT

_here = threading.local()


@contextlib.contextmanager
def inside_app() -> Iterator[None]:
    """app.py runs its page inside this."""
    _here.app = True
    try:
        yield
    finally:
        _here.app = False


def run(page: Callable[[], None]) -> None:
    """The last line of every page: draw it, by way of app.py where it was opened alone."""
    if getattr(_here, "app", False):
        page()
    else:
        runpy.run_path(str(PROJECT_ROOT / "app.py"), run_name="__main__")


def to_search() -> None:
    """The page at ``/search``: goes to the Search page with the link's parameters."""
    kept = {name: st.query_params.get_all(name) for name in st.query_params}
    st.switch_page("pages/search.py", query_params=kept)
