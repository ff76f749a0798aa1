"""Descriptors of the current network, for mining and for validation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from extractors.base import RGB
from extractors.cnn import to_tensor
from extractors.training.machine import Machine
from extractors.training.photos import TrainingPhotos, shrunk

Floats = NDArray[np.float32]
Score = Callable[[Floats, Sequence[str]], dict[str, float]]
"""(descriptors (N, D), labels) -> measures by name; ``map`` is the one to be raised."""


class Readable(Dataset[tuple[int, RGB]]):
    """Pictures at their positions, for worker processes to read."""

    def __init__(self, photos: TrainingPhotos, where: Sequence[int], longer_side: int) -> None:
        self.photos, self.where, self.longer_side = photos, list(where), longer_side

    def __len__(self) -> int:
        return len(self.where)

    def __getitem__(self, i: int) -> tuple[int, RGB]:
        picture = self.photos.read(self.where[i], self.longer_side)
        return i, shrunk(picture, self.longer_side)


def describe(
    network: nn.Module,
    photos: TrainingPhotos,
    where: Sequence[int],
    longer_side: int,
    machine: Machine,
    *,
    batch: int = 32,
    workers: int = 0,
) -> Floats:
    """Descriptors of whole pictures, as extraction makes them: aspect kept, never enlarged.

    Args:
        network: (B, 3, H, W) RGB in [0, 1] -> (B, D); put back into the mode it was in.
        where: positions in ``photos``.

    Returns:
        (len(where), D) float32.
    """
    modes = {module: module.training for module in network.modules()}
    network.eval()
    mine = list(machine.share(where))
    rows: list[Tensor] = [torch.empty(0)] * len(mine)
    loader = DataLoader(Readable(photos, mine, longer_side), batch_size=None, num_workers=workers)
    with torch.inference_mode(), machine.autocast():
        for places, tensor in _batches(loader, batch):
            vectors = network(tensor.to(machine.device)).float().cpu()
            for place, vector in zip(places, vectors, strict=True):
                rows[place] = vector
    for module, mode in modes.items():
        module.training = mode
    return machine.gathered(torch.stack(rows), len(where)).numpy()


def _batches(loader: DataLoader[tuple[int, RGB]], batch: int) -> Iterator[tuple[list[int], Tensor]]:
    """Pictures of one size together, as they come."""
    waiting: list[tuple[int, RGB]] = []
    for item in loader:
        waiting.append((int(item[0]), np.asarray(item[1])))
        if len(waiting) >= 4 * batch:
            yield from _by_size(waiting, batch)
            waiting = []
    yield from _by_size(waiting, batch)


def _by_size(items: list[tuple[int, RGB]], batch: int) -> Iterator[tuple[list[int], Tensor]]:
    items.sort(key=lambda item: (item[1].shape, item[0]))
    for _, group in groupby(items, key=lambda item: item[1].shape):
        members = list(group)
        for start in range(0, len(members), batch):
            chunk = members[start : start + batch]
            yield [i for i, _ in chunk], to_tensor([picture for _, picture in chunk])
