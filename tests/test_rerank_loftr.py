"""LoFTR re-ranking with a stub of the network's interface, and with the untrained network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from matching import HOMOGRAPHY, PHOTO_SIZE, QUERY_SIZE, errors, scene, seen
from test_rerank_sift import Album, first_order

from data.errors import PlaygroundError
from data.paths import weights_root
from retrieval import matching_networks
from retrieval.ranking import Query, Recipe
from retrieval.rerank import registry
from retrieval.rerank.loftr import Loftr, LoftrConfig, _loftr, prepare


class Stub:
    """Knows the homography; what it is given decides how many matches it finds."""

    def __init__(self) -> None:
        self.described = 0

    def extract_features(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        assert image.dtype == torch.float32 and image.shape[:2] == (1, 1)
        assert image.min() >= 0 and image.max() <= 1
        assert image.shape[2] % 8 == 0 and image.shape[3] % 8 == 0
        self.described += 1
        return {"coarse": image, "fine": image}

    def __call__(self, data: dict[str, Any]) -> dict[str, torch.Tensor]:
        height, width = data["features0"]["coarse"].shape[2:]
        photo = data["image1"]
        assert photo.shape[2] % 8 == 0 and photo.shape[3] % 8 == 0
        x, y = np.meshgrid(np.arange(2, width // 8 - 2), np.arange(2, height // 8 - 2))
        cells = np.stack([x.ravel(), y.ravel()], axis=1) * 8.0
        scale = np.array([width, height]) / QUERY_SIZE
        ends = np.c_[cells / scale - 0.5, np.ones(len(cells))] @ HOMOGRAPHY.T
        ends = ends[:, :2] / ends[:, 2:]
        places = (ends + 0.5) * np.array(photo.shape[:1:-1]) / PHOTO_SIZE
        if photo.std() < 0.01:  # a blank photo
            places = places[:0]
        cells = cells[: len(places)]
        return {
            "keypoints0": torch.from_numpy(cells).float(),
            "keypoints1": torch.from_numpy(places).float(),
            "confidence": torch.ones(len(cells)),
            "batch_indexes": torch.zeros(len(cells)),
        }


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Stub:
    made = Stub()
    monkeypatch.setattr(matching_networks, "loaded", lambda *_, **__: made)
    return made


@pytest.mark.parametrize("size", [480, 200])
def test_matches_are_in_px_of_the_photos(stub: Stub, size: int) -> None:
    blank = np.full((339, 257, 3), 90, np.uint8)
    album: Any = Album(blank, None, seen(scene()), blank)
    method = Loftr(LoftrConfig(depth=3, image_size=size))
    found = method.rerank(Query(scene(), key="q"), first_order(4), album)
    assert found.rows.tolist() == [2, 0, 1, 3]
    assert stub.described == 1  # the query, once
    places = found.matches[2]
    assert len(places) == found.scores[0] > 200
    assert errors(places).max() < 0.1
    assert found.columns["inliers"][1] == 0 and np.isnan(found.columns["inliers"][2])
    assert "photo-1" in found.notes[0]


def test_a_box_is_read_alone_at_the_photos_scale() -> None:
    photo = scene()
    made = prepare(photo, (70, 101, 250, 333), 240)
    assert made.pixels.shape == (120, 88, 3)  # 232 x 180 px at 240 / 471, to whole cells
    corners = np.array([[-0.5, -0.5], [87.5, 119.5]], np.float32)
    assert np.allclose(made.to_photo(corners), [[69.5, 100.5], [249.5, 332.5]], atol=1e-3)
    assert prepare(photo, (0, 0, 9, 9), 240).pixels.shape == (32, 32, 3)


def test_illegal_values_say_what_is_legal() -> None:
    with pytest.raises(PlaygroundError, match="Legal: 64 to 840"):
        registry.create("loftr:image_size=1024")


def test_what_is_missing_is_a_sentence(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    there = matching_networks.importlib.util.find_spec
    monkeypatch.setattr(
        matching_networks.importlib.util,
        "find_spec",
        lambda name: None if name == "kornia" else there(name),
    )
    with pytest.raises(PlaygroundError, match=r"kornia.*pip install -r requirements-matching.txt"):
        Recipe.of("hog", "flat", "loftr")
    monkeypatch.setattr(matching_networks.importlib.util, "find_spec", lambda _: object())
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(weights_root()))
    with pytest.raises(PlaygroundError, match=r"46.2 MB.*scripts.weights download loftr"):
        Recipe.of("hog", "flat", "loftr")


def test_the_untrained_network_has_this_interface(
    home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("kornia", reason="kornia is optional: requirements-matching.txt")
    weights_root().mkdir(parents=True)
    network = matching_networks.seeded(_loftr)
    torch.save({"state_dict": network.state_dict()}, weights_root() / "loftr_outdoor.ckpt")
    assert Recipe.of("hog", "flat", "loftr").rerank == ("loftr",)
    album: Any = Album(seen(scene()), np.full((9, 12, 3), 90, np.uint8))
    method = Loftr(LoftrConfig(image_size=160))
    once = method.rerank(Query(scene(), key="q"), first_order(2), album)
    again = method.rerank(Query(scene(), key="q"), first_order(2), album)
    assert np.array_equal(once.rows, again.rows) and np.array_equal(once.scores, again.scores)
    torch.save({"state_dict": {"x": torch.ones(1)}}, weights_root() / "loftr_outdoor.ckpt")
    with pytest.raises(PlaygroundError, match="does not fit the network LoFTR"):
        method.rerank(Query(scene(), key="q"), first_order(2), album)
