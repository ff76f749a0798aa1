"""Radenovic's published networks (cirtorch): a trunk, learned GeM, and one of two whitenings.

``gem-vgg16``, ``gem-resnet101``: trained with the contrastive loss; the whitening Lw was learned
afterwards from matching pairs and is stored in the checkpoint's ``meta``, once for a single scale
("ss") and once for several ("ms"). ``gem-tl-resnet50`` to ``152``: trained with the triplet loss,
whitening as a fully connected layer inside the network. Reference: Radenovic, Tolias, Chum, TPAMI
2019; formats and test settings: https://github.com/filipradenovic/cnnimageretrieval-pytorch
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from PIL import Image
from torch import Tensor, nn

from data.base import Box
from data.errors import PlaygroundError
from extractors import checkpoints
from extractors.base import RGB, Card, Prepared, crop
from extractors.checkpoints import Checkpoint, RetrievalMeta, Whitening
from extractors.cnn import MIN_SIDE, GlobalNetwork, check_image_size, rescale
from extractors.modules import GeM, Normalised
from extractors.pooling import l2n
from extractors.trunks import MEAN, STD, vgg16_features
from extractors.weights import check_fits, load_into, seeded

DIM = {"vgg16": 512, "resnet50": 2048, "resnet101": 2048, "resnet152": 2048}
LW_SETS = ("retrieval-SfM-120k", "retrieval-SfM-30k")  # the first one in the checkpoint is used
ROOT_2 = 2.0**0.5


@dataclasses.dataclass(frozen=True)
class PublishedConfig:
    image_size: int = 1024  # px, longer side, as in the paper
    scales: tuple[float, ...] = (1.0, ROOT_2, 1 / ROOT_2)  # those of whitening inside the network


@dataclasses.dataclass(frozen=True)
class GemConfig(PublishedConfig):
    scales: tuple[float, ...] = (1.0, 1 / ROOT_2, 0.5)
    whitening: Literal["lw", "none"] = "lw"
    dim: int | None = None  # leading dimensions kept of the whitened vector; none = all


@dataclasses.dataclass(frozen=True)
class GemTlConfig(PublishedConfig):
    checkpoint: Literal["gl18", "sfm120k"] = "gl18"  # what it was trained on


class RetrievalNetwork(nn.Module):
    """(B, 3, H, W), mean and deviation removed -> (B, D), L2-normalised.

    The state dict has the names of the published files: ``features.*``, ``pool.p`` and, with
    whitening inside, ``whiten.weight`` (D, D) and ``whiten.bias`` (D,).
    """

    def __init__(self, features: nn.Module, dim: int, whitening: bool) -> None:
        super().__init__()
        self.features = features
        self.pool = GeM(3.0)
        self.whiten = nn.Linear(dim, dim) if whitening else None

    def head(self, feature_map: Tensor) -> Tensor:
        vectors = l2n(self.pool(feature_map))
        return vectors if self.whiten is None else l2n(self.whiten(vectors))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


def resize(x: Tensor, factor: float) -> Tensor:
    """Bilinear as the published settings do it: sampled at exactly 1 / factor px.

    Doing it before the mean is removed gives the same, as the weights of a pixel sum to 1.
    """
    if factor == 1.0 or min(int(side * factor) for side in x.shape[2:]) < MIN_SIDE:
        return rescale(x, factor)
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


def thumbnail(photo: RGB, box: Box | None, longer_side: int) -> Prepared:
    """Crop and shrink with Pillow's Lanczos ``thumbnail``, as the published networks were tested.

    A crop's longer side becomes ``longer_side * max(crop) / max(photo)`` px, rounded down (cirtorch
    ``datasets/genericdataset.py`` and ``datahelpers.imresize``; SOLAR's are the same).
    """
    pixels, origin = crop(photo, box)
    height, width = pixels.shape[:2]
    side = max(1, longer_side * max(width, height) // max(photo.shape[:2]))
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((side, side), Image.Resampling.LANCZOS)  # never enlarges
    scale = (image.width / width, image.height / height)
    return Prepared(np.asarray(image, np.uint8), scale, origin)


class PublishedNetwork(GlobalNetwork):
    """Base of the networks in the published format; SOLAR has it too."""

    version = 2  # 1 shrank photos with OpenCV's INTER_AREA
    untrained_fallback = False
    architecture: ClassVar[str]
    end_to_end: ClassVar[bool]  # whitening inside the network

    def __init__(self, config: PublishedConfig, weights: str = "auto") -> None:
        check_image_size(config.image_size)
        if not config.scales or not all(0.1 <= s <= 2 for s in config.scales):
            raise PlaygroundError(
                f"scales={config.scales} are not possible. Legal: one or more of 0.1 to 2."
            )
        super().__init__(config, weights)

    @property
    def dim(self) -> int:
        return DIM[self.architecture]

    def prepare(self, photo: RGB, box: Box | None = None) -> Prepared:
        return thumbnail(photo, box, self.image_size)

    def make_features(self) -> nn.Module:
        """The trunk with random weights, in the names of the published files."""
        if self.architecture == "vgg16":
            return vgg16_features()
        resnet = getattr(torchvision.models, self.architecture)(weights=None)
        return nn.Sequential(*list(resnet.children())[:-2])

    def make_network(self) -> RetrievalNetwork:
        return RetrievalNetwork(self.make_features(), DIM[self.architecture], self.end_to_end)

    def read(self, path: Path) -> tuple[Checkpoint, RetrievalMeta]:
        """A checkpoint of this architecture, its ``meta`` checked; shapes are not looked at."""
        found = checkpoints.read(path)
        meta = checkpoints.retrieval_meta(found, str(path))
        if meta.regional or meta.local_whitening:
            raise PlaygroundError(
                f"{path} pools by regions or whitens each cell, which '{self.name}' does not. Use "
                f"the extractor cirtorch with regional=true or local_whitening=true."
            )
        theirs = (meta.architecture, meta.pooling, meta.whitening)
        mine = (self.architecture, "gem", self.end_to_end)
        if theirs != mine:
            said = "{} with pooling {}, whitening inside: {}"
            raise PlaygroundError(
                f"{path} is a {said.format(*theirs)}. The extractor '{self.name}' needs a "
                f"{said.format(*mine)}."
            )
        p = found.state.get("pool.p")
        if p is not None and not (bool(torch.isfinite(p).all()) and bool((p > 0).all())):
            raise PlaygroundError(f"{path} has a GeM exponent that is not above 0: it is damaged.")
        return found, meta

    def check_file(self, path: Path) -> None:
        """Refuse a file that is not this extractor's checkpoint; names, shapes and meta."""
        found, meta = self.read(path)
        with torch.device("meta"):  # shapes without memory
            module = self.make_network()
        check_fits(module, found.state, str(path))
        self.learned_whitening(meta, str(path))

    def learned_whitening(self, meta: RetrievalMeta, origin: str) -> Whitening | None:
        """The Lw to apply after pooling, None for none."""
        return None

    def build_network(self) -> nn.Module:
        path = self.weights.path  # before any work: it may be missing
        module = seeded(self.make_network)
        assert isinstance(module, RetrievalNetwork)
        mean, std = MEAN, STD
        self._lw: Whitening | None = None
        if path is not None:
            found, meta = self.read(path)
            load_into(module, found.state, str(path))
            mean, std = meta.mean, meta.std
            self._lw = self.learned_whitening(meta, str(path))
        # The head is small and stays in fp32 whatever the runtime's precision.
        self._head = module.eval().head
        several = len(self.config.scales) > 1
        self._msp = float(module.pool.p.detach()) if several and not self.end_to_end else 1.0
        return Normalised(module.features, mean, std).eval()

    def head(self, tensor: Tensor, run: Callable[[Tensor], Tensor]) -> Tensor:
        scales = self.config.scales
        found = [self._head(run(resize(tensor, s).contiguous())) for s in scales]
        vectors = found[0]
        if len(scales) > 1:  # (mean over scales of v^msp)^(1/msp), then L2
            vectors = l2n(torch.stack(found).pow(self._msp).mean(dim=0).pow(1 / self._msp))
        if self._lw is not None:
            vectors = l2n((vectors - self._lw.m) @ self._lw.P[: self.dim].T)
        return vectors


_PAPER = (
    "Radenovic, Tolias, Chum: Fine-tuning CNN image retrieval with no human annotation, TPAMI 2019"
)
_URL = "https://arxiv.org/abs/1711.02512"
_SIZE = "longer side in px (never enlarged); the published figures use 1024, 512 costs a quarter"
_SCALES = "factors of the image size, combined into one vector; a single 1.0 is the cheapest"
_LICENCE = "MIT (cirtorch); the checkpoints were trained on photographs with their owners' terms"


class _Gem(PublishedNetwork):
    end_to_end = False

    def __init__(self, config: GemConfig, weights: str = "auto") -> None:
        full = DIM[self.architecture]
        if config.dim is not None and not 1 <= config.dim <= full:
            raise PlaygroundError(f"dim={config.dim} is not possible. Legal: none, or 1 to {full}.")
        if config.dim is not None and config.whitening == "none":
            raise PlaygroundError(
                f"dim={config.dim} needs the whitening, which sorts the dimensions. Legal: "
                f"whitening=lw, or dim=none."
            )
        super().__init__(config, weights)

    @property
    def dim(self) -> int:
        full = DIM[self.architecture]
        if self.config.dim is None or self.weights.path is None:
            return full  # untrained weights have no learned whitening, so nothing is cut
        return int(self.config.dim)

    def learned_whitening(self, meta: RetrievalMeta, origin: str) -> Whitening | None:
        """The Lw for as many scales as are used: the two are not interchangeable."""
        if self.config.whitening == "none":
            return None
        setting = "ms" if len(self.config.scales) > 1 else "ss"
        full = DIM[self.architecture]
        for name in LW_SETS:
            found = meta.lw.get(name, {}).get(setting)
            if found is not None:
                if found.P.shape != (full, full):
                    raise PlaygroundError(
                        f"{origin} has a learned whitening of shape {tuple(found.P.shape)}; "
                        f"{self.name} needs ({full}, {full})."
                    )
                return found
        raise PlaygroundError(
            f"{origin} has no learned whitening '{setting}' of {' or '.join(LW_SETS)}. Use "
            f"{self.name}:whitening=none, or a checkpoint that has it."
        )


_GEM_PARAMETERS = {
    "image_size": _SIZE,
    "scales": _SCALES,
    "whitening": "lw: the learned whitening of the checkpoint, the one for a single scale or the "
    "one for several; none: GeM alone",
    "dim": "leading dimensions kept of the whitened vector; none = all",
}
_GEM_IDEA = (
    "trained on pairs of photos of one landmark that a 3D reconstruction had found, with "
    "nobody's labels. Photos at three scales are pooled into one vector, then whitened: the "
    "directions in which photos of one landmark differ are shrunk. The published weights."
)
_GEM_FORMULA = (
    r"v = \Big(\tfrac{1}{S}\sum_{s} f(x_s)^{p}\Big)^{1/p},\qquad "
    r"y = \frac{P\,(v/\lVert v\rVert - m)}{\lVert P\,(v/\lVert v\rVert - m)\rVert}"
)


class GemVgg16(_Gem):
    """retrievalSfM120k-vgg16-gem with Lw: 512-d."""

    name = "gem-vgg16"
    network_name = "gem-vgg16"
    architecture = "vgg16"
    card = Card(
        title="GeM VGG16 (published)",
        paper=_PAPER,
        url=_URL,
        idea=f"VGG16 with a learned pooling exponent, {_GEM_IDEA}",
        formula=_GEM_FORMULA,
        parameters=_GEM_PARAMETERS,
        licence=_LICENCE,
        cost="A VGG16 pass per scale: about 840 GFLOP at 1024 x 768 px with the default scales.",
    )


class GemResNet101(_Gem):
    """retrievalSfM120k-resnet101-gem with Lw: 2048-d."""

    name = "gem-resnet101"
    network_name = "gem-resnet101"
    architecture = "resnet101"
    card = Card(
        title="GeM ResNet101 (published)",
        paper=_PAPER,
        url=_URL,
        idea=f"ResNet101 with a learned pooling exponent, {_GEM_IDEA}",
        formula=_GEM_FORMULA,
        parameters=_GEM_PARAMETERS,
        licence=_LICENCE,
        cost="A ResNet101 pass per scale: twice a ResNet50 with as many scales.",
    )


class _GemTl(PublishedNetwork):
    end_to_end = True

    def __init__(self, config: GemTlConfig, weights: str = "auto") -> None:
        super().__init__(config, weights)
        self.network_name = f"{config.checkpoint}-tl-{self.architecture}"


def _tl_card(network: str, cost: str) -> Card:
    return Card(
        title=f"GeM {network} triplet (published)",
        paper=_PAPER,
        url=_URL,
        idea=f"{network} with a learned pooling exponent and a whitening layer, trained together "
        "with the triplet loss: a photo must lie closer to another one of its landmark than to "
        "any of a different landmark. The published weights.",
        formula=r"L = \max\big(0,\ \lVert f(a)-f(p)\rVert^2 - \lVert f(a)-f(n)\rVert^2 + m\big)",
        parameters={
            "image_size": _SIZE,
            "scales": _SCALES,
            "checkpoint": "what it was trained on: gl18 (Google Landmarks 2018) or sfm120k "
            "(retrieval-SfM-120k)",
        },
        licence=_LICENCE,
        cost=cost,
    )


class GemTlResNet50(_GemTl):
    """{gl18,rSfM120k}-tl-resnet50-gem-w: 2048-d."""

    name = "gem-tl-resnet50"
    architecture = "resnet50"
    card = _tl_card("ResNet50", "A ResNet50 pass per scale: 3.5 single ones with these scales.")


class GemTlResNet101(_GemTl):
    """{gl18,rSfM120k}-tl-resnet101-gem-w: 2048-d."""

    name = "gem-tl-resnet101"
    architecture = "resnet101"
    card = _tl_card("ResNet101", "Twice the cost of gem-tl-resnet50.")


class GemTlResNet152(_GemTl):
    """{gl18,rSfM120k}-tl-resnet152-gem-w: 2048-d."""

    name = "gem-tl-resnet152"
    architecture = "resnet152"
    card = _tl_card("ResNet152", "Three times the cost of gem-tl-resnet50.")
