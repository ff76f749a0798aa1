"""MATLAB files are read by a child process: a crash of the reader is a sentence."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io

from data import matfile
from data.descriptors import open_matrix
from data.errors import PlaygroundError


def test_a_variable_comes_back_as_it_was(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    scipy.io.savemat(tmp_path / "a.mat", {"X": values, "text": "words"})
    read = matfile.read(tmp_path / "a.mat", "X")
    assert read.dtype == np.float32 and np.array_equal(read, values)
    with pytest.raises(matfile.MatError, match="KeyError"):
        matfile.read(tmp_path / "a.mat", "Y")


def test_a_reader_that_dies_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scipy.io.savemat(tmp_path / "a.mat", {"X": np.ones((3, 4))})
    real = subprocess.run

    def dies(command: Any, **more: Any) -> Any:
        killed = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
        return real([command[0], "-c", killed], **more)

    monkeypatch.setattr(subprocess, "run", dies)
    with pytest.raises(PlaygroundError, match=r"damaged MATLAB file \(its reader died\)"):
        open_matrix(tmp_path / "a.mat", count=3, key="X")
