"""Palaces."""

from __future__ import annotations

from ..kit import Kit, Opening, ngon
from .parts import PI, Rng, dome, mansard, pick


def build(k: Kit, g: Rng) -> str:
    """Long front with pavilions, rows of windows and mansard roofs."""
    wing, d = g.uniform(14, 20), g.uniform(9, 12)
    floors, storey = int(g.integers(2, 4)), g.uniform(4.2, 5.0)
    mid, end = g.uniform(5.5, 8), g.uniform(3.6, 5.2)
    kind, steep = pick(g, "flat", "round", "segment"), g.uniform(0.5, 1.1)
    h = floors * storey
    window = Opening(kind, 0.42, 0.64, 0.35, trim="trim", mullions=1, bars=3)
    total = mid + wing + 2 * end
    k.box(-total - 1, -3.5, 0, total + 1, d + 2, 1.2, "stone")
    cols = int(g.integers(5, 9))
    for side in (-1, 1):
        x0, x1 = sorted((side * mid, side * (mid + wing)))
        k.block(x0, 0, x1, d, 1.2, 1.2 + h, "wall", cols, floors, window)
        k.cornice(x0, 0, x1, d, 1.2 + h, 0.7, "trim")
        k.band(x0, 0, x1, d, 1.2 + storey, 0.35, 0.15, "trim")
        mansard(k, x0, 0.3, x1, d - 0.3, 1.9 + h, storey * steep, 2.4 * steep)
        for i in range(cols):
            _dormer(k, x0 + (x1 - x0) * (i + 0.5) / cols, 0.6, 2.1 + h, storey * steep * 0.62)
        for x in (x0 + wing * 0.25, x0 + wing * 0.75):
            k.box(x - 0.7, d * 0.4, h, x + 0.7, d * 0.55, h + storey * steep + 3.6, "wall2")
        with k.at(side * (mid + wing + end), 0):
            _pavilion(k, end, d, h + 1.5, floors, window, storey * steep * 1.5)
    crown = pick(g, "dome", "pediment", "pavilion")
    _pavilion(k, mid, d, h + 2.5, floors, window, 0 if crown == "dome" else storey * steep * 1.4)
    top = 3.7 + h
    columns = 2 * int(g.integers(2, 4))
    for i in range(columns):
        x = -mid * 0.86 + 2 * mid * 0.86 * i / (columns - 1)
        k.column(x, -3.0, 1.2 + storey, h - storey + 1.2, 0.42, "trim")
    k.box(-mid, -3.8, 1.2, mid, -1.4, 1.2 + storey, "wall2")
    for i in range(3):
        x = (i - 1) * mid * 0.6
        k.box(x - 1.1, -3.95, 1.2, x + 1.1, -3.7, storey * 0.95, "door")
    k.band(-mid, -3.7, mid, 0, h + 2.4, 1.2, 0.15, "trim")
    k.gable(-mid - 0.3, mid + 0.3, -3.9, 0.5, h + 3.6, mid * 0.38, "roof", "trim", 0.4, 0.4)
    if crown == "dome":
        with k.at(0, d * 0.5, top):
            k.prism(ngon(mid * 0.85, 8, rot=PI / 8), 0, 3, "wall")
            dome(k, mid * 0.74, 3, 8, 32, 1.15)
    return f"{floors} floors, {crown} in the middle"


def _dormer(k: Kit, x: float, y: float, z: float, h: float) -> None:
    k.box(x - 0.75, y - 0.3, z, x + 0.75, y + 2.2, z + h, "trim")
    k.box(x - 0.5, y - 0.36, z + 0.25, x + 0.5, y, z + h - 0.2, "glass")
    k.gable(x - 0.9, x + 0.9, y - 0.4, y + 2.2, z + h, 0.7, "roof", "trim", 0.1, 0.1)


def _pavilion(
    k: Kit, half: float, d: float, h: float, floors: int, window: Opening, roof: float
) -> None:
    k.block(-half, -1.4, half, d + 1.4, 1.2, 1.2 + h, "wall", 3, floors, window)
    k.cornice(-half, -1.4, half, d + 1.4, 1.2 + h, 0.8, "trim")
    for x in (-half, half):
        k.box(x - 0.45, -1.6, 1.2, x + 0.45, -1.2, 1.2 + h, "trim")
    if roof:
        mansard(k, -half, -1.2, half, d + 1.2, 2.0 + h, roof, min(half * 0.6, roof * 0.4))
