"""``/search``, the default page's own name in an address."""

from __future__ import annotations

import streamlit as st


def to_search() -> None:
    """The page at ``/search``: goes to the Search page with the link's parameters."""
    kept = {name: st.query_params.get_all(name) for name in st.query_params}
    st.switch_page("pages/search/page.py", query_params=kept)
