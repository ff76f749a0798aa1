"""SOLAR's attention of a place, against what its block mixes in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from extractors import registry
from extractors.solar import SoaBlock, SolarFeatures


def test_the_weights_are_those_of_the_block() -> None:
    """x + v(weights h), with a v that does something."""
    torch.manual_seed(0)
    block = SoaBlock(8, 2).eval()
    nn.init.normal_(block.v.weight)
    x = torch.randn(1, 8, 3, 5)
    with torch.inference_mode():
        weights = block.weights(x)
        assert weights.shape == (1, 15, 15)
        assert torch.allclose(weights.sum(dim=2), torch.ones(1, 15), atol=1e-6)
        mixed = block.h(x).flatten(2) @ weights.transpose(1, 2)
        plain = x + block.v(mixed.reshape(1, -1, 3, 5))
        assert torch.allclose(block(x), plain, atol=1e-5)


def test_each_place_of_a_photo_has_its_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYGROUND_HOME", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    solar = registry.create("solar:image_size=128,scales=1", weights="untrained")
    photo = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    found = solar.attention(solar.prepare(photo))
    assert found.shape == (3, 4, 3, 4) and found.dtype == np.float32
    assert found.sum(axis=(2, 3)) == pytest.approx(np.ones((3, 4)), abs=1e-5)
    assert registry.attends("solar") and not registry.attends("resnet50")
    assert isinstance(solar._attending.module, SolarFeatures)  # type: ignore[attr-defined]
