"""The networks' weights on the Methods page: what is here, and a button to download the rest."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

import streamlit as st

from data.errors import PlaygroundError
from pages.parts import backend
from pages.parts.text import plain

if TYPE_CHECKING:
    from extractors.weights import WeightFile

EVERY = 1.0  # s between two looks at a running download
log = logging.getLogger("playground")


class Fetch:
    """One download in a thread of its own; any session may look at it or stop it."""

    def __init__(self, row: WeightFile) -> None:
        self.row = row
        self.done, self.total = 0, 0  # bytes; 0 of 0 before the first answer
        self.error = ""
        self._cancel = threading.Event()
        self._thread = threading.Thread(target=self._run, name="weights", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    @property
    def fraction(self) -> float:
        return min(1.0, self.done / self.total) if self.total else 0.0

    def cancel(self) -> None:
        self._cancel.set()

    def wait(self, seconds: float) -> None:
        self._thread.join(seconds)

    def _run(self) -> None:
        from extractors import downloads

        try:
            downloads.download(self.row, self._told, self._cancel)
        except PlaygroundError as error:
            self.error = str(error)
        except Exception as error:
            log.exception("failed to download %s", self.row.file)
            self.error = f"{self.row.file} could not be downloaded ({type(error).__name__})."

    def _told(self, done: int, total: int, text: str) -> None:
        self.done, self.total = done, total


class Fetches:
    """The downloads of this server, one at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.last: Fetch | None = None

    def start(self, row: WeightFile) -> Fetch:
        """Begin a download, or return the one that is running."""
        with self._lock:
            if self.last is None or not self.last.running:
                self.last = Fetch(row)
            return self.last

    def dismiss(self) -> None:
        with self._lock:
            if self.last is not None and not self.last.running:
                self.last = None


@st.cache_resource(show_spinner=False)
def fetches() -> Fetches:
    return Fetches()


def panel() -> None:
    """The table of weights, the button, and the running download."""
    from extractors.weights import TABLE, find

    here = {row.file: find(row) is not None for row in TABLE}
    st.markdown(
        "Nothing is downloaded unless you ask for it. Files come from their authors' servers, are "
        "verified, and are read without running code from them."
    )
    lines = [
        {
            "Network": row.network,
            "Source": row.source,
            "Here": here[row.file],
            "Licence": row.licence,
            "About": row.note,
        }
        for row in TABLE
    ]
    st.dataframe(lines, hide_index=True, width="stretch")
    last = fetches().last
    if last is not None and last.running:
        st.fragment(_running, run_every=EVERY)()
        return
    if last is not None:
        _ended(last)
    absent = [row for row in TABLE if row.url and not here[row.file]]
    missing = {f"{row.network} ({row.file})": row for row in absent}
    if missing:
        chosen = st.selectbox("File to download", list(missing), key="w_file")
        if st.button("Download", key="w_download") and chosen is not None:
            fetches().start(missing[chosen])
            st.rerun()
    st.caption(
        "A file that you have already: `python -m scripts.weights import NAME FILE`. After a "
        "download, build the extractor again."
    )


def _running() -> None:
    with backend.guard("show the download"):
        last = fetches().last
        if last is None or not last.running:
            st.rerun(scope="app")
            return
        amount = f"{last.done / 1e6:,.0f} of {last.total / 1e6:,.0f} MB" if last.total else "…"
        st.progress(last.fraction, text=f"Downloading {plain(last.row.file)}: {amount}")
        if st.button("Stop", key="w_stop"):
            last.cancel()
            st.toast("The download is being stopped. What has arrived is kept.")


def _ended(last: Fetch) -> None:
    if not last.error:
        st.success(f"{plain(last.row.file)} is here.")
        return
    st.error(plain(last.error))
    if st.button("Dismiss", key="w_dismiss"):
        fetches().dismiss()
        st.rerun()
