"""Evaluate extractors and indexes on a collection with ground truth.

    python -m scripts.evaluate --collection demo --extractors all --indexes flat \\
        --protocol auto --json results.json --html report.html

Each row (extractor x index x chain of re-rankers) has: collection, protocol, extractor, weights,
index, rerank, queries, map, map_ci (95 %), mp@1, mp@5, mp@10, recall@k_vs_exact, extract_ms and
search_ms (medians, warm), bytes_per_vector (the whole index over its vectors), bytes_per_photo
(what each photo adds, without shared_bytes), build_s; besides them k, partial, rerank_ms where
there is a chain, and what the protocol has more (easy, medium and hard; n-s). What is not known is
null.
Rows that were evaluated before are used again as long as photos, descriptors, index, re-rankers,
ground truth and k are the same. Stop it at any moment and start it again: it goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data import artefact, store
from data.demo import ensure_demo
from data.errors import PlaygroundError
from evaluation import pictures, registry, report
from evaluation.run import K, Row, evaluate
from extractors import registry as extractor_registry
from indexing import registry as index_registry
from indexing.jobs import MEASURE, JobProgress
from indexing.progress import Clock, Stage
from indexing.status import collection_status
from retrieval.ranking import USUAL, Recipe
from scripts import console


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(
        prog="python -m scripts.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("--collection", default="demo")
    result.add_argument(
        "--extractors", default="all", help="all that are built, or specs between commas"
    )
    result.add_argument(
        "--indexes", default="flat", help="all that are built, or specs: flat,ivf:nprobe=4"
    )
    result.add_argument(
        "--protocol", default="auto", help=f"auto (the collection's), {', '.join(registry.names())}"
    )
    result.add_argument(
        "--rerank",
        action="append",
        help="a chain such as aqe:k=5,sift, none, or usual (ransac after local features, else "
        "none); may be repeated; usual without it",
    )
    result.add_argument("--k", type=int, default=K, help="of recall@k and of the timed searches")
    result.add_argument(
        "--json", nargs="?", const="-", metavar="OUT", help="write the rows; - or nothing: stdout"
    )
    result.add_argument("--html", metavar="OUT", help="write the report: one file, opens offline")
    result.add_argument(
        "--save-ranks",
        "--pictures",
        dest="ranks",
        metavar="DIR",
        help="write every query's first ranks: a PNG each (query with its box, hits in coloured "
        "frames), and all of them in ranks.csv",
    )
    result.add_argument("--force", action="store_true", help="evaluate again what is up to date")
    result.add_argument("--quiet", action="store_true", help="no progress bar")
    result.add_argument("--job", help=argparse.SUPPRESS)  # used by the pages
    return result


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    if arguments.collection == "demo":
        ensure_demo()
    if arguments.job:
        return _as_job(arguments)
    name = arguments.collection
    groups = chosen(name, arguments.extractors, arguments.indexes)
    if arguments.extractors.strip() == "all":
        for status in collection_status(name):
            if status.state == "stale":
                print(f"left out: {status.message}", file=sys.stderr)
    rows: list[Row] = []
    with console.Progress("search step", quiet=arguments.quiet) as progress:
        for extractors, indexes, reranks in _by_chains(groups, arguments.rerank):
            rows += evaluate(
                name,
                extractors,
                indexes,
                arguments.protocol,
                progress,
                arguments.force,
                k=arguments.k,
                reranks=reranks,
            )
    result = [row.as_json() for row in rows]
    if arguments.json == "-":
        console.print_json(result)
    else:
        print_rows(rows)
    if arguments.json not in (None, "-"):
        _write(Path(arguments.json), json.dumps(result, indent=2, ensure_ascii=False) + "\n")
        print(f"rows: {arguments.json}", file=sys.stderr)
    if arguments.html:
        report.write(Path(arguments.html), rows, store.load(name))
        print(f"report: {arguments.html}", file=sys.stderr)
    if arguments.ranks:
        count = pictures.write(store.load(name), rows, Path(arguments.ranks))
        print(f"{count:,} rankings: {arguments.ranks}", file=sys.stderr)
    return 0


def _as_job(arguments: argparse.Namespace) -> int:
    """The evaluation behind a page."""
    name = arguments.collection
    progress = JobProgress(arguments.job, f"evaluate:{name}", [])
    with console.page_job(progress, slot=MEASURE) as job:
        groups = chosen(name, arguments.extractors, arguments.indexes)
        pairs = _by_chains(groups, arguments.rerank)
        stages = [Stage(specs[0], "evaluate") for specs, _, _ in pairs]
        job.plan(stages)
        for stage, (specs, indexes, reranks) in zip(stages, pairs, strict=True):
            _stage(job, stage, arguments, specs[0], indexes, reranks)
    return 0


def _stage(
    job: JobProgress,
    stage: Stage,
    arguments: argparse.Namespace,
    spec: str,
    indexes: list[str],
    reranks: list[str],
) -> None:
    """One extractor with its indexes."""
    clock = Clock()

    def tell(done: int, total: int, text: str = "") -> None:
        stage.done, stage.total, stage.seconds = done, total, clock.seconds
        job.update(stage)

    stage.state = "running"
    tell(0, 1)
    protocol, force, k = arguments.protocol, arguments.force, arguments.k
    evaluate(arguments.collection, [spec], indexes, protocol, tell, force, k=k, reranks=reranks)
    stage.state = "done"
    tell(1, 1)


def _by_chains(
    groups: list[tuple[list[str], list[str]]], wanted: Sequence[str] | None
) -> list[tuple[list[str], list[str], list[str]]]:
    """Each extractor with its indexes and the chains that can follow it.

    What cannot is told and left out, unless nothing would be left of the command.
    """
    refused: list[PlaygroundError] = []
    found = []
    for spec, indexes in [(spec, indexes) for specs, indexes in groups for spec in specs]:
        chains = []
        for chain in wanted or [USUAL]:
            try:
                Recipe.of(spec, indexes[0], chain)
                chains.append(chain)
            except PlaygroundError as error:
                refused.append(error)
        if chains:
            found.append(([spec], indexes, chains))
    if refused and not found:
        raise refused[0]
    for one in dict.fromkeys(map(str, refused)):
        print(f"left out: {one}", file=sys.stderr)
    return found


def chosen(collection: str, extractors: str, indexes: str) -> list[tuple[list[str], list[str]]]:
    """The pairs of a command, grouped by equal lists of indexes.

    ``all`` stands for what is built; a spec that was asked for by name and is not built is an
    error of ``evaluate``.
    """
    specs = extractor_registry.expand(extractors)
    if "all" not in (extractors.strip(), indexes.strip()):
        return [(specs, index_registry.expand(indexes))]
    ready = {
        status.extractor: [index.index for index in status.indexes if index.state == "ready"]
        for status in collection_status(collection)
        if status.searchable
    }
    groups: dict[tuple[str, ...], list[str]] = {}
    if extractors.strip() == "all":
        specs = list(ready)
    for spec in map(extractor_registry.canonical, specs):
        if indexes.strip() == "all" and spec not in ready:
            raise _not_built(collection, spec, indexes)
        built = ready.get(spec, [])
        wanted = built if indexes.strip() == "all" else index_registry.expand(indexes)
        if wanted:
            groups.setdefault(tuple(wanted), []).append(spec)
    if not groups:
        raise _not_built(collection, extractors, indexes)
    return [(group, list(wanted)) for wanted, group in groups.items()]


def _not_built(collection: str, extractors: str, indexes: str) -> PlaygroundError:
    words = ["--collection", collection, "--extractors", extractors, "--indexes", indexes]
    return PlaygroundError(
        f"Nothing of --extractors {extractors} --indexes {indexes} is built for the collection "
        f"{collection} yet. Run: python -m scripts.build {shlex.join(words)}"
    )


def print_rows(rows: Sequence[Row]) -> None:
    """The table on the terminal."""
    settings = rows[0].judged_by.settings
    header = ["extractor", "weights", "index", "rerank", "queries"]
    header += [f"mAP {s}" for s in settings] if len(settings) > 1 else ["mAP"]
    header += ["95 %", "mP@1", "mP@5", "mP@10", f"recall@{rows[0].k}"]
    header += ["extract ms", "search ms", "re-rank ms", "bytes/vector", "build s"]
    scored = rows[0].judged_by.headline != "ap"
    if scored:
        header.insert(5, rows[0].judged_by.headline.upper())
    lines: list[list[Any]] = []
    for row in rows:
        ci = row.interval(measure="ap")
        main = row.means[row.judged_by.main]
        line: list[Any] = [row.extractor, row.weights or "-", row.index, row.rerank]
        line.append(len(row.queries))
        line += [f"{row.score:.3f}"] if scored else []
        line += [f"{row.means[setting]['ap']:.3f}" for setting in settings]
        line.append(f"{ci[0]:.3f}-{ci[1]:.3f}" if ci else "-")
        line += [f"{main[f'p@{k}']:.3f}" for k in (1, 5, 10)]
        line += [f"{row.recall:.3f}", row.extract_ms, row.search_ms, row.rerank_ms]
        lines.append([*line, row.bytes_per_photo, row.build_s])
    console.print_table(header, lines)
    if any(row.partial for row in rows):
        print("partial: photos of this data set were missing when it was imported.")
    print(f"{rows[0].judged_by.title}. {rows[0].judged_by.meaning}")


def _write(path: Path, text: str) -> None:
    try:
        artefact.write_atomically(path, text)
    except OSError as error:
        raise PlaygroundError(
            f"The rows cannot be written to {path} ({error.strerror}). Give a path in a folder "
            f"that is writable."
        ) from error


if __name__ == "__main__":
    console.run(main)
