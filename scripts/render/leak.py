"""How far surroundings give a landmark away: leave-one-out ranking of a rendered collection.

Run it on a collection rendered with `--hide-landmark`, where no method's top-1 rate should be
above 1.5 times chance, and on the same photos with the landmark visible:

    python -m scripts.render.leak DIR [--extractors hog bovw resnet50]

Every photo ranks the others by SIFT inliers under a homography, by the cosine of small colour
thumbnails and by the extractors named; ties are broken at random, 200 times.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import cv2
import numpy as np

from extractors import registry

from . import manifest

FEATURES, RATIO, MIN_MATCHES, DRAWS = 1500, 0.85, 8, 200


def inliers(a: tuple, b: tuple, size: tuple[int, int]) -> int:
    """Return the inliers between two (keypoints, descriptors) under a plausible homography."""
    (points_a, desc_a), (points_b, desc_b) = a, b
    if desc_a is None or desc_b is None or min(len(desc_a), len(desc_b)) < 2:
        return 0
    matcher = cv2.BFMatcher()
    back = [m.trainIdx for m in matcher.match(desc_b, desc_a)]
    pairs = [
        m
        for m, n in matcher.knnMatch(desc_a, desc_b, k=2)
        if m.distance < RATIO * n.distance and back[m.trainIdx] == m.queryIdx
    ]
    if len(pairs) < MIN_MATCHES:
        return 0
    source = np.array([points_a[m.queryIdx].pt for m in pairs], np.float32)
    target = np.array([points_b[m.trainIdx].pt for m in pairs], np.float32)
    cv2.setRNGSeed(0)
    matrix, good = cv2.findHomography(source, target, cv2.USAC_MAGSAC, 5.0)
    if matrix is None:
        return 0
    w, h = size
    corners = np.array([[[0, 0]], [[w, 0]], [[w, h]], [[0, h]]], np.float32)
    moved = cv2.perspectiveTransform(corners, matrix)
    scale = cv2.contourArea(moved) / (w * h)
    return int(good.sum()) if 0.04 < scale < 25 and cv2.isContourConvex(moved) else 0


def top1(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of photos whose best other photo (scores n x n) has the same label."""
    rng, hits = np.random.default_rng(0), 0.0
    for i, row in enumerate(scores):
        others = np.arange(len(labels)) != i
        best = (row == row[others].max()) & others  # all that tie for the first place
        picks = rng.choice(np.flatnonzero(best), DRAWS)
        hits += float(np.mean(labels[picks] == labels[i]))
    return hits / len(labels)


def by_inliers(images: list[np.ndarray]) -> np.ndarray:
    """Return the (n, n) SIFT inliers between BGR images."""
    sift, n = cv2.SIFT_create(FEATURES), len(images)
    found = [
        sift.detectAndCompute(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), None) for image in images
    ]
    scores = np.zeros((n, n))
    for i, j in itertools.combinations(range(n), 2):
        size = (images[i].shape[1], images[i].shape[0])
        scores[i, j] = scores[j, i] = inliers(found[i], found[j], size)
    return scores


def by_thumbnail(images: list[np.ndarray]) -> np.ndarray:
    """Return the (n, n) cosines of standardised 16 x 16 thumbnails."""
    thumbs = []
    for image in images:
        thumb = cv2.resize(image, (16, 16), interpolation=cv2.INTER_AREA).astype(float).ravel()
        thumbs.append((thumb - thumb.mean()) / (thumb.std() + 1e-9))
    vectors = np.array(thumbs)
    return vectors @ vectors.T


def by_extractor(spec: str, images: list[np.ndarray]) -> np.ndarray:
    """Return the (n, n) negated squared distances of a global extractor's descriptors."""
    extractor = registry.create(spec)
    if extractor.local:
        raise SystemExit(f"{spec} describes a photo by many vectors: choose a global extractor.")
    raws = [extractor.describe(extractor.prepare(image[..., ::-1].copy())) for image in images]
    extractor.fit(raws)
    vectors = np.concatenate([extractor.encode(raw).vectors for raw in raws]).astype(float)
    return -((vectors[:, None] - vectors[None]) ** 2).sum(2)


def main() -> None:
    """Print the top-1 rates of one collection."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--labels", nargs="+", help="only these landmarks")
    parser.add_argument("--photos", type=int, help="only the first so many of each landmark")
    parser.add_argument("--extractors", nargs="+", default=[], metavar="SPEC")
    args = parser.parse_args()
    rows = manifest.read_lines(args.folder / "photos.jsonl")
    if args.labels:
        rows = [row for row in rows if row["label"] in args.labels]
    if args.photos:
        rows = [row for row in rows if int(row["id"].rsplit("_", 1)[1]) < args.photos]
    labels = np.array([row["label"] for row in rows])
    images = [cv2.imread(str(args.folder / row["file"])) for row in rows]
    counts = {label: int((labels == label).sum()) for label in labels}
    chance = np.mean([(counts[label] - 1) / (len(rows) - 1) for label in labels])
    print(f"{len(rows)} photos, {len(counts)} landmarks, chance {chance:.3f}")
    print(f"thumbnail top-1 {top1(by_thumbnail(images), labels):.3f}", flush=True)
    for spec in args.extractors:
        print(f"{spec} top-1 {top1(by_extractor(spec, images), labels):.3f}", flush=True)
    print(f"SIFT top-1 {top1(by_inliers(images), labels):.3f}")


if __name__ == "__main__":
    main()
