"""Variables of MATLAB files, read in a process of their own (see ``data.child``).

scipy's reader ends the process on some damaged files, and a small file may name a huge array: so
its shape is known before it is read, and what reading it takes is limited. The process is kept for
the next question: starting it takes far longer than most answers.
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from data import child
from data.errors import PlaygroundError

SECONDS = 600.0  # of reading one variable
_BASE = 400 << 20  # bytes that the reader takes for itself
_BYTES = {"double": 8, "single": 4, "int64": 8, "uint64": 8, "int32": 4, "uint32": 4}
REAL = frozenset([*_BYTES, "int16", "uint16", "int8", "uint8", "logical"])
"""Classes of arrays of real numbers; complex ones call themselves the same."""
_LARGEST = 8  # bytes of a number of any other kind

_workers = child.Workers("data.matfile:answer", 1)


class MatError(Exception):
    """Why the file cannot be read, in a word."""


class V73Error(MatError):
    """It is a MATLAB v7.3 file, which is HDF5."""


class _Refusal(PlaygroundError):  # noqa: N818 (crosses from the child)
    """The name of what scipy raised."""


def variables(path: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Name to shape and MATLAB class, from the headers alone; raises like ``read``."""
    answer, _ = _ask({"path": str(path.resolve())}, _BASE)
    return {name: (tuple(shape), kind) for name, shape, kind in answer["variables"]}


def bytes_of(shape: tuple[int, ...], kind: str) -> int:
    """What an array takes in memory."""
    return math.prod(shape) * _BYTES.get(kind, _LARGEST)


def read(path: Path, key: str) -> NDArray[Any]:
    """The variable as an array of numbers.

    Raises:
        V73Error: it is no MATLAB file of the versions that are read.
        MatError: damaged, or not an array of numbers.
        MemoryError: it does not fit into memory.
    """
    found = variables(path)
    if key not in found:
        raise MatError("KeyError")
    wanted = bytes_of(*found[key])
    if wanted > psutil.virtual_memory().available // 2:
        raise MemoryError
    with tempfile.TemporaryDirectory(prefix="mat-") as folder:
        out = Path(folder) / "variable.npy"
        request = {"path": str(path.resolve()), "key": key, "out": str(out)}
        _ask(request, _BASE + 3 * wanted)
        array: NDArray[Any] = np.load(out, allow_pickle=False)
        return array


def _ask(request: dict[str, Any], memory: int) -> child.Frame:
    try:
        return _workers.ask(request, memory=memory, seconds=SECONDS, errors={"_Refusal": _Refusal})
    except _Refusal as error:
        kind = str(error)
        raise (V73Error if kind == "NotImplementedError" else MatError)(kind) from error
    except child.OutOfMemory as error:
        raise MemoryError from error
    except child.Died as error:
        raise MatError("its reader died") from error


# In the process of its own


def answer(request: dict[str, Any], payload: bytes) -> child.Frame:
    """Save the variable ``key`` as ``out``; without a key, list what there is."""
    import scipy.io

    path = request["path"]
    try:
        if "key" not in request:
            return {"variables": scipy.io.whosmat(path)}, b""
        key = request["key"]
        array = np.asarray(scipy.io.loadmat(path, variable_names=[key])[key])
        np.save(request["out"], array, allow_pickle=False)
    except MemoryError:
        raise
    except Exception as error:  # scipy raises anything for broken files
        raise _Refusal(type(error).__name__) from error
    return {}, b""
