"""The networks' weights: what is here, and a button to download the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from data import permission
from data.errors import PlaygroundError
from pages.parts import classroom
from pages.parts.weights import EVERY, fetches, show_ended, show_running

if TYPE_CHECKING:
    from extractors.weights import WeightFile


def panel() -> None:
    """The table of weights, the button, and the download that runs."""
    from extractors.weights import TABLE, find, source_words, timm_files

    rows = list(dict.fromkeys((*TABLE, *_presets(), *timm_files())))
    here = {row.file: find(row) is not None for row in rows}
    st.markdown(
        "Nothing is downloaded unless you ask for it. Files come from their authors' servers, are "
        "verified, and are read without running code from them."
    )
    lines = [
        {
            "Network": row.network,
            "Source": source_words(row.source),
            "Here": here[row.file],
            "Licence": row.licence,
            "About": row.note,
        }
        for row in rows
    ]
    st.dataframe(lines, hide_index=True, width="stretch")
    last = fetches().last
    if last is not None and last.running:
        st.fragment(show_running, run_every=EVERY)()
        return
    if last is not None:
        show_ended(last)
    absent = [row for row in rows if row.url and not here[row.file]]
    missing = {f"{row.network} ({row.file})": row for row in absent}
    if missing and permission.allowed():
        chosen = st.selectbox("File to download", list(missing), key="w_file")
        if st.button("Download", key="w_download") and chosen is not None:
            fetches().start(missing[chosen])
            st.rerun()
    if not permission.allowed():
        st.caption(classroom.VISITORS)
        return
    st.caption(
        "A file that you have already: `python -m scripts.weights import NAME FILE`. After a "
        "download, build the extractor again. Any other network of timm: "
        "`python -m scripts.weights download timm:NAME`, then build `timm:model=NAME`."
    )


def _presets() -> list[WeightFile]:
    """Files of the timm models that are a good start; none where timm is not installed."""
    from extractors import timm_names
    from extractors.weights import known

    try:
        return [row for name in timm_names.PRESETS for row in known(f"{timm_names.PREFIX}{name}")]
    except PlaygroundError:
        return []
