"""Gate towers of South Indian temples."""

from __future__ import annotations

import numpy as np

from ..kit import Kit, Opening
from .parts import PI, Rng

COLOURS = ("wall", "stripe", "tile", "trim", "post", "wall2")


def build(k: Kit, g: Rng) -> str:
    """Tapering tower of sculpted tiers over a gate, with a barrel roof and a row of finials."""
    tiers, w = int(g.integers(5, 10)), g.uniform(13, 16)
    d, taper = w * g.uniform(0.55, 0.75), g.uniform(0.42, 0.58)
    painted = g.random() < 0.5
    base = g.uniform(8, 11)
    gate = Opening("flat", 0.22, 0.7, 3.0, "dark", "trim", 0, 0, sill=0, up=0)
    k.box(-w - 1, -d - 1, 0, w + 1, d + 1, 1, "stone")
    k.block(-w, -d, w, d, 1, base, "stone", 1, 1, gate, 1, "fb")
    for x in np.linspace(-w + 0.8, w - 0.8, 9):
        if abs(x) > w * 0.26:
            for y in (-d, d):
                k.box(x - 0.4, y - 0.35, 1, x + 0.4, y + 0.35, base - 0.8, "stone")
    k.cornice(-w, -d, w, d, base, 1.0, "trim")
    z = base + 1
    for i in range(tiers):
        t = i / tiers
        ww, dd = w * (1 - taper * t) * 0.94, d * (1 - taper * t) * 0.94
        h = 3.6 * (1 - 0.45 * t)
        _tier(k, g, ww, dd, z, h, painted)
        z += h
    ww, dd = w * (1 - taper) * 0.94, d * (1 - taper) * 0.94
    k.box(-ww, -dd, z, ww, dd, z + 1.4, "trim")
    with k.at(ww * 1.05, 0, z + 1.4, PI / 2), k.at(tilt=-PI / 2):
        barrel = [(dd * 0.9, 0), (dd * 1.02, ww * 0.1), (dd * 0.95, ww * 1.05)]
        barrel += [(dd * 1.02, ww * 2.0), (dd * 0.9, ww * 2.1)]
        k.lathe(barrel, 24, "stripe" if painted else "wall2", curve=True)
        k.lathe([(0.01, 0.05), (dd * 0.9, 0.05)], 24, "trim")
        k.lathe([(dd * 0.9, ww * 2.08), (0.01, ww * 2.08)], 24, "trim")
    finials = int(g.choice([5, 7, 9]))
    for x in np.linspace(-ww * 0.85, ww * 0.85, finials):
        with k.at(x, 0, z + 1.4 + dd * 0.95):
            k.lathe([(0.2, 0), (0.5, 0.5), (0.3, 1.0), (0.1, 1.3), (0.03, 2.2)], 8, "gold")
    return f"{tiers} tiers, {'painted' if painted else 'plain'}"


def _tier(k: Kit, g: Rng, w: float, d: float, z: float, h: float, painted: bool) -> None:
    """One storey: shrines, pilasters and figures under a cornice."""
    colours = COLOURS if painted else ("wall", "wall2", "trim", "frieze")
    body, ledge = colours[int(g.integers(2))], colours[2 + int(g.integers(len(colours) - 2))]
    k.box(-w, -d, z, w, d, z + h, body)
    k.box(-w - 0.35, -d - 0.35, z + h * 0.84, w + 0.35, d + 0.35, z + h, ledge)
    k.box(-w * 0.16, -d - 0.4, z, w * 0.16, d + 0.4, z + h * 0.95, ledge)
    k.box(-w * 0.09, -d - 0.45, z, w * 0.09, d + 0.45, z + h * 0.72, "dark")
    for side in (0, 1, 2, 3):
        long = side % 2 == 0
        half, out = (w, d) if long else (d, w)
        n = max(3, int(half * 2 / 1.7))
        with k.at(rot=side * PI / 2):
            for j in range(n):
                x = -half + half * 2 * (j + 0.5) / n
                if long and abs(x) < w * 0.2:
                    continue
                mat = colours[int(g.integers(len(colours)))]
                if j % 3 == 1:  # a little shrine
                    k.box(x - 0.6, -out - 0.45, z, x + 0.6, -out, z + h * 0.6, mat)
                    k.box(x - 0.3, -out - 0.5, z + 0.1, x + 0.3, -out, z + h * 0.45, "dark")
                    with k.at(x, -out - 0.2, z + h * 0.6, scale=(0.62, 0.5, 0.9)):
                        k.ball(1.0, ledge, 8, half=True)
                else:
                    with k.at(x, -out - 0.3, z):
                        k.lathe([(0.34, 0), (0.26, h * 0.25), (0.36, h * 0.5), (0.1, h * 0.58)], 7,
                                mat, curve=True)  # fmt: skip
                        with k.at(0, 0, h * 0.66):
                            k.ball(0.2, mat, 6)
