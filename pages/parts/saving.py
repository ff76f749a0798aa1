"""Buttons that save what a page shows as files."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

import streamlit as st
from streamlit import runtime
from streamlit.runtime.media_file_manager import MediaFileManager

Content = str | Callable[[], str] | Callable[[], bytes]
_KINDS = {
    "CSV": "text/csv",
    "JSON": "application/json",
    "HTML": "text/html",
    "NPZ": "application/zip",
}
KEPT, KEPT_BYTES = 200, 64 << 20  # the latest files of all sessions, while they fit


class Kept:
    """Keeps files at hand for a while.

    Streamlit lets go of a session's files when its page is drawn again, and deletes what nobody
    holds whenever any session's page is done. So with many visitors a button that is on the screen
    leads to nothing. Held in a thread without a session, a file stays.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: OrderedDict[tuple[str, str, bytes], str] = OrderedDict()  # to its place
        self._free: list[str] = [f"kept-{number}" for number in range(KEPT)]
        self._bytes = 0

    def hold(self, manager: MediaFileManager, content: bytes, kind: str, file: str) -> None:
        thread = threading.Thread(target=self._hold, args=(manager, content, kind, file))
        thread.start()
        thread.join()

    def _hold(self, manager: MediaFileManager, content: bytes, kind: str, file: str) -> None:
        with self._lock:
            what = (kind, file, content)
            if what in self._held:
                self._held.move_to_end(what)
                return
            if len(content) > KEPT_BYTES:
                return
            while not self._free or self._bytes + len(content) > KEPT_BYTES:
                (_, _, oldest), place = self._held.popitem(last=False)
                self._bytes -= len(oldest)
                self._free.append(place)
                manager.add(b"", "text/plain", place, is_for_static_download=True)
            place = self._held[what] = self._free.pop()
            self._bytes += len(content)
            manager.add(content, kind, place, file, is_for_static_download=True)


@st.cache_resource(show_spinner=False)
def _kept() -> Kept:
    return Kept()


def button(label: str, content: Content, file: str, about: str, key: str | None = None) -> None:
    """A button that saves a file, without drawing the page again.

    Args:
        label: what is on it; its last word is the kind: CSV, JSON, HTML or NPZ.
        content: the file; a function is called when the button is pressed, once for each press.
        about: the tooltip.
    """
    kind = _KINDS[label.split()[-1].upper()]
    kept = _kept()

    def held(made: str | bytes) -> str | bytes:
        if runtime.exists():
            given = made.encode() if isinstance(made, str) else made
            kept.hold(runtime.get_instance().media_file_mgr, given, kind, file)
        return made

    def make() -> str | bytes:
        return held(content()) if callable(content) else content

    st.download_button(
        label,
        make if callable(content) else held(content),
        file,
        kind,
        on_click="ignore",
        help=about,
        key=key,
    )
