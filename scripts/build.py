"""Build a collection's descriptors and indexes.

    python -m scripts.build --collection demo --extractors all --indexes all
    python -m scripts.build --collection demo --extractors gem-siamese --indexes flat \\
        --rerank diffusion,dba

``--rerank`` makes what re-rankers need beforehand, and tells its size before it starts.
Stop it at any moment, kill included, and start it again: it goes on where it was.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from typing import Any

from extractors import registry as extractor_registry
from indexing import registry as index_registry
from indexing.build import Outcome, build, planned_stages
from indexing.jobs import JobProgress
from indexing.progress import Silent, Terminal
from retrieval import prepare
from retrieval.ranking import Recipe
from scripts.console import Progress, counted, page_job, print_json, print_table, run


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(
        prog="python -m scripts.build",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("--collection", default="demo")
    result.add_argument(
        "--extractors", default="all", help="all, or specs between commas: hog,resnet50:pooling=mac"
    )
    result.add_argument(
        "--indexes", default="all", help="all (flat,ivf,lsh,pq), or specs: flat,factory:HNSW32"
    )
    result.add_argument(
        "--weights",
        default="auto",
        help="auto, bundled, published, imagenet, untrained or file:PATH",
    )
    result.add_argument(
        "--rerank",
        default="none",
        help="re-rankers whose offline part is made too, such as diffusion,dba; they must be legal "
        "after each extractor",
    )
    result.add_argument("--force", action="store_true", help="build again what is up to date")
    result.add_argument("--json", action="store_true", help="print a machine-readable summary")
    result.add_argument("--quiet", action="store_true", help="no progress bars")
    result.add_argument("--job", help=argparse.SUPPRESS)  # used by the pages
    return result


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    extractors = extractor_registry.expand(arguments.extractors)
    indexes = index_registry.expand(arguments.indexes)
    if arguments.job:
        return _as_job(arguments, extractors, indexes)
    recipes = [Recipe.of(spec, index, arguments.rerank) for spec in extractors for index in indexes]
    quiet = arguments.quiet or not sys.stderr.isatty()
    outcomes = build(
        arguments.collection,
        extractors,
        indexes,
        weights=arguments.weights,
        force=arguments.force,
        progress=Silent() if quiet else Terminal(),
    )
    if arguments.json:
        print_json(_summary(arguments.collection, outcomes))
    else:
        print_table(
            ["extractor", "index", "action", "seconds", "described"],
            [[o.extractor, o.index or "", o.action, o.seconds, o.described] for o in outcomes],
        )
        for outcome in outcomes:
            for note in outcome.notes:
                print(f"{outcome.extractor} {outcome.index or ''}: {note}")
        described = sum(outcome.described for outcome in outcomes)
        print(f"{counted(described, 'photo')} described in this run.")
    # What is made offline follows from the descriptors: one index stands for all.
    for recipe in recipes[:: len(indexes)]:
        _prepare(arguments, recipe, quiet)
    return 0


def _prepare(arguments: argparse.Namespace, recipe: Recipe, quiet: bool) -> None:
    """The offline part of the re-rankers."""
    name = arguments.collection
    for step in prepare.plan(name, recipe):
        print(
            f"{recipe.extractor} {step.spec}: {step.bytes:,} bytes at most, "
            f"{step.bytes_per_photo:,.0f} per photo",
            file=sys.stderr if arguments.json else sys.stdout,
            flush=True,
        )
    with Progress("step", quiet=quiet) as progress:
        prepare.prepare(name, recipe, progress)


def _as_job(arguments: argparse.Namespace, extractors: list[str], indexes: list[str]) -> int:
    """The build behind a page."""
    job = JobProgress(arguments.job, arguments.collection, planned_stages(extractors, indexes))
    with page_job(job) as progress:
        build(
            arguments.collection,
            extractors,
            indexes,
            weights=arguments.weights,
            force=arguments.force,
            progress=progress,
        )
    return 0


def _summary(collection: str, outcomes: list[Outcome]) -> dict[str, Any]:
    return {
        "collection": collection,
        "seconds": sum(outcome.seconds for outcome in outcomes),
        "built": [dataclasses.asdict(outcome) for outcome in outcomes],
    }


if __name__ == "__main__":
    run(main)
