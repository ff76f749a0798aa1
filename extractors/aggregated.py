"""What VLAD and NetVLAD share: centres by k-means, normalised residuals, an optional PCA."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import PlaygroundError
from extractors.base import Extractor, Features, Floats, Raw, l2_normalise
from extractors.kmeans import draw, k_means, repeatable

POINTS_PER_CENTRE = 256  # at most, of k-means
TINY = 1e-12  # lengths below it are 0: rounding


class Aggregated(Extractor):
    """One vector of the residuals of a photo's local features to ``clusters`` centres.

    ``local_features`` gives the features of a ``describe`` result; ``soft_assignment`` says how
    much of each belongs to each centre. Sums of residuals are normalised per centre
    (intra-normalisation: Arandjelovic, Zisserman, All about VLAD, CVPR 2013), put one after
    another, and normalised again. The config has ``clusters``, ``dim`` (of the PCA, 0 = none) and
    ``seed``.
    """

    evidence = "aggregated"

    def __init__(self, config: Any) -> None:
        if not 2 <= config.clusters <= 4096:
            raise PlaygroundError(f"clusters={config.clusters} is not possible. Legal: 2 to 4096.")
        if not 0 <= config.dim <= 16_384:
            raise PlaygroundError(f"dim={config.dim} is not possible. Legal: 0 (no PCA) to 16384.")
        super().__init__(config)
        self._state: dict[str, NDArray[Any]] = {}

    @abc.abstractmethod
    def local_features(self, raw: Raw) -> Floats:
        """(n, C) float32 rows of unit length."""

    @abc.abstractmethod
    def soft_assignment(self, features: Floats, centres: Floats) -> Floats:
        """(n, K), rows sum to 1."""

    def learn_more(self, photos: Iterable[Floats], centres: Floats) -> dict[str, NDArray[Any]]:
        """What else is learned from the features of each of the sample's photos; named arrays."""
        return {}

    @property
    def dim(self) -> int:
        state = self.state()
        return len(state["components"]) if "components" in state else state["centres"].size

    @property
    def photo_bytes(self) -> int:
        return 4 * (int(self.config.dim) or 64 * 1024)

    @property
    def note(self) -> str:
        """A sentence when the PCA has fewer dimensions than asked for."""
        if not self.config.dim or self.dim == self.config.dim:
            return ""
        return (
            f"The PCA has {self.dim} dimensions instead of {self.config.dim}: the sample's photos "
            f"span no more."
        )

    def fit(self, raws: Iterable[Raw]) -> None:
        raws = repeatable(raws)

        def photos() -> Iterator[Floats]:
            return (self.local_features(raw) for raw in raws)

        counts = [len(photo) for photo in photos()]
        clusters = self.config.clusters
        if sum(counts) < clusters:
            raise PlaygroundError(
                f"{self.name} found {sum(counts):,} local features in {len(counts)} photos, and "
                f"needs one or more for each of its {clusters} centres. Add photos, or use "
                f"{self.name}:clusters={max(2, sum(counts) // 2)}."
            )
        sample = draw(photos(), counts, clusters * POINTS_PER_CENTRE, self.config.seed)
        centres = k_means(sample, clusters, self.config.seed)
        self._state = {"centres": centres, **self.learn_more(photos(), centres)}
        if self.config.dim:
            vectors = np.stack([self.residuals(photo) for photo in photos()])
            mean, components = principal_components(vectors, self.config.dim)
            self._state |= {"mean": mean, "components": components}

    def state(self) -> dict[str, NDArray[Any]]:
        """``centres`` (K, C), with a PCA ``mean`` (K C,) and ``components`` (d, K C), and more."""
        if not self._state:
            raise PlaygroundError(
                f"{self.name} has no centres yet: they are learned from a collection. Build the "
                f"collection's descriptors with {self.name} first."
            )
        return dict(self._state)

    def load_state(self, state: dict[str, NDArray[Any]]) -> None:
        centres = state.get("centres", np.zeros(0))
        size = centres.size
        fits = centres.ndim == 2 and len(centres) == self.config.clusters
        if self.config.dim:
            mean, components = (state.get(k, np.zeros(0)) for k in ("mean", "components"))
            fits = fits and mean.shape == (size,) and components.ndim == 2
            fits = fits and components.shape[1:] == (size,) and len(components) <= self.config.dim
        if not fits or not all(np.isfinite(array).all() for array in state.values()):
            shapes = {name: np.shape(array) for name, array in state.items()}
            raise PlaygroundError(
                f"The learned state of {self.name} has arrays of the shapes {shapes}, which do not "
                f"fit {self.config.clusters} centres, or values that are not finite. Build the "
                f"collection's descriptors again."
            )
        self._state = {k: np.ascontiguousarray(v, np.float32) for k, v in state.items()}

    def residuals(self, features: Floats) -> Floats:
        """(n, C) -> (K C,), of unit length; zero where there are no features."""
        centres = self._state["centres"]
        if not len(features):
            return np.zeros(centres.size, np.float32)
        shares = self.soft_assignment(features, centres)
        sums = shares.T @ features - shares.sum(axis=0)[:, None] * centres
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        sums = np.where(lengths > 1e-6, sums / np.maximum(lengths, TINY), 0)
        return l2_normalise(sums.reshape(1, -1).astype(np.float32), eps=TINY)[0]

    def encode(self, raw: Raw) -> Features:
        state = self.state()
        vector = self.residuals(self.local_features(raw))[None]
        if "components" in state and vector.any():
            vector = (vector - state["mean"]) @ state["components"].T
        return Features(l2_normalise(np.asarray(vector[:, : self.dim], np.float32), eps=TINY))


def principal_components(vectors: Floats, dim: int) -> tuple[Floats, Floats]:
    """Mean (D,) and at most ``dim`` components (d, D), largest variance first.

    n photos span no more than n - 1 dimensions, however long the vectors are.
    """
    mean = vectors.mean(axis=0)
    _, values, axes = np.linalg.svd(vectors - mean, full_matrices=False)
    kept = int((values > 1e-6 * max(float(values[0]), TINY)).sum())
    components = axes[: max(1, min(dim, kept))]
    largest = np.abs(components).argmax(axis=1)  # the sign is free: make it a rule
    signs = np.sign(components[np.arange(len(components)), largest])
    return mean, np.asarray(components * signs[:, None], np.float32)
