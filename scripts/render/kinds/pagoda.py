"""Timber towers with curved roofs."""

from __future__ import annotations

from ..kit import Kit, Opening
from .parts import PI, Rng, curved_roof


def build(k: Kit, g: Rng) -> str:
    """Timber tower with curved roofs on a stone terrace."""
    storeys, s = int(g.integers(3, 8)), g.uniform(5, 8)
    shrink, storey_h = g.uniform(0.82, 0.92), g.uniform(3.2, 4.6)
    lift, over = g.uniform(0.5, 1.6), g.uniform(1.5, 2.2)
    z = 0.0
    for i in range(3):
        k.box(-s * 1.9 + i, -s * 1.9 + i, z, s * 1.9 - i, s * 1.9 - i, z + 0.6, "stone")
        z += 0.6
    edge = s * 1.9 - 3
    for side in range(4):
        with k.at(rot=side * PI / 2):
            for i in range(int(edge * 2 / 1.6) + 1):
                x = -edge + i * 1.6
                k.box(x - 0.1, -edge - 0.1, z, x + 0.1, -edge + 0.1, z + 1.1, "trim")
            k.box(-edge, -edge - 0.07, z + 0.9, edge, -edge + 0.07, z + 1.05, "trim")
            k.box(-edge, -edge - 0.05, z + 0.4, edge, -edge + 0.05, z + 0.5, "trim")
    for floor in range(storeys):
        last = floor == storeys - 1
        _pagoda_storey(k, s, z, storey_h, balcony=floor > 0)
        up = s * shrink
        eaves = s * over * (0.95 if last else 1)
        rise = s * over * 0.62 if last else (s * over - up) * 0.42
        curved_roof(k, eaves, 0.2 if last else up * 1.02, z + storey_h - 0.1, rise, lift)
        z += storey_h + rise - 0.15
        s, storey_h = up, storey_h * 0.95
        if not last:
            k.box(-s - 0.9, -s - 0.9, z - 0.1, s + 0.9, s + 0.9, z + 0.12, "post")
    finial = [(0.5, z - 0.6), (0.5, z), (0.25, z + 0.3), (0.25, z + 1)]
    finial += [(0.2 if i % 2 == 0 else 0.7 - 0.04 * i, z + 1 + i * 0.35) for i in range(12)]
    k.lathe([*finial, (0.02, z + 7)], 14, "gold")
    return f"{storeys} storeys"


def _pagoda_storey(k: Kit, s: float, z: float, h: float, balcony: bool) -> None:
    bays = 3 if s > 3 else 1
    panel = Opening("flat", 0.66, 0.72, 0.35, "lattice", "trim", 3, 3, sill=0, frame="wood")
    k.block(-s, -s, s, s, z, z + h, "wall", bays, 1, panel)
    for side in range(4):
        with k.at(rot=side * PI / 2):
            for i in range(bays + 1):
                with k.at(-s + 2 * s * i / bays, -s):
                    k.cyl(0.32, z, z + h, "post", 10)
            for j, out in enumerate((0.35, 0.7, 1.05)):  # brackets
                z_j = z + h - 0.9 + j * 0.3
                mat = "post" if j % 2 else "trim"
                k.box(-s - out, -s - out, z_j, s + out, -s, z_j + 0.24, mat)
            if balcony:
                y = -s - 0.9
                k.box(-s - 0.9, y - 0.05, z + 0.75, s + 0.9, y + 0.05, z + 0.85, "post")
                for i in range(int((s + 0.9) * 2 / 0.9) + 1):
                    x = y + i * 0.9
                    k.box(x, y - 0.05, z, x + 0.06, y + 0.02, z + 0.8, "post")
