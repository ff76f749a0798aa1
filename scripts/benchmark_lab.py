"""Experiments with indexes: what compresses well, what breaks (see ``evaluation.lab``).

    python -m scripts.benchmark lab --collection demo --extractor gem-siamese
    python -m scripts.benchmark lab --experiments filters,stream --size 100k

The Trade-offs page shows the same rows.
"""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from data.demo import ensure_demo
from evaluation.lab import registry, run
from evaluation.tradeoffs import padding
from scripts.benchmark_index import measurement
from scripts.console import Progress, print_json, print_table


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--collection", default="demo")
    command.add_argument("--extractor", default="gem-siamese", help="one with a vector per photo")
    command.add_argument(
        "--experiments",
        default=",".join(registry.EXPERIMENTS),
        help="between commas (default %(default)s)",
    )
    command.add_argument(
        "--size",
        default="10k",
        help="real (the collection as it is), 10k, 100k; simulated vectors fill it (default "
        "%(default)s)",
    )
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command.add_argument("--quiet", action="store_true", help="no progress bar")
    command.add_argument("--job", help=argparse.SUPPRESS)  # used by the pages


def main(arguments: argparse.Namespace, environment: dict[str, Any]) -> int:
    """Measure and print.

    Args:
        environment: what the figures were measured on, for ``--json``.
    """
    if arguments.collection == "demo":
        ensure_demo()
    names = [part.strip() for part in arguments.experiments.split(",") if part.strip()]
    size = padding.parse_size(arguments.size)
    shown = measurement(arguments) if arguments.job else Progress("row", quiet=arguments.quiet)
    with shown as progress:
        kept = run.run(arguments.collection, arguments.extractor, names, size, progress)
    if arguments.json:
        results = [dataclasses.asdict(one) for one in kept]
        print_json({"benchmark": "lab", "environment": environment, "results": results})
        return 0
    for one in kept:
        made = registry.experiment(one.experiment)
        simulated = f", {one.simulated:,} of them simulated" if one.simulated else ""
        print(f"{made.title}: {made.question} ({one.n:,} vectors{simulated})")
        more = list(dict.fromkeys(name for row in one.rows for name in row.more))
        print_table(
            ["series", made.x_title, "recall@10", "p50 ms", *more],
            [
                [row.series, row.x, row.recall, row.latency_ms, *map(row.more.get, more)]
                for row in one.rows
            ],
        )
        print(f"{made.lesson(one.rows)}\n")
    return 0
