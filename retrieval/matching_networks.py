"""The networks that match photos: kornia's, an optional package, with weights that are here.

Everything is imported and loaded at its first use, once per process.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from data.errors import PlaygroundError
from extractors.base import RGB
from extractors.weights import Weights, load_into, read_state, resolve, seeded


def require(method: str, *networks: str) -> None:
    """Refuse where a method's package or weights are not here.

    Raises:
        PlaygroundError: what is missing, how large it is, and the command that gets it.
    """
    if importlib.util.find_spec("kornia") is None:
        raise PlaygroundError(
            f"The re-ranker '{method}' needs the Python package kornia, which is not installed. "
            f"Run: pip install -r requirements-matching.txt"
        )
    for network in networks:
        weights(network)


def weights(network: str) -> Weights:
    """The network's weights on this machine; never untrained ones, which match nothing."""
    return resolve(network, fallback=False)


def loaded(
    network: str,
    build: Callable[..., nn.Module],
    *settings: Any,
    names: Callable[[str], str] | None = None,
) -> Any:
    """A network with its weights, ready for inference; shared, so never to be changed.

    Args:
        network: its name in the table of weights.
        build: called with ``settings``; a module's function, as what it gives is kept.
        names: from a tensor's name in the file to its name in the network; "" for one that the
            network does without.
    """
    found = weights(network)
    assert found.path is not None
    return _loaded(found.path, found.sha256, build, settings, names)


@functools.lru_cache(maxsize=8)
def _loaded(
    path: Path,
    sha256: str,
    build: Callable[..., nn.Module],
    settings: tuple[Any, ...],
    names: Callable[[str], str] | None,
) -> nn.Module:
    module = seeded(lambda: build(*settings))
    # Tables that follow from the settings are in some files and not in others.
    state = {name: tensor for name, tensor in module.state_dict().items() if name in _DERIVED}
    for name, tensor in read_state(path).items():
        new = name if names is None else names(name)
        if new:
            state[new] = tensor
    load_into(module, state, str(path))
    return module.eval().requires_grad_(False)


_DERIVED = {"confidence_thresholds", "dkd.hw_grid"}


def as_tensor(pixels: RGB) -> Tensor:
    """(1, 3, H, W) in 0..1."""
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
