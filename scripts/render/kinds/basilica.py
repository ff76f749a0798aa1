"""Domed churches."""

from __future__ import annotations

import math

from ..kit import TAU, Kit, Opening, ngon
from .parts import PI, Rng, dome, pick, ring_wall


def build(k: Kit, g: Rng) -> str:
    """Domed church with a pedimented portico."""
    w, d, h = g.uniform(18, 26), g.uniform(26, 40), g.uniform(12, 18)
    columns, r = int(g.choice([4, 6, 8])), w * g.uniform(0.36, 0.5)
    steep = float(g.choice([0.95, 1.15, 1.3]))
    window = Opening(pick(g, "round", "flat", "segment"), 0.45, 0.62, 0.5, trim="trim", bars=2)
    k.box(-w - 3, -9, 0, w + 3, d + 3, 1.6, "trim")
    for i in range(8):
        k.box(-w * 0.6 - i * 0.1, -12.2 + i * 0.4, i * 0.2, w * 0.6, -8.9, (i + 1) * 0.2, "trim")
    rows = int(g.integers(1, 3))
    k.block(-w, 0, w, d, 1.6, 1.6 + h, "wall", int(g.integers(7, 11)), rows, window)
    k.cornice(-w, 0, w, d, 1.6 + h, 0.9, "trim")
    top = 2.4 + h
    baluster = [(0.28, 0), (0.16, 0.3), (0.3, 0.7), (0.18, 1.2)]
    for i in range(int(w * 2 / 1.1)):
        with k.at(-w + 0.5 + i * 1.1, -0.2, top):
            k.lathe(baluster, 6, "trim", curve=True)
    k.box(-w, -0.5, top + 1.2, w, 0.2, top + 1.45, "trim")
    if g.random() < 0.7:
        for i in range(columns + 1):
            with k.at(-w + 2 * w * i / columns, -0.1, top + 1.4):
                k.statue(3.2, "trim")
    _portico(k, g, columns, w * g.uniform(0.45, 0.7), h * 0.78)
    turrets = steep > 1
    if turrets:
        for side in (-1, 1):
            _turret(k, side * w * 0.74, 4, top)
    with k.at(0, d * 0.55, top):
        drum = _drum(k, g, r)
        dome(k, r * 0.98, 4.6 + drum, int(g.choice([0, 12, 16, 24])), 40, steep)
    note = f"{columns} columns, {'tall dome and turrets' if turrets else 'low dome'}"
    return note


def _portico(k: Kit, g: Rng, columns: int, half: float, h: float) -> None:
    r = h / g.uniform(17, 21)
    for i in range(columns):
        k.column(-half + 2 * half * i / (columns - 1), -6.5, 1.6, h, r, "trim")
    k.band(-half - 1, -7.6, half + 1, 0, 1.6 + h, 1.7, 0.25, "trim")
    k.gable(-half - 1.2, half + 1.2, -7.8, 1, 3.3 + h, half * 0.36, "roof", "trim", 0.7, 0.6)


def _turret(k: Kit, x: float, y: float, z: float) -> None:
    window = Opening("round", 0.5, 0.75, glass="dark", trim="trim", mullions=0, bars=0)
    with k.at(x, y, z):
        k.block(-2.8, -2.8, 2.8, 2.8, 0, 7, "wall", 1, 1, window)
        k.cornice(-2.8, -2.8, 2.8, 2.8, 7, 0.5, "trim")
        k.cyl(2.2, 7.5, 9, "trim", 8)
        dome(k, 2.3, 9, 0, 16)


def _drum(k: Kit, g: Rng, r: float) -> float:
    """Windowed drum under a dome; returns its height."""
    h, n = r * g.uniform(0.7, 1.0), int(g.choice([12, 16, 20]))
    k.prism(ngon(r * 1.25, 8, rot=PI / 8), 0, 2.5, "wall")
    ring_wall(k, r, 2.5, h, n, "wall", Opening("round", 0.5, 0.7, 0.5, trim="trim"))
    for i in range(n):
        a = TAU * i / n
        k.column(r * 1.07 * math.cos(a), r * 1.07 * math.sin(a), 2.5, h, r * 0.045, "trim", 8)
    top = 2.5 + h
    rings = [(1.03, 0), (1.16, 0.2), (1.16, 0.8), (1.02, 1.1), (1.02, 2.1), (0.98, 2.1)]
    k.lathe([(r * a, top + b) for a, b in rings], 40, "trim")
    return h
