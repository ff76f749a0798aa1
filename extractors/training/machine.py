"""What trains here: the device, its precision, and one process or several."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from data.errors import PlaygroundError
from extractors.runtime import cpu_has_bfloat16

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")


@dataclasses.dataclass(frozen=True)
class Machine:
    """Where a training runs. ``rank`` of ``world`` processes, one per GPU (``torchrun``)."""

    device: torch.device
    precision: str  # fp32, bf16 or fp16
    rank: int = 0
    world: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes the checkpoints."""
        return self.rank == 0

    @property
    def words(self) -> str:
        """For reports: ``cpu fp32``, ``2 x NVIDIA H200 bf16``."""
        name = "cpu"
        if self.device.type == "cuda":
            name = torch.cuda.get_device_name(self.device)
        return f"{f'{self.world} x ' if self.world > 1 else ''}{name} {self.precision}"

    def autocast(self) -> AbstractContextManager[Any]:
        """Mixed precision for the forward pass; losses belong outside it, in fp32."""
        dtype = torch.float16 if self.precision == "fp16" else torch.bfloat16
        return torch.autocast(self.device.type, dtype, enabled=self.precision != "fp32")

    def scaler(self) -> torch.amp.GradScaler:
        """Loss scaling, which fp16 needs; does nothing in the other precisions."""
        return torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")

    def distributed(self, module: nn.Module) -> nn.Module:
        """The module whose gradients are averaged over the processes; itself for one process."""
        if self.world == 1:
            return module
        ids = [self.device.index] if self.device.type == "cuda" else None
        return DistributedDataParallel(module, device_ids=ids)

    def share(self, items: Sequence[Any]) -> Sequence[Any]:
        """This process's part of the work."""
        return items[self.rank :: self.world]

    def gathered(self, part: Tensor, total: int) -> Tensor:
        """The rows of all processes, each holding those of its ``share``, in their order."""
        if self.world == 1:
            return part
        width = -(-total // self.world)
        padded = part.new_zeros((width, *part.shape[1:])).to(self.device)
        padded[: len(part)] = part.to(self.device)
        parts = [torch.empty_like(padded) for _ in range(self.world)]
        dist.all_gather(parts, padded)
        return torch.stack(parts, dim=1).flatten(0, 1)[:total].cpu()

    def agreed(self, value: bool) -> bool:
        """The first process's decision, so that all of them stop at the same step."""
        if self.world == 1:
            return value
        flag = torch.tensor([int(value)], device=self.device)
        dist.broadcast(flag, 0)
        return bool(flag.item())


@contextlib.contextmanager
def machine(
    device: str = "auto", precision: str = "auto", threads: int | None = None
) -> Iterator[Machine]:
    """The machine to train on, joined to the other processes where ``torchrun`` started several.

    Args:
        device: one of ``DEVICES``; auto takes the GPU where torch sees one.
        precision: one of ``PRECISIONS``; auto takes what the device computes fastest.
        threads: of torch on the CPU; None leaves torch's choice.

    Raises:
        PlaygroundError: no such device here.
    """
    if device not in DEVICES or precision not in PRECISIONS:
        raise PlaygroundError(
            f"--device {device} --precision {precision} is not possible. Legal devices: "
            f"{', '.join(DEVICES)}; precisions: {', '.join(PRECISIONS)}."
        )
    if device == "cuda" and not torch.cuda.is_available():
        raise PlaygroundError("torch sees no GPU on this machine. Use --device cpu or auto.")
    kind = "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
    if threads is not None:
        torch.set_num_threads(threads)
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    place = torch.device(kind)
    if kind == "cuda":
        place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(place)
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
    if world > 1:
        dist.init_process_group("nccl" if kind == "cuda" else "gloo")
    try:
        yield Machine(place, _precision(kind, precision), rank, world)
    finally:
        if world > 1:
            dist.destroy_process_group()


def _precision(kind: str, wanted: str) -> str:
    if wanted != "auto":
        return wanted
    if kind == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    return "bf16" if cpu_has_bfloat16() else "fp32"
