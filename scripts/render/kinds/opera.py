"""Opera houses of concrete shells."""

from __future__ import annotations

import itertools

import numpy as np

from ..kit import Kit, Opening
from .parts import PI, Rng


def build(k: Kit, g: Rng) -> str:
    """Halls under nested shells on a stepped platform."""
    halls, shells = int(g.integers(1, 3)), int(g.integers(2, 5))
    w, h = g.uniform(9, 12), g.uniform(17, 23)
    power, lean = g.uniform(1.4, 1.9), g.uniform(0.2, 0.45)
    with k.at(rot=float(g.choice([-1, 1])) * g.uniform(0.9, 1.25)):  # shown from the side
        _halls(k, halls, shells, w, h, lean, power)
    return f"{halls} hall{'s' if halls > 1 else ''} of {shells + 1} shells"


def _halls(k: Kit, halls: int, shells: int, w: float, h: float, lean: float, power: float) -> None:
    half, step = halls * w * 1.15 + 3, w * 0.95
    length = step * (shells + 1.5)
    k.box(-half, -9, 0, half, length + 8, 2.2, "stone")
    for i in range(11):
        k.box(-half * 0.7, -13 + i * 0.4, 0, half * 0.7, -9, 0.2 + i * 0.2, "stone")
    wall = Opening("flat", 0.86, 0.7, 0.4, "glass", "trim", 3, 0, sill=0)
    k.block(-half + 3, -5, half - 3, length + 4, 2.2, 5.2, "trim", int(half / 2), 1, wall)
    for hall in range(halls):
        x = (hall - (halls - 1) / 2) * w * 2.2
        size = 1 - 0.22 * hall
        for i in range(shells):  # growing to the back, then one that looks the other way
            with k.at(x, i * step * size, 5.0, scale=size * (1 - 0.16 * (shells - 1 - i))):
                _shell(k, w, h, w * 1.5, lean, power)
        with k.at(x, (shells + 1.1) * step * size, 5.0, PI, scale=size * 0.72):
            _shell(k, w, h, w * 1.6, lean, power)


def _shell(k: Kit, w: float, h: float, length: float, lean: float, power: float) -> None:
    """Pointed shell open towards -y, its mouth glazed; it comes to a point at the ground."""

    def surface(inset: float) -> np.ndarray:
        u, v = np.linspace(0, 1, 13)[:, None], np.linspace(-1, 1, 25)[None]
        span, rise = (w - inset) * (1 - u**1.6), (h - inset) * (1 - u**2.2)
        x = span * np.sign(v) * np.abs(v) ** 0.8
        z = rise * (1 - np.abs(v) ** power)
        y = length * u - lean * z + 0 * v
        return np.stack([x + 0 * u, y, z], -1)

    outer, inner = surface(0.0), surface(0.45)
    uv = np.stack([outer[..., 0], outer[..., 2]], -1)
    k.grid(outer, uv, "shell")
    k.grid(inner[:, ::-1], uv, "trim")
    rim = np.stack([inner[0], outer[0]])
    k.grid(rim, rim[..., [0, 2]], "shell", smooth=False)
    mouth = inner[2] * [0.97, 1.0, 0.98]
    for a, b in itertools.pairwise(mouth):
        k.poly([(a[0], a[1] + lean * a[2] * 0.5, 0), (b[0], b[1] + lean * b[2] * 0.5, 0), b, a],
               "glass")  # fmt: skip
        k.poly([(a[0] - 0.09, a[1] - 0.1, a[2]), (a[0] + 0.09, a[1] - 0.1, a[2]),
                (a[0] + 0.09, a[1] + lean * a[2] * 0.5 - 0.1, 0),
                (a[0] - 0.09, a[1] + lean * a[2] * 0.5 - 0.1, 0)], "iron")  # fmt: skip
