"""Maps of a collection: its descriptors in two dimensions, by PCA or UMAP.

A map is an artefact beside the indexes of its extractor and names the exact vectors that it was
made from. A query is placed on a finished map without moving anything on it.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from data import artefact
from data.errors import PlaygroundError
from extractors import registry as extractor_registry
from indexing.artefacts import Vectors, extractor_folder
from indexing.base import Floats, Ints
from indexing.inside.common import as_query, nearest, squared_distances

METHODS = {"pca": "PCA", "umap": "UMAP"}
VERSION = 1
SEED = 1234
MOST = 4_000  # photos on a map; up to 4,096 UMAP finds neighbours exactly, and a browser keeps up
FEWEST = {"pca": 2, "umap": 8}  # photos
NEIGHBOURS = 15  # UMAP's n_neighbors: its default
MIN_DIST = 0.1  # UMAP's min_dist, on the map: its default
_FILE = "map.safetensors"
_STEPS = 64  # halvings in the search for a bandwidth, as in UMAP
_SAME = 1e-3  # share of the mean distance: a photo of the map that was described once more
_FLOOR = 1e-3  # smallest bandwidth as a share of the mean distance, as in UMAP


@dataclasses.dataclass(frozen=True)
class Embedding:
    """A map of s photos.

    Attributes:
        method: "pca" or "umap".
        rows: (s,) int64 rows of the vectors: all, or a seeded sample of MOST.
        points: (s, 2) float32 places on the map.
        mean, axes: PCA only: (d,) float32 and (2, d) float32, orthonormal rows.
        explained: PCA only: (2,) share of the variance along each axis.
    """

    method: str
    rows: Ints
    points: Floats
    mean: Floats | None = None
    axes: Floats | None = None
    explained: Floats | None = None


def folder_of(collection: str, extractor: str, method: str) -> Path:
    return extractor_folder(collection, extractor) / "maps" / method


def command(collection: str, extractor: str, method: str) -> str:
    """The command that makes a map."""
    return (
        f"python -m scripts.embedding --collection {collection} --extractors '{extractor}' "
        f"--methods {method}"
    )


def load(collection: str, extractor: str, method: str, vectors: Vectors) -> Embedding | None:
    """The saved map of exactly these vectors; None where there is none.

    Raises:
        PlaygroundError: its files are damaged.
    """
    spec = extractor_registry.canonical(extractor)
    folder = folder_of(collection, spec, method)
    manifest = artefact.read_manifest(folder)
    if manifest is None or manifest.get("made_from") != _made_from(method, vectors):
        return None
    mend = command(collection, spec, method)
    path = artefact.file_path(folder, manifest, _FILE, mend)
    try:
        return Embedding(method, **safetensors.numpy.load_file(path))
    except (TypeError, ValueError, safetensors.SafetensorError) as error:
        raise PlaygroundError(f"{path} holds no map ({error}). Run: {mend}") from error


def make(collection: str, extractor: str, method: str, vectors: Vectors) -> Embedding:
    """Make a map and save it; the same vectors give the same map on the same machine.

    Raises:
        PlaygroundError: unknown method, local descriptors, or too few photos.
    """
    if method not in METHODS:
        raise PlaygroundError(f"There is no map '{method}'. Legal: {', '.join(METHODS)}.")
    if vectors.offsets is not None:
        raise PlaygroundError(
            f"{extractor} describes a photo by many local vectors, so a photo has no single place "
            f"on a map. Choose an extractor with one vector per photo."
        )
    if vectors.vectors.shape[1] < 2:
        raise PlaygroundError(f"The vectors of {extractor} have one number: there is no map of it.")
    if len(vectors.vectors) < FEWEST[method]:
        raise PlaygroundError(
            f"{METHODS[method]} needs {FEWEST[method]} photos or more, {collection} has "
            f"{len(vectors.vectors)}. Add photos, or choose another map."
        )
    rows = _sample(len(vectors.vectors))
    fitted = _FIT[method](np.ascontiguousarray(vectors.vectors[rows], np.float32), rows)
    tensors = {
        field.name: np.ascontiguousarray(value)
        for field in dataclasses.fields(fitted)
        if isinstance(value := getattr(fitted, field.name), np.ndarray)
    }
    artefact.save(
        folder_of(collection, extractor_registry.canonical(extractor), method),
        {"made_from": _made_from(method, vectors)},
        {_FILE: lambda path: safetensors.numpy.save_file(tensors, path)},
    )
    return fitted


def project(embedding: Embedding, vectors: Floats, query: Floats) -> Floats:
    """The query's place on the map, (2,) float32.

    PCA: the same projection as for the photos. UMAP: where UMAP's own ``transform`` begins, the
    mean of the nearest photos' places, weighted by their fuzzy membership strengths (McInnes et
    al., 2018, section 3.1); the random descent that follows there is left out, so that the same
    query is always at the same place.

    Args:
        vectors: (n, d) float32, all of the collection's.
        query: d numbers.
    """
    asked = as_query(query, vectors.shape[1])
    if embedding.method == "pca":
        placed: Floats = linear(embedding, asked)[0]
        return placed
    distances = np.sqrt(squared_distances(asked, vectors[embedding.rows]))
    near = nearest(distances, min(NEIGHBOURS, len(distances) - 1))
    if distances[near[0]] <= _SAME * distances.mean():
        return embedding.points[near[0]]
    weights = memberships(distances[near])
    return (weights @ embedding.points[near] / weights.sum()).astype(np.float32)


def linear(embedding: Embedding, vectors: Floats) -> Floats:
    """Places of any (n, d) vectors on a PCA map, (n, 2) float32."""
    if embedding.mean is None or embedding.axes is None:
        raise PlaygroundError(f"A map by {embedding.method} has no axes. Legal here: pca.")
    d = embedding.mean.shape[0]
    if vectors.ndim != 2 or vectors.shape[1] != d:
        raise PlaygroundError(f"The vectors are {vectors.shape}, this map takes (n, {d}).")
    return ((np.asarray(vectors) - embedding.mean) @ embedding.axes.T).astype(np.float32)


def memberships(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """(k,) strengths exp(-d / sigma) of a new point's k nearest, with the sigma of UMAP.

    sigma is such that all but the first sum to log2(k), where that is possible.
    """
    low, high, sigma = 0.0, np.inf, 1.0
    target = np.log2(len(distances))
    for _ in range(_STEPS):
        total = np.exp(-distances[1:] / sigma).sum()
        if abs(total - target) < 1e-5:
            break
        if total > target:
            high = sigma
            sigma = (low + high) / 2
        else:
            low = sigma
            sigma = 2 * sigma if np.isinf(high) else (low + high) / 2
    sigma = max(sigma, _FLOOR * float(distances.mean()), np.finfo(float).tiny)
    strengths: NDArray[np.float64] = np.exp(-distances / sigma)
    return strengths


def _sample(n: int) -> Ints:
    rows = np.arange(n, dtype=np.int64)
    if n > MOST:
        rows = np.sort(np.random.default_rng(SEED).choice(rows, MOST, replace=False))
    return rows


def _made_from(method: str, vectors: Vectors) -> dict[str, Any]:
    """What a map depends on: another value of any makes another map."""
    values: dict[str, Any] = {
        "version": VERSION,
        "method": method,
        "vectors_sha256": vectors.version,
        "seed": SEED,
        "most": MOST,
    }
    if method == "umap":
        values |= {"n_neighbors": NEIGHBOURS, "min_dist": MIN_DIST}
    return values


def _fit_pca(part: Floats, rows: Ints) -> Embedding:
    with np.errstate(invalid="ignore"):  # equal vectors have no variance to divide by
        fitted = PCA(n_components=2, random_state=SEED).fit(part)
    axes = fitted.components_.astype(np.float32)
    mean = fitted.mean_.astype(np.float32)
    explained = np.nan_to_num(fitted.explained_variance_ratio_).astype(np.float32)
    points = ((part - mean) @ axes.T).astype(np.float32)
    return Embedding("pca", rows, points, mean, axes, explained)


def _fit_umap(part: Floats, rows: Ints) -> Embedding:
    try:
        umap: Any = importlib.import_module("umap")  # compiles for some seconds
    except ImportError as error:
        raise PlaygroundError(
            "UMAP needs the Python package umap-learn, which is not installed. Run: "
            "python -m pip install -r requirements.txt"
        ) from error
    fitted = umap.UMAP(
        n_neighbors=min(NEIGHBOURS, len(part) - 1),
        min_dist=MIN_DIST,
        # Keeps the large distances of PCA (Kobak and Linderman, Nature Biotechnology 2021), and
        # does not fail on small collections as the spectral start does.
        init="pca",
        random_state=SEED,
        n_jobs=1,  # what a seed means in UMAP
    ).fit(part)
    return Embedding("umap", rows, np.asarray(fitted.embedding_, np.float32))


_FIT: dict[str, Callable[[Floats, Ints], Embedding]] = {"pca": _fit_pca, "umap": _fit_umap}
