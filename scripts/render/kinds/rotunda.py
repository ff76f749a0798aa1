"""Round temples and rotundas."""

from __future__ import annotations

import math

from ..kit import Kit, Opening, ngon
from .parts import PI, Rng, dome, pick, ring_wall


def build(k: Kit, g: Rng) -> str:
    """Ring of columns under a dome, open or around a walled room, at times with a portico."""
    r, h = g.uniform(9, 13), g.uniform(9, 12)
    n, open_room = int(g.choice([12, 16, 20, 24])), g.random() < 0.35
    portico, steep = g.random() < 0.45, float(g.choice([0.6, 0.85, 1.1]))
    for i in range(5):
        k.cyl(r + 3.4 - i * 0.5, 0.35 * i, 0.35 * (i + 1), "stone", 56)
    z = 1.75
    for x, y in ngon(r, n, rot=-PI / 2 + PI / n):
        k.column(x, y, z, h, h / g.uniform(17, 20), "trim", 14)
    if not open_room:
        bay = Opening(pick(g, "round", "flat"), 0.4, 0.6, 0.5, "glass", "trim", 1, 3)
        ring_wall(k, r * 0.76, z, h, n, "wall", bay)
    rings = [(1.0, 0), (1.07, 0), (1.07, 0.8), (1.05, 0.8), (1.05, 1.6), (1.13, 1.8), (1.13, 2.3)]
    k.lathe([(r * a, z + h + b) for a, b in rings] + [(r * 0.4, z + h + 2.3)], 56, "trim")
    k.lathe([(r * 0.4, z + h), (r, z + h)], 56, "wall2")
    z += h + 2.3
    drum = g.uniform(1.0, 4.5)
    attic = Opening("flat", 0.5, 0.6, 0.3, "glass", "trim", 0, 0, sill=0)
    if drum > 2.4:
        ring_wall(k, r * 0.8, z, drum, n, "wall", attic)
    else:
        k.lathe([(r * 0.8, z), (r * 0.8, z + drum)], 56, "wall")
    if g.random() < 0.5:
        for x, y in ngon(r * 1.02, n, rot=-PI / 2 + PI / n):
            with k.at(x, y, z, math.atan2(y, x) + PI / 2):
                k.statue(2.6, "trim")
    k.lathe([(r * 0.8, z + drum), (r * 0.86, z + drum + 0.2), (r * 0.86, z + drum + 0.7),
             (r * 0.78, z + drum + 0.7)], 56, "trim")  # fmt: skip
    with k.at(0, 0, z + drum + 0.7):
        dome(k, r * 0.78, 0, int(g.choice([0, 8, 16, 24])), 48, steep)
    if portico:
        half, count = r * 0.72, int(g.choice([4, 6]))
        y = -r - 4.5
        k.box(-half - 1.5, y - 1.5, 0, half + 1.5, -r + 1, 1.75, "stone")
        for i in range(count):
            k.column(-half + 2 * half * i / (count - 1), y, 1.75, h, h / 18, "trim", 16)
        k.band(-half - 0.7, y - 0.7, half + 0.7, -r * 0.6, 1.75 + h, 1.8, 0.15, "trim")
        k.gable(-half - 1, half + 1, y - 0.9, -r * 0.5, 3.55 + h, half * 0.42, "roof", "trim",
                0.5, 0.5)  # fmt: skip
    room = "open" if open_room else "walled"
    return f"{n} columns, {room}{', portico' if portico else ''}"
