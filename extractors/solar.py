"""SOLAR: second-order attention in a ResNet101, GeM and whitening inside the network."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from data.errors import PlaygroundError
from extractors.base import Card, Floats, Prepared
from extractors.checkpoints import Checkpoint, RetrievalMeta
from extractors.cirtorch import PublishedConfig, PublishedNetwork, resize
from extractors.cnn import to_tensor
from extractors.modules import Normalised

MAX_LONGER_SIDE = 1536  # px at the largest scale: attention needs (H W / 256)^2 numbers


@dataclasses.dataclass(frozen=True)
class SolarConfig(PublishedConfig):
    pass


class SoaBlock(nn.Module):
    """Second-order attention: every place becomes itself plus a mixture of all others.

    x (B, C, H, W) -> x + v(softmax(f^T g / sqrt(C / k)) h), the same shape. The names are those of
    the published checkpoint.
    """

    def __init__(self, channels: int, k: int) -> None:
        super().__init__()
        middle = channels // k
        self.f = _projection(channels, middle)
        self.g = _projection(channels, middle)
        self.h = nn.Conv2d(channels, middle, 1)
        self.v = nn.Conv2d(middle, channels, 1)
        nn.init.zeros_(self.v.weight)  # the block starts as the identity
        assert self.v.bias is not None
        nn.init.zeros_(self.v.bias)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (
            layer(x).flatten(2).transpose(1, 2).unsqueeze(1)  # (B, 1, H W, C / k)
            for layer in (self.f, self.g, self.h)
        )
        # Its scale is 1 / sqrt(C / k), and it need not hold the (H W) x (H W) matrix.
        mixed = F.scaled_dot_product_attention(query, key, value)
        mixed = mixed.squeeze(1).transpose(1, 2)
        result: Tensor = x + self.v(mixed.reshape(x.shape[0], -1, x.shape[2], x.shape[3]))
        return result

    def weights(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, H W, H W): what each place takes from each other; rows sum to 1."""
        query, key = (layer(x).flatten(2) for layer in (self.f, self.g))
        return torch.softmax(query.transpose(1, 2) @ key / query.shape[1] ** 0.5, dim=2)


class SoaResNet(nn.Module):
    """A ResNet without its classifier, second-order attention after conv4_x and conv5_x.

    Both blocks start as the identity: until they are trained it is the ResNet.
    """

    def __init__(self, resnet: nn.Sequential) -> None:
        super().__init__()
        self.stem, self.layer4 = resnet[:-1], resnet[-1]
        self.soa4, self.soa5 = SoaBlock(1024, 4), SoaBlock(2048, 2)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.soa5(self.layer4(self.soa4(self.stem(x))))
        return result


def _projection(channels: int, middle: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, middle, 1), nn.BatchNorm2d(middle), nn.ReLU())


class SolarFeatures(nn.Module):
    """ResNet101 with attention after conv4_x and conv5_x: (B, 3, H, W) -> (B, 2048, h, w)."""

    def __init__(self) -> None:
        super().__init__()
        resnet = torchvision.models.resnet101(weights=None)
        self.conv1 = nn.Sequential(resnet.conv1, resnet.bn1)
        self.conv2_x = nn.Sequential(resnet.relu, resnet.maxpool, resnet.layer1)
        self.conv3_x = resnet.layer2
        self.conv4_x = resnet.layer3
        self.conv5_x = resnet.layer4
        self.soa4 = SoaBlock(1024, 4)
        self.soa5 = SoaBlock(2048, 2)

    def forward(self, x: Tensor) -> Tensor:
        # Some positions of conv5's output are negative after it; GeM clamps them.
        result: Tensor = self.soa5(self.conv5(x))
        return result

    def conv5(self, x: Tensor) -> Tensor:
        """What the last attention sees."""
        x = self.conv3_x(self.conv2_x(self.conv1(x)))
        result: Tensor = self.conv5_x(self.soa4(self.conv4_x(x)))
        return result


class Solar(PublishedNetwork):
    """resnet101-solar-best: 2048-d."""

    name = "solar"
    attends = True
    network_name = "solar"
    architecture = "resnet101"
    end_to_end = True
    card = Card(
        title="SOLAR",
        paper="Ng, Balntas, Tian, Mikolajczyk: SOLAR: Second-order loss and attention for image "
        "retrieval, ECCV 2020",
        url="https://arxiv.org/abs/2001.08972",
        idea="A ResNet101 in which every place of the photo looks at all others before pooling: "
        "attention mixes in what resembles it elsewhere, so that the landmark's parts support "
        "one another and passers-by do not. The training also compares distances between "
        "neighbours (second order), not single distances alone. The published weights.",
        formula=r"x' = x + v\Big(\operatorname{softmax}\big(\tfrac{f(x)^{\top} g(x)}{\sqrt{C/k}}"
        r"\big)\,h(x)\Big)",
        parameters={
            "image_size": "longer side in px (never enlarged); attention grows with its fourth "
            f"power, so that image_size times the largest scale is at most {MAX_LONGER_SIDE}",
            "scales": "factors of the image size, averaged; a single 1.0 is the cheapest",
        },
        licence="MIT (the authors' code); trained on photographs with their owners' terms",
        cost="A ResNet101 pass with attention per scale: somewhat more than gem-tl-resnet101.",
    )

    def __init__(self, config: SolarConfig, weights: str = "auto") -> None:
        super().__init__(config, weights)
        longest = config.image_size * max(config.scales)
        if longest > MAX_LONGER_SIDE:
            raise PlaygroundError(
                f"image_size={config.image_size} at scale {max(config.scales):.4g} is "
                f"{longest:.0f} px. Legal for solar: at most {MAX_LONGER_SIDE} px."
            )

    def make_features(self) -> nn.Module:
        return SolarFeatures()

    @functools.cached_property
    def _attending(self) -> Normalised:
        """The network in torch, whatever runtime serves ``describe``: it shows no inner maps."""
        network = self.build_network()
        assert isinstance(network, Normalised)
        return network

    def attention(self, prepared: Prepared) -> Floats:
        """Of the last block (after conv5), at the first scale."""
        network = self._attending
        features = network.module
        assert isinstance(features, SolarFeatures)
        with torch.inference_mode():
            pixels = (to_tensor([prepared.pixels]) - network.mean) / network.std
            x = features.conv5(resize(pixels, self.config.scales[0]))
            height, width = x.shape[2:]
            weights = features.soa5.weights(x)[0]
        return np.asarray(weights.reshape(height, width, height, width).numpy(), np.float32)

    def read(self, path: Path) -> tuple[Checkpoint, RetrievalMeta]:
        found, meta = super().read(path)
        layers = found.meta.get("soa_layers", "45")
        if layers != "45":
            raise PlaygroundError(
                f"{path} has second-order attention at the layers {layers!r}. Legal: '45'."
            )
        # An early version of the authors' code saved a number that it never used.
        unused = (".soa4.gamma", ".soa5.gamma")
        state = {k: v for k, v in found.state.items() if not k.endswith(unused)}
        return dataclasses.replace(found, state=state), meta
