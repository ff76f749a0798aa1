"""Stave churches."""

from __future__ import annotations

from ..kit import Kit, Opening, square
from .parts import PI, Rng


def build(k: Kit, g: Rng) -> str:
    """Timber church of steep shingled roofs, one over the other, with a turret."""
    w, length, h = g.uniform(4.2, 5.6), g.uniform(11, 15), g.uniform(8, 10)
    tiers, steep = int(g.integers(2, 4)), g.uniform(1.25, 1.7)
    gallery = g.uniform(2.4, 3.4)
    k.box(-w - gallery - 0.6, -gallery - 0.6, 0, w + gallery + 0.6, length + gallery + 0.6, 0.9,
          "stone")  # fmt: skip
    arcade = Opening("round", 0.7, 0.6, 0.25, "dark", "post", 0, 0, sill=0, up=0.75)
    x, y0, y1 = w + gallery, -gallery, length + gallery
    k.block(-x, y0, x, y1, 0.9, 3.8, "planks", 7, 1, arcade, 10)
    _skirt(k, (x + 0.5, y0 - 0.5, y1 + 0.5), (w, 0.0, length), 3.6, 6.2)
    k.box(-w, 0, 0.9, w, length, h, "planks")
    for side in (-1, 1):  # round lights below the eaves
        for i in range(6):
            yy = length * (i + 0.5) / 6
            k.box(min(side * w, side * (w + 0.04)), yy - 0.3, h - 1.4,
                  max(side * w, side * (w + 0.04)), yy + 0.3, h - 0.8, "dark")  # fmt: skip
    z, half = h, w
    k.gable(-half, half, 0, length, z, half * steep, "roof", "planks", 0.8, 0.3)
    _crest(k, 0, length, z + half * steep)
    top = z + half * steep
    s = w * 0.62
    with k.at(0, length * 0.45):
        z = top - s * 0.9
        for _ in range(tiers):
            k.box(-s, -s, z - s, s, s, z + s * 0.9, "planks")
            louvre = Opening("flat", 0.5, 0.6, 0.2, "louvre", "post", 0, 0, sill=0)
            k.block(
                -s * 1.01, -s * 1.01, s * 1.01, s * 1.01, z, z + s * 0.9, "planks", 2, 1, louvre
            )
            _skirt(k, (s * 1.35, -s * 1.35, s * 1.35), (s * 0.62, -s * 0.62, s * 0.62),
                   z + s * 0.8, z + s * 1.75)  # fmt: skip
            z += s * 1.7
            s *= 0.66
        k.pyramid(square(s * 1.3), z - 0.1, z + s * g.uniform(4.5, 7), "roof")
    a, porch = w * 0.42, 3.2
    door = Opening("round", 0.5, 0.8, 0.5, "door", "post", 0, 0, sill=0, up=0)
    with k.at(-a, y0 - porch):
        k.wall(2 * a, 4.4, "planks", 1, 1, door, 0.5)
    k.box(-a, y0 - porch + 0.6, 0.5, a, 0, 4.9, "planks")
    k.gable(-a, a, y0 - porch, 0.5, 4.9, a * steep * 1.1, "roof", "planks", 0.5, 0.25)
    _crest(k, y0 - porch, 0, 4.9 + a * steep * 1.1)
    ap = w * 0.7
    with k.at(0, length):
        k.lathe([(ap, 0.9), (ap, h * 0.72)], 10, "planks", smooth=False, a0=0, a1=PI)
        k.lathe([(ap + 0.7, h * 0.7), (0.1, h * 0.7 + ap * 1.5)], 10, "roof", smooth=False, a0=0,
                a1=PI)  # fmt: skip
    return f"{tiers} turrets, {'steep' if steep > 1.45 else 'lower'} roofs"


def _skirt(
    k: Kit,
    low: tuple[float, float, float],
    high: tuple[float, float, float],
    z0: float,
    z1: float,
) -> None:
    """Lean-to roof around a rectangle; each level is (half width, front y, back y)."""
    plans = []
    for x, ya, yb in (low, high):
        plans.append([(-x, ya), (x, ya), (x, yb), (-x, yb)])
    k.loft(plans[0], z0, plans[1], z1, "roof")
    k.poly([(px, py, z0) for px, py in plans[0][::-1]], "planks")


def _crest(k: Kit, y0: float, y1: float, z: float) -> None:
    """Ridge board with dragon heads at both ends."""
    k.box(-0.08, y0 - 0.8, z - 0.1, 0.08, y1 + 0.8, z + 0.35, "post")
    for y, side in ((y0 - 0.8, -1), (y1 + 0.8, 1)):
        neck = [(0, 0.0), (1.0, 0.7), (1.3, 1.6), (2.0, 1.5), (1.9, 1.8), (1.0, 2.1), (0.4, 1.2)]
        for x in (-0.1, 0.1):
            k.poly([(x, y + side * a * 0.6, z + b * 0.6) for a, b in neck], "planks")
