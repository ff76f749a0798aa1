"""Learned whitening of another extractor's vectors, from fitting it to searching with it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

pytest.importorskip("pytorch_metric_learning")

from conftest import write_toy

from data import importing, store
from data.demo import DemoSource
from data.errors import PlaygroundError
from extractors import registry
from extractors.training.whitening import within_whitening
from extractors.whitened import HEADER, read_whitening, whitening_path
from indexing.build import build
from scripts import console, fit_whitening

SPEC = "whitened:by=toy-lw"
BASE = "hog:block=1,cell=16,height=32,orientations=6,width=32"  # 24-d


@pytest.fixture
def learned(toy_collection: store.Collection) -> store.Collection:
    """The toy collection, with a whitening of HOG learned from it."""
    arguments = ["--extractor", BASE, "--collection", "toy", "--name", "toy-lw"]
    assert console.call(fit_whitening.main, arguments) == 0
    return toy_collection


def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)


def test_pairs_are_two_photos_of_one_landmark() -> None:
    labels = ["a", "b", "a", None, "b", "a", "single"]
    first, second = fit_whitening.matching_pairs(labels, 100, seed=0)
    assert len(first) == 5  # one for each photo that has a partner
    for i, j in zip(first, second, strict=True):
        assert i != j and labels[i] == labels[j] is not None


def test_a_whitened_extractor_is_the_formula_after_its_base(learned: store.Collection) -> None:
    extractor, base = registry.create(SPEC), registry.create(BASE)
    whitening = read_whitening("toy-lw")
    x = base.extract(photo()).vectors[0].astype(np.float64)
    y = whitening.P.astype(np.float64) @ (x - whitening.m)
    found = extractor.extract(photo()).vectors
    assert np.allclose(found[0], y / np.linalg.norm(y), atol=1e-4)
    short = registry.create(f"{SPEC},dim=7")
    assert short.dim == 7 and short.extract(photo()).vectors.shape == (1, 7)
    assert np.allclose(short.extract(photo()).vectors[0], y[:7] / np.linalg.norm(y[:7]), atol=1e-4)


def test_the_collection_it_was_learned_from_is_refused(learned: store.Collection) -> None:
    with pytest.raises(PlaygroundError, match="looking at the answers"):
        build("toy", [SPEC], ["flat"])


def test_another_collection_can_be_searched(learned: store.Collection, tmp_path: Path) -> None:
    importing.import_collection(
        "other", DemoSource(write_toy(tmp_path / "other", landmarks=2, views=2))
    )
    outcomes = build("other", [f"{SPEC},dim=5"], ["flat"])
    assert [outcome.action for outcome in outcomes] == ["built", "built"]
    again = build("other", [f"{SPEC},dim=5"], ["flat"])
    assert [outcome.action for outcome in again] == ["unchanged", "unchanged"]


def test_the_identity_follows_the_file(learned: store.Collection) -> None:
    before = registry.create(SPEC).weights_identity()
    arguments = ["--extractor", BASE, "--collection", "toy", "--name", "toy-lw"]
    assert console.call(fit_whitening.main, [*arguments, "--kind", "pca-w"]) == 0
    assert registry.create(SPEC).weights_identity() != before


def test_other_weights_or_versions_are_refused(learned: store.Collection) -> None:
    path = whitening_path("toy-lw")
    with safetensors.safe_open(str(path), framework="np") as file:
        about = json.loads(file.metadata()[HEADER])
    tensors = safetensors.numpy.load_file(path)
    about["weights_sha256"] = "of another network"
    safetensors.numpy.save_file(tensors, path, {HEADER: json.dumps(about)})
    with pytest.raises(PlaygroundError, match="other descriptors than hog:"):
        registry.create(SPEC).weights_identity()


@pytest.mark.parametrize("spec", ["bovw", "delf"])
def test_what_has_no_one_vector_is_refused(home: Path, toy_folder: Path, spec: str) -> None:
    importing.import_collection("toy", DemoSource(toy_folder))
    arguments = ["--extractor", spec, "--collection", "toy", "--name", "x"]
    assert console.call(fit_whitening.main, arguments) == 2
    assert not whitening_path("x").exists()


def test_a_name_that_is_not_there_lists_those_that_are(learned: store.Collection) -> None:
    with pytest.raises(PlaygroundError, match=r"no whitening 'mine'\. Here are: toy-lw"):
        registry.create("whitened:by=mine").weights_identity()
    with pytest.raises(PlaygroundError, match="needs by=NAME"):
        registry.create("whitened").weights_identity()
    with pytest.raises(PlaygroundError, match="not a legal whitening name"):
        registry.create("whitened:by=../x").weights_identity()


@pytest.mark.parametrize("damage", ["cut", "header", "shape", "nan"])
def test_a_damaged_file_is_a_sentence(learned: store.Collection, damage: str) -> None:
    path = whitening_path("toy-lw")
    about = {"kind": "lw", "extractor": BASE, "version": 1, "fingerprint": "0"}
    good = {"m": np.zeros(4, np.float32), "P": np.eye(4, dtype=np.float32)}
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:100])
    elif damage == "header":
        safetensors.numpy.save_file(good, path, {HEADER: "[]"})
    elif damage == "shape":
        good["P"] = np.eye(3, dtype=np.float32)
        safetensors.numpy.save_file(good, path, {HEADER: json.dumps(about)})
    else:
        good["P"][0, 0] = np.nan
        safetensors.numpy.save_file(good, path, {HEADER: json.dumps(about)})
    with pytest.raises(PlaygroundError, match="cannot be read as a whitening"):
        read_whitening("toy-lw")


def test_whitening_by_landmark_evens_out_what_differs_within_and_sorts_by_the_rest() -> None:
    """Two dimensions by hand: within (+-1, +-2), landmarks apart along x."""
    x = np.array([[9, -2], [11, 2], [-11, -2], [-9, 2]], np.float32)
    labels = ["a", "a", "b", "b"]
    # Each landmark's mean takes one of two degrees of freedom: the variance is doubled.
    shrunk = within_whitening(x, labels, shrink=1.0)
    s = 2 * np.array([[1.0, 2.0], [2.0, 4.0]])
    s += np.trace(s) / 2 * np.eye(2)
    assert np.allclose(shrunk.P.T @ shrunk.P, np.linalg.inv(s))
    y = (x - shrunk.m) @ shrunk.P.T
    assert np.allclose(y.T @ y - np.diag(np.diag(y.T @ y)), 0, atol=1e-4)
    assert (y.T @ y)[0, 0] > (y.T @ y)[1, 1]


def test_whitening_by_landmark_only_turns_where_it_is_shrunk_wholly() -> None:
    x = np.random.default_rng(4).normal(size=(40, 5)).astype(np.float32)
    p = within_whitening(x, [str(i // 4) for i in range(40)], shrink=1e9).P
    assert np.allclose(p @ p.T / (p @ p.T)[0, 0], np.eye(5), atol=1e-5)


def test_whitening_by_landmark_needs_two_photos_of_one() -> None:
    with pytest.raises(PlaygroundError, match="two or more photos"):
        within_whitening(np.eye(3, dtype=np.float32), ["a", "b", "c"])
