"""Convolutional trunks: networks of timm and torchvision, cut before their classifier.

The cuts end in a ReLU, so that feature maps are non-negative (Radenovic et al.). ``TRUNKS`` is the
one table of them: a trunk is one function and one row. torch is imported where one is built.
"""

from __future__ import annotations

import dataclasses
import functools
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from data.errors import PlaygroundError
from extractors.weights import (
    TRUNK_OF,
    Weights,
    header,
    load_into,
    read_state,
    seeded,
    trunk_of_head,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from extractors.modules import Normalised

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True)
class Trunk:
    """A row of ``TRUNKS``.

    Attributes:
        channels: of the feature map, (B, channels, H / stride, W / stride).
        build: the module without trained weights.
        mean, std: of the pixels in [0, 1] that it was trained with, per channel.
        renamed: a checkpoint's tensors in the module's names.
    """

    channels: int
    stride: int
    build: Callable[[], nn.Module]
    mean: tuple[float, float, float] = MEAN
    std: tuple[float, float, float] = STD
    renamed: Callable[[dict[str, Tensor], nn.Module], dict[str, Tensor]] = lambda state, _: state


def vgg16_features() -> nn.Sequential:
    """VGG16's convolutions without the last max-pool; torchvision's names and initialisation."""
    import torchvision
    from torch import nn

    features = torchvision.models.vgg.make_layers(
        torchvision.models.vgg.cfgs["D"], batch_norm=False
    )
    for layer in features:
        if isinstance(layer, nn.Conv2d):  # torchvision's own initialisation of VGG
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return features[:-1]  # without the last max-pool


def _resnet50_features(name: str = "resnet50") -> nn.Sequential:
    import torchvision
    from torch import nn

    resnet = getattr(torchvision.models, name)(weights=None)
    return nn.Sequential(OrderedDict(list(resnet.named_children())[:-2]))


def _soa_resnet(name: str) -> nn.Module:
    """A ResNet with SOLAR's second-order attention; the blocks start as the identity."""
    from extractors.solar import SoaResNet  # which stands on this module

    return SoaResNet(_resnet50_features(name))


def _soa_renamed(state: dict[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """A plain ResNet's tensors; the blocks keep what they have where a file lacks them."""
    own = {k: v for k, v in module.state_dict().items() if k.startswith("soa")}
    named = {
        k if k.startswith(("stem.", "soa", "layer4.", "fc.")) else f"stem.{k}": v
        for k, v in state.items()
    }
    return own | named


def _lite0_features() -> nn.Module:
    import timm  # seconds, and only this trunk needs it

    return timm.create_model(
        "tf_efficientnet_lite0", pretrained=False, num_classes=0, global_pool=""
    )


def _lite0_renamed(state: dict[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """The packaged port's names differ from timm's; both list the same tensors in one order."""
    if "_conv_stem.weight" not in state:
        return state
    theirs = [k for k in state if not k.endswith("num_batches_tracked")]
    theirs = [k for k in theirs if not k.startswith("_fc.")]
    ours = [k for k in module.state_dict() if not k.endswith("num_batches_tracked")]
    if len(theirs) != len(ours):
        return state  # refused with its own names
    return {name: state[other] for name, other in zip(ours, theirs, strict=True)}


def _vgg16_renamed(state: dict[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    return {k.removeprefix("features."): v for k, v in state.items()}


# Of the pixels, EfficientNet-Lite takes (x - 127) / 128.
_LITE_MEAN, _LITE_STD = 127 / 255, 128 / 255
LITE0 = "efficientnet-lite0"
TRUNKS: dict[str, Trunk] = {
    LITE0: Trunk(1280, 32, _lite0_features, (_LITE_MEAN,) * 3, (_LITE_STD,) * 3, _lite0_renamed),
    "resnet50": Trunk(2048, 32, _resnet50_features),
    "vgg16": Trunk(512, 16, vgg16_features, renamed=_vgg16_renamed),
    "resnet101": Trunk(2048, 32, functools.partial(_resnet50_features, "resnet101")),
    "resnet152": Trunk(2048, 32, functools.partial(_resnet50_features, "resnet152")),
    "resnet50-soa": Trunk(
        2048, 32, functools.partial(_soa_resnet, "resnet50"), renamed=_soa_renamed
    ),
    "resnet101-soa": Trunk(
        2048, 32, functools.partial(_soa_resnet, "resnet101"), renamed=_soa_renamed
    ),
}


def check_trunk(network: str) -> Trunk:
    """The row of a trunk; refuses other names."""
    if network not in TRUNKS:
        raise PlaygroundError(f"There is no trunk '{network}'. Legal: {', '.join(TRUNKS)}.")
    return TRUNKS[network]


def trunk(network: str, weights: Weights) -> nn.Module:
    """The trunk of a name of ``TRUNKS``: (B, 3, H, W), normalised -> feature map.

    Checkpoints may hold the whole classifier or the trunk alone; or they are a trained network's
    of ours, which holds the part of the trunk that its training has changed.
    """
    row = check_trunk(network)
    module = seeded(row.build)
    if weights.path is not None and header(weights.path).get(TRUNK_OF) == network:
        of_head = read_state(weights.path)
        changed = {
            k.removeprefix("trunk."): v for k, v in of_head.items() if k.startswith("trunk.")
        }
        before = trunk(network, trunk_of_head(weights.path, network, "scripts.train_siamese"))
        load_into(module, before.state_dict() | changed, str(weights.path))
    elif weights.path is not None:
        state = row.renamed(read_state(weights.path), module)
        # A classifier's own layers are dropped on purpose; anything else unknown is an error.
        state = {k: v for k, v in state.items() if not k.startswith(("fc.", "classifier."))}
        load_into(module, state, str(weights.path))
    return module.eval()


def normalised(network: str, module: nn.Module) -> Normalised:
    """``module`` behind the normalisation of a trunk's pixels."""
    from extractors.modules import Normalised

    row = TRUNKS[network]
    return Normalised(module, row.mean, row.std)


def vgg16_classifier(layer: str, weights: Weights) -> nn.Module:
    """VGG16 up to and including the ReLU after fc6 or fc7: (B, 3, 224, 224) -> (B, 4096).

    Neural codes (Babenko et al., ECCV 2014).
    """
    import torchvision
    from torch import nn

    last = {"fc6": 2, "fc7": 5}[layer]
    module = seeded(lambda: torchvision.models.vgg16(weights=None))
    if weights.path is not None:
        load_into(module, read_state(weights.path), str(weights.path))
    assert isinstance(module, torchvision.models.VGG)
    return nn.Sequential(
        module.features, module.avgpool, nn.Flatten(), module.classifier[:last]
    ).eval()
