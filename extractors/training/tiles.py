"""Pictures without labels, cut into tiles: many views of few pictures are much to learn from.

A single large picture, cut at random, is enough for a student to take over most of what its teacher
knows (Asano and Saeed: The augmented image prior, ICLR 2023).
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.artefact import digest, file_sha256
from data.errors import PlaygroundError
from extractors.base import RGB
from extractors.training.photos import shrunk

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
VERSION = 1  # of the cutting


@dataclasses.dataclass(frozen=True)
class TileConfig:
    side: int = 192  # px of a tile
    most: int = 64  # tiles of a picture; small ones give fewer
    shorter_side: int = 1080  # px that larger pictures are shrunk to first
    seed: int = 0


def pictures_in(folders: Sequence[Path]) -> list[Path]:
    """All pictures under the folders, in the order of their names.

    Raises:
        PlaygroundError: a folder without any.
    """
    found = []
    for folder in folders:
        here = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        if not here:
            raise PlaygroundError(
                f"There are no pictures in {folder}. Legal: {', '.join(SUFFIXES)}."
            )
        found += here
    return found


def fingerprint(files: Sequence[Path], config: TileConfig) -> str:
    """Equal for equal tiles, wherever the pictures lie."""
    cut = {"version": VERSION, **dataclasses.asdict(config)}
    return digest({"pictures": [file_sha256(path) for path in files], "cut": cut})


def tiles(files: Sequence[Path], config: TileConfig, folder: Path) -> NDArray[np.uint8]:
    """Cut all pictures, once, and keep the tiles in ``folder``: (N, side, side, 3).

    Raises:
        PlaygroundError: a file that is no picture.
    """
    path = folder / f"tiles-{fingerprint(files, config)[:16]}.npy"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        parts = [cut(read(file), config, number) for number, file in enumerate(files)]
        temporary = path.with_name(f".{os.getpid()}-{path.name}")
        try:
            np.save(temporary, np.concatenate(parts))
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    kept: NDArray[np.uint8] = np.load(path, allow_pickle=False)
    return kept


def read(path: Path) -> RGB:
    """A picture as RGB; what is transparent is grey."""
    try:
        with Image.open(path) as file:
            pixels = np.asarray(file.convert("RGBA"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise PlaygroundError(f"{path} cannot be read as a picture ({error}).") from None
    opaque = pixels[..., 3:].astype(np.float32) / 255
    return np.asarray(np.rint(pixels[..., :3] * opaque + 128 * (1 - opaque)), np.uint8)


def cut(picture: RGB, config: TileConfig, number: int = 0) -> NDArray[np.uint8]:
    """Squares of random sizes and places, more of a larger picture: (n, side, side, 3).

    Args:
        number: of the picture, for the seed.
    """
    height, width = picture.shape[:2]
    longer = round(config.shorter_side * max(height, width) / min(height, width))
    picture = shrunk(picture, longer)
    height, width = picture.shape[:2]
    short = min(height, width)
    count = int(np.clip(2 * height * width / config.side**2, 2, config.most))
    rng = np.random.default_rng((config.seed, number))
    smallest = min(config.side, 0.7 * short)
    out = np.empty((count, config.side, config.side, 3), np.uint8)
    for i in range(count):
        extent = round(smallest * (short / smallest) ** rng.random())  # evenly in its logarithm
        top, left = rng.integers(height - extent + 1), rng.integers(width - extent + 1)
        square = picture[top : top + extent, left : left + extent]
        kind = cv2.INTER_AREA if extent > config.side else cv2.INTER_CUBIC
        out[i] = cv2.resize(square, (config.side, config.side), interpolation=kind)
    return out
