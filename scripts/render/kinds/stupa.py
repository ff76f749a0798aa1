"""Stupas."""

from __future__ import annotations

from ..kit import Kit, Opening, ngon
from .parts import PI, Rng, pick


def build(k: Kit, g: Rng) -> str:
    """Bell of plaster or gilt on terraces, with a ringed spire and smaller stupas around."""
    half, terraces = g.uniform(14, 18), int(g.integers(2, 5))
    bell = pick(g, "bell", "bubble", "pot")
    gilt, round_base = g.random() < 0.45, g.random() < 0.4
    skin = "gold_leaf" if gilt else "wall"
    z, m = 0.0, half
    for i in range(terraces):
        h = g.uniform(1.6, 2.6)
        niches = Opening("round", 0.4, 0.6, 0.5, "dark", "trim", 0, 0, sill=0)
        k.block(-m, -m, m, m, z, z + h, "wall2", int(m / 1.3), 1, niches if i % 2 else None,
                sides="fblr" if i % 2 else "")  # fmt: skip
        k.band(-m, -m, m, m, z + h, 0.35, 0.3, "trim")
        z += h + 0.35
        m -= g.uniform(1.6, 2.4)
    stair = half * 0.16
    for side in range(4):
        with k.at(rot=side * PI / 2):
            n = int(z / 0.4)
            for i in range(n):
                y = -half - 3 + (half + 3 - m) * i / n
                k.box(-stair, y, 0, stair, -m + 0.4, z * (i + 1) / n, "stone")
            for s in (-1, 1):
                x = s * (stair + 0.4)
                k.poly([(x, -half - 3, 0), (x, -half - 3, 0.8), (x, -m, z + 0.8), (x, -m, 0)],
                       "trim")  # fmt: skip
    r = m * 0.92
    rings = 3 if round_base else 0
    for _ in range(rings):
        k.cyl(r, z, z + 0.9, "trim", 48)
        z += 0.9
        r *= 0.93
    shapes = {
        "bell": [
            (1, 0),
            (1, 0.06),
            (0.9, 0.12),
            (0.84, 0.4),
            (0.74, 0.75),
            (0.55, 1.0),
            (0.3, 1.1),
        ],
        "bubble": [(1, 0), (1.02, 0.2), (0.98, 0.42), (0.86, 0.66), (0.66, 0.85), (0.36, 0.96)],
        "pot": [(0.72, 0), (0.86, 0.3), (0.95, 0.6), (0.94, 0.82), (0.78, 0.98), (0.4, 1.06)],
    }
    k.lathe([(r * a, z + r * b) for a, b in shapes[bell]], 48, skin, curve=True)
    k.lathe([(r * 1.03, z), (r * 1.03, z + 0.6), (r * 0.95, z + 0.6)], 48, "trim")
    z += r * shapes[bell][-1][1] - 0.3
    s = r * 0.3
    k.box(-s, -s, z, s, s, z + s * 1.1, skin)
    for side in range(4):
        with k.at(rot=side * PI / 2):
            for x in (-0.45, 0.45):
                k.box(x * s - 0.2 * s, -s - 0.05, z + s * 0.5, x * s + 0.2 * s, -s, z + s * 0.65,
                      "post")  # fmt: skip
    k.band(-s, -s, s, s, z + s * 1.1, 0.3, 0.25, "trim")
    z += s * 1.1 + 0.3
    n = int(g.integers(9, 14))
    spire = []
    for i in range(n):
        a = s * 0.95 * (1 - i / n)
        spire += [(a + 0.1, z + i * s * 0.34), (a * 0.82 + 0.08, z + (i + 0.75) * s * 0.34)]
    k.lathe(spire, 24, "gold", smooth=False)
    z += n * s * 0.34
    k.lathe([(0.1, z - 0.5), (s * 0.5, z), (s * 0.5, z + 0.2), (0.1, z + 0.7), (0.03, z + 2.6)], 16,
            "gold")  # fmt: skip
    around = int(g.choice([4, 8, 12]))
    place = half + 1.5
    for i in range(around):
        x, y = ngon(1, around, rot=PI / 4 if around == 4 else PI / 8)[i]
        far = place / max(abs(x), abs(y))
        with k.at(x * far, y * far):
            _small(k, skin, shapes[bell])
    return f"{bell}-shaped, {'gilt' if gilt else 'plastered'}, {around} small ones around"


def _small(k: Kit, skin: str, shape: list[tuple[float, float]]) -> None:
    k.box(-1.7, -1.7, 0, 1.7, 1.7, 1.2, "trim")
    k.box(-1.35, -1.35, 1.2, 1.35, 1.35, 2.0, "wall2")
    k.lathe([(1.2 * a, 2 + 1.5 * b) for a, b in shape], 20, skin, curve=True)
    k.lathe([(0.4, 3.4), (0.42, 3.9), (0.3, 4.0), (0.05, 6.2)], 10, "gold")
