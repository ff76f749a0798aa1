"""Stepped tower blocks of the 1930s."""

from __future__ import annotations

from ..kit import Kit, Opening, ngon, square
from .parts import Rng, dome, pick


def build(k: Kit, g: Rng) -> str:
    """Stepped tower with tall piers, spandrels and a crown."""
    steps, storey = int(g.integers(3, 5)), 3.3
    w, d = g.uniform(12, 16), g.uniform(9, 13)
    shrink, z = g.uniform(0.68, 0.8), 0.0
    floors = [int(g.integers(2, 5)) for _ in range(steps)]
    floors[-1] += int(g.integers(0, 3))
    window = Opening("flat", 0.56, 0.62, 0.3, trim=None, mullions=1, bars=1, sill=0)
    shop = Opening("flat", 0.7, 0.75, 0.5, "glass", "trim", 2, 1, sill=0, up=0)
    cols = int(g.integers(7, 11))
    k.block(-w - 0.4, -d - 0.4, w + 0.4, d + 0.4, 0, 5, "stone", cols // 2, 1, shop)
    z = 5.0
    for i, count in enumerate(floors):
        h = count * storey
        k.block(-w, -d, w, d, z, z + h, "wall", cols, count, window)
        for x0, y0, x1, y1, n in ((-w, -d, w, -d, cols), (-w, d, w, d, cols),
                                  (-w, -d, -w, d, max(1, round(cols * d / w))),
                                  (w, -d, w, d, max(1, round(cols * d / w)))):  # fmt: skip
            for j in range(n + 1):
                x, y = x0 + (x1 - x0) * j / n, y0 + (y1 - y0) * j / n
                k.box(x - 0.32, y - 0.32, z, x + 0.32, y + 0.32, z + h + 0.9, "trim")
        k.band(-w, -d, w, d, z + h, 0.6, 0.12, "wall2")
        z += h + 0.3
        w, d = w * shrink, d * shrink
        cols = max(3, round(cols * shrink))
        if i == steps - 1:
            w, d = w / shrink, d / shrink
    crown = pick(g, "spire", "dome", "lantern")
    s = min(w, d) * 0.8
    if crown == "dome":
        with k.at(0, 0, z):
            dome(k, s, 1.5, 12, 32, 1.2)
            k.cyl(s * 1.04, 0, 1.5, "trim", 32)
    else:
        for i in range(3):
            m = s * (1 - 0.24 * i)
            k.box(-m, -m, z, m, m, z + 2.2, "trim")
            z += 2.2
        if crown == "spire":
            k.pyramid(ngon(s * 0.5, 8), z, z + s * 3, "dome")
            k.cyl(0.12, z + s * 2.8, z + s * 4.2, "iron", 6)
        else:
            k.block(-s * 0.45, -s * 0.45, s * 0.45, s * 0.45, z, z + 3.5, "trim", 2, 1,
                    Opening("round", 0.6, 0.8, 0.3, "lamp", None, 0, 0, sill=0))  # fmt: skip
            k.pyramid(square(s * 0.55), z + 3.5, z + 7, "dome")
    return f"{steps} setbacks, {crown}"
