"""Spatial verification by SIFT, whatever extractor found the photos."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np

from data.base import Box
from extractors.base import RGB, crop_and_shrink
from extractors.sift import SIFT_DIM, detect_sift, root_sift
from indexing.base import Ints
from retrieval.local_features import (
    Detector,
    LocalFeatures,
    LocalReranker,
    Matcher,
    nearest_pairs,
    photo_px,
)
from retrieval.rerank.base import RerankCard
from retrieval.verification import verify_matches


@dataclasses.dataclass(frozen=True)
class SiftConfig:
    depth: int = 50  # photos that are verified
    image_size: int = 640  # px, longer side of the full photo; never enlarged
    max_keypoints: int = 1000  # the strongest per photo
    ratio: float = 0.8  # of the distances to the nearest and the second nearest; 1: no test
    residual: float = 6.0  # px at image_size
    min_inliers: int = 6  # fewer count as none: four fit any homography


class SiftDetector(Detector):
    """SIFT of a photo at ``image_size``, at most ``max_keypoints``."""

    dim = SIFT_DIM
    dtype = "uint8"

    def __init__(self, image_size: int, max_keypoints: int) -> None:
        self.image_size, self.most = image_size, max_keypoints

    def identity(self) -> dict[str, Any]:
        return {
            "detector": "sift",
            "version": 1,
            "image_size": self.image_size,
            "max_keypoints": self.most,
        }

    def detect(self, photo: RGB, box: Box | None = None) -> LocalFeatures:
        prepared = crop_and_shrink(photo, box, self.image_size)
        found = detect_sift(prepared.pixels, self.most)
        geometry = np.column_stack(
            [
                prepared.to_photo(found["xy"]),
                found["scale"] / np.float32(np.mean(prepared.scale)),
                found["angle"],
            ]
        )
        whole = (0, 0, photo.shape[1], photo.shape[0])
        return LocalFeatures(geometry.astype(np.float32), found["descriptors"], box or whole)


class Sift(LocalReranker):
    """Inliers of one homography among mutually nearest RootSIFT descriptors."""

    name = "sift"
    legal: ClassVar[dict[str, tuple[float, float]]] = {
        "depth": (1, 10_000),
        "image_size": (16, 4096),
        "max_keypoints": (4, 32_768),
        "ratio": (0.1, 1.0),
        "residual": (0.1, 100.0),
        "min_inliers": (4, 10_000),
    }
    card = RerankCard(
        title="SIFT + MAGSAC",
        paper="D. Lowe, Distinctive Image Features from Scale-Invariant Keypoints, IJCV 2004; "
        "RootSIFT: R. Arandjelović, A. Zisserman, CVPR 2012; re-ranking by geometry: J. Philbin "
        "et al., Object Retrieval with Large Vocabularies and Fast Spatial Matching, CVPR 2007; "
        "MAGSAC++: D. Barath et al., CVPR 2020",
        url="https://www.robots.ox.ac.uk/~vgg/publications/2007/Philbin07/philbin07.pdf",
        idea="Corners and blobs of the query are matched with those of each photo of the "
        "shortlist: two that are each other's nearest, and clearly nearer than the next. One "
        "homography, the map between two views of a flat front, must then explain many matches. "
        "It needs no training and follows any extractor.",
        formula=r"s = \left|\{(p, q) : \|\pi(H p) - q\| \le r\}\right|, \qquad "
        r"s < s_{\min} \Rightarrow s = 0",
        parameters={
            "depth": "photos of the shortlist that are verified",
            "image_size": "longer side in px to which photos are shrunk before SIFT",
            "max_keypoints": "keypoints per photo, strongest first",
            "ratio": "distance to the nearest over that to the second nearest, below which two "
            "keypoints match; 1: no test",
            "residual": "px at image_size by which a match may miss its homography",
            "min_inliers": "fewer inliers count as none, 4 or more",
        },
        score="inliers; 0 below min_inliers, in the order from before",
        cost="some milliseconds per photo of the shortlist where the features were built; "
        "otherwise SIFT of each photo of the shortlist first. 148 bytes on disk per keypoint",
        hurts="after extractors that are good already, whose order a few inliers on a fence or a "
        "text overrule; where views, light or seasons differ much, SIFT finds nothing in common",
        licence="SIFT's patent (US 6,711,293) expired in March 2020; the code is OpenCV's "
        "(Apache 2.0).",
    )

    def __init__(self, config: SiftConfig) -> None:
        super().__init__(config)

    @property
    def detector(self) -> Detector:
        return SiftDetector(self.config.image_size, self.config.max_keypoints)

    def matcher(self, asked: LocalFeatures) -> Matcher:
        config, descriptors = self.config, root_sift(asked.descriptors)

        def match(found: LocalFeatures) -> Ints:
            pairs = nearest_pairs(descriptors, root_sift(found.descriptors), config.ratio)
            return verify_matches(
                asked.geometry[:, :2],
                found.geometry[:, :2],
                pairs,
                "homography",
                photo_px(config.residual, found, config.image_size),
            ).matches

        return match
