"""The networks as they are trained, and their states in the names that extraction reads."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

import torchvision
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from data.errors import PlaygroundError
from extractors.trunks import CHANNELS, trunk
from extractors.weights import Weights, resolve, seeded

TRUNKS = tuple(CHANNELS)


def trainable_trunk(network: str) -> nn.Module:
    """A trunk to train from scratch, seeded: (B, 3, H, W), mean removed -> feature map.

    VGG16 gets BatchNorm, without which it does not train from scratch; ``trunk_state`` folds it.
    """
    if network not in TRUNKS:
        raise PlaygroundError(f"There is no trunk '{network}'. Legal: {', '.join(TRUNKS)}.")
    if network == "vgg16":
        return seeded(lambda: torchvision.models.vgg16_bn(weights=None).features[:-1]).train()
    return trunk(network, resolve(network, "untrained")).train()


def trained_trunk(network: str, weights: str) -> tuple[nn.Module, Weights]:
    """A trunk with weights to go on from, and which ones they are."""
    found = resolve(network, weights)
    return trunk(network, found), found


def trunk_state(network: str, module: nn.Module) -> dict[str, Tensor]:
    """The state of a trunk from ``trainable_trunk`` in torchvision's names, ready for inference.

    Returns:
        ``features.*`` without BatchNorm for vgg16; ``conv1.*``, ``bn1.*``, ``layer1.*`` … for
        resnet50.
    """
    if network != "vgg16":
        return _without_counters(module.state_dict())
    layers = OrderedDict((str(i), layer) for i, layer in enumerate(folded(module)))
    plain = nn.Sequential(layers)
    return {f"features.{k}": v for k, v in plain.state_dict().items()}


def folded(module: nn.Module) -> list[nn.Module]:
    """The layers of a convolution-BatchNorm-ReLU chain with every BatchNorm folded away."""
    layers = list(module.children())
    result: list[nn.Module] = []
    for layer, following in pairwise([*layers, nn.Identity()]):
        if isinstance(layer, nn.BatchNorm2d):
            continue
        if isinstance(layer, nn.Conv2d) and isinstance(following, nn.BatchNorm2d):
            layer = fuse_conv_bn_eval(layer.eval(), following.eval())
        result.append(layer)
    return result


def _without_counters(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without BatchNorm's counters of batches, which inference does not use."""
    return {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}


def freeze_batchnorm(module: nn.Module) -> None:
    """BatchNorms to evaluation mode: statistics stay as they are while all else is trained.

    The field's rule for fine-tuning: batches of a few tuples are too small and too alike to
    estimate statistics from (cirtorch ``examples/train.py``).
    """
    for layer in module.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.eval()
