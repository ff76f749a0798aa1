"""Greek temples."""

from __future__ import annotations

from ..kit import Kit, Opening
from .parts import Rng


def build(k: Kit, g: Rng) -> str:
    """Greek temple with a colonnade, whole or ruined."""
    nx = int(g.choice([4, 6, 8]))
    ny, gap = int(g.integers(2 * nx - 2, 2 * nx + 2)), g.uniform(2.6, 3.6)
    h = g.uniform(8, 12)
    r, ruin = h / g.uniform(11, 16), g.random() < 0.45
    half, length = (nx - 1) * gap / 2, (ny - 1) * gap
    for i in range(3):
        o = r + 2.6 - i * 0.7
        k.box(-half - o, -o, 0.5 * i, half + o, length + o, 0.5 * i + 0.5, "stone")
    z = 1.5
    for i in range(nx):
        for j in range(ny):
            if 0 < i < nx - 1 and 0 < j < ny - 1:
                continue
            if ruin and j > 2 and g.random() < 0.35:
                k.stump(-half + i * gap, j * gap, z, g.uniform(0.1, 0.6) * h, r, "wall")
            else:
                k.column(-half + i * gap, j * gap, z, h, r, "wall", 20)
    door = Opening("flat", 0.25, 0.8, 0.8, "dark", mullions=0, bars=0, sill=0, up=0)
    cella_top = z + h * (0.55 if ruin else 1)
    a, b = half - gap, length - gap * 1.5
    k.block(-a, gap * 1.5, a, b, z, cella_top, "stone", 1, 1, door, sides="fb")
    z += h
    back, e = gap * 2 if ruin else length, h * 0.13
    k.band(-half - r, -r, half + r, back + r, z, e, 0.05, "wall")
    k.band(-half - r, -r, half + r, back + r, z + e, e, -0.05, "frieze")
    for i in range(2 * nx - 1):
        x = -half + i * gap / 2
        k.box(x - 0.3, -r - 0.1, z + e, x + 0.3, -r + 0.2, z + 2 * e, "wall")
    for j in range(int(2 * back / gap) + 1):
        for x in (-half - r + 0.05, half + r - 0.05):
            y = j * gap / 2
            k.box(x - 0.12, y - 0.3, z + e, x + 0.12, y + 0.3, z + 2 * e, "wall")
    k.band(-half - r, -r, half + r, back + r, z + 2 * e, e * 0.6, 0.7, "wall")
    rise, eaves = (half + r) * g.uniform(0.32, 0.45), z + 2.6 * e
    x = half + r + 0.3
    if ruin:
        k.gable(-x, x, -r - 0.3, r + 1, eaves, rise, "wall", "frieze", 0.4, 0.6)
    else:
        k.gable(-x, x, -r - 0.3, length + r + 0.3, eaves, rise, "roof", "frieze", 0.5, 0.6)
    for i in range(-2, 3):
        if g.random() < 0.8:
            with k.at(i * half * 0.33, -r - 0.1, eaves):
                k.statue(rise * (1 - abs(i) * 0.33) * 0.8 + 0.3, "stone")
    note = f"{nx} columns wide, {'ruined' if ruin else 'whole'}"
    return note
