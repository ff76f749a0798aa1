"""Landmark Retrieval Playground: start it with ``make app`` or ``streamlit run app.py``."""

from __future__ import annotations

import logging

import streamlit as st

from pages.parts import backend, entry, looks, startup

logging.getLogger("playground").setLevel(logging.INFO)


def main() -> None:
    st.set_page_config(page_title="Landmark Retrieval Playground", page_icon="🏛️", layout="wide")
    page = st.navigation(
        [
            st.Page("pages/search.py", title="Search", url_path="search", default=True),
            st.Page("pages/accuracy.py", title="Accuracy", url_path="accuracy"),
            st.Page("pages/collections.py", title="Collections", url_path="collections"),
            st.Page("pages/methods.py", title="Methods", url_path="methods"),
        ],
        position="top",
    )
    looks.apply()
    trouble = startup.begin()
    if trouble:
        st.warning(trouble)
    with backend.guard("draw this page"), entry.inside_app():
        page.run()


main()
