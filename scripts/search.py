"""Search a collection with a photo, or a region of it.

    python -m scripts.search --collection demo --extractor resnet50 --index flat \\
        --image PHOTO --box 40,30,400,300 --k 10 --json
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from data.base import Box
from data.errors import PlaygroundError
from data.photos import decode
from indexing.engine import SearchEngine
from scripts.console import print_json, print_table, run


def parse_box(text: str) -> Box:
    """ "X0,Y0,X1,Y1" in px of the upright photo, half-open."""
    try:
        x0, y0, x1, y1 = (int(part) for part in text.split(","))
    except ValueError:
        raise PlaygroundError(
            f"--box {text!r} is not a box. Legal: X0,Y0,X1,Y1, four whole numbers in px, such as "
            f"40,30,400,300."
        ) from None
    return x0, y0, x1, y1


def parse_params(texts: Sequence[str]) -> dict[str, int]:
    """ "nprobe=4" and the like."""
    params = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            params[name] = int(value)
        except ValueError:
            raise PlaygroundError(
                f"--param {text!r} is not NAME=NUMBER, such as nprobe=4."
            ) from None
    return params


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.search", description=__doc__)
    parser.add_argument("--collection", default="demo")
    parser.add_argument("--extractor", required=True)
    parser.add_argument("--index", default="flat")
    parser.add_argument("--image", required=True, type=Path, help="a photo file")
    parser.add_argument("--box", type=parse_box, help="X0,Y0,X1,Y1 in px; the whole photo without")
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--param", action="append", default=[], help="such as nprobe=4")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(argv)
    if not arguments.image.is_file():
        raise PlaygroundError(f"There is no photo {arguments.image}. Give the path of a file.")
    start = time.perf_counter()
    photo = decode(arguments.image)
    decode_ms = 1e3 * (time.perf_counter() - start)
    engine = SearchEngine()
    query = engine.describe(
        arguments.collection, arguments.extractor, photo, arguments.box, decode_ms=decode_ms
    )
    result = engine.search(
        arguments.collection,
        arguments.extractor,
        arguments.index,
        query,
        arguments.k,
        parse_params(arguments.param),
    )
    if arguments.json:
        print_json(result.to_json())
        return 0
    print_table(
        ["rank", "id", "label", "distance", "score"],
        [[h.rank, h.id, h.label or "", h.distance, h.score] for h in result.hits],
    )
    times = ", ".join(f"{stage} {ms:.1f} ms" for stage, ms in result.timings_ms.items() if ms)
    print(f"{times}{' (cold start)' if result.cold else ''}")
    for note in result.notes:
        print(note)
    return 0


if __name__ == "__main__":
    run(main)
