"""How long the first start takes: from nothing built to two compared rows in a browser.

The app is started on an empty home and again on what that left; the clock runs from the start of
the server. Builds go on behind the page, as they would for a person. It needs Chromium and the
Python package playwright.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from data import paths
from indexing import jobs
from scripts import benchmark_browsers, benchmark_pages

_PATIENCE_MS = 300_000


@contextlib.contextmanager
def _browser() -> Iterator[Any]:
    program = benchmark_browsers.program()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        options = benchmark_browsers.ARGUMENTS
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
