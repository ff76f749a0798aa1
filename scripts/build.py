"""Build a collection's descriptors and indexes.

    python -m scripts.build --collection demo --extractors all --indexes all
    python -m scripts.build --collection demo --extractors gem-siamese --indexes flat \\
        --rerank diffusion,dba

    python -m scripts.build --collection demo --check

What cannot be built does not keep the rest from it: the failures are told at the end, and the exit
code is 1. ``--check`` verifies every photo and file of what is built, says what is damaged, and
builds that again alone.

``--rerank`` makes what re-rankers need beforehand, and tells its size before it starts.
Stop it at any moment, kill included, and start it again: it goes on where it was.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Sequence
from typing import Any

from extractors import registry as extractor_registry
from indexing import checking
from indexing import registry as index_registry
from indexing.build import Failure, Incomplete, Outcome, build, planned_stages
from indexing.faiss_settings import PARALLEL
from indexing.jobs import JobProgress
from indexing.progress import Silent, Stage, Terminal
from indexing.ray import RayExecutor
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
    result.add_argument(
        "--check",
        action="store_true",
        help="verify everything that is there by its SHA-256, and build what is damaged again",
    )
    result.add_argument("--force", action="store_true", help="build again what is up to date")
    result.add_argument(
        "--parallel",
        action="store_true",
        help="every core for every step of an index; its bytes may then differ between builds",
    )
    result.add_argument(
        "--executor",
        choices=("threads", "ray"),
        default="threads",
        help="who describes the photos: this process (default), or Ray's workers",
    )
    result.add_argument(
        "--ray-address",
        metavar="HOST:PORT",
        help="of a Ray cluster whose machines share PLAYGROUND_HOME; without it Ray runs here",
    )
    result.add_argument("--json", action="store_true", help="print a machine-readable summary")
    result.add_argument("--quiet", action="store_true", help="no progress bars")
    result.add_argument("--job", help=argparse.SUPPRESS)  # used by the pages
    return result


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    if arguments.parallel:
        os.environ[PARALLEL] = "1"
    extractors = extractor_registry.expand(arguments.extractors)
    indexes = index_registry.expand(arguments.indexes)
    if arguments.check:
        return _check(arguments, None if arguments.extractors.strip() == "all" else extractors)
    if arguments.job:
        return _as_job(arguments, extractors, indexes)
    recipes = [Recipe.of(spec, index, arguments.rerank) for spec in extractors for index in indexes]
    quiet = arguments.quiet or not sys.stderr.isatty()
    failures: list[Failure] = []
    executor = RayExecutor(arguments.ray_address) if arguments.executor == "ray" else None
    try:
        outcomes = build(
            arguments.collection,
            extractors,
            indexes,
            weights=arguments.weights,
            force=arguments.force,
            progress=Silent() if quiet else Terminal(),
            executor=executor,
        )
    except Incomplete as error:
        outcomes, failures = error.outcomes, error.failures
    finally:
        if executor is not None:
            executor.close()
    _tell(arguments, outcomes, failures)
    # What is made offline follows from the descriptors: one index that is there stands for all.
    built = {(outcome.extractor, outcome.index) for outcome in outcomes}
    prepared = set()
    for recipe in recipes:
        spec = extractor_registry.canonical(recipe.extractor)
        there = (spec, index_registry.without_search(recipe.index)) in built
        if there and spec not in prepared:
            prepared.add(spec)
            _prepare(arguments, recipe, quiet)
    return 1 if failures else 0


def _tell(
    arguments: argparse.Namespace, outcomes: list[Outcome], failures: Sequence[Failure]
) -> None:
    """What was built to stdout, what was not to stderr."""
    if arguments.json:
        print_json(_summary(arguments.collection, outcomes, failures))
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
    if failures:
        print(f"error: {len(failures)} could not be built:", file=sys.stderr)
    for failure in failures:
        print(f"error: {failure}", file=sys.stderr)


def _check(arguments: argparse.Namespace, extractors: list[str] | None) -> int:
    """``--check``: what is damaged, and its mending."""
    name = arguments.collection
    if arguments.job:
        with page_job(JobProgress(arguments.job, name, [])) as progress:
            found = checking.check(name, extractors)
            damaged = [one for one in found if one.wrong and not one.photo]
            progress.plan([Stage(one.extractor, "check", one.index) for one in damaged])
            checking.mend(name, found)
        return 0
    found = checking.check(name, extractors)
    failures: list[Failure] = []
    try:
        outcomes = checking.mend(name, found)
    except Incomplete as error:
        outcomes, failures = error.outcomes, error.failures
    damaged = [one for one in found if one.wrong]
    if arguments.json:
        summary = _summary(name, outcomes, failures)
        print_json(summary | {"checked": [dataclasses.asdict(one) for one in found]})
    else:
        for one in damaged:
            print(one.wrong)
        built = [one for one in found if not one.photo]
        print(
            f"{counted(len(built), 'artefact')} checked, {len(damaged)} damaged or changed, "
            f"{len(outcomes)} built again."
        )
    for failure in failures:
        print(f"error: {failure}", file=sys.stderr)
    return 1 if failures else 0


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


def _summary(
    collection: str, outcomes: Sequence[Outcome], failures: Sequence[Failure]
) -> dict[str, Any]:
    return {
        "collection": collection,
        "seconds": sum(outcome.seconds for outcome in outcomes),
        "built": [dataclasses.asdict(outcome) for outcome in outcomes],
        "failed": [
            {"extractor": one.extractor, "index": one.index, "error": str(one.error)}
            for one in failures
        ],
    }


if __name__ == "__main__":
    run(main)
