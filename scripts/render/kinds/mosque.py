"""Domed mosques with minarets."""

from __future__ import annotations

import numpy as np

from ..kit import Kit, Opening, ngon, square
from .parts import PI, Rng, pick, ring_wall


def build(k: Kit, g: Rng) -> str:
    """Domed prayer hall with arcaded porch, tiled portal and minarets."""
    w, h = g.uniform(14, 20), g.uniform(11, 16)
    minarets, r = int(g.choice([2, 4, 4])), w * g.uniform(0.5, 0.65)
    kind, steep = pick(g, "gothic", "keel", "round"), float(g.choice([1.0, 1.15, 1.35]))
    window = Opening(kind, 0.42, 0.55, 0.4, trim="trim", bars=3)
    k.box(-w - 8, -w - 14, 0, w + 8, w + 6, 0.8, "stone")
    k.block(-w, -w, w, w, 0.8, h, "wall", int(g.integers(5, 9)), 2, window)
    k.cornice(-w, -w, w, w, h, 0.6, "trim")
    bays = int(g.choice([5, 7, 9]))
    arcade = Opening(kind, 0.7, 0.84, 1.2, "dark", "trim", 0, 0, sill=0, up=0)
    with k.at(-w, -w - 6):
        k.wall(2 * w, h * 0.5, "wall", bays, 1, arcade, 0.8)
    k.box(-w, -w - 4.7, 0.8, w, -w, 0.8 + h * 0.5, "wall")
    k.box(-w, -w - 6, 0.5 + h * 0.5, w, -w, 0.8 + h * 0.5, "wall")
    for i in range(bays):
        with k.at(-w + 2 * w * (i + 0.5) / bays, -w - 3, 0.8 + h * 0.5):
            k.ball(w / bays * 0.82, "dome", 20, half=True)
    half, tall = w * 0.26, h * 1.12
    portal = Opening(kind, 0.62, 0.86, 2.2, "lattice", "trim", 0, 0, sill=0, up=0)
    with k.at(-half, -w - 7):
        k.wall(2 * half, tall, "tile", 1, 1, portal, 0.8)
    k.box(-half, -w - 4.75, 0.8, half, -w - 4, 0.8 + tall, "tile")
    for x in (-half, half):
        k.box(x - 0.02, -w - 7, 0.8, x + 0.02, -w - 4, 0.8 + tall, "tile")
    k.band(-half, -w - 7, half, -w - 4, 0.8 + tall, 0.6, 0.3, "trim")
    with k.at(0, 0, h + 0.6):
        _mosque_dome(k, r, steep, int(g.choice([12, 16, 24])))
    for x, y in square(w * 0.72):
        with k.at(x, y, h + 0.5):
            k.cyl(w * 0.2, 0, 1.5, "wall", 16)
        with k.at(x, y, h + 2):
            k.ball(w * 0.19, "dome", 20, half=True, k=steep)
    tall = h * g.uniform(2.4, 3.4)
    mr, balconies, facets = g.uniform(1.5, 2.2), int(g.integers(1, 4)), int(g.choice([8, 12, 24]))
    for x in (-w - 3, w + 3):
        for y in (w, -w - 2) if minarets == 4 else (-w - 2,):
            with k.at(x, y):
                _minaret(k, mr, h, tall, balconies, facets)
    return f"{minarets} minarets"


def _mosque_dome(k: Kit, r: float, steep: float, bays: int) -> None:
    k.prism(ngon(r * 1.2, 8, rot=PI / 8), 0, 2, "wall")
    drum = r * 0.42
    window = Opening("round", 0.45, 0.66, trim="trim", mullions=0)
    ring_wall(k, r, 2, drum, bays, "tile", window)
    z = 2.8 + drum
    k.lathe([(r, z - 0.8), (r * 1.08, z - 0.5), (r, z)], 40, "trim")
    t = np.linspace(0, 1, 18)
    swell = 1 + (steep - 1) * 0.55 * np.sin(t * PI * 1.1)
    rho = r * np.maximum(np.cos(t * PI / 2), 0) ** 0.9 * swell
    rho[-1] = 0.02
    k.lathe(np.stack([rho, z + steep * r * np.sin(t * PI / 2)], 1), 44, "dome", curve=True)
    with k.at(0, 0, z + steep * r):
        spike = [(0.3, -0.3), (0.1, 0.4), (0.5, 0.9), (0.1, 1.4), (0.3, 1.9), (0.03, 4)]
        k.lathe(spike, 10, "gold")


def _minaret(k: Kit, r: float, h: float, tall: float, balconies: int, facets: int) -> None:
    k.box(-r * 1.4, -r * 1.4, 0, r * 1.4, r * 1.4, h * 0.7, "wall")
    shaft = [(r * 1.5, h * 0.7), (r, h * 0.85), (r * 0.86, tall)]
    k.lathe(shaft, facets, "wall", smooth=facets > 12)
    for j in range(balconies):
        z = h + (tall - h) * (j + 1) / (balconies + 0.35)
        rail = [(0.9, -1.3), (1.5, -0.2), (1.5, 0), (1.45, 0), (1.45, 0.9), (1.35, 0.9), (1.35, 0)]
        k.lathe([(r * a, z + b) for a, b in rail], 20, "trim")
        k.lathe([(r * 0.98, z - 2.4), (r * 1.02, z - 2.2), (r * 0.98, z - 2)], 20, "tile")
    cap = [(0.86, 0), (1.1, 0.2), (0.9, 0.6)]
    k.lathe([*[(r * a, tall + b) for a, b in cap], (0.05, tall + r * 4)], 20, "dome")
    k.cyl(0.06, tall + r * 4, tall + r * 4 + 2, "gold", 5)
