"""Lighthouses."""

from __future__ import annotations

import math

import numpy as np

from ..kit import TAU, Kit, Opening
from .parts import PI, Rng


def build(k: Kit, g: Rng) -> str:
    """Banded lighthouse with a gallery, lantern and keeper's house."""
    r, h, n = g.uniform(3.4, 5.2), g.uniform(22, 38), int(g.choice([8, 32, 32]))
    bands, taper = int(g.choice([1, 4, 5, 7])), g.uniform(0.55, 0.75)
    round_shaft = n > 8
    with k.at(rot=PI / 8 - PI / 2):
        k.lathe([(r * 1.35, 0), (r * 1.35, 1.4), (r * 1.12, 1.8)], n, "stone", smooth=round_shaft)

        def radius(z: float) -> float:
            return r * (taper + (1 - taper) * max(1 - z / h, 0.0) ** 1.4)

        for i in range(bands):
            zs = np.linspace(1.8 + (h - 1.8) * i / bands, 1.8 + (h - 1.8) * (i + 1) / bands, 5)
            mat = "wall" if i % 2 == 0 else "stripe"
            k.lathe([(radius(z), z) for z in zs], n, mat, smooth=round_shaft)
    for i in range(6):  # stair windows, winding up
        z = h * (0.12 + 0.14 * i)
        with k.at(0, 0, z, -1.0 + 0.55 * i):
            y = -radius(z)
            k.box(-0.65, y - 0.15, 0, 0.65, y + 0.5, 1.9, "trim")
            k.box(-0.42, y - 0.2, 0.2, 0.42, y + 0.5, 1.65, "glass")
    k.box(-0.9, -r * 1.35 - 0.25, 0, 0.9, -r * 0.8, 3.0, "trim")
    k.box(-0.65, -r * 1.35 - 0.3, 0, 0.65, -r * 0.8, 2.6, "door")
    top = radius(h)
    gallery = top * g.uniform(1.35, 1.6)
    k.lathe([(top, h - 1.6), (gallery, h - 0.3), (gallery, h), (0, h)], 32, "trim")
    for i in range(20):
        a = TAU * i / 20
        with k.at((gallery - 0.15) * math.cos(a), (gallery - 0.15) * math.sin(a)):
            k.cyl(0.05, h, h + 1.15, "iron", 5)
    for z in (0.6, 1.15):
        rail = [(gallery - 0.19, h + z - 0.05), (gallery - 0.19, h + z), (gallery - 0.1, h + z)]
        k.lathe([*rail, (gallery - 0.1, h + z - 0.05)], 32, "iron")
    lamp, tall = top * 0.68, g.uniform(2.6, 3.8)
    k.cyl(lamp * 1.1, h, h + 1.0, "stripe", 20)
    k.lathe([(lamp, h + 1), (lamp, h + 1 + tall)], 16, "glass", smooth=False)
    for i in range(8):
        a = TAU * i / 8
        with k.at(lamp * math.cos(a), lamp * math.sin(a)):
            k.cyl(0.09, h + 1, h + 1 + tall, "iron", 6)
    k.cyl(lamp * 0.4, h + 1, h + tall * 0.9, "lamp", 12)
    z = h + 1 + tall
    cap = [(lamp * 1.2, z - 0.1), (lamp * 1.15, z + 0.2), (lamp * 0.7, z + 1.2), (0.15, z + 1.9)]
    k.lathe(cap, 24, "stripe", curve=True)
    k.cyl(0.05, z + 1.8, z + 4, "iron", 5)
    with k.at(0, 0, z + 2.1):
        k.ball(0.35, "stripe", 10)
    side = float(g.choice([-1, 1]))
    window = Opening("flat", 0.4, 0.55, 0.25, trim="trim", bars=2)
    w, d, hh = g.uniform(4.5, 6.5), g.uniform(7, 10), g.uniform(3.6, 6.2)
    with k.at(side * (r * 1.2 + w), 0):
        k.block(-w, -1, w, d - 1, 0, hh, "wall2", 4, 2 if hh > 5 else 1, window)
        with k.at(0, d / 2 - 1, 0, PI / 2):
            k.gable(-d / 2, d / 2, -w, w, hh, d * 0.35, "roof", "wall2", 0.4)
        for x in (-w * 0.6, w * 0.6):
            k.box(x - 0.45, d / 2 - 1.4, hh, x + 0.45, d / 2 - 0.6, hh + d * 0.35 + 1.3, "stone")
    shaft = "round" if round_shaft else "octagonal"
    return f"{shaft}, {'plain' if bands == 1 else 'banded'}"
