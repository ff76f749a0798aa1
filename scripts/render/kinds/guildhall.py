"""Rows of gabled guild houses."""

from __future__ import annotations

import math

from ..kit import Kit, Opening
from .parts import Rng, pick

SKINS = ("wall", "wall2", "stripe", "trim", "wall", "stone")


def build(k: Kit, g: Rng) -> str:
    """Row of tall gabled houses; the gables are stepped, curved or plain."""
    n = int(g.integers(3, 6))
    widths = g.uniform(7.5, 10.5, n)
    floors, base = int(g.integers(3, 5)), g.uniform(15, 18)
    kind = pick(g, "flat", "segment", "round")
    shape = pick(g, "stepped", "curved", "mixed")
    x = -widths.sum() / 2
    start = int(g.integers(len(SKINS)))
    for i, w in enumerate(widths):
        skin = SKINS[(start + i) % len(SKINS)]
        gable = pick(g, "stepped", "curved") if shape == "mixed" else shape
        with k.at(x, g.uniform(-0.3, 0.3)):
            _house(k, g, w, base * g.uniform(0.9, 1.1), floors, kind, skin, gable)
        x += w
    return f"{n} houses, {shape} gables"


def _house(
    k: Kit, g: Rng, w: float, h: float, floors: int, kind: str, skin: str, gable: str
) -> None:
    d, ground, cols = 13.0, h * 0.26, int(g.integers(2, 4))
    arcade = Opening("round", 0.66, 0.84, 1.2, "dark", "trim", 0, 0, sill=0, up=0)
    window = Opening(kind, 0.5, 0.66, 0.3, trim="trim", mullions=1, bars=2)
    k.block(0, 0, w, d, 0, ground, "stone", cols, 1, arcade, 1, "f")
    k.block(0, 0, w, d, ground, h, skin, cols, floors - 1, window, 4, "fb")
    for i in range(floors):
        z = ground + (h - ground) * i / (floors - 1) - 0.2
        k.box(-0.05, -0.3, z, w + 0.05, 0, z + 0.4, "trim")
    for i in range(cols + 1):
        x = w * i / cols
        k.box(x - 0.22, -0.2, ground, x + 0.22, 0.05, h, "trim")
    rise, m = w * g.uniform(0.62, 0.8), w / 2
    k.gable(0, w, 0.4, d, h, rise * 0.92, "roof", skin, 0.0)
    steps = 5 if gable == "stepped" else 9
    for i in range(steps):
        t = i / steps
        half = m * (1 - t)
        if gable == "curved":
            half = m * (1 - t) ** 0.7 * (1 - 0.16 * math.sin(9 * t))
        z0, z1 = h + rise * t, h + rise * (t + 1 / steps)
        k.box(m - half, -0.15, z0, m + half, 0.5, z1, skin)
        k.box(m - half - 0.2, -0.3, z1 - 0.2, m + half + 0.2, 0.6, z1, "trim")
        if gable == "stepped" or i in (0, 4):
            for s in (-1, 1):
                with k.at(m + s * (half - 0.3), 0.15, z1):
                    k.lathe([(0.25, 0), (0.1, 0.4), (0.26, 0.8), (0.02, 1.5)], 6, "trim")
    k.box(m - 0.5, -0.25, h + rise * 0.2, m + 0.5, 0, h + rise * 0.55, "trim")
    k.box(m - 0.36, -0.3, h + rise * 0.22, m + 0.36, 0, h + rise * 0.53, "glass")
    with k.at(m, 0.15, h + rise):
        k.statue(2.2, "gold" if g.random() < 0.4 else "trim")
    k.box(w * 0.7, d * 0.5, h, w * 0.7 + 0.8, d * 0.5 + 0.8, h + rise * 0.95, "wall2")
