"""Tower mills."""

from __future__ import annotations

import math

from ..kit import TAU, Kit, ngon
from .parts import PI, Rng


def build(k: Kit, g: Rng) -> str:
    """Tower mill with a gallery, cap and four lattice sails."""
    r, h, n = g.uniform(4.6, 6.2), g.uniform(13, 20), int(g.choice([8, 8, 28]))
    taper, turn, sail = g.uniform(0.55, 0.68), g.uniform(0.15, 1.4), h * g.uniform(0.62, 0.78)

    def radius(z: float) -> float:
        return r * (1 - (1 - taper) * z / h)

    gallery = h * g.uniform(0.28, 0.42)
    upper = "wall2" if g.random() < 0.5 else "wall"
    with k.at(rot=PI / 8 - PI / 2):
        k.lathe([(r, 0), (radius(gallery), gallery)], n, "wall", smooth=n > 8)
        k.lathe([(radius(gallery), gallery), (radius(h), h)], n, upper, smooth=n > 8)
    out = radius(gallery) + 1.5
    k.lathe(
        [(out - 1.8, gallery - 0.2), (out, gallery - 0.2), (out, gallery), (0, gallery)], 16, "wood"
    )
    for x, y in ngon(out - 0.1, 20):
        k.box(x - 0.06, y - 0.06, gallery, x + 0.06, y + 0.06, gallery + 1.1, "trim")
    for z in (0.55, 1.05):
        ring = [
            (out - 0.15, gallery + z),
            (out - 0.15, gallery + z + 0.1),
            (out, gallery + z + 0.1),
        ]
        k.lathe([*ring, (out, gallery + z)], 20, "trim", smooth=False)
    for x, y in ngon(out - 0.4, 10):  # struts
        foot = radius(gallery * 0.55) / (out - 0.4)
        a, b = (x * foot, y * foot, gallery * 0.55), (x, y, gallery - 0.2)
        for dx in (-0.1, 0.1):
            low = [(a[0] + dx, a[1], a[2]), (b[0] + dx, b[1], b[2])]
            high = [(b[0] - dx, b[1], b[2] + 0.2), (a[0] - dx, a[1], a[2] + 0.2)]
            k.poly(low + high, "wood")
    for i in range(8):
        for z in (h * 0.12, h * 0.52, h * 0.74):
            if (i + int(z)) % 2:
                continue
            with k.at(0, 0, z, TAU * i / 8):
                y = -radius(z + 0.8) * (math.cos(PI / 8) if n == 8 else 1)
                k.box(-0.62, y - 0.12, 0, 0.62, y + 0.6, 1.75, "trim")
                k.box(-0.42, y - 0.17, 0.2, 0.42, y + 0.6, 1.55, "glass")
    k.box(-1.1, -r - 0.1, 0, 1.1, -r + 1.4, 3.0, "trim")
    k.box(-0.85, -r - 0.16, 0, 0.85, -r + 1.4, 2.7, "door")
    top = radius(h)
    k.lathe([(top * 1.1, h - 0.2), (top * 1.1, h + 0.5), (top, h + 0.5)], 24, "trim")
    if g.random() < 0.5:
        with k.at(0, 0, h + 0.4, scale=(1, 1.25, 1)):
            k.ball(top * 1.08, "roof", 20, half=True, k=0.95)
        cap = "round cap"
    else:
        k.gable(
            -top * 1.05,
            top * 1.05,
            -top * 1.25,
            top * 1.35,
            h + 0.4,
            top * 1.1,
            "roof",
            "wood",
            0.2,
        )
        cap = "gabled cap"
    hub_y, hub_z = -top * 1.35 - 0.9, h + top * 0.5
    with k.at(0, 0, hub_z, tilt=PI / 2):
        k.cyl(0.42, 0, -hub_y + 0.3, "iron", 12)
    for i in range(4):
        with k.at(0, hub_y, hub_z), k.at(tilt=0.06):
            _sail(k, turn + i * PI / 2, sail)
    return f"{'eight-sided' if n == 8 else 'round'}, {cap}"


def _sail(k: Kit, angle: float, length: float) -> None:
    """One sail in the local x-z plane, at `angle` radians from upright."""
    c, s = math.cos(angle), math.sin(angle)

    def bar(u0: float, v0: float, u1: float, v1: float, mat: str) -> None:
        corners = [(u0, v0), (u1, v0), (u1, v1), (u0, v1)]
        flat = [(u * c + v * s, -u * s + v * c) for u, v in corners]
        for y in (-0.06, 0.06):
            k.poly([(x, y, z) for x, z in flat], mat)
        for (xa, za), (xb, zb) in zip(flat, flat[1:] + flat[:1], strict=True):
            k.poly([(xa, -0.06, za), (xb, -0.06, zb), (xb, 0.06, zb), (xa, 0.06, za)], mat)

    bar(-0.16, 0, 0.16, length, "wood")
    width, first = 1.9, length * 0.16
    bar(width - 0.06, first, width + 0.06, length, "trim")
    bar(width * 0.5 - 0.04, first, width * 0.5 + 0.04, length, "trim")
    steps = int((length - first) / 0.55)
    for i in range(steps + 1):
        v = first + (length - first) * i / steps
        bar(-0.5, v - 0.045, width, v + 0.045, "trim")
    bar(-0.54, first, -0.46, length, "trim")
