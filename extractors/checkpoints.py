"""Reading checkpoints that others wrote, without running code from them.

Formats: safetensors; torchvision's plain state dicts; and the files of Radenovic et al.
(``{"state_dict", "meta", …}``; cirtorch ``examples/test.py``) and of SOLAR, which have the same
form. Their ``meta`` holds numpy arrays, which ``torch.load(weights_only=True)`` refuses: exactly
numpy's functions that rebuild an array are allowed here, nothing else.
"""

from __future__ import annotations

import dataclasses
import pickle
import re
import struct
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from numpy._core import multiarray
from numpy.typing import NDArray
from torch import Tensor

from data import kinds
from data.errors import PlaygroundError
from data.names import printable

# numpy 1 wrote "numpy.core" into a pickle, numpy 2 writes "numpy._core".
_NUMPY: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    np.ndarray,
    np.dtype,
    (multiarray._reconstruct, "numpy.core.multiarray._reconstruct"),
    (multiarray._reconstruct, "numpy._core.multiarray._reconstruct"),
    (multiarray.scalar, "numpy.core.multiarray.scalar"),
    (multiarray.scalar, "numpy._core.multiarray.scalar"),
    # The types of the dtypes that such an array may have: no objects among them.
    *(type(np.dtype(kind)) for kind in (np.float32, np.float64, np.int32, np.int64, np.bool_)),
]
_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")  # what torch says that a pickle asks for
_allowing = threading.Lock()  # torch's list of allowed functions is one for the whole process
_SAFETENSORS_HEADER = 100_000_000  # bytes; the format's own limit
_DEPTH = 8  # of containers in ``meta``


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What a file holds: tensors by name, and what is said about the network."""

    state: dict[str, Tensor]
    meta: dict[str, Any]  # plain values and numeric numpy arrays; empty where the file has none


@dataclasses.dataclass(frozen=True)
class Whitening:
    """Learned whitening, for vectors in rows: y = (x - m) P^T, then L2."""

    m: Tensor  # (D,) float32
    P: Tensor  # (d, D) float32, d <= D; the first rows matter most


@dataclasses.dataclass(frozen=True)
class RetrievalMeta:
    """The checked ``meta`` of a retrieval network."""

    architecture: str
    pooling: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    whitening: bool  # a fully connected layer inside the network
    lw: dict[str, dict[str, Whitening]]  # training set -> "ss" or "ms" -> Lw
    regional: bool = False  # regions are pooled and whitened, then summed
    local_whitening: bool = False  # cells are whitened before pooling


def read(path: Path) -> Checkpoint:
    """Read a checkpoint; tensors come as they were saved (safetensors as float32).

    Raises:
        PlaygroundError: damaged, of another kind, or with anything but tensors, numbers, texts
            and numeric arrays in it. Nothing of the file is run.
    """
    try:
        if is_safetensors(path):
            tensors = safetensors.torch.load_file(path)
            return Checkpoint({k: v.float() for k, v in tensors.items()}, {})
        with _allowing, torch.serialization.safe_globals(_NUMPY):
            loaded: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (
        # All that a damaged or hostile pickle has been seen to raise in torch's reader.
        RuntimeError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        AssertionError,
        EOFError,
        OSError,
        MemoryError,
        OverflowError,
        struct.error,
        pickle.UnpicklingError,
        safetensors.SafetensorError,
    ) as error:
        raise PlaygroundError(
            f"{printable(str(path))} cannot be read as a checkpoint: {_what_it_is(path, error)}. "
            f"Legal: .safetensors, or .pth with nothing but tensors, numbers and texts in it. Get "
            f"the file again."
        ) from None
    meta: Any = {}
    if isinstance(loaded, dict) and isinstance(loaded.get("state_dict"), dict):
        meta = loaded.get("meta", {})
        loaded = loaded["state_dict"]
    if not isinstance(loaded, dict) or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise PlaygroundError(f"{path} holds no state dict of tensors.")
    if not isinstance(meta, dict) or not _plain(meta):
        raise PlaygroundError(
            f"{path} has a 'meta' with more than texts, numbers and numeric arrays in it. It is "
            f"damaged or of another kind."
        )
    return Checkpoint({str(k): v for k, v in loaded.items()}, meta)


def _what_it_is(path: Path, error: Exception) -> str:
    """In our words: torch's own advise to trust the file."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, MemoryError):
        return "there is not enough memory"
    try:
        with open(path, "rb") as handle:
            head = handle.read(kinds.HEAD)
    except OSError:
        head = b""
    if not head:
        return "the file is empty"
    words = kinds.in_words(head)
    # torch writes zip archives and pickles: these are of the right kind, but for what is inside.
    inside = words in ("a zip archive", "a Python pickle")
    if isinstance(error, pickle.UnpicklingError) and (inside or words is None):
        named = _GLOBAL.search(str(error))
        what = f" ({printable(named[1])[:100]})" if named else ""
        return f"it holds more than plain data{what}, or is damaged"
    if words is None or inside or isinstance(error, safetensors.SafetensorError):
        return "it is damaged or cut short"
    return f"it is {words}"


def retrieval_meta(checkpoint: Checkpoint, origin: str) -> RetrievalMeta:
    """Check the ``meta`` of a retrieval network (facts: cirtorch ``examples/test.py``).

    Raises:
        PlaygroundError: naming ``origin`` and the field that is missing or not possible.
    """
    meta = checkpoint.meta

    def refuse(field: str, legal: str) -> PlaygroundError:
        value = "missing" if field not in meta else f"{str(meta[field])[:60]!r}"
        return PlaygroundError(
            f"{origin} is no checkpoint of a retrieval network: its meta's '{field}' is {value}. "
            f"Legal: {legal}."
        )

    for field in ("architecture", "pooling"):
        if not isinstance(meta.get(field), str):
            raise refuse(field, "a text")
    for field in ("regional", "local_whitening", "whitening"):
        if not isinstance(meta.get(field, False), bool | np.bool_):
            raise refuse(field, "true or false")
    mean, std = _three(meta.get("mean")), _three(meta.get("std"))
    if mean is None:
        raise refuse("mean", "three numbers")
    if std is None or min(std) <= 0:
        raise refuse("std", "three numbers above 0")
    lw = meta.get("Lw", {})
    if not isinstance(lw, dict):
        raise refuse("Lw", "a dictionary by training set")
    return RetrievalMeta(
        meta["architecture"],
        meta["pooling"],
        mean,
        std,
        bool(meta.get("whitening", False)),
        {str(name): _whitenings(entry, origin) for name, entry in lw.items()},
        bool(meta.get("regional", False)),
        bool(meta.get("local_whitening", False)),
    )


def _whitenings(entry: Any, origin: str) -> dict[str, Whitening]:
    if not isinstance(entry, dict):
        raise _refuse_lw(origin)
    found = {}
    for setting in ("ss", "ms"):
        value = entry.get(setting)
        if value is None:
            continue
        if not isinstance(value, dict):
            raise _refuse_lw(origin)
        m, p = _numbers(value.get("m")), _numbers(value.get("P"))
        if m is None or p is None or p.ndim != 2 or p.shape[0] > p.shape[1]:
            raise _refuse_lw(origin)
        if m.shape not in ((p.shape[1], 1), (p.shape[1],)):
            raise _refuse_lw(origin)
        found[setting] = Whitening(
            torch.from_numpy(m.reshape(-1).astype(np.float32)),
            torch.from_numpy(np.ascontiguousarray(p, np.float32)),
        )
    return found


def _refuse_lw(origin: str) -> PlaygroundError:
    return PlaygroundError(
        f"{origin} has a learned whitening (meta's 'Lw') that is not possible. Legal: by training "
        f"set, 'ss' and 'ms' with 'm' (D, 1) and 'P' (d, D), d at most D, finite."
    )


def _numbers(value: Any) -> NDArray[Any] | None:
    """A finite floating-point array from numpy or torch; None for anything else."""
    if isinstance(value, Tensor):
        value = value.detach().float().numpy()
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or not value.size:
        return None
    return value if np.isfinite(value).all() else None


def _three(value: Any) -> tuple[float, float, float] | None:
    if isinstance(value, np.ndarray | Tensor):
        value = value.tolist()
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 3:
        return None
    if not all(isinstance(v, int | float | np.floating) and np.isfinite(v) for v in value):
        return None
    return float(value[0]), float(value[1]), float(value[2])


def _plain(value: Any, depth: int = 0) -> bool:
    if depth > _DEPTH:
        return False
    if isinstance(value, dict):
        return all(isinstance(k, str | int) and _plain(v, depth + 1) for k, v in value.items())
    if isinstance(value, list | tuple):
        return all(_plain(v, depth + 1) for v in value)
    if isinstance(value, np.ndarray | np.generic):
        return value.dtype.kind in "fiub"
    return value is None or isinstance(value, str | int | float | bytes | Tensor)


def is_safetensors(path: Path) -> bool:
    """By the name or by the first bytes: an imported file keeps the name of the table."""
    if path.suffix == ".safetensors":
        return True
    with open(path, "rb") as handle:
        head = handle.read(9)
    return (
        len(head) == 9
        and head[8:] == b"{"
        and struct.unpack("<Q", head[:8])[0] < _SAFETENSORS_HEADER
    )
