"""Convolutional trunks: torchvision's networks, cut before their classifier.

The cuts end in a ReLU, so that feature maps are non-negative (Radenovic et al.).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
import torchvision
from torch import Tensor, nn

from extractors.weights import Weights, load_into, read_state, seeded

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
CHANNELS = {"resnet50": 2048, "vgg16": 512}


def vgg16_features() -> nn.Sequential:
    """VGG16's convolutions without the last max-pool; torchvision's names and initialisation."""
    features = torchvision.models.vgg.make_layers(
        torchvision.models.vgg.cfgs["D"], batch_norm=False
    )
    for layer in features:
        if isinstance(layer, nn.Conv2d):  # torchvision's own initialisation of VGG
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return features[:-1]  # without the last max-pool


def _resnet50_features() -> nn.Sequential:
    resnet = torchvision.models.resnet50(weights=None)
    return nn.Sequential(OrderedDict(list(resnet.named_children())[:-2]))


def trunk(network: str, weights: Weights) -> nn.Module:
    """The trunk of "resnet50" (2048 channels, stride 32) or "vgg16" (512 channels, stride 16).

    Checkpoints may hold the whole classifier (torchvision's) or the trunk alone.
    """
    if network == "resnet50":
        module = seeded(_resnet50_features)
        prefix = ""
    else:
        module = seeded(vgg16_features)
        prefix = "features."
    if weights.path is not None:
        state = read_state(weights.path)
        # A classifier's own layers are dropped on purpose; anything else unknown is an error.
        state = {
            k.removeprefix(prefix): v
            for k, v in state.items()
            if not k.startswith(("fc.", "classifier."))
        }
        load_into(module, state, str(weights.path))
    return module.eval()


def vgg16_classifier(layer: str, weights: Weights) -> nn.Module:
    """VGG16 up to and including the ReLU after fc6 or fc7: (B, 3, 224, 224) -> (B, 4096).

    Neural codes (Babenko et al., ECCV 2014).
    """
    last = {"fc6": 2, "fc7": 5}[layer]
    module = seeded(lambda: torchvision.models.vgg16(weights=None))
    if weights.path is not None:
        load_into(module, read_state(weights.path), str(weights.path))
    assert isinstance(module, torchvision.models.VGG)
    return nn.Sequential(
        module.features, module.avgpool, nn.Flatten(), module.classifier[:last]
    ).eval()


class Normalised(nn.Module):
    """Takes RGB in [0, 1]; (x - mean) / std goes to ``module``. ImageNet's unless given."""

    mean: Tensor
    std: Tensor

    def __init__(
        self, module: nn.Module, mean: Sequence[float] = MEAN, std: Sequence[float] = STD
    ) -> None:
        super().__init__()
        self.module = module
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.module((x - self.mean) / self.std)
        return result
