"""Onion-domed churches."""

from __future__ import annotations

from ..kit import Kit, Opening, ngon, square
from .parts import PI, Rng, onion, ring_wall


def build(k: Kit, g: Rng) -> str:
    """Cube of white or brick walls under five onion domes, some with a tented belfry."""
    w, h = g.uniform(8, 10.5), g.uniform(13, 17)
    tall, mats = g.uniform(0.9, 1.25), ["dome", "stripe", "gold", "tile"]
    main, small = str(g.choice(mats)), str(g.choice(mats))
    bays, belfry = int(g.choice([3, 3, 5])), g.random() < 0.55
    k.box(-w - 1.2, -w - 1.2, 0, w + 1.2, w + 1.2, 0.9, "stone")
    slot = Opening("round", 0.22, 0.42, 0.6, trim="trim", mullions=0, up=0.6)
    k.block(-w, -w, w, w, 0.9, h, "wall", bays, 1, slot)
    k.band(-w, -w, w, w, h * 0.45, 0.5, 0.2, "trim")
    for side in range(4):
        with k.at(rot=side * PI / 2):
            for i in range(bays + 1):
                with k.at(-w + 2 * w * i / bays, -w):
                    k.cyl(0.36, 0.9, h, "trim", 10)
            for i in range(bays):  # arched gables
                x, r = -w + 2 * w * (i + 0.5) / bays, w / bays
                with k.at(x, -w, h, tilt=PI / 2):
                    k.lathe([(0, 0.02), (r * 0.8, 0.02), (r * 0.8, 0.3), (r, 0.3), (r, -1.4)], 20,
                            "trim", a0=0, a1=PI)  # fmt: skip
    k.loft(square(w - 0.3), h, square(w * 0.55), h + w * 0.62, "roof")
    k.box(-w * 0.55, -w * 0.55, h, w * 0.55, w * 0.55, h + w * 0.62, "roof")
    door = Opening("round", 0.5, 0.84, 0.8, "door", "trim", 0, 0, sill=0, up=0)
    with k.at(-2.6, -w - 1.8):
        k.wall(5.2, 5.4, "wall2", 1, 1, door, 0.6)
    k.box(-2.6, -w - 1.0, 0.6, 2.6, -w, 6, "wall2")
    k.gable(-2.6, 2.6, -w - 1.8, -w, 6, 2.2, "roof", "wall2", 0.3)
    _drum(k, w * 0.34, h + w * 0.5, w * 0.75, main, tall)
    for x, y in square(w * 0.6):
        with k.at(x, y):
            _drum(k, w * 0.19, h + w * 0.15, w * 0.62, small, tall)
    if belfry:
        with k.at(float(g.choice([-1, 1])) * (w + 6.5), -1):
            _belfry(k, g, h, main)
    return f"five domes{', tented belfry' if belfry else ''}"


def _drum(k: Kit, r: float, z: float, h: float, material: str, tall: float) -> None:
    ring_wall(k, r, z, h, 10, "wall", Opening("round", 0.36, 0.7, 0.3, trim="trim", mullions=0))
    k.lathe([(r, z + h - 0.5), (r * 1.14, z + h - 0.3), (r * 1.14, z + h), (0, z + h)], 24, "trim")
    onion(k, r * 0.96, z + h, material, tall)


def _belfry(k: Kit, g: Rng, h: float, material: str) -> None:
    s = g.uniform(3.2, 4.2)
    window = Opening("round", 0.36, 0.6, 0.4, trim="trim", mullions=0)
    k.block(-s, -s, s, s, 0, h * 0.8, "wall", 2, 2, window)
    k.cornice(-s, -s, s, s, h * 0.8, 0.5, "trim")
    bells = Opening("round", 0.6, 0.84, 1.0, "dark", "trim", 0, 0, sill=0)
    z = h * 0.8 + 0.5
    with k.at(rot=PI / 8):
        ring_wall(k, s * 1.0, z, 4.6, 8, "wall2", bells)
        k.lathe([(s * 1.1, z + 4.6), (s * 1.1, z + 5.1), (0, z + 5.1)], 8, "trim", smooth=False)
        k.pyramid(ngon(s * 0.98, 8), z + 5.1, z + 5.1 + s * 2.9, "roof")
    with k.at(0, 0, z + 4.6 + s * 2.7):
        onion(k, 0.75, 0, material)
