"""Downloads of the networks' weights, and the offer of ImageNet's beside results."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import streamlit as st

from data import permission
from data.errors import PlaygroundError
from pages.parts import backend
from pages.parts.text import plain

if TYPE_CHECKING:
    from extractors.weights import WeightFile
    from pages.parts.compare import Row

EVERY = 1.0  # s between two looks at a running download
log = logging.getLogger("playground")


class Fetch:
    """One download in a thread of its own; any session may look at it or stop it.

    ``then`` is called in the same thread once the file is here.
    """

    def __init__(self, row: WeightFile, then: Callable[[Fetch], None] | None = None) -> None:
        self.row, self._then = row, then
        self.note = ""  # what it does when the bytes are here
        self.done, self.total = 0, 0  # bytes; 0 of 0 before the first answer
        self.error = ""
        self._cancel = threading.Event()
        permission.require("download weights")
        run = permission.carried(self._run)
        self._thread = threading.Thread(target=run, name="weights", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    @property
    def fraction(self) -> float:
        return min(1.0, self.done / self.total) if self.total else 0.0

    def cancel(self) -> None:
        permission.require("stop a download")
        self._cancel.set()

    def wait(self, seconds: float) -> None:
        self._thread.join(seconds)

    def stopped(self, seconds: float) -> bool:
        """Wait; whether somebody has stopped it."""
        return self._cancel.wait(seconds)

    def _run(self) -> None:
        from data.paths import weights_root
        from extractors import downloads

        try:
            path = downloads.download(self.row, self._told, self._cancel)
            if path.parent != weights_root():
                # A copy of torch's own; shipped weights would go before it.
                downloads.import_file(self.row, path)
            if self._then is not None:
                self._then(self)
        except PlaygroundError as error:
            self.error = str(error)
        except Exception as error:
            log.exception("failed to get %s", self.row.file)
            self.error = f"{self.row.file} could not be put to use ({type(error).__name__})."

    def _told(self, done: int, total: int, text: str) -> None:
        self.done, self.total = done, total


class Fetches:
    """The downloads of this server, one at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.last: Fetch | None = None

    def start(self, row: WeightFile, then: Callable[[Fetch], None] | None = None) -> Fetch:
        """Begin a download, or return the one that is running."""
        with self._lock:
            if self.last is None or not self.last.running:
                self.last = Fetch(row, then)
            return self.last

    def dismiss(self) -> None:
        with self._lock:
            if self.last is not None and not self.last.running:
                self.last = None


@st.cache_resource(show_spinner=False)
def fetches() -> Fetches:
    return Fetches()


def show_running() -> None:
    with backend.guard("show the download"):
        last = fetches().last
        if last is None or not last.running:
            st.rerun(scope="app")
            return
        amount = f"{last.done / 1e6:,.0f} of {last.total / 1e6:,.0f} MB" if last.total else "…"
        doing = plain(last.note) or f"Downloading {plain(last.row.file)}: {amount}"
        st.progress(last.fraction, text=doing)
        if permission.allowed() and st.button("Stop", key="w_stop"):
            last.cancel()
            st.toast("The download is being stopped. What has arrived is kept.")


def show_ended(last: Fetch) -> None:
    if not last.error:
        st.success(f"{plain(last.row.file)} is here.")
        return
    st.error(plain(last.error))
    if st.button("Dismiss", key="w_dismiss"):
        fetches().dismiss()
        st.rerun()


def offer(collection: str, rows: Sequence[Row]) -> None:
    """ImageNet's weights for the rows that our small ones describe; a line for each network."""
    from extractors.weights import IMAGENET

    networks = {
        base: None
        for row in rows
        if (base := row.extractor.partition(":")[0]) in IMAGENET and row.result.weights == "bundled"
    }
    if not networks:
        return
    last = fetches().last
    for network in networks:
        _offer(collection, network, last)
    if last is not None and last.running:
        st.fragment(show_running, run_every=EVERY)()


def _offer(collection: str, network: str, last: Fetch | None) -> None:
    from data.paths import weights_root
    from extractors.weights import find, known, source_words

    files = {row.source: row for row in known(network)}
    row, shipped = files["imagenet"], find(files["bundled"])
    if shipped is None or shipped.parent == weights_root():
        return  # weights that the user has trained: they go before ImageNet's
    running = last is not None and last.running
    mine = last is not None and last.row.file == row.file
    if mine and last is not None and last.error and not running:
        st.error(plain(last.error))
    title, here = backend.title(network), (weights_root() / row.file).is_file()
    text = f"{title}: {source_words('bundled')}."
    button = f"Get ImageNet's ({row.megabytes:.0f} MB)"
    if here:
        job = backend.running_job(collection)
        # A build that has just started has not said yet what it builds.
        building = job is not None and (
            not job.stages
            or any(stage.extractor.partition(":")[0] == network for stage in job.stages)
        )
        text = (
            f"{title}: ImageNet's weights are here. Until "
            f"{'the running build is done' if building else 'it is built again'}, its rows are "
            f"described with the shipped ones, {source_words('bundled')}."
        )
        button = "" if building else f"Build {title} again"
    with st.container(horizontal=True, vertical_alignment="center", key=f"offer-{network}"):
        st.caption(text, width="content")
        if button and permission.allowed() and not (mine and running):
            pressed = st.button(button, key=f"get-{network}", type="tertiary", disabled=running)
            if pressed:
                fetches().start(row, lambda fetch: _build_again(fetch, collection, network))
                st.rerun()


def _build_again(fetch: Fetch, collection: str, network: str) -> None:
    """Build what the shipped weights describe, after the collection's build that may be running."""
    title = backend.title(network)
    while backend.running_job(collection) is not None:
        fetch.note = f"{title}: ImageNet's weights are here; waiting for the build that is running"
        if fetch.stopped(EVERY):
            return
    found = [
        one
        for one in backend.statuses(collection)
        if one.extractor.partition(":")[0] == network and one.weights == "bundled"
    ]
    built = {i.index: None for one in found for i in one.indexes if i.state != "missing"}
    if found:
        backend.start_build(collection, [one.extractor for one in found], list(built))
