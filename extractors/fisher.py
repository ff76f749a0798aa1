"""Fisher vectors of RootSIFT under a mixture of Gaussians."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from data.base import Box
from data.errors import PlaygroundError
from extractors.aggregated import TINY, principal_components
from extractors.base import (
    RGB,
    Card,
    Extractor,
    Features,
    Floats,
    Prepared,
    Raw,
    crop_and_shrink,
    l2_normalise,
)
from extractors.kmeans import draw, repeatable
from extractors.sift import SIFT_DIM, detect_sift, root_sift
from extractors.vlad import check_sift

_POINTS = 50_000  # features that the mixture is learned from, at most
_STATE = ("mean", "components", "weights", "means", "covariances")


@dataclasses.dataclass(frozen=True)
class FisherConfig:
    image_size: int = 640  # px, longer side of the full photo; never enlarged
    max_keypoints: int = 800  # the strongest per photo
    modes: int = 32  # Gaussians, K
    features: int = 64  # dimensions that RootSIFT is reduced to, D
    seed: int = 0  # of the mixture


class Fisher(Extractor):
    """One (2 K D + K)-d vector per photo."""

    name = "fisher"
    evidence = "aggregated"
    fit_sample = 1000
    card: ClassVar[Card] = Card(
        title="Fisher vector (RootSIFT)",
        paper="Perronnin, Liu, Sanchez, Poirier: Large-scale image retrieval with compressed "
        "Fisher vectors, CVPR 2010",
        url="https://doi.org/10.1109/CVPR.2010.5540009",
        idea="Local features are taken as draws from a mixture of Gaussians, learned from the "
        "collection. A photo is described by how the mixture would have to change to fit its "
        "features better: its weights, its means (which is VLAD, softly) and its "
        "widths. The square "
        "root of each number keeps a pattern that repeats from drowning the others.",
        formula=r"G_{\mu_k} = \frac{1}{T\sqrt{w_k}}\sum_{t}\gamma_t(k)\,\frac{x_t-\mu_k}{\sigma_k},"
        r"\qquad G_{\sigma_k} = \frac{1}{T\sqrt{2w_k}}\sum_{t}\gamma_t(k)\Big[\frac{(x_t-\mu_k)^2}"
        r"{\sigma_k^2}-1\Big],\qquad v = \operatorname{sign}(G)\sqrt{|G|}/\lVert\cdot\rVert",
        parameters={
            "image_size": "longer side in px to which photos are shrunk before SIFT",
            "max_keypoints": "keypoints kept per photo, strongest first",
            "modes": "Gaussians of the mixture, K",
            "features": "dimensions that RootSIFT is reduced to before, D; the vector has "
            "2 K D + K numbers",
            "seed": "seed of the mixture",
        },
        licence="SIFT's patent expired in March 2020; the code is OpenCV's (Apache 2.0), "
        "scikit-image's and scikit-learn's (BSD-3-Clause).",
        cost="SIFT's, as bovw; learning the mixture takes tens of seconds per collection.",
    )

    def __init__(self, config: FisherConfig) -> None:
        check_sift(self.name, config.image_size, config.max_keypoints)
        if not 1 <= config.modes <= 512 or not 1 <= config.features <= SIFT_DIM:
            raise PlaygroundError(
                f"fisher: modes={config.modes}, features={config.features} are not "
                f"possible. Legal: "
                f"modes from 1 to 512, features from 1 to {SIFT_DIM}."
            )
        super().__init__(config)
        self._state: dict[str, NDArray[Any]] = {}

    @property
    def dim(self) -> int:
        return 2 * self.state()["means"].size + len(self.state()["weights"])

    @property
    def photo_bytes(self) -> int:
        return 4 * (2 * self.config.features + 1) * int(self.config.modes)

    def prepare(self, photo: RGB, box: Box | None = None) -> Prepared:
        return crop_and_shrink(photo, box, self.config.image_size)

    def describe(self, prepared: Prepared) -> Raw:
        found = detect_sift(prepared.pixels, self.config.max_keypoints)
        return {"descriptors": found["descriptors"]}

    def fit(self, raws: Iterable[Raw]) -> None:
        from skimage.feature import learn_gmm  # brings scikit-learn: only here and in ``encode``

        raws = repeatable(raws)
        counts = [len(raw["descriptors"]) for raw in raws]
        total = sum(counts)
        if total < 2 * self.config.modes:
            raise PlaygroundError(
                f"fisher found {total:,} SIFT keypoints in {len(counts)} photos, and "
                f"needs two or more for each of its {self.config.modes} Gaussians. Add photos with "
                f"more texture, or use fisher:modes={max(1, total // 4)}."
            )
        descriptors = (raw["descriptors"] for raw in raws)
        features = draw(descriptors, counts, _POINTS, self.config.seed, root_sift)
        mean, components = principal_components(features, self.config.features)
        reduced = ((features - mean) @ components.T).astype(np.float64)
        mixture = learn_gmm(
            reduced,
            n_modes=int(self.config.modes),
            gm_args={
                "covariance_type": "diag",
                "random_state": self.config.seed,
                "reg_covar": 1e-5,
                "max_iter": 50,
            },
        )
        self._state = {
            "mean": mean,
            "components": components,
            "weights": np.asarray(mixture.weights_, np.float64),
            "means": np.asarray(mixture.means_, np.float64),
            "covariances": np.asarray(mixture.covariances_, np.float64),
        }

    def state(self) -> dict[str, NDArray[Any]]:
        """``mean`` (128,), ``components`` (D, 128), ``weights`` (K,), ``means`` and
        ``covariances`` (K, D)."""
        if not self._state:
            raise PlaygroundError(
                "fisher has no mixture yet: it is learned from a collection. Build the "
                "collection's "
                "descriptors with fisher first."
            )
        return dict(self._state)

    def load_state(self, state: dict[str, NDArray[Any]]) -> None:
        shapes = {name: np.shape(array) for name, array in state.items()}
        d = len(state.get("components", ()))
        k = self.config.modes
        legal = {
            "mean": (SIFT_DIM,),
            "components": (d, SIFT_DIM),
            "weights": (k,),
            "means": (k, d),
            "covariances": (k, d),
        }
        sound = shapes == legal and 1 <= d <= self.config.features
        sound = sound and all(np.isfinite(array).all() for array in state.values())
        if not sound or (state["covariances"] <= 0).any() or (state["weights"] <= 0).any():
            raise PlaygroundError(
                f"The learned state of fisher has arrays of the shapes {shapes} (legal: {legal}), "
                f"or values that are not possible. Build the collection's descriptors again."
            )
        self._state = {name: np.array(state[name]) for name in _STATE}

    def encode(self, raw: Raw) -> Features:
        from skimage.feature import fisher_vector
        from sklearn.mixture import GaussianMixture

        state = self.state()
        features = root_sift(raw["descriptors"])
        if not len(features):
            return Features(np.zeros((1, self.dim), np.float32))
        mixture = GaussianMixture(len(state["weights"]), covariance_type="diag")
        mixture.weights_, mixture.means_ = state["weights"], state["means"]
        mixture.covariances_ = state["covariances"]
        mixture.precisions_cholesky_ = 1 / np.sqrt(state["covariances"])
        reduced = ((features - state["mean"]) @ state["components"].T).astype(np.float64)
        vector = fisher_vector(reduced, mixture, improved=True, alpha=0.5)
        return Features(_unit(vector))

    def runtime(self) -> str:
        return f"scikit-image {importlib.metadata.version('scikit-image')}"


def _unit(vector: NDArray[np.float64]) -> Floats:
    return l2_normalise(np.asarray(vector[None], np.float32), eps=TINY)
