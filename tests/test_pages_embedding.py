"""Maps of a collection: PCA against its definition, the query's place, and what is kept."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data import store
from data.errors import PlaygroundError
from data.paths import PROJECT_ROOT
from indexing import embedding
from indexing.artefacts import Vectors
from indexing.base import Floats
from indexing.build import build
from scripts import embedding as script
from scripts.console import call


def vectors_of(matrix: Floats, version: str = "v1") -> Vectors:
    """Vectors as they are loaded, without files."""
    manifest = {"files": {"vectors.npy": {"sha256": version}}}
    ids = tuple(map(str, range(len(matrix))))
    return Vectors(manifest, ids, ids, matrix, None, None, {})


def blobs(n: int = 60, d: int = 16, seed: int = 3) -> Floats:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(1).normal(size=(4, d)) * 3
    return (centres[rng.integers(0, 4, n)] + rng.normal(size=(n, d))).astype(np.float32)


def test_pca_is_the_projection_on_the_leading_eigenvectors(home: Path) -> None:
    matrix = blobs()
    made = embedding.make("c", "hog", "pca", vectors_of(matrix))
    centred = matrix - matrix.mean(0)
    values, axes = np.linalg.eigh(np.cov(centred.T))
    assert made.explained is not None and made.axes is not None
    np.testing.assert_allclose(made.explained, values[:-3:-1] / values.sum(), atol=1e-4)
    expected = np.abs(centred @ axes[:, :-3:-1])  # the sign of an axis is free
    np.testing.assert_allclose(np.abs(made.points), expected, atol=1e-3)


def test_a_photo_as_the_query_is_at_its_own_place(home: Path) -> None:
    matrix = blobs()
    made = embedding.make("c", "hog", "pca", vectors_of(matrix))
    np.testing.assert_allclose(
        embedding.project(made, matrix, matrix[7]), made.points[7], atol=1e-5
    )
    umap = embedding.Embedding("umap", np.arange(60), np.arange(120.0).reshape(60, 2))
    again = matrix[7] * np.float32(1 + 1e-6)
    assert embedding.project(umap, matrix, again).tolist() == [14.0, 15.0]


def test_a_map_is_kept_and_belongs_to_its_vectors(home: Path) -> None:
    matrix = blobs()
    made = embedding.make("c", "hog", "pca", vectors_of(matrix))
    kept = embedding.load("c", "hog", "pca", vectors_of(matrix))
    assert kept is not None
    assert (kept.points == made.points).all() and (kept.rows == made.rows).all()
    assert embedding.load("c", "hog", "pca", vectors_of(matrix, "v2")) is None
    assert embedding.load("c", "hog", "umap", vectors_of(matrix)) is None
    file = next(embedding.folder_of("c", "hog", "pca").glob("map-*"))
    file.write_bytes(b"x" * file.stat().st_size)
    with pytest.raises(PlaygroundError, match=r"Run: python -m scripts\.embedding"):
        embedding.load("c", "hog", "pca", vectors_of(matrix))


def test_equal_vectors_give_equal_files(home: Path) -> None:
    found = []
    for _ in range(2):
        embedding.make("c", "hog", "pca", vectors_of(blobs()))
        folder = embedding.folder_of("c", "hog", "pca")
        found.append({path.name: path.read_bytes() for path in folder.glob("ma*")})
    assert found[0] == found[1]


def test_large_collections_are_sampled(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "MOST", 20)
    made = embedding.make("c", "hog", "pca", vectors_of(blobs()))
    assert len(made.points) == len(set(made.rows.tolist())) == 20
    assert embedding.project(made, blobs(), blobs()[0]).shape == (2,)


def test_what_cannot_be_mapped_is_a_sentence(home: Path) -> None:
    with pytest.raises(PlaygroundError, match="Legal: pca, umap"):
        embedding.make("c", "hog", "tsne", vectors_of(blobs()))
    local = dataclasses.replace(vectors_of(blobs()), offsets=np.array([0, 30, 60]))
    with pytest.raises(PlaygroundError, match="no single place"):
        embedding.make("c", "delf", "pca", local)
    with pytest.raises(PlaygroundError, match="UMAP needs 8 photos"):
        embedding.make("c", "hog", "umap", vectors_of(blobs(5)))
    with pytest.raises(PlaygroundError, match="one number"):
        embedding.make("c", "hog", "pca", vectors_of(blobs(5, 1)))
    made = embedding.make("c", "hog", "pca", vectors_of(blobs()))
    with pytest.raises(PlaygroundError, match="shape"):
        embedding.project(made, blobs(), blobs()[0, :3])


def test_equal_photos_can_be_mapped(home: Path) -> None:
    made = embedding.make("c", "hog", "pca", vectors_of(np.ones((5, 4), np.float32)))
    assert np.isfinite(made.points).all() and np.isfinite(made.explained).all()


def test_memberships_fill_the_bandwidth() -> None:
    """UMAP's condition: the strengths of all but the first sum to log2(k)."""
    distances = np.linspace(0.5, 2.0, 15)
    strengths = embedding.memberships(distances)
    assert strengths[1:].sum() == pytest.approx(np.log2(15), abs=1e-3)
    assert (np.diff(strengths) < 0).all()
    assert embedding.memberships(np.zeros(4)).tolist() == [1, 1, 1, 1]


def test_a_new_query_lies_among_its_neighbours() -> None:
    matrix = np.eye(20, dtype=np.float32)
    points = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
    made = embedding.Embedding("umap", np.arange(20), points)
    query = 0.9 * matrix[4] + 0.1 * matrix[5]
    place = embedding.project(made, matrix, query)
    distances = np.linalg.norm(matrix - query, axis=1)
    near = np.argsort(distances, kind="stable")[:15]
    weights = embedding.memberships(distances[near])
    expected = (weights[:, None] * points[near]).sum(0) / weights.sum()
    np.testing.assert_allclose(place, expected, atol=1e-4)
    apart = np.linalg.norm(points - place, axis=1)
    assert np.isfinite(apart).all()


def test_the_command_makes_maps_once(
    home: Path, toy_collection: store.Collection, capsys: pytest.CaptureFixture[str]
) -> None:
    build("toy", ["hog"], ["flat"])
    arguments = ["--collection", "toy", "--extractors", "hog", "--methods", "pca"]
    assert call(script.main, arguments) == 0
    assert "hog pca: 30 photos, made" in capsys.readouterr().err
    assert call(script.main, ["--collection", "toy", "--methods", "pca"]) == 0
    assert "up to date" in capsys.readouterr().err
    assert call(script.main, [*arguments[:-1], "tsne"]) == 2
    assert "Legal: pca, umap" in capsys.readouterr().err


def test_importing_the_module_does_not_start_umap() -> None:
    """It compiles for seconds, so that only making a map may pay for it."""
    code = (
        "import sys, indexing.embedding; sys.exit('umap' in sys.modules or 'numba' in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=PROJECT_ROOT, check=False).returncode == 0
    )


@pytest.mark.slow
def test_umap_is_repeatable_and_places_queries_where_umap_begins(home: Path) -> None:
    umap: Any = pytest.importorskip("umap")
    from umap.umap_ import init_graph_transform

    matrix = blobs()
    first = embedding.make("c", "hog", "umap", vectors_of(matrix))
    second = embedding.make("c", "hog", "umap", vectors_of(matrix))
    assert (first.points == second.points).all()
    reference = umap.UMAP(
        n_neighbors=15, min_dist=0.1, init="pca", random_state=1234, n_jobs=1
    ).fit(matrix)
    np.testing.assert_allclose(reference.embedding_, first.points, atol=1e-5)
    reference.transform_mode = "graph"
    for query in blobs(5, seed=9):
        graph = reference.transform(query[None]).tocsr()
        expected = init_graph_transform(graph, reference.embedding_)[0]
        np.testing.assert_allclose(embedding.project(first, matrix, query), expected, atol=1e-2)
