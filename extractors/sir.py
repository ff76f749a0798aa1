"""SIR: ResNet152, global average, a fully connected layer to 1,024 numbers, cosine."""

from __future__ import annotations

import dataclasses
import functools
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn

from extractors.base import Card
from extractors.cnn import GlobalNetwork, check_image_size
from extractors.modules import Normalised
from extractors.pooling import l2n, spoc
from extractors.weights import Weights, check_fits, load_into, read_state, resolve, seeded

DIM = 1024
TRUNK = "resnet152"


@dataclasses.dataclass(frozen=True)
class SirConfig:
    image_size: int = 320  # px, longer side


def _resnet() -> torchvision.models.ResNet:
    return torchvision.models.resnet152(weights=None, num_classes=DIM)


class Sir(GlobalNetwork):
    """ResNet152 with its last layer replaced by one of 1,024 outputs, L2-normalised.

    The checkpoint has torchvision's names, with ``fc.weight`` (1024, 2048) and ``fc.bias``.
    Weights ``imagenet``: torchvision's trunk under a seeded random projection.
    """

    name = "sir"
    network_name = "sir"
    untrained_fallback = False
    card = Card(
        title="SIR (ResNet152 + FC)",
        paper="He, Zhang, Ren, Sun: Deep residual learning for image recognition, CVPR 2016",
        url="https://arxiv.org/abs/1512.03385",
        idea="The plainest learned retrieval: a deep classification network whose last layer is "
        "replaced by one that gives 1,024 numbers, compared by the cosine of their angle. No "
        "scales, no regions, no learned pooling: what the others are measured against.",
        formula=r"v = \frac{W\bar{x} + b}{\lVert W\bar{x} + b\rVert_2},\qquad "
        r"\bar{x}_c = \frac{1}{|\Omega|}\sum_{u\in\Omega} x_c(u)",
        parameters={"image_size": "longer side in px (never enlarged)"},
        licence="BSD-3-Clause (torchvision); the checkpoint's own terms",
        cost="One ResNet152 pass: about three times a ResNet50.",
    )

    def __init__(self, config: SirConfig, weights: str = "auto") -> None:
        check_image_size(config.image_size)
        super().__init__(config, weights)

    @property
    def dim(self) -> int:
        return DIM

    @functools.cached_property
    def weights(self) -> Weights:
        if self._wanted != "imagenet":
            return super().weights
        base = resolve(TRUNK, "imagenet")
        return Weights(self.network_name, "imagenet+untrained", base.path, base.sha256)

    def check_file(self, path: Path) -> None:
        """Refuse a file that is not this extractor's checkpoint."""
        with torch.device("meta"):  # shapes without memory
            module = _resnet()
        check_fits(module, read_state(path), str(path))

    def build_network(self) -> nn.Module:
        path = self.weights.path  # before any work: it may be missing
        module = seeded(_resnet)
        assert isinstance(module, torchvision.models.ResNet)
        if path is not None:
            state = read_state(path)
            if self.weights.source == "imagenet+untrained":
                state |= {"fc.weight": module.fc.weight.data, "fc.bias": module.fc.bias.data}
            load_into(module, state, str(path))
        # The layer is small and stays in fp32 whatever the runtime's precision.
        self._fc = module.eval().fc
        return Normalised(nn.Sequential(OrderedDict(list(module.named_children())[:-2]))).eval()

    def head(self, tensor: Tensor, run: Callable[[Tensor], Tensor]) -> Tensor:
        return l2n(self._fc(spoc(run(tensor))))
