"""The networks as they are trained, and their states in the names that extraction reads."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

import numpy as np
import torch
import torchvision
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models.resnet import Bottleneck

from extractors.trunks import check_trunk, trunk
from extractors.weights import Weights, resolve, seeded

FROM_SCRATCH = ("resnet50", "vgg16")  # trunks that instance discrimination trains here


def trainable_trunk(network: str, width: float = 1.0) -> nn.Module:
    """A trunk to train from scratch, seeded: (B, 3, H, W), mean removed -> feature map.

    VGG16 gets BatchNorm, without which it does not train from scratch; ``trunk_state`` folds it.
    ResNet50's residual branches start at zero (Goyal et al., arXiv 1706.02677): otherwise its
    first layers' gradients are 100 times the weights, and instance discrimination learns nothing.

    Args:
        width: share of every layer's channels, for networks that are widened while they train.
    """
    check_trunk(network)
    module = seeded(lambda: _full(network) if width == 1 else _thin(_full(network), width))
    for block in module.modules():
        if isinstance(block, Bottleneck):
            nn.init.zeros_(block.bn3.weight)
    return module.train()


def _full(network: str) -> nn.Module:
    if network == "vgg16":
        return torchvision.models.vgg16_bn(weights=None).features[:-1]
    return trunk(network, resolve(network, "untrained"))


def _thin(module: nn.Module, width: float) -> nn.Module:
    """The same layers with ``width`` times the channels each, initialised afresh."""
    for name, layer in module.named_children():
        if isinstance(layer, nn.Conv2d):
            inputs = layer.in_channels if layer.in_channels == 3 else int(layer.in_channels * width)
            thin = nn.Conv2d(
                inputs,
                int(layer.out_channels * width),
                layer.kernel_size,  # type: ignore[arg-type]
                layer.stride,  # type: ignore[arg-type]
                layer.padding,  # type: ignore[arg-type]
                bias=layer.bias is not None,
            )
            nn.init.kaiming_normal_(thin.weight, mode="fan_out", nonlinearity="relu")
            setattr(module, name, thin)
        elif isinstance(layer, nn.BatchNorm2d):
            setattr(module, name, nn.BatchNorm2d(int(layer.num_features * width)))
        else:
            _thin(layer, width)
    return module


def widened(
    thin: dict[str, Tensor], wide: dict[str, Tensor], rng: np.random.Generator
) -> dict[str, Tensor]:
    """The state of a wider network that computes what the thin one does, channels repeated.

    Net2WiderNet (Chen, Goodfellow, Shlens: Net2Net, ICLR 2016): copies of a channel share its
    outgoing weight. They share it unequally, or their gradients would keep them equal for ever.

    Args:
        thin: state of the trained network.
        wide: state of one with a multiple of its channels, by the same names; gives the shapes.
    """
    return {name: _repeated(value, wide[name].shape, rng) for name, value in thin.items()}


def _repeated(value: Tensor, shape: torch.Size, rng: np.random.Generator) -> Tensor:
    for axis, size in enumerate(shape):
        copies, rest = divmod(size, value.shape[axis])
        if rest:
            raise ValueError(f"{tuple(value.shape)} does not repeat to {tuple(shape)}")
        if copies == 1:
            continue
        value = torch.cat([value] * copies, dim=axis)
        if axis == 1:  # inputs: the copies' weights sum to the one they replace
            parts = rng.uniform(0.5, 1.5, (value.shape[0], copies, size // copies))
            parts = (parts / parts.sum(axis=1, keepdims=True)).reshape(value.shape[0], size)
            share = torch.from_numpy(parts).to(value)
            value = value * share.reshape(*share.shape, *[1] * (value.ndim - 2))
    return value


def trained_trunk(network: str, weights: str) -> tuple[nn.Module, Weights]:
    """A trunk with weights to go on from, and which ones they are."""
    found = resolve(network, weights)
    return trunk(network, found), found


def with_batchnorm(plain: nn.Module, x: Tensor) -> nn.Module:
    """VGG16's convolutions with a BatchNorm behind each, computing what they do without.

    Each BatchNorm takes mean and variance from pictures and gives them back as offset and factor;
    ``folded`` undoes it. With it the network trains at rates that would break the plain one.

    Args:
        plain: a trunk in torchvision's layout.
        x: (B, 3, H, W), mean removed: what the statistics are taken from.
    """
    convolutions = iter([layer for layer in plain.modules() if isinstance(layer, nn.Conv2d)])
    result = trainable_trunk("vgg16").eval()
    with torch.no_grad():
        for layer in result.children():
            if isinstance(layer, nn.Conv2d):
                layer.load_state_dict(next(convolutions).state_dict())
            elif isinstance(layer, nn.BatchNorm2d):
                variance, mean = torch.var_mean(x, dim=(0, 2, 3), correction=0)
                state = {"running_mean": mean, "running_var": variance, "bias": mean}
                layer.load_state_dict(
                    {**layer.state_dict(), **state, "weight": (variance + layer.eps).sqrt()}
                )
            x = layer(x)
    return result.train()


def adamw(module: nn.Module, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW that does not decay biases and BatchNorm's factors."""
    decayed = [p for p in module.parameters() if p.ndim > 1]
    free = [p for p in module.parameters() if p.ndim <= 1]
    return torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": weight_decay},
            {"params": free, "weight_decay": 0.0},
        ],
        lr=learning_rate,
    )


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
