"""The layers and networks of our own, in torch: what is trained, and what OpenVINO converts.

A process that only searches never imports this module.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from extractors.pooling import EPS, gem, l2n, pool, region_vectors, whitened
from extractors.trunks import MEAN, STD


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


class GeM(nn.Module):
    """GeM with a learnable exponent, initialised to 3."""

    def __init__(self, p: float = 3.0, eps: float = EPS) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.full((1,), float(p)))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return gem(x, self.p, self.eps)


class Plain(nn.Module):
    """A pooling without parameters: (B, C, H, W) -> (B, C)."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = pool(x, self.kind)
        return result


class SiameseNetwork(nn.Module):
    """What siamese training yields: (B, 3, H, W) -> (B, dim), whitened, L2-normalised.

    Training runs ``forward``; extraction runs the trunk in the chosen runtime and the rest as
    arrays (``gem_siamese.GemSiamese.head``). State dict: ``trunk.*``, ``pool.p`` (GeM alone),
    ``whiten.weight``, ``whiten.bias``.

    Args:
        pooling: one of ``pooling.POOLINGS``.
        regional: the layer whitens R-MAC's regions, whose sum is the vector, see
            ``pooling.whitened``.
    """

    def __init__(
        self,
        features: nn.Module,
        channels: int,
        dim: int,
        pooling: str = "gem",
        regional: bool = False,
    ) -> None:
        super().__init__()
        self.trunk = features
        self.pool = GeM(3.0) if pooling == "gem" else Plain(pooling)
        self.regional = regional
        self.whiten = nn.Linear(channels, dim)
        # Until it is trained: a random rotation, which keeps angles (all of them for
        # dim = channels, nearly for fewer).
        nn.init.orthogonal_(self.whiten.weight)
        nn.init.zeros_(self.whiten.bias)

    def pooled(self, feature_map: Tensor) -> list[Tensor]:
        """What the last layer whitens: one (B, C), or one per region."""
        if self.regional:
            return region_vectors(feature_map, self.pool)
        return [l2n(self.pool(feature_map))]

    def head(self, feature_map: Tensor) -> Tensor:
        result: Tensor = whitened(feature_map, self.pool, self.whiten, self.regional)
        return result

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.trunk(x))


class Attention(nn.Module):
    """1x1 conv to 512 + ReLU, 1x1 conv to 1, softplus: (B, C, H, W) -> (B, 1, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 512, 1)
        self.conv2 = nn.Conv2d(512, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.softplus(self.conv2(F.relu(self.conv1(x))))


class NormAttention(nn.Module):
    """The length of the feature itself, for weights without a trained attention head.

    Tolias, Jenicek, Chum: Learning and aggregating deep local descriptors (HOW), ECCV 2020.
    """

    def forward(self, x: Tensor) -> Tensor:
        return x.norm(p=2, dim=1, keepdim=True)


class DelfNetwork(nn.Module):
    """(B, 3, H, W) -> (B, C + 1, H / stride, W / stride): features and, last, their attention."""

    def __init__(self, features: nn.Module, attention: nn.Module) -> None:
        super().__init__()
        self.trunk = features
        self.attention = attention

    def forward(self, x: Tensor) -> Tensor:
        features = self.trunk(x)
        return torch.cat([features, self.attention(features)], dim=1)
