"""Make maps of a collection: its photos in two dimensions, for the Embedding map page.

    python -m scripts.embedding --collection demo --extractors resnet50 --methods pca,umap

A map that is there and was made from the same vectors is kept. UMAP compiles its code at every
start, which takes longer than the map of a small collection.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from extractors import registry as extractor_registry
from indexing import embedding
from indexing.jobs import JobProgress
from indexing.progress import Stage
from indexing.status import collection_status
from retrieval.engine import SearchEngine
from scripts import console


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(
        prog="python -m scripts.embedding",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("--collection", default="demo")
    result.add_argument(
        "--extractors", default="all", help="all that are built, or specs between commas"
    )
    result.add_argument("--methods", default="pca,umap", help=", ".join(embedding.METHODS))
    result.add_argument("--force", action="store_true", help="make again what is up to date")
    result.add_argument("--job", help=argparse.SUPPRESS)  # used by the pages
    return result


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    if not arguments.job:
        make_all(arguments)
        return 0
    about = f"map:{arguments.collection}"
    stage = Stage(arguments.extractors, arguments.methods)
    with console.page_job(JobProgress(arguments.job, about, [stage])):
        make_all(arguments)
    return 0


def make_all(arguments: argparse.Namespace) -> None:
    """Every wanted map of every wanted extractor; "all" leaves out local descriptors."""
    name, engine = arguments.collection, SearchEngine()
    if arguments.extractors.strip() == "all":
        found = collection_status(name)
        specs = [one.extractor for one in found if one.current]
        specs = [spec for spec in specs if engine.vectors(name, spec).offsets is None]
    else:
        wanted = extractor_registry.expand(arguments.extractors)
        specs = [extractor_registry.canonical(spec) for spec in wanted]
    for spec in specs:
        for method in (part.strip() for part in arguments.methods.split(",")):
            vectors = engine.vectors(name, spec)
            kept = None if arguments.force else embedding.load(name, spec, method, vectors)
            made = kept or embedding.make(name, spec, method, vectors)
            how = "up to date" if kept else "made"
            print(f"{spec} {method}: {len(made.rows):,} photos, {how}", file=sys.stderr)


if __name__ == "__main__":
    console.run(main)
