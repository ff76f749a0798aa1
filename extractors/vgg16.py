"""VGG16 trunk with a pooling of choice, or its fully connected layers (neural codes)."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

from data.base import Box
from data.errors import PlaygroundError
from extractors.base import RGB, Card, Prepared
from extractors.cnn import squash
from extractors.pooling import Array, l2n
from extractors.resnet50 import PooledTrunk, ResNet50Config
from extractors.trunks import vgg16_classifier
from extractors.weights import Weights, resolve

if TYPE_CHECKING:
    from torch import nn

LAYERS = ("conv5", "fc6", "fc7")
FC_SIDE = 224  # px; the fully connected layers accept no other size


@dataclasses.dataclass(frozen=True)
class Vgg16Config(ResNet50Config):
    layer: str = "conv5"  # conv5 (pooled), or fc6 / fc7 (4096-d neural codes, 224 x 224 px)


class Vgg16(PooledTrunk):
    """VGG16 conv5_3 features, pooled and L2-normalised: 512-d; fc6, fc7: 4096-d."""

    name = "vgg16"
    network_name = "vgg16"
    network_fields = ("layer",)
    usual_size = 256  # four times the cost of a ResNet50 at the same size
    card = Card(
        title="VGG16 + GeM",
        paper="Simonyan, Zisserman: Very deep convolutional networks for large-scale image "
        "recognition, ICLR 2015; neural codes: Babenko et al., ECCV 2014",
        url="https://arxiv.org/abs/1409.1556",
        idea="Thirteen 3x3 convolutions in a row, then pooling: each of 512 channels answers how "
        "strongly its pattern is present. The oldest and slowest of the networks here, and the "
        "one with the shortest vectors. With layer=fc6 or fc7 the vector is the activation of a "
        "fully connected layer instead (a neural code), which knows where things are.",
        formula=r"f_c = \Big(\frac{1}{|\Omega|}\sum_{u\in\Omega} \max(x_c(u),\epsilon)^p"
        r"\Big)^{1/p},\qquad v = f/\lVert f\rVert_2",
        parameters={
            "image_size": "longer side in px (never enlarged); 0: what the weights were trained "
            "for, 256 where they do not say",
            "pooling": "gem, mac (maximum), spoc (mean) or rmac (maxima of regions, summed)",
            "p": "GeM's exponent: 1 is the mean, large values approach the maximum",
            "layer": "conv5, or fc6 / fc7 after their ReLU; these resize to 224 x 224 px and "
            "ignore pooling, p and image_size",
        },
        licence="BSD-3-Clause (torchvision)",
        cost="One network pass: about 30 GFLOP at 256 x 192 px; four times a ResNet50 at the same "
        "size.",
    )

    def __init__(self, config: Vgg16Config, weights: str = "auto") -> None:
        if config.layer not in LAYERS:
            raise PlaygroundError(f"layer={config.layer} is unknown. Legal: {', '.join(LAYERS)}.")
        super().__init__(config, weights)

    @property
    def _code(self) -> bool:
        return self.config.layer != "conv5"

    @functools.cached_property
    def weights(self) -> Weights:
        return resolve(
            self.network_name, self._wanted, self.untrained_fallback, classifier=self._code
        )

    @property
    def dim(self) -> int:
        return 4096 if self._code else super().dim

    def build_network(self) -> nn.Module:
        if self._code:
            from extractors.modules import Normalised

            return Normalised(vgg16_classifier(self.config.layer, self.weights)).eval()
        return super().build_network()

    def prepare(self, photo: RGB, box: Box | None = None) -> Prepared:
        if not self._code:
            return super().prepare(photo, box)
        return squash(photo, box, FC_SIDE)

    def head(self, pixels: Array, run: Callable[[Array], Array]) -> Array:
        return l2n(run(pixels)) if self._code else super().head(pixels, run)

    @property
    def untraceable(self) -> str:
        if not self._code:
            return ""
        return (
            "A fully connected layer mixes all places of the photo, so that no cell can be said to "
            "make a part of this score."
        )
