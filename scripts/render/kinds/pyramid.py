"""Stepped pyramids."""

from __future__ import annotations

import itertools

from ..kit import Kit, Opening, square
from .parts import PI, Rng


def build(k: Kit, g: Rng) -> str:
    """Stepped pyramid with stairs and a temple on top."""
    steps, half = int(g.integers(4, 9)), g.uniform(18, 25)
    h = half * g.uniform(0.85, 1.2)
    top_half, batter = half * g.uniform(0.26, 0.36), g.uniform(0.15, 0.45)
    four, panels = g.random() < 0.5, int(g.choice([0, 7, 11]))
    tier, shrink = h / steps, (half - top_half) / steps
    for i in range(steps):
        a = half - shrink * i
        b = a - shrink * batter
        z0, z1 = tier * i, tier * (i + 1)
        k.loft(square(a), z0, square(b), z1 - 0.3, "wall" if i % 2 == 0 else "wall2")
        k.box(-b - 0.25, -b - 0.25, z1 - 0.35, b + 0.25, b + 0.25, z1, "trim")
        for side in range(4) if panels else ():
            with k.at(rot=side * PI / 2):
                for j in range(panels):
                    x, m = (2 * (j + 0.5) / panels - 1) * b, b / panels * 0.55
                    k.box(
                        x - m,
                        -a + 0.03,
                        z0 + tier * 0.22,
                        x + m,
                        -b + 0.1,
                        z1 - tier * 0.25,
                        "stone",
                    )
    width = half * g.uniform(0.16, 0.26)
    for side in range(4) if four else (0,):
        with k.at(rot=side * PI / 2):
            flight(k, half + 3.0, top_half, h, width)
    z, room = h, g.uniform(4.5, 7.5)
    t, doors = top_half * 0.72, int(g.choice([1, 3]))
    door = Opening("flat", 0.4, 0.7, 0.9, "dark", "trim", 0, 0, sill=0, up=0)
    k.block(-t, -t, t, t, z, z + room, "wall", doors, 1, door)
    k.cornice(-t, -t, t, t, z + room, 0.7, "trim")
    comb = g.random() < 0.55
    if comb:
        k.loft(square(t * 0.95), z + room + 0.5, square(t * 0.6), z + room + 3, "wall2")
        lattice = Opening("flat", 0.5, 0.6, 0.5, "dark", mullions=0, bars=0, sill=0)
        k.block(-t * 0.6, -0.8, t * 0.6, 0.8, z + room + 3, z + room + 7, "frieze", 5, 2, lattice)
        z += 7
    stairs = "four stairs" if four else "one stair"
    return f"{steps} steps, {stairs}{', roof comb' if comb else ''}"


def flight(k: Kit, run: float, top: float, h: float, half: float) -> None:
    """Flight from y = -run at the ground to y = -top at height h, with side ramps."""
    n = int(h / 0.42)
    for i in range(n):
        y = -run + (run - top) * i / n
        k.box(-half, y, 0, half, -top + 0.5, h * (i + 1) / n, "stone")
    for side in (-1, 1):
        x0, x1 = sorted((side * half, side * (half + 1.1)))
        ramp = [(-run - 0.4, 0.0), (-run - 0.4, 1.0), (-top, h + 0.9), (-top, 0.0)]
        for x in (x0, x1):
            k.poly([(x, y, z) for y, z in ramp], "trim")
        for (ya, za), (yb, zb) in itertools.pairwise(ramp):
            k.poly([(x0, ya, za), (x1, ya, za), (x1, yb, zb), (x0, yb, zb)], "trim")
