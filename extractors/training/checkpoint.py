"""Where a training stands, saved so that it can be killed at any time and goes on.

One safetensors file holds the tensors (network, optimiser) and, as JSON in its header, everything
else. It is replaced in one step, so that there is always one whole checkpoint. Random numbers are
drawn from generators that are seeded with (seed, epoch, step), so there is no generator state to
save, and a training that was resumed ends where an undisturbed one does.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from data import artefact
from data.errors import PlaygroundError

FORMAT = 1
FILE = "checkpoint.safetensors"
REPORT = "report"  # report.json and report.png
_OPTIMISER = "optimiser."


@dataclasses.dataclass
class Progress:
    """How far a training is; everything in it is JSON-able."""

    epoch: int = 0
    step: int = 0  # of all epochs together
    seconds: float = 0.0  # spent training, over all sessions
    ended: str = ""  # why it ended; empty while it goes on
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    extra: dict[str, Any] = dataclasses.field(default_factory=dict)


class Run:
    """The folder of one training: its checkpoint and its report.

    Args:
        folder: made if missing.
        recipe: everything that decides the result (JSON-able). A checkpoint of another recipe is
            refused instead of being continued with other settings.
    """

    def __init__(self, folder: Path, recipe: dict[str, Any]) -> None:
        self.folder = folder
        self.recipe = json.loads(json.dumps(recipe))  # as it will be read back
        self.path = folder / FILE

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder, so that no second process trains into it."""
        doing = f"Training into {self.folder}"
        with artefact.explain_os_errors(doing), artefact.exclusive(self.folder, doing):
            yield

    def load(self, file: str = FILE) -> tuple[dict[str, Tensor], Progress] | None:
        """The last checkpoint, or what ``save_as`` kept as ``file``; None where there is none.

        Raises:
            PlaygroundError: damaged, or of another recipe.
        """
        path = self.folder / file
        if not path.is_file():
            return None
        again = f"To start again, delete the folder {self.folder}, or give another --out."
        try:
            with safetensors.safe_open(str(path), framework="pt") as opened:
                header = opened.metadata() or {}
            saved = json.loads(header.get("training", "null"))
            tensors = safetensors.torch.load_file(path)
        except (OSError, ValueError, safetensors.SafetensorError) as error:
            raise PlaygroundError(
                f"{path} cannot be read as a checkpoint ({error}). {again}"
            ) from None
        if not isinstance(saved, dict) or saved.get("format") != FORMAT:
            raise PlaygroundError(f"{path} is no checkpoint of format {FORMAT}. {again}")
        self._refuse_other_recipe(saved["recipe"], again)
        return tensors, Progress(**saved["progress"])

    def _refuse_other_recipe(self, saved: dict[str, Any], again: str) -> None:
        names = sorted(saved.keys() | self.recipe.keys())
        changed = [name for name in names if saved.get(name) != self.recipe.get(name)]
        if changed:
            parts = [f"{n} {saved.get(n)!r}, now {self.recipe.get(n)!r}" for n in changed[:4]]
            raise PlaygroundError(
                f"{self.path} was trained with another recipe: {'; '.join(parts)}. Use the same "
                f"options to go on. {again}"
            )

    def save(self, tensors: dict[str, Tensor], progress: Progress) -> None:
        """Replace the checkpoint; a process killed meanwhile leaves the old one."""
        self.save_as(FILE, tensors, progress)

    def save_as(self, file: str, tensors: dict[str, Tensor], progress: Progress) -> None:
        """The same under another name, such as the best network so far."""
        path = self.folder / file
        self.folder.mkdir(parents=True, exist_ok=True)
        saved = {
            "format": FORMAT,
            "recipe": self.recipe,
            "progress": dataclasses.asdict(progress),
        }
        temporary = path.with_name(f".{file}.{os.getpid()}.tmp")
        try:
            # A copy each: safetensors refuses tensors that share memory.
            own = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
            safetensors.torch.save_file(own, temporary, {"training": json.dumps(saved)})
            with open(temporary, "rb+") as handle:
                os.fsync(handle.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def pack(module: nn.Module, optimiser: Optimizer) -> dict[str, Tensor]:
    """Network and optimiser as named tensors for ``Run.save``."""
    tensors = {f"network.{k}": v for k, v in module.state_dict().items()}
    for number, values in optimiser.state_dict()["state"].items():
        for name, value in values.items():
            tensors[f"{_OPTIMISER}{number}.{name}"] = torch.as_tensor(value)
    return tensors


def unpack(tensors: dict[str, Tensor], module: nn.Module, optimiser: Optimizer) -> None:
    """Put back what ``pack`` gave; the parameter groups keep the settings they have."""
    prefix = "network."
    state = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    module.load_state_dict(state)
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith(_OPTIMISER):
            number, _, name = key.removeprefix(_OPTIMISER).partition(".")
            moments.setdefault(int(number), {})[name] = value
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": moments, "param_groups": groups})


def to_device(optimiser: Optimizer, device: torch.device) -> None:
    """Move the optimiser's moments to where its network is; counters stay on the CPU."""
    for state in optimiser.state.values():
        for name, value in state.items():
            if isinstance(value, Tensor) and name != "step":
                state[name] = value.to(device)
