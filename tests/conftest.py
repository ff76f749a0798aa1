"""Fixtures for all tests: a home of their own and a small synthetic collection."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from browser import chrome  # noqa: F401  (one browser for all test files)

import data  # noqa: F401  (sets the environment before numeric libraries load)
from data import importing, paths, photos, store
from data.demo import DemoSource
from extractors import weights

TOY_LANDMARKS = 5
TOY_VIEWS = 6  # photos of each landmark in the collection
TOY_SIZE = (200, 150)  # width, height in px


@pytest.fixture(autouse=True)
def no_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that draws the app leaves no build of the demo running behind it."""
    monkeypatch.setenv("PLAYGROUND_DEMO", "off")


@pytest.fixture(autouse=True)
def own_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Downloads may go to the servers that tests run on this machine."""
    monkeypatch.setenv("PLAYGROUND_MIRRORS", "127.0.0.1")


@pytest.fixture(autouse=True)
def unbundled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """Networks are untrained, as if none were shipped; tests marked ``bundled`` see the real ones.

    Yields:
        The folder that stands in for ``extractors/bundled``.
    """
    folder = tmp_path_factory.mktemp("bundled")
    with pytest.MonkeyPatch.context() as patch:
        if request.node.get_closest_marker("bundled") is None:
            patch.setattr(weights, "BUNDLED_ROOT", folder)
        yield folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty PLAYGROUND_HOME: nothing a test builds ends up in the project."""
    folder = tmp_path / "home"
    monkeypatch.setenv("PLAYGROUND_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("networks")


@pytest.fixture(autouse=True)
def converted_once(networks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test converts for OpenVINO is not left in the project, and serves the next test."""
    monkeypatch.setattr(paths, "networks_root", lambda: networks)


@functools.cache
def toy_canvas(landmark: int) -> photos.RGB:
    """The (400, 500, 3) scene of a landmark: shapes and texture that no other landmark has."""
    rng = np.random.default_rng(1000 + landmark)
    canvas = np.empty((400, 500, 3), np.uint8)
    canvas[:] = rng.integers(60, 200, 3)
    for _ in range(260):
        colour = tuple(int(value) for value in rng.integers(0, 256, 3))
        x, y = (int(value) for value in rng.integers((0, 0), (500, 400)))
        size = int(rng.integers(8, 44))
        kind = int(rng.integers(3))
        if kind == 0:
            cv2.rectangle(canvas, (x, y), (x + size, y + size // 2 + 4), colour, -1)
        elif kind == 1:
            cv2.circle(canvas, (x, y), size // 2, colour, -1)
        else:
            corners = rng.integers(-size, size, (3, 2)) + np.array((x, y))
            cv2.fillPoly(canvas, [corners.astype(np.int32)], colour)
    # Blotches a few px wide: texture that survives the views' turning and scaling.
    noise = cv2.GaussianBlur(rng.normal(0, 1, canvas.shape), (0, 0), 2.5) * 120
    return np.clip(canvas + noise, 0, 255).astype(np.uint8)


def toy_photo(landmark: int, view: int) -> photos.RGB:
    """View ``view`` of a toy landmark, (150, 200, 3): turned, scaled and shifted a little."""
    rng = np.random.default_rng((landmark, view))
    width, height = TOY_SIZE
    turn = cv2.getRotationMatrix2D((250, 200), rng.uniform(-12, 12), rng.uniform(0.55, 0.75))
    turn[:, 2] += np.array((width / 2 - 250, height / 2 - 200)) + rng.uniform(-12, 12, 2)
    seen = cv2.warpAffine(
        toy_canvas(landmark), turn, TOY_SIZE, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    lit = seen.astype(np.float32) * rng.uniform(0.85, 1.15) + rng.uniform(-10, 10)
    return np.clip(lit, 0, 255).astype(np.uint8)


def write_toy(folder: Path, landmarks: int = TOY_LANDMARKS, views: int = TOY_VIEWS) -> Path:
    """Write toy photos and one query per landmark in the format of ``data/demo``."""
    listings: dict[str, list[str]] = {"photos": [], "queries": []}
    for landmark in range(landmarks):
        for view in range(views + 1):
            kind = "photos" if view < views else "queries"
            file = f"{kind}/toy-{landmark}/{view:02d}.jpg"
            content = photos.encode_jpeg(toy_photo(landmark, view), quality=92)
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes(content)
            entry = {
                "id": f"{'q-' if kind == 'queries' else ''}toy-{landmark}-{view:02d}",
                "file": file,
                "label": f"toy-{landmark}",
                "title": f"Toy landmark {landmark}",
                "width": TOY_SIZE[0],
                "height": TOY_SIZE[1],
                "sha256": hashlib.sha256(content).hexdigest(),
                "scene": {"seed": view},
            }
            if kind == "queries":
                entry["box"] = [20, 10, 180, 140]
            listings[kind].append(json.dumps(entry) + "\n")
    for kind, lines in listings.items():
        (folder / f"{kind}.jsonl").write_text("".join(lines), encoding="utf-8")
    header = {
        "format": 1,
        "name": "toy",
        "title": "Toy landmarks",
        "licence": "CC0-1.0",
        "author": "the tests",
        "description": "Shapes and noise.",
        "generator": {},
    }
    (folder / "collection.json").write_text(json.dumps(header), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def toy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy photos as files, in the format of ``data/demo``. Read only: copy it to change it."""
    return write_toy(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="session")
def toy_photos(toy_folder: Path) -> dict[str, photos.RGB]:
    """Id to pixels (150, 200, 3) of the 30 toy photos, as decoded from their files.

    Ids are ``toy-<landmark>-<view>``, 5 landmarks of 6 views.
    """
    lines = (toy_folder / "photos.jsonl").read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line) for line in lines]
    return {entry["id"]: photos.decode(toy_folder / entry["file"]) for entry in entries}


@pytest.fixture
def toy_collection(home: Path, toy_folder: Path) -> store.Collection:
    """The toy photos as the collection ``toy`` in ``home``: 30 photos, 5 queries with boxes."""
    importing.import_collection("toy", DemoSource(toy_folder))
    return store.load("toy")


@pytest.fixture(scope="session")
def glr21_sample() -> Path:
    """A folder of real photos in the layout of Google Landmarks v2; skips where there is none."""
    given = os.environ.get("GLR21_SAMPLE")
    folder = Path(given) if given else paths.PROJECT_ROOT.parent / "shared" / "glr21-sample"
    if not (folder / "index_image_to_landmark.csv").is_file():
        pytest.skip(f"no GLR21 sample at {folder}; set GLR21_SAMPLE to a folder in that layout")
    return folder
