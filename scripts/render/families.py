"""Landmark families: each builds one landmark in a kit from its own generator.

Lengths are metres; the front faces -y and the building stands around the origin at z = 0.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from .kit import SLIT, TAU, Kit, Opening, ngon, square

PI = math.pi
Rng = np.random.Generator


@dataclass(frozen=True)
class Built:
    """What the camera needs to know of a landmark, and what its title says."""

    radius_m: float
    height_m: float
    note: str


def _pick(g: Rng, *options: str) -> str:
    return str(g.choice(options))


# ---- cathedral -----------------------------------------------------------------------------


def cathedral(k: Kit, g: Rng) -> Built:
    """Gothic or Romanesque church with a west front, towers, flying buttresses and apse."""
    width, length, nave_h = g.uniform(11, 16), g.uniform(38, 60), g.uniform(17, 25)
    tower_w, tower_h = g.uniform(6.5, 9), nave_h * g.uniform(1.35, 2.0)
    single = g.random() < 0.25
    spire = _pick(g, "oct", "pyr", "flat", "oct")
    aisle, bays, half = g.uniform(4, 6), int(g.integers(6, 10)), width / 2
    kind = _pick(g, "gothic", "gothic", "round")
    lancet = Opening(kind, 0.42, 0.78, 0.6, "stained", "trim", mullions=2, bars=4)

    k.block(-half, 0, half, length, nave_h * 0.45, nave_h, "wall", 3, 1, lancet, bays, "lr")
    k.gable(-half, half, 0, length, nave_h, width * g.uniform(0.55, 0.75), "roof", "wall")
    outer = half + aisle
    k.block(-outer, 2, outer, length - 3, 0, nave_h * 0.5, "wall", 3, 1, lancet, bays, "lr")
    for side in (-1, 1):
        _buttresses(k, side, half, outer, length, nave_h, bays)

    cross = length * 0.62  # transept, apse, fleche
    arm, reach = half * 0.7, outer + 5
    k.block(
        -reach, cross - arm, reach, cross + arm, 0, nave_h * 0.96, "wall", 3, 1, lancet, 1, "lr"
    )
    with k.at(0, cross, 0, PI / 2):
        k.gable(-arm, arm, -reach, reach, nave_h * 0.96, arm * 1.2, "roof", "wall")
    with k.at(0, length):
        apse = [(half, 0), (half, nave_h * 0.8), (0, nave_h * 1.1)]
        k.lathe(apse, 10, "wall", smooth=False, a0=0, a1=PI)
    if g.random() < 0.6:
        with k.at(0, cross):
            base = nave_h + width * 0.9
            k.cyl(1.6, nave_h, base, "wall", 8)
            k.pyramid(ngon(1.9, 8), base, base + g.uniform(10, 20), "roof")

    _west_front(k, g, half, nave_h, kind)
    for side in (1,) if single else (-1, 1):
        h = tower_h * (1 if side < 0 else g.choice([1, 1, 1, g.uniform(0.8, 0.95)]))
        with k.at(side * (half + tower_w / 2 - 0.6), tower_w / 2 - 2.2):
            _church_tower(k, g, tower_w / 2, h, kind, spire)
    shape = {"oct": "octagonal spire", "pyr": "tented roof", "flat": "battlements"}[spire]
    note = f"one tower, {shape}" if single else f"twin towers, {shape}"
    return Built(outer + 6, tower_h * 1.25, note)


def _buttresses(
    k: Kit, side: int, half: float, outer: float, length: float, nave_h: float, bays: int
) -> None:
    """Aisle roof, buttresses with pinnacles, and flyers up to the nave wall."""
    x, xn = side * outer, side * half
    low, high = nave_h * 0.5, nave_h * 0.68
    roof = [(x, 2, low), (x, length - 3, low), (xn, length - 3, high), (xn, 2, high)]
    k.poly(roof[::side], "roof")
    for i in range(bays + 1):
        y = 2 + (length - 5) * i / bays
        with k.at(x, y):
            x0, x1 = (-0.2, 1.6) if side > 0 else (-1.6, 0.2)
            k.box(x0, -0.55, 0, x1, 0.55, nave_h * 0.58, "trim")
            with k.at(side * 0.9, 0):
                k.pyramid(square(0.67), nave_h * 0.58, nave_h * 0.58 + 3.2, "trim")
        a, b = (x, nave_h * 0.56), (xn, nave_h * 0.9)
        c, d = (xn, nave_h * 0.84), (x, nave_h * 0.5)
        for yy in (y - 0.3, y + 0.3):
            k.poly([(px, yy, pz) for px, pz in (a, b, c, d)], "trim")
        for p, q in ((a, b), (d, c)):
            strip = [(p[0], y - 0.3), (p[0], y + 0.3), (q[0], y + 0.3), (q[0], y - 0.3)]
            heights = (p[1], p[1], q[1], q[1])
            k.poly([(*xy, z) for xy, z in zip(strip, heights, strict=True)], "trim")


def _west_front(k: Kit, g: Rng, half: float, nave_h: float, kind: str) -> None:
    """Portal, gallery, rose window and gable between the towers."""
    top, width = nave_h * 1.02, 2 * half
    portal = Opening(kind, 0.5, 0.86, 1.6, "door", "trim", mullions=1, bars=0, sill=0, up=0)
    gallery = Opening(kind, 0.6, 0.8, 0.8, "dark", "trim", mullions=0, bars=0, sill=0)
    with k.at(-half, -1.2):
        k.wall(width, nave_h * 0.42, "wall", 1, 1, portal)
        k.wall(width, nave_h * 0.12, "wall", int(g.integers(5, 10)), 1, gallery, nave_h * 0.46)
    k.box(-half, -1.2, nave_h * 0.42, half, 0.5, nave_h * 0.46, "trim")
    k.box(-half, -1.2, nave_h * 0.58, half, 0.5, top, "wall")
    k.gable(-half, half, -1.2, 0.6, top, width * 0.66, "trim", "wall", 0.15)
    r = min(width * 0.34, nave_h * 0.19)
    with k.at(0, -1.2, nave_h * 0.8, tilt=PI / 2):
        k.cyl(r, 0, 0.05, "stained", 36)
        for inner, outer, depth in ((0.96, 1.2, 0.33), (0.22, 0.3, 0.3), (0.62, 0.67, 0.25)):
            ring = [(r * inner, 0), (r * inner, depth), (r * outer, depth), (r * outer, 0)]
            k.lathe(ring, 36, "trim")
        spokes = int(g.integers(8, 17))
        for i in range(spokes):
            with k.at(rot=TAU * i / spokes):
                k.box(-0.09, r * 0.25, 0, 0.09, r, 0.28, "trim")


def _church_tower(k: Kit, g: Rng, half: float, h: float, kind: str, spire: str) -> None:
    levels = [0.34, 0.58, 0.76, 1.0] if g.random() < 0.5 else [0.3, 0.55, 1.0]
    z = 0.0
    m = half
    for i, share in enumerate(levels):
        z1, m, last = h * share, half - 0.12 * i, i == len(levels) - 1
        glass = "louvre" if last else "stained" if i else "door"
        window = Opening(
            kind,
            w=0.5 if i else 0.42,
            h=0.84 if last else 0.66,
            depth=0.9,
            glass=glass,
            trim="trim",
            bars=6 if last else 2,
            up=0.45 if i else 0,
            sill=0.2 if i else 0,
        )
        k.block(-m, -m, m, m, z, z1, "wall", 2 if i else 1, 1, window)
        k.band(-m, -m, m, m, z1 - 0.4, 0.6, 0.35, "trim")
        for x, y in square(m - 0.1):
            with k.at(x, y):
                k.box(-0.8, -0.8, z, 0.8, 0.8, z1 - 0.5, "trim")
        z = z1
    for x, y in square(m - 0.2):
        with k.at(x, y):
            k.pyramid(square(0.78), z, z + 4.5, "trim")
    if spire == "oct":
        k.pyramid(ngon(m * 0.92, 8, rot=PI / 8), z, z + h * g.uniform(0.4, 0.6), "roof")
    elif spire == "pyr":
        k.pyramid(square(m * 0.92), z, z + h * 0.28, "roof")
    else:
        k.battlement(-m, -m, m, m, z + 0.2, "trim")


# ---- domes ---------------------------------------------------------------------------------


def _dome(k: Kit, r: float, z: float, ribs: int, n: int = 32, steep: float = 1.1) -> None:
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


def basilica(k: Kit, g: Rng) -> Built:
    """Domed church with a pedimented portico."""
    w, d, h = g.uniform(18, 26), g.uniform(26, 40), g.uniform(12, 18)
    columns, r = int(g.choice([4, 6, 8])), w * g.uniform(0.36, 0.5)
    steep = float(g.choice([0.95, 1.15, 1.3]))
    window = Opening(_pick(g, "round", "flat", "segment"), 0.45, 0.62, 0.5, trim="trim", bars=2)
    k.box(-w - 3, -9, 0, w + 3, d + 3, 1.6, "trim")
    for i in range(8):
        k.box(-w * 0.6 - i * 0.1, -12.2 + i * 0.4, i * 0.2, w * 0.6, -8.9, (i + 1) * 0.2, "trim")
    rows = int(g.integers(1, 3))
    k.block(-w, 0, w, d, 1.6, 1.6 + h, "wall", int(g.integers(7, 11)), rows, window)
    k.cornice(-w, 0, w, d, 1.6 + h, 0.9, "trim")
    top = 2.4 + h
    baluster = [(0.28, 0), (0.16, 0.3), (0.3, 0.7), (0.18, 1.2)]
    for i in range(int(w * 2 / 1.1)):
        with k.at(-w + 0.5 + i * 1.1, -0.2, top):
            k.lathe(baluster, 6, "trim", curve=True)
    k.box(-w, -0.5, top + 1.2, w, 0.2, top + 1.45, "trim")
    if g.random() < 0.7:
        for i in range(columns + 1):
            with k.at(-w + 2 * w * i / columns, -0.1, top + 1.4):
                k.statue(3.2, "trim")
    _portico(k, g, columns, w * g.uniform(0.45, 0.7), h * 0.78)
    turrets = steep > 1
    if turrets:
        for side in (-1, 1):
            _turret(k, side * w * 0.74, 4, top)
    with k.at(0, d * 0.55, top):
        drum = _drum(k, g, r)
        _dome(k, r * 0.98, 4.6 + drum, int(g.choice([0, 12, 16, 24])), 40, steep)
    height = top + 4.6 + drum + r * steep + 6
    note = f"{columns} columns, {'tall dome and turrets' if turrets else 'low dome'}"
    return Built(w + 4, height, note)


def _portico(k: Kit, g: Rng, columns: int, half: float, h: float) -> None:
    r = h / g.uniform(17, 21)
    for i in range(columns):
        k.column(-half + 2 * half * i / (columns - 1), -6.5, 1.6, h, r, "trim")
    k.band(-half - 1, -7.6, half + 1, 0, 1.6 + h, 1.7, 0.25, "trim")
    k.gable(-half - 1.2, half + 1.2, -7.8, 1, 3.3 + h, half * 0.36, "roof", "trim", 0.7, 0.6)


def _turret(k: Kit, x: float, y: float, z: float) -> None:
    window = Opening("round", 0.5, 0.75, glass="dark", trim="trim", mullions=0, bars=0)
    with k.at(x, y, z):
        k.block(-2.8, -2.8, 2.8, 2.8, 0, 7, "wall", 1, 1, window)
        k.cornice(-2.8, -2.8, 2.8, 2.8, 7, 0.5, "trim")
        k.cyl(2.2, 7.5, 9, "trim", 8)
        _dome(k, 2.3, 9, 0, 16)


def _drum(k: Kit, g: Rng, r: float) -> float:
    """Windowed drum under a dome; returns its height."""
    h, n = r * g.uniform(0.7, 1.0), int(g.choice([12, 16, 20]))
    k.prism(ngon(r * 1.25, 8, rot=PI / 8), 0, 2.5, "wall")
    _ring_wall(k, r, 2.5, h, n, "wall", Opening("round", 0.5, 0.7, 0.5, trim="trim"))
    for i in range(n):
        a = TAU * i / n
        k.column(r * 1.07 * math.cos(a), r * 1.07 * math.sin(a), 2.5, h, r * 0.045, "trim", 8)
    top = 2.5 + h
    rings = [(1.03, 0), (1.16, 0.2), (1.16, 0.8), (1.02, 1.1), (1.02, 2.1), (0.98, 2.1)]
    k.lathe([(r * a, top + b) for a, b in rings], 40, "trim")
    return h


def _ring_wall(
    k: Kit, r: float, z: float, h: float, n: int, material: str, opening: Opening
) -> None:
    """Polygonal wall of n bays around the z axis."""
    chord = 2 * r * math.sin(PI / n)
    for i in range(n):
        a, b = TAU * i / n, TAU * (i + 1) / n
        with k.at(r * math.cos(a), r * math.sin(a), z, (a + b) / 2 + PI / 2):
            k.wall(chord, h, material, 1, 1, opening)


# ---- pagoda --------------------------------------------------------------------------------


def _curved_roof(k: Kit, s0: float, s1: float, z: float, h: float, lift: float) -> None:
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


def pagoda(k: Kit, g: Rng) -> Built:
    """Timber tower with curved roofs on a stone terrace."""
    storeys, s = int(g.integers(3, 8)), g.uniform(5, 8)
    shrink, storey_h = g.uniform(0.82, 0.92), g.uniform(3.2, 4.6)
    lift, over = g.uniform(0.5, 1.6), g.uniform(1.5, 2.2)
    z = 0.0
    for i in range(3):
        k.box(-s * 1.9 + i, -s * 1.9 + i, z, s * 1.9 - i, s * 1.9 - i, z + 0.6, "stone")
        z += 0.6
    edge = s * 1.9 - 3
    for side in range(4):
        with k.at(rot=side * PI / 2):
            for i in range(int(edge * 2 / 1.6) + 1):
                x = -edge + i * 1.6
                k.box(x - 0.1, -edge - 0.1, z, x + 0.1, -edge + 0.1, z + 1.1, "trim")
            k.box(-edge, -edge - 0.07, z + 0.9, edge, -edge + 0.07, z + 1.05, "trim")
            k.box(-edge, -edge - 0.05, z + 0.4, edge, -edge + 0.05, z + 0.5, "trim")
    for floor in range(storeys):
        last = floor == storeys - 1
        _pagoda_storey(k, s, z, storey_h, balcony=floor > 0)
        up = s * shrink
        eaves = s * over * (0.95 if last else 1)
        rise = s * over * 0.62 if last else (s * over - up) * 0.42
        _curved_roof(k, eaves, 0.2 if last else up * 1.02, z + storey_h - 0.1, rise, lift)
        z += storey_h + rise - 0.15
        s, storey_h = up, storey_h * 0.95
        if not last:
            k.box(-s - 0.9, -s - 0.9, z - 0.1, s + 0.9, s + 0.9, z + 0.12, "post")
    finial = [(0.5, z - 0.6), (0.5, z), (0.25, z + 0.3), (0.25, z + 1)]
    finial += [(0.2 if i % 2 == 0 else 0.7 - 0.04 * i, z + 1 + i * 0.35) for i in range(12)]
    k.lathe([*finial, (0.02, z + 7)], 14, "gold")
    return Built(13, z + 6, f"{storeys} storeys")


def _pagoda_storey(k: Kit, s: float, z: float, h: float, balcony: bool) -> None:
    bays = 3 if s > 3 else 1
    panel = Opening("flat", 0.66, 0.72, 0.35, "lattice", "trim", 3, 3, sill=0, frame="wood")
    k.block(-s, -s, s, s, z, z + h, "wall", bays, 1, panel)
    for side in range(4):
        with k.at(rot=side * PI / 2):
            for i in range(bays + 1):
                with k.at(-s + 2 * s * i / bays, -s):
                    k.cyl(0.32, z, z + h, "post", 10)
            for j, out in enumerate((0.35, 0.7, 1.05)):  # brackets
                z_j = z + h - 0.9 + j * 0.3
                mat = "post" if j % 2 else "trim"
                k.box(-s - out, -s - out, z_j, s + out, -s, z_j + 0.24, mat)
            if balcony:
                y = -s - 0.9
                k.box(-s - 0.9, y - 0.05, z + 0.75, s + 0.9, y + 0.05, z + 0.85, "post")
                for i in range(int((s + 0.9) * 2 / 0.9) + 1):
                    x = y + i * 0.9
                    k.box(x, y - 0.05, z, x + 0.06, y + 0.02, z + 0.8, "post")


# ---- castle --------------------------------------------------------------------------------


def castle(k: Kit, g: Rng) -> Built:
    """Ring of curtain walls and towers with a gatehouse and a keep."""
    n, ring, h = int(g.integers(5, 8)), g.uniform(24, 34), g.uniform(9, 13)
    square_towers, cones = g.random() < 0.35, g.random() < 0.6
    corners = []
    for i in range(n):
        a = -PI / 2 + PI / n + TAU * i / n
        x, y = ring * g.uniform(0.85, 1.15), ring * g.uniform(0.75, 1.05)
        corners.append((x * math.cos(a), y * math.sin(a)))
    for i in range(n):
        p, q = corners[i], corners[(i + 1) % n]
        length = math.dist(p, q)
        with k.at(*p, 0, math.atan2(q[1] - p[1], q[0] - p[0])):
            k.wall(length, h, "wall", max(3, int(length / 6)), 1, SLIT)
            k.box(0, 0.62, 0, length, 1.8, h - 0.02, "wall")
            k.box(0, -0.5, h - 0.6, length, 1.8, h, "trim")
            for j in range(int(length / 1.4)):
                k.box(j * 1.4 + 0.2, -0.48, h - 1.2, j * 1.4 + 0.7, 0, h - 0.6, "trim")
            k.merlons((0, -0.25), (length, -0.25), h, "wall", 1.0, 1.3, 0.5)
    for x, y in corners:
        r, tall = g.uniform(3, 4.8), h * g.uniform(1.2, 1.9)
        with k.at(x, y, 0, math.atan2(y, x) + PI / 2):
            _castle_tower(k, g, r, tall, square_towers, cones)
    p, q = corners[-1], corners[0]
    with k.at((p[0] + q[0]) / 2, (p[1] + q[1]) / 2 - 1.5):
        _gatehouse(k, h)
    with k.at(g.uniform(-6, 6), g.uniform(0, 8)):
        keep_h = _keep(k, g, h)
    shape = "square" if square_towers else "round"
    return Built(ring + 4, keep_h * 1.2, f"{n} {shape} towers{', tented roofs' if cones else ''}")


def _castle_tower(k: Kit, g: Rng, r: float, h: float, angular: bool, cone: bool) -> None:
    if angular:
        k.block(-r, -r, r, r, 0, h, "wall", 1, 4, replace(SLIT, w=0.12, h=0.4))
        k.band(-r, -r, r, r, h - 0.8, 1, 0.5, "trim")
        k.battlement(-r, -r, r, r, h + 0.2, "wall")
    else:
        profile = [
            (r * 1.15, 0),
            (r, 2.5),
            (r, h - 1.4),
            (r * 1.16, h - 0.6),
            (r * 1.16, h),
            (0, h),
        ]
        k.lathe(profile, 28, "wall")
        for j in range(14):
            with k.at(rot=TAU * j / 14):
                k.box(r, -0.35, h, r * 1.16, 0.35, h + 1.2, "wall")
        for j in range(8):
            z = h * (0.3 + 0.13 * (j % 4))
            with k.at(rot=TAU * j / 8 + 0.3):
                k.box(r * 0.9, -0.14, z, r + 0.03, 0.14, z + 1.2, "dark")
    if cone:
        k.pyramid(ngon(r, 20), h, h + r * g.uniform(1.8, 2.6), "roof")
        k.cyl(0.06, h, h + r * 3, "iron", 5)


def _gatehouse(k: Kit, h: float) -> None:
    top = h * 1.35
    gate = Opening("round", 0.42, 0.78, 1.5, "door", "trim", 0, 0, sill=0, up=0)
    k.block(-4.5, -2, 4.5, 4, 0, h * 0.7, "wall", 1, 1, gate, sides="f")
    upper = Opening("round", 0.3, 0.5, trim="trim")
    k.block(-4.5, -2, 4.5, 4, h * 0.7, top, "wall", 3, 1, upper, sides="f")
    k.band(-4.5, -2, 4.5, 4, top - 0.4, 0.6, 0.4, "trim")
    k.merlons((-4.5, -2.2), (4.5, -2.2), top + 0.2, "wall")
    for side in (-1, 1):
        with k.at(side * 5.6, -1):
            ends = [(2.9, top + 1.4), (2.9, top + 2), (0, top + 2)]
            k.lathe([(2.6, 0), (2.4, 2), (2.4, top + 0.6), *ends], 24, "wall")
            for x, y in ngon(2.4, 10):
                k.box(x - 0.3, y - 0.3, top + 2, x + 0.3, y + 0.3, top + 3, "wall")


def _keep(k: Kit, g: Rng, h: float) -> float:
    w, d, tall = g.uniform(7, 10), g.uniform(6, 8), h * g.uniform(2.0, 2.8)
    window = Opening(_pick(g, "round", "flat"), 0.26, 0.42, trim="trim")
    cols, rows = int(g.integers(3, 6)), int(g.integers(4, 6))
    k.block(-w, -d, w, d, 0, tall, "wall2", cols, rows, window)
    k.band(-w, -d, w, d, tall - 0.8, 1, 0.6, "trim")
    if g.random() < 0.5:
        k.gable(-w, w, -d, d, tall, w * 1.1, "roof", "wall2")
    else:
        k.battlement(-w, -d, w, d, tall + 0.2, "wall2")
    for side in (-1, 1):
        with k.at(side * w, -d):
            top = tall * g.uniform(1.05, 1.4)
            ends = [(2.6, top + 0.6), (2.6, top + 1.4), (0, top + 1.4)]
            k.lathe([(2.2, 0), (2.2, top), *ends], 20, "wall2")
            k.pyramid(ngon(2.8, 16), top + 1.4, top + 7.5, "roof")
    return tall


# ---- mosque --------------------------------------------------------------------------------


def mosque(k: Kit, g: Rng) -> Built:
    """Domed prayer hall with arcaded porch, tiled portal and minarets."""
    w, h = g.uniform(14, 20), g.uniform(11, 16)
    minarets, r = int(g.choice([2, 4, 4])), w * g.uniform(0.5, 0.65)
    kind, steep = _pick(g, "gothic", "keel", "round"), float(g.choice([1.0, 1.15, 1.35]))
    window = Opening(kind, 0.42, 0.55, 0.4, trim="trim", bars=3)
    k.box(-w - 8, -w - 14, 0, w + 8, w + 6, 0.8, "stone")
    k.block(-w, -w, w, w, 0.8, h, "wall", int(g.integers(5, 9)), 2, window)
    k.cornice(-w, -w, w, w, h, 0.6, "trim")
    bays = int(g.choice([5, 7, 9]))
    arcade = Opening(kind, 0.7, 0.84, 1.2, "dark", "trim", 0, 0, sill=0, up=0)
    with k.at(-w, -w - 6):
        k.wall(2 * w, h * 0.5, "wall", bays, 1, arcade, 0.8)
    k.box(-w, -w - 4.7, 0.8, w, -w, 0.8 + h * 0.5, "wall")
    k.box(-w, -w - 6, 0.5 + h * 0.5, w, -w, 0.8 + h * 0.5, "wall")
    for i in range(bays):
        with k.at(-w + 2 * w * (i + 0.5) / bays, -w - 3, 0.8 + h * 0.5):
            k.ball(w / bays * 0.82, "dome", 20, half=True)
    half, tall = w * 0.26, h * 1.12
    portal = Opening(kind, 0.62, 0.86, 2.2, "lattice", "trim", 0, 0, sill=0, up=0)
    with k.at(-half, -w - 7):
        k.wall(2 * half, tall, "tile", 1, 1, portal, 0.8)
    k.box(-half, -w - 4.75, 0.8, half, -w - 4, 0.8 + tall, "tile")
    for x in (-half, half):
        k.box(x - 0.02, -w - 7, 0.8, x + 0.02, -w - 4, 0.8 + tall, "tile")
    k.band(-half, -w - 7, half, -w - 4, 0.8 + tall, 0.6, 0.3, "trim")
    with k.at(0, 0, h + 0.6):
        _mosque_dome(k, r, steep, int(g.choice([12, 16, 24])))
    for x, y in square(w * 0.72):
        with k.at(x, y, h + 0.5):
            k.cyl(w * 0.2, 0, 1.5, "wall", 16)
        with k.at(x, y, h + 2):
            k.ball(w * 0.19, "dome", 20, half=True, k=steep)
    tall = h * g.uniform(2.4, 3.4)
    mr, balconies, facets = g.uniform(1.5, 2.2), int(g.integers(1, 4)), int(g.choice([8, 12, 24]))
    for x in (-w - 3, w + 3):
        for y in (w, -w - 2) if minarets == 4 else (-w - 2,):
            with k.at(x, y):
                _minaret(k, mr, h, tall, balconies, facets)
    return Built(w + 6, tall + 5, f"{minarets} minarets")


def _mosque_dome(k: Kit, r: float, steep: float, bays: int) -> None:
    k.prism(ngon(r * 1.2, 8, rot=PI / 8), 0, 2, "wall")
    drum = r * 0.42
    window = Opening("round", 0.45, 0.66, trim="trim", mullions=0)
    _ring_wall(k, r, 2, drum, bays, "tile", window)
    z = 2.8 + drum
    k.lathe([(r, z - 0.8), (r * 1.08, z - 0.5), (r, z)], 40, "trim")
    t = np.linspace(0, 1, 18)
    swell = 1 + (steep - 1) * 0.55 * np.sin(t * PI * 1.1)
    rho = r * np.maximum(np.cos(t * PI / 2), 0) ** 0.9 * swell
    rho[-1] = 0.02
    k.lathe(np.stack([rho, z + steep * r * np.sin(t * PI / 2)], 1), 44, "dome", curve=True)
    with k.at(0, 0, z + steep * r):
        spike = [(0.3, -0.3), (0.1, 0.4), (0.5, 0.9), (0.1, 1.4), (0.3, 1.9), (0.03, 4)]
        k.lathe(spike, 10, "gold")


def _minaret(k: Kit, r: float, h: float, tall: float, balconies: int, facets: int) -> None:
    k.box(-r * 1.4, -r * 1.4, 0, r * 1.4, r * 1.4, h * 0.7, "wall")
    shaft = [(r * 1.5, h * 0.7), (r, h * 0.85), (r * 0.86, tall)]
    k.lathe(shaft, facets, "wall", smooth=facets > 12)
    for j in range(balconies):
        z = h + (tall - h) * (j + 1) / (balconies + 0.35)
        rail = [(0.9, -1.3), (1.5, -0.2), (1.5, 0), (1.45, 0), (1.45, 0.9), (1.35, 0.9), (1.35, 0)]
        k.lathe([(r * a, z + b) for a, b in rail], 20, "trim")
        k.lathe([(r * 0.98, z - 2.4), (r * 1.02, z - 2.2), (r * 0.98, z - 2)], 20, "tile")
    cap = [(0.86, 0), (1.1, 0.2), (0.9, 0.6)]
    k.lathe([*[(r * a, tall + b) for a, b in cap], (0.05, tall + r * 4)], 20, "dome")
    k.cyl(0.06, tall + r * 4, tall + r * 4 + 2, "gold", 5)


# ---- temple --------------------------------------------------------------------------------


def temple(k: Kit, g: Rng) -> Built:
    """Greek temple with a colonnade, whole or ruined."""
    nx = int(g.choice([4, 6, 8]))
    ny, gap = int(g.integers(2 * nx - 2, 2 * nx + 2)), g.uniform(2.6, 3.6)
    h = g.uniform(8, 12)
    r, ruin = h / g.uniform(11, 16), g.random() < 0.45
    half, length = (nx - 1) * gap / 2, (ny - 1) * gap
    for i in range(3):
        o = r + 2.6 - i * 0.7
        k.box(-half - o, -o, 0.5 * i, half + o, length + o, 0.5 * i + 0.5, "stone")
    z = 1.5
    for i in range(nx):
        for j in range(ny):
            if 0 < i < nx - 1 and 0 < j < ny - 1:
                continue
            if ruin and j > 2 and g.random() < 0.35:
                k.stump(-half + i * gap, j * gap, z, g.uniform(0.1, 0.6) * h, r, "wall")
            else:
                k.column(-half + i * gap, j * gap, z, h, r, "wall", 20)
    door = Opening("flat", 0.25, 0.8, 0.8, "dark", mullions=0, bars=0, sill=0, up=0)
    cella_top = z + h * (0.55 if ruin else 1)
    a, b = half - gap, length - gap * 1.5
    k.block(-a, gap * 1.5, a, b, z, cella_top, "stone", 1, 1, door, sides="fb")
    z += h
    back, e = gap * 2 if ruin else length, h * 0.13
    k.band(-half - r, -r, half + r, back + r, z, e, 0.05, "wall")
    k.band(-half - r, -r, half + r, back + r, z + e, e, -0.05, "frieze")
    for i in range(2 * nx - 1):
        x = -half + i * gap / 2
        k.box(x - 0.3, -r - 0.1, z + e, x + 0.3, -r + 0.2, z + 2 * e, "wall")
    for j in range(int(2 * back / gap) + 1):
        for x in (-half - r + 0.05, half + r - 0.05):
            y = j * gap / 2
            k.box(x - 0.12, y - 0.3, z + e, x + 0.12, y + 0.3, z + 2 * e, "wall")
    k.band(-half - r, -r, half + r, back + r, z + 2 * e, e * 0.6, 0.7, "wall")
    rise, eaves = (half + r) * g.uniform(0.32, 0.45), z + 2.6 * e
    x = half + r + 0.3
    if ruin:
        k.gable(-x, x, -r - 0.3, r + 1, eaves, rise, "wall", "frieze", 0.4, 0.6)
    else:
        k.gable(-x, x, -r - 0.3, length + r + 0.3, eaves, rise, "roof", "frieze", 0.5, 0.6)
    for i in range(-2, 3):
        if g.random() < 0.8:
            with k.at(i * half * 0.33, -r - 0.1, eaves):
                k.statue(rise * (1 - abs(i) * 0.33) * 0.8 + 0.3, "stone")
    note = f"{nx} columns wide, {'ruined' if ruin else 'whole'}"
    return Built(max(half, length / 2) + 3, z + rise, note)


# ---- towers --------------------------------------------------------------------------------


def clocktower(k: Kit, g: Rng) -> Built:
    """Clock tower beside a town hall."""
    s, h = g.uniform(3.6, 5.5), g.uniform(32, 48)
    stages, kind = int(g.integers(4, 7)), _pick(g, "gothic", "round", "flat")
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
    top = _pick(g, "spire", "dome", "mansard")
    if top == "spire":
        k.pyramid(square(m * 0.92), z, z + g.uniform(10, 18), "roof")
        z += 16
    elif top == "dome":
        with k.at(0, 0, z):
            k.cyl(m * 0.9, 0, 2, "wall", 8)
            _dome(k, m * 0.9, 2, 8, 24, 1.2)
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
    return Built(hall_w * 0.6, z, f"{top} top")


def lighthouse(k: Kit, g: Rng) -> Built:
    """Banded lighthouse with a gallery, lantern and keeper's house."""
    r, h, n = g.uniform(3.4, 5.2), g.uniform(22, 38), int(g.choice([8, 32, 32]))
    bands, taper = int(g.choice([1, 4, 5, 7])), g.uniform(0.55, 0.75)
    round_shaft = n > 8
    with k.at(rot=PI / 8 - PI / 2):
        k.lathe([(r * 1.35, 0), (r * 1.35, 1.4), (r * 1.12, 1.8)], n, "stone", smooth=round_shaft)

        def radius(z: float) -> float:
            return r * (taper + (1 - taper) * max(1 - z / h, 0.0) ** 1.4)

        for i in range(bands):
            zs = np.linspace(1.8 + (h - 1.8) * i / bands, 1.8 + (h - 1.8) * (i + 1) / bands, 5)
            mat = "wall" if i % 2 == 0 else "stripe"
            k.lathe([(radius(z), z) for z in zs], n, mat, smooth=round_shaft)
    for i in range(6):  # stair windows, winding up
        z = h * (0.12 + 0.14 * i)
        with k.at(0, 0, z, -1.0 + 0.55 * i):
            y = -radius(z)
            k.box(-0.65, y - 0.15, 0, 0.65, y + 0.5, 1.9, "trim")
            k.box(-0.42, y - 0.2, 0.2, 0.42, y + 0.5, 1.65, "glass")
    k.box(-0.9, -r * 1.35 - 0.25, 0, 0.9, -r * 0.8, 3.0, "trim")
    k.box(-0.65, -r * 1.35 - 0.3, 0, 0.65, -r * 0.8, 2.6, "door")
    top = radius(h)
    gallery = top * g.uniform(1.35, 1.6)
    k.lathe([(top, h - 1.6), (gallery, h - 0.3), (gallery, h), (0, h)], 32, "trim")
    for i in range(20):
        a = TAU * i / 20
        with k.at((gallery - 0.15) * math.cos(a), (gallery - 0.15) * math.sin(a)):
            k.cyl(0.05, h, h + 1.15, "iron", 5)
    for z in (0.6, 1.15):
        rail = [(gallery - 0.19, h + z - 0.05), (gallery - 0.19, h + z), (gallery - 0.1, h + z)]
        k.lathe([*rail, (gallery - 0.1, h + z - 0.05)], 32, "iron")
    lamp, tall = top * 0.68, g.uniform(2.6, 3.8)
    k.cyl(lamp * 1.1, h, h + 1.0, "stripe", 20)
    k.lathe([(lamp, h + 1), (lamp, h + 1 + tall)], 16, "glass", smooth=False)
    for i in range(8):
        a = TAU * i / 8
        with k.at(lamp * math.cos(a), lamp * math.sin(a)):
            k.cyl(0.09, h + 1, h + 1 + tall, "iron", 6)
    k.cyl(lamp * 0.4, h + 1, h + tall * 0.9, "lamp", 12)
    z = h + 1 + tall
    cap = [(lamp * 1.2, z - 0.1), (lamp * 1.15, z + 0.2), (lamp * 0.7, z + 1.2), (0.15, z + 1.9)]
    k.lathe(cap, 24, "stripe", curve=True)
    k.cyl(0.05, z + 1.8, z + 4, "iron", 5)
    with k.at(0, 0, z + 2.1):
        k.ball(0.35, "stripe", 10)
    side = float(g.choice([-1, 1]))
    window = Opening("flat", 0.4, 0.55, 0.25, trim="trim", bars=2)
    w, d, hh = g.uniform(4.5, 6.5), g.uniform(7, 10), g.uniform(3.6, 6.2)
    with k.at(side * (r * 1.2 + w), 0):
        k.block(-w, -1, w, d - 1, 0, hh, "wall2", 4, 2 if hh > 5 else 1, window)
        with k.at(0, d / 2 - 1, 0, PI / 2):
            k.gable(-d / 2, d / 2, -w, w, hh, d * 0.35, "roof", "wall2", 0.4)
        for x in (-w * 0.6, w * 0.6):
            k.box(x - 0.45, d / 2 - 1.4, hh, x + 0.45, d / 2 - 0.6, hh + d * 0.35 + 1.3, "stone")
    shaft = "round" if round_shaft else "octagonal"
    return Built(r * 1.2 + 2 * w, z + 3, f"{shaft}, {'plain' if bands == 1 else 'banded'}")


def windmill(k: Kit, g: Rng) -> Built:
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
    return Built(
        max(r * 1.6, sail * 0.8), h + sail * 0.75, f"{'eight-sided' if n == 8 else 'round'}, {cap}"
    )


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


# ---- arches --------------------------------------------------------------------------------


def aqueduct(k: Kit, g: Rng) -> Built:
    """Row of tall arches in one to three tiers, broken off at one end in some."""
    tiers, bays = int(g.integers(1, 4)), int(g.integers(6, 11))
    span, depth = g.uniform(5.5, 8.0), g.uniform(2.6, 4.0)
    low, kind = span * g.uniform(1.2, 2.0), _pick(g, "round", "round", "gothic")
    broken = g.random() < 0.5
    heights = [low] + [low * g.uniform(0.55, 0.8) for _ in range(tiers - 1)]
    half, z = bays * span / 2, 0.0
    for i, h in enumerate(heights):
        inset = 0.25 * i
        double = 2 if (i and i == tiers - 1 and g.random() < 0.5) else 1
        n = bays - (2 if broken and i else 0)
        x0, x1, d = -half, -half + n * span, depth / 2 - inset
        share = g.uniform(0.66, 0.76) if double == 1 else 0.6
        arch = Opening(kind, share, 0.9, 2 * d, None, None, sill=0, up=0)
        with k.at(x0, -d):
            k.wall(x1 - x0, h, "wall", n * double, 1, arch, z)
        with k.at(x1, d, 0, PI):
            k.wall(x1 - x0, h, "wall", n * double, 1, replace(arch, depth=0.0), z)
        for x in (x0, x1):
            k.box(x - 0.02, -d, z, x + 0.02, d, z + h, "wall")
        z += h
        k.band(x0, -d, x1, d, z - 0.35, 0.5, 0.3, "trim")
        if i == 0 or g.random() < 0.5:  # impost blocks and cutwaters at the piers
            for j in range(n + 1):
                x = x0 + j * span
                k.box(
                    x - span * 0.13,
                    -d - 0.4,
                    z - h,
                    x + span * 0.13,
                    d + 0.4,
                    z - h * 0.55,
                    "wall2",
                )
        for j in range(n):  # keystones
            if double == 1:
                x = x0 + (j + 0.5) * span
                k.box(x - 0.35, -d - 0.16, z - h * 0.115, x + 0.35, -d + 0.1, z - 0.4, "trim")
    k.box(x0, -d, z, x1, -d + 0.5, z + 1.3, "wall")
    k.box(x0, d - 0.5, z, x1, d, z + 1.3, "wall")
    k.band(x0, -d, x1, d, z + 1.3, 0.3, 0.15, "trim")
    note = f"{tiers} tier{'s' if tiers > 1 else ''}, {bays} arches{', broken' if broken else ''}"
    return Built(half * 0.85, z + 2, note)


def arch(k: Kit, g: Rng) -> Built:
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
    crown = _pick(g, "plain", "statues")
    if crown == "statues":
        for x in np.linspace(-w * 0.5, w * 0.5, 5):
            with k.at(x, -d * 0.3, top + 0.6):
                k.statue(3.0 if abs(x) > 0.1 else 4.4, "dome")
    passages = "three passages" if triple else "one passage"
    return Built(w + 2, top + 3, f"{passages}, {crown} attic")


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


def pyramid(k: Kit, g: Rng) -> Built:
    """Stepped pyramid with stairs and a temple on top."""
    steps, half = int(g.integers(4, 9)), g.uniform(18, 25)
    h = half * g.uniform(0.85, 1.2)
    top_half, batter = half * g.uniform(0.26, 0.36), g.uniform(0.15, 0.45)
    four, panels = g.random() < 0.5, int(g.choice([0, 7, 11]))
    tier, shrink = h / steps, (half - top_half) / steps
    for i in range(steps):
        a = half - shrink * i
        b = a - shrink * batter
        z0, z1 = tier * i, tier * (i + 1)
        k.loft(square(a), z0, square(b), z1 - 0.3, "wall" if i % 2 == 0 else "wall2")
        k.box(-b - 0.25, -b - 0.25, z1 - 0.35, b + 0.25, b + 0.25, z1, "trim")
        for side in range(4) if panels else ():
            with k.at(rot=side * PI / 2):
                for j in range(panels):
                    x, m = (2 * (j + 0.5) / panels - 1) * b, b / panels * 0.55
                    k.box(
                        x - m,
                        -a + 0.03,
                        z0 + tier * 0.22,
                        x + m,
                        -b + 0.1,
                        z1 - tier * 0.25,
                        "stone",
                    )
    width = half * g.uniform(0.16, 0.26)
    for side in range(4) if four else (0,):
        with k.at(rot=side * PI / 2):
            _stairs(k, half + 3.0, top_half, h, width)
    z, room = h, g.uniform(4.5, 7.5)
    t, doors = top_half * 0.72, int(g.choice([1, 3]))
    door = Opening("flat", 0.4, 0.7, 0.9, "dark", "trim", 0, 0, sill=0, up=0)
    k.block(-t, -t, t, t, z, z + room, "wall", doors, 1, door)
    k.cornice(-t, -t, t, t, z + room, 0.7, "trim")
    comb = g.random() < 0.55
    if comb:
        k.loft(square(t * 0.95), z + room + 0.5, square(t * 0.6), z + room + 3, "wall2")
        lattice = Opening("flat", 0.5, 0.6, 0.5, "dark", mullions=0, bars=0, sill=0)
        k.block(-t * 0.6, -0.8, t * 0.6, 0.8, z + room + 3, z + room + 7, "frieze", 5, 2, lattice)
        z += 7
    stairs = "four stairs" if four else "one stair"
    return Built(half + 2, z + room, f"{steps} steps, {stairs}{', roof comb' if comb else ''}")


def _stairs(k: Kit, run: float, top: float, h: float, half: float) -> None:
    """Flight from y = -run at the ground to y = -top at height h, with side ramps."""
    n = int(h / 0.42)
    for i in range(n):
        y = -run + (run - top) * i / n
        k.box(-half, y, 0, half, -top + 0.5, h * (i + 1) / n, "stone")
    for side in (-1, 1):
        x0, x1 = sorted((side * half, side * (half + 1.1)))
        ramp = [(-run - 0.4, 0.0), (-run - 0.4, 1.0), (-top, h + 0.9), (-top, 0.0)]
        for x in (x0, x1):
            k.poly([(x, y, z) for y, z in ramp], "trim")
        for (ya, za), (yb, zb) in itertools.pairwise(ramp):
            k.poly([(x0, ya, za), (x1, ya, za), (x1, yb, zb), (x0, yb, zb)], "trim")


FAMILIES: dict[str, Callable[[Kit, Rng], Built]] = {
    "cathedral": cathedral,
    "basilica": basilica,
    "pagoda": pagoda,
    "castle": castle,
    "mosque": mosque,
    "temple": temple,
    "clocktower": clocktower,
    "lighthouse": lighthouse,
    "aqueduct": aqueduct,
    "arch": arch,
    "windmill": windmill,
    "pyramid": pyramid,
}
KIND_NAMES = {"clocktower": "Clock tower", "arch": "Triumphal arch", "pyramid": "Stepped pyramid"}


def title(label: str, built: Built) -> str:
    """Return a landmark's human name, such as 'Cathedral 1 (twin towers, battlements)'."""
    kind, number = label.rsplit("-", 1)
    name = KIND_NAMES.get(kind, kind.capitalize())
    return f"{name} {int(number)} ({built.note})"
