"""Networks as OpenVINO reads them, converted once for their weights and config, then kept.

Converting takes torch, which costs a process some seconds and hundreds of MB; reading what was
converted takes neither. ``networks/`` of the home holds them, with what follows a network as
arrays; deleting it costs the time to convert again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from data import artefact, child, paths
from data.errors import PlaygroundError
from extractors.runtime import convert

if TYPE_CHECKING:
    from torch import nn

_FORMAT = 1
_GRAPH, _WEIGHTS, _HEAD = "network.xml", "network.bin", "head.safetensors"
# OpenVINO's own cache repeats the weights. It saves what compiling a graph of many small layers
# takes (EfficientNet-Lite0, 13 MB: 0.10 instead of 0.25 CPU s), and nothing beside large ones
# (ResNet50, 94 MB: 0.07 and 0.09).
_CACHED_BYTES = 32_000_000
_LONGEST_S = 600  # of a conversion in another process: some 3 s on a quiet machine


@dataclasses.dataclass(frozen=True)
class Converted:
    """A network and what follows it.

    Attributes:
        model: an ``openvino.Model``.
        cache: where OpenVINO may keep what it compiles of it; None: nowhere.
    """

    model: Any
    head: dict[str, NDArray[Any]]
    cache: Path | None


def find(key: dict[str, Any]) -> Converted | None:
    """What was kept for a key (JSON-able); None where there is nothing usable."""
    import openvino

    folder = _folder(key)
    manifest = artefact.usable_manifest(folder, "network")
    if manifest is None:
        return None
    try:
        graph, weights, arrays = (
            artefact.file_path(folder, manifest, one, "") for one in (_GRAPH, _WEIGHTS, _HEAD)
        )
        model = openvino.Core().read_model(graph, weights)
        head = safetensors.numpy.load_file(arrays)
        small = weights.stat().st_size <= _CACHED_BYTES
    except (PlaygroundError, OSError, RuntimeError, safetensors.SafetensorError):
        return None  # damaged: it is converted again
    return Converted(model, head, folder / "compiled" if small else None)


def keep(key: dict[str, Any], module: nn.Module, head: dict[str, NDArray[Any]]) -> Converted:
    """Convert a module in evaluation mode and keep it, where the home can be written."""
    import openvino
    import torch

    model = convert(module, torch.zeros(1, 3, 224, 224))
    folder = _folder(key)
    doing = "Keeping a converted network"
    # A full or read-only disk, or another process that does the same: it is not kept.
    with (
        contextlib.suppress(PlaygroundError, OSError),
        artefact.explain_os_errors(doing),
        artefact.exclusive(folder, doing),
        tempfile.TemporaryDirectory(dir=folder) as made,
    ):
        graph = Path(made) / _GRAPH
        openvino.save_model(model, graph, compress_to_fp16=False)
        writers = {
            _GRAPH: lambda path: _move(graph, path),
            _WEIGHTS: lambda path: _move(graph.with_suffix(".bin"), path),
            _HEAD: lambda path: safetensors.numpy.save_file(head, path),
        }
        artefact.save(folder, {"kind": "network", "of": key}, writers)
    # What is kept is read again: this process computes exactly what others will.
    return find(key) or Converted(model, head, None)


def elsewhere(spec: str, weights: str) -> None:
    """Convert an extractor's network in a process of its own, as this one would keep what torch
    takes until it ends; where that fails, nothing is kept."""
    with contextlib.suppress(PlaygroundError, child.Died, RuntimeError):
        request = {"spec": spec, "weights": weights}
        child.once("extractors.converted:convert_here", request, seconds=_LONGEST_S)


def convert_here(request: dict[str, Any], _: bytes) -> child.Frame:
    """``elsewhere``, in the process of its own."""
    import torch  # noqa: F401  (who has it converts)

    from extractors import registry

    registry.create(request["spec"], request["weights"]).load()
    return {}, b""


def _move(source: Path, target: Path) -> None:
    source.replace(target)


def _folder(key: dict[str, Any]) -> Path:
    everything = {**key, "format": _FORMAT, "openvino": version("openvino")}
    return paths.networks_root() / f"{key['extractor']}-{artefact.digest(everything)[:16]}"
