"""CroW: a network's last map, weighted by place and by channel before it is summed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from extractors.base import Card
from extractors.cnn import GlobalNetwork, check_image_size
from extractors.pooling import l2n
from extractors.trunks import TRUNKS, normalised, trunk

TINY = 1e-12


@dataclasses.dataclass(frozen=True)
class CrowConfig:
    trunk: Literal["resnet50", "vgg16"] = "vgg16"  # the paper's is VGG16
    image_size: int = 0  # px, longer side; 0: the weights' own, or ``usual_size``


def spatial_weights(x: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, 1, h, w): the square root of S / |S|_2, S the sum over channels."""
    total = x.clamp(min=0).sum(dim=1, keepdim=True)
    norm = total.square().sum(dim=(2, 3), keepdim=True).sqrt()
    return (total / norm.clamp(min=TINY)).sqrt()


def channel_weights(x: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, C): log(sum of Q / Q_c), Q_c the share of places where channel c answers.

    0 for a channel that never does, as in the authors' code.
    """
    answered = (x > 0).float().mean(dim=(2, 3))
    total = answered.sum(dim=1, keepdim=True)
    rarity = torch.log(total.clamp(min=TINY) / answered.clamp(min=TINY))
    return torch.where(answered > 0, rarity, torch.zeros_like(rarity))


def crow(x: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, C), not normalised."""
    # The weights are held, as norms are: a cell's part of the vector is then what it adds to it.
    return channel_weights(x.detach()) * (x * spatial_weights(x.detach())).sum(dim=(2, 3))


class Crow(GlobalNetwork):
    """The trunk's map under CroW's weights, summed and L2-normalised."""

    name = "crow"
    card: ClassVar[Card] = Card(
        title="CroW",
        paper="Kalantidis, Mellina, Osindero: Cross-dimensional weighting for aggregated deep "
        "convolutional features, ECCV 2016 workshops",
        url="https://arxiv.org/abs/1512.04065",
        idea="Sum pooling in which places count the more the more channels answer there, and "
        "channels the more the fewer places they answer at, like the idf of a word. Nothing is "
        "learned. The authors whiten the result: see whitened.",
        formula=r"v_c = \log\frac{\sum_{c'} Q_{c'}}{Q_c}\sum_{u}\sqrt{\frac{S_u}{\lVert S\rVert_2}}"
        r"\,x_c(u),\quad S_u=\sum_c x_c(u),\quad Q_c = \frac{|\{u: x_c(u) > 0\}|}{|\Omega|}",
        parameters={
            "trunk": "resnet50 or vgg16, whose weights are used",
            "image_size": "longer side in px (never enlarged); 0: what the weights were trained "
            "for, 320 where they do not say",
        },
        licence="MIT (this project's code); the trunk's terms",
        cost="One pass of the trunk; the weights are negligible.",
    )

    def __init__(self, config: CrowConfig, weights: str = "auto") -> None:
        check_image_size(config.image_size, weights_decide=True)
        super().__init__(config, weights)
        self.network_name = config.trunk

    @property
    def dim(self) -> int:
        return TRUNKS[self.config.trunk].channels

    def build_network(self) -> nn.Module:
        return normalised(self.network_name, trunk(self.network_name, self.weights)).eval()

    def head(self, tensor: Tensor, run: Callable[[Tensor], Tensor]) -> Tensor:
        return l2n(crow(run(tensor)))
