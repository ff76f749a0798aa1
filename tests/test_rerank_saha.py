"""SAHA re-ranking: frames of SIFT keypoints, AdaLAM's matches, and what is missing."""

from __future__ import annotations

import importlib.util
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from matching import errors, scene, seen

from data.errors import PlaygroundError
from data.paths import weights_root
from extractors.sift import detect_sift
from retrieval import matching_networks
from retrieval.ranking import Recipe
from retrieval.rerank import registry, saha
from retrieval.rerank.saha import Saha, SahaConfig


@pytest.fixture
def kornia(home: Any) -> Any:
    """Untrained networks as the authors' files; HardNet's patches differ enough without training.

    AffNet is given no say: its last layer is 0, which leaves the frames as they are.
    """
    if importlib.util.find_spec("kornia") is None:
        pytest.skip("the optional package kornia is not installed")
    weights_root().mkdir(parents=True)
    for file, build in (
        ("AffNet.pth", saha._affnet),
        ("checkpoint_liberty_with_aug.pth", saha._hardnet),
    ):
        network = matching_networks.seeded(build)
        if file == "AffNet.pth":
            for parameter in list(network.parameters())[-2:]:
                torch.nn.init.zeros_(parameter)
        state = {**network.state_dict(), "optimizer.step": torch.ones(1)}
        torch.save({"state_dict": state}, weights_root() / file)
    import kornia as package

    return package


def test_what_is_missing_is_a_sentence(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(weights_root()))
    with pytest.raises(PlaygroundError, match=r"0.3 MB.*scripts.weights download affnet"):
        Recipe.of("hog", "flat", "saha")
    with pytest.raises(PlaygroundError, match="Legal: 1 to 10000"):
        registry.create("saha:depth=0")


def test_frames_turn_with_the_picture(kornia: Any) -> None:
    """A patch looks the same in the photo and in the photo turned by 90 degrees."""
    picture = cv2.GaussianBlur(scene(), (0, 0), 2)
    turned = np.ascontiguousarray(np.rot90(picture))
    found = []
    for pixels in (picture, turned):
        raw = detect_sift(pixels, 60)
        geometry = np.column_stack([raw["xy"], raw["scale"], raw["angle"]])
        grey = torch.from_numpy(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))[None, None].float()
        patches = kornia.feature.extract_patches_from_pyramid(grey, saha.frames(geometry), 32)
        found.append((raw["xy"], patches[0, :, 0].numpy()))
    (xy, patches), (other_xy, other) = found
    back = np.stack([picture.shape[1] - 1 - other_xy[:, 1], other_xy[:, 0]], axis=1)
    distances = np.linalg.norm(xy[:, None] - back[None], axis=2)
    correlations = []
    for row, column in enumerate(distances.argmin(axis=1)):
        if distances[row, column] < 0.3:
            one, two = patches[row].ravel(), other[column].ravel()
            correlations.append(np.corrcoef(one, two)[0, 1])
    assert len(correlations) > 20 and np.median(correlations) > 0.95


def test_matches_lie_where_the_homography_says(kornia: Any) -> None:
    method, picture = Saha(SahaConfig(max_keypoints=400)), scene()
    assert Recipe.of("hog", "flat", "saha").rerank == ("saha",)
    one, other = method.detector.detect(picture), method.detector.detect(seen(picture))
    pairs = method.matcher(one)(other)
    places = np.hstack([one.geometry[pairs[:, 0], :2], other.geometry[pairs[:, 1], :2]])
    assert len(places) > 20 and np.median(errors(places)) < 2
    assert np.array_equal(method.matcher(one)(other), pairs)
    box = (70, 101, 250, 333)
    part = method.detector.detect(picture, box)
    inside = part.geometry[method.matcher(part)(other)[:, 0], :2]
    assert len(inside) and (inside >= np.array(box[:2]) - 1).all()
    wrong = method.matcher(one)(method.detector.detect(seen(scene(3))))
    assert len(wrong) < method.config.min_inliers
    blank = method.detector.detect(np.full((90, 120, 3), 128, np.uint8))
    assert not len(blank) and not len(method.matcher(one)(blank))
