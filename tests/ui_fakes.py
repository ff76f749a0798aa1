"""Stand-ins for the engine, the status and the jobs, so that page tests need no build.

The collection is a real one, made of small drawn photos in a folder of the test's own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from PIL import Image, ImageDraw

from data import store
from data.base import Candidate
from data.errors import PlaygroundError
from indexing.progress import Stage
from indexing.status import ExtractorStatus, IndexStatus
from pages.parts import backend
from retrieval.ranking import Hit, Query, Recipe, SearchResult

LANDMARKS = ("arch", "bridge", "tower")
PER_LANDMARK = 4
NAME = "toy"


def draw(landmark: int, view: int, size: tuple[int, int] = (360, 260)) -> Image.Image:
    """A photo of a drawn landmark; equal arguments, equal pixels."""
    rng = np.random.default_rng(100 * landmark + view)
    picture = Image.new("RGB", size, tuple(int(v) for v in rng.integers(150, 235, 3)))
    pen = ImageDraw.Draw(picture)
    shades = np.random.default_rng(landmark).integers(20, 200, (12, 3))
    for at, shade in enumerate(shades):
        x, y = 30 + (at * 71 + 13 * landmark) % 240 + view * 5, 20 + (at * 47) % 160
        shape = [x, y, x + 50 + 9 * landmark, y + 40]
        fill = tuple(int(v) for v in shade)
        (pen.rectangle if (at + landmark) % 2 else pen.ellipse)(shape, fill=fill)
    return picture


class ToySource:
    """Drawn landmarks with two queries that have boxes, in the shape of any other source."""

    kind = "folder"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for number, landmark in enumerate(LANDMARKS):
            (folder / landmark).mkdir(parents=True, exist_ok=True)
            for view in range(PER_LANDMARK + 1):
                draw(number, view).save(folder / landmark / f"{view}.jpg", quality=88)

    def root(self) -> Path:
        return self.folder

    def candidates(self) -> Iterator[Candidate]:
        for landmark in LANDMARKS:
            for view in range(PER_LANDMARK + 1):
                file = f"{landmark}/{view}.jpg"
                query = view == PER_LANDMARK
                yield Candidate(
                    id=f"{landmark}-{'query' if query else view}",
                    path=self.folder / file,
                    file=file,
                    label=landmark,
                    title=f"The {landmark}",
                    author="A. Tester",
                    licence="CC0-1.0",
                    box=(40, 20, 300, 220) if query else None,
                    query=query,
                    extra={"scene": {"camera": {"azimuth": 12.345678}}} if not query else {},
                )

    def count(self) -> int:
        return len(LANDMARKS) * (PER_LANDMARK + 1)

    def describe(self) -> dict[str, Any]:
        return {"kind": self.kind, "path": str(self.folder)}

    def about(self) -> dict[str, str]:
        return {"title": "Toy landmarks", "description": "Drawn for tests.", "licence": "CC0-1.0"}


class JunkSource(ToySource):
    """Three queries by the revisited protocol: of each landmark one easy, two hard, one junk."""

    def candidates(self) -> Iterator[Candidate]:
        for one in super().candidates():
            if not one.query:
                yield one
                continue
            label = one.label
            truth = {"easy": [f"{label}-0"], "hard": [f"{label}-1", f"{label}-2"]}
            yield dataclasses.replace(one, extra={"ground_truth": truth | {"junk": [f"{label}-3"]}})

    def describe(self) -> dict[str, Any]:
        return super().describe() | {"protocol": "revisited", "partial": True}


@dataclasses.dataclass(frozen=True)
class FakeStats:
    n: int = 12
    dim: int = 64
    bytes_per_vector: float = 256.0
    build_s: float = 0.25
    extract_s: float = 1.5
    bytes_per_photo: float = 256.0


def index_of(name: str, **more: Any) -> IndexStatus:
    """A built index."""
    figures: dict[str, Any] = {"bytes": 4096, "bytes_per_photo": 256.0, "build_s": 0.2}
    return IndexStatus(name, "ready", **figures | more)


BUILT = tuple(index_of(name) for name in ("flat", "ivf", "lsh", "pq"))


def status_of(extractor: str, state: str = "ready", **more: Any) -> ExtractorStatus:
    """A built extractor with the four index types, unless ``more`` says otherwise."""
    figures: dict[str, Any] = {"dim": 64, "n": 12, "photos": 12, "bytes": 3072, "extract_s": 1.5}
    figures |= {"indexes": BUILT, "current": state == "ready"}
    return ExtractorStatus(extractor, state, **figures | more)


@dataclasses.dataclass(frozen=True)
class FakeJob:
    id: str = "job-1"
    collection: str = NAME
    state: str = "running"
    error: str = ""
    started: float = 0.0
    updated: float = dataclasses.field(default_factory=time.time)
    stages: tuple[Stage, ...] = ()
    fraction: float = 0.4
    waiting: str = ""


@dataclasses.dataclass
class FakeEngine:
    """Ranks photos by a hash of extractor and id; the right landmark comes first for hog."""

    described: list[tuple[Any, ...]] = dataclasses.field(default_factory=list)
    weights: dict[str, str] = dataclasses.field(default_factory=lambda: {"resnet50": "untrained"})
    error: Exception | None = None
    begun: int = 0

    def search(
        self,
        collection: str,
        recipe: Recipe,
        query: Query,
        k: int,
        *,
        params: Any = None,
        exclude: Any = (),
    ) -> SearchResult:
        extractor, index = recipe.extractor, recipe.index
        self.begun += 1
        if self.error is not None and extractor == "bovw":
            raise self.error
        seen = (extractor, query.box, query.pixels().shape, query.key)
        first = not self.described
        if seen not in self.described:
            self.described.append(seen)
        photos = [photo for photo in store.load(collection).photos if photo.id not in exclude]

        def order(photo: Any) -> str:
            salt = extractor if index == "flat" else extractor + index
            return hashlib.sha1(f"{salt}{photo.id}".encode()).hexdigest()

        plain = sorted(photos, key=order)
        ranked = plain[::-1] if "aqe" in recipe.rerank else plain
        hits = []
        for rank, photo in enumerate(ranked[:k], start=1):
            local = {"votes": 40 - rank, "inliers": 12 - rank} if extractor == "delf" else {}
            before = plain.index(photo) + 1 if recipe.rerank else None
            distance, score = 0.1 * rank, 1 - 0.05 * rank
            hits.append(Hit(rank, photo.id, photo.label, distance, score, local, before))
        times = dict.fromkeys(("decode", "crop", "preprocess", "extract", "search"), 1.25)
        times |= {"extract": 31.5, **dict.fromkeys(recipe.rerank, 2.5), "total": 37.0}
        return SearchResult(
            collection=collection,
            recipe=recipe,
            weights=self.weights.get(extractor, "imagenet" if extractor == "vgg16" else ""),
            metric="l2",
            k=k,
            box=query.box,
            hits=hits,
            timings_ms=times,
            cold=first,
        )

    def activity(self) -> tuple[int, int]:
        return self.begun, 0

    def without_queries(self) -> FakeEngine:
        return self

    def vectors(self, collection: str, extractor: str) -> Any:
        raise PlaygroundError("nothing is built here")

    def stats(self, collection: str, extractor: str, index: str) -> FakeStats:
        return FakeStats()


@contextlib.contextmanager
def faked(
    statuses: list[ExtractorStatus], jobs: list[FakeJob] | None = None
) -> Iterator[tuple[FakeEngine, dict[str, mock.Mock]]]:
    """Patch the pages' back end; the collections stay real."""
    engine = FakeEngine()
    calls = {"start_build": mock.Mock(), "cancel": mock.Mock()}
    with (
        mock.patch.object(backend, "engine", return_value=engine),
        mock.patch.object(backend, "statuses", return_value=list(statuses)),
        mock.patch.object(backend, "jobs", return_value=list(jobs or [])),
        mock.patch.object(backend, "start_build", calls["start_build"]),
        mock.patch.object(backend, "cancel", calls["cancel"]),
        mock.patch("pages.parts.startup.begin", return_value=""),
    ):
        yield engine, calls
