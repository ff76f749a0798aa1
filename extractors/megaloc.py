"""MegaLoc: DINOv2's tokens, assigned to clusters by optimal transport, and a projection."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data.base import Box
from data.errors import PlaygroundError
from extractors import timm_names
from extractors.base import RGB, Card, Prepared, crop
from extractors.cnn import GlobalNetwork, check_image_size
from extractors.modules import Normalised
from extractors.pooling import l2n
from extractors.timm_model import ForwardFeatures, resized
from extractors.weights import check_fits, load_into, read_state, seeded

TRUNK = "vit_base_patch14_dinov2"  # timm's name
PATCH = 14  # px
CLUSTERS, CLUSTER_DIM, TOKEN_DIM, HIDDEN = 64, 256, 256, 512
DIM = 8448
ROUNDS = 3  # of Sinkhorn's scaling
_OFFSET = 0.1  # patches; DINOv2 adds it to the size of the grid when it resamples positions


@dataclasses.dataclass(frozen=True)
class MegaLocConfig:
    image_size: int = 322  # px, side of the square; a multiple of 14


def transport(scores: Tensor, dust_bin: Tensor) -> Tensor:
    """Share every patch out among the clusters and a bin for what belongs to none.

    Sinkhorn's algorithm on logarithms: rows (clusters) get equal masses but for the bin, which
    takes what is left; columns (patches) have equal masses.

    Args:
        scores: (B, m, n), n above m.
        dust_bin: the bin's score, one number.

    Returns:
        (B, m, n): each patch's shares, without the bin's.
    """
    batch, m, n = scores.shape
    scores = torch.cat([scores, dust_bin.expand(batch, 1, n)], dim=1)
    each = -math.log(n + m)
    rows = torch.full((m + 1,), each)
    rows[-1] += math.log(n - m)
    rows = rows.to(scores)
    u, v = scores.new_zeros(batch, m + 1), scores.new_zeros(batch, n)
    for _ in range(ROUNDS):
        u = rows - torch.logsumexp(scores + v[:, None, :], dim=2)
        v = each - torch.logsumexp(scores + u[:, :, None], dim=1)
    return torch.exp(scores + u[:, :, None] + v[:, None, :] - each)[:, :-1]


class _Salad(nn.Module):
    """Tokens (B, 1 + n, C) -> (B, g + l m), unit length. Names as in the published checkpoint."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.token_features = nn.Sequential(
            nn.Linear(channels, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, TOKEN_DIM)
        )
        self.cluster_features = _per_patch(channels, CLUSTER_DIM)
        self.score = _per_patch(channels, CLUSTERS)
        self.dust_bin = nn.Parameter(torch.tensor(1.0))

    def forward(self, tokens: Tensor) -> Tensor:
        patches = tokens[:, 1:].transpose(1, 2).unsqueeze(3)
        features = self.cluster_features(patches).squeeze(3)  # (B, l, n)
        shares = transport(self.score(patches).squeeze(3), self.dust_bin)  # (B, m, n)
        clusters = F.normalize(torch.einsum("bln,bmn->blm", features, shares), dim=1)
        scene = F.normalize(self.token_features(tokens[:, 0]), dim=1)
        return F.normalize(torch.cat([scene, clusters.flatten(1)], dim=1), dim=1)


def _per_patch(channels: int, out: int) -> nn.Sequential:
    # The second one stands where the training has a dropout: the layers' numbers are names.
    return nn.Sequential(
        nn.Conv2d(channels, HIDDEN, 1), nn.Identity(), nn.ReLU(), nn.Conv2d(HIDDEN, out, 1)
    )


class _Aggregator(nn.Module):
    """Tokens (B, 1 + n, C) -> (B, DIM), not normalised."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.agg = _Salad(channels)
        self.linear = nn.Linear(TOKEN_DIM + CLUSTER_DIM * CLUSTERS, DIM)

    def forward(self, tokens: Tensor) -> Tensor:
        result: Tensor = self.linear(self.agg(tokens))
        return result


class _MegaLocParts(nn.Module):
    """The two parts, named as in the published checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone: Any = timm_names.library().create_model(
            TRUNK, pretrained=False, num_classes=0
        )
        self.aggregator = _Aggregator(self.backbone.num_features)


def _state(path: Path) -> dict[str, Tensor]:
    """A checkpoint's tensors in the names of ``_MegaLocParts``.

    The authors' first release wraps DINOv2 once more and keeps its token for masked training.
    """
    state = {
        f"backbone.{k.removeprefix('backbone.model.')}" if k.startswith("backbone.model.") else k: v
        for k, v in read_state(path).items()
    }
    state.pop("backbone.mask_token", None)
    return state


def _set_side(backbone: Any, side: int) -> None:
    """Make DINOv2 take squares of ``side`` px, its positions resampled as its authors do it.

    timm's own resampling is antialiased and has no offset; the published weights never saw that.
    """
    grid, wanted = backbone.patch_embed.grid_size[0], side // PATCH
    if grid == wanted:
        return
    positions = backbone.pos_embed.data
    old = positions[:, 1:].reshape(1, grid, grid, -1).permute(0, 3, 1, 2)
    scale = (wanted + _OFFSET) / grid
    new = F.interpolate(old, scale_factor=(scale, scale), mode="bicubic")
    backbone.patch_embed.set_input_size(img_size=(side, side))
    new = new.permute(0, 2, 3, 1).reshape(1, wanted * wanted, -1)
    backbone.pos_embed = nn.Parameter(torch.cat([positions[:, :1], new], dim=1))


class MegaLoc(GlobalNetwork):
    """MegaLoc with the published weights: 8448-d.

    Crops are resized to a square, as in the paper's evaluation (322 px), antialiased.
    """

    name = "megaloc"
    network_name = "megaloc"
    untrained_fallback = False
    card = Card(
        title="MegaLoc",
        paper="Berton, Masone: MegaLoc: One retrieval to place them all, CVPR Workshops 2025; "
        "aggregation: Izquierdo, Civera: Optimal transport aggregation for visual place "
        "recognition (SALAD), CVPR 2024",
        url="https://arxiv.org/abs/2502.17237",
        idea="A transformer that learned from unlabelled photos (DINOv2) turns each patch into a "
        "vector. Every patch shares itself out among 64 learned clusters, or goes into a bin where "
        "it shows nothing that helps, such as sky; what each cluster received is summed. Trained "
        "on the data of many kinds of localisation at once: streets, landmarks, rooms.",
        formula=r"V_{\cdot m} = \frac{\sum_i P_{mi} f(x_i)}{\lVert \sum_i P_{mi} f(x_i)\rVert_2},"
        r"\qquad v \propto W\,[\,g(x_{\mathrm{cls}});\ V\,] + b,\qquad "
        r"P = \mathrm{Sinkhorn}(S, z)",
        parameters={
            "image_size": "side in px of the square that crops are resized to; a multiple of 14, "
            "322 as published"
        },
        licence="MIT (the authors' code and weights); DINOv2 is Apache-2.0",
        cost="A ViT-B/14 pass on 529 patches: about 100 GFLOP, eight times a ResNet50 at "
        "320 x 240 px, and 0.9 GB of memory.",
    )

    def __init__(self, config: MegaLocConfig, weights: str = "auto") -> None:
        check_image_size(config.image_size)
        least = PATCH * (math.isqrt(CLUSTERS) + 1)  # more patches than clusters
        if config.image_size % PATCH or config.image_size < least:
            raise PlaygroundError(
                f"image_size={config.image_size} is not possible for megaloc. Legal: multiples of "
                f"{PATCH} px from {least} on, such as 322."
            )
        super().__init__(config, weights)

    @property
    def dim(self) -> int:
        return DIM

    def prepare(self, photo: RGB, box: Box | None = None) -> Prepared:
        pixels, origin = crop(photo, box)
        side = self.config.image_size
        scale = (side / pixels.shape[1], side / pixels.shape[0])
        return Prepared(resized(pixels, (side, side), "bilinear"), scale, origin)

    def check_file(self, path: Path) -> None:
        """Refuse a file that is not this extractor's checkpoint."""
        with torch.device("meta"):  # shapes without memory
            parts = _MegaLocParts()
        check_fits(parts, _state(path), str(path))

    def build_network(self) -> nn.Module:
        path = self.weights.path  # before any work: it may be missing
        parts = seeded(_MegaLocParts)
        assert isinstance(parts, _MegaLocParts)
        if path is not None:
            load_into(parts, _state(path), str(path))
        parts.eval().requires_grad_(False)
        _set_side(parts.backbone, self.config.image_size)
        # Sinkhorn's exponentials stay in fp32 whatever the runtime's precision.
        self._aggregator = parts.aggregator
        return Normalised(ForwardFeatures(parts.backbone, "tokens")).eval()

    def probes(self) -> list[Tensor]:
        side = self.config.image_size
        return [torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))]

    def head(self, tensor: Tensor, run: Callable[[Tensor], Tensor]) -> Tensor:
        return l2n(self._aggregator(run(tensor)))

    @property
    def untraceable(self) -> str:
        return (
            "MegaLoc shares its patches out among clusters by what all of them look like together, "
            "so that no patch can be said to make a part of this score."
        )
