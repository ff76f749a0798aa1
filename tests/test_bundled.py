"""The weights that the project ships: whole, small enough, with cards, and better than none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from data.base import Candidate
from data.demo import DemoSource
from data.photos import decode
from extractors import registry
from extractors.weights import BUNDLED_ROOT, read_state, resolve, training_card
from scripts.training import leave_one_out

NETWORKS = ("resnet50", "vgg16", "gem-siamese", "gem-siamese-triplet", "delf")
SPECS = {
    "resnet50": "resnet50",
    "vgg16": "vgg16",
    "gem-siamese": "gem-siamese",
    "gem-siamese-triplet": "gem-siamese:loss=triplet",
    "delf": "delf",
}

pytestmark = pytest.mark.bundled


@pytest.fixture(autouse=True)
def _nothing_else_on_this_machine(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(home / "torch"))


def test_they_stay_small() -> None:
    sizes = [path.stat().st_size for path in BUNDLED_ROOT.glob("*.safetensors")]
    assert len(sizes) == len(NETWORKS)
    assert max(sizes) < 34e6 and sum(sizes) < 60e6


@pytest.mark.parametrize("name", NETWORKS)
def test_each_is_whole_and_says_how_it_was_made(name: str) -> None:
    path = BUNDLED_ROOT / f"{name}.safetensors"
    assert resolve(name).path == path and resolve(name).source == "bundled"
    assert all(bool(np.isfinite(value.numpy()).all()) for value in read_state(path).values())
    card = training_card(path)
    assert card is not None
    for field in ("title", "data", "command", "commit", "hardware", "hours", "notes", "recipe"):
        assert card[field], field
    assert card["command"].startswith(("python -m scripts.train_", "python -m scripts.distill_"))
    assert {row["collection"] for row in card["measured"]} >= {"demo"}
    assert path.with_suffix(".md").is_file()
    json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", SPECS)
def test_each_describes_a_photo(name: str) -> None:
    extractor = registry.create(SPECS[name])
    source = extractor.weights_identity()["source"]
    heads = ("gem-siamese", "gem-siamese-triplet", "delf")  # the packaged trunk stays as it is
    assert source == ("packaged+bundled" if name in heads else "bundled")
    photo = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    raw = extractor.describe(extractor.prepare(photo))
    extractor.fit([raw] * 2)
    vectors = extractor.encode(raw).vectors
    assert vectors.shape[1] == extractor.dim and np.isfinite(vectors).all()
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("name", ["resnet50", "vgg16", "gem-siamese", "gem-siamese-triplet"])
def test_each_tells_landmarks_apart_better_than_random_weights(name: str) -> None:
    """48 photos of 8 landmarks of the demo, which no training has seen."""
    chosen: dict[str, list[Path]] = {}
    for one in DemoSource().candidates():
        if isinstance(one, Candidate) and one.label is not None and not one.query:
            chosen.setdefault(one.label, []).append(one.path)
    pairs = [(path, label) for label, paths in list(chosen.items())[:8] for path in paths[:6]]
    photos, labels = [decode(path) for path, _ in pairs], [label for _, label in pairs]
    found = {}
    for weights in ("bundled", "untrained"):
        extractor = registry.create(SPECS[name], weights=weights)
        raws = extractor.describe_batch([extractor.prepare(photo) for photo in photos])
        vectors = np.concatenate([extractor.encode(raw).vectors for raw in raws])
        found[weights] = leave_one_out(vectors, labels)["map"]
    assert found["bundled"] > 1.3 * found["untrained"]


@pytest.mark.parametrize("name", SPECS)
def test_the_source_that_an_artefact_records_opens_the_same_weights(name: str) -> None:
    auto = registry.create(SPECS[name])
    named = registry.create(SPECS[name], weights=auto.weights_identity()["source"])
    assert named.weights_identity() == auto.weights_identity()
    assert named.image_size == auto.image_size
