"""Gothic and Romanesque churches."""

from __future__ import annotations

from ..kit import TAU, Kit, Opening, ngon, square
from .parts import PI, Rng, pick


def build(k: Kit, g: Rng) -> str:
    """Gothic or Romanesque church with a west front, towers, flying buttresses and apse."""
    width, length, nave_h = g.uniform(11, 16), g.uniform(38, 60), g.uniform(17, 25)
    tower_w, tower_h = g.uniform(6.5, 9), nave_h * g.uniform(1.35, 2.0)
    single = g.random() < 0.25
    spire = pick(g, "oct", "pyr", "flat", "oct")
    aisle, bays, half = g.uniform(4, 6), int(g.integers(6, 10)), width / 2
    kind = pick(g, "gothic", "gothic", "round")
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
            church_tower(k, g, tower_w / 2, h, kind, spire)
    shape = {"oct": "octagonal spire", "pyr": "tented roof", "flat": "battlements"}[spire]
    note = f"one tower, {shape}" if single else f"twin towers, {shape}"
    return note


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


def church_tower(k: Kit, g: Rng, half: float, h: float, kind: str, spire: str) -> None:
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
