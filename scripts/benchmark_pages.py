"""What one change on a page costs: CPU seconds, bytes and waiting, for one user and for many.

A server of its own is started on the collections that are there; sessions talk to it as browsers
do, without one, and ask once for every photo that a page names, also for those that a browser would
leave for later. On the Search page K is changed, on the others the page is drawn again.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import re
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.request import urlopen

import psutil
import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection

from data import paths
from data.errors import PlaygroundError

_START_S = 60
SLIDER = "Results per row (K)"
_PHOTO = re.compile(rb"/(?:photos|media)/[\w./-]+\.jpg")


class Counted(ClientConnection):
    """Counts what comes over the wire, where it is compressed."""

    received = 0

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        super().data_received(data)


class Session:
    """One browser tab: it opens a page, and asks for it again."""

    def __init__(self, port: int, page: str, query: str) -> None:
        self.port, self.page, self.query = port, page, query
        self.photos = self.photo_bytes = self.missing = 0
        self._named: list[str] = []  # photos, in the order of the page
        self._asked: set[str] = set()
        self._slider = ""
        self._hashes: list[str] = []
        self._page_hash = ""

    async def __aenter__(self) -> Session:
        self._socket: Any = await websockets.connect(
            f"ws://127.0.0.1:{self.port}/_stcore/stream",
            subprotocols=[websockets.Subprotocol("streamlit")],
            create_connection=Counted,
            max_size=None,
            ping_interval=None,
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._socket.close()

    @property
    def bytes(self) -> int:
        return int(self._socket.received)

    async def draw(self, k: int | None = None) -> float:
        """Draw the page, with another K where given; the seconds until it is complete."""
        asked = BackMsg()
        state = asked.rerun_script
        state.query_string = self.query
        state.page_script_hash = self._page_hash
        state.page_name = "" if self.page == "search" else self.page
        state.cached_message_hashes.extend(self._hashes)
        state.widget_states.SetInParent()
        if k is not None and self._slider:
            one = state.widget_states.widgets.add(id=self._slider)
            one.double_array_value.data.append(k)
        start = time.perf_counter()
        await self._socket.send(asked.SerializeToString())
        while True:
            content = await self._socket.recv()
            assert isinstance(content, bytes)
            self._named += [one.decode() for one in _PHOTO.findall(content)]
            message = ForwardMsg.FromString(content)
            kind = message.WhichOneof("type")
            if message.metadata.cacheable and message.hash not in self._hashes:
                self._hashes.append(message.hash)
            if kind == "navigation":
                self._page_hash = message.navigation.page_script_hash
            elif kind == "delta" and message.delta.new_element.slider.label == SLIDER:
                self._slider = message.delta.new_element.slider.id
            elif kind == "script_finished":
                return time.perf_counter() - start

    def look(self) -> None:
        """Ask for the photos that the pages have named since; each once, as a browser does."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            for address in dict.fromkeys(self._named):
                if address in self._asked:
                    continue
                self._asked.add(address)
                connection.request("GET", address)
                answer = connection.getresponse()
                self.photo_bytes += len(answer.read())
                self.photos += 1
                self.missing += answer.status != 200
        self._named.clear()


@contextlib.contextmanager
def server() -> Iterator[tuple[int, psutil.Process]]:
    """The app on a free port, and its process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "streamlit", "run", "server.py", "--server.headless", "true"]
    command += ["--server.port", str(port)]
    with subprocess.Popen(
        command, cwd=paths.PROJECT_ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            end = time.monotonic() + _START_S
            while True:
                try:
                    with urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=5):
                        break
                except OSError:
                    if process.poll() is not None or time.monotonic() > end:
                        raise PlaygroundError("The app does not start: try make app.") from None
                time.sleep(0.1)
            yield port, psutil.Process(process.pid)
        finally:
            process.terminate()


def cpu_seconds(process: psutil.Process) -> float:
    """User and system time of all threads."""
    times = process.cpu_times()
    return float(times.user + times.system)


def measure(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """A row per page and number of sessions."""
    query = arguments.query
    with server() as (port, process):
        return asyncio.run(_measure(port, process, arguments, query))


async def _measure(
    port: int, process: psutil.Process, arguments: argparse.Namespace, query: str
) -> list[dict[str, Any]]:
    rows = []
    for page in arguments.pages.split(","):
        for sessions in arguments.sessions:
            async with contextlib.AsyncExitStack() as stack:
                tabs = [
                    await stack.enter_async_context(Session(port, page, query))
                    for _ in range(sessions)
                ]
                opening = cpu_seconds(process)
                first = await asyncio.gather(*(tab.draw() for tab in tabs))
                await _look(tabs)
                opened = cpu_seconds(process) - opening
                await asyncio.gather(*(tab.draw() for tab in tabs))
                await _look(tabs)
                for tab in tabs:
                    tab.photos = tab.photo_bytes = 0
                received = sum(tab.bytes for tab in tabs)
                before, waits = cpu_seconds(process), []
                for number in range(arguments.rounds):
                    k = 10 + number % 40 if page == "search" else None
                    waits += await asyncio.gather(*(tab.draw(k) for tab in tabs))
                    await _look(tabs)
                spent = cpu_seconds(process) - before
                changes = arguments.rounds * sessions
                waits.sort()
                rows.append(
                    {
                        "page": page,
                        "sessions": sessions,
                        "changes": changes,
                        "cpu_s": spent / changes,
                        "bytes": (sum(tab.bytes for tab in tabs) - received) // changes,
                        "photos": sum(tab.photos for tab in tabs) / changes,
                        "photo_bytes": sum(tab.photo_bytes for tab in tabs) // changes,
                        "missing": sum(tab.missing for tab in tabs),
                        "p50_s": statistics.median(waits),
                        "p95_s": waits[min(len(waits) - 1, int(0.95 * len(waits)))],
                        "first_s": statistics.median(first),
                        "first_cpu_s": opened / sessions,
                        "rss_mb": process.memory_info().rss / 1e6,
                    }
                )
    return rows


async def _look(tabs: Sequence[Session]) -> None:
    await asyncio.gather(*(asyncio.to_thread(tab.look) for tab in tabs))
