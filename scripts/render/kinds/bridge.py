"""Stone bridges."""

from __future__ import annotations

import itertools

import numpy as np

from ..kit import Kit, Opening, ngon
from .parts import PI, Rng, pick


def build(k: Kit, g: Rng) -> str:
    """Humped stone bridge over a basin, with cutwaters, statues or lamps, and end towers."""
    spans, span = int(g.choice([3, 5, 7])), g.uniform(8, 12)
    half, d = spans * span / 2, g.uniform(3.2, 4.5)
    low, hump = span * g.uniform(0.8, 1.15), g.uniform(0.5, 4.5)
    kind, towers = pick(g, "round", "segment", "gothic"), int(g.integers(0, 3))

    def deck(x: float) -> float:
        return low + hump * (1 - (x / half) ** 2)

    pier = span * 0.11
    for i in range(spans):
        x0 = -half + i * span
        rise = min(deck(x0), deck(x0 + span)) - 0.9
        head = Kit.arch(kind, x0 + pier, x0 + span - pier, rise, 7)
        for y in (-d, d):
            for xa, xb in ((x0, x0 + pier), (x0 + span - pier, x0 + span)):
                side = [(xa, y, 0), (xb, y, 0), (xb, y, deck(xb)), (xa, y, deck(xa))]
                k.poly(side if y < 0 else side[::-1], "wall")
            for (xa, za), (xb, zb) in itertools.pairwise(head):
                side = [(xa, y, za), (xb, y, zb), (xb, y, deck(xb)), (xa, y, deck(xa))]
                k.poly(side if y < 0 else side[::-1], "wall")
                out = y - 0.12 if y < 0 else y + 0.12
                ring = [(xa, out, za), (xb, out, zb), (xb, out, zb + 0.55), (xa, out, za + 0.55)]
                k.poly(ring if y < 0 else ring[::-1], "trim")
        feet = [(x0 + pier, 0.0), *head, (x0 + span - pier, 0.0)]
        for (xa, za), (xb, zb) in itertools.pairwise(feet):
            k.poly([(xa, -d, za), (xb, -d, zb), (xb, d, zb), (xa, d, za)], "wall2")
    xs = np.linspace(-half, half, 8 * spans + 1)
    for xa, xb in itertools.pairwise(xs):
        za, zb = deck(xa), deck(xb)
        k.poly([(xa, -d, za), (xb, -d, zb), (xb, d, zb), (xa, d, za)], "stone")
        for y in (-d, d):
            for s, up, out in (("trim", 0.35, 0.3), ("wall", 1.2, 0.1)):
                corners = [(y - out, 0.0), (y + out, 0.0), (y + out, up), (y - out, up)]
                for (ya, ua), (yb, ub) in itertools.pairwise([*corners, corners[0]]):
                    k.poly([(xa, ya, za + ua), (xa, yb, za + ub), (xb, yb, zb + ub),
                            (xb, ya, zb + ua)], s)  # fmt: skip
    crown = pick(g, "statues", "lamps", "plain")
    for i in range(spans + 1):
        x = -half + i * span
        for side in (-1, 1):
            y, out = side * d, side * (d + 2.2)
            cut = [(x - pier, y), (x, out), (x + pier, y)][::-side]
            k.prism(cut, 0, deck(x) * 0.62, "trim")
            k.pyramid(cut, deck(x) * 0.62, deck(x) * 0.8, "trim")
            if 0 < i < spans or not towers:
                k.box(x - 0.6, y - 0.6, deck(x), x + 0.6, y + 0.6, deck(x) + 1.5, "trim")
                if crown == "statues":
                    with k.at(x, y, deck(x) + 1.5, 0 if side < 0 else PI):
                        k.statue(3.0, "stone")
                elif crown == "lamps":
                    with k.at(x, y, deck(x) + 1.5):
                        k.cyl(0.1, 0, 2.6, "iron", 8)
                        k.lathe([(0.15, 2.6), (0.35, 3.2), (0.05, 3.5)], 6, "lamp", smooth=False)
    for side in (-1, 1)[:towers]:
        with k.at(side * (half + 2.6), 0):
            _tower(k, g, d + 0.6, low)
    for i, side in enumerate((-1, 1)):  # stairs up to the roadway
        with k.at(side * (half + (5.6 if i < towers else 0.0)), 0, 0, 0 if side > 0 else PI):
            _stairs(k, d, low)
    water = half + 2 * span * 0.2
    k.box(-water, -d - 14, 0, water, d + 14, 0.12, "water")
    for x0, y0, x1, y1 in ((-water - 1, -d - 15, water + 1, -d - 14),
                           (-water - 1, d + 14, water + 1, d + 15)):  # fmt: skip
        k.box(x0, y0, 0, x1, y1, 0.7, "stone")
    for x in (-water - 1, water):
        for y in (-d - 14, d + 0.5):
            k.box(x, y, 0, x + 1, y + 13.5, 0.7, "stone")
    ends = ("no towers", "one tower", "two towers")[towers]
    return f"{spans} arches, {ends}, {crown} parapet"


def _tower(k: Kit, g: Rng, half: float, low: float) -> None:
    """Gate tower across the roadway."""
    tall = low + 14 * g.uniform(0.8, 1.2)
    gate = Opening("gothic", 0.62, 0.8, 2.0, "dark", "trim", 0, 0, sill=0, up=0)
    window = Opening("gothic", 0.4, 0.6, 0.5, trim="trim")
    k.block(-3, -half, 3, half, 0, low, "wall", 1, 1, None, 1, "")
    for x, rot in ((-3, -PI / 2), (3, PI / 2)):
        y = half if rot < 0 else -half
        with k.at(x, y, 0, rot):
            k.wall(2 * half, 8, "wall", 1, 1, gate, low)
    for y in (-half, half):
        k.box(-3, min(y, y * 0.8), low, 3, max(y, y * 0.8), low + 8, "wall")
    k.block(-3, -half, 3, half, low + 8, tall, "wall", 2, 1, window, 2)
    k.band(-3, -half, 3, half, low + 7.8, 0.5, 0.25, "trim")
    k.cornice(-3, -half, 3, half, tall, 0.6, "trim")
    with k.at(scale=(3.2, half * 1.05, 1)):
        k.pyramid([(-1, -1), (1, -1), (1, 1), (-1, 1)], tall + 0.5, tall + 9, "roof")
    for x in (-2.9, 2.9):
        for y in (-half, half):
            with k.at(x, y):
                k.pyramid(ngon(0.8, 8), tall + 0.5, tall + 5, "roof")


def _stairs(k: Kit, half: float, top: float) -> None:
    """Flight down from x = 0 at height `top`, between low walls."""
    n, run = int(top / 0.4), top * 1.1
    for i in range(n):
        x = run * i / n
        k.box(x, -half, 0, x + run / n, half, top * (1 - (i + 1) / (n + 1)), "stone")
    for y in (-half, half):
        wall = [(0.0, 0.0), (run + 0.6, 0.0), (run + 0.6, 1.0), (0.0, top + 1.1)]
        for out in (-0.3, 0.3):
            face = [(x, y + out, z) for x, z in wall]
            k.poly(face if out < 0 else face[::-1], "wall")
        for (xa, za), (xb, zb) in itertools.pairwise(wall[1:]):
            k.poly([(xa, y - 0.3, za), (xa, y + 0.3, za), (xb, y + 0.3, zb), (xb, y - 0.3, zb)],
                   "trim")  # fmt: skip
