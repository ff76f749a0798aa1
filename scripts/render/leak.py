"""How far surroundings give a landmark away: leave-one-out ranking of a rendered collection.

Run it on a collection rendered with `--hide-landmark`, where the top-1 rate should be near chance,
and on the same photos with the landmark visible:

    python -m scripts.render.leak DIR

Every photo ranks the others by SIFT inliers under a homography and by the cosine of small colour
thumbnails; ties are broken at random, 200 times.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import cv2
import numpy as np

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


def main() -> None:
    """Print the top-1 rates of one collection."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--labels", nargs="+", help="only these landmarks")
    parser.add_argument("--photos", type=int, help="only the first so many of each landmark")
    args = parser.parse_args()
    rows = manifest.read_lines(args.folder / "photos.jsonl")
    if args.labels:
        rows = [row for row in rows if row["label"] in args.labels]
    if args.photos:
        rows = [row for row in rows if int(row["id"].rsplit("_", 1)[1]) < args.photos]
    labels = np.array([row["label"] for row in rows])
    sift = cv2.SIFT_create(FEATURES)
    found, thumbs = [], []
    for row in rows:
        image = cv2.imread(str(args.folder / row["file"]))
        found.append(sift.detectAndCompute(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), None))
        thumb = cv2.resize(image, (16, 16), interpolation=cv2.INTER_AREA).astype(float).ravel()
        thumbs.append((thumb - thumb.mean()) / (thumb.std() + 1e-9))
    n = len(rows)
    scores = np.zeros((n, n))
    for i, j in itertools.combinations(range(n), 2):
        size = (rows[i]["width"], rows[i]["height"])
        scores[i, j] = scores[j, i] = inliers(found[i], found[j], size)
    vectors = np.array(thumbs)
    counts = {label: int((labels == label).sum()) for label in labels}
    chance = np.mean([(counts[label] - 1) / (n - 1) for label in labels])
    print(f"{n} photos, {len(counts)} landmarks, chance {chance:.2f}")
    print(f"SIFT top-1 {top1(scores, labels):.2f}")
    print(f"thumbnail top-1 {top1(vectors @ vectors.T, labels):.2f}")


if __name__ == "__main__":
    main()
