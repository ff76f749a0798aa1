"""VGG16 as a student of EfficientNet-Lite0: the convolutions up to each max-pool are a part.

A 1x1 convolution, dropped afterwards, reads the teacher's map from what a part gives; the last
part gives the teacher's most varied channels itself. Parts are trained with BatchNorm, which is
folded away in the end.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from extractors.training.networks import trunk_state, with_batchnorm
from extractors.training.parts import HEAD, Inner, Part, Scaling, Student, Teacher, most_varied
from extractors.trunks import TRUNKS, normalised

MAPS = ("blocks.0.0", "blocks.1.1", "blocks.2.1", "blocks.4.2", HEAD)  # at strides 2 to 32
SHARES = (0.5, 0.5, 0.75, 1.0, 0.5)  # of the steps; a step of the first ones costs much
SAMPLE = 256  # views for scales
STATISTICS = 48  # views that BatchNorms start with


class Halved(nn.Module):
    """Means of 2 x 2 cells, one further down and right: where the teacher's cells lie."""

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(F.pad(x, (0, 1, 0, 1), mode="replicate")[:, :, 1:, 1:], 2)


def student(trunk: nn.Module, teacher: Teacher) -> Student:
    """``trunk`` (torchvision's layers) in five parts; ``teacher.maps`` must hold ``MAPS``."""
    pixels = normalised("vgg16", nn.Identity())(teacher.views[:STATISTICS].float() / 255)
    trunk = with_batchnorm(trunk, pixels)
    groups: list[list[nn.Module]] = [[]]
    for layer in trunk.children():
        groups[-1].append(layer)
        if isinstance(layer, nn.MaxPool2d):
            groups.append([])
    parts = []
    for number, (name, share) in enumerate(zip(MAPS, SHARES, strict=True)):
        group = nn.Sequential(*groups[number])
        width = next(layer for layer in reversed(group) if isinstance(layer, nn.Conv2d))
        maps = teacher.maps[name][:SAMPLE]
        if name == HEAD:
            scaling = Scaling.common(maps, most_varied(maps, TRUNKS["vgg16"].channels))
            read: nn.Module = Halved()
        else:
            scaling = Scaling.of(maps)
            read = nn.Conv2d(width.out_channels, maps.shape[1], 1)
        module: nn.Module = group
        if number == 0:  # the teacher's view
            module = nn.Sequential(Inner(), normalised("vgg16", group))
        parts.append(Part(f"conv{number + 1}", module, name, scaling, read, share, rate=2.0))
    return Student(parts, lambda: trunk_state("vgg16", trunk))
