"""Neural codes: the activations of AlexNet's fully connected layers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

import torchvision
from torch import Tensor, nn

from data.base import Box
from extractors.base import RGB, Card, Prepared
from extractors.cnn import GlobalNetwork, squash
from extractors.modules import Normalised
from extractors.pooling import l2n
from extractors.weights import load_into, read_state, seeded

SIDE = 224  # px
# torchvision's classifier: 0 dropout, 1 fc6, 2 ReLU, 3 dropout, 4 fc7, 5 ReLU, 6 fc8.
LAST = {"fc6": 2, "fc7": 5}


@dataclasses.dataclass(frozen=True)
class NeuralCodesConfig:
    layer: Literal["fc6", "fc7"] = "fc6"


class NeuralCodes(GlobalNetwork):
    """AlexNet's fc6 after its ReLU (torchvision's ``classifier[2]``), L2-normalised: 4096-d."""

    name = "neural-codes"
    network_name = "alexnet"
    untrained_fallback = False
    card = Card(
        title="Neural codes (AlexNet)",
        paper="Babenko, Slesarev, Chigorin, Lempitsky: Neural codes for image retrieval, ECCV 2014",
        url="https://arxiv.org/abs/1404.1777",
        idea="The first retrieval with a convolutional network: the photo is squashed to a square, "
        "and what the classifier computes just before its answer becomes the descriptor. It "
        "knows where things are, so that it suffers when they move; later methods pool the "
        "convolutional maps instead.",
        formula=r"v = \frac{\max(0,\,W_6 x + b_6)}{\lVert \max(0,\,W_6 x + b_6)\rVert_2}",
        parameters={"layer": "fc6 or fc7, after their ReLU; the photo is resized to 224 x 224 px"},
        licence="BSD-3-Clause (torchvision)",
        cost="One AlexNet pass at 224 x 224 px: about 1.4 GFLOP, the cheapest network here.",
    )

    def __init__(self, config: NeuralCodesConfig, weights: str = "auto") -> None:
        super().__init__(config, weights)

    @property
    def dim(self) -> int:
        return 4096

    def prepare(self, photo: RGB, box: Box | None = None) -> Prepared:
        return squash(photo, box, SIDE)

    def build_network(self) -> nn.Module:
        path = self.weights.path  # before any work: it may be missing
        module = seeded(lambda: torchvision.models.alexnet(weights=None))
        assert isinstance(module, torchvision.models.AlexNet)
        if path is not None:
            load_into(module, read_state(path), str(path))
        code = module.classifier[: LAST[self.config.layer] + 1]
        return Normalised(nn.Sequential(module.features, module.avgpool, nn.Flatten(), code)).eval()

    def head(self, tensor: Tensor, run: Callable[[Tensor], Tensor]) -> Tensor:
        return l2n(run(tensor))

    @property
    def untraceable(self) -> str:
        return (
            "A fully connected layer mixes all places of the photo, so that no cell can be said to "
            "make a part of this score."
        )
