"""The check against the originals' own code: what of it runs without their checkouts."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from scripts import console, parity


def test_a_folder_without_their_package_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert console.call(parity.main, ["--cirtorch", str(tmp_path)]) == 2
    assert f"no folder cirtorch in {tmp_path}" in capsys.readouterr().err


def test_the_losses_are_compared_with_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    def triplet_loss(x: torch.Tensor, label: torch.Tensor, margin: float) -> torch.Tensor:
        total = torch.zeros(())
        for start in range(0, x.shape[1], 7):
            q, p, *negatives = x[:, start : start + 7].T
            for n in negatives:
                total += functional.relu((q - p).square().sum() - (q - n).square().sum() + margin)
        return total

    module = types.ModuleType("theirs.layers.functional")
    module.triplet_loss = triplet_loss  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "theirs", types.ModuleType("theirs"))
    monkeypatch.setitem(sys.modules, "theirs.layers", types.ModuleType("theirs.layers"))
    monkeypatch.setitem(sys.modules, "theirs.layers.functional", module)
    (row,) = parity.tuple_losses("theirs", ("triplet",))
    assert row[2] < 1e-6
    module.triplet_loss = lambda x, label, margin: triplet_loss(x, label, margin) * 1.1  # type: ignore[attr-defined]
    (row,) = parity.tuple_losses("theirs", ("triplet",))
    assert row[2] > 1e-3


def test_the_difference_is_the_largest_of_all_cases() -> None:
    pairs = [(np.array([1.0, 0]), np.array([1.0, 0])), (np.array([0.6, 0.8]), np.array([0.8, 0.6]))]
    what, cases, worst, cosine = parity.difference("x", iter(pairs))
    assert (what, cases) == ("x", 2)
    assert worst == pytest.approx(0.2)
    assert cosine == pytest.approx(0.96)


def test_half_of_the_photos_are_cropped() -> None:
    found = list(parity.cases())
    assert sum(box is None for _, box in found) * 2 == len(found)
    for pixels, box in found:
        height, width = pixels.shape[:2]
        assert box is None or (0 <= box[0] < box[2] <= width and 0 <= box[1] < box[3] <= height)
