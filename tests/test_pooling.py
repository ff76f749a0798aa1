"""Pooling against hand-computable vectors and an independent formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import resnet50

from extractors import registry
from extractors.delf import TAPS
from extractors.modules import GeM
from extractors.pooling import gem, l2n, mac, pool, r_mac_regions, rmac, spoc


def four_cells() -> torch.Tensor:
    return torch.tensor([[1.0, 2.0], [3.0, 4.0]]).view(1, 1, 2, 2)


@pytest.mark.parametrize(("p", "expected"), [(3.0, 2.9240177), (1.0, 2.5)])
def test_gem_golden_vectors(p: float, expected: float) -> None:
    assert float(gem(four_cells(), p)) == pytest.approx(expected, abs=1e-6)


def test_gem_tends_to_the_maximum() -> None:
    assert float(gem(four_cells().double(), 300.0)) == pytest.approx(4.0, abs=0.02)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e3])
@pytest.mark.parametrize("p", [6.5, 40.0, 100.0])
def test_gem_of_a_large_exponent_is_finite_for_small_and_large_maps(p: float, scale: float) -> None:
    x = np.random.default_rng(0).uniform(0, scale, (2, 3, 4, 5))
    x[1, 2] = 0  # a dead channel
    clipped = np.maximum(x, 1e-6)
    expected = np.exp(np.logaddexp.reduce(p * np.log(clipped), axis=(2, 3)) / p - np.log(20) / p)
    found = gem(x.astype(np.float32), p)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    tensor = torch.from_numpy(x).float().requires_grad_()
    exponent = torch.tensor([p], requires_grad=True)
    pooled = gem(tensor, exponent)
    np.testing.assert_allclose(pooled.detach().numpy(), expected, rtol=1e-5)
    pooled.sum().backward()
    assert bool(torch.isfinite(tensor.grad).all() and torch.isfinite(exponent.grad).all())
    # Homogeneous of degree 1, above the floor: activation times slope sums to the value (Euler).
    live = (tensor * tensor.grad).sum(dim=(2, 3)).detach().numpy()
    np.testing.assert_allclose(live[0], expected[0], rtol=1e-3)


@pytest.mark.parametrize("p", [1.0, 3.0, 6.0])
def test_usual_exponents_give_what_the_formula_gives_to_the_last_bit(p: float) -> None:
    x = np.random.default_rng(1).uniform(0, 9, (2, 3, 4, 5)).astype(np.float32)
    plain = (np.maximum(x, np.float32(1e-6)) ** p).mean(axis=(2, 3)) ** (1.0 / p)
    assert np.array_equal(gem(x, p), plain)


def test_gem_of_one_is_spoc_and_mac_is_the_maximum() -> None:
    x = torch.rand(2, 5, 7, 4)
    assert torch.allclose(gem(x, 1.0), spoc(x), atol=1e-6)
    assert torch.equal(mac(x), x.flatten(2).max(dim=2).values)


def test_gem_layer_has_one_learnable_exponent_of_three() -> None:
    layer = GeM()
    assert layer.p.shape == (1,)
    assert layer.p.item() == 3.0
    layer(torch.rand(1, 2, 3, 3)).sum().backward()
    assert layer.p.grad is not None


def test_r_mac_regions_of_a_square_map() -> None:
    # L = 3 on a square map: 1, 4 and 9 regions of sides 8, 5 and 4.
    regions = r_mac_regions(8, 8)
    assert [side for _, _, side in regions] == [8] + [5] * 4 + [4] * 9
    assert all(0 <= x <= 8 - side and 0 <= y <= 8 - side for x, y, side in regions)


@pytest.mark.parametrize(("width", "height"), [(20, 15), (15, 20), (9, 31), (3, 2), (1, 1)])
def test_r_mac_regions_lie_inside(width: int, height: int) -> None:
    regions = r_mac_regions(width, height)
    assert all(x + side <= width and y + side <= height for x, y, side in regions)
    assert all(x >= 0 and y >= 0 and side >= 1 for x, y, side in regions)


@pytest.mark.parametrize(
    ("short", "long", "along"),
    # With w the short side, l the long one and s steps, |0.6 - (l - w) / (w (s - 1))| is the same
    # for two s; the smaller one leaves so many regions along the long side at level 1.
    [(5, 9, 2), (10, 18, 2), (9, 33, 5), (3, 11, 5), (11, 47, 6), (25, 45, 2)],
)
def test_r_mac_takes_the_fewest_regions_where_overlaps_tie(
    short: int, long: int, along: int
) -> None:
    for width, height, axis in ((long, short, 0), (short, long, 1)):
        largest = [one for one in r_mac_regions(width, height, levels=1) if one[2] == short]
        assert len(largest) == along
        assert len({one[axis] for one in largest}) == along


def test_r_mac_is_the_sum_of_normalised_maxima() -> None:
    x = torch.rand(1, 6, 15, 20)
    array = x[0].numpy()
    total = np.zeros(6)
    for left, top, side in [(0, 0, None), *r_mac_regions(20, 15)]:
        region = array if side is None else array[:, top : top + side, left : left + side]
        maxima = region.max(axis=(1, 2))
        total += maxima / (np.linalg.norm(maxima) + 1e-6)
    assert np.allclose(rmac(x)[0].numpy(), total, atol=1e-5)


@pytest.mark.parametrize("kind", ["gem", "mac", "spoc", "rmac"])
def test_pool_by_name_gives_one_vector(kind: str) -> None:
    out = l2n(pool(torch.rand(2, 16, 5, 7), kind))
    assert out.shape == (2, 16)
    assert torch.allclose(out.norm(dim=1), torch.ones(2), atol=1e-4)


def test_delf_names_the_receptive_field_of_torchvision_s_conv4_x() -> None:
    """A layer of kernel k widens it by (k - 1) x the stride so far."""
    field, stride = 1, 1
    trunk = TAPS["resnet50"].cut(nn.Sequential(*list(resnet50(weights=None).children())[:-2]))
    for name, layer in trunk.named_modules():
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d) and "downsample" not in name:
            kernel, step = (
                one if isinstance(one, int) else one[0] for one in (layer.kernel_size, layer.stride)
            )
            field += (kernel - 1) * stride
            stride *= step
    assert (TAPS["resnet50"].patch, TAPS["resnet50"].stride) == (field, stride) == (267, 16)
    assert registry.create("delf:trunk=resnet50", weights="untrained").identity()["patch"] == 267
    assert "patch" not in registry.create("delf", weights="untrained").identity()


def test_r_mac_s_rule_is_part_of_what_identifies_the_vectors() -> None:
    for spec, named in (("resnet50:pooling=rmac", True), ("vgg16", False), ("resnet50", False)):
        assert ("r_mac_rule" in registry.create(spec, weights="untrained").identity()) == named
