"""ResNet50 trunk with a pooling of choice."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from data.errors import PlaygroundError
from extractors.base import Card
from extractors.cnn import GlobalNetwork, check_image_size
from extractors.pooling import POOLINGS, Array, l2n, pool, rule_of
from extractors.trunks import TRUNKS, normalised, trunk

if TYPE_CHECKING:
    from torch import nn


@dataclasses.dataclass(frozen=True)
class ResNet50Config:
    image_size: int = 0  # px, longer side; 0: the weights' own, or ``usual_size``
    pooling: str = "gem"  # gem, mac, spoc or rmac
    p: float = 3.0  # GeM's exponent; 1 = spoc


class PooledTrunk(GlobalNetwork):
    """A trunk, a pooling, L2."""

    network_fields: ClassVar[tuple[str, ...] | None] = ()

    def __init__(self, config: ResNet50Config, weights: str = "auto") -> None:
        check_image_size(config.image_size, weights_decide=True)
        if config.pooling not in POOLINGS:
            raise PlaygroundError(
                f"pooling={config.pooling} is unknown. Legal: {', '.join(POOLINGS)}."
            )
        if not 0 < config.p <= 100:
            raise PlaygroundError(f"p={config.p} is not possible. Legal: above 0, at most 100.")
        super().__init__(config, weights)

    @property
    def dim(self) -> int:
        return TRUNKS[self.network_name].channels

    def identity(self) -> dict[str, Any]:
        return super().identity() | rule_of(self.config.pooling)

    def build_network(self) -> nn.Module:
        return normalised(self.network_name, trunk(self.network_name, self.weights)).eval()

    def head(self, pixels: Array, run: Callable[[Array], Array]) -> Array:
        return l2n(pool(run(pixels), self.config.pooling, self.config.p))


class ResNet50(PooledTrunk):
    """ResNet50 conv5 features, pooled and L2-normalised: 2048-d."""

    name = "resnet50"
    network_name = "resnet50"
    card = Card(
        title="ResNet50 + GeM",
        paper="He, Zhang, Ren, Sun: Deep residual learning for image recognition, CVPR 2016; "
        "pooling: Radenovic, Tolias, Chum, TPAMI 2019",
        url="https://arxiv.org/abs/1512.03385",
        idea="A classification network, cut before its classifier, turns the photo into 2,048 "
        "maps that each say where some pattern was seen. Pooling keeps one number per map: how "
        "strongly the pattern is present anywhere. Where it was is forgotten.",
        formula=r"f_c = \Big(\frac{1}{|\Omega|}\sum_{u\in\Omega} \max(x_c(u),\epsilon)^p"
        r"\Big)^{1/p},\qquad v = f/\lVert f\rVert_2",
        parameters={
            "image_size": "longer side in px (never enlarged); small patterns need large photos; "
            "0: what the weights were trained for, 320 where they do not say",
            "pooling": "gem, mac (maximum), spoc (mean) or rmac (maxima of regions, summed)",
            "p": "GeM's exponent: 1 is the mean, large values approach the maximum",
        },
        licence="BSD-3-Clause (torchvision)",
        cost="One network pass: about 12 GFLOP at 320 x 240 px.",
    )
