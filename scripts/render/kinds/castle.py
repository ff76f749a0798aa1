"""Castles."""

from __future__ import annotations

import math
from dataclasses import replace

from ..kit import SLIT, TAU, Kit, Opening, ngon
from .parts import PI, Rng, pick


def build(k: Kit, g: Rng) -> str:
    """Ring of curtain walls and towers with a gatehouse and a keep."""
    n, ring, h = int(g.integers(5, 8)), g.uniform(24, 34), g.uniform(9, 13)
    square_towers, cones = g.random() < 0.35, g.random() < 0.6
    corners = []
    for i in range(n):
        a = -PI / 2 + PI / n + TAU * i / n
        x, y = ring * g.uniform(0.85, 1.15), ring * g.uniform(0.75, 1.05)
        corners.append((x * math.cos(a), y * math.sin(a)))
    for i in range(n):
        p, q = corners[i], corners[(i + 1) % n]
        length = math.dist(p, q)
        with k.at(*p, 0, math.atan2(q[1] - p[1], q[0] - p[0])):
            k.wall(length, h, "wall", max(3, int(length / 6)), 1, SLIT)
            k.box(0, 0.62, 0, length, 1.8, h - 0.02, "wall")
            k.box(0, -0.5, h - 0.6, length, 1.8, h, "trim")
            for j in range(int(length / 1.4)):
                k.box(j * 1.4 + 0.2, -0.48, h - 1.2, j * 1.4 + 0.7, 0, h - 0.6, "trim")
            k.merlons((0, -0.25), (length, -0.25), h, "wall", 1.0, 1.3, 0.5)
    for x, y in corners:
        r, tall = g.uniform(3, 4.8), h * g.uniform(1.2, 1.9)
        with k.at(x, y, 0, math.atan2(y, x) + PI / 2):
            _castle_tower(k, g, r, tall, square_towers, cones)
    p, q = corners[-1], corners[0]
    with k.at((p[0] + q[0]) / 2, (p[1] + q[1]) / 2 - 1.5):
        _gatehouse(k, h)
    with k.at(g.uniform(-6, 6), g.uniform(0, 8)):
        _keep(k, g, h)
    shape = "square" if square_towers else "round"
    return f"{n} {shape} towers{', tented roofs' if cones else ''}"


def _castle_tower(k: Kit, g: Rng, r: float, h: float, angular: bool, cone: bool) -> None:
    if angular:
        k.block(-r, -r, r, r, 0, h, "wall", 1, 4, replace(SLIT, w=0.12, h=0.4))
        k.band(-r, -r, r, r, h - 0.8, 1, 0.5, "trim")
        k.battlement(-r, -r, r, r, h + 0.2, "wall")
    else:
        profile = [
            (r * 1.15, 0),
            (r, 2.5),
            (r, h - 1.4),
            (r * 1.16, h - 0.6),
            (r * 1.16, h),
            (0, h),
        ]
        k.lathe(profile, 28, "wall")
        for j in range(14):
            with k.at(rot=TAU * j / 14):
                k.box(r, -0.35, h, r * 1.16, 0.35, h + 1.2, "wall")
        for j in range(8):
            z = h * (0.3 + 0.13 * (j % 4))
            with k.at(rot=TAU * j / 8 + 0.3):
                k.box(r * 0.9, -0.14, z, r + 0.03, 0.14, z + 1.2, "dark")
    if cone:
        k.pyramid(ngon(r, 20), h, h + r * g.uniform(1.8, 2.6), "roof")
        k.cyl(0.06, h, h + r * 3, "iron", 5)


def _gatehouse(k: Kit, h: float) -> None:
    top = h * 1.35
    gate = Opening("round", 0.42, 0.78, 1.5, "door", "trim", 0, 0, sill=0, up=0)
    k.block(-4.5, -2, 4.5, 4, 0, h * 0.7, "wall", 1, 1, gate, sides="f")
    upper = Opening("round", 0.3, 0.5, trim="trim")
    k.block(-4.5, -2, 4.5, 4, h * 0.7, top, "wall", 3, 1, upper, sides="f")
    k.band(-4.5, -2, 4.5, 4, top - 0.4, 0.6, 0.4, "trim")
    k.merlons((-4.5, -2.2), (4.5, -2.2), top + 0.2, "wall")
    for side in (-1, 1):
        with k.at(side * 5.6, -1):
            ends = [(2.9, top + 1.4), (2.9, top + 2), (0, top + 2)]
            k.lathe([(2.6, 0), (2.4, 2), (2.4, top + 0.6), *ends], 24, "wall")
            for x, y in ngon(2.4, 10):
                k.box(x - 0.3, y - 0.3, top + 2, x + 0.3, y + 0.3, top + 3, "wall")


def _keep(k: Kit, g: Rng, h: float) -> float:
    w, d, tall = g.uniform(7, 10), g.uniform(6, 8), h * g.uniform(2.0, 2.8)
    window = Opening(pick(g, "round", "flat"), 0.26, 0.42, trim="trim")
    cols, rows = int(g.integers(3, 6)), int(g.integers(4, 6))
    k.block(-w, -d, w, d, 0, tall, "wall2", cols, rows, window)
    k.band(-w, -d, w, d, tall - 0.8, 1, 0.6, "trim")
    if g.random() < 0.5:
        k.gable(-w, w, -d, d, tall, w * 1.1, "roof", "wall2")
    else:
        k.battlement(-w, -d, w, d, tall + 0.2, "wall2")
    for side in (-1, 1):
        with k.at(side * w, -d):
            top = tall * g.uniform(1.05, 1.4)
            ends = [(2.6, top + 0.6), (2.6, top + 1.4), (0, top + 1.4)]
            k.lathe([(2.2, 0), (2.2, top), *ends], 20, "wall2")
            k.pyramid(ngon(2.8, 16), top + 1.4, top + 7.5, "roof")
    return tall
