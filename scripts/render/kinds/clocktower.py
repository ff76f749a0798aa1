"""Clock towers."""

from __future__ import annotations

from dataclasses import replace

from ..kit import Kit, Opening, ngon, square
from .parts import PI, Rng, dome, pick


def build(k: Kit, g: Rng) -> str:
    """Clock tower beside a town hall."""
    s, h = g.uniform(3.6, 5.5), g.uniform(32, 48)
    stages, kind = int(g.integers(4, 7)), pick(g, "gothic", "round", "flat")
    cols, hall_w = int(g.integers(1, 4)), g.uniform(16, 26)
    window = Opening(kind, 0.45, 0.7, 0.4, trim="trim", bars=2)
    k.box(-s - 1, -s - 1, 0, s + 1, s + 1, 2, "stone")
    z, clock_z = 2.0, h * 0.78
    for i in range(stages):
        z1 = 2 + (clock_z - 2) * (i + 1) / stages
        k.block(-s, -s, s, s, z, z1, "wall", cols, 1, window)
        k.band(-s, -s, s, s, z1 - 0.3, 0.45, 0.25, "trim")
        for x, y in square(s):
            k.box(x - 0.6, y - 0.6, z, x + 0.6, y + 0.6, z1, "wall2")
        z = z1
    t = s * g.uniform(1.05, 1.2)
    room = 2.3 * t
    k.loft(square(s), z - 0.8, square(t), z, "trim")
    k.box(-t, -t, z, t, t, z + room, "wall2")
    k.cornice(-t, -t, t, t, z + room, 0.7, "trim")
    for side in range(4):
        with k.at(rot=side * PI / 2):
            k.clock(t * 0.78, z + room / 2, -t)
    z += room + 0.6
    belfry, m = g.uniform(4, 7), t * 0.85
    louvre = replace(window, w=0.6, h=0.85, glass="louvre", bars=7)
    k.block(-m, -m, m, m, z, z + belfry, "wall", int(g.integers(2, 5)), 1, louvre)
    k.band(-m, -m, m, m, z + belfry, 0.5, 0.5, "trim")
    z += belfry + 0.5
    for x, y in square(m):
        k.pyramid(ngon(0.9, 6, x, y), z, z + 4, "roof")
    top = pick(g, "spire", "dome", "mansard")
    if top == "spire":
        k.pyramid(square(m * 0.92), z, z + g.uniform(10, 18), "roof")
        z += 16
    elif top == "dome":
        with k.at(0, 0, z):
            k.cyl(m * 0.9, 0, 2, "wall", 8)
            dome(k, m * 0.9, 2, 8, 24, 1.2)
        z += m * 2 + 6
    else:
        k.loft(square(m * 0.95), z, square(m * 0.57), z + 7, "roof")
        k.box(-m * 0.5, -m * 0.5, z + 7, m * 0.5, m * 0.5, z + 10, "wall")
        k.pyramid(square(m * 0.64), z + 10, z + 18, "roof")
        z += 18
    hall_h, off = g.uniform(10, 15), float(g.choice([-1, 1, 0]))
    cols, rows, x = int(g.integers(7, 12)), int(g.integers(2, 4)), hall_w * 0.6
    with k.at(off * (hall_w * 0.5 + s * 0.2), s * 0.4):
        k.block(-x, 0, x, 14, 0, hall_h, "wall2", cols, rows, window)
        k.cornice(-x, 0, x, 14, hall_h, 0.6, "trim")
        with k.at(0, 7, 0, PI / 2):
            k.gable(-7, 7, -x, x, hall_h + 0.5, 5, "roof", "wall2", 0.4)
    return f"{top} top"
