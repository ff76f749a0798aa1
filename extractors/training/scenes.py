"""Procedural scenes: pictures to learn from where no photographs with clear licences are at hand.

Dead leaves (Lee, Mumford, Huang: Occlusion models for natural images, IJCV 2001) with the parts of
buildings: textured shapes with a heavy-tailed size distribution occlude one another in front of a
sky or a texture. Textures are 1/f^a noise with bricks, windows or stripes. That such pictures
teach a network useful features: Baradad et al., Learning to see by looking at noise, NeurIPS 2021.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from extractors.base import RGB

Canvas = NDArray[np.float32]
"""A picture being painted, (H, W, 3), RGB, 0 to 255."""
Mask = NDArray[np.uint8]
"""(H, W), 1 inside a shape."""

VERSION = 1  # raised when the same seed gives another picture
MAX_SIDE = 256  # px
_NOISES = 64  # fields of noise that all scenes cut their textures from
_NOISE_SIDE = 320  # px
_MIN_SIZE = 6  # px, of a shape


def scene(index: int, side: int = 176, seed: int = 0) -> RGB:
    """Scene ``index`` of a seed: (side, side, 3) uint8. The same arguments give the same bytes.

    Args:
        side: px, 32 to ``MAX_SIDE``; another side is another scene, not the same one resized.
    """
    if not 32 <= side <= MAX_SIDE:
        raise ValueError(f"side must be 32 to {MAX_SIDE} px, got {side}")
    rng = np.random.default_rng((seed, index, side))
    canvas = _sky(rng, side) if rng.random() < 0.5 else texture(rng, side, side)
    for _ in range(rng.integers(8, 40)):
        height, width = _leaf_size(rng, side)
        shape = _SHAPES[rng.choice(len(_SHAPES), p=_SHARES)](rng, height, width)
        leaf = _lit(rng, texture(rng, height, width))
        top = int(rng.integers(-(height // 2), side - height // 2))
        left = int(rng.integers(-(width // 2), side - width // 2))
        _paste(canvas, leaf, shape, top, left)
    return np.clip(_graded(rng, canvas), 0, 255).astype(np.uint8)


def texture(rng: np.random.Generator, height: int, width: int) -> Canvas:
    """A surface: two colours mixed by noise, often with a regular pattern; (height, width, 3)."""
    noise = _noise_patch(rng, height, width)[..., None]
    first = rng.uniform(20, 235, 3)
    # Mostly lighter or darker, a little of another hue.
    second = np.clip(first + rng.normal(0, 70) + rng.normal(0, 25, 3), 0, 255)
    surface = np.asarray(first * (1 - noise) + second * noise, np.float32)
    kind = rng.random()
    if kind < 0.35:
        surface = _bricks(rng, surface)
    elif kind < 0.6:
        surface = _windows(rng, surface, noise)
    elif kind < 0.75:
        surface = _stripes(rng, surface)
    return np.clip(surface, 0, 255)


# -- textures -------------------------------------------------------------------------------------


@functools.cache
def _noises() -> tuple[NDArray[np.float32], ...]:
    """Fields of 1/f^a noise, a from 0.8 to 2.2, scaled to 0 .. 1."""
    rng = np.random.default_rng(0)
    frequency = np.fft.fftfreq(_NOISE_SIDE)
    radius = np.hypot(frequency[:, None], frequency[None])
    radius[0, 0] = 1
    fields = []
    for _ in range(_NOISES):
        white = np.fft.fft2(rng.standard_normal((_NOISE_SIDE, _NOISE_SIDE)))
        field = np.fft.ifft2(white / radius ** rng.uniform(0.8, 2.2)).real
        fields.append(((field - field.min()) / np.ptp(field)).astype(np.float32))
    return tuple(fields)


def _noise_patch(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    field = _noises()[rng.integers(_NOISES)]
    top = rng.integers(0, _NOISE_SIDE - height + 1)
    left = rng.integers(0, _NOISE_SIDE - width + 1)
    return field[top : top + height, left : left + width]


def _bricks(rng: np.random.Generator, surface: Canvas) -> Canvas:
    """Courses of stones, every second one shifted by half a stone, with joints."""
    height, width = surface.shape[:2]
    stone_h, stone_w = rng.integers(4, 16), rng.integers(6, 30)
    rows = np.arange(height)[:, None]
    course = rows // stone_h
    columns = np.arange(width)[None] + (course % 2) * (stone_w // 2)
    joint = (rows % stone_h < 1) | (columns % stone_w < 1)
    # A cheap hash gives each stone a shade of its own.
    shade = (course * 73856093 + columns // stone_w * 19349663) % 97 / 97 - 0.5
    light = (1 + rng.uniform(0, 0.25) * shade) * np.where(joint, rng.uniform(0.4, 0.8), 1)
    return np.asarray(surface * light[..., None], np.float32)


def _windows(rng: np.random.Generator, surface: Canvas, noise: Canvas) -> Canvas:
    """A grid of rectangular openings of one colour."""
    height, width = surface.shape[:2]
    period_h, period_w = rng.integers(8, 40), rng.integers(8, 36)
    share_h, share_w = rng.uniform(0.3, 0.7, 2)
    rows = np.arange(height) % period_h < share_h * period_h
    columns = np.arange(width) % period_w < share_w * period_w
    opening = rng.uniform(0, 255, 3) * (0.7 + 0.3 * noise)
    inside = (rows[:, None] & columns[None])[..., None]
    return np.asarray(np.where(inside, opening, surface), np.float32)


def _stripes(rng: np.random.Generator, surface: Canvas) -> Canvas:
    """Columns, steps or slanting stripes."""
    height, width = surface.shape[:2]
    angle = rng.choice([0.0, np.pi / 2, rng.uniform(0, np.pi)])
    along = np.arange(width)[None] * np.cos(angle) + np.arange(height)[:, None] * np.sin(angle)
    light = np.sin(2 * np.pi * along / rng.integers(4, 24)) > rng.uniform(-0.5, 0.5)
    return np.asarray(surface * np.where(light, rng.uniform(0.5, 0.9), 1)[..., None], np.float32)


# -- shapes ---------------------------------------------------------------------------------------


def _leaf_size(rng: np.random.Generator, side: int) -> tuple[int, int]:
    """Height and width in px: many small, few large (Pareto), as objects in photos are."""
    unit = side / 7
    height, width = np.clip(rng.pareto(1.5, 2) * unit + unit / 3, _MIN_SIZE, side).astype(int)
    return int(height), int(width)


def _rectangle(rng: np.random.Generator, height: int, width: int) -> Mask:
    return np.ones((height, width), np.uint8)


def _ellipse(rng: np.random.Generator, height: int, width: int) -> Mask:
    mask = np.zeros((height, width), np.uint8)
    cv2.ellipse(mask, (width // 2, height // 2), (width // 2, height // 2), 0, 0, 360, 1, -1)
    return mask


def _polygon(rng: np.random.Generator, height: int, width: int) -> Mask:
    corners = np.stack([rng.integers(0, width, 5), rng.integers(0, height, 5)], 1)
    return _filled(corners, height, width)


def _quadrangle(rng: np.random.Generator, height: int, width: int) -> Mask:
    """A wall seen at an angle: its left and right edges differ in length."""
    shrink = rng.uniform(0, 0.4, 2) * height
    edges = [[0, 0], [width, shrink[0]], [width, height - shrink[1]], [0, height]]
    corners = np.array(edges)
    if rng.random() < 0.5:
        corners[:, 0] = width - corners[:, 0]
    return _filled(corners, height, width)


def _gable(rng: np.random.Generator, height: int, width: int) -> Mask:
    top = rng.uniform(0.2, 1) * height  # 1: a triangle; less: a house
    corners = [[0, height], [0, top], [width / 2, 0], [width, top], [width, height]]
    return _filled(np.array(corners), height, width)


def _arch(rng: np.random.Generator, height: int, width: int) -> Mask:
    """A rectangle with a round top, solid (a dome) or with an opening (a gate)."""
    mask = np.zeros((height, width), np.uint8)
    rise = max(1, height // 3)
    cv2.rectangle(mask, (0, rise), (width, height), 1, -1)
    cv2.ellipse(mask, (width // 2, rise), (width // 2, rise), 0, 180, 360, 1, -1)
    if rng.random() < 0.5:
        half = max(1, width // 4)
        cv2.rectangle(mask, (width // 2 - half, height // 2), (width // 2 + half, height), 0, -1)
        cv2.ellipse(mask, (width // 2, height // 2), (half, half), 0, 180, 360, 0, -1)
    return mask


def _filled(corners: NDArray[np.generic], height: int, width: int) -> Mask:
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [corners.astype(np.int32)], 1)
    return mask


_SHAPES: tuple[Callable[[np.random.Generator, int, int], Mask], ...] = (
    _rectangle,
    _quadrangle,
    _ellipse,
    _polygon,
    _gable,
    _arch,
)
_SHARES = (0.25, 0.2, 0.1, 0.15, 0.15, 0.15)


# -- painting -------------------------------------------------------------------------------------


def _sky(rng: np.random.Generator, side: int) -> Canvas:
    """A vertical gradient with soft clouds."""
    down = np.linspace(0, 1, side, dtype=np.float32)[:, None, None]
    gradient = rng.uniform(120, 255, 3) * (1 - down) + rng.uniform(150, 255, 3) * down
    clouds = rng.uniform(0, 60) * (_noise_patch(rng, side, side)[..., None] - 0.5)
    return np.clip(gradient + clouds, 0, 255).astype(np.float32)


def _lit(rng: np.random.Generator, surface: Canvas) -> Canvas:
    """Light from one side on some of the shapes, so that they look round or recede."""
    if rng.random() >= 0.4:
        return surface
    fall = np.linspace(1, rng.uniform(0.5, 0.9), surface.shape[1], dtype=np.float32)
    if rng.random() < 0.5:
        fall = fall[::-1]
    return np.asarray(surface * fall[None, :, None], np.float32)


def _paste(canvas: Canvas, leaf: Canvas, shape: Mask, top: int, left: int) -> None:
    """Paint the leaf where its shape is 1, cut at the canvas's border."""
    height, width = shape.shape
    y0, y1 = max(top, 0), min(top + height, canvas.shape[0])
    x0, x1 = max(left, 0), min(left + width, canvas.shape[1])
    inside = shape[y0 - top : y1 - top, x0 - left : x1 - left, None] > 0
    part = leaf[y0 - top : y1 - top, x0 - left : x1 - left]
    np.copyto(canvas[y0:y1, x0:x1], part, where=inside)


def _graded(rng: np.random.Generator, canvas: Canvas) -> Canvas:
    """One light for the whole scene: saturation and contrast."""
    grey = canvas.mean(axis=2, keepdims=True)
    coloured = grey + (canvas - grey) * rng.uniform(0.2, 0.9)
    return np.asarray((coloured - 128) * rng.uniform(0.7, 1.1) + 128, np.float32)
