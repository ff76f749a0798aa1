"""Mesh kit: polygons in metres, z up, fronts facing -y, metric texture coordinates.

A `Kit` collects faces with a material name, UV coordinates in metres, a smooth flag and a random
number per face; `scene.to_mesh` turns it into one Blender mesh with material slots.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

TAU = 2 * math.pi
Point2 = tuple[float, float]


def ngon(radius: float, n: int, x: float = 0.0, y: float = 0.0, rot: float = 0.0) -> list[Point2]:
    """Return the n corners (metres) of a regular polygon, the first at angle `rot` (radians)."""
    angles = [rot + TAU * i / n for i in range(n)]
    return [(x + radius * math.cos(a), y + radius * math.sin(a)) for a in angles]


def square(half: float) -> list[Point2]:
    """Return the corners of an axis-aligned square with half side `half` (metres)."""
    return ngon(half * math.sqrt(2), 4, rot=math.pi / 4)


def edges(x0: float, y0: float, x1: float, y1: float) -> list[tuple[Point2, Point2]]:
    """Return the four sides of a rectangle, in counter-clockwise order."""
    c = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    return [(c[i], c[(i + 1) % 4]) for i in range(4)]


def _normal(points: list[list[float]]) -> tuple[float, float, float]:
    """Return the unit normal of a flat polygon (Newell's method; plain floats are faster here)."""
    x = y = z = 0.0
    for (ax, ay, az), (bx, by, bz) in zip(points, points[1:] + points[:1], strict=True):
        x += (ay - by) * (az + bz)
        y += (az - bz) * (ax + bx)
        z += (ax - bx) * (ay + by)
    length = math.sqrt(x * x + y * y + z * z) + 1e-12
    return x / length, y / length, z / length


@dataclass(frozen=True)
class Opening:
    """A window, door or archway, one per cell of a wall; shares are of the cell's width or height.

    `glass` names the material of the pane; None leaves the opening free, to be seen through.
    """

    kind: str = "flat"  # flat, round, segment, gothic or keel
    w: float = 0.5
    h: float = 0.6
    depth: float = 0.35  # metres behind the wall face
    glass: str | None = "glass"
    trim: str | None = None
    mullions: int = 1
    bars: int = 1
    sill: float = 0.18  # metres, 0 = none
    up: float = 0.45  # share of the free height that lies below the opening
    frame: str | None = None


SLIT = Opening(w=0.06, h=0.18, depth=0.6, glass="dark", mullions=0, bars=0, sill=0)


class Kit:
    """Collects the faces of one mesh under a stack of transforms (see `at`)."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.vertices: list[np.ndarray] = []  # blocks of shape (n, 3), metres
        self.faces: list[list[int]] = []
        self.materials: list[str] = []
        self.uvs: list[np.ndarray] = []  # blocks of shape (corners, 2), metres
        self.smooth: list[bool] = []
        self.random: list[float] = []
        self.transform = np.eye(4)
        self._count = 0

    @contextmanager
    def at(
        self,
        x: float = 0.0,
        y: float = 0.0,
        z: float = 0.0,
        rot: float = 0.0,
        scale: float | Sequence[float] = 1.0,
        tilt: float = 0.0,
    ) -> Iterator[Kit]:
        """Work in a local frame: scaled, tilted about x, turned about z (radians), then moved."""
        old = self.transform
        c, s = math.cos(rot), math.sin(rot)
        ct, st = math.cos(tilt), math.sin(tilt)
        turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        lean = np.array([[1, 0, 0], [0, ct, -st], [0, st, ct]])
        local = np.eye(4)
        local[:3, :3] = turn @ lean @ np.diag(np.broadcast_to(scale, 3))
        local[:3, 3] = (x, y, z)
        self.transform = old @ local
        try:
            yield self
        finally:
            self.transform = old

    def _place(self, points: np.ndarray) -> tuple[np.ndarray, int]:
        """Transform points (n, 3), store them, and return them with the first one's index."""
        placed = points @ self.transform[:3, :3].T + self.transform[:3, 3]
        first = self._count
        self.vertices.append(placed)
        self._count += len(placed)
        return placed, first

    # ---- faces -----------------------------------------------------------------------------

    def poly(self, points: Sequence[Sequence[float]], material: str) -> None:
        """Add one flat polygon; its UV is metric along the wall, or plan x-y when level."""
        p, first = self._place(np.asarray(points, float))
        nx, ny, _ = _normal(p.tolist())
        steep = math.hypot(nx, ny)
        if steep < 0.35:
            uv = p[:, :2]
        else:
            along = p[:, 0] * (-ny / steep) + p[:, 1] * (nx / steep)
            uv = np.stack([along, p[:, 2] / steep], 1)
        self.faces.append(list(range(first, first + len(p))))
        self.materials.append(material)
        self.uvs.append(uv)
        self.smooth.append(False)
        self.random.append(self.rng.random())

    def grid(self, points: np.ndarray, uv: np.ndarray, material: str, smooth: bool = True) -> None:
        """Add a (rows, columns, 3) array of points as one surface with shared vertices."""
        rows, cols = points.shape[:2]
        _, first = self._place(points.reshape(-1, 3))
        flat = uv.reshape(-1, 2)
        for i in range(rows - 1):
            for j in range(cols - 1):
                a = i * cols + j
                index = [a, a + 1, a + cols + 1, a + cols]
                self.faces.append([first + k for k in index])
                self.uvs.append(flat[index])
        n = (rows - 1) * (cols - 1)
        self.materials += [material] * n
        self.smooth += [smooth] * n
        self.random += self.rng.random(n).tolist()

    def quads(self, corners: np.ndarray, material: str) -> None:
        """Add loose quads, corners of shape (n, 4, 3): leaves."""
        n = len(corners)
        _, first = self._place(corners.reshape(-1, 3))
        self.faces += (first + np.arange(4 * n).reshape(n, 4)).tolist()
        self.materials += [material] * n
        self.uvs.append(np.tile([[0, 0], [1, 0], [1, 1], [0, 1.0]], (n, 1)))
        self.smooth += [False] * n
        self.random += self.rng.random(n).tolist()

    # ---- solids ----------------------------------------------------------------------------

    def box(
        self, x0: float, y0: float, z0: float, x1: float, y1: float, z1: float, material: str
    ) -> None:
        """Add a box between two corners (metres), with its underside."""
        self.prism([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], z0, z1, material)
        self.poly([(x0, y1, z0), (x1, y1, z0), (x1, y0, z0), (x0, y0, z0)], material)

    def prism(self, plan: Sequence[Point2], z0: float, z1: float, material: str) -> None:
        """Add an upright prism over a plan polygon, with its top."""
        self.loft(plan, z0, plan, z1, material)
        self.poly([(x, y, z1) for x, y in plan], material)

    def loft(
        self, low: Sequence[Point2], z0: float, high: Sequence[Point2], z1: float, material: str
    ) -> None:
        """Add the sides between two plan polygons with the same number of corners."""
        n = len(low)
        for i in range(n):
            j = (i + 1) % n
            face = [(*low[i], z0), (*low[j], z0), (*high[j], z1), (*high[i], z1)]
            if math.dist(high[i], high[j]) < 1e-6:
                face = face[:3]
            self.poly(face, material)

    def pyramid(self, plan: Sequence[Point2], z0: float, z1: float, material: str) -> None:
        """Add a pyramid (or spire) over a plan polygon."""
        cx, cy = np.mean(plan, 0)
        self.loft(plan, z0, [(cx, cy)] * len(plan), z1, material)

    def lathe(
        self,
        profile: Sequence[Sequence[float]] | np.ndarray,
        n: int,
        material: str,
        curve: bool = False,
        smooth: bool = True,
        a0: float = 0.0,
        a1: float = TAU,
    ) -> None:
        """Turn a profile of (radius, z) pairs about z, n facets; `curve` shades across rings."""
        prof = np.asarray(profile, float)
        a = np.linspace(a0, a1, n + 1)
        length = np.r_[0, np.cumsum(np.hypot(*np.diff(prof, axis=0).T))]
        r_max = prof[:, 0].max()
        z = np.repeat(prof[:, 1:], n + 1, 1)
        points = np.stack([prof[:, :1] * np.cos(a), prof[:, :1] * np.sin(a), z], -1)
        across = np.repeat((a * r_max)[None], len(prof), 0)
        uv = np.stack([across, np.repeat(length[:, None], n + 1, 1)], -1)
        if curve:
            self.grid(points, uv, material, smooth)
            return
        for i in range(len(prof) - 1):
            self.grid(points[i : i + 2], uv[i : i + 2], material, smooth)

    def cyl(
        self, r: float, z0: float, z1: float, material: str, n: int = 16, r1: float | None = None
    ) -> None:
        """Add a cylinder or truncated cone with its top."""
        top = r if r1 is None else r1
        self.lathe([(r, z0), (top, z1), (0, z1)], n, material)

    def ball(
        self, r: float, material: str, n: int = 16, half: bool = False, k: float = 1.0
    ) -> None:
        """Add a sphere (or upper half), stretched by k along z."""
        t = np.linspace(0 if half else -math.pi / 2, math.pi / 2, n // 2 + 1)
        self.lathe(np.stack([r * np.cos(t), k * r * np.sin(t)], 1), n, material, curve=True)

    def gable(
        self,
        x0: float,
        x1: float,
        y0: float,
        y1: float,
        z: float,
        rise: float,
        roof: str,
        wall: str,
        over: float = 0.5,
        thick: float = 0.25,
    ) -> None:
        """Add a pitched roof with its ridge along y and triangular end walls."""
        xm, slope = (x0 + x1) / 2, rise / ((x1 - x0) / 2)
        for side, xe in ((-1, x0), (1, x1)):
            x, low, ya, yb = xe + side * over, z - slope * over, y0 - over, y1 + over
            top = [(x, ya, low), (x, yb, low), (xm, yb, z + rise), (xm, ya, z + rise)][::side]
            self.poly(top, roof)
            self.poly([(p[0], p[1], p[2] - thick) for p in top[::-1]], roof)
            self.poly(
                [(x, ya, low), (x, yb, low), (x, yb, low - thick), (x, ya, low - thick)], roof
            )
            for y in (ya, yb):
                edge = [(x, y, low), (xm, y, z + rise)]
                self.poly(edge + [(px, y, pz - thick) for px, _, pz in edge[::-1]], wall)
        for y, order in ((y0, 1), (y1, -1)):
            self.poly([(x0, y, z), (x1, y, z), (xm, y, z + rise)][::order], wall)

    # ---- walls with openings ---------------------------------------------------------------

    @staticmethod
    def arch(kind: str, x0: float, x1: float, y1: float, n: int = 5) -> list[Point2]:
        """Return the top outline of an opening, from its left to its right springing."""
        w, xm = x1 - x0, (x0 + x1) / 2
        steps = [math.pi * i / (2 * n) for i in range(2 * n + 1)]
        if kind == "flat":
            return [(x0, y1), (x1, y1)]
        if kind == "round":
            return [(xm - w / 2 * math.cos(t), y1 - w / 2 + w / 2 * math.sin(t)) for t in steps]
        if kind == "segment":
            return [
                (x0 + w * i / (2 * n), y1 - 0.25 * w + 0.25 * w * math.sin(t))
                for i, t in enumerate(steps)
            ]
        k, rise = (1.0, 0.87 * w) if kind == "gothic" else (0.62, 0.72 * w)  # two arcs
        left = []
        for i in range(n + 1):
            t = math.acos(1 - i / n * k) / math.acos(1 - k) * math.pi / 2
            left.append((x0 + (w / 2) * i / n, y1 - rise + rise * math.sin(t)))
        return left + [(2 * xm - x, y) for x, y in left[-2::-1]]

    def wall(
        self,
        width: float,
        height: float,
        material: str,
        cols: int = 1,
        rows: int = 1,
        opening: Opening | None = None,
        z0: float = 0.0,
    ) -> None:
        """Add a wall in the local x-z plane from (0, 0), facing -y, one opening per cell."""
        o = opening or Opening()
        cw, ch = width / cols, height / rows
        for row in range(rows):
            for col in range(cols):
                self._cell(o, material, col * cw, z0 + row * ch, cw, ch)

    def _cell(
        self, o: Opening, material: str, left: float, low: float, cw: float, ch: float
    ) -> None:
        def q(x: float, z: float, d: float = 0.0) -> tuple[float, float, float]:
            return (x, d, z)

        right, high = left + cw, low + ch
        w, h = o.w * cw, o.h * ch
        x0, y0 = left + (cw - w) / 2, low + (ch - h) * o.up
        x1, y1 = x0 + w, y0 + h
        head = self.arch(o.kind, x0, x1, y1)
        spring = head[0][1]
        if y0 > low + 1e-6:
            self.poly([q(left, low), q(right, low), q(right, y0), q(left, y0)], material)
        for a, b in ((left, x0), (x1, right)):
            self.poly([q(a, y0), q(b, y0), q(b, spring), q(a, spring)], material)
            self.poly([q(a, spring), q(b, spring), q(b, high), q(a, high)], material)
        for a, b in itertools.pairwise(head):
            self.poly([q(*a), q(*b), q(b[0], high), q(a[0], high)], material)
        outline = [(x0, y0), (x1, y0), *head[::-1]]
        trim = o.trim or material
        if o.depth > 0.02:
            for a, b in zip(outline, outline[1:] + outline[:1], strict=True):
                if math.dist(a, b) > 1e-6:
                    self.poly([q(*a), q(*b), q(*b, o.depth), q(*a, o.depth)], trim)
        if o.trim:
            self._surround(o, trim, head, (x0, y0, x1, y1))
        if o.sill:
            self.box(x0 - 0.1 * w, -0.22, y0 - o.sill, x1 + 0.1 * w, 0.02, y0, trim)
        if o.glass is None:
            return
        self.poly([q(*p, o.depth) for p in outline], o.glass)
        bar, frame = 0.035 * w + 0.03, o.frame or trim
        near, far = o.depth - 0.12, o.depth - 0.01
        short = 0 if o.kind == "flat" else 0.12 * w
        for i in range(o.mullions):
            x = x0 + w * (i + 1) / (o.mullions + 1)
            self.box(x - bar, near, y0, x + bar, far, y1 - short, frame)
        for i in range(o.bars):
            z = y0 + (spring - y0) * (i + 1) / (o.bars + (o.kind == "flat"))
            self.box(x0, near, z - bar, x1, far, z + bar, frame)

    def _surround(
        self, o: Opening, trim: str, head: list[Point2], rect: tuple[float, float, float, float]
    ) -> None:
        """Add a raised frame around an opening."""
        x0, y0, x1, y1 = rect
        w, proud = x1 - x0, -0.12
        e, xm, spring = 0.12 * w, (x0 + x1) / 2, head[0][1]
        if o.kind == "flat":
            out = [(x0 - e, y1 + e), (x1 + e, y1 + e)]
        else:
            k = 1 + 2 * e / w
            out = [
                (xm + (x - xm) * k, (y - spring) * k + spring if y > spring else y) for x, y in head
            ]
        inner = [(x0, y0), *head, (x1, y0)]
        outer = [(x0 - e, y0), *out, (x1 + e, y0)]
        for a, b, c, d in zip(inner, inner[1:], outer, outer[1:], strict=False):
            front = [(p[0], proud, p[1]) for p in (c, d, b, a)]
            self.poly(front, trim)
            for p, r in ((d, c), (a, b)):
                self.poly(
                    [(p[0], 0, p[1]), (r[0], 0, r[1]), (r[0], proud, r[1]), (p[0], proud, p[1])],
                    trim,
                )

    def block(
        self,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        z0: float,
        z1: float,
        material: str,
        cols: int,
        rows: int,
        opening: Opening | None = None,
        cols_side: int | None = None,
        sides: str = "fblr",
    ) -> None:
        """Add a box whose named sides (front, back, left, right) are walls with openings."""
        frames = {
            "f": (x0, y0, 0.0, x1 - x0),
            "r": (x1, y0, math.pi / 2, y1 - y0),
            "b": (x1, y1, math.pi, x1 - x0),
            "l": (x0, y1, -math.pi / 2, y1 - y0),
        }
        for side, (x, y, rot, width) in frames.items():
            n = cols
            if side in "lr":
                n = cols_side or max(1, round(cols * (y1 - y0) / (x1 - x0)))
            with self.at(x, y, 0, rot):
                if side in sides:
                    self.wall(width, z1 - z0, material, n, rows, opening, z0)
                else:
                    self.poly([(0, 0, z0), (width, 0, z0), (width, 0, z1), (0, 0, z1)], material)
        self.poly([(x0, y0, z1), (x1, y0, z1), (x1, y1, z1), (x0, y1, z1)], material)

    # ---- ornament --------------------------------------------------------------------------

    def band(
        self, x0: float, y0: float, x1: float, y1: float, z: float, h: float, out: float, mat: str
    ) -> None:
        """Add a string course: a box `out` metres proud of the rectangle."""
        self.box(x0 - out, y0 - out, z, x1 + out, y1 + out, z + h, mat)

    def cornice(
        self, x0: float, y0: float, x1: float, y1: float, z: float, size: float, mat: str
    ) -> None:
        """Add a three-step cornice."""
        for i, out in enumerate((0.45, 0.75, 1.0)):
            z_i = z + i * 0.3 * size
            self.band(x0, y0, x1, y1, z_i, 0.3 * size + 0.02, size * out, mat)

    def column(
        self, x: float, y: float, z: float, h: float, r: float, mat: str, n: int = 14
    ) -> None:
        """Add a classical column with plinth, tapered shaft and capital."""
        with self.at(x, y, z):
            self.box(-1.25 * r, -1.25 * r, 0, 1.25 * r, 1.25 * r, 0.35 * r, mat)
            shaft = [(1.2 * r, 0.35 * r), (1.2 * r, 0.6 * r), (r, 0.8 * r), (r, h * 0.35)]
            capital = [(0.84 * r, h - 1.1 * r), (r, h - 0.9 * r), (1.3 * r, h - 0.4 * r)]
            self.lathe(shaft + capital, n, mat)
            self.box(-1.35 * r, -1.35 * r, h - 0.4 * r, 1.35 * r, 1.35 * r, h, mat)

    def stump(self, x: float, y: float, z: float, h: float, r: float, mat: str) -> None:
        """Add a broken column."""
        with self.at(x, y, z):
            self.box(-1.25 * r, -1.25 * r, 0, 1.25 * r, 1.25 * r, 0.35 * r, mat)
            self.lathe([(r, 0.3 * r), (r * 0.95, h), (0, h + 0.2)], 14, mat)

    def merlons(
        self,
        p: Point2,
        q: Point2,
        z: float,
        mat: str,
        w: float = 0.9,
        h: float = 1.1,
        t: float = 0.5,
    ) -> None:
        """Add battlements along the line p-q: width, height and thickness in metres."""
        a, b = np.array(p), np.array(q)
        n = max(2, int(np.linalg.norm(b - a) / (2 * w)))
        rot = math.atan2(*(b - a)[::-1])
        for i in range(n):
            c = a + (b - a) * (i + 0.5) / n
            with self.at(c[0], c[1], z, rot):
                self.box(-w / 2, -t / 2, 0, w / 2, t / 2, h, mat)

    def battlement(self, x0: float, y0: float, x1: float, y1: float, z: float, mat: str) -> None:
        """Add battlements around a rectangle."""
        for p, q in edges(x0, y0, x1, y1):
            self.merlons(p, q, z, mat)

    def statue(self, h: float, mat: str) -> None:
        """Add a standing figure on a plinth, h metres in all."""
        with self.at(scale=h / 4.2):
            self.box(-0.7, -0.7, 0, 0.7, 0.7, 0.9, mat)
            robe = [(0.55, 0.9), (0.62, 1.3), (0.4, 2.4), (0.52, 3.0), (0.45, 3.4), (0.15, 3.6)]
            self.lathe(robe, 10, mat, curve=True)
            with self.at(0, 0, 3.8):
                self.ball(0.27, mat, 10)
            for x, y, low, high in ((0.45, -0.1, -1.2, 1.0), (-0.45, -0.1, -0.3, 0.6)):
                with self.at(x, y, 3.2, tilt=self.rng.uniform(low, high)):
                    self.cyl(0.14, -1.1, 0, mat, 6)

    def clock(self, r: float, z: float, y: float) -> None:
        """Add a clock dial of radius r at local (0, y, z), facing -y."""
        with self.at(0, y, z, tilt=math.pi / 2):
            self.cyl(r, 0, 0.12, "face", 40)
            rim = [(r, 0), (r * 1.12, 0), (r * 1.12, 0.3), (r, 0.3), (r, 0.12)]
            self.lathe(rim, 40, "gold")
            for i in range(12):
                with self.at(0, 0, 0.13, i * math.pi / 6):
                    self.box(-0.05 * r, 0.72 * r, 0, 0.05 * r, 0.93 * r, 0.05, "iron")
            for length, w in ((0.6, 0.06), (0.85, 0.04)):
                with self.at(0, 0, 0.16, self.rng.uniform(0, TAU)):
                    self.box(-w * r, -0.1 * r, 0, w * r, length * r, 0.06, "iron")
