"""When garbage is collected: in a quiet moment, instead of after every run of a page.

Streamlit's runs leave cycles behind. Python collects them by their number, whatever their size, and
that is enough while people work (docs/measurements.md); what is left is given back here.
"""

from __future__ import annotations

import gc
import threading

import streamlit as st

QUIET_S = 2.0  # without a run

_ran = threading.Event()


def page_ran() -> None:
    """Note that a page was drawn; starts the collector at the first one."""
    _ran.set()
    _start()


@st.cache_resource(show_spinner=False)
def _start() -> None:
    threading.Thread(target=_collect_when_quiet, daemon=True, name="memory").start()


def _collect_when_quiet() -> None:
    while True:
        _ran.wait()
        _ran.clear()
        if not _ran.wait(QUIET_S):
            gc.collect()
