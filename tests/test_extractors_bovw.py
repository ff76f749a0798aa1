"""Bag of visual words: each step against its formula, then retrieval on synthetic photos."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from data.errors import PlaygroundError
from extractors.base import RGB, Prepared, Raw
from extractors.bovw import (
    Bovw,
    BovwConfig,
    inverse_document_frequency,
    root_sift,
)
from extractors.kmeans import MAX_POINTS_PER_WORD, draw, vocabulary_size

ROOT = Path(__file__).resolve().parent.parent


def textured(seed: int, height: int = 180, width: int = 240) -> RGB:
    """Blobs and corners at several scales."""
    rng = np.random.default_rng(seed)
    photo = np.full((height, width, 3), 128, np.uint8)
    for _ in range(250):
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        size = int(rng.integers(3, 22))
        colour = tuple(int(c) for c in rng.integers(0, 256, 3))
        if rng.random() < 0.5:
            cv2.rectangle(photo, (x, y), (x + size, y + int(rng.integers(3, 22))), colour, -1)
        else:
            cv2.circle(photo, (x, y), size // 2 + 1, colour, -1)
    return np.asarray(cv2.GaussianBlur(photo, (3, 3), 0.8), np.uint8)


def toy_state(idf: list[float]) -> dict[str, np.ndarray]:
    """Word i is the RootSIFT vector along axis i."""
    centroids = np.eye(128, dtype=np.float32)[: len(idf)]
    return {
        "centroids": centroids,
        "idf": np.array(idf, np.float32),
        "n_photos": np.array(4, np.int64),
    }


def along(*axes: int) -> Raw:
    """SIFT descriptors with all their weight on one axis each."""
    descriptors = np.zeros((len(axes), 128), np.uint8)
    descriptors[np.arange(len(axes)), list(axes)] = 200
    return {"descriptors": descriptors}


def fitted(photos: list[RGB], **config: Any) -> tuple[Bovw, list[Raw]]:
    extractor = Bovw(BovwConfig(**config))
    raws = [extractor.describe(extractor.prepare(photo)) for photo in photos]
    extractor.fit(iter(raws))
    return extractor, raws


def test_describe_gives_sift_as_bytes_with_places() -> None:
    extractor = Bovw(BovwConfig(max_keypoints=50))
    prepared = extractor.prepare(textured(0))
    raw = extractor.describe(prepared)
    assert {name: (array.shape, array.dtype.name) for name, array in raw.items()} == {
        "descriptors": ((50, 128), "uint8"),
        "xy": ((50, 2), "float32"),
        "scale": ((50,), "float32"),
    }
    grey = cv2.cvtColor(prepared.pixels, cv2.COLOR_RGB2GRAY)
    points, found = cv2.SIFT.create(50, enable_precise_upscale=True).detectAndCompute(grey, None)
    # Nothing is lost by storing bytes: the same rows, in another order.
    rows = sorted(map(tuple, raw["descriptors"].astype(np.float32)))
    assert rows == sorted(map(tuple, found[:50]))
    assert (raw["scale"] > 0).all()
    assert (raw["xy"] >= 0).all()
    assert (raw["xy"] < [240, 180]).all()
    assert tuple(raw["xy"][0]) == max(points, key=lambda point: point.response).pt


def test_root_sift_is_the_square_root_of_the_l1_normalised_row() -> None:
    rows = np.random.default_rng(0).integers(0, 256, (5, 128), dtype=np.uint8)
    rows[3] = 0
    result = root_sift(rows)
    for row, got in zip(rows, result, strict=True):
        expected = np.sqrt(row / max(1, int(row.sum())))
        assert got == pytest.approx(expected, abs=1e-6)
    assert result.dtype == np.float32
    assert np.linalg.norm(result, axis=1) == pytest.approx([1, 1, 1, 0, 1], abs=1e-6)


def test_tf_idf_on_a_toy_vocabulary_by_hand() -> None:
    extractor = Bovw(BovwConfig())
    extractor.load_state(toy_state([1.0, 2.0, 0.0, 0.5]))
    raw = along(0, 1, 1, 2, 0, 0)
    assert extractor.words(raw).tolist() == [0, 1, 1, 2, 0, 0]
    # Counts 3, 2, 1, 0 times idf: 3, 4, 0, 0; length 5.
    assert extractor.encode(raw).vectors == pytest.approx(np.array([[0.6, 0.8, 0, 0]]), abs=1e-6)
    assert extractor.encode(raw).geometry is None


def test_idf_is_that_of_the_fit_sample() -> None:
    idf = inverse_document_frequency(np.array([4, 2, 1, 0]), 4)
    assert idf == pytest.approx([0.0, np.log(2), np.log(4), 0.0])
    extractor, raws = fitted([textured(seed) for seed in range(6)], words=32)
    seen = [np.unique(extractor.words(raw)) for raw in raws]
    for word, value in enumerate(extractor.state()["idf"]):
        frequency = sum(word in words for words in seen)
        assert value == pytest.approx(np.log(6 / frequency) if frequency else 0.0, abs=1e-6)


def test_what_is_learned_does_not_depend_on_how_the_sample_is_held() -> None:
    raws = [
        Bovw(BovwConfig()).describe(Prepared(textured(seed), (1, 1), (0, 0))) for seed in (1, 2)
    ]
    passes = []

    class Again:
        """Gone through again and again, as the build's shards are."""

        def __iter__(self) -> Iterator[Raw]:
            passes.append(1)
            return iter(raws)

    states = []
    for sample in (raws, iter(raws), Again()):
        # Few words: more descriptors than k-means learns from.
        extractor = Bovw(BovwConfig(words=2))
        extractor.fit(sample)
        states.append(extractor.state())
    assert sum(len(raw["descriptors"]) for raw in raws) > 2 * MAX_POINTS_PER_WORD
    assert len(passes) > 1
    for state in states[1:]:
        for name, array in states[0].items():
            np.testing.assert_array_equal(state[name], array)


def test_a_draw_is_that_of_all_rows_together() -> None:
    rows = np.arange(40, dtype=np.float32).reshape(20, 2)
    parts = np.split(rows, [3, 3, 11, 19])  # one of them empty
    counts = [len(part) for part in parts]
    np.testing.assert_array_equal(draw(iter(parts), counts, 20, seed=5), rows)
    chosen = np.sort(np.random.default_rng(5).choice(20, 7, replace=False))
    np.testing.assert_array_equal(draw(iter(parts), counts, 7, seed=5), rows[chosen])
    doubled = draw(iter(parts), counts, 7, seed=5, convert=lambda part: 2 * part)
    np.testing.assert_array_equal(doubled, 2 * rows[chosen])


def test_words_are_the_nearest_centroids() -> None:
    extractor, raws = fitted([textured(seed) for seed in range(4)], words=16)
    centroids = extractor.state()["centroids"].astype(np.float64)
    points = root_sift(raws[0]["descriptors"]).astype(np.float64)
    distances = ((points[:, None] - centroids[None]) ** 2).sum(axis=2)
    assert np.array_equal(extractor.words(raws[0]), distances.argmin(axis=1))


def test_near_ties_are_decided_exactly() -> None:
    extractor = Bovw(BovwConfig())
    state = toy_state([1.0, 1.0])
    # Equally far from both words but for 1e-7, less than float32 resolves in the dot product.
    state["centroids"] = np.zeros((2, 128), np.float32)
    state["centroids"][:, 0] = [0.5, np.float32(0.5) + np.float32(6e-8)]
    extractor.load_state(state)
    assert extractor.words(along(0, 0)).tolist() == [1, 1]


def test_one_photo_alone_still_has_a_vector() -> None:
    extractor, raws = fitted([textured(0)], words=8)
    vectors = extractor.encode(raws[0]).vectors
    assert np.linalg.norm(vectors) == pytest.approx(1, abs=1e-5)


def test_word_in_nearly_all_photos_is_normalised_too() -> None:
    extractor = Bovw(BovwConfig())
    extractor.load_state(toy_state([1e-7, 0.0]))
    assert extractor.encode(along(0)).vectors == pytest.approx(np.array([[1.0, 0.0]]))


@pytest.mark.parametrize(
    "photo",
    [
        np.full((100, 120, 3), 90, np.uint8),
        np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8),
        np.zeros((1, 1, 3), np.uint8),
        np.zeros((1, 3000, 3), np.uint8),
    ],
    ids=["blank", "8x8", "1x1", "1x3000"],
)
def test_photo_without_keypoints_gives_the_zero_vector(photo: RGB) -> None:
    extractor = Bovw(BovwConfig())
    extractor.load_state(toy_state([1.0, 1.0, 1.0]))
    raw = extractor.describe(extractor.prepare(photo))
    assert raw["descriptors"].shape == (0, 128)
    assert raw["descriptors"].dtype == np.uint8
    assert raw["xy"].shape == (0, 2)
    assert raw["scale"].shape == (0,)
    vectors = extractor.encode(raw).vectors
    assert vectors.shape == (1, 3)
    assert vectors.dtype == np.float32
    assert not vectors.any()


@pytest.mark.parametrize("shape", [(20, 20), (20, 20, 1), (20, 20, 4)])
def test_other_channels_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="photo must be"):
        Bovw(BovwConfig()).prepare(np.zeros(shape, np.uint8))


def test_fit_without_keypoints_is_refused() -> None:
    extractor = Bovw(BovwConfig())
    blank = extractor.describe(extractor.prepare(np.zeros((60, 60, 3), np.uint8)))
    for raws in ([], [blank, blank], [along(3)]):
        with pytest.raises(PlaygroundError, match="at least 2"):
            extractor.fit(raws)


def test_nothing_learned_is_refused() -> None:
    extractor = Bovw(BovwConfig())
    for call in (lambda: extractor.dim, extractor.state, lambda: extractor.encode(along(0))):
        with pytest.raises(PlaygroundError, match="no vocabulary yet"):
            call()


@pytest.mark.parametrize(
    ("asked", "descriptors", "expected"),
    [
        (4096, 4096 * 39, 4096),
        (4096, 4096 * 39 - 1, 4032),
        (4096, 20_000, 512),
        (4096, 64 * 39, 64),
        (4096, 63 * 39, 56),
        (4096, 7 * 39, 7),
        (4096, 2, 2),
        (2, 1000, 2),
        (100, 1_000_000, 100),
    ],
)
def test_vocabulary_is_no_larger_than_the_sample_supports(
    asked: int, descriptors: int, expected: int
) -> None:
    assert vocabulary_size(asked, descriptors) == expected


def test_small_sample_is_noted() -> None:
    extractor, raws = fitted([textured(0), textured(1)])
    total = sum(len(raw["descriptors"]) for raw in raws)
    assert extractor.dim == vocabulary_size(4096, total)
    assert f"{extractor.dim} words instead of 4096" in extractor.note
    extractor, _ = fitted([textured(0), textured(1)], words=2)
    assert extractor.note == ""


def test_two_descriptors_are_enough() -> None:
    extractor = Bovw(BovwConfig())
    extractor.fit([along(0), along(5)])
    assert extractor.dim == 2
    assert sorted(extractor.words(along(0, 5)).tolist()) == [0, 1]


def test_state_makes_the_same_extractor_again() -> None:
    extractor, raws = fitted([textured(seed) for seed in range(4)], words=16)
    state = extractor.state()
    assert state["centroids"].shape == (16, 128)
    assert state["centroids"].dtype == state["idf"].dtype == np.float32
    assert int(state["n_photos"]) == 4
    other = Bovw(extractor.config)
    other.load_state(state)
    assert np.array_equal(other.encode(raws[1]).vectors, extractor.encode(raws[1]).vectors)
    state["centroids"][:] = 0  # a copy: the extractor keeps its own
    state["idf"][:] = 0
    assert np.array_equal(other.encode(raws[1]).vectors, extractor.encode(raws[1]).vectors)
    assert other.encode(raws[1]).vectors.any()


@pytest.mark.parametrize(
    "change",
    [
        {"centroids": np.zeros((3, 64), np.float32)},
        {"centroids": np.zeros((2, 128), np.float32)},
        {"idf": np.zeros((3, 1), np.float32)},
        {"n_photos": np.zeros(1, np.int64)},
        {"idf": np.array([1, np.nan, 1], np.float32)},
        {"more": np.zeros(1, np.float32)},
    ],
)
def test_wrong_state_is_refused(change: dict[str, np.ndarray]) -> None:
    with pytest.raises(PlaygroundError, match="Build the collection"):
        Bovw(BovwConfig()).load_state(toy_state([1.0, 1.0, 1.0]) | change)
    with pytest.raises(PlaygroundError, match="Build the collection"):
        Bovw(BovwConfig()).load_state({})


def test_state_larger_than_the_config_is_refused() -> None:
    with pytest.raises(PlaygroundError, match="k from 1 to 2"):
        Bovw(BovwConfig(words=2)).load_state(toy_state([1.0, 1.0, 1.0]))


def test_two_processes_with_other_thread_counts_give_the_same_bytes() -> None:
    code = (
        "import sys, hashlib; sys.path.insert(0, 'tests');"
        "import cv2, faiss; n = int(sys.argv[1]); faiss.omp_set_num_threads(n);"
        "cv2.setNumThreads(n); from test_extractors_bovw import fitted, textured;"
        "e, raws = fitted([textured(s) for s in range(12)], words=64);"
        "h = hashlib.sha256(e.state()['centroids'].tobytes() + e.state()['idf'].tobytes());"
        "[h.update(e.encode(raw).vectors.tobytes()) for raw in raws]; print(h.hexdigest())"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code, threads], cwd=ROOT, check=True, capture_output=True
        )
        for threads in ("1", "2")
    ]
    assert runs[0].stdout == runs[1].stdout
    assert len(runs[0].stdout.strip()) == 64


def test_seed_decides_the_vocabulary() -> None:
    photos = [textured(seed) for seed in range(4)]
    first, again, other = (
        fitted(photos, words=16, seed=seed)[0].state()["centroids"] for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_sessions_at_once_get_what_one_gets_alone() -> None:
    photos = [textured(seed) for seed in range(6)]
    extractor, _ = fitted(photos, words=16)
    alone = [extractor.extract(photo).vectors for photo in photos]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda photo: extractor.extract(photo).vectors, photos * 3))
    for index, vectors in enumerate(together):
        assert np.array_equal(vectors, alone[index % 6])


def test_keypoints_of_a_shrunk_crop_map_back_into_the_photo() -> None:
    height, width = 600, 900
    centre = np.array([512.0, 333.0])
    yy, xx = np.mgrid[:height, :width]
    blob = np.exp(-((xx - centre[0]) ** 2 + (yy - centre[1]) ** 2) / (2 * 12.0**2))
    photo = np.repeat((255 * blob)[..., None], 3, axis=2).astype(np.uint8)
    extractor = Bovw(BovwConfig(image_size=300))
    for box in (None, (401, 251, 700, 500)):
        prepared = extractor.prepare(photo, box)
        raw = extractor.describe(prepared)
        found = prepared.to_photo(raw["xy"][:1])[0]
        assert found == pytest.approx(centre, abs=0.35)  # 0.12 px of the prepared photo


def test_crop_keeps_the_scale_of_the_full_photo() -> None:
    extractor = Bovw(BovwConfig(image_size=120))
    prepared = extractor.prepare(textured(0), (40, 20, 140, 120))
    assert prepared.pixels.shape == (50, 50, 3)
    assert prepared.scale == (0.5, 0.5)
    assert prepared.origin == (40, 20)
    assert extractor.prepare(textured(0, 60, 80)).pixels.shape == (60, 80, 3)  # never enlarged


def test_turned_shifted_and_cropped_copies_find_their_photo() -> None:
    photos = [textured(seed, 240, 320) for seed in range(32)]
    extractor, raws = fitted(photos)
    database = np.concatenate([extractor.encode(raw).vectors for raw in raws])
    assert database.shape == (32, extractor.dim)
    assert np.linalg.norm(database, axis=1) == pytest.approx(np.ones(32), abs=1e-5)
    turn = cv2.getRotationMatrix2D((160, 120), 25, 0.9)
    shift = np.array([[1.0, 0.0, 23.0], [0.0, 1.0, -14.0]])
    for index in range(0, 32, 4):
        queries = [
            extractor.extract(
                np.asarray(cv2.warpAffine(photos[index], matrix, (320, 240)), np.uint8)
            )
            for matrix in (turn, shift)
        ]
        queries.append(extractor.extract(photos[index], (32, 24, 288, 216)))
        for query in queries:
            assert int((database @ query.vectors[0]).argmax()) == index
