"""Keeps of Japanese castles."""

from __future__ import annotations

from ..kit import Kit, Opening, square
from .parts import PI, Rng, curved_roof


def build(k: Kit, g: Rng) -> str:
    """White keep of stacked roofs with gables on a battered stone base."""
    storeys, s = int(g.integers(3, 6)), g.uniform(9, 11)
    base, flare = g.uniform(5, 9), g.uniform(1.18, 1.32)
    lift, shrink = g.uniform(0.5, 1.2), g.uniform(0.76, 0.84)
    side_gables = g.random() < 0.6
    z, m = 0.0, s * flare
    steps = 6
    for i in range(steps):  # curved batter
        t0, t1 = i / steps, (i + 1) / steps
        a, b = (s + (m - s) * (1 - t) ** 1.8 + 0.3 for t in (t0, t1))
        k.loft(square(a), base * t0, square(b), base * t1, "wall2")
    k.box(-s - 0.3, -s - 0.3, base - 0.1, s + 0.3, s + 0.3, base, "wall2")
    z = base
    window = Opening("flat", 0.5, 0.42, 0.25, "lattice", "post", 3, 0, sill=0)
    for i in range(storeys):
        last = i == storeys - 1
        h = 3.8 * (1 - 0.05 * i)
        k.box(-s - 0.06, -s - 0.06, z, s + 0.06, s + 0.06, z + h * 0.26, "planks")
        cols = max(2, round(s / 1.5))
        k.block(-s, -s, s, s, z, z + h, "wall", cols, 1, window)
        up = s * shrink
        out = s * 1.24 + 0.6
        rise = out * 0.42 if last else (out - up) * 0.62
        if last:
            curved_roof(k, out, up * 0.45, z + h - 0.1, rise, lift)
            half = up * 0.62
            k.gable(-half, half, -up * 0.95, up * 0.95, z + h + rise * 0.7, half * 0.95, "roof",
                    "wall", 0.6)  # fmt: skip
            for y in (-up, up):
                with k.at(0, y, z + h + rise * 0.7 + half * 0.9):
                    k.lathe([(0.3, 0), (0.35, 0.6), (0.1, 1.4)], 8, "gold")
        else:
            curved_roof(k, out, up * 1.02, z + h - 0.1, rise, lift)
            sides = (0, 2) if i % 2 == 0 else (1, 3)
            for side in sides if side_gables or i == 0 else ():
                with k.at(rot=side * PI / 2):
                    half = s * 0.42
                    k.gable(-half, half, -out * 0.93, -up * 0.7, z + h + rise * 0.12, half * 0.85,
                            "roof", "wall", 0.5)  # fmt: skip
        z += h + rise - 0.2
        s = up
    gate = float(g.choice([-1, 1])) * m
    with k.at(gate * 0.9, -m - 1.5):
        k.box(-3.4, -0.4, 0, -2.6, 0.4, 4.4, "post")
        k.box(2.6, -0.4, 0, 3.4, 0.4, 4.4, "post")
        k.box(-2.6, -0.1, 0, 2.6, 0.1, 3.8, "door")
        k.box(-4, -0.5, 4.0, 4, 0.5, 4.5, "post")
        with k.at(0, 0, 0, PI / 2):
            k.gable(-1.6, 1.6, -4.2, 4.2, 4.6, 1.5, "roof", "planks", 0.3)
    wall_y = -m - 1.0
    k.box(-m * 1.4, wall_y, 0, gate * 0.9 - 3.4 if gate > 0 else m * 1.4, wall_y + 0.7, 2.4, "wall")
    return f"{storeys} storeys, {'many gables' if side_gables else 'plain'}"
