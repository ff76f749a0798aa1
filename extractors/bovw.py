"""Bag of visual words: SIFT, RootSIFT, a k-means vocabulary, tf-idf.

Sivic and Zisserman, "Video Google", ICCV 2003; Lowe, IJCV 2004 (SIFT); Arandjelovic and
Zisserman, "Three things everyone should know to improve object retrieval", CVPR 2012 (RootSIFT).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from data.base import Box
from data.errors import PlaygroundError
from extractors.base import (
    RGB,
    Card,
    Extractor,
    Features,
    Floats,
    Prepared,
    Raw,
    crop_and_shrink,
    l2_normalise,
)
from extractors.kmeans import (
    MAX_POINTS_PER_WORD,
    MIN_POINTS_PER_WORD,
    draw,
    k_means,
    repeatable,
    vocabulary_size,
)
from extractors.sift import SIFT_DIM, detect_sift, root_sift

# Twice the bound on the rounding of a float32 dot product of two vectors of length <= 1 in
# 128 dimensions (128 * 2**-24), rounded up: similarities further apart are ordered for sure.
_ROUNDING = 2e-5


@dataclasses.dataclass(frozen=True)
class BovwConfig:
    image_size: int = 640  # px, longer side of the full photo; never enlarged
    max_keypoints: int = 800  # the strongest per photo
    words: int = 4096  # size of the vocabulary; fewer when the sample is small
    iterations: int = 10  # of k-means; 25 lower its error by less than 1 %
    seed: int = 0  # of k-means and of its subsample

    def __post_init__(self) -> None:
        for field, least in (
            ("image_size", 16),
            ("max_keypoints", 1),
            ("words", 2),
            ("iterations", 1),
            ("seed", 0),
        ):
            value = getattr(self, field)
            if value < least:
                raise PlaygroundError(
                    f"bovw: {field}={value} is too small. Legal: whole numbers from {least}, "
                    f"such as bovw:{field}={max(least, getattr(type(self), field))}."
                )


class Bovw(Extractor):
    """One tf-idf histogram of visual words per photo.

    ``describe`` gives ``descriptors`` (n, 128) uint8 SIFT, ``xy`` (n, 2) float32 in px of the
    prepared photo (pixel centres on integers) and ``scale`` (n,) float32, the diameter of the
    keypoint's neighbourhood in the same px; strongest keypoint first.

    A photo without keypoints, or with none but words of idf 0, gets the zero vector, which no
    search may count as a match.
    """

    name = "bovw"
    evidence = "words"
    fit_sample = 2000
    card: ClassVar[Card] = Card(
        title="Bag of visual words (RootSIFT, tf-idf)",
        paper=(
            "J. Sivic and A. Zisserman, Video Google: A Text Retrieval Approach to Object "
            "Matching in Videos, ICCV 2003; with RootSIFT of R. Arandjelović and A. Zisserman, "
            "Three Things Everyone Should Know to Improve Object Retrieval, CVPR 2012"
        ),
        url="https://doi.org/10.1109/ICCV.2003.1238663",
        idea=(
            "SIFT describes the strongest corners and blobs of a photo, and each description is "
            "replaced by the nearest of a few thousand prototypes, the visual words, which "
            "k-means has learned from the collection. A photo is then compared like a text: by "
            "how often each word occurs in it, where words that occur in many photos count less. "
            "Where in the photo a word lies is forgotten."
        ),
        formula=(
            r"v_i = \frac{n_{id}}{n_d}\,\log\frac{N}{N_i}, \qquad "
            r"\mathbf{v} \leftarrow \frac{\mathbf{v}}{\lVert\mathbf{v}\rVert_2}, \qquad "
            r"n_{id}: \text{word } i \text{ in photo } d,\; n_d: \text{all words of } d,\; "
            r"N_i \text{ of } N \text{ photos contain word } i"
        ),
        parameters={
            "image_size": "longer side in px to which photos are shrunk before SIFT",
            "max_keypoints": "keypoints kept per photo, strongest first",
            "words": "words of the vocabulary; at least 39 descriptors of the sample per word",
            "iterations": "rounds of k-means",
            "seed": "seed of k-means",
        },
        licence=(
            "SIFT's patent (US 6,711,293) expired in March 2020; the code is OpenCV's "
            "(Apache 2.0) and FAISS's (MIT)."
        ),
        cost=(
            "Moderate on a CPU, nearly all of it SIFT's scale space: it grows with the number of "
            "pixels, hardly with the number of keypoints. Learning the vocabulary takes from "
            "seconds to a minute or two per collection."
        ),
    )

    def __init__(self, config: BovwConfig) -> None:
        super().__init__(config)
        self._centroids: Floats | None = None  # (k, 128)
        self._idf: Floats | None = None  # (k,)
        self._n_photos = 0

    @property
    def dim(self) -> int:
        """Words of the vocabulary."""
        return len(self._learned()[0])

    @property
    def note(self) -> str:
        """A sentence when the vocabulary is smaller than asked for, else empty."""
        words = self.dim
        if words == self.config.words:
            return ""
        return (
            f"The vocabulary has {words} words instead of {self.config.words}: a word needs "
            f"{MIN_POINTS_PER_WORD} descriptors to be learned from, and the {self._n_photos} "
            f"photos of the sample have too few."
        )

    def prepare(self, photo: RGB, box: Box | None = None) -> Prepared:
        return crop_and_shrink(photo, box, self.config.image_size)

    def describe(self, prepared: Prepared) -> Raw:
        found = detect_sift(prepared.pixels, self.config.max_keypoints)
        return {name: found[name] for name in ("descriptors", "xy", "scale")}

    def fit(self, raws: Iterable[Raw]) -> None:
        """Learn vocabulary and idf; holds what k-means learns from, however large the sample is.

        Where ``raws`` can be gone through again, it is, three times in all.
        """
        raws = repeatable(raws)
        counts = [len(raw["descriptors"]) for raw in raws]
        total = sum(counts)
        if total < 2:
            raise PlaygroundError(
                f"bovw found {total} SIFT keypoints in {len(counts)} photos; a vocabulary needs "
                f"at least 2. Add photos with more texture to the collection and build it again, "
                f"or choose another extractor, such as hog."
            )
        config = self.config
        words = vocabulary_size(config.words, total)
        descriptors = (raw["descriptors"] for raw in raws)
        sample = draw(descriptors, counts, words * MAX_POINTS_PER_WORD, config.seed, root_sift)
        centroids = k_means(sample, words, config.seed, config.iterations)
        del sample
        half_norms = _half_norms(centroids)
        frequency = np.zeros(words, np.int64)
        for raw in raws:
            frequency[np.unique(_nearest(raw["descriptors"], centroids, half_norms))] += 1
        idf = inverse_document_frequency(frequency, len(counts))
        self._set(centroids, idf, len(counts))

    def state(self) -> dict[str, NDArray[Any]]:
        """``centroids`` (k, 128) float32, ``idf`` (k,) float32, ``n_photos`` () int64."""
        centroids, idf = self._learned()
        return {
            "centroids": centroids.copy(),
            "idf": idf.copy(),
            "n_photos": np.array(self._n_photos, np.int64),
        }

    def load_state(self, state: dict[str, NDArray[Any]]) -> None:
        shapes = {name: np.shape(array) for name, array in state.items()}
        words = shapes.get("idf", (0,))[0] if len(shapes.get("idf", ())) == 1 else 0
        legal = {"centroids": (words, SIFT_DIM), "idf": (words,), "n_photos": ()}
        if shapes != legal or not 1 <= words <= self.config.words:
            raise PlaygroundError(
                f"The learned state of bovw has arrays of the shapes {shapes}. Legal: centroids "
                f"(k, {SIFT_DIM}), idf (k,), n_photos (), with k from 1 to "
                f"{self.config.words}. Build the collection's descriptors again."
            )
        if not (np.isfinite(state["centroids"]).all() and np.isfinite(state["idf"]).all()):
            raise PlaygroundError(
                "The learned state of bovw has values that are not finite. Build the collection's "
                "descriptors again."
            )
        self._set(
            np.array(state["centroids"], np.float32, order="C"),
            np.array(state["idf"], np.float32),
            int(state["n_photos"]),
        )

    def words(self, raw: Raw) -> NDArray[np.int64]:
        """The visual word of each keypoint of ``raw``, (n,): its nearest centroid."""
        centroids, _ = self._learned()
        return _nearest(raw["descriptors"], centroids, self._half_norms)

    def encode(self, raw: Raw) -> Features:
        """One (1, k) vector."""
        _, idf = self._learned()
        counts = np.bincount(self.words(raw), minlength=len(idf))
        # n_d divides every element alike and goes away with the norm.
        vector = (counts * idf).astype(np.float32)[None]
        # Words that are in nearly all photos have an idf, and so a norm, of 1e-4: no epsilon.
        return Features(l2_normalise(vector, eps=1e-30))

    def runtime(self) -> str:
        return f"opencv {cv2.__version__}"

    def _set(self, centroids: Floats, idf: Floats, n_photos: int) -> None:
        self._centroids, self._idf, self._n_photos = centroids, idf, n_photos
        self._half_norms = _half_norms(centroids)

    def _learned(self) -> tuple[Floats, Floats]:
        if self._centroids is None or self._idf is None:
            raise PlaygroundError(
                "bovw has no vocabulary yet: it is learned from a collection. Build the "
                "collection's descriptors with bovw first."
            )
        return self._centroids, self._idf


def inverse_document_frequency(frequency: NDArray[np.int64], n_photos: int) -> Floats:
    """log(N / df) per word, (k,) float32; 0 for a word that occurs in no photo.

    Where that is 0 for every word (a sample of one photo), each word that occurs weighs 1, so
    that the photo still has a vector.
    """
    seen = frequency > 0
    idf = np.zeros(len(frequency))
    idf[seen] = np.log(n_photos / frequency[seen])
    if not idf.any():
        idf[seen] = 1.0
    return idf.astype(np.float32)


def _half_norms(centroids: Floats) -> NDArray[np.float64]:
    """|c|^2 / 2 per centroid, (k,)."""
    wide = centroids.astype(np.float64)
    return np.asarray((wide * wide).sum(axis=1) / 2)


def _nearest(
    descriptors: NDArray[np.uint8], centroids: Floats, half_norms: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Row of the nearest centroid of each SIFT descriptor, (n,), exact however a BLAS rounds.

    NumPy does it because FAISS is two to three times slower for one photo's descriptors unless a
    process-wide threshold is changed, which an extractor must not do.
    """
    points = root_sift(descriptors)
    # argmin |x - c|^2 = argmax x.c - |c|^2 / 2
    closeness = points @ centroids.T
    closeness -= half_norms.astype(np.float32)
    nearest = closeness.argmax(axis=1)
    best = np.take_along_axis(closeness, nearest[:, None], axis=1)
    unsure = np.count_nonzero(closeness >= best - _ROUNDING, axis=1) > 1
    if unsure.any():
        exact = points[unsure].astype(np.float64) @ centroids.T.astype(np.float64)
        nearest[unsure] = (exact - half_norms).argmax(axis=1)
    return np.asarray(nearest, np.int64)
