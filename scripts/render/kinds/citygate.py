"""City gates between round towers."""

from __future__ import annotations

from ..kit import Kit, Opening
from .parts import PI, Rng, pick, ring_wall


def build(k: Kit, g: Rng) -> str:
    """Gatehouse with stepped gables between two stout towers."""
    r, h = g.uniform(5.0, 7.0), g.uniform(15, 22)
    half, d, rows = g.uniform(4.5, 7.0), g.uniform(4, 6), int(g.integers(2, 5))
    cone, angular = g.uniform(1.2, 2.6), g.random() < 0.35
    gate = Opening(pick(g, "round", "gothic"), 0.5, 0.8, 3.0, "dark", "trim", 0, 0, sill=0, up=0)
    k.block(-half, -d, half, d, 0, h * 0.5, "wall", 1, 1, gate, 1, "fb")
    window = Opening(pick(g, "gothic", "round", "segment"), 0.4, 0.66, 0.4, trim="trim", bars=2)
    cols = int(g.integers(3, 6))
    k.block(-half, -d, half, d, h * 0.5, h, "wall", cols, rows, window, 1, "fb")
    for i in range(rows + 1):
        k.band(-half, -d, half, d, h * (0.5 + 0.5 * i / rows) - 0.3, 0.4, 0.18, "trim")
    steps = int(g.integers(3, 6))
    for y in (-d, d - 0.8):
        for i in range(steps):
            x = half * (1 - i / steps)
            k.box(-x, y, h + i * 1.5, x, y + 0.8, h + (i + 1) * 1.5, "wall")
            for side in (-1, 1):
                k.box(side * x - 0.35, y - 0.1, h + (i + 1) * 1.5, side * x + 0.35, y + 0.9,
                      h + (i + 1) * 1.5 + 0.9, "trim")  # fmt: skip
    k.gable(-half, half, -d + 0.5, d - 0.5, h, steps * 1.35, "roof", "wall", 0.0)
    n = 8 if angular else 36
    slit = Opening("round", 0.3, 0.5, 0.5, "dark", "trim", 0, 0)
    for side in (-1, 1):
        with k.at(side * (half + r * 0.75), -d * 0.4, 0, PI / 8):
            k.lathe([(r * 1.12, 0), (r, 3.0)], n, "stone", smooth=n > 8)
            levels = 4
            for i in range(levels):
                z0, z1 = 3 + (h - 2) * i / levels, 3 + (h - 2) * (i + 1) / levels
                mat = "wall2" if i % 2 and cone > 1.9 else "wall"
                ring_wall(k, r, z0, z1 - z0, 14 if n > 8 else 8, mat, slit)
                k.lathe([(r, z1 - 0.3), (r + 0.25, z1 - 0.3), (r + 0.25, z1 + 0.2),
                         (r * 0.98, z1 + 0.2)], n, "trim", smooth=n > 8)  # fmt: skip
            k.lathe([(r, h), (r * 1.12, h + 1), (r * 1.12, h + 1.9), (0, h + 1.9)], n, "trim",
                    smooth=n > 8)  # fmt: skip
            top = h + 1.9
            k.lathe([(r * 1.2, top), (r * 0.08, top + r * cone)], n, "roof", smooth=n > 8)
            with k.at(0, 0, top + r * cone):
                k.cyl(0.06, -0.5, 2, "iron", 5)
                k.ball(0.35, "gold", 8)
    for side in (-1, 1):  # stubs of the town wall
        x0, x1 = sorted((side * (half + r * 1.5), side * (half + r * 1.5 + g.uniform(4, 9))))
        k.box(x0, -1.2, 0, x1, 1.2, h * 0.45, "wall2")
        k.merlons((x0, -1), (x1, -1), h * 0.45, "wall2")
    return f"{'eight-sided' if angular else 'round'} towers, {rows} rows of windows"
