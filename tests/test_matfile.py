"""MATLAB files are read by a child process: a crash of the reader is a sentence."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io

from data import child, matfile
from data.descriptors import open_matrix
from data.errors import PlaygroundError


@pytest.fixture(autouse=True)
def own_worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    workers = child.Workers("data.matfile:answer", 1)
    monkeypatch.setattr(matfile, "_workers", workers)
    yield
    workers.close()


def test_a_variable_comes_back_as_it_was(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    scipy.io.savemat(tmp_path / "a.mat", {"X": values, "text": "words"})
    read = matfile.read(tmp_path / "a.mat", "X")
    assert read.dtype == np.float32 and np.array_equal(read, values)
    with pytest.raises(matfile.MatError, match="KeyError"):
        matfile.read(tmp_path / "a.mat", "Y")


def test_a_reader_that_dies_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scipy.io.savemat(tmp_path / "a.mat", {"X": np.ones((3, 4))})
    killed = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    monkeypatch.setattr(child, "COMMAND", (sys.executable, "-c", killed))
    with pytest.raises(PlaygroundError, match=r"no MATLAB file \(its reader died\)"):
        open_matrix(tmp_path / "a.mat", count=3, key="X")


def test_one_process_answers_until_it_dies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    running: list[child.Child] = []
    real = child.Child.__init__

    def start(self: child.Child, *given: Any) -> None:
        started.append(given[0])
        running.append(self)
        real(self, *given)

    monkeypatch.setattr(child.Child, "__init__", start)
    scipy.io.savemat(tmp_path / "a.mat", {"X": np.ones((3, 4))})
    (tmp_path / "b.mat").write_bytes((tmp_path / "a.mat").read_bytes()[:150])
    assert matfile.read(tmp_path / "a.mat", "X").shape == (3, 4)
    with pytest.raises(matfile.MatError):
        matfile.read(tmp_path / "b.mat", "X")
    assert matfile.read(tmp_path / "a.mat", "X").shape == (3, 4)
    assert started == ["data.matfile:answer"]
    with monkeypatch.context() as patch:
        patch.setattr(matfile, "SECONDS", 0.1)
        os.kill(running[-1]._process.pid, signal.SIGSTOP)  # so it is killed before it answers
        with pytest.raises(matfile.MatError, match="its reader died"):
            matfile.variables(tmp_path / "a.mat")
    assert matfile.read(tmp_path / "a.mat", "X").shape == (3, 4)
    assert started == ["data.matfile:answer"] * 2


def test_the_shape_is_judged_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of some kilobytes may hold gigabytes of zeros."""
    path = tmp_path / "a.mat"
    zeros = np.zeros((3000, 3000))
    scipy.io.savemat(path, {"X": zeros, "C": np.array(["words"], object)}, do_compression=True)
    assert path.stat().st_size < zeros.nbytes / 100

    def read(path: Path, key: str) -> None:
        raise AssertionError("it was read")

    monkeypatch.setattr(matfile, "read", read)
    with pytest.raises(PlaygroundError, match="have 3000 numbers, needed are 512"):
        open_matrix(path, dim=512, layout="rows")
    with pytest.raises(PlaygroundError, match=r"holds cell of shape \(1, 1\)"):
        open_matrix(path, key="C")


def test_what_does_not_fit_into_memory_is_not_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scipy.io.savemat(tmp_path / "a.mat", {"X": np.ones((30, 40))})
    monkeypatch.setattr(matfile, "bytes_of", lambda shape, kind: 1 << 60)
    with pytest.raises(PlaygroundError, match="does not fit into memory"):
        open_matrix(tmp_path / "a.mat", count=30)
