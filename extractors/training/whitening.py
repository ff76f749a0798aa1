"""Whitening of descriptors, learned from other photos than those that are searched.

y = P (x - m), then L2. PCA-w: Jegou, Chum, ECCV 2012. Lw: Mikolajczyk, Matas, ICCV 2007, as in
Radenovic et al., TPAMI 2019 (cirtorch ``utils/whiten.py``). Rows are samples here, and P is sorted:
its first d rows reduce to d dimensions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from data.errors import PlaygroundError
from extractors.training.photos import positions

_ROUNDING = 1e-8  # eigenvalues below this share of the largest are fp32 rounding

Doubles = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Whitening:
    """m (D,) and P (D, D), or fewer rows, float64."""

    m: Doubles
    P: Doubles

    def apply(self, vectors: NDArray[np.float32], dim: int | None = None) -> NDArray[np.float32]:
        """(N, D) -> (N, dim or all rows of P), L2-normalised."""
        y = (vectors - self.m) @ self.P[:dim].T
        norms = np.linalg.norm(y, axis=1, keepdims=True)
        return np.asarray(y / (norms + 1e-6), np.float32)


def pca_whitening(vectors: NDArray[np.float32], floor: float = 0.0) -> Whitening:
    """P = Lambda^(-1/2) V^T of the covariance Xc Xc^T / N (cirtorch ``pcawhitenlearn``).

    Args:
        vectors: (N, D).
        floor: eigenvalues are raised to this share of the largest, so that directions in which
            the samples show nothing are not blown up. 0 leaves such directions out instead: P
            has as many rows as the samples have dimensions.

    Raises:
        PlaygroundError: fewer than 2 vectors, or all are equal.
    """
    x = _checked(vectors)
    m = x.mean(axis=0)
    centred = x - m
    values, axes = _sorted_eigen(centred.T @ centred / len(x))
    if values[0] <= 0:
        raise PlaygroundError("All descriptors are equal: there is nothing to whiten.")
    if floor:
        values = np.maximum(values, floor * values[0])
    kept = values > _ROUNDING * values[0]
    return Whitening(m, axes.T[kept] / np.sqrt(values[kept])[:, None])


def learned_whitening(
    vectors: NDArray[np.float32], queries: NDArray[np.int64], positives: NDArray[np.int64]
) -> Whitening:
    """Lw: whiten what differs between photos of one landmark, then sort by what differs else.

    Args:
        vectors: (N, D).
        queries, positives: rows of matching pairs.

    Raises:
        PlaygroundError: no pairs.
    """
    x = _checked(vectors)
    if not len(queries) or len(queries) != len(positives):
        raise PlaygroundError(
            "Learned whitening needs matching pairs: a collection with two or more photos of some "
            "landmarks."
        )
    m = x[queries].mean(axis=0)
    within = x[queries] - x[positives]
    scatter = within.T @ within / len(queries)
    w = np.linalg.inv(_cholesky(scatter))
    projected = (x - m) @ w.T
    _, axes = _sorted_eigen(projected.T @ projected)
    return Whitening(m, axes.T @ w)


def within_whitening(
    vectors: NDArray[np.float32], labels: Sequence[str], shrink: float = 1.0
) -> Whitening:
    """Whitening by what differs between photos of one landmark, shrunk towards a plain rotation.

    With S the covariance around each landmark's own mean, P = V^T (S + a mean(diag S) I)^(-1/2),
    V sorted by what is left (linear discriminant analysis, regularised as by Friedman, 1989). Where
    the photos learned from are of another kind than those that are searched, S alone trusts them
    too far: directions in which they never vary are blown up.

    Args:
        vectors: (N, D).
        labels: of the rows; those of one photo tell nothing.
        shrink: a; 0 whitens wholly, large values only turn.

    Raises:
        PlaygroundError: no label occurs twice.
    """
    x = _checked(vectors)
    rows = [np.array(where) for where in positions(labels).values() if len(where) > 1]
    if not rows:
        raise PlaygroundError(
            "Whitening by landmark needs labels: two or more photos of some landmarks."
        )
    # A landmark's own mean takes one degree of freedom.
    within = np.concatenate(
        [(x[w] - x[w].mean(axis=0)) * (len(w) / (len(w) - 1)) ** 0.5 for w in rows]
    )
    scatter = within.T @ within / len(within)
    scatter += shrink * np.trace(scatter) / len(scatter) * np.eye(len(scatter))
    values, axes = np.linalg.eigh(scatter)
    w = (axes / np.sqrt(values)) @ axes.T
    m = x.mean(axis=0)
    projected = (x - m) @ w
    _, turned = _sorted_eigen(projected.T @ projected)
    return Whitening(m, turned.T @ w)


def _checked(vectors: NDArray[np.float32]) -> Doubles:
    if vectors.ndim != 2 or len(vectors) < 2:
        raise PlaygroundError(
            f"Whitening needs two or more descriptors, and got an array of shape {vectors.shape}."
        )
    return vectors.astype(np.float64)


def _sorted_eigen(matrix: Doubles) -> tuple[Doubles, Doubles]:
    """Eigenvalues, largest first, and eigenvectors in columns, their largest entry positive."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    values, vectors = values[::-1], vectors[:, ::-1]
    largest = np.abs(vectors).argmax(axis=0)
    return values, vectors * np.sign(vectors[largest, np.arange(vectors.shape[1])])


def _cholesky(matrix: Doubles) -> Doubles:
    """Of the matrix, or of it + alpha I with the smallest alpha of 1e-10, 1e-9, … that serves."""
    alpha = 0.0
    while True:
        try:
            return np.asarray(np.linalg.cholesky(matrix + alpha * np.eye(len(matrix))))
        except np.linalg.LinAlgError:
            alpha = alpha * 10 if alpha else 1e-10
