"""ResNet50 as a student of EfficientNet-Lite0: its blocks start as the teacher's.

Both networks are 16 residual blocks of a 1x1 convolution, a spatial one and another 1x1, at strides
4 to 32. So the values that the teacher hands from block to block get a place in the student's
stream, and a bottleneck starts with those of a teacher's hidden channels that matter most, their
depthwise 3x3 kernels (the middle of 5x5 ones) on the diagonal of its own 3x3 convolution. What is
missing, training fits. The student's stream passes a ReLU, so its values are raised above zero.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from extractors.training.networks import trunk_state
from extractors.training.parts import HEAD, Inner, Part, Scaling, Student, Teacher, most_varied
from extractors.trunks import LITE0, TRUNKS, normalised
from extractors.weights import seeded


class Row(NamedTuple):
    """A bottleneck of the student.

    ``target`` is the teacher's map that it gives, in the scales of ``like``; ``models`` are the
    blocks it starts as. ``kind``: see ``Bottleneck``. The values lie in the stream's channels from
    ``first`` on.
    """

    name: str
    target: str
    like: str
    kind: str
    models: tuple[str, ...]
    first: int = 0


STEM = "blocks.1.1"  # the map that the layers up to and including layer1 give
ROWS = (
    Row("layer2.0", "blocks.2.0", "blocks.2.1", "shorter", ("blocks.2.0",)),
    Row("layer2.1", "blocks.2.0", "blocks.2.1", "same", ()),
    Row("layer2.2", "blocks.2.1", "blocks.2.1", "same", ("blocks.2.1",)),
    Row("layer2.3", "blocks.2.1", "blocks.2.1", "same", ()),
    Row("layer3.0", "blocks.3.0", "blocks.3.2", "shorter", ("blocks.3.0",)),
    Row("layer3.1", "blocks.3.1", "blocks.3.2", "same", ("blocks.3.1",)),
    Row("layer3.2", "blocks.3.2", "blocks.3.2", "same", ("blocks.3.2",)),
    Row("layer3.3", "blocks.4.0", "blocks.4.2", "fresh", ("blocks.4.0",), 80),
    Row("layer3.4", "blocks.4.1", "blocks.4.2", "same", ("blocks.4.1",), 80),
    Row("layer3.5", "blocks.4.2", "blocks.4.2", "same", ("blocks.4.2",), 80),
    Row("layer4.0", "blocks.5.1", "blocks.5.3", "shorter", ("blocks.5.0",), 1280),
    Row("layer4.1", "blocks.5.3", "blocks.5.3", "same", ("blocks.5.2", "blocks.5.3"), 1280),
    Row("layer4.2", HEAD, HEAD, "fresh", ("blocks.6.0",)),
)
MAPS = tuple(dict.fromkeys([STEM, "blocks.5.2", *(row.target for row in ROWS)]))
OFFSET = 4.0  # standard deviations: few values of the stream are below zero then
FAINT = 0.1  # scale of layer4's stream, some of whose channels are the network's last ones, too
NOISE = 0.02  # share of the usual initialisation that weights without a model start with
SAMPLE = 256  # views for statistics
_BEFORE = {"blocks.2.0": STEM, "blocks.3.0": "blocks.2.1", "blocks.4.0": "blocks.3.2"}
_BEFORE |= {"blocks.5.0": "blocks.4.2", "blocks.6.0": "blocks.5.3"}


class Bottleneck(nn.Module):
    """A ResNet bottleneck on the channels that hold the teacher's values, BatchNorm folded.

    Args:
        kind: "same" adds to its input, "shorter" to a 1x1 convolution of it with a stride of 2,
            and "fresh" gives channels that nothing held before.
    """

    def __init__(self, inputs: int, hidden: int, outputs: int, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.conv1 = nn.Conv2d(inputs, hidden, 1)
        self.conv2 = nn.Conv2d(hidden, hidden, 3, 2 if kind == "shorter" else 1, 1)
        self.conv3 = nn.Conv2d(hidden, outputs, 1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, 2) if kind == "shorter" else None
        for layer in (self.conv1, self.conv2, self.conv3):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        self.conv2.weight.data.mul_(NOISE)
        self.conv3.weight.data.mul_(NOISE)
        # The inputs' offset must not decide which hidden channels are on.
        with torch.no_grad():
            self.conv1.bias -= OFFSET * self.conv1.weight.sum(dim=(1, 2, 3))  # type: ignore
        if self.shortcut is not None:
            nn.init.zeros_(self.shortcut.weight)
            nn.init.zeros_(self.shortcut.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        added = self.conv3(F.relu(self.conv2(F.relu(self.conv1(x)))))
        if self.kind == "same":
            added = added + x
        elif self.shortcut is not None:
            added = added + self.shortcut(x)
        return F.relu(added)


class Leading(nn.Module):
    """The first channels alone."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, x: Tensor) -> Tensor:
        return x[:, : self.count]


def student(trunk: nn.Module, teacher: Teacher) -> Student:
    """``trunk`` (torchvision's layers) cut into parts; ``teacher.maps`` must hold ``MAPS``."""
    scalings = {
        name: Scaling.of(teacher.maps[name][:SAMPLE], OFFSET)
        for name in (STEM, *(row.like for row in ROWS if row.like != HEAD))
    }
    scalings[HEAD] = _head_scaling(teacher.maps[HEAD][:SAMPLE])
    layers = dict(trunk.named_children())
    stem = nn.Sequential(OrderedDict((name, layers[name]) for name in list(layers)[:5]))
    _start_stem(stem, teacher.network, len(scalings[STEM].mean))
    first = nn.Sequential(normalised("resnet50", stem), Leading(len(scalings[STEM].mean)))
    parts = [Part("layer1", first, STEM, scalings[STEM], Inner(), share=2.5, rate=2.0)]
    before = scalings[STEM]
    for row in ROWS:
        scaling = scalings[row.like]
        hidden = _own(trunk, row).conv1.out_channels
        sizes = len(before.mean), hidden, len(scaling.mean), row.kind
        block = seeded(functools.partial(Bottleneck, *sizes))
        assert isinstance(block, Bottleneck)
        if row.models:
            start_as(block, _models(row, teacher, before, scaling))
        else:
            nn.init.zeros_(block.conv3.weight)
        parts.append(Part(row.name, block, row.target, scaling, Inner()))
        before = scaling
    blocks = {row.name: part.module for row, part in zip(ROWS, parts[1:], strict=True)}
    return Student(parts, lambda: _assembled(trunk, blocks))


def _models(row: Row, teacher: Teacher, before: Scaling, after: Scaling) -> list[Hidden]:
    found = []
    for name in row.models:
        stage, number = name.rsplit(".", 1)
        given = _BEFORE[name] if number == "0" else f"{stage}.{int(number) - 1}"
        model, maps = teacher.network.get_submodule(name), teacher.maps[given][:SAMPLE]
        found.append(hidden_channels(model, maps, before, after, row.kind, teacher.network))
    return found


def _own(trunk: nn.Module, row: Row) -> Any:
    return trunk.get_submodule(row.name)  # torchvision's Bottleneck


def _head_scaling(maps: Tensor) -> Scaling:
    """All channels, then as many again of the most varied ones as the student has room for."""
    more = TRUNKS["resnet50"].channels - maps.shape[1]
    return Scaling.common(maps, torch.cat([torch.arange(maps.shape[1]), most_varied(maps, more)]))


def _fused(convolution: Any, norm: Any) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution with its BatchNorm."""
    both = fuse_conv_bn_eval(convolution, norm)
    assert both.bias is not None
    return both.weight.detach(), both.bias.detach()


@torch.no_grad()
def _start_stem(stem: Any, teacher: Any, raised: int) -> None:
    """The teacher's 32 first filters and, as a max-pool keeps the largest, their negatives.

    Args:
        raised: channels of layer1 that hold values with an offset.
    """
    weight, _ = _fused(teacher.conv_stem, teacher.bn1)
    ratio = torch.tensor(TRUNKS["resnet50"].std) / torch.tensor(TRUNKS[LITE0].std)
    weight = weight * ratio.view(1, 3, 1, 1)
    filters = torch.cat([weight, -weight])
    stem.conv1.weight.mul_(0.1)
    stem.conv1.weight[:, :, 2:5, 2:5] += filters[: len(stem.conv1.weight)]
    for block in stem.layer1:
        block.bn3.weight.fill_(0.3)  # the branch begins as a small part of the stream
    stem.layer1[0].bn3.bias[:raised] = OFFSET


class Hidden(NamedTuple):
    """The M hidden channels of an inverted residual block, in the scales of the student's stream.

    Attributes:
        expand, expand_bias: (M, C), (M,); the first 1x1 convolution.
        kernel, kernel_bias: (M, 3, 3), (M,); the depthwise one.
        project, bias: (O, M), (O,); the last one.
        mean, std: (M,) of what they give, before the last convolution.
    """

    expand: Tensor
    expand_bias: Tensor
    kernel: Tensor
    kernel_bias: Tensor
    project: Tensor
    bias: Tensor
    mean: Tensor
    std: Tensor


@torch.no_grad()
def hidden_channels(
    model: Any, maps: Tensor, before: Scaling, after: Scaling, kind: str, network: Any
) -> Hidden:
    """The hidden channels of timm's ``InvertedResidual``.

    Args:
        maps: (B, C, H, W), what it is given.
        before, after: the scales of its inputs and outputs in the student.
        kind: of the student's block.
        network: the teacher; its last convolution is taken in, where ``after`` is of its outputs.
    """
    given = model.bn2(model.conv_dw(model.bn1(model.conv_pw(maps.float()))))
    std, mean = torch.std_mean(given, dim=(0, 2, 3))
    expand, expand_bias = _fused(model.conv_pw, model.bn1)
    expand = expand[:, :, 0, 0]
    kernel, kernel_bias = _fused(model.conv_dw, model.bn2)
    project, bias = _fused(model.conv_pwl, model.bn3)
    project = project[:, :, 0, 0]
    if after.channels is not None:
        last, last_bias = _fused(network.conv_head, network.bn2)
        project, bias = last[:, :, 0, 0] @ project, last[:, :, 0, 0] @ bias + last_bias
        project, bias = project[after.channels], bias[after.channels]
    if kind != "same":  # it gives the values themselves, not what is added to them
        bias = bias - after.mean
    bias = bias / after.std + (0.0 if kind == "same" else after.offset)
    return Hidden(
        expand * before.std,
        expand_bias + expand @ (before.mean - before.offset * before.std),
        middle(kernel[:, 0]),
        kernel_bias,
        project / after.std[:, None],
        bias,
        mean,
        std,
    )


def middle(kernel: Tensor) -> Tensor:
    """(M, k, k) -> (M, 3, 3): the middle, as strong as the whole (by 1.5 at most)."""
    rim = (kernel.shape[-1] - 3) // 2
    inner = kernel[:, rim : rim + 3, rim : rim + 3]
    strength = kernel.abs().sum((1, 2)) / inner.abs().sum((1, 2)).clamp(min=1e-6)
    return inner * strength.clamp(1, 1.5).view(-1, 1, 1)


@torch.no_grad()
def start_as(block: Any, models: Sequence[Hidden]) -> None:
    """Give a bottleneck the hidden channels that matter most, of one model or of several.

    Several, one behind the other in the teacher, are taken as if they were side by side. What the
    others give on average goes into the bias.
    """
    expand = torch.cat([m.expand for m in models])
    expand_bias = torch.cat([m.expand_bias for m in models])
    kernel = torch.cat([m.kernel for m in models])
    kernel_bias = torch.cat([m.kernel_bias for m in models])
    project = torch.cat([m.project for m in models], dim=1)
    mean, std = torch.cat([m.mean for m in models]), torch.cat([m.std for m in models])
    order = (std * project.norm(dim=0)).argsort(descending=True)
    kept, others = order[: block.conv1.out_channels], order[block.conv1.out_channels :]
    count = len(kept)
    block.conv1.weight[:count] = expand[kept][:, :, None, None]
    block.conv1.bias[:count] = expand_bias[kept]
    diagonal = torch.arange(count)
    block.conv2.weight[diagonal, diagonal] += kernel[kept]
    block.conv2.bias[:count] = kernel_bias[kept]
    block.conv3.weight[:, :count] = project[:, kept][:, :, None, None]
    block.conv3.bias.copy_(sum(m.bias for m in models) + project[:, others] @ mean[others])


@torch.no_grad()
def _assembled(trunk: nn.Module, blocks: dict[str, Any]) -> dict[str, Tensor]:
    """The trunk's state with the bottlenecks written into it, BatchNorms that only add a bias.

    Channels of the stream that no block of their layer uses hold a little noise, which nobody
    reads: without it no training could ever put them to use.
    """
    before = Row("layer1", STEM, STEM, "same", ())
    generator = torch.Generator().manual_seed(0)
    for row in ROWS:
        block, own = blocks[row.name], _own(trunk, row)
        read, write = _scale(before), _scale(row)
        columns = slice(before.first, before.first + block.conv1.in_channels)
        rows = slice(row.first, row.first + block.conv3.out_channels)
        own.conv1.weight.zero_()
        own.conv1.weight[:, columns] = block.conv1.weight / read
        _only_bias(own.bn1, block.conv1.bias)
        own.conv2.weight.copy_(block.conv2.weight)
        _only_bias(own.bn2, block.conv2.bias)
        free = max(
            r.first + blocks[r.name].conv3.out_channels for r in ROWS if r.name[:6] == row.name[:6]
        )
        own.conv3.weight.normal_(0, NOISE * float(block.conv3.weight.std()), generator=generator)
        own.conv3.weight[:free] = 0.0
        own.conv3.weight[rows] = block.conv3.weight * write
        bias = torch.zeros(own.conv3.out_channels)
        bias[rows] = block.conv3.bias * write
        if row.target == HEAD:  # takes the stream's offset out of the network's last channels
            bias[columns] -= OFFSET * read
        _only_bias(own.bn3, bias)
        if own.downsample is not None:
            own.downsample[0].weight.zero_()
            own.downsample[0].weight[rows, columns] = block.shortcut.weight * (write / read)
            bias = torch.zeros(own.conv3.out_channels)
            bias[rows] = block.shortcut.bias * write
            _only_bias(own.downsample[1], bias)
        before = row
    return trunk_state("resnet50", trunk)


def _scale(row: Row) -> float:
    return FAINT if row.name.startswith("layer4") and row.target != HEAD else 1.0


def _only_bias(norm: Any, bias: Tensor) -> None:
    norm.running_mean.zero_()
    norm.running_var.fill_(1.0)
    norm.weight.fill_((1.0 + norm.eps) ** 0.5)
    norm.bias.copy_(bias)
