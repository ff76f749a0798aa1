"""VLAD: sums of the residuals of RootSIFT to a small vocabulary."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import cv2
import numpy as np

from data.base import Box
from data.errors import PlaygroundError
from extractors.aggregated import Aggregated
from extractors.base import RGB, Card, Floats, Prepared, Raw, crop_and_shrink
from extractors.sift import detect_sift, root_sift


@dataclasses.dataclass(frozen=True)
class VladConfig:
    image_size: int = 640  # px, longer side of the full photo; never enlarged
    max_keypoints: int = 800  # the strongest per photo
    clusters: int = 64  # K of the vocabulary
    dim: int = 0  # of a PCA of the vector; 0 = none: K x 128 numbers
    seed: int = 0  # of k-means


class Vlad(Aggregated):
    """One (K x 128)-d vector per photo, or what a PCA leaves of it."""

    name = "vlad"
    fit_sample = 1000
    card: ClassVar[Card] = Card(
        title="VLAD (RootSIFT)",
        paper="Jegou, Douze, Schmid, Perez: Aggregating local descriptors into a compact image "
        "representation, CVPR 2010; intra-normalisation: Arandjelovic, Zisserman: All about VLAD, "
        "CVPR 2013",
        url="https://doi.org/10.1109/CVPR.2010.5540039",
        idea="A bag of words only counts how many features fall to each visual word. VLAD, with a "
        "vocabulary of a few dozen words, keeps in which direction and how far they lie from it, "
        "summed. One short dense vector, which an index can hold, takes the place of a sparse one.",
        formula=r"V_k = \sum_{i:\,k(x_i)=k} (x_i - c_k),\qquad V_k \leftarrow V_k/\lVert V_k"
        r"\rVert,\qquad v = [V_1,\dots,V_K]/\lVert\cdot\rVert",
        parameters={
            "image_size": "longer side in px to which photos are shrunk before SIFT",
            "max_keypoints": "keypoints kept per photo, strongest first",
            "clusters": "words of the vocabulary, K; the vector has K x 128 numbers",
            "dim": "dimensions of a PCA, learned from the collection; 0 = no PCA",
            "seed": "seed of k-means",
        },
        licence="SIFT's patent expired in March 2020; the code is OpenCV's (Apache 2.0) and "
        "FAISS's (MIT).",
        cost="SIFT's, as bovw; the assignment to 64 words is a hundredth of that to 4,096.",
    )

    def __init__(self, config: VladConfig) -> None:
        check_sift(self.name, config.image_size, config.max_keypoints)
        super().__init__(config)

    def prepare(self, photo: RGB, box: Box | None = None) -> Prepared:
        return crop_and_shrink(photo, box, self.config.image_size)

    def describe(self, prepared: Prepared) -> Raw:
        found = detect_sift(prepared.pixels, self.config.max_keypoints)
        return {"descriptors": found["descriptors"]}

    def local_features(self, raw: Raw) -> Floats:
        return root_sift(raw["descriptors"])

    def soft_assignment(self, features: Floats, centres: Floats) -> Floats:
        """Wholly to the nearest: argmin |x - c|^2 = argmax x.c - |c|^2 / 2."""
        nearest = (features @ centres.T - (centres**2).sum(axis=1) / 2).argmax(axis=1)
        return np.eye(len(centres), dtype=np.float32)[nearest]

    def runtime(self) -> str:
        return f"opencv {cv2.__version__}"


def check_sift(name: str, image_size: int, max_keypoints: int) -> None:
    """Refuse sizes that are not possible."""
    if image_size < 16 or max_keypoints < 1:
        raise PlaygroundError(
            f"{name}: image_size={image_size}, max_keypoints={max_keypoints} are not possible. "
            f"Legal: image_size from 16, max_keypoints from 1."
        )
