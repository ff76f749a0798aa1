"""Measure weights on collections with ground truth, without building anything.

    python -m scripts.measure_weights --extractor resnet50 --weights file:resnet50.safetensors \\
        --collection glr --collection demo
    python -m scripts.measure_weights --weights untrained --collection glr --pca 128

Photos and queries are described with the extractor as it is in the app, and exhaustive search is
judged by the collection's own protocol: the numbers are those of scripts.evaluate with the index
flat. --pca also gives them for descriptors PCA-whitened on the collection itself: no fair result,
but it shows what a whitening could bring out.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data.base import Box, Photo
from data.errors import PlaygroundError
from data.store import Collection
from evaluation import registry as protocols
from extractors import registry
from extractors.base import Extractor
from extractors.training.describing import Floats
from extractors.training.export import card_text
from extractors.training.whitening import pca_whitening
from scripts import console, training

BATCH = 32


def describe(
    extractor: Extractor, collection: Collection, progress: console.Progress
) -> tuple[Floats, Floats]:
    """Descriptors of the photos and of the queries inside their boxes: (n, D), (q, D)."""
    queries = protocols.choose("auto", collection).queries(collection)
    everything: list[tuple[Photo, Box | None]] = [(photo, None) for photo in collection.photos]
    everything += [(query, query.box) for query in queries]
    rows: list[Floats] = []
    for start in range(0, len(everything), BATCH):
        chunk = everything[start : start + BATCH]
        prepared = [extractor.prepare(collection.read(photo), box) for photo, box in chunk]
        rows += [extractor.encode(raw).vectors for raw in extractor.describe_batch(prepared)]
        progress(len(rows), len(everything))
    vectors = np.concatenate(rows)
    count = len(collection.photos)
    return vectors[:count], vectors[count:]


def judged(collection: Collection, photos: Floats, queries: Floats) -> dict[str, float]:
    """The protocol's means; with several settings, their names come before the measures'."""
    protocol = protocols.choose("auto", collection)
    values: dict[str, list[dict[str, float]]] = {name: [] for name in protocol.settings}
    for query, row in zip(protocol.queries(collection), queries @ photos.T, strict=True):
        ranking = [collection.ids[i] for i in np.argsort(-row, kind="stable")]
        if protocol.depth is not None:
            ranking = ranking[: protocol.depth]
        for setting, found in protocol.judge_all(collection, query, ranking).items():
            values[setting].append(found)
    result: dict[str, float] = {}
    for setting, found_all in values.items():
        prefix = f"{setting} " if len(values) > 1 else ""
        for name, value in protocol.aggregate(found_all).items():
            result[f"{prefix}{name}"] = round(value, 4)
    return result


def measure(
    spec: str, weights: str, collection: Collection, pca: int | None, progress: console.Progress
) -> list[dict[str, Any]]:
    """One row, and one more with ``pca``."""
    extractor = registry.create(spec, weights=weights)
    if extractor.local or extractor.fit_sample:
        raise PlaygroundError(
            f"{spec} learns from the collection or gives many vectors per photo. Build it and use: "
            f"python -m scripts.evaluate --collection {collection.name} --extractors {spec}"
        )
    photos, queries = describe(extractor, collection, progress)
    head = {"extractor": spec, "weights": extractor.weights_identity().get("source", "")}
    head["collection"] = collection.name
    rows = [{**head, "whitening": "none", **judged(collection, photos, queries)}]
    if pca is not None:
        found = pca_whitening(photos)
        whitened = judged(collection, found.apply(photos, pca), found.apply(queries, pca))
        rows.append({**head, "whitening": f"PCA-w {pca} of the same photos", **whitened})
    return rows


def add_to_card(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write the rows into a card (``.json``) and its text (``.md``) beside the weights."""
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        own = [{**row, "commit": training.commit()} for row in rows]
        card["measured"] = [*card.get("measured", []), *own]
    except (OSError, ValueError, TypeError) as error:
        raise PlaygroundError(f"{path} is no card of trained weights ({error}).") from None
    path.write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(card_text(path.stem, card), encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.measure_weights",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--extractor", default="resnet50", help="a spec, of a global descriptor")
    parser.add_argument("--weights", default="auto", help="auto, untrained, file:PATH, …")
    parser.add_argument("--collection", action="append", required=True, help="repeatable")
    parser.add_argument("--pca", type=int, metavar="DIM", help="measure with PCA whitening too")
    parser.add_argument("--card", type=Path, help="the .json of the weights, to add the rows to")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    arguments = parser.parse_args(argv)
    spec = registry.canonical(arguments.extractor)
    rows: list[dict[str, Any]] = []
    for name in arguments.collection:
        with console.Progress(quiet=arguments.quiet) as progress:
            rows += measure(spec, arguments.weights, training.load(name), arguments.pca, progress)
    if arguments.card is not None:
        add_to_card(arguments.card, rows)
    if arguments.json:
        console.print_json(rows)
        return 0
    for row in rows:
        console.print_table(list(row), [list(row.values())])
    return 0


if __name__ == "__main__":
    console.run(main)
