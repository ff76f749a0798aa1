"""A real server and a real Chromium for tests. Import the fixtures where they are needed."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from data.paths import PROJECT_ROOT

ARGUMENTS = [  # besides the benchmark's
    "--disable-quic",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]
HOW_TO_GET_ONE = (
    "browser tests need Chromium and the Python package playwright: on Debian and Ubuntu run "
    "'apt-get install chromium', elsewhere set CHROMIUM to a Chromium or Chrome program; the "
    "package comes with 'make test'"
)
LOCAL = ("data:", "blob:", "ws://127.0.0.1", "ws://localhost")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def command(port: int, script: str = "server.py") -> list[str]:
    """Start the app without opening a window on the developer's screen."""
    start = [sys.executable, "-m", "streamlit", "run", script]
    return [*start, "--server.port", str(port), "--server.headless", "true"]


@contextlib.contextmanager
def serving(
    home: Path, demo: bool = False, script: str = "server.py", **environ: str
) -> Iterator[str]:
    """A script on a free port with ``home`` as its artefacts; yields its address.

    Args:
        environ: more of the server's environment.
    """
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    environment = os.environ | {"PLAYGROUND_HOME": str(home), "PYTHONUNBUFFERED": "1"}
    environment |= {"PLAYGROUND_DEMO": "on" if demo else "off", **environ}
    home.mkdir(parents=True, exist_ok=True)
    with open(home / "server.log", "wb") as log:
        server = subprocess.Popen(
            command(port, script),
            cwd=PROJECT_ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            _wait(url, server, home / "server.log")
            yield url
        finally:
            server.terminate()
            try:
                server.wait(15)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 90
    while time.monotonic() < until and server.poll() is None:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{url}/_stcore/health", timeout=2).read()
            return
        time.sleep(0.1)
    raise RuntimeError(f"the server did not start: {log.read_text(errors='replace')[-2000:]}")


@pytest.fixture(scope="session")
def chrome() -> Iterator[Any]:
    """One browser for all tests; skips where there is none."""
    from scripts import benchmark_browsers

    program = benchmark_browsers.chromium()
    api = pytest.importorskip("playwright.sync_api", reason=HOW_TO_GET_ONE)
    if program is None:
        pytest.skip(HOW_TO_GET_ONE)
    with api.sync_playwright() as playwright:
        arguments = [*benchmark_browsers.ARGUMENTS, *ARGUMENTS]
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


class Tab:
    """A browser tab that notes every request that would leave the machine."""

    def __init__(self, browser: Any, url: str, width: int = 1400, height: int = 1000) -> None:
        self.url = url
        self.outside: list[str] = []
        self.errors: list[str] = []
        self.context = browser.new_context(
            viewport={"width": width, "height": height}, permissions=["camera"]
        )
        self.page = self.context.new_page()
        self.page.set_default_timeout(60_000)  # two cores, two servers, two browsers
        self.page.on("request", self._note)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _note(self, request: Any) -> None:
        if not request.url.startswith((self.url, *LOCAL)):
            self.outside.append(request.url)

    def open(self, path: str = "/") -> None:
        """Go to a path of the app and wait until it is drawn."""
        self.page.goto(self.url + path)
        self.page.locator("h1").first.wait_for()
        self.settle()

    def settle(self) -> None:
        """Wait until no script runs, and a little longer for what a component answers."""
        for _ in range(2):
            self.page.wait_for_timeout(400)
            self.page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for(
                timeout=90_000
            )

    def frame_size(self) -> tuple[int, int]:
        """(scroll width, client width) of the main area: equal where nothing sticks out."""
        scroll, client = self.page.evaluate(
            "() => { const m = document.querySelector('[data-testid=stMain]');"
            " return [m.scrollWidth, m.clientWidth]; }"
        )
        return int(scroll), int(client)

    def close(self) -> None:
        """Close the tab; fails the test if something left the machine or broke."""
        broken = self.page.locator("[data-testid=stException]").count()
        self.context.close()
        assert self.outside == [], "requests left the machine"
        assert self.errors == [], "JavaScript errors"
        assert broken == 0, "a traceback on the page"
