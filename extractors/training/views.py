"""Random views of pictures: what a camera elsewhere, on another day, would have seen.

A whole batch is made at once by torch on the device that trains, each picture with parameters of
its own. The parameters come from a numpy generator, so that they do not depend on the device.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

_CORNERS = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], np.float64)  # of a view, x and y
_OVERSAMPLE = 2  # samples per px and axis: shrinking without aliasing
_BLUR_TAPS = 7


@dataclasses.dataclass(frozen=True)
class ViewConfig:
    """How much views differ; intervals are uniform. Sizes are shares of the picture's side."""

    size: tuple[float, float] = (0.45, 1.0)  # side of the region that is seen
    perspective: float = 0.12  # how far corners are moved, share of the region; 0 = off
    turn: float = 12.0  # degrees to either side; 0 = off
    brightness: tuple[float, float] = (0.55, 1.3)
    gain: tuple[float, float] = (0.75, 1.25)  # per channel: colour of the light
    offset: float = 0.1  # of 1 (white), to either side
    grey: float = 0.25  # probability of losing the colours
    blur: float = 0.4  # probability
    blur_sigma: tuple[float, float] = (0.3, 1.6)  # px
    erase: float = 0.5  # probability of an occluding rectangle
    noise: float = 0.04  # largest standard deviation, of 1 (white)


STRONG = ViewConfig()
"""For pictures that do not differ otherwise."""

GENTLE = ViewConfig(
    size=(0.7, 1.0),
    perspective=0.06,
    turn=6.0,
    brightness=(0.75, 1.25),
    gain=(0.92, 1.08),
    offset=0.04,
    grey=0.05,
    blur=0.1,
    blur_sigma=(0.3, 0.8),
    erase=0.1,
    noise=0.02,
)
"""For photos that differ by themselves: their landmark stays in sight."""


def between(first: ViewConfig, second: ViewConfig, share: float) -> ViewConfig:
    """Views that differ more than the first's and less than the second's; share 0 to 1."""
    a, b = dataclasses.asdict(first), dataclasses.asdict(second)
    mixed: dict[str, Any] = {
        name: tuple((1 - share) * x + share * y for x, y in zip(a[name], b[name], strict=True))
        if isinstance(a[name], tuple)
        else (1 - share) * a[name] + share * b[name]
        for name in a
    }
    return ViewConfig(**mixed)


def random_views(
    pictures: Tensor, pixels: int, rng: np.random.Generator, config: ViewConfig | None = None
) -> Tensor:
    """One view of each picture.

    Args:
        pictures: (B, H, W, 3) uint8 RGB, on any device.
        pixels: side of the views.
        rng: gives all parameters; the same generator state gives the same views.
        config: None: ``ViewConfig()``.

    Returns:
        (B, 3, pixels, pixels) float32 in [0, 1], on the device of ``pictures``.
    """
    config = config or ViewConfig()
    count, device = len(pictures), pictures.device
    grid = _grid(homographies(regions(count, rng, config)), pixels * _OVERSAMPLE, device)
    source = pictures.permute(0, 3, 1, 2).float().div_(255.0)
    seen = F.grid_sample(source, grid, padding_mode="reflection", align_corners=False)
    seen = F.avg_pool2d(seen, _OVERSAMPLE)
    seen = _lit(seen, rng, config)
    seen = _blurred(seen, rng, config)
    seen = _occluded(seen, rng, config)
    return _noisy(seen, rng, config).clamp_(0, 1)


def regions(count: int, rng: np.random.Generator, config: ViewConfig) -> NDArray[np.float64]:
    """The quadrangles that are seen: (count, 4, 2) x, y; the picture is [-1, 1] x [-1, 1]."""
    size = rng.uniform(*config.size, (count, 1, 1))
    centre = rng.uniform(-1, 1, (count, 1, 2)) * (1 - size)
    angle = np.radians(rng.uniform(-config.turn, config.turn, count))
    turn = np.stack([np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle)], axis=1).reshape(
        count, 2, 2
    )
    shaken = _CORNERS + 2 * config.perspective * rng.uniform(-1, 1, (count, 4, 2))
    return np.asarray(centre + size * (shaken @ turn))


def homographies(quadrangles: NDArray[np.float64]) -> NDArray[np.float64]:
    """(B, 3, 3) that map the corners of [-1, 1] x [-1, 1] to the quadrangles' (B, 4, 2)."""
    count = len(quadrangles)
    rows = np.zeros((count, 8, 8))
    x, y = _CORNERS[:, 0], _CORNERS[:, 1]
    for axis in range(2):
        target = quadrangles[:, :, axis]
        part = rows[:, axis::2]
        part[:, :, 3 * axis : 3 * axis + 3] = np.stack([x, y, np.ones(4)], axis=1)
        part[:, :, 6] = -x * target
        part[:, :, 7] = -y * target
    found = np.linalg.solve(rows, quadrangles.reshape(count, 8, 1))[..., 0]
    return np.concatenate([found, np.ones((count, 1))], axis=1).reshape(count, 3, 3)


def _grid(matrices: NDArray[np.float64], side: int, device: torch.device) -> Tensor:
    """Where each px of the views lies in its picture: (B, side, side, 2)."""
    centres = (torch.arange(side, device=device, dtype=torch.float32) + 0.5) * 2 / side - 1
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    points = torch.stack([x, y, torch.ones_like(x)], dim=-1).reshape(1, -1, 3)
    matrix = torch.from_numpy(matrices.astype(np.float32)).to(device)
    mapped = points @ matrix.transpose(1, 2)
    return (mapped[..., :2] / mapped[..., 2:].clamp(min=1e-3)).reshape(-1, side, side, 2)


def _per_picture(values: NDArray[np.float64], like: Tensor) -> Tensor:
    """(B,) or (B, 3) -> broadcastable to (B, 3, H, W)."""
    return torch.from_numpy(values.astype(np.float32)).to(like.device).reshape(len(like), -1, 1, 1)


def _lit(x: Tensor, rng: np.random.Generator, config: ViewConfig) -> Tensor:
    count = len(x)
    gain = rng.uniform(*config.brightness, (count, 1)) * rng.uniform(*config.gain, (count, 3))
    offset = rng.uniform(-config.offset, config.offset, count)
    x = x * _per_picture(gain, x) + _per_picture(offset, x)
    grey = _per_picture((rng.random(count) < config.grey).astype(np.float64), x)
    return torch.lerp(x, x.mean(dim=1, keepdim=True).expand_as(x), grey)


def _blurred(x: Tensor, rng: np.random.Generator, config: ViewConfig) -> Tensor:
    """Gaussian blur, separable, a standard deviation per picture."""
    chosen = np.flatnonzero(rng.random(len(x)) < config.blur)
    sigma = rng.uniform(*config.blur_sigma, len(x))[chosen]
    if not len(chosen):
        return x
    taps = np.arange(_BLUR_TAPS) - _BLUR_TAPS // 2
    weights = np.exp(-0.5 * (taps / sigma[:, None]) ** 2)
    weights /= weights.sum(axis=1, keepdims=True)
    kernel = torch.from_numpy(weights.astype(np.float32)).to(x.device).repeat_interleave(3, 0)
    picked = torch.from_numpy(chosen).to(x.device)
    part = x[picked].reshape(1, -1, *x.shape[2:])  # one group per picture and channel
    half = _BLUR_TAPS // 2
    part = F.pad(part, (half, half, half, half), mode="replicate")
    groups = part.shape[1]
    part = F.conv2d(part, kernel.reshape(groups, 1, 1, -1), groups=groups)
    part = F.conv2d(part, kernel.reshape(groups, 1, -1, 1), groups=groups)
    return x.index_copy(0, picked, part.reshape(-1, 3, *x.shape[2:]))


def _occluded(x: Tensor, rng: np.random.Generator, config: ViewConfig) -> Tensor:
    """A rectangle of one colour in front of some of the pictures."""
    count, side = len(x), x.shape[2]
    chosen = rng.random(count) < config.erase
    extent = rng.uniform(0.1, 0.5, (count, 2)) * side * chosen[:, None]
    start = rng.uniform(0, 1, (count, 2)) * (side - extent)
    colour = _per_picture(rng.random((count, 3)), x)
    place = torch.arange(side, device=x.device, dtype=torch.float32) + 0.5
    inside = []
    for axis in range(2):
        low = _per_picture(start[:, axis], x)[..., 0]
        high = low + _per_picture(extent[:, axis], x)[..., 0]
        inside.append((place >= low[:, 0]) & (place < high[:, 0]))
    hidden = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return torch.where(hidden, colour, x)


def _noisy(x: Tensor, rng: np.random.Generator, config: ViewConfig) -> Tensor:
    level = _per_picture(rng.uniform(0, config.noise, len(x)), x)
    seed = int(rng.integers(2**62))
    generator = torch.Generator(x.device).manual_seed(seed)
    return x + level * torch.randn(x.shape, generator=generator, device=x.device)
