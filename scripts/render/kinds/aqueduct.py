"""Aqueducts."""

from __future__ import annotations

from dataclasses import replace

from ..kit import Kit, Opening
from .parts import PI, Rng, pick


def build(k: Kit, g: Rng) -> str:
    """Row of tall arches in one to three tiers, broken off at one end in some."""
    tiers, bays = int(g.integers(1, 4)), int(g.integers(6, 11))
    span, depth = g.uniform(5.5, 8.0), g.uniform(2.6, 4.0)
    low, kind = span * g.uniform(1.2, 2.0), pick(g, "round", "round", "gothic")
    broken = g.random() < 0.5
    heights = [low] + [low * g.uniform(0.55, 0.8) for _ in range(tiers - 1)]
    half, z = bays * span / 2, 0.0
    for i, h in enumerate(heights):
        inset = 0.25 * i
        double = 2 if (i and i == tiers - 1 and g.random() < 0.5) else 1
        n = bays - (2 if broken and i else 0)
        x0, x1, d = -half, -half + n * span, depth / 2 - inset
        share = g.uniform(0.66, 0.76) if double == 1 else 0.6
        arch = Opening(kind, share, 0.9, 2 * d, None, None, sill=0, up=0)
        with k.at(x0, -d):
            k.wall(x1 - x0, h, "wall", n * double, 1, arch, z)
        with k.at(x1, d, 0, PI):
            k.wall(x1 - x0, h, "wall", n * double, 1, replace(arch, depth=0.0), z)
        for x in (x0, x1):
            k.box(x - 0.02, -d, z, x + 0.02, d, z + h, "wall")
        z += h
        k.band(x0, -d, x1, d, z - 0.35, 0.5, 0.3, "trim")
        if i == 0 or g.random() < 0.5:  # impost blocks and cutwaters at the piers
            for j in range(n + 1):
                x = x0 + j * span
                k.box(
                    x - span * 0.13,
                    -d - 0.4,
                    z - h,
                    x + span * 0.13,
                    d + 0.4,
                    z - h * 0.55,
                    "wall2",
                )
        for j in range(n):  # keystones
            if double == 1:
                x = x0 + (j + 0.5) * span
                k.box(x - 0.35, -d - 0.16, z - h * 0.115, x + 0.35, -d + 0.1, z - 0.4, "trim")
    k.box(x0, -d, z, x1, -d + 0.5, z + 1.3, "wall")
    k.box(x0, d - 0.5, z, x1, d, z + 1.3, "wall")
    k.band(x0, -d, x1, d, z + 1.3, 0.3, 0.15, "trim")
    note = f"{tiers} tier{'s' if tiers > 1 else ''}, {bays} arches{', broken' if broken else ''}"
    return note
