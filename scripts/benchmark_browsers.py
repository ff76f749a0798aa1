"""A class at work: real browsers change, download and go about at the same time.

    python -m scripts.benchmark browsers --sessions 30 --minutes 5

A server of its own is started on the collections that are there. Each session is a context of one
Chromium, on this machine too: what the browsers take, the server lacks. Every answer with an error
status, every download that fails, every JavaScript error and every action that is not done in time
is counted and named. Needs Chromium and the package playwright (``make test`` brings it).
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import importlib.util
import os
import random
import shutil
import statistics
import time
import urllib.parse
from collections.abc import Awaitable, Callable
from typing import Any

import psutil

from data.errors import PlaygroundError
from scripts import benchmark_pages

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
PAGES = ("Accuracy", "Trade-offs", "Inside the index", "Methods", "Collections")
SECONDS = 60.0  # that an action may take
MOST_TOLD = 20
_MORE = 15  # results per row that are added at most
# Streamlit marks the end of every run; an action is done at the next one.
_COUNT_RUNS = """
window.endedRuns = 0;
new MutationObserver(all => all.forEach(one => {
  if (one.target.dataset.testScriptState === "notRunning") window.endedRuns++;
})).observe(document, {subtree: true, attributes: true,
                       attributeFilter: ["data-test-script-state"]});
"""
_DREW = "before => window.endedRuns > before"
_IDLE = "[data-testid=stApp][data-test-script-state=notRunning]"


def chromium() -> str | None:
    """The browser's program: ``$CHROMIUM``, else what is on the path."""
    given = os.environ.get("CHROMIUM")
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return given or next(filter(None, map(shutil.which, names)), None)


def program() -> str:
    """The browser's program.

    Raises:
        PlaygroundError: there is none, or playwright is missing.
    """
    found = chromium()
    if found is None or importlib.util.find_spec("playwright") is None:
        raise PlaygroundError(
            "This needs Chromium (set CHROMIUM to its program where it is not on the path) and "
            "the package playwright, which 'make test' installs."
        )
    return found


class Tally:
    """What all sessions met: waits in seconds by kind of action, and faults by their words."""

    def __init__(self) -> None:
        self.waits: dict[str, list[float]] = collections.defaultdict(list)
        self.faults: collections.Counter[str] = collections.Counter()

    def rows(self) -> list[dict[str, Any]]:
        rows = []
        for kind, waits in self.waits.items():
            waits.sort()
            p95 = waits[min(len(waits) - 1, int(0.95 * len(waits)))]
            row = {"action": kind, "done": len(waits), "p50_s": statistics.median(waits)}
            rows.append({**row, "p95_s": p95, "longest_s": waits[-1]})
        return rows


class Visitor:
    """One browser context that does what people do on the Search page, and looks at others."""

    def __init__(self, page: Any, url: str, rng: random.Random, tally: Tally) -> None:
        self._page, self._url, self._rng, self._tally = page, url, rng, tally
        self._more = 0  # results per row than at first
        page.set_default_timeout(1000 * SECONDS)
        page.on("response", self._answered)
        page.on("pageerror", lambda error: self._fault(f"JavaScript: {error}"))

    def _fault(self, words: str) -> None:
        self._tally.faults[words.splitlines()[0][:160]] += 1

    def _answered(self, response: Any) -> None:
        if response.status >= 400:
            path = urllib.parse.urlsplit(response.url).path
            # Files are named by their content: what they are is told, not which.
            self._fault(f"{response.status} {path.rpartition('/')[0]}/")

    async def stay(self, until: float, think: float) -> None:
        """Act, and think for up to twice ``think`` seconds in between."""
        await asyncio.sleep(self._rng.uniform(0, 2 * think))
        await self._do("open", self._open)
        while time.monotonic() < until:
            kind = self._rng.choices(["change", "download", "page"], [6, 2, 2])[0]
            act = {"change": self._change, "download": self._download, "page": self._elsewhere}
            if not await self._do(kind, act[kind]):
                await self._do("open", self._open)  # from the beginning
            await asyncio.sleep(self._rng.uniform(0, 2 * think))
        if await self._page.locator("[data-testid=stException]").count():
            self._fault("a traceback on the page")

    async def _do(self, kind: str, act: Callable[[], Awaitable[None]]) -> bool:
        from playwright.async_api import Error

        try:
            if kind != "open":
                await self._settle()
            began = time.perf_counter()
            await act()
        except (Error, AssertionError) as error:
            self._fault(f"{kind}: {error}")
            return False
        self._tally.waits[kind].append(time.perf_counter() - began)
        return True

    async def _open(self) -> None:
        self._more = 0
        await self._page.goto(self._url)
        await self._page.locator("h1").first.wait_for()
        await self._page.locator(_IDLE).wait_for()

    async def _settle(self) -> None:
        """What components answer draws the page again; a key pressed meanwhile would be lost."""
        await asyncio.sleep(0.5)
        await self._page.locator(_IDLE).wait_for()

    async def _drawn_after(self, act: Callable[[], Awaitable[Any]]) -> None:
        before = await self._page.evaluate("() => window.endedRuns")
        await act()
        await self._page.wait_for_function(_DREW, arg=before)

    async def _change(self) -> None:
        """One result more or fewer per row."""
        sliders = self._page.get_by_test_id("stSlider").filter(has_text=benchmark_pages.SLIDER)
        thumb = sliders.get_by_role("slider")
        more = self._more == 0 or (self._more < _MORE and self._rng.random() < 0.7)
        await self._drawn_after(lambda: thumb.press("ArrowRight" if more else "ArrowLeft"))
        self._more += 1 if more else -1

    async def _download(self) -> None:
        buttons = self._page.get_by_test_id("stDownloadButton").get_by_role("button")
        await buttons.first.wait_for()
        number = await buttons.count()
        async with self._page.expect_download() as given:
            await buttons.nth(self._rng.randrange(number)).click()
        why = await (await given.value).failure()
        assert why is None, f"the download failed: {why}"

    async def _elsewhere(self) -> None:
        """Another page; then back, which is not timed apart."""
        for title in (self._rng.choice(PAGES), "Search"):
            link = self._page.get_by_role("link", name=title, exact=True).first
            await self._drawn_after(link.click)
            await self._page.locator(_IDLE).wait_for()


async def _measure(
    url: str, program: str, arguments: argparse.Namespace, process: psutil.Process
) -> dict[str, Any]:
    from playwright.async_api import async_playwright

    tally, peak = Tally(), process.memory_info().rss
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        visitors = []
        for number in range(arguments.sessions):
            context = await browser.new_context(viewport={"width": 1280, "height": 900})
            await context.add_init_script(_COUNT_RUNS)
            rng = random.Random(f"{arguments.seed} {number}")
            visitors.append(Visitor(await context.new_page(), url, rng, tally))
        before, began = benchmark_pages.cpu_seconds(process), time.monotonic()
        until = began + 60 * arguments.minutes
        acting = asyncio.gather(*(one.stay(until, arguments.think) for one in visitors))
        while not acting.done():
            peak = max(peak, process.memory_info().rss)
            await asyncio.wait([acting], timeout=1)
        await acting
        spent, seconds = benchmark_pages.cpu_seconds(process) - before, time.monotonic() - began
        await browser.close()
    return {
        "rows": tally.rows(),
        "sessions": arguments.sessions,
        "seconds": seconds,
        "server_cpu_s": spent,
        "server_peak_mb": peak / 1e6,
        "faults": dict(tally.faults.most_common()),
    }


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Waits per kind of action, and what went wrong.

    Raises:
        PlaygroundError: there is no browser, or the app does not start.
    """
    found = program()
    with benchmark_pages.server() as (port, process):
        url = f"http://127.0.0.1:{port}/?{arguments.query}"
        return asyncio.run(_measure(url, found, arguments, process))


def told(result: dict[str, Any]) -> list[str]:
    """Sentences beneath the table."""
    faults = result["faults"]
    lines = [
        f"{result['sessions']} sessions, {result['seconds']:.0f} s; the server took "
        f"{result['server_cpu_s']:.0f} CPU s and at most {result['server_peak_mb']:,.0f} MB; "
        f"{sum(faults.values())} faults"
    ]
    return lines + [f"{count} x {words}" for words, count in list(faults.items())[:MOST_TOLD]]
