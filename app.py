"""Landmark Retrieval Playground: start it with ``make app`` or ``streamlit run server.py``."""

from __future__ import annotations

import logging

import streamlit as st

from pages.parts import backend, classroom, looks, memory, startup
from pages.parts.entry import to_search
from pages.parts.text import plain

logging.getLogger("playground").setLevel(logging.INFO)


def main() -> None:
    st.set_page_config(page_title="Landmark Retrieval Playground", page_icon="🏛️", layout="wide")
    page = st.navigation(
        [
            st.Page("pages/search/page.py", title="Search", url_path="start", default=True),
            # The default page lives at "/" alone; its own name in an address leads there.
            st.Page(to_search, title="Search", url_path="search", visibility="hidden"),
            st.Page("pages/learn/page.py", title="Learn", url_path="learn"),
            st.Page("pages/accuracy/page.py", title="Accuracy", url_path="accuracy"),
            st.Page("pages/tradeoffs/page.py", title="Trade-offs", url_path="tradeoffs"),
            st.Page("pages/inside/page.py", title="Inside the index", url_path="inside"),
            st.Page("pages/embedding/page.py", title="Embedding map", url_path="embedding"),
            st.Page("pages/collections/page.py", title="Collections", url_path="collections"),
            st.Page("pages/methods/page.py", title="Methods", url_path="methods"),
        ],
        position="top",
    )
    st.logo("pages/parts/logo.svg", size="large")
    looks.apply()
    with backend.guard("draw this page"):
        classroom.begin()
        trouble = startup.begin()
        if trouble:
            st.warning(plain(trouble))
        page.run()
    memory.page_ran()


main()
