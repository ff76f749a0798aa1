"""SIFT's places with learned shapes and descriptors, and matches that agree with their neighbours.

Named after the thesis that re-ranks so: SIFT, AffNet, HardNet, AdaLAM.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from data.base import Box
from data.errors import PlaygroundError
from extractors.base import RGB, crop_and_shrink
from extractors.sift import detect_sift
from indexing.base import Ints
from retrieval import matching_networks
from retrieval.local_features import Detector, LocalFeatures, LocalReranker, Matcher
from retrieval.ranking import Recipe
from retrieval.rerank.base import RerankCard

SHAPES, DESCRIPTORS = "affnet", "hardnet"  # names in the table of weights
PATCH = 32  # px
RADIUS = 3.0  # of a patch, in diameters of SIFT's keypoint: 6 sigma
LEAST_CONFIDENCE = 200.0  # of AdaLAM's local RANSAC, kornia's default
FEWEST = 3  # keypoints below which AdaLAM has no second nearest or no affine map


@dataclasses.dataclass(frozen=True)
class SahaConfig:
    depth: int = 30  # photos that are matched
    image_size: int = 640  # px, longer side of the full photo; never enlarged
    max_keypoints: int = 1000  # the strongest per photo
    min_inliers: int = 8  # fewer matches count as none

    def __post_init__(self) -> None:
        legal = {
            "depth": (1, 10_000),
            "image_size": (32, 4096),
            "max_keypoints": (4, 32_768),
            "min_inliers": (1, 10_000),
        }
        for field, (least, most) in legal.items():
            value = getattr(self, field)
            if not least <= value <= most:
                raise PlaygroundError(
                    f"saha:{field}={value} is not possible. Legal: {least} to {most}."
                )


class SahaDetector(Detector):
    """SIFT keypoints of a photo at ``image_size``; HardNet of the patches that AffNet shapes."""

    dim = 128
    dtype = "float16"

    def __init__(self, image_size: int, max_keypoints: int) -> None:
        self.image_size, self.most = image_size, max_keypoints

    def identity(self) -> dict[str, Any]:
        return {
            "detector": "sift-affnet-hardnet",
            "version": 1,
            "image_size": self.image_size,
            "max_keypoints": self.most,
            "weights": [matching_networks.weights(one).sha256 for one in (SHAPES, DESCRIPTORS)],
        }

    def detect(self, photo: RGB, box: Box | None = None) -> LocalFeatures:
        prepared = crop_and_shrink(photo, box, self.image_size)
        found = detect_sift(prepared.pixels, self.most)
        geometry = np.column_stack([found["xy"], found["scale"], found["angle"]])
        descriptors = np.zeros((len(geometry), self.dim), np.float16)
        if len(geometry):
            descriptors = _described(prepared.pixels, geometry.astype(np.float32))
        geometry[:, :2] = prepared.to_photo(found["xy"])
        geometry[:, 2] /= np.float32(np.mean(prepared.scale))
        whole = (0, 0, photo.shape[1], photo.shape[0])
        return LocalFeatures(geometry.astype(np.float32), descriptors, box or whole)


class Saha(LocalReranker):
    """AdaLAM's matches of HardNet descriptors at SIFT's keypoints."""

    name = "saha"
    card = RerankCard(
        title="SAHA: SIFT, AffNet, HardNet, AdaLAM",
        paper="L. Cavalli et al., AdaLAM: Revisiting Handcrafted Outlier Detection, ECCV 2020; "
        "A. Mishchuk et al., HardNet, NeurIPS 2017; D. Mishkin et al., AffNet, ECCV 2018",
        url="https://arxiv.org/abs/2006.04250",
        idea="SIFT says where to look; one small network straightens the patch there as if it "
        "were seen from the front, another one describes it. A match stays where its neighbours "
        "agree with it on a local affine map, so that a front that bends or has depth does not "
        "need one homography for all of it.",
        formula=r"s = \Big|\bigcup_{\text{seeds } i} \{ j \in N_i : "
        r"\|A_i p_j - q_j\| \text{ small against chance}\}\Big|",
        parameters={
            "depth": "photos of the shortlist that are matched",
            "image_size": "longer side in px to which photos are shrunk before SIFT",
            "max_keypoints": "keypoints per photo, strongest first",
            "min_inliers": "fewer matches count as none, 1 or more",
        },
        score="matches that AdaLAM keeps; 0 below min_inliers, in the order from before",
        cost="some tens of milliseconds per photo of the shortlist where the features were built, "
        "and seconds per photo on a CPU where not. 276 bytes on disk per keypoint",
        hurts="where SIFT finds few places: at night, in fog, on plain walls",
        licence="AffNet and HardNet: MIT; kornia, with AdaLAM: Apache-2.0",
    )

    def __init__(self, config: SahaConfig) -> None:
        super().__init__(config)

    def check(self, recipe: Recipe) -> None:
        super().check(recipe)
        matching_networks.require(self.name, SHAPES, DESCRIPTORS)

    @property
    def detector(self) -> Detector:
        return SahaDetector(self.config.image_size, self.config.max_keypoints)

    def matcher(self, asked: LocalFeatures) -> Matcher:
        from kornia.feature import match_adalam

        one = _as_tensors(asked)

        def match(found: LocalFeatures) -> Ints:
            if min(len(asked), len(found)) < FEWEST:
                return np.empty((0, 2), np.int64)
            other = _as_tensors(found)
            with torch.inference_mode():
                quality, pairs = match_adalam(
                    one[0], other[0], one[1], other[1], hw1=_size(asked), hw2=_size(found)
                )
            # Where no neighbourhood agrees, kornia gives the matches of a ratio test instead,
            # with their ratios, which are far larger than an inverse confidence.
            kept = quality.reshape(-1) <= 1 / LEAST_CONFIDENCE + 1e-6
            return np.asarray(pairs[kept].numpy(), np.int64)

        return match


def frames(geometry: Any) -> Tensor:
    """(1, n, 2, 3) local affine frames of SIFT keypoints (n, 4) in their own px."""
    from kornia.feature import laf_from_center_scale_ori

    places = torch.from_numpy(np.asarray(geometry, np.float32))[None]
    # OpenCV turns clockwise, kornia the other way round.
    made: Tensor = laf_from_center_scale_ori(
        places[..., :2], RADIUS * places[..., 2, None, None], -places[..., 3, None]
    )
    return made


def _described(pixels: RGB, geometry: Any) -> Any:
    """(n, 128) float16 unit descriptors of keypoints in the picture's px."""
    from kornia.feature import extract_patches_from_pyramid

    grey: Any = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    image = torch.from_numpy(grey)[None, None].float() / 255
    shapes = matching_networks.loaded(SHAPES, _affnet, names=_features)
    network = matching_networks.loaded(DESCRIPTORS, _hardnet, names=_features)
    with torch.inference_mode():
        shaped = shapes(frames(geometry), image)
        patches = extract_patches_from_pyramid(image, shaped, PATCH)[0]
        return network(patches).numpy().astype(np.float16)


def _as_tensors(features: LocalFeatures) -> tuple[Tensor, Tensor]:
    x0, y0 = features.box[:2]
    geometry = features.geometry - np.array([x0, y0, 0, 0], np.float32)
    return torch.from_numpy(features.descriptors.astype(np.float32)), frames(geometry)


def _size(features: LocalFeatures) -> tuple[int, int]:
    x0, y0, x1, y1 = features.box
    return y1 - y0, x1 - x0


def _features(name: str) -> str:
    """Files of the authors also hold what training left."""
    return name if name.startswith("features.") else ""


def _affnet() -> nn.Module:
    from kornia.feature import LAFAffNetShapeEstimator

    network: nn.Module = LAFAffNetShapeEstimator(pretrained=False)
    return network


def _hardnet() -> nn.Module:
    from kornia.feature import HardNet

    network: nn.Module = HardNet(pretrained=False)
    return network
