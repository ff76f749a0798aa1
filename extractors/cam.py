"""Class-activation weighting: the last map as seen by each of a classifier's best classes."""

from __future__ import annotations

import dataclasses
import functools
from collections import OrderedDict
from collections.abc import Callable
from typing import ClassVar, Literal

import torch
import torchvision
from torch import Tensor, nn

from data.errors import PlaygroundError
from extractors.base import Card
from extractors.cnn import GlobalNetwork, check_image_size
from extractors.crow import TINY, channel_weights
from extractors.modules import Normalised
from extractors.pooling import l2n
from extractors.weights import Weights, load_into, read_state, resolve, seeded

CHANNELS = {"resnet50": 2048}


@dataclasses.dataclass(frozen=True)
class CamConfig:
    trunk: Literal["resnet50"] = "resnet50"  # with torchvision's classifier of ImageNet
    image_size: int = 320  # px, longer side
    classes: int = 32  # the most probable ones of each photo


def class_activations(x: Tensor, weight: Tensor) -> Tensor:
    """Maps (B, C, h, w) and rows (B, N, C) of a classifier -> (B, N, h, w), each from 0 to 1."""
    maps = torch.einsum("bchw,bnc->bnhw", x, weight).clamp(min=0)
    return maps / maps.amax(dim=(2, 3), keepdim=True).clamp(min=TINY)


def weighted(x: Tensor, weight: Tensor, bias: Tensor, classes: int) -> Tensor:
    """Sum over the best classes of the normalised class vectors: (B, C, h, w) -> (B, C)."""
    held = x.detach()  # the weights are held, see ``crow``
    scores = held.mean(dim=(2, 3)) @ weight.T + bias
    # Equal scores: the lower class first, so that the same photo gives the same vector.
    best = scores.argsort(dim=1, descending=True, stable=True)[:, :classes]
    activations = class_activations(held, weight[best])
    vectors = torch.einsum("bchw,bnhw->bcn", x, activations)
    return l2n(vectors * channel_weights(held)[:, :, None]).sum(dim=2)


class Cam(GlobalNetwork):
    """A classification network's last map under the activation maps of its best classes."""

    name = "cam"
    network_name = "resnet50"
    untrained_fallback = False
    card: ClassVar[Card] = Card(
        title="Class-activation weighting",
        paper="Jimenez, Alvarez, Giro-i-Nieto: Class-weighted convolutional features for visual "
        "instance search, BMVC 2017",
        url="https://arxiv.org/abs/1707.02581",
        idea="A classifier that ends in an average also says where it sees a class: the weighted "
        "sum of its maps. For each of the most probable classes the last map is pooled with that "
        "class's map as weights, so that a building counts where the network sees one. The "
        "authors whiten each class's vector before they are added; here what is added is not "
        "whitened, and the whole can be (see whitened).",
        formula=r"v = \sum_{k\in\text{best } N} \frac{\sum_u M_k(u)\,I_c\,x_c(u)}"
        r"{\lVert\cdot\rVert}"
        r",\qquad M_k = \frac{\max(0, \sum_c w_{kc}x_c)}{\max_u(\cdot)},\quad I_c\text{: CroW's}",
        parameters={
            "trunk": "a network whose classifier follows an average: resnet50",
            "image_size": "longer side in px (never enlarged)",
            "classes": "classes per photo, the most probable ones, N",
        },
        licence="BSD-3-Clause (torchvision); the weights as imagenet",
        cost="One ResNet50 pass; N = 32 class maps are some 7 million multiplications.",
    )

    def __init__(self, config: CamConfig, weights: str = "auto") -> None:
        check_image_size(config.image_size)
        if not 1 <= config.classes <= 1000:
            raise PlaygroundError(f"classes={config.classes} is not possible. Legal: 1 to 1000.")
        super().__init__(config, weights)

    @functools.cached_property
    def weights(self) -> Weights:
        # The trunk that is shipped has no classifier.
        return resolve(self.network_name, "imagenet" if self._wanted == "auto" else self._wanted)

    @property
    def dim(self) -> int:
        return CHANNELS[self.config.trunk]

    def build_network(self) -> nn.Module:
        path = self.weights.path  # before any work: it may be missing
        module = seeded(lambda: torchvision.models.resnet50(weights=None))
        assert isinstance(module, torchvision.models.ResNet)
        if path is not None:
            load_into(module, read_state(path), str(path))
        self._fc = module.eval().fc
        return Normalised(nn.Sequential(OrderedDict(list(module.named_children())[:-2]))).eval()

    def head(self, tensor: Tensor, run: Callable[[Tensor], Tensor]) -> Tensor:
        weight, bias = self._fc.weight.detach(), self._fc.bias.detach()
        return l2n(weighted(run(tensor), weight, bias, int(self.config.classes)))
