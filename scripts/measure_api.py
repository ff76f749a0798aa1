"""Measure the REST API against the engine that it stands on, on this machine alone.

    python -m scripts.measure_api --collection demo --extractor gem-siamese --requests 2000

It starts ``python api.py`` on a free port. One after the other, in turn: an upload over HTTP, and
the same bytes decoded and searched by the engine in this process. Then one loop that describes
in this process, and ``--clients`` at once over HTTP; the server's memory is read all along.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import requests

from data import photos, store
from data.errors import PlaygroundError
from data.paths import PROJECT_ROOT
from retrieval.answer import query_of
from retrieval.engine import SearchEngine
from retrieval.ranking import Recipe
from scripts.console import print_json, run

MOST = 20_000  # requests
LOOP = 200  # photos that one loop describes


@contextlib.contextmanager
def served() -> Iterator[tuple[str, psutil.Process]]:
    """The API in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "api.py", "--port", str(port)]
    process = subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with contextlib.suppress(requests.ConnectionError):
                requests.get(f"http://127.0.0.1:{port}/v1/health", timeout=5)
                break
            if process.poll() is not None:
                raise PlaygroundError("The API ended before it answered; see above.")
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}", psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.measure_api",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--collection", default="demo")
    parser.add_argument("--extractor", default="gem-siamese")
    parser.add_argument("--index", default="flat")
    parser.add_argument("--pairs", type=int, default=60, help="uploads one after the other")
    parser.add_argument("--requests", type=int, default=2000, help="by all clients together")
    parser.add_argument("--clients", type=int, default=16)
    given = parser.parse_args(argv)
    if not 1 <= given.requests <= MOST or not 1 <= given.clients <= 64 or given.pairs < 2:
        raise PlaygroundError(
            f"Legal: --requests 1 to {MOST}, --clients 1 to 64, --pairs 2 or more."
        )
    members = store.load(given.collection)
    sources = [*members.queries, *members.photos]
    contents = [members.content(one) for one in sources[: min(len(sources), 400)]]
    fields = {
        "collection": given.collection,
        "recipes": json.dumps([{"extractor": given.extractor, "index": given.index}]),
    }
    recipe = Recipe.of(given.extractor, given.index)
    engine = SearchEngine()

    def here(content: bytes) -> None:
        # Nothing is remembered: each is described.
        engine.without_queries().search(given.collection, recipe, query_of(content), 10)

    with served() as (url, process), requests.Session() as session:

        def over(content: bytes, by: requests.Session) -> int:
            photo = {"photo": ("photo.jpg", fresh(content))}
            return by.post(f"{url}/v1/search", data=fields, files=photo, timeout=300).status_code

        numbers = iter(range(10**9))

        def fresh(content: bytes) -> bytes:
            """Other bytes of the same photo: what a JPEG has behind its end is not read."""
            return content + next(numbers).to_bytes(8, "big")

        for content in contents[:4]:
            here(content)
            over(content, session)
        times: dict[str, list[float]] = {"engine": [], "api": []}
        for turn in range(given.pairs):
            content = contents[turn % len(contents)]
            for name in ("engine", "api") if turn % 2 else ("api", "engine"):
                start = time.perf_counter()
                if name == "engine":
                    here(fresh(content))
                else:
                    over(content, session)
                times[name].append(1e3 * (time.perf_counter() - start))
        medians = {name: statistics.median(values) for name, values in times.items()}

        def one_loop() -> None:
            for turn in range(LOOP):
                here(fresh(contents[turn % len(contents)]))

        loop = _per_second(one_loop, LOOP)

        memory: list[int] = []
        statuses: dict[int, int] = {}

        def client(number: int) -> None:
            with requests.Session() as own:
                for turn in range(number, given.requests, given.clients):
                    status = over(contents[turn % len(contents)], own)
                    statuses[status] = statuses.get(status, 0) + 1
                    if turn % 50 == 0:
                        memory.append(process.memory_info().rss)

        with ThreadPoolExecutor(given.clients) as pool:
            many = _per_second(lambda: list(pool.map(client, range(given.clients))), given.requests)
        text = requests.get(f"{url}/v1/metrics", timeout=30).text
    found: dict[str, Any] = {
        "photos_px": photos.probe(contents[0]),
        "engine_ms": medians["engine"],
        "api_ms": medians["api"],
        "ratio": medians["api"] / medians["engine"],
        "paired_ratio": statistics.median(
            a / b for a, b in zip(times["api"], times["engine"], strict=True)
        ),
        "loop_per_s": loop,
        "clients": given.clients,
        "clients_per_s": many,
        "share_of_loop": many / loop,
        "statuses": statuses,
        "memory_mb": [round(one / 1e6) for one in memory],
        "errors": [line for line in text.splitlines() if line.startswith("playground_errors_t")],
        "load_average": os.getloadavg()[0],
    }
    print_json(found)
    return 0


def _per_second(work: Any, count: int) -> float:
    start = time.perf_counter()
    work()
    return count / (time.perf_counter() - start)


if __name__ == "__main__":
    run(main)
