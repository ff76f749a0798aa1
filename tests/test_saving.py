"""Files behind the buttons stay while other sessions' pages are drawn."""

from __future__ import annotations

from unittest import mock

import pytest
from streamlit.runtime import media_file_manager
from streamlit.runtime.media_file_manager import MediaFileManager
from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage

from pages.parts import saving


@pytest.fixture
def manager() -> MediaFileManager:
    return MediaFileManager(MemoryMediaFileStorage("/media"))


def id_of(url: str) -> str:
    return url.rpartition("/")[2].partition(".")[0]


def drawn_again(manager: MediaFileManager, session: str) -> None:
    """A session's page begins to be drawn, and those of others are done meanwhile."""
    manager.clear_session_refs(session)
    for _ in range(3):
        manager.remove_orphaned_files()


def test_a_file_on_the_screen_stays(manager: MediaFileManager) -> None:
    kept = saving.Kept()
    with mock.patch.object(media_file_manager, "_get_session_id", lambda: "mine"):
        lost = id_of(manager.add(b"lost", "text/csv", "1", "a.csv", is_for_static_download=True))
        url = manager.add(b"a,b", "text/csv", "2", "a.csv", is_for_static_download=True)
    kept.hold(manager, b"a,b", "text/csv", "a.csv")
    drawn_again(manager, "mine")
    assert manager.read_file(lost) is None  # what Streamlit does by itself
    found = manager.read_file(id_of(url))
    assert found is not None and found.content == b"a,b"


def test_a_file_that_is_made_on_the_press_stays(manager: MediaFileManager) -> None:
    kept = saving.Kept()

    def make() -> bytes:
        kept.hold(manager, b"made", "text/html", "r.html")
        return b"made"

    with mock.patch.object(media_file_manager, "_get_session_id", lambda: "mine"):
        placeholder = manager.add_deferred(make, "text/html", "3", "r.html")
    url = manager.execute_deferred(placeholder)
    drawn_again(manager, "mine")
    found = manager.read_file(id_of(url))
    assert found is not None and found.content == b"made"


def test_what_is_kept_is_bounded(
    manager: MediaFileManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "KEPT", 4)
    monkeypatch.setattr(saving, "KEPT_BYTES", 100)
    kept = saving.Kept()
    for number in range(6):
        kept.hold(manager, bytes([number]) * 10, "text/csv", "a.csv")
        kept.hold(manager, bytes([0]) * 10, "text/csv", "a.csv")  # wanted again and again
    kept.hold(manager, b"x" * 101, "text/csv", "too-large.csv")
    drawn_again(manager, "any")
    left = {file.content for file in manager._storage._files_by_id.values() if file.content}
    assert left == {bytes([number]) * 10 for number in (0, 3, 4, 5)}
    kept.hold(manager, b"y" * 75, "text/csv", "large.csv")
    drawn_again(manager, "any")
    left = {file.content for file in manager._storage._files_by_id.values() if file.content}
    assert left == {b"y" * 75, bytes([0]) * 10, bytes([5]) * 10}
