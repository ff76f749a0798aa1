"""Search a collection with a photo, or a region of it, or with every photo of a folder.

    python -m scripts.search --collection demo --extractor resnet50 --index flat \\
        --image PHOTO --box 40,30,400,300 --k 10 --json
    python -m scripts.search --extractor gem-siamese --rerank aqe:k=5,sift --images FOLDER

Re-rankers are applied in the order in which they are named; ``none`` leaves out what a method
prescribes (DELF: ransac). With them the JSON of a hit has its rank before, too. Photos that are
marked with --right and --wrong move the query: --rerank rocchio.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from data import artefact
from data.errors import PlaygroundError
from data.names import printable
from data.photos import BadPhoto
from retrieval.answer import box_of, params_of, query_of
from retrieval.engine import SearchEngine
from retrieval.export import matches_npz
from retrieval.ranking import Recipe, SearchResult
from scripts.console import print_json, print_table, run

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif")


def photos_of(folder: Path) -> list[Path]:
    """The photo files of a folder, sorted by name."""
    if not folder.is_dir():
        raise PlaygroundError(f"There is no folder {folder}. Give the path of one with photos.")
    found = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    if not found:
        raise PlaygroundError(
            f"The folder {folder} has no photos. Legal: files that end with {', '.join(SUFFIXES)}."
        )
    return found


def write_matches(path: Path, result: SearchResult) -> None:
    """Save the verified matches, see ``retrieval.export.matches_npz``."""
    if not result.matches:
        raise PlaygroundError(
            "This search verified no matches. They come with a re-ranker that looks at geometry: "
            "--rerank sift, or the extractor delf."
        )
    with artefact.explain_os_errors(f"Writing {path}"):
        artefact.write_atomically(path, matches_npz(result))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.search",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--collection", default="demo")
    parser.add_argument("--extractor", required=True)
    parser.add_argument("--index", default="flat")
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("--image", type=Path, help="a photo file")
    given.add_argument("--images", type=Path, help="a folder: a search with each of its photos")
    parser.add_argument("--box", type=box_of, help="X0,Y0,X1,Y1 in px; the whole photo without")
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--rerank", help="such as aqe:k=5,sift; none: not even what is usual")
    parser.add_argument("--right", action="append", default=[], metavar="ID", help="a right photo")
    parser.add_argument("--wrong", action="append", default=[], metavar="ID", help="a wrong photo")
    parser.add_argument("--param", action="append", default=[], help="such as nprobe=4")
    parser.add_argument("--matches", type=Path, metavar="FILE.npz", help="verified matches, px")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(argv)
    if arguments.image is not None and not arguments.image.is_file():
        raise PlaygroundError(f"There is no photo {arguments.image}. Give the path of a file.")
    if arguments.images is not None and arguments.matches is not None:
        raise PlaygroundError("--matches is of one search. Give --image with it.")
    if arguments.images is not None and arguments.box is not None:
        raise PlaygroundError("--box is a region of one photo. Give --image with it.")
    engine = SearchEngine()
    recipe = Recipe.of(arguments.extractor, arguments.index, arguments.rerank)
    params = params_of(arguments.param)
    paths = [arguments.image] if arguments.image else photos_of(arguments.images)
    answers = []
    for path in paths:
        try:
            query = query_of(path, arguments.box, right=arguments.right, wrong=arguments.wrong)
        except BadPhoto as error:
            if arguments.image:
                raise
            print(f"{printable(path.name)} is left out: {error}", file=sys.stderr)
            continue
        result = engine.search(arguments.collection, recipe, query, arguments.k, params=params)
        answers.append({"image": str(path), **result.to_json()})
        if not arguments.json:
            if arguments.images:
                print(printable(path.name))
            _print(result)
    if arguments.matches:
        write_matches(arguments.matches, result)
    if arguments.json:
        print_json(answers if arguments.images else result.to_json())
    return 0


def _print(result: SearchResult) -> None:
    chained = bool(result.recipe.rerank)
    header = ["rank", *(["before"] if chained else []), "id", "label", "distance", "score"]
    lines = []
    for hit in result.hits:
        before = ["-" if hit.before is None else hit.before] if chained else []
        lines.append([hit.rank, *before, hit.id, hit.label or "", hit.distance, hit.score])
    print_table(header, lines)
    times = ", ".join(f"{stage} {ms:.1f} ms" for stage, ms in result.timings_ms.items() if ms)
    print(f"{times}{' (cold start)' if result.cold else ''}")
    for note in result.notes:
        print(note)


if __name__ == "__main__":
    run(main)
