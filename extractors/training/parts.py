"""What distillation part by part trains: a student's parts, and the teacher's maps they shall give.

``distill`` trains them; ``distill_resnet50`` and ``distill_vgg16`` cut their networks into them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from extractors.trunks import LITE0, normalised


@dataclasses.dataclass(frozen=True)
class Scaling:
    """Channels of a teacher's map as a student shall give them: (x - mean) / std + offset.

    Attributes:
        mean, std: (C,), one for each of ``channels``.
        channels: which of the map's; None = all.
    """

    mean: Tensor
    std: Tensor
    offset: float = 0.0
    channels: Tensor | None = None

    @classmethod
    def of(cls, maps: Tensor, offset: float = 0.0) -> Scaling:
        """To a mean of ``offset`` and a variance of 1 in these maps (B, C, H, W)."""
        std, mean = torch.std_mean(maps.float(), dim=(0, 2, 3))
        return cls(mean, std.clamp(min=1e-6), offset)

    @classmethod
    def common(cls, maps: Tensor, channels: Tensor) -> Scaling:
        """One factor for all, so that they keep their zero and what they are to each other."""
        std = maps[:, channels].float().var(dim=(0, 2, 3)).mean().sqrt()
        return cls(torch.zeros(len(channels)), std.repeat(len(channels)), 0.0, channels)

    def __call__(self, maps: Tensor) -> Tensor:
        x = maps.float() if self.channels is None else maps[:, self.channels].float()
        return (x - self.mean.view(-1, 1, 1)) / self.std.view(-1, 1, 1) + self.offset


def most_varied(maps: Tensor, count: int) -> Tensor:
    """The ``count`` channels of (B, C, H, W) that differ most from cell to cell."""
    return maps.float().var(dim=(0, 2, 3)).argsort(descending=True)[:count]


class Inner(nn.Module):
    """All but the first row and column: where the student's cells lie on the teacher's."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, 1:, 1:]


@dataclasses.dataclass
class Part:
    """A part of the student.

    Attributes:
        module: what is kept; takes what the part before it gives, the first one RGB in [0, 1].
        target: the teacher's map, by the name of the module that puts it out; ``HEAD``.
        scaling: how its values are given.
        read: from what ``module`` gives to the target's cells; dropped afterwards.
        share: times ``DistillConfig.steps``.
        rate: times ``DistillConfig.learning_rate``.
    """

    name: str
    module: nn.Module
    target: str
    scaling: Scaling
    read: nn.Module
    share: float = 1.0
    rate: float = 1.0


@dataclasses.dataclass
class Student:
    """The parts in order, and what they are together: tensors in the trunk's names."""

    parts: Sequence[Part]
    state: Callable[[], dict[str, Tensor]]


HEAD = "head"  # the teacher's last map
PARTS_VERSION = 1  # of how the networks are cut; the parts of another one do not go on


class Teacher(nn.Module):
    """EfficientNet-Lite0 that also gives maps from inside.

    Attributes:
        network: timm's.
        views: (N, 3, H, W) uint8 that are learned from.
        maps: (N, …) of all of them, by name, in half precision.
    """

    def __init__(self, network: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.network = network.requires_grad_(False).eval()
        self.views = torch.empty(0)
        self.maps: Mapping[str, Tensor] = {}
        self._normalised = normalised(LITE0, self.network)
        self._seen: dict[str, Tensor] = {}
        for name in names:
            if name != HEAD:
                self.network.get_submodule(name).register_forward_hook(self._keeper(name))

    def _keeper(self, name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            self._seen[name] = output

        return keep

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Views of the student, (B, 3, H + 1, W + 1) in [0, 1], -> its maps by name."""
        self._seen = {}
        last = self._normalised(x[:, :, 1:, 1:].contiguous(memory_format=torch.channels_last))
        return {**self._seen, HEAD: last}
