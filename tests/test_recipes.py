"""The recipes of docs/recipes: their commands parse, and each training runs once at toy size."""

from __future__ import annotations

import dataclasses
import itertools
import pickle
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import nn

pytest.importorskip("pytorch_metric_learning")

from data import importing, paths, photos, store
from data.sources.registry import BENCHMARKS
from data.sources.sfm import Sfm120k
from extractors import registry, trunks
from extractors.gem_siamese import head_of
from extractors.solar import SoaBlock
from extractors.training import mining
from extractors.training.losses import SECOND_ORDER, tuple_loss
from extractors.training.photos import CollectionPhotos, Several
from scripts import build as build_script
from scripts import collections, console, evaluate, fit_whitening, train_siamese

RECIPES = sorted((paths.PROJECT_ROOT / "docs" / "recipes").glob("*.yaml"))
PARSERS = {
    "scripts.train_siamese": train_siamese.parser,
    "scripts.evaluate": evaluate.parser,
    "scripts.collections": collections._parser,
    "scripts.build": getattr(build_script, "parser", None),
}


def recipe(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def words(command: str) -> tuple[str, list[str]]:
    python, dash, module, *rest = shlex.split(command)
    assert (python, dash) == ("python", "-m")
    return module, rest


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_says_everything_and_its_commands_are_legal(path: Path) -> None:
    found = recipe(path)
    keys = ["title", "paper", "data", "commands", "differences", "expected", "hours", "state"]
    assert list(found) == keys
    assert all(one["source"] in BENCHMARKS for one in found["data"])
    assert found["expected"]["source"]
    modules = []
    for command in found["commands"]:
        module, arguments = words(command)
        modules.append(module)
        parser = PARSERS.get(module)
        if parser is not None:
            parser().parse_args(arguments)
        for option, value in itertools.pairwise(arguments):
            if option in ("--extractors", "--extractor") and not value.startswith("whitened"):
                registry.create(value, weights="untrained")
    assert "scripts.train_siamese" in modules and "scripts.evaluate" in modules


class Tiny(nn.Module):
    """8 channels, with the parts that a recipe may name."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 4), nn.BatchNorm2d(8), nn.ReLU())
        self.soa4, self.soa5 = SoaBlock(8, 2), SoaBlock(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.soa5(self.soa4(self.stem(x)))
        return result


def picture(landmark: int, view: int) -> np.ndarray:
    rng = np.random.default_rng(landmark)
    pattern = np.roll(rng.integers(0, 200, (10, 14, 3)), view, axis=1)
    return np.kron(pattern, np.ones((4, 4, 1))).astype(np.uint8)


def sfm(root: Path) -> store.Collection:
    """Six places of four photos each; the pairs (0, 1) and (2, 3) of each place."""
    cids = [f"{7 * number + 11:032x}" for number in range(24)]
    queries = [i for i in range(24) if i % 2 == 0]
    train = {
        "cids": cids,
        "cluster": [i // 4 for i in range(24)],
        "qidxs": queries,
        "pidxs": [i + 1 for i in queries],
    }
    none: dict[str, list[Any]] = {"cids": [], "cluster": [], "qidxs": [], "pidxs": []}
    root.mkdir()
    (root / "retrieval-SfM-120k.pkl").write_bytes(pickle.dumps({"train": train, "val": none}))
    for i, cid in enumerate(cids):
        file = root / "ims" / cid[-2:] / cid[-4:-2] / cid[-6:-4] / cid
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(photos.encode_jpeg(picture(i // 4, i % 4)))
    importing.import_collection("toy-sfm", Sfm120k(root))
    return store.load("toy-sfm")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_s_training_runs_at_toy_size(
    path: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sfm(tmp_path / "sfm")
    command = next(c for c in recipe(path)["commands"] if "train_siamese" in c)
    given = train_siamese.parser().parse_args(words(command)[1])
    monkeypatch.setitem(trunks.TRUNKS, given.network, trunks.Trunk(8, 4, Tiny))
    small = {"collection": "toy-sfm", "weights": "untrained", "dim": 4, "pixels": 32, "batch": 3}
    small |= {"negatives": 2, "queries": 5, "pool": 12, "epochs": 1, "device": "cpu"}
    arguments = words(command)[1]
    for name, value in small.items():
        arguments += [f"--{name}", str(value)]
    arguments = ["--hold-out", "0.34", *arguments]
    # ``--collection`` may be repeated: the recipe's own goes.
    at = arguments.index("--collection")
    del arguments[at : at + 2]
    assert console.call(train_siamese.main, arguments) == 0
    (weights,) = (home / "training").rglob("gem-siamese.safetensors")
    card = yaml.safe_load(weights.with_suffix(".json").read_text(encoding="utf-8"))
    losses = [entry["loss"] for entry in card["history"] if "loss" in entry]
    assert losses and np.isfinite(losses).all()
    assert card["recipe"]["loss"] == given.loss and card["recipe"]["margin"] == given.margin
    assert head_of(weights) == (given.pooling, given.regional)


def test_the_second_order_loss_by_hand() -> None:
    """q, p at 0 and 90 degrees, negatives at 180 and 45: squared distances are 2 - 2 cos."""
    angles = np.radians([[0, 90, 180, 45], [0, 0, 180, 180]])
    vectors = torch.from_numpy(np.stack([np.cos(angles), np.sin(angles)], axis=2))

    def d2(a: float, b: float) -> float:
        return 2 - 2 * float(np.cos(np.radians(a - b)))

    triplets = [max(0, d2(0, 90) - d2(0, n) + 0.5) for n in (180, 45)]
    gaps = [d2(0, n) - d2(90, n) for n in (180, 45)]  # the second tuple has none
    expected = (sum(triplets) + SECOND_ORDER * sum(g**2 for g in gaps) ** 0.5) / 2
    assert float(tuple_loss("second-order", 0.5)(vectors)) == pytest.approx(expected, abs=1e-6)
    assert tuple_loss("second-order").margin == 1.25
    same = vectors[1:].clone().requires_grad_()
    tuple_loss("second-order", 0.0)(same).backward()
    assert bool(torch.isfinite(same.grad).all())  # type: ignore[arg-type]


def test_attention_starts_as_the_plain_trunk() -> None:
    plain = trunks.trunk("resnet50", trunks_weights("resnet50"))
    soa = trunks.TRUNKS["resnet50-soa"].build()
    state = trunks.TRUNKS["resnet50-soa"].renamed(plain.state_dict(), soa)
    soa.load_state_dict(state)
    x = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        assert torch.allclose(soa.eval()(x), plain.eval()(x), atol=1e-5)


def trunks_weights(network: str) -> Any:
    from extractors.weights import resolve

    return resolve(network, "untrained")


def test_pairs_of_the_data_set_are_trained_and_whitened_with(home: Path, tmp_path: Path) -> None:
    collection = sfm(tmp_path / "sfm")
    training = CollectionPhotos(collection)
    place = {photo.id: i for i, photo in enumerate(collection.photos)}
    listed = {
        place[photo.id]: tuple(place[one] for one in photo.extra["positives"])
        for photo in collection.photos
        if photo.extra["positives"]
    }
    assert training.matches == listed and len(listed) == 12
    drawn = mining.draw(
        training.labels, range(24), 9, 24, np.random.default_rng(0), training.matches
    )
    assert len(drawn.queries) == 9
    assert all((p,) == listed[q] for q, p in zip(drawn.queries, drawn.positives, strict=True))
    two = Several((training, training))
    assert two.matches[24 + drawn.queries[0]] == (24 + drawn.positives[0],)
    queries, positives = fit_whitening.listed_pairs(collection.photos, 100, seed=0)
    assert {(int(q), int(p)) for q, p in zip(queries, positives, strict=True)} == {
        (q, p) for q, rows in listed.items() for p in rows
    }
    without = [dataclasses.replace(photo, extra={}) for photo in collection.photos]
    assert not len(fit_whitening.listed_pairs(without, 100, seed=0)[0])
