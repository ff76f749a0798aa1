"""Learn a whitening from a collection, to search other collections with.

    python -m scripts.fit_whitening --extractor resnet50 --collection holidays --name holidays-lw
    python -m scripts.build --collection mine --extractors whitened:by=holidays-lw,dim=512

lw needs labels: photos of one landmark shall come close. Of a data set that lists matching pairs
(retrieval-SfM) these are taken. pca-w does without. Descriptors that are
not there yet are built first. The collection itself cannot be searched with the result.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from data import artefact
from data.base import Photo
from extractors import registry
from extractors.training.photos import positions
from extractors.training.whitening import Whitening, learned_whitening, pca_whitening
from extractors.whitened import HEADER, KINDS, check_whitenable, whitening_path
from indexing.artefacts import load_vectors
from indexing.build import build
from scripts import console, training

PAIRS = 20_000  # at most, drawn


def matching_pairs(
    labels: Sequence[str | None], count: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of pairs that show the same landmark: each photo with one other, until ``count``."""
    rng = np.random.default_rng(seed)
    first, second = [], []
    known = [(i, label) for i, label in enumerate(labels) if label is not None]
    for members in positions([label for _, label in known]).values():
        rows = np.array([known[i][0] for i in members])
        if len(rows) > 1:
            order = rng.permutation(rows)
            first += order.tolist()
            second += np.roll(order, 1).tolist()
    chosen = np.sort(rng.permutation(len(first))[:count])
    return np.array(first, np.int64)[chosen], np.array(second, np.int64)[chosen]


def listed_pairs(
    photos: Sequence[Photo], count: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the pairs that the data set lists, at most ``count``; empty without a list."""
    row = {photo.id: i for i, photo in enumerate(photos)}
    pairs = [
        (row[photo.id], row[other])
        for photo in photos
        for other in photo.extra.get("positives", ())
        if other in row
    ]
    chosen = np.sort(np.random.default_rng(seed).permutation(len(pairs))[:count])
    found = np.array(pairs, np.int64).reshape(-1, 2)[chosen]
    return found[:, 0], found[:, 1]


def learn(kind: str, vectors: NDArray[np.float32], photos: Sequence[Photo], seed: int) -> Whitening:
    """A whitening of ``KINDS`` from (N, D) vectors; lw needs pairs, or labels that repeat."""
    if kind == "pca-w":
        return pca_whitening(vectors)
    queries, positives = listed_pairs(photos, PAIRS, seed)
    if not len(queries):
        labels = [photo.label for photo in photos]
        queries, positives = matching_pairs(labels, PAIRS, seed)
    return learned_whitening(vectors, queries, positives)


def save(path: Path, whitening: Whitening, about: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {
        "m": whitening.m.astype(np.float32),
        "P": np.ascontiguousarray(whitening.P, np.float32),
    }
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        safetensors.numpy.save_file(tensors, temporary, {HEADER: json.dumps(about)})
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.fit_whitening",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--extractor", required=True, help="a spec: resnet50, resnet50:pooling=mac")
    parser.add_argument("--collection", required=True, help="to learn from")
    parser.add_argument("--name", required=True, help="of the result: whitened:by=NAME")
    parser.add_argument("--kind", default="lw", choices=KINDS)
    parser.add_argument("--weights", default="auto", help="of a network, see scripts.build")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    spec, path = registry.canonical(arguments.extractor), whitening_path(arguments.name)
    collection = training.load(arguments.collection)
    check_whitenable(registry.create(spec, weights=arguments.weights), spec)
    build(collection.name, [spec], [], weights=arguments.weights)
    found, extractor = load_vectors(collection, spec)
    whitening = learn(
        arguments.kind,
        np.asarray(found.vectors),
        collection.photos,
        arguments.seed,
    )
    about = {
        "kind": arguments.kind,
        "extractor": spec,
        "version": extractor.version,
        "weights_sha256": extractor.weights_identity().get("sha256", ""),
        "collection": collection.name,
        "fingerprint": collection.fingerprint,
        "photos": len(collection.photos),
    }
    with artefact.explain_os_errors(f"Saving {path}"):
        save(path, whitening, about)
    print(f"{path}\nuse it: --extractors whitened:by={arguments.name}")
    return 0


if __name__ == "__main__":
    console.run(main)
