"""Where the networks' weights come from: one table, one way of reading them.

Sources: ``bundled`` (ours, shipped with the project), ``imagenet`` (torchvision's, downloaded
only when asked), ``untrained`` (seeded random numbers), ``file:PATH`` (a checkpoint of the
user's). ``auto`` takes the first of bundled, imagenet and untrained that is on this machine.
Checkpoints are untrusted: safetensors, or ``torch.load(weights_only=True)``.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from data.artefact import file_sha256
from data.errors import PlaygroundError
from data.paths import weights_root

SEED = 20211021  # of the untrained networks
SOURCES = ("auto", "bundled", "imagenet", "untrained", "file:PATH")
BUNDLED_ROOT = Path(__file__).resolve().parent / "bundled"


@dataclasses.dataclass(frozen=True)
class WeightFile:
    """A file of weights that the project knows."""

    network: str
    source: str
    file: str
    url: str  # empty for bundled files
    hash_prefix: str  # start of the file's SHA-256
    licence: str
    note: str


_TORCHVISION = "https://download.pytorch.org/models/"
_IMAGENET_NOTE = (
    "torchvision's ImageNet-1k classification weights (version 1); trained on photographs "
    "that are for non-commercial research"
)
TABLE: tuple[WeightFile, ...] = (
    WeightFile(
        "resnet50",
        "imagenet",
        "resnet50-0676ba61.pth",
        _TORCHVISION + "resnet50-0676ba61.pth",
        "0676ba61",
        "BSD-3-Clause (code)",
        _IMAGENET_NOTE,
    ),
    WeightFile(
        "vgg16",
        "imagenet",
        "vgg16-397923af.pth",
        _TORCHVISION + "vgg16-397923af.pth",
        "397923af",
        "BSD-3-Clause (code)",
        _IMAGENET_NOTE,
    ),
    *(
        WeightFile(
            name,
            "bundled",
            f"{name}.safetensors",
            "",
            "",
            "MIT",
            "trained by this project on rendered landmarks",
        )
        for name in ("resnet50", "vgg16", "gem-siamese", "delf")
    ),
)


@dataclasses.dataclass(frozen=True)
class Weights:
    """Weights that have been chosen and found.

    ``path`` is None for untrained ones. ``identity`` is what artefacts record.
    """

    network: str
    source: str
    path: Path | None
    sha256: str

    @property
    def identity(self) -> dict[str, str]:
        return {"source": self.source, "sha256": self.sha256}


def known(network: str) -> list[WeightFile]:
    """The table's rows for a network."""
    return [row for row in TABLE if row.network == network]


def find(row: WeightFile) -> Path | None:
    """The file on this machine, or None. torch's own download folder is looked at too."""
    if row.source == "bundled":
        candidates = [BUNDLED_ROOT / row.file]
    else:
        candidates = [
            weights_root() / row.file,
            Path(torch.hub.get_dir()) / "checkpoints" / row.file,
        ]
    return next((path for path in candidates if path.is_file()), None)


@functools.lru_cache(maxsize=32)
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    return file_sha256(path)


def _checked_sha256(path: Path, prefix: str) -> str:
    stat = path.stat()
    sha256 = _sha256(path, stat.st_size, stat.st_mtime_ns)
    if not sha256.startswith(prefix):
        raise PlaygroundError(
            f"{path} is damaged: its SHA-256 starts with {sha256[:8]}, its name promises {prefix}. "
            f"Delete the file and run: python -m scripts.weights download imagenet"
        )
    return sha256


def resolve(network: str, source: str = "auto") -> Weights:
    """Choose the weights of a network.

    Args:
        network: a name of the table, such as "resnet50".
        source: one of ``SOURCES``.

    Raises:
        PlaygroundError: unknown source, or the file is not on this machine or is damaged.
    """
    if source.startswith("file:"):
        path = Path(source.removeprefix("file:")).expanduser()
        if not path.is_file():
            raise PlaygroundError(f"There is no weights file {path}.")
        return Weights(network, source, path, file_sha256(path))
    if source == "auto":
        for row in sorted(known(network), key=lambda row: SOURCES.index(row.source)):
            path_or_none = find(row)
            if path_or_none is not None:
                sha256 = _checked_sha256(path_or_none, row.hash_prefix)
                return Weights(network, row.source, path_or_none, sha256)
        source = "untrained"
    if source == "untrained":
        sha256 = hashlib.sha256(f"untrained {network} {SEED}".encode()).hexdigest()
        return Weights(network, "untrained", None, sha256)
    for row in known(network):
        if row.source == source:
            path_or_none = find(row)
            if path_or_none is None:
                mend = (
                    "Run: python -m scripts.weights download imagenet"
                    if row.url
                    else "This version of the project does not ship it; use imagenet or untrained."
                )
                raise PlaygroundError(
                    f"The {source} weights of {network} ({row.file}) are not on this machine. "
                    f"{mend}"
                )
            sha256 = _checked_sha256(path_or_none, row.hash_prefix)
            return Weights(network, source, path_or_none, sha256)
    legal = ["auto", *(row.source for row in known(network)), "untrained", "file:PATH"]
    raise PlaygroundError(
        f"{source!r} are no weights for {network}. Legal: {', '.join(dict.fromkeys(legal))}."
    )


def read_state(path: Path) -> dict[str, Tensor]:
    """Tensors of a checkpoint by name, without running code from it.

    Accepts safetensors, a plain state dict, and ``{"state_dict": …}``.
    """
    try:
        if path.suffix == ".safetensors":
            return {k: v.float() for k, v in safetensors.torch.load_file(path).items()}
        loaded: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (
        RuntimeError,
        ValueError,
        EOFError,
        OSError,
        pickle.UnpicklingError,
        safetensors.SafetensorError,
    ) as error:
        raise PlaygroundError(
            f"{path} cannot be read as a checkpoint ({type(error).__name__}: "
            f"{str(error).splitlines()[0][:200] if str(error) else 'no details'}). It is damaged "
            f"or of another kind; legal: .safetensors, or .pth with nothing but tensors in it."
        ) from None
    if isinstance(loaded, dict) and isinstance(loaded.get("state_dict"), dict):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, dict) or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise PlaygroundError(f"{path} holds no state dict of tensors.")
    return {str(k): v for k, v in loaded.items()}


def load_into(module: nn.Module, state: dict[str, Tensor], origin: str) -> None:
    """Copy a state dict into a module; every tensor must be there with its shape.

    Raises:
        PlaygroundError: naming the file and the tensors that are missing, left over or misshapen.
    """
    wanted = module.state_dict()
    # Old checkpoints lack BatchNorm's counter, which inference does not use.
    missing = [k for k in wanted if k not in state and not k.endswith("num_batches_tracked")]
    extra = [k for k in state if k not in wanted]
    misshapen = [
        f"{k} {tuple(state[k].shape)} instead of {tuple(wanted[k].shape)}"
        for k in wanted
        if k in state and state[k].shape != wanted[k].shape
    ]
    if missing or extra or misshapen:
        parts = [
            f"{what}: {', '.join(names[:5])}"
            + (f" and {len(names) - 5} more" if len(names) > 5 else "")
            for what, names in (
                ("missing", missing),
                ("not expected", extra),
                ("of another shape", misshapen),
            )
            if names
        ]
        raise PlaygroundError(
            f"{origin} does not fit the network {type(module).__name__}. Tensors "
            f"{'; '.join(parts)}. Use a checkpoint of this architecture."
        )
    module.load_state_dict(state, strict=False)


def seeded(build: Callable[[], nn.Module]) -> nn.Module:
    """Build a module whose random initialisation does not depend on, or change, global state."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return build()
