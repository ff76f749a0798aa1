"""What is learned from: labelled pictures, of a collection or procedural."""

from __future__ import annotations

import dataclasses
import functools
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import ClassVar, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from data.artefact import digest
from data.errors import PlaygroundError
from data.store import Collection
from extractors.base import RGB
from extractors.training import scenes
from extractors.training.views import ViewConfig, random_views

Tell = Callable[[int, int], None]
"""Called with (done, total)."""


class TrainingPhotos(Protocol):
    """Pictures with labels; two of one label show the same landmark."""

    @property
    def labels(self) -> tuple[str, ...]: ...

    @property
    def fingerprint(self) -> str:
        """Equal for equal pictures; of a collection, its fingerprint."""
        ...

    @property
    def matches(self) -> dict[int, tuple[int, ...]]:
        """Pictures that are queries, and those that match each; empty: any two of one label."""
        ...

    def read(self, i: int, longer_side: int) -> RGB:
        """Picture i, at most ``longer_side`` px."""
        ...


@dataclasses.dataclass(frozen=True)
class CollectionPhotos:
    """The labelled photos of a collection."""

    collection: Collection

    @functools.cached_property
    def _photos(self) -> list[str]:
        return [p.id for p in self.collection.photos if p.label is not None and not p.absent]

    @functools.cached_property
    def labels(self) -> tuple[str, ...]:
        return tuple(str(self.collection.photo(one).label) for one in self._photos)

    @property
    def fingerprint(self) -> str:
        return self.collection.fingerprint

    @functools.cached_property
    def matches(self) -> dict[int, tuple[int, ...]]:
        """Of a data set that lists them (``data.sources.sfm``)."""
        place = {one: i for i, one in enumerate(self._photos)}
        found = {}
        for i, one in enumerate(self._photos):
            listed = self.collection.photo(one).extra.get("positives", ())
            rows = tuple(place[other] for other in listed if other in place)
            if rows:
                found[i] = rows
        return found

    def read(self, i: int, longer_side: int) -> RGB:
        return shrunk(self.collection.read(self._photos[i], longer_side=longer_side), longer_side)


@dataclasses.dataclass(frozen=True)
class ScenePhotos:
    """Procedural landmarks: each a scene, photographed from several places.

    They stand in where no collection is at hand; everything is made when it is read.
    """

    landmarks: int
    views: int = 8  # per landmark
    side: int = 176  # px of a scene; its views have the same
    seed: int = 0
    matches: ClassVar[dict[int, tuple[int, ...]]] = {}

    @functools.cached_property
    def labels(self) -> tuple[str, ...]:
        names = (f"scene-{self.seed}-{i:06d}" for i in range(self.landmarks))
        return tuple(name for name in names for _ in range(self.views))

    @property
    def fingerprint(self) -> str:
        return digest({"scenes": dataclasses.asdict(self), "version": scenes.VERSION})

    def read(self, i: int, longer_side: int) -> RGB:
        import torch

        landmark, view = divmod(i, self.views)
        picture = torch.from_numpy(scenes.scene(landmark, self.side, self.seed))[None]
        rng = np.random.default_rng((self.seed, landmark, view))
        seen = random_views(picture, min(self.side, longer_side), rng, ViewConfig())
        pixels = seen[0].mul(255).round().byte().permute(1, 2, 0)
        return np.ascontiguousarray(pixels.numpy())


@dataclasses.dataclass(frozen=True)
class Several:
    """Several sets as one; labels of different sets are different landmarks."""

    parts: tuple[TrainingPhotos, ...]

    @functools.cached_property
    def labels(self) -> tuple[str, ...]:
        return tuple(f"{n}/{label}" for n, part in enumerate(self.parts) for label in part.labels)

    @property
    def fingerprint(self) -> str:
        return digest([part.fingerprint for part in self.parts])

    @functools.cached_property
    def matches(self) -> dict[int, tuple[int, ...]]:
        """Those of the parts; of a part without any, all pairs of a label."""
        if not any(part.matches for part in self.parts):
            return {}
        found: dict[int, tuple[int, ...]] = {}
        start = 0
        for part in self.parts:
            of = part.matches
            if not of:
                members = positions(part.labels).values()
                of = {i: tuple(j for j in same if j != i) for same in members for i in same}
            for i, rows in of.items():
                if rows:
                    found[start + i] = tuple(start + row for row in rows)
            start += len(part.labels)
        return found

    def read(self, i: int, longer_side: int) -> RGB:
        for part in self.parts:
            if i < len(part.labels):
                return part.read(i, longer_side)
            i -= len(part.labels)
        raise IndexError(i)


def shrunk(photo: RGB, longer_side: int) -> RGB:
    """At most ``longer_side`` px, never enlarged."""
    factor = longer_side / max(photo.shape[:2])
    if factor >= 1:
        return photo
    size = (max(1, round(photo.shape[1] * factor)), max(1, round(photo.shape[0] * factor)))
    return np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), np.uint8)


def square(photo: RGB, side: int) -> RGB:
    """The central square, resized to (side, side, 3)."""
    height, width = photo.shape[:2]
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    middle = photo[top : top + short, left : left + short]
    kind = cv2.INTER_AREA if short > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(middle, (side, side), interpolation=kind), np.uint8)


@dataclasses.dataclass(frozen=True)
class Split:
    """Positions of the pictures to train on and of those held out."""

    train: tuple[int, ...]
    validation: tuple[int, ...]


def split_landmarks(labels: Sequence[str], share: float, seed: int) -> Split:
    """Hold out whole landmarks: none of the validation's is ever seen in training.

    Landmarks with a single picture answer nothing and are left out of both parts.

    Args:
        share: of the landmarks to hold out, 0 to 0.9; at least 2 landmarks stay for training,
            and at least 2 are held out unless it is 0.

    Raises:
        PlaygroundError: too few landmarks with two or more pictures.
    """
    if not 0 <= share <= 0.9:
        raise PlaygroundError(f"--hold-out {share} is not possible. Legal: 0 to 0.9.")
    places = positions(labels)
    able = sorted(label for label, where in places.items() if len(where) > 1)
    needed = 2 if share == 0 else 4
    if len(able) < needed:
        raise PlaygroundError(
            f"Training needs at least {needed} landmarks with two or more photos each, some of "
            f"them to be held out, and there are {len(able)}. Add photos with labels."
        )
    order = np.random.default_rng((seed, 1)).permutation(len(able))
    held = 0 if share == 0 else min(max(2, round(share * len(able))), len(able) - 2)
    chosen = {able[i] for i in order[:held]}
    train = sorted(i for label in able if label not in chosen for i in places[label])
    return Split(tuple(train), tuple(sorted(i for label in chosen for i in places[label])))


def positions(labels: Sequence[str]) -> dict[str, list[int]]:
    """Label -> where it stands."""
    found: dict[str, list[int]] = {}
    for i, label in enumerate(labels):
        found.setdefault(label, []).append(i)
    return found


# -- pictures in memory ---------------------------------------------------------------------------


def scene_pool(
    count: int, side: int, seed: int, workers: int, folder: Path, tell: Tell | None = None
) -> NDArray[np.uint8]:
    """Scenes 0 to count - 1 as (count, side, side, 3), made once by worker processes.

    They are kept in ``folder``, so that a resumed training need not make them again.
    """
    path = folder / f"scenes-v{scenes.VERSION}-{seed}-{count}x{side}.npy"
    if path.is_file():
        return np.load(path, mmap_mode="r", allow_pickle=False)
    folder.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    pool = np.lib.format.open_memmap(temporary, "w+", np.uint8, (count, side, side, 3))
    make = functools.partial(scenes.scene, side=side, seed=seed)
    try:
        for i, picture in enumerate(_mapped(make, range(count), workers)):
            pool[i] = picture
            if tell is not None:
                tell(i + 1, count)
        pool.flush()
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _mapped(make: Callable[[int], RGB], items: Sequence[int], workers: int) -> Iterator[RGB]:
    if workers < 2:
        yield from map(make, items)
        return
    # Not forked: the process has threads, of torch among others.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield from pool.map(make, items, chunksize=16)


def squares(photos: TrainingPhotos, side: int, tell: Tell | None = None) -> NDArray[np.uint8]:
    """All pictures as squares, (N, side, side, 3), in memory."""
    total = len(photos.labels)
    out = np.empty((total, side, side, 3), np.uint8)
    for i in range(total):
        # Decoded so large that the shorter side still has ``side`` px at up to 2:1.
        out[i] = square(photos.read(i, 2 * side), side)
        if tell is not None:
            tell(i + 1, total)
    return out
