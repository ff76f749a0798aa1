"""NetVLAD: VLAD of a network's last map, with soft assignment."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from data.base import Box
from extractors import registry
from extractors.aggregated import Aggregated
from extractors.base import RGB, Card, Floats, Prepared, Raw, l2_normalise
from extractors.cnn import GlobalNetwork, to_tensor

# The nearest centre's share is 100 times the second nearest's, on average (the authors' code).
RATIO = 100.0


@dataclasses.dataclass(frozen=True)
class NetVladConfig:
    trunk: Literal["vgg16", "resnet50"] = "vgg16"  # the paper's is VGG16, cut at conv5
    image_size: int = 0  # px, longer side; 0: the weights' own, or the trunk's usual size
    clusters: int = 64  # K
    dim: int = 256  # of a PCA of the vector; 0 = none: K x C numbers
    seed: int = 0  # of k-means


class NetVlad(Aggregated):
    """Centres by k-means over the collection's cells; nothing is trained by gradients here."""

    name = "netvlad"
    uses_weights = True
    fit_sample = 256
    card: ClassVar[Card] = Card(
        title="NetVLAD",
        paper="Arandjelovic, Gronat, Torii, Pajdla, Sivic: NetVLAD: CNN architecture for weakly "
        "supervised place recognition, CVPR 2016",
        url="https://arxiv.org/abs/1511.07247",
        idea="Each cell of the network's last map is a local descriptor. As in VLAD, residuals to "
        "a few centres are summed, but a cell belongs to several centres at once, the "
        "more the nearer "
        "it is, so that the whole can be trained. Here it is as the authors start it: centres by "
        "k-means, a sharpness that makes the nearest centre's share 100 times the second's.",
        formula=r"V_k = \sum_i \frac{e^{-\alpha\lVert x_i-c_k\rVert^2}}{\sum_{k'} e^{-\alpha\lVert "
        r"x_i-c_{k'}\rVert^2}}\,(x_i - c_k),\qquad v = [V_1/\lVert "
        r"V_1\rVert,\dots]/\lVert\cdot\rVert",
        parameters={
            "trunk": "vgg16 or resnet50, whose weights are used",
            "image_size": "longer side in px (never enlarged); 0: as the trunk's own extractor",
            "clusters": "centres, K; the vector has K x 512 (VGG16) or K x 2048 numbers before "
            "the PCA",
            "dim": "dimensions of a PCA, learned from the collection; 0 = no PCA",
            "seed": "seed of k-means",
        },
        licence="MIT (this project's code); the trunk's terms",
        cost="One pass of the trunk; the residuals are some 20 million multiplications. The "
        "vector without PCA takes 128 kB per photo.",
    )

    def __init__(self, config: NetVladConfig, weights: str = "auto") -> None:
        super().__init__(config)
        base = registry.create(f"{config.trunk}:image_size={config.image_size}", weights=weights)
        assert isinstance(base, GlobalNetwork)
        self._trunk = base

    @property
    def image_size(self) -> int:
        return int(self._trunk.image_size)

    def weights_identity(self) -> dict[str, str]:
        return self._trunk.weights_identity()

    def load(self, streams: int = 1) -> Any:
        return self._trunk.load(streams)

    @property
    def loaded(self) -> bool:
        return self._trunk.loaded

    def runtime(self) -> str:
        return self._trunk.runtime()

    def prepare(self, photo: RGB, box: Box | None = None) -> Prepared:
        return self._trunk.prepare(photo, box)

    def describe(self, prepared: Prepared) -> Raw:
        """``cells`` (h w, C) float16, rows of unit length."""
        found = np.asarray(self.load()(to_tensor([prepared.pixels])))[0]
        cells = l2_normalise(found.reshape(len(found), -1).T.astype(np.float32))
        return {"cells": cells.astype(np.float16)}

    def describe_batch(self, batch: Sequence[Prepared]) -> list[Raw]:
        return [self.describe(one) for one in batch]

    def local_features(self, raw: Raw) -> Floats:
        return l2_normalise(raw["cells"].astype(np.float32))

    def learn_more(self, photos: Iterable[Floats], centres: Floats) -> dict[str, NDArray[Any]]:
        """``alpha`` (1,): ln 100 over the mean gap between the two nearest squared distances."""
        nearest = [np.sort(squared_distances(photo, centres), axis=1)[:, :2] for photo in photos]
        gap = float(np.diff(np.concatenate(nearest), axis=1).mean())
        return {"alpha": np.array([np.log(RATIO) / max(gap, 1e-6)], np.float32)}

    def soft_assignment(self, features: Floats, centres: Floats) -> Floats:
        logits = -float(self._state["alpha"][0]) * squared_distances(features, centres)
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(shares / shares.sum(axis=1, keepdims=True), np.float32)

    def load_state(self, state: dict[str, NDArray[Any]]) -> None:
        super().load_state({"alpha": np.full(1, np.nan, np.float32), **state})


def squared_distances(features: Floats, centres: Floats) -> Floats:
    """(n, C), (K, C) -> (n, K)."""
    lengths = (features**2).sum(axis=1)[:, None] + (centres**2).sum(axis=1)
    return np.asarray(np.maximum(lengths - 2 * features @ centres.T, 0), np.float32)
