"""SIFT and RootSIFT of OpenCV: the visual words' features, and those that re-rankers match.

Lowe, IJCV 2004; Arandjelovic and Zisserman, "Three things everyone should know to improve object
retrieval", CVPR 2012.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from extractors.base import RGB, Floats, Raw

SIFT_DIM = 128


def detect_sift(pixels: RGB, max_keypoints: int) -> Raw:
    """The strongest SIFT keypoints of a picture, strongest first.

    Returns:
        ``descriptors`` (n, 128) uint8; ``xy`` (n, 2) float32 px, pixel centres on integers;
        ``scale`` (n,) float32, the diameter of the keypoint's neighbourhood in px; ``angle`` (n,)
        float32, degrees.
    """
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    # A detector of its own for each call: cv2.SIFT is not documented as safe between threads.
    # Without precise upscaling every position is some 0.23 px off (measured on blobs).
    sift = cv2.SIFT.create(nfeatures=max_keypoints, enable_precise_upscale=True)
    points, found = sift.detectAndCompute(grey, None)
    if found is None or not points:
        return {
            "descriptors": np.zeros((0, SIFT_DIM), np.uint8),
            "xy": np.zeros((0, 2), np.float32),
            "scale": np.zeros(0, np.float32),
            "angle": np.zeros(0, np.float32),
        }
    xy = np.array([point.pt for point in points], np.float32)
    scale = np.array([point.size for point in points], np.float32)
    angle = np.array([point.angle for point in points], np.float32)
    response = np.array([point.response for point in points], np.float32)
    # OpenCV keeps ties beyond nfeatures and promises no order; this one is total.
    order = np.lexsort((angle, scale, xy[:, 0], xy[:, 1], -response))[:max_keypoints]
    # OpenCV's float descriptors are whole numbers 0..255: a quarter of the bytes, no loss.
    return {
        "descriptors": np.rint(found[order]).astype(np.uint8),
        "xy": np.ascontiguousarray(xy[order]),
        "scale": scale[order],
        "angle": angle[order],
    }


def root_sift(descriptors: NDArray[np.uint8]) -> Floats:
    """RootSIFT (Arandjelovic and Zisserman 2012) of SIFT rows: sqrt(x / |x|_1).

    Args:
        descriptors: (n, 128), not negative.

    Returns:
        (n, 128) float32 rows of Euclidean length 1; a zero row stays zero.
    """
    rows = descriptors.astype(np.float32)
    rows /= np.maximum(rows.sum(axis=1, keepdims=True), np.float32(1e-12))
    return np.sqrt(rows, out=rows)
