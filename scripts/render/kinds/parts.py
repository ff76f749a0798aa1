"""Parts that several kinds of landmark share; lengths in metres, fronts facing -y."""

from __future__ import annotations

import math

import numpy as np

from ..kit import TAU, Kit, Opening

PI = math.pi
Rng = np.random.Generator


def pick(g: Rng, *options: str) -> str:
    return str(g.choice(options))


def dome(k: Kit, r: float, z: float, ribs: int, n: int = 32, steep: float = 1.1) -> None:
    """Dome of radius r from height z, with ribs and a lantern."""
    t = np.linspace(0, PI / 2 * 0.96, 14)
    profile = np.stack([r * np.cos(t), z + steep * r * np.sin(t)], 1)
    k.lathe(profile, n, "dome", curve=True)
    for i in range(ribs):
        with k.at(rot=TAU * i / ribs):
            rows = []
            for (x, zz), a in zip(profile, t, strict=True):
                w = 0.018 * r * (0.4 + 0.6 * x / r)
                rows.append(
                    [(x * 1.025 + 0.03, s * w, zz + 0.03 * r * math.sin(a)) for s in (-1, 1)]
                )
            strip = np.array(rows)
            k.grid(strip, strip[..., :2], "trim")
    lr = r * 0.15
    with k.at(0, 0, profile[-1][1] - 0.2):
        for i in range(8):
            a = i * PI / 4
            k.column(lr * math.cos(a), lr * math.sin(a), 0, lr * 2.2, lr * 0.16, "trim", 8)
        k.cyl(lr * 0.7, 0, lr * 2.2, "dark", 12)
        cap = [(1.3, 2.2), (1.3, 2.5), (1, 2.6), (0.5, 3.4), (0.12, 4), (0.05, 5.4)]
        k.lathe([(lr * a, lr * b) for a, b in cap], 16, "dome")
        with k.at(0, 0, lr * 4.7):
            k.ball(lr * 0.28, "gold", 10)


def ring_wall(
    k: Kit, r: float, z: float, h: float, n: int, material: str, opening: Opening
) -> None:
    """Polygonal wall of n bays around the z axis."""
    chord = 2 * r * math.sin(PI / n)
    for i in range(n):
        a, b = TAU * i / n, TAU * (i + 1) / n
        with k.at(r * math.cos(a), r * math.sin(a), z, (a + b) / 2 + PI / 2):
            k.wall(chord, h, material, 1, 1, opening)


def curved_roof(k: Kit, s0: float, s1: float, z: float, h: float, lift: float) -> None:
    """Hipped roof from half side s0 up to s1 with raised corners and visible rafters."""
    u, t = np.linspace(-1, 1, 13), np.linspace(0, 1, 9)[:, None]
    half = s0 + (s1 - s0) * t
    x = half * u
    zz = z + h * t**1.7 + lift * np.abs(u) ** 4 * (1 - t) ** 2
    points = np.stack([x, np.broadcast_to(-half, x.shape), zz], -1)
    slope = np.broadcast_to(t * math.hypot(s0 - s1, h), x.shape)
    uv = np.stack([x, slope], -1)
    under = points - np.array([0, 0, 0.28])
    rim = np.stack([under[0], points[0]])
    for side in range(4):
        with k.at(rot=side * PI / 2):
            k.grid(points, uv, "roof")
            k.grid(under[:, ::-1], uv[:, ::-1], "rafter")
            k.grid(rim, rim[..., :2], "trim")


def mansard(
    k: Kit, x0: float, y0: float, x1: float, y1: float, z: float, h: float, inset: float
) -> None:
    """Steep hipped roof over a rectangle, flat on top."""
    low = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    high = [(x0 + inset, y0 + inset), (x1 - inset, y0 + inset)]
    high += [(x1 - inset, y1 - inset), (x0 + inset, y1 - inset)]
    k.loft(low, z, high, z + h, "roof")
    k.poly([(x, y, z + h) for x, y in high], "roof")
    k.band(x0 + inset, y0 + inset, x1 - inset, y1 - inset, z + h, 0.3, 0.1, "trim")


def onion(k: Kit, r: float, z: float, material: str, tall: float = 1.0) -> float:
    """Onion dome of neck radius r on a height z, with a gilt cross; returns its top."""
    shape = [(1.0, 0), (1.25, 0.35), (1.34, 0.75), (1.22, 1.2), (0.92, 1.65), (0.55, 2.05)]
    shape += [(0.28, 2.4), (0.12, 2.8), (0.05, 3.3)]
    k.lathe([(r * a, z + r * b * tall) for a, b in shape], 28, material, curve=True)
    top = z + 3.2 * r * tall
    with k.at(0, 0, top + 0.2 * r):
        k.ball(0.14 * r, "gold", 8)
    arm = 0.05 * r
    k.box(-arm, -arm, top, arm, arm, top + 1.3 * r, "gold")
    k.box(-0.35 * r, -arm, top + 0.75 * r, 0.35 * r, arm, top + 0.85 * r, "gold")
    return top + 1.3 * r
