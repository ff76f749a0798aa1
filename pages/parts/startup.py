"""What the process does once, before the first page: the demo, and the build of what it lacks."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import streamlit as st

from data import decoding, permission
from data.errors import PlaygroundError
from data.paths import vectors_root
from extractors import registry as extractor_registry
from indexing import registry as index_registry
from pages.parts import backend

if TYPE_CHECKING:
    from data.store import Collection

DEMO = "demo"
SWITCH = "PLAYGROUND_DEMO"
"""Set to ``off`` in the environment, the app starts without preparing the demo collection."""

_checked = threading.Event()
_checked.set()


def begin() -> str:
    """Make the demo usable; a sentence on what went wrong, empty when all is well."""
    with st.spinner("Preparing the demo collection …", show_time=False):
        return _once()


@st.cache_resource(show_spinner=False)
def _once() -> str:
    from data import demo

    if os.environ.get(SWITCH, "").lower() == "off":
        return ""
    _checked.clear()
    try:
        with permission.as_owner():
            _restore(demo.ensure_demo())
            if not vectors_root(DEMO).is_dir():  # nothing to look into
                _build_what_lacks()
                _checked.set()
    except PlaygroundError as error:
        _checked.set()
        return str(error)
    except Exception:
        _checked.set()
        backend.log.exception("the demo could not be prepared")
        return "The demo collection could not be prepared; the terminal shows the details."
    # Looking at what is built, and the first search, import torch and FAISS: seconds, in which
    # the page should be there already.
    threading.Thread(target=_warm_up, daemon=True, name="warm-up").start()
    return ""


def _restore(collection: Collection) -> None:
    """Take what the demo comes with; the log says what did not fit and is built instead."""
    from data import demo
    from indexing import prebuilt

    try:
        content = demo.DemoSource().describe()["content"]
        done = prebuilt.restore(collection, content, demo.PREBUILT)
    except PlaygroundError as error:
        backend.log.warning("%s What the demo comes with is built instead.", error)
        return
    if done.parts:
        backend.log.info("The demo: %d prebuilt artefacts restored.", len(done.parts))
    for said in done.refused.values():
        backend.log.warning("Not restored but built: %s", said)


def checked() -> bool:
    """Whether it is known that the demo lacks nothing, or its build has been started."""
    return _checked.is_set()


def _build_what_lacks() -> None:
    if _lacks_something():
        backend.start_build(DEMO, "all", "all")


def _lacks_something() -> bool:
    """Whether an extractor or a basic index of the demo is missing and nobody builds it."""
    if backend.running_job(DEMO) is not None:
        return False
    found = {one.extractor: one for one in backend.statuses(DEMO)}
    for name in extractor_registry.names():
        one = found.get(name)
        if one is None or one.state in ("missing", "stale", "damaged"):
            return True
        built = {index.index for index in one.indexes if index.state == "ready"}
        if not set(index_registry.basic()) <= built:
            return True
    return False


def _warm_up() -> None:
    try:
        decoding.warm()
        if not _checked.is_set():
            with permission.as_owner():
                _build_what_lacks()
        backend.engine()
    except Exception:
        backend.log.exception("the start could not be finished")
    finally:
        _checked.set()
