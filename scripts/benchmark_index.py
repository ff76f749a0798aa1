"""Indexes at several sizes: recall, latency, memory (see ``evaluation.tradeoffs``).

    python -m scripts.benchmark index --collection demo --extractor resnet50 \\
        --sizes real,10k,100k --html tradeoffs.html
    python -m scripts.benchmark index --sizes 100k --indexes "flat ivf:nlist=400 HNSW32,Flat"
    python -m scripts.benchmark index --sizes 100k --tune "recall@10>=0.95, bytes<=64"

Every point is kept and is not measured again; the Trade-offs page shows the same points.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from data.demo import ensure_demo
from data.errors import PlaygroundError
from evaluation.tradeoffs import bare, front, grid, padding, report, rows, run
from evaluation.tradeoffs.rows import Point
from extractors import registry as extractor_registry
from indexing.jobs import MEASURE, JobProgress
from indexing.progress import Clock, Stage
from scripts.console import Progress, page_job, print_json, print_table


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--collection", default="demo")
    command.add_argument("--extractor", default="resnet50", help="one with a vector per photo")
    command.add_argument(
        "--sizes",
        default="real,10k",
        help="between commas: real (the collection as it is), 10k, 100k, 1m (default %(default)s)",
    )
    command.add_argument(
        "--indexes",
        help="specs between spaces instead of the default grid; 'default' stands for it. Search "
        "parameters that a spec does not name are swept",
    )
    command.add_argument(
        "--factory",
        action="append",
        default=[],
        metavar="STRING",
        help="a FAISS factory string besides, such as OPQ16_64,IVF256,PQ16x4fs,RFlat; repeatable",
    )
    command.add_argument(
        "--distractors",
        default=rows.SIMULATED,
        help="simulated (default), collection:NAME, or shards:PATH",
    )
    command.add_argument("--quick", action="store_true", help="fewer settings and repeats")
    command.add_argument("--repeats", type=int, help=f"{run.REPEATS}, quick {run.QUICK_REPEATS}")
    command.add_argument("--force", action="store_true", help="measure again what was measured")
    command.add_argument(
        "--build-limit",
        type=float,
        default=run.BUILD_LIMIT,
        metavar="SECONDS",
        help="leave out what takes longer to build (default %(default).0f)",
    )
    command.add_argument(
        "--tune", metavar="CONSTRAINTS", help='such as "recall@10>=0.95, bytes<=64, latency<=2"'
    )
    command.add_argument("--html", type=Path, metavar="FILE", help="write a report")
    command.add_argument(
        "--bare", action="store_true", help="beside a plain FAISS script, in turns, and stop"
    )
    command.add_argument(
        "--clear",
        action="store_true",
        help="delete the padded vectors of collection and extractor (2 GB for 1m x 512), and stop",
    )
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command.add_argument("--quiet", action="store_true", help="no progress bar")
    command.add_argument("--job", help=argparse.SUPPRESS)  # used by the pages


def main(arguments: argparse.Namespace, environment: dict[str, Any]) -> int:
    """Measure, choose, report.

    Args:
        environment: what the figures were measured on, for ``--json``.
    """
    if arguments.repeats is not None and arguments.repeats < 1:
        raise PlaygroundError(f"--repeats is {arguments.repeats}. Legal: 1 or more.")
    if arguments.collection == "demo":
        ensure_demo()
    if arguments.clear:
        freed = padding.clear(arguments.collection, arguments.extractor)
        print(f"{freed / 1e6:,.1f} MB of padded vectors deleted; measured points are kept")
        return 0
    sizes = [padding.parse_size(part) for part in arguments.sizes.split(",") if part.strip()]
    constraints = front.parse_constraints(arguments.tune) if arguments.tune else ()
    if arguments.bare:
        return _bare(arguments, sizes, environment)
    shown = measurement(arguments) if arguments.job else Progress("step", quiet=arguments.quiet)
    with shown as progress:
        outcome = run.measure_grid(
            arguments.collection,
            arguments.extractor,
            sizes,
            distractors=arguments.distractors,
            specs=_specs(arguments),
            quick=arguments.quick,
            repeats=arguments.repeats,
            force=arguments.force,
            build_limit=arguments.build_limit,
            progress=progress,
        )
    choices = {
        n: front.tune([point for point in outcome.points if point.n == n], constraints)
        for n in sorted({point.n for point in outcome.points})
        if constraints
    }
    if arguments.html:
        report.write(arguments.html, _all(outcome.points), outcome.left_out)
    if arguments.json:
        print_json(
            {
                "benchmark": "index",
                "environment": environment,
                "rows": [rows.as_json(point) for point in outcome.points],
                "crossings": [dataclasses.asdict(c) for c in front.crossings(outcome.points)],
                "choices": {
                    str(n): {
                        "setting": choice.best.setting if choice.best else None,
                        "nearest": choice.nearest.setting if choice.nearest else None,
                        "sentence": choice.sentence,
                    }
                    for n, choice in choices.items()
                },
                "left_out": outcome.left_out,
                "notes": outcome.notes,
            }
        )
        return 0
    _print(outcome, choices)
    if arguments.html:
        print(f"report: {arguments.html}")
    return 0


@contextlib.contextmanager
def measurement(arguments: argparse.Namespace) -> Iterator[Callable[[int, int, str], None]]:
    """The progress of a page's measurement, in its job's file."""
    stage = Stage(arguments.extractor, "measure", state="running")
    clock = Clock()
    progress = JobProgress(arguments.job, f"tradeoffs:{arguments.collection}", [stage])
    with page_job(progress, low_priority=False, slot=MEASURE):

        def tell(done: int, total: int, text: str) -> None:
            del text
            stage.done, stage.total, stage.seconds = done, max(1, total), clock.seconds
            progress.update(stage)

        yield tell


def _all(points: list[Point]) -> list[Point]:
    """For the report: what was asked for, with the other sizes that were measured before."""
    first = points[0]
    kept = rows.load_points(first.collection, first.extractor) if points else []
    asked = {point.key for point in points}
    place = (first.machine.get("cpu"), first.machine.get("cores"))
    others = [
        point
        for point in kept
        if point.key not in asked
        and not point.stale
        and (point.machine.get("cpu"), point.machine.get("cores")) == place
    ]
    return points + others


def _specs(arguments: argparse.Namespace) -> list[str] | None:
    if arguments.indexes is None and not arguments.factory:
        return None
    text = arguments.indexes if arguments.indexes is not None else grid.DEFAULT
    return grid.user_specs(" ".join([text, *arguments.factory]))


def _print(outcome: run.Outcome, choices: dict[int, front.Choice]) -> None:
    header = ["vectors", "setting", "recall@10", "recall@100", "mAP@100", "p50 ms", "iqr", "p99 ms"]
    header += ["p50 ms all thr", "queries/s", "bytes/photo", "build s", "front"]
    on_front = set()
    for n in {point.n for point in outcome.points}:
        same = [point for point in outcome.points if point.n == n]
        on_front |= {point.key for point in front.pareto_front(same)}
    lines = [
        [
            point.n,
            point.setting,
            point.value("recall@10"),
            point.value("recall@100"),
            point.map100,
            point.latency_ms,
            point.latency_1.p50.iqr,
            point.latency_1.p99.median,
            point.latency_all.p50.median,
            point.throughput.median,
            point.bytes_per_photo,
            point.build_s,
            "*" if point.key in on_front else "",
        ]
        for point in outcome.points
    ]
    print_table(header, lines)
    for one in front.crossings(outcome.points):
        if one.size is not None:
            print(f"{one.family} is faster than flat from about {one.size:,.0f} vectors on")
    for n, choice in choices.items():
        print(f"{n:,} vectors: {choice.sentence}")
    for sentence in (*outcome.notes, *outcome.left_out):
        print(sentence, file=sys.stderr)


def _bare(
    arguments: argparse.Namespace, sizes: list[int | None], environment: dict[str, Any]
) -> int:
    """Our figures beside those of plain FAISS calls."""
    spec = extractor_registry.canonical(arguments.extractor)
    pairs = []
    for n in sizes:
        vectors = padding.open_set(arguments.collection, spec, n, arguments.distractors)
        settings = _specs(arguments) or bare_settings(vectors.n, vectors.dim)
        pairs += bare.compare(vectors, settings)
    if arguments.json:
        found = [{**dataclasses.asdict(pair), "agrees": pair.agrees} for pair in pairs]
        print_json({"benchmark": "index bare", "environment": environment, "rows": found})
        return 0
    header = ["vectors", "setting", "recall@10", "bare", "p50 ms", "bare ms", "ratio", "agrees"]
    print_table(
        header,
        [
            [
                pair.n,
                pair.setting,
                pair.recall,
                pair.bare_recall,
                pair.latency_ms,
                pair.bare_latency_ms,
                pair.latency_ratio,
                pair.agrees,
            ]
            for pair in pairs
        ],
    )
    return 0


def bare_settings(n: int, dim: int) -> list[str]:
    """One setting of each kind."""
    chosen = []
    for build in grid.builds(n, dim, None, quick=True)[0]:
        search = build.searches[len(build.searches) // 2]
        mark = ";" if build.spec.startswith("factory:") else "," if ":" in build.spec else ":"
        fields = ",".join(f"{name}={value}" for name, value in search.items())
        chosen.append(build.spec + (mark + fields if fields else ""))
    return chosen
