"""The few style rules that the theme cannot express."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

_CSS = """
<style>
.stMainBlockContainer { padding: 4.2rem 2.2rem 4rem; max-width: 1500px; }
h1 a, h2 a, h3 a { display: none !important; }
/* Streamlit's own colours for these have a contrast below 4.5:1. */
.stApp [data-testid=stCaptionContainer], .stApp [data-testid=stCaptionContainer] *,
.stApp .stCode .token { color: inherit; }
.stApp [data-testid=stCaptionContainer] { opacity: .8; }
/* A formula that is a hair too wide is no place to scroll in. */
@media (min-width: 641px) { .stApp .katex-display { overflow: visible; } }
@media (prefers-color-scheme: dark) {
  .stApp [data-testid^=stBaseButton-primary]:not(:disabled) *,
  .stApp [data-tag-index], .stApp [data-tag-index] * { color: #0f1420; }
}
.stApp .katex-display > .katex { white-space: normal; }
.katex-display .base { margin: .15em 0; }
.stMainBlockContainer h1 { padding: 0 0 .1rem; }
.stMainBlockContainer h2 { padding: .4rem 0 .2rem; }
.stMainBlockContainer h3 { padding: .2rem 0; }
.st-key-why_pictures img { width: auto !important; max-width: 100%; max-height: 25rem;
  object-fit: contain; align-self: center; margin: 0 auto; }
/* Search on one screen: the query and the methods in a narrow column, the results beside it. */
.stMainBlockContainer:has(.st-key-search) { padding-top: 3.7rem; padding-bottom: 2rem; }
.st-key-search { display: grid; align-items: start; grid-template-columns: 340px minmax(0, 1fr);
  grid-template-rows: auto 1fr; column-gap: 1.6rem; row-gap: .6rem;
  grid-template-areas: "query results" "methods results"; }
.st-key-search > * { min-width: 0; width: 100%; }
.st-key-search > :has(> .st-key-search_query) { grid-area: query; }
.st-key-search > :has(> .st-key-search_methods) { grid-area: methods; }
.st-key-search > :has(> .st-key-search_results) { grid-area: results; }
/* A build's progress lies over the results' lower edge: nothing moves when it comes or goes. */
:has(> .st-key-search_strip) { position: fixed; z-index: 90; inset: auto .7rem .7rem auto;
  width: min(46rem, calc(100vw - 1.4rem)); border-radius: .6rem; background: #ffffff; }
.stMainBlockContainer:has(.st-key-search_strip .st-key-strip) { padding-bottom: 10rem; }
@media (prefers-color-scheme: dark) { :has(> .st-key-search_strip) { background: #0f1420; } }
.st-key-search h1 { font-size: 1.35rem; padding: 0; }
.st-key-search_query .stButtonGroup button, .st-key-search_methods .stButtonGroup button {
  min-height: 1.8rem; padding: .1rem .6rem; font-size: .85rem; }
.st-key-search_box button { min-height: 2rem; padding: .1rem .7rem; font-size: .85rem; }
.st-key-search_box p { font-size: .85rem; }
.st-key-search_view { justify-content: flex-end; }
.teacher-form { display: flex; flex-direction: column; gap: .5rem; }
.teacher-form input { padding: .45rem .7rem; border-radius: .6rem; border: 1px solid currentColor;
  background: transparent; color: inherit; font: inherit; }
.teacher-form button { padding: .4rem .7rem; border-radius: .6rem; border: 1px solid currentColor;
  background: transparent; color: inherit; font: inherit; cursor: pointer; }
@media (max-width: 900px) {
  .st-key-search { grid-template-columns: minmax(0, 1fr); grid-template-rows: auto;
    grid-template-areas: "query" "results" "methods"; }
}
@media (max-width: 640px) {
  .stMainBlockContainer { padding: 4rem .9rem 3rem; }
  .stMainBlockContainer h1 { font-size: 1.5rem; }
  .stMainBlockContainer .stHorizontalBlock { row-gap: .7rem; }
  .st-key-why_pictures img { max-height: 17.5rem; }
}
</style>
"""


def apply() -> None:
    """Once per run, before anything is drawn."""
    st.html(_CSS)


def heading(text: str, below: str) -> DeltaGenerator:
    """A page's title with one plain sentence under it; the place at its right."""
    left, right = st.columns([7, 3], vertical_alignment="bottom", gap="large")
    with left:
        st.title(text, anchor=False)
        st.caption(below)
    return right
