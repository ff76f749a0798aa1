"""Bell towers that stand beside their church."""

from __future__ import annotations

from ..kit import Kit, Opening, ngon, square
from .parts import PI, Rng, ring_wall


def build(k: Kit, g: Rng) -> str:
    """Round tower with arcaded galleries, leaning at times, or a square brick one."""
    lean = g.uniform(0.02, 0.075) if g.random() < 0.5 else 0.0
    galleries = g.random() < 0.6
    with k.at(rot=g.uniform(-1, 1)), k.at(tilt=lean):
        tall = _round(k, g) if galleries else _square(k, g)
    side = float(g.choice([-1, 1]))
    window = Opening("round", 0.35, 0.6, 0.4, trim="trim")
    w, length, h = g.uniform(6, 8), g.uniform(20, 26), tall * g.uniform(0.24, 0.34)
    with k.at(side * (w + 9), 2):
        k.block(-w, 0, w, length, 0, h, "wall", 3, 1, window, 6)
        k.gable(-w, w, 0, length, h, w * 0.6, "roof", "wall", 0.6)
        with k.at(-w * 0.45, -0.3):
            door = Opening("round", 0.6, 0.86, 0.8, "door", "trim", 0, 0, sill=0, up=0)
            k.wall(w * 0.9, h * 0.6, "trim", 1, 1, door)
        with k.at(0, -0.15, h * 0.98, tilt=PI / 2):
            k.cyl(w * 0.2, 0, 0.1, "stained", 24)
            ring = [(w * 0.2, 0), (w * 0.2, 0.3), (w * 0.26, 0.3), (w * 0.26, 0)]
            k.lathe(ring, 24, "trim")
    stands = "leaning" if lean else "upright"
    return f"{'round, arcaded' if galleries else 'square'}, {stands}"


def _round(k: Kit, g: Rng) -> float:
    r, tiers, n = g.uniform(5.2, 6.4), int(g.integers(4, 8)), int(g.choice([12, 15, 18]))
    base, h = g.uniform(7, 10), g.uniform(4.2, 5.2)
    k.cyl(r + 1.6, 0, 0.8, "stone", 40)
    blind = Opening("round", 0.66, 0.86, 0.5, "wall2", "trim", 0, 0, sill=0, up=0)
    ring_wall(k, r + 1.1, 0.8, base, n, "wall", blind)
    z = base + 0.8
    for _ in range(tiers):
        k.lathe([(r + 1.5, z), (r + 1.5, z + 0.5), (r, z + 0.5)], 40, "trim")
        k.lathe([(r, z), (r, z + h)], 40, "wall")
        arcade = Opening("round", 0.72, 0.92, 0.45, None, "trim", 0, 0, sill=0, up=0)
        for x, y in ngon(r + 1.05, n):
            k.column(x, y, z + 0.5, h * 0.62, 0.24, "trim", 8)
        ring_wall(k, r + 1.3, z + 0.5 + h * 0.42, h * 0.5, n, "trim", arcade)
        z += h
        k.lathe([(r, z - 0.15), (r + 1.35, z - 0.15), (r + 1.35, z)], 40, "trim")
    k.lathe([(r + 1.5, z), (r + 1.5, z + 0.6), (0, z + 0.6)], 40, "trim")
    z += 0.6
    bells = Opening("round", 0.5, 0.8, 0.8, "dark", "trim", 0, 0, sill=0, up=0.2)
    ring_wall(k, r * 0.8, z, h * 1.2, 8, "wall", bells)
    k.lathe([(r * 0.8, z + h * 1.2), (r * 0.95, z + h * 1.2 + 0.5), (0, z + h * 1.2 + 0.9)], 32,
            "trim")  # fmt: skip
    return z + h * 1.2


def _square(k: Kit, g: Rng) -> float:
    s, h, cols = g.uniform(3.6, 4.8), g.uniform(24, 34), int(g.integers(2, 5))
    k.box(-s - 0.8, -s - 0.8, 0, s + 0.8, s + 0.8, 1.6, "stone")
    blind = Opening("round", 0.55, 0.94, 0.3, "wall2", None, 0, 0, sill=0, up=0.3)
    k.block(-s, -s, s, s, 1.6, h, "wall", cols, 1, blind)
    k.cornice(-s, -s, s, s, h, 0.9, "trim")
    z = h + 0.9
    bells = Opening("round", 0.62, 0.8, 1.0, "dark", "trim", 0, 0, sill=0)
    k.block(-s, -s, s, s, z, z + 6, "trim", int(g.integers(2, 5)), 1, bells)
    k.cornice(-s, -s, s, s, z + 6, 0.9, "trim")
    z += 6.9
    k.block(-s * 0.8, -s * 0.8, s * 0.8, s * 0.8, z, z + 3.5, "wall", 1, 1,
            Opening("round", 0.3, 0.5, 0.3, trim="trim"))  # fmt: skip
    k.band(-s * 0.8, -s * 0.8, s * 0.8, s * 0.8, z + 3.5, 0.4, 0.3, "trim")
    k.pyramid(square(s * 0.8), z + 3.9, z + 3.9 + s * g.uniform(1.8, 3.2), "roof")
    return z + 4
