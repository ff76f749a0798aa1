"""Room for decoded photos: what all threads hold at a time is bounded, whoever they are."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Iterator

ROOM = 50_000_000  # pixels being decoded at a time, some 150 to 600 MB; a larger photo goes alone


class Gate:
    """Lets work in while the sum of its sizes stays within ``room``, in the order of arrival."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._taken = 0
        self._queue: deque[object] = deque()
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def take(self, size: int) -> Iterator[None]:
        """Wait for room, and hold it for as long as this lasts. Must not be nested."""
        size = min(size, self._room)
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
            try:
                # Nobody is overtaken: a large photo would wait for ever beside many small ones.
                self._changed.wait_for(
                    lambda: self._queue[0] is ticket and self._taken + size <= self._room
                )
                self._taken += size
            finally:
                self._queue.remove(ticket)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._taken -= size
                self._changed.notify_all()


decoding = Gate(ROOM)
