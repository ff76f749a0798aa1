"""Observatories."""

from __future__ import annotations

import math

import numpy as np

from ..kit import TAU, Kit, Opening, ngon
from .parts import PI, Rng, pick, ring_wall


def build(k: Kit, g: Rng) -> str:
    """Slotted dome on a drum with wings, smaller domes at their ends."""
    r, h = g.uniform(7, 9.5), g.uniform(9, 13)
    wing, wh = g.uniform(14, 22), h * g.uniform(0.5, 0.75)
    kind, ends = pick(g, "round", "flat", "segment"), int(g.integers(0, 3))
    window = Opening(kind, 0.42, 0.62, 0.4, trim="trim", bars=2)
    k.box(-wing - 5, -8, 0, wing + 5, 9, 1.0, "stone")
    for i in range(5):
        k.box(-6 - i * 0.2, -11 + i * 0.6, 0, 6 + i * 0.2, -7, 0.2 + i * 0.2, "stone")
    k.block(-wing, -5, wing, 5, 1, 1 + wh, "wall", int(g.integers(9, 14)), 1, window)
    k.cornice(-wing, -5, wing, 5, 1 + wh, 0.6, "trim")
    k.band(-wing + 0.3, -4.7, wing - 0.3, 4.7, 1.6 + wh, 0.9, 0, "trim")
    bays = int(g.choice([12, 16, 20]))
    ring_wall(k, r, 1, h, bays, "wall2", Opening(kind, 0.4, 0.6, 0.5, trim="trim", bars=3))
    for x, y in ngon(r + 0.25, bays):
        with k.at(x, y, 1, math.atan2(y, x)):
            k.box(-0.3, -0.35, 0, 0.3, 0.35, h, "trim")
    slotted(k, g, r * 1.02, 1 + h, g.uniform(-0.9, 0.9))
    columns = int(g.choice([4, 6]))
    ph, half = h * 0.62, r * 0.62
    for i in range(columns):
        k.column(-half + 2 * half * i / (columns - 1), -r - 1.8, 1, ph, ph / 18, "trim")
    k.band(-half - 0.8, -r - 2.6, half + 0.8, -r + 2, 1 + ph, 1.2, 0.1, "trim")
    k.gable(-half - 1, half + 1, -r - 2.8, -r + 2, 2.2 + ph, half * 0.36, "roof", "trim", 0.4, 0.4)
    for side in (-1, 1)[:ends]:
        with k.at(side * wing, 0):
            rr = r * 0.55
            ring_wall(k, rr, 1, wh * 1.25, 10, "wall2", window)
            slotted(k, g, rr * 1.03, 1 + wh * 1.25, g.uniform(-0.9, 0.9))
    return f"{('one dome', 'two domes', 'three domes')[ends]}, {columns} columns"


def slotted(k: Kit, g: Rng, r: float, z: float, turn: float) -> None:
    """Turning dome of radius r with an open slot and the telescope's end in it."""
    k.lathe([(r * 1.06, z - 0.5), (r * 1.08, z), (r * 1.08, z + 0.6), (r, z + 0.6)], 40, "trim")
    z += 0.6
    t = np.linspace(0, PI / 2 * 0.999, 16)
    with k.at(rot=turn - PI / 2):
        gap = 0.17
        profile = np.stack([r * np.cos(t), z + r * np.sin(t)], 1)
        k.lathe(profile, 44, "dome", curve=True, a0=gap, a1=TAU - gap)
        k.lathe([(r * 0.92 * np.cos(u), z + r * 0.92 * np.sin(u)) for u in t], 20, "dark",
                curve=True)  # fmt: skip
        for side in (-1, 1):
            rows = [[(r * c * math.cos(u), side * r * gap * w, z + r * c * math.sin(u))
                     for c, w in ((0.92, 0.95), (1.05, 0.95), (1.05, 1.25))]
                    for u in np.linspace(0, 1.75, 14)]  # fmt: skip
            strip = np.array(rows)
            k.grid(strip, strip[..., :2], "trim")
        aim = g.uniform(0.5, 1.0)
        with k.at(0, 0, z + r * 0.1, PI / 2, tilt=-(PI / 2 - aim)):
            k.cyl(r * 0.12, 0, r * 1.08, "white", 14)
