"""A variable of a MATLAB file, read in a process of its own.

    python -m data.matfile FILE KEY OUT.npy   (started by ``read``)

scipy's reader ends the process on some damaged files; so only the child dies.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.paths import PROJECT_ROOT

_REFUSED = 3  # exit status: the last line on stderr names the kind of exception


class MatError(Exception):
    """Why the file cannot be read, in a word."""


def read(path: Path, key: str) -> NDArray[Any]:
    """The variable as an array of numbers.

    Raises:
        MatError: damaged, or not an array of numbers.
        MemoryError: it does not fit into memory.
    """
    with tempfile.TemporaryDirectory(prefix="mat-") as folder:
        out = Path(folder) / "variable.npy"
        command = [sys.executable, "-m", "data.matfile", str(path.resolve()), key, str(out)]
        done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True)
        if done.returncode == 0:
            array: NDArray[Any] = np.load(out, allow_pickle=False)
            return array
        if done.returncode != _REFUSED:
            raise MatError("its reader died")
        kind = (done.stderr.strip().splitlines() or ["unknown"])[-1]
        if kind == MemoryError.__name__:
            raise MemoryError
        raise MatError(kind)


def main(path: str, key: str, out: str) -> int:
    import scipy.io

    try:
        array = np.asarray(scipy.io.loadmat(path, variable_names=[key])[key])
        np.save(out, array, allow_pickle=False)
    except Exception as error:  # scipy raises anything for broken files
        print(type(error).__name__, file=sys.stderr)
        return _REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
