"""What the process does once, before the first page: the demo, and the build of what it lacks."""

from __future__ import annotations

import os
import threading

import streamlit as st

from data.errors import PlaygroundError
from pages.parts import backend

DEMO = "demo"
SWITCH = "PLAYGROUND_DEMO"
"""Set to ``off`` in the environment, the app starts without preparing the demo collection."""


def begin() -> str:
    """Make the demo usable; a sentence on what went wrong, empty when all is well."""
    with st.spinner("Preparing the demo collection …", show_time=False):
        return _once()


@st.cache_resource(show_spinner=False)
def _once() -> str:
    from data import demo

    if os.environ.get(SWITCH, "").lower() == "off":
        return ""
    try:
        demo.ensure_demo()
        if _lacks_something():
            backend.start_build(DEMO, "all", "all")
    except PlaygroundError as error:
        return str(error)
    except Exception:
        backend.log.exception("the demo could not be prepared")
        return "The demo collection could not be prepared; the terminal shows the details."
    # The first search should not wait for the imports of FAISS and the networks' runtime.
    threading.Thread(target=_warm_up, daemon=True, name="warm-up").start()
    return ""


def _lacks_something() -> bool:
    """Whether an extractor or a basic index of the demo is missing and nobody builds it."""
    if backend.running_job(DEMO) is not None:
        return False
    found = {one.extractor: one for one in backend.statuses(DEMO)}
    for name in backend.extractor_names():
        one = found.get(name)
        if one is None or one.state in ("missing", "stale"):
            return True
        built = {index.index for index in one.indexes if index.state == "ready"}
        if not set(backend.BASIC_INDEXES) <= built:
            return True
    return False


def _warm_up() -> None:
    try:
        backend.engine()
    except Exception:
        backend.log.exception("the search engine could not be loaded ahead of time")
