"""Measure what the README and the closing notes claim.

    python -m scripts.benchmark build   photos/s of each extractor, beside a plain PyTorch loop
    python -m scripts.benchmark query   our time beside the bare model and FAISS calls
    python -m scripts.benchmark kill    a build killed many times ends with the same bytes
    python -m scripts.benchmark pages   CPU seconds, bytes and waiting per change on a page
    python -m scripts.benchmark first   seconds from nothing built to two rows in a browser
    python -m scripts.benchmark browsers  a class of real browsers: waits, and every fault
    python -m scripts.benchmark index   recall, latency and memory of indexes, up to a million
    python -m scripts.benchmark scale   memory and time per photo as a collection grows
    python -m scripts.benchmark lab     what compresses well, and what breaks an index

Every figure comes with the machine it was measured on; ``--json`` for machines.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from data import artefact, paths, store
from data.base import Box
from data.demo import ensure_demo
from data.errors import PlaygroundError
from data.names import printable
from data.store import Collection
from extractors import registry as extractor_registry
from extractors.base import RGB
from extractors.cnn import NetworkExtractor
from extractors.modules import Normalised
from extractors.trunks import MEAN, STD
from indexing import registry as index_registry
from indexing.artefacts import load_index, load_vectors
from indexing.build import describe_ahead, library_versions
from indexing.faiss_settings import search_threads
from retrieval.engine import SearchEngine
from retrieval.ranking import Query, Recipe
from retrieval.voting import default_neighbours
from scripts import benchmark_index, benchmark_lab, benchmark_scale
from scripts.console import print_json, print_table, run


def environment() -> dict[str, Any]:
    """What the figures were measured on."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=paths.PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "bfloat16": bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()),
        "load": [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else [],
        "libraries": library_versions(),
        "commit": commit,
    }


def collection_of(name: str) -> Collection:
    return ensure_demo() if name == "demo" else store.load(name)


# build


def plain_loop(extractor: NetworkExtractor, collection: Collection, count: int) -> float:
    """Photos/s of what anybody would write: decode, resize, fp32 PyTorch, one after another."""
    module = extractor.build_network().eval()
    assert isinstance(module, Normalised)
    trunk = module.module
    mean = torch.tensor(MEAN).view(1, 3, 1, 1)
    std = torch.tensor(STD).view(1, 3, 1, 1)
    side = extractor.image_size

    def one(photo: RGB) -> None:
        factor = min(1.0, side / max(photo.shape[:2]))
        size = (round(photo.shape[1] * factor), round(photo.shape[0] * factor))
        pixels = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
        x = torch.from_numpy(pixels.transpose(2, 0, 1).copy()).float()[None] / 255
        features = trunk((x - mean) / std)
        pooled = features.clamp(min=1e-6).pow(3).mean(dim=(2, 3)).pow(1 / 3)
        (pooled / pooled.norm()).numpy()

    with torch.no_grad():
        one(collection.read(collection.photos[0]))
        start = time.perf_counter()
        for photo in collection.photos[:count]:
            one(collection.read(photo))
        return count / (time.perf_counter() - start)


def our_loop(spec: str, collection: Collection, count: int, weights: str) -> float:
    """Photos/s of the build's own describe step, decoding ahead as it does."""
    extractor = extractor_registry.create(spec, weights=weights)
    list(describe_ahead(extractor, collection, collection.photos[:1]))
    start = time.perf_counter()
    list(describe_ahead(extractor, collection, collection.photos[:count]))
    return count / (time.perf_counter() - start)


def bench_build(arguments: argparse.Namespace) -> dict[str, Any]:
    collection = collection_of(arguments.collection)
    count = min(arguments.photos, len(collection.photos))
    rows = []
    for spec in extractor_registry.expand(arguments.extractors):
        extractor = extractor_registry.create(spec, weights=arguments.weights)
        comparable = isinstance(extractor, NetworkExtractor) and spec.partition(":")[0] in (
            "resnet50",
            "vgg16",
        )
        ours, plain = [], []
        for _ in range(arguments.rounds):  # A B A B, so that a change of load hits both
            ours.append(our_loop(spec, collection, count, arguments.weights))
            if comparable:
                assert isinstance(extractor, NetworkExtractor)
                plain.append(plain_loop(extractor, collection, count))
        row: dict[str, Any] = {
            "extractor": spec,
            "photos": count,
            "photos_per_s": statistics.median(ours),
            "runtime": extractor.runtime(),
        }
        if plain:
            row["plain_torch_photos_per_s"] = statistics.median(plain)
            row["speedup"] = statistics.median(a / b for a, b in zip(ours, plain, strict=True))
        rows.append(row)
    return {"benchmark": "build", "environment": environment(), "rows": rows}


# query


class Pair:
    """One extractor and one index: the engine's answer, and the bare calls that a script makes."""

    def __init__(self, collection: Collection, spec: str, index: str, k: int) -> None:
        self.name, self.recipe = collection.name, Recipe.of(spec, index, "none")
        self.engine = SearchEngine()
        vectors, self.extractor = load_vectors(collection, spec)
        built = load_index(collection.name, spec, index, vectors).built
        self.faiss = built.searcher()  # FAISS's own object and call, nothing of ours around it
        self.k = k
        # Local descriptors: the neighbours that vote are what FAISS is asked for.
        self.wanted = default_neighbours(len(collection.photos)) if self.extractor.local else k

    def ours(self, photo: RGB, box: Box | None, key: str) -> None:
        """The engine, from the photo to the hits; re-ranking is not FAISS's work."""
        self.engine.search(self.name, self.recipe, Query(photo, box, key=key), self.k)

    def bare(self, photo: RGB, box: Box | None) -> None:
        """The same crop and resize, the model call and FAISS's call."""
        prepared = self.extractor.prepare(photo, box)
        features = self.extractor.encode(self.extractor.describe(prepared))
        with search_threads(len(features.vectors)):
            self.faiss(features.vectors, self.wanted)


def clocked(work: Callable[..., None], *arguments: Any) -> NDArray[np.float64]:
    """ms of waiting, and of CPU in all threads: what other processes disturb less."""
    start = (time.perf_counter(), time.process_time())
    work(*arguments)
    return 1e3 * np.subtract((time.perf_counter(), time.process_time()), start)


def bench_query(arguments: argparse.Namespace) -> dict[str, Any]:
    """The engine beside the bare calls, warm and in pairs."""
    collection = collection_of(arguments.collection)
    queries = (collection.queries or collection.photos)[: arguments.queries]
    photos = [(collection.read(query), query.box) for query in queries]
    rows = []
    for spec in extractor_registry.expand(arguments.extractors):
        for index in index_registry.expand(arguments.indexes):
            pair = Pair(collection, spec, index, arguments.k)
            for photo, box in photos:  # warm: every shape has been seen once
                pair.ours(photo, box, "warm")
                pair.bare(photo, box)
            ours, bare = [], []
            for number in range(arguments.rounds):
                for i, (photo, box) in enumerate(photos):
                    if (number + i) % 2:  # either one goes first
                        bare.append(clocked(pair.bare, photo, box))
                    ours.append(clocked(pair.ours, photo, box, f"{number}/{i}"))
                    if not (number + i) % 2:
                        bare.append(clocked(pair.bare, photo, box))
            more = np.median(np.subtract(ours, bare), axis=0)
            rows.append(
                {
                    "extractor": spec,
                    "index": index,
                    "ours_ms": float(np.median(ours, axis=0)[0]),
                    "bare_ms": float(np.median(bare, axis=0)[0]),
                    "ours_more_ms": float(more[0]),
                    "ours_more_cpu_ms": float(more[1]),
                    "overhead_percent": 100
                    * (float(np.median(np.divide(ours, bare), axis=0)[0]) - 1),
                }
            )
    return {"benchmark": "query", "environment": environment(), "rows": rows}


# kill


def artefact_digests(root: Path) -> dict[str, str]:
    """SHA-256 of every artefact file; records of times and locks aside."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name not in (artefact.RECORD, ".lock")
    }


def bench_kill(arguments: argparse.Namespace) -> dict[str, Any]:
    """Build undisturbed, then build again under kill -9, and compare every byte."""
    command = [sys.executable, "-m", "scripts.build", "--collection", arguments.collection]
    command += ["--extractors", arguments.extractors, "--indexes", arguments.indexes]
    command += ["--weights", arguments.weights, "--quiet"]
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory(prefix="playground-kill-") as folder:
        homes = {name: Path(folder) / name for name in ("undisturbed", "killed")}
        collection_of(arguments.collection)
        digests, kills, described = {}, 0, 0.0
        for name, home in homes.items():
            shutil.copytree(
                paths.collections_root() / arguments.collection,
                home / "collections" / arguments.collection,
            )
            env = os.environ | {"PLAYGROUND_HOME": str(home)}

            def start(env: dict[str, str] = env) -> subprocess.Popen[bytes]:
                return subprocess.Popen(
                    command, cwd=paths.PROJECT_ROOT, env=env, stdout=subprocess.DEVNULL
                )

            began = time.perf_counter()
            if name == "undisturbed":
                if start().wait():
                    raise PlaygroundError("The undisturbed build failed; see its message above.")
                described = time.perf_counter() - began
            else:
                # Spread over the whole build: each run may get a few seconds further.
                longest = max(3.0, 2.0 * described / arguments.kills + 6.0)
                while kills < arguments.kills:
                    process = start()
                    try:
                        process.wait(rng.uniform(0.5, longest))
                        break  # it ended before it could be killed
                    except subprocess.TimeoutExpired:
                        process.kill()
                        process.wait()
                        kills += 1
                if start().wait():
                    raise PlaygroundError("The build after the kills failed.")
            digests[name] = artefact_digests(home / "vectors")
        same = digests["undisturbed"] == digests["killed"]
        differing = [
            key
            for key in digests["undisturbed"].keys() | digests["killed"].keys()
            if digests["undisturbed"].get(key) != digests["killed"].get(key)
        ]
    return {
        "benchmark": "kill",
        "environment": environment(),
        "rows": [
            {
                "kills": kills,
                "files": len(digests["undisturbed"]),
                "same_bytes": same,
                "undisturbed_s": described,
                "differing": sorted(differing),
            }
        ],
    }


def bench_pages(arguments: argparse.Namespace) -> dict[str, Any]:
    """What one change on a page costs."""
    from scripts import benchmark_pages  # Streamlit's messages: nothing else here needs them

    return {
        "benchmark": "pages",
        "environment": environment(),
        "rows": benchmark_pages.measure(arguments),
    }


def bench_first(_: argparse.Namespace) -> dict[str, Any]:
    """Seconds until the first two rows are seen, from an empty home and at the second start."""
    from scripts import benchmark_first

    return {
        "benchmark": "first",
        "environment": environment(),
        "rows": benchmark_first.measure(),
    }


def bench_browsers(arguments: argparse.Namespace) -> dict[str, Any]:
    """Real browsers at work on the Search page, all at the same time."""
    from scripts import benchmark_browsers

    result = benchmark_browsers.measure(arguments)
    told = benchmark_browsers.told(result)
    return {"benchmark": "browsers", "environment": environment(), "told": told, **result}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.benchmark",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, work in (("build", bench_build), ("query", bench_query), ("kill", bench_kill)):
        command = commands.add_parser(name)
        command.set_defaults(work=work)
        command.add_argument("--collection", default="demo")
        command.add_argument("--extractors", default="all")
        command.add_argument("--weights", default="auto")
        command.add_argument("--json", action="store_true")
        if name == "build":
            command.add_argument("--photos", type=int, default=40)
            command.add_argument("--rounds", type=int, default=3)
        else:
            command.add_argument("--indexes", default="all")
        if name == "query":
            command.add_argument("--queries", type=int, default=8)
            command.add_argument("--rounds", type=int, default=3)
            command.add_argument("--k", type=int, default=20)
        if name == "kill":
            command.add_argument("--kills", type=int, default=20)
            command.add_argument("--seed", type=int, default=0)
    modules = {"index": benchmark_index, "lab": benchmark_lab, "scale": benchmark_scale}
    for name, module in modules.items():
        command = commands.add_parser(
            name,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
    pages = commands.add_parser("pages", description=bench_pages.__doc__)
    pages.set_defaults(work=bench_pages)
    pages.add_argument("--pages", default="search,accuracy,tradeoffs,inside,collections,methods")
    pages.add_argument("--sessions", type=int, nargs="+", default=[1, 30])
    pages.add_argument("--rounds", type=int, default=10, help="changes per session")
    pages.add_argument(
        "--query",
        default="extractors=hog&extractors=resnet50&extractors=bovw"
        "&indexes=flat&indexes=ivf&indexes=lsh&indexes=pq",
        help="settings as in the page's address",
    )
    first = commands.add_parser("first", description=bench_first.__doc__)
    first.set_defaults(work=bench_first)
    browsers = commands.add_parser("browsers", description=bench_browsers.__doc__)
    browsers.set_defaults(work=bench_browsers)
    browsers.add_argument("--sessions", type=int, default=30)
    browsers.add_argument("--minutes", type=float, default=5.0)
    browsers.add_argument("--think", type=float, default=3.0, help="s between two actions, mean")
    browsers.add_argument("--seed", type=int, default=0)
    browsers.add_argument("--query", default="", help="settings as in the page's address")
    for command in (pages, first, browsers):
        command.add_argument("--json", action="store_true")
    arguments = parser.parse_args(argv)
    if arguments.command in modules:
        return modules[arguments.command].main(arguments, environment())
    result = arguments.work(arguments)
    if arguments.json:
        print_json(result)
        return 0
    rows = result["rows"]
    keys = list(dict.fromkeys(key for row in rows for key in row))
    print_table(keys, [[row.get(key) for key in keys] for row in rows])
    for line in result.get("told", []):
        print(printable(line))
    env = result["environment"]
    print(f"{env['date']}, {env['machine']}, load {env['load']}, commit {env['commit']}")
    return 0


if __name__ == "__main__":
    run(main)
