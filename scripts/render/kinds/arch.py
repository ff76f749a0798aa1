"""Triumphal arches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..kit import Kit, Opening
from .parts import PI, Rng, pick


def build(k: Kit, g: Rng) -> str:
    """Triumphal arch with one or three passages, columns, reliefs and an attic."""
    triple = g.random() < 0.5
    w, d = (g.uniform(12, 15), g.uniform(4, 5.5)) if triple else (g.uniform(8, 11), g.uniform(4, 6))
    h, attic = w * (g.uniform(0.95, 1.15) if triple else g.uniform(1.25, 1.5)), g.uniform(4, 6.5)
    # One passage takes the middle third of the front, or nearly half of a single arch.
    main_w = w * (0.72 if triple else 0.95)
    k.box(-w - 0.6, -d - 0.6, 0, w + 0.6, -d, 0.7, "stone")
    passage = Opening("round", 0.74 if triple else 0.6, 0.86, 2 * d, None, "trim", sill=0, up=0)
    small = Opening("round", 0.46, 0.52, 2 * d, None, "trim", sill=0, up=0)
    cells = [(-main_w / 2, main_w, passage)]
    if triple:
        wing = w - main_w / 2
        cells += [(-w, wing, small), (main_w / 2, wing, small)]
    else:
        wing = w - main_w / 2
    for x, width, opening in cells:
        with k.at(x, -d):
            k.wall(width, h, "wall", 1, 1, opening)
        with k.at(x + width, d, 0, PI):
            k.wall(width, h, "wall", 1, 1, replace(opening, depth=0.0))
    for side in (-1, 1):
        if not triple:
            for y in (-d, d):
                x0, x1 = sorted((side * main_w / 2, side * w))
                k.box(x0, min(y, y * 0.9), 0, x1, max(y, y * 0.9), h, "wall")
        niche = Opening("round", 0.3, 0.5, 0.8, "dark", "trim", 0, 0)
        with k.at(side * w, -side * d, 0, side * PI / 2):
            k.wall(2 * d, h, "wall", 1, 1, niche)
    columns = [-w + 0.9, -main_w / 2 - 0.2, main_w / 2 + 0.2, w - 0.9]
    for x in columns:
        for side in (-1, 1):
            y = side * (d + 0.75)
            k.box(x - 0.9, y - 0.9, 0, x + 0.9, y + 0.9, h * 0.2, "trim")
            k.column(x, y, h * 0.2, h * 0.8 - 0.1, h * 0.036, "trim", 16)
            k.box(x - 0.85, y - 0.75, h, x + 0.85, y + 0.6, h + 1.2, "trim")
            with k.at(x, y, h + 1.5, 0 if side < 0 else PI):
                k.statue(attic * 0.75, "trim")
    _reliefs(k, g, w, d, h, main_w, wing, triple)
    k.box(-w, -d, h, w, d, h + 1.2, "frieze")
    k.cornice(-w, -d, w, d, h + 1.0, 0.8, "trim")
    k.box(-w + 0.4, -d + 0.4, h + 1.5, w - 0.4, d - 0.4, h + 1.5 + attic, "wall2")
    for y in (-d + 0.4, d - 0.4):
        k.box(-main_w / 2, y - 0.12, h + 2.3, main_w / 2, y + 0.12, h + 0.9 + attic, "stone")
        for row in range(3):  # lines of an inscription
            z = h + 2.6 + row * (attic - 2) / 3
            x = -main_w / 2 + 0.6
            while x < main_w / 2 - 0.9:
                step = g.uniform(0.25, 0.6)
                k.box(x, y - 0.15, z, x + step, y + 0.15, z + (attic - 2) / 5, "dark")
                x += step + g.uniform(0.15, 0.5)
    top = h + 1.5 + attic
    k.cornice(-w + 0.4, -d + 0.4, w - 0.4, d - 0.4, top, 0.7, "trim")
    crown = pick(g, "plain", "statues")
    if crown == "statues":
        for x in np.linspace(-w * 0.5, w * 0.5, 5):
            with k.at(x, -d * 0.3, top + 0.6):
                k.statue(3.0 if abs(x) > 0.1 else 4.4, "dome")
    passages = "three passages" if triple else "one passage"
    return f"{passages}, {crown} attic"


def _reliefs(
    k: Kit, g: Rng, w: float, d: float, h: float, main_w: float, wing: float, triple: bool
) -> None:
    """Framed panels with raised figures on the piers."""
    z0, z1 = (h * 0.66, h * 0.92) if triple else (h * 0.3, h * 0.62)
    for side in (-1, 1):
        cx = side * (main_w / 2 + wing / 2)
        for y in (-d, d):
            half = wing * 0.3
            k.box(cx - half - 0.2, y - 0.2, z0 - 0.2, cx + half + 0.2, y + 0.2, z1 + 0.2, "trim")
            k.box(cx - half, y - 0.25, z0, cx + half, y + 0.25, z1, "frieze")
            for _ in range(9):
                x, z = cx + half * g.uniform(-0.85, 0.85), g.uniform(z0, z0 + (z1 - z0) * 0.45)
                with k.at(x, y, z, scale=(0.5, 0.42, 1)):
                    k.ball((z1 - z0) * g.uniform(0.18, 0.3), "trim", 8, k=1.6)
                with k.at(x, y - 0.1 if y < 0 else y + 0.1, z + (z1 - z0) * 0.38):
                    k.ball((z1 - z0) * 0.07, "trim", 8)
