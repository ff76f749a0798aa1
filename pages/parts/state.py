"""The session's settings: begun by the link, kept over page switches, written back to the link."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from pages.parts import settings as links
from pages.parts.settings import Settings

_KEY = "settings"
_NOTICES = "notices"  # what was wrong with the link: about what -> the warning
_BY_ITSELF = ("collection", "source", "query", "box")  # unset until the page has chosen them
_FOLLOW = ("w_landmark", "w_photo_page", "w_query_page")  # they begin anew with another query


def current() -> Settings:
    """This session's settings; the first call reads them from the link."""
    if _KEY not in st.session_state:
        _read_link()
    found: Settings = st.session_state[_KEY]
    return found


def _read_link() -> Settings:
    params = {name: st.query_params.get_all(name) for name in st.query_params}
    found = st.session_state[_KEY] = links.from_params(params)
    st.session_state["box_of_link"] = found.box
    return found


def follow_address(names: Sequence[str]) -> None:
    """Read the address again where Back or Forward brought it; call it before any widget.

    At all other times the address is behind the settings: it is written from them, and what the
    browser sends may be older.

    Args:
        names: the collections that there are.
    """
    context = get_script_run_ctx()
    if context is None or not context.is_history_navigation or _KEY not in st.session_state:
        return
    found = _read_link()
    st.session_state.pop(_NOTICES, None)
    widgets = {"w_source": found.source, "w_k": found.k}
    if found.collection in names:
        widgets["w_collection"] = str(found.collection)
    for key, value in widgets.items():
        st.session_state[key] = value
    for key in _FOLLOW:
        st.session_state.pop(key, None)


def update(**changes: object) -> Settings:
    """Change some settings, as someone chose; what a link got wrong is then no longer said."""
    before = current()
    after = st.session_state[_KEY] = before.replace(**changes)
    if any(
        getattr(before, name) != getattr(after, name)
        and not (name in _BY_ITSELF and getattr(before, name) is None)
        for name in changes
    ):
        st.session_state.pop(_NOTICES, None)
    return after


def mend(about: str, warning: str = "", **changes: object) -> Settings:
    """Settings that exist instead of those that a link asked for; the warning stays (``warn``)."""
    st.session_state[_KEY] = dataclasses.replace(current(), **changes)  # type: ignore[arg-type]
    if warning:
        st.session_state.setdefault(_NOTICES, {})[about] = warning
    return current()


def warn(about: str) -> None:
    """Show what was wrong with the link, until the next choice."""
    warning = st.session_state.get(_NOTICES, {}).get(about)
    if warning:
        st.warning(warning)


def write_link(**shown: object) -> None:
    """Put the settings into the address bar, where they differ from what it says.

    ``shown`` stands in for settings that nobody has chosen yet.
    """
    settings = current()
    unset = {name: value for name, value in shown.items() if getattr(settings, name) is None}
    wanted = links.to_params(settings.replace(**unset))
    have = {name: st.query_params.get_all(name) for name in st.query_params}
    if have != {k: v if isinstance(v, list) else [v] for k, v in wanted.items()}:
        st.query_params.from_dict(wanted)


def seed(key: str, value: Any) -> None:
    """Give a widget its value before it is drawn for the first time, or again after a switch."""
    if key not in st.session_state:
        st.session_state[key] = value


def use_as_query(collection: str, photo_id: str, is_query: bool = False) -> None:
    """Make a photo of a collection the query; call it before the page draws its widgets."""
    source = "query" if is_query else "photo"
    update(collection=collection, source=source, query=photo_id, box=None)
    for key, value in (("w_collection", collection), ("w_source", source)):
        st.session_state[key] = value
    for key in _FOLLOW:
        st.session_state.pop(key, None)
