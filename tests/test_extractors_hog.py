"""HOG: against scikit-image itself, and what the contract asks of every extractor."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage.feature import hog

from data.errors import PlaygroundError
from extractors.base import RGB
from extractors.hog import Hog, HogConfig

ROOT = Path(__file__).resolve().parent.parent


def textured(seed: int, height: int = 240, width: int = 320) -> RGB:
    """Smooth colour noise with a few rectangles."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 20, width // 20, 3), dtype=np.uint8)
    photo = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(12):
        x, y = int(rng.integers(0, width - 40)), int(rng.integers(0, height - 40))
        colour = tuple(int(c) for c in rng.integers(0, 256, 3))
        cv2.rectangle(photo, (x, y), (x + 35, y + 30), colour, -1)
    return np.asarray(photo, np.uint8)


def test_default_window_has_3780_dimensions() -> None:
    extractor = Hog(HogConfig())
    features = extractor.extract(textured(0))
    assert extractor.dim == 3780
    assert features.vectors.shape == (1, 3780)
    assert features.vectors.dtype == np.float32
    assert features.geometry is None
    assert np.linalg.norm(features.vectors) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    "config",
    [
        HogConfig(width=128, height=128),
        HogConfig(width=70, height=50, cell=6, block=3),
        HogConfig(orientations=4, block=1),
    ],
)
def test_dimension_follows_the_config(config: HogConfig) -> None:
    extractor = Hog(config)
    assert extractor.extract(textured(1)).vectors.shape == (1, extractor.dim)


def test_vector_is_that_of_scikit_image_at_unit_length() -> None:
    extractor = Hog(HogConfig())
    photo = textured(2, height=128, width=64)  # the window itself: nothing is resized
    prepared = extractor.prepare(photo)
    assert np.array_equal(prepared.pixels, photo)
    expected = hog(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), 9, (8, 8), (2, 2), block_norm="L2-Hys")
    expected = expected / np.linalg.norm(expected)
    assert extractor.extract(photo).vectors[0] == pytest.approx(expected, abs=1e-6)


def test_blank_photo_gives_the_zero_vector() -> None:
    vectors = Hog(HogConfig()).extract(np.full((50, 60, 3), 200, np.uint8)).vectors
    assert vectors.shape == (1, 3780)
    assert not vectors.any()


@pytest.mark.parametrize("shape", [(1, 1, 3), (8, 8, 3), (1, 400, 3), (500, 3, 3), (300, 20, 3)])
def test_any_size_is_resized_to_the_window(shape: tuple[int, int, int]) -> None:
    photo = np.random.default_rng(5).integers(0, 256, shape, dtype=np.uint8)
    extractor = Hog(HogConfig())
    assert extractor.prepare(photo).pixels.shape == (128, 64, 3)
    assert np.isfinite(extractor.extract(photo).vectors).all()


@pytest.mark.parametrize(
    "photo",
    [
        np.zeros((20, 20), np.uint8),
        np.zeros((20, 20, 1), np.uint8),
        np.zeros((20, 20, 3), np.float32),
        np.zeros((0, 20, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused(photo: np.ndarray) -> None:
    with pytest.raises(ValueError, match="photo"):
        Hog(HogConfig()).prepare(photo)


def test_box_outside_the_photo_is_refused() -> None:
    with pytest.raises(PlaygroundError, match="Legal"):
        Hog(HogConfig()).prepare(textured(0), (0, 0, 321, 10))


def test_crop_maps_back_into_the_photo() -> None:
    prepared = Hog(HogConfig()).prepare(textured(0), (100, 40, 300, 200))
    # The outer corners of the window's pixels are the corners of the box.
    corners = np.array([[-0.5, -0.5], [63.5, 127.5]], np.float32)
    expected = np.array([[99.5, 39.5], [299.5, 199.5]])
    assert prepared.to_photo(corners) == pytest.approx(expected, abs=1e-4)


def test_input_is_left_alone_and_results_repeat() -> None:
    photo = textured(7)
    copy = photo.copy()
    extractor = Hog(HogConfig())
    first = extractor.extract(photo, (10, 10, 200, 200)).vectors
    assert np.array_equal(photo, copy)
    assert np.array_equal(first, extractor.extract(photo, (10, 10, 200, 200)).vectors)
    assert np.array_equal(first, Hog(HogConfig()).extract(photo[10:200, 10:200]).vectors)


def test_two_processes_give_the_same_bytes() -> None:
    code = (
        "import hashlib, numpy as np; from extractors.hog import Hog, HogConfig;"
        "p = np.random.default_rng(1).integers(0, 256, (90, 120, 3), dtype=np.uint8);"
        "print(hashlib.sha256(Hog(HogConfig()).extract(p).vectors.tobytes()).hexdigest())"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
        for _ in range(2)
    ]
    assert runs[0].stdout == runs[1].stdout
    assert len(runs[0].stdout.strip()) == 64


def test_changed_light_and_noise_still_find_the_photo() -> None:
    extractor = Hog(HogConfig())
    photos = [textured(seed) for seed in range(12)]
    database = np.concatenate([extractor.extract(photo).vectors for photo in photos])
    rng = np.random.default_rng(0)
    for index, photo in enumerate(photos):
        changed = photo * 0.7 + 20 + rng.normal(0, 4, photo.shape)
        query = extractor.extract(np.clip(changed, 0, 255).astype(np.uint8)).vectors
        assert int((database @ query[0]).argmax()) == index
