"""Matches without keypoints: LoFTR compares two photos cell by cell."""

from __future__ import annotations

import dataclasses
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from data.base import Box
from data.errors import PlaygroundError
from extractors.base import RGB, Floats, Prepared, crop
from retrieval import matching_networks
from retrieval.local_features import reordered
from retrieval.ranking import Query, Ranking, Recipe
from retrieval.rerank.base import RerankCard, Reranker, View
from retrieval.verification import verify_matches

NETWORK = "loftr"  # name in the table of weights
STRIDE = 8  # px of a cell
LEAST_SIDE = 32  # px


@dataclasses.dataclass(frozen=True)
class LoftrConfig:
    depth: int = 10  # photos that are matched; the thesis takes 60, on a GPU
    image_size: int = 480  # px, longer side of the full photo, at most 840; never enlarged
    residual: float = 6.0  # px at image_size
    min_inliers: int = 8  # fewer count as none

    def __post_init__(self) -> None:
        legal: dict[str, tuple[float, float]] = {
            "depth": (1, 10_000),
            "image_size": (64, 840),
            "residual": (0.1, 100.0),
            "min_inliers": (4, 10_000),
        }
        for field, (least, most) in legal.items():
            value = getattr(self, field)
            if not least <= value <= most:
                raise PlaygroundError(
                    f"loftr:{field}={value} is not possible. Legal: {least} to {most}."
                )


class Loftr(Reranker):
    """Inliers of one homography among LoFTR's matches."""

    name = "loftr"
    needs = "photos"
    card = RerankCard(
        title="LoFTR",
        paper="J. Sun, Z. Shen, Y. Wang, H. Bao, X. Zhou, LoFTR: Detector-Free Local Feature "
        "Matching with Transformers, CVPR 2021",
        url="https://arxiv.org/abs/2104.00680",
        idea="No keypoints are chosen: every cell of 8 px of the query is compared with every cell "
        "of the photo, after attention has let each cell see both photos. So walls and sky count "
        "too, where detectors find nothing. What one homography explains is counted.",
        formula=r"P = \mathrm{softmax}(S)_{i} \cdot \mathrm{softmax}(S^\top)_{j}, \qquad "
        r"s = \left|\{(i, j) : P_{ij} > 0.2 \text{ and mutually largest},\ "
        r"\|\pi(H p_i) - q_j\| \le r\}\right|",
        parameters={
            "depth": "photos of the shortlist that are matched",
            "image_size": "longer side in px to which photos are shrunk, at most 840",
            "residual": "px at image_size by which a match may miss the homography",
            "min_inliers": "fewer inliers count as none, 4 or more",
        },
        score="inliers; 0 below min_inliers, in the order from before",
        cost="the dearest of all: seconds per photo of the shortlist on a CPU, with the fourth "
        "power of the image size. Nothing can be built before, as both photos are read together",
        hurts="time; and repeated fronts, as for all that matches",
        licence="Apache-2.0 (network, weights and kornia)",
    )

    def __init__(self, config: LoftrConfig) -> None:
        super().__init__(config)

    def check(self, recipe: Recipe) -> None:
        super().check(recipe)
        matching_networks.require(self.name, NETWORK)

    def rerank(self, query: Query, ranking: Ranking, view: View) -> Ranking:
        network = matching_networks.loaded(NETWORK, _loftr)
        config = self.config
        asked = prepare(query.pixels(), query.box, config.image_size)
        with torch.inference_mode():
            features = network.extract_features(_grey(asked))  # once for the whole shortlist

        def matches_of(row: int) -> Floats | None:
            try:
                pixels = view.pixels(row)
            except PlaygroundError:
                return None
            photo = prepare(pixels, None, config.image_size)
            with torch.inference_mode():
                found = network({"features0": features, "image1": _grey(photo)})
            # The network counts from the corner of a px, we from its centre.
            one = asked.to_photo(found["keypoints0"].numpy().astype(np.float32) - 0.5)
            other = photo.to_photo(found["keypoints1"].numpy().astype(np.float32) - 0.5)
            pairs = np.repeat(np.arange(len(one))[:, None], 2, axis=1)
            residual = config.residual * max(1.0, 1 / min(photo.scale))
            kept = verify_matches(one, other, pairs, "homography", residual).matches[:, 0]
            return np.hstack([one[kept], other[kept]])

        return reordered(self, ranking, view, matches_of)


def prepare(photo: RGB, box: Box | None, image_size: int) -> Prepared:
    """The region at the scale of the full photo, with sides that whole cells fill."""
    pixels, origin = crop(photo, box)
    factor = min(1.0, image_size / max(photo.shape[:2]))
    height, width = pixels.shape[:2]
    sides = [max(LEAST_SIDE, round(side * factor / STRIDE) * STRIDE) for side in (width, height)]
    if sides != [width, height]:
        smaller = sides[0] <= width and sides[1] <= height
        resized = cv2.resize(
            pixels, tuple(sides), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
        )
        pixels = np.asarray(resized, np.uint8)
    scale = (sides[0] / width, sides[1] / height)
    return Prepared(np.ascontiguousarray(pixels), scale, origin)


def _grey(prepared: Prepared) -> Tensor:
    """(1, 1, H, W) in 0..1."""
    grey: Any = cv2.cvtColor(prepared.pixels, cv2.COLOR_RGB2GRAY)
    return torch.from_numpy(grey)[None, None].float() / 255


def _loftr() -> nn.Module:
    from kornia.feature import LoFTR

    network: nn.Module = LoFTR(pretrained=None)  # a name would download its weights
    return network
