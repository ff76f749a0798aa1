"""Oval amphitheatres."""

from __future__ import annotations

import math
from dataclasses import replace

from ..kit import Kit, Opening, ngon
from .parts import Rng


def build(k: Kit, g: Rng) -> str:
    """Oval of arcades in tiers around stepped seats; the outer wall has fallen in part."""
    n, tiers = int(g.choice([32, 40, 48])), int(g.integers(2, 5))
    a, h = g.uniform(30, 36), g.uniform(6.5, 8.5)
    squash, ruin = g.uniform(0.75, 1.0), g.random() < 0.65
    first, kept = int(g.integers(n)), int(n * g.uniform(0.4, 0.7))
    arch = Opening("round", 0.56, 0.74, 2.0, "dark", "trim", 0, 0, sill=0, up=0)
    blind = Opening("flat", 0.24, 0.4, 0.7, "dark", "trim", 0, 0, sill=0)
    points = [(x, y * squash) for x, y in ngon(a, n)]
    inner = [(x, y * squash) for x, y in ngon(a - 5.5, n)]
    low = max(1, tiers - int(g.integers(1, 3))) if ruin else tiers
    for i in range(n):
        p, q = points[i], points[(i + 1) % n]
        standing = tiers if (i - first) % n < kept else low
        edge = (i - first) % n in (0, kept - 1) and ruin
        with k.at(*p, 0, math.atan2(q[1] - p[1], q[0] - p[0])):
            width = math.dist(p, q)
            for tier in range(standing - edge):
                last = tier == tiers - 1 and tiers > 2
                k.wall(width, h, "wall", 1, 1, blind if last else arch, tier * h)
                k.box(-0.1, -0.5, (tier + 1) * h - 0.9, width + 0.1, 0.4, (tier + 1) * h, "trim")
                k.box(-0.5, -0.35, tier * h, 0.5, 0.1, (tier + 1) * h - 0.9, "trim")
            top = (standing - edge) * h
            k.box(0, 0, top - 0.9, width, 2.0, top, "wall2")
            k.poly([(width, 2, 0), (0, 2, 0), (0, 2, top), (width, 2, top)], "wall2")
        p, q = inner[i], inner[(i + 1) % n]
        with k.at(*p, 0, math.atan2(q[1] - p[1], q[0] - p[0])):
            rise = low * h * (0.9 if i % 5 else 0.75)
            k.wall(math.dist(p, q), rise, "wall2", 1, 2, replace(arch, depth=1.0))
    seats, top = [], low * h * 0.72
    for row in range(14):
        r, z = a - 6 - row * (a * 0.5 - 6) / 14, top * (1 - row / 14)
        seats += [(r, z), (r - (a * 0.5 - 6) / 14, z)]
    with k.at(scale=(1, squash, 1)):
        k.lathe([*seats, (a * 0.5, 1), (0.1, 0.6)], n, "stone", smooth=False)
    return f"{tiers} tiers, {'ruined' if ruin else 'whole'}"
