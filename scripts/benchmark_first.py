"""How long the first start takes: from nothing built to two compared rows in a browser.

The app is started on an empty home and again on what that left; the clock runs from the start of
the server. Builds go on behind the page, as they would for a person. It needs Chromium and the
Python package playwright.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from data import paths
from data.errors import PlaygroundError
from indexing import jobs
from scripts import benchmark_pages

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_PATIENCE_MS = 300_000


@contextlib.contextmanager
def _browser() -> Iterator[Any]:
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        raise PlaygroundError(
            "The clock of the first start needs the Python package playwright, which is not "
            "installed. Install the project's requirements-dev.txt."
        ) from None
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _BROWSERS)), None)
    if program is None:
        raise PlaygroundError(
            "The clock of the first start needs Chromium, which is not on the path. Install it, "
            "or set CHROMIUM to a Chromium or Chrome program."
        )
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=program, args=options)
        yield browser
        browser.close()


def measure() -> list[dict[str, Any]]:
    """A row per start."""
    with (
        tempfile.TemporaryDirectory(prefix="playground-first-", ignore_cleanup_errors=True) as home,
        _browser() as browser,
    ):
        before = os.environ.get(paths.HOME)
        os.environ[paths.HOME] = home  # also of the server and its builds
        try:
            return [_start(browser, name) for name in ("first", "second")]
        finally:
            for job in jobs.jobs():
                if job.state == "running":
                    jobs.cancel(job.id)
            if before is None:
                del os.environ[paths.HOME]
            else:
                os.environ[paths.HOME] = before


def _start(browser: Any, name: str) -> dict[str, Any]:
    start = time.perf_counter()
    with benchmark_pages.server() as (port, process):
        up = time.perf_counter()
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.set_default_timeout(_PATIENCE_MS)
        page.goto(f"http://127.0.0.1:{port}/")
        picture = page.locator(".row").nth(1).locator(".hit img[src]").first
        picture.evaluate("img => img.decode()")
        rows = time.perf_counter()
        page.close()
        return {
            "start": name,
            "server_s": up - start,
            "rows_s": rows - start,
            "cpu_s": benchmark_pages.cpu_seconds(process),
            "rss_mb": process.memory_info().rss / 1e6,
        }
