"""The session's settings: begun by the link, kept over page switches, written back to the link."""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages.parts import settings as links
from pages.parts.settings import Settings

_KEY = "settings"


def current() -> Settings:
    """This session's settings; the first call reads them from the link."""
    if _KEY not in st.session_state:
        params = {name: st.query_params.get_all(name) for name in st.query_params}
        st.session_state[_KEY] = links.from_params(params)
        st.session_state["box_of_link"] = st.session_state[_KEY].box
    found: Settings = st.session_state[_KEY]
    return found


def update(**changes: object) -> Settings:
    """Change some settings."""
    st.session_state[_KEY] = current().replace(**changes)
    return current()


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
    for key in ("w_landmark", "w_photo_page"):
        st.session_state.pop(key, None)
