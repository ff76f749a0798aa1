"""Pooling of a convolutional feature map into one vector.

All functions take X (B, C, H, W), non-negative, and give (B, C), not normalised unless said. They
take a NumPy array or a torch tensor, and give the same: a process that only searches needs no
torch.
Reference: Radenovic, Tolias, Chum: Fine-tuning CNN image retrieval with no human annotation,
TPAMI 2019; R-MAC: Tolias, Sicre, Jegou, ICLR 2016.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from fractions import Fraction
from typing import Any

import numpy as np

Array = Any  # float32, of NumPy or of torch
EPS = 1e-6
SAFE_P = 6.0  # of GeM: neither EPS^p nor an activation of a million to it leaves float32's range
R_MAC_OVERLAP = Fraction(2, 5)  # wanted overlap of neighbouring regions
POOLINGS = ("gem", "mac", "spoc", "rmac")
R_MAC_RULE = 2  # of ``r_mac_regions``; 1 was not exact where two overlaps are equally near


_HELD: ContextVar[bool] = ContextVar("held_norms", default=False)


@contextlib.contextmanager
def held_norms() -> Iterator[None]:
    """Inside it ``l2n`` divides by a number that has no gradient.

    A normalised vector is then linear in what was normalised, so that activation times gradient,
    summed, is the vector again (see ``cnn.GlobalNetwork.trace``). The values stay as they are.
    """
    token = _HELD.set(True)
    try:
        yield
    finally:
        _HELD.reset(token)


def l2n(x: Array, eps: float = EPS) -> Array:
    """x / (|x|_2 + eps) over the channel axis (1)."""
    if isinstance(x, np.ndarray):
        return x / (np.linalg.norm(x, axis=1, keepdims=True) + np.float32(eps))
    norm = x.norm(p=2, dim=1, keepdim=True)
    return x / ((norm.detach() if _HELD.get() else norm) + eps)


def linear(x: Array, weight: Array, bias: Array) -> Array:
    """(B, C) -> (B, d): x W^T + b."""
    if isinstance(x, np.ndarray):
        # One vector at a time: waking NumPy's BLAS threads takes 30 times as long as the product.
        return np.einsum("bc,dc->bd", x, weight) + bias
    return x @ weight.T + bias


def gem(x: Array, p: Array | float = 3.0, eps: float = EPS) -> Array:
    """Generalised mean: (mean max(x, eps)^p)^(1/p); p = 1 is SPoC, p -> inf is MAC."""
    x = x.clip(min=eps)
    if (p if isinstance(p, int | float) else p.item()) <= SAFE_P:
        return (x**p).mean(axis=(2, 3)) ** (1.0 / p)
    # The same of x / its maximum, times it: no power leaves float32's range.
    if isinstance(x, np.ndarray):
        largest = x.max(axis=(2, 3), keepdims=True)
    else:
        largest = x.detach().amax(dim=(2, 3), keepdim=True)
    return ((x / largest) ** p).mean(axis=(2, 3)) ** (1.0 / p) * largest[:, :, 0, 0]


def spoc(x: Array) -> Array:
    """Average (sum-pooled convolutional features; Babenko and Lempitsky, ICCV 2015)."""
    return x.mean(axis=(2, 3))


def mac(x: Array) -> Array:
    """Maximum activation of convolutions."""
    return x.max(axis=(2, 3)) if isinstance(x, np.ndarray) else x.amax(dim=(2, 3))


def _extra_steps(width: int, height: int) -> tuple[int, int]:
    """Regions beyond one, along (x, y), so that the overlap is nearest to 0.4."""
    if width == height:
        return 0, 0
    short, long = min(width, height), max(width, height)

    def distance(steps: int) -> Fraction:
        # Exact, as sides of 5:9 and others tie: the fewest steps are taken then.
        overlap = 1 - Fraction(long - short, short * (steps - 1))
        return abs(overlap - R_MAC_OVERLAP)

    extra = min(range(2, 8), key=distance) - 1
    return (extra, 0) if width > height else (0, extra)


def r_mac_regions(width: int, height: int, levels: int = 3) -> list[tuple[int, int, int]]:
    """Square regions (x, y, side) in cells of the feature map, without the whole map."""
    extra_x, extra_y = _extra_steps(width, height)
    regions = []
    for level in range(1, levels + 1):
        side = math.floor(2 * min(width, height) / (level + 1))
        if side == 0:
            continue
        half = math.floor(side / 2 - 1)

        def starts(length: int, extra: int, side: int = side, half: int = half) -> list[int]:
            count = level + extra  # noqa: B023 (called within this turn of the loop only)
            stride = (length - side) / (count - 1) if count > 1 else 0.0
            return [math.floor(half + i * stride) - half for i in range(count)]

        regions += [(x, y, side) for y in starts(height, extra_y) for x in starts(width, extra_x)]
    return regions


def region_vectors(x: Array, pooled: Callable[[Array], Array]) -> list[Array]:
    """The whole map and R-MAC's regions of it, each pooled and L2-normalised: (B, C) each."""
    parts = [
        x[:, :, top : top + side, left : left + side]
        for left, top, side in r_mac_regions(x.shape[3], x.shape[2])
    ]
    return [l2n(pooled(part)) for part in (x, *parts)]


def rmac(x: Array) -> Array:
    """Sum of the L2-normalised MACs of the regions and of the whole map."""
    return sum(region_vectors(x, mac))


def whitened(
    x: Array, pooled: Callable[[Array], Array], layer: Callable[[Array], Array], regional: bool
) -> Array:
    """Pool, L2, a learned layer, L2: (B, C, H, W) -> (B, d).

    Regional: so for the whole map and each region of R-MAC, then their sum, L2-normalised: R-MAC
    with learned whitening where ``pooled`` is ``mac`` (Gordo et al., IJCV 2017; cirtorch's
    ``Rpool``).
    """
    if not regional:
        return l2n(layer(l2n(pooled(x))))
    return l2n(sum(l2n(layer(one)) for one in region_vectors(x, pooled)))


def rule_of(kind: str, regional: bool = False) -> dict[str, int]:
    """What an extractor's identity says besides the name of its pooling."""
    return {"r_mac_rule": R_MAC_RULE} if regional or kind == "rmac" else {}


def pool(x: Array, kind: str, p: Array | float = 3.0) -> Array:
    """Pool by name (one of ``POOLINGS``); GeM alone has an exponent."""
    if kind == "gem":
        return gem(x, p)
    return {"mac": mac, "spoc": spoc, "rmac": rmac}[kind](x)
