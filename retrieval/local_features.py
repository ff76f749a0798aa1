"""Local features of photos for re-ranking: made, stored, and matched over a shortlist.

A method that matches keypoints is a detector, what makes matches of two photos' features, and a
card; the rest is here. The features of all photos are one artefact of the collection, which
serves every extractor; where it was not built, the shortlist's features are made during the
search and kept in memory.
"""

from __future__ import annotations

import abc
import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data import artefact
from data.base import Box
from data.errors import PlaygroundError
from extractors.base import RGB, Floats
from indexing.base import Ints
from retrieval.ranking import Query, Ranking
from retrieval.rerank.base import Progress, Reranker, View

FILE = "features.npy"
FORMAT = 1  # of the file, part of the artefact's key


@dataclasses.dataclass(frozen=True)
class LocalFeatures:
    """Keypoints of one photo, or of a region of it.

    Attributes:
        geometry: (n, 4) float32: x, y in px of the whole photo, the keypoint's diameter in the
            same px (1 where the detector has no scale), angle in degrees (0 where it has none).
        descriptors: (n, D) in the detector's type.
        box: the region, px of the photo.
    """

    geometry: Floats
    descriptors: NDArray[Any]
    box: Box

    def __len__(self) -> int:
        return len(self.geometry)


class Detector(abc.ABC):
    """Makes local features. Shared between threads; holds its config and what it loads once."""

    dim: int
    dtype: str  # of the descriptors in memory and in the file: "uint8" or "float16"
    most: int  # features per photo

    @abc.abstractmethod
    def identity(self) -> dict[str, Any]:
        """All that decides the features, JSON-able: name, version, config, weights."""

    @abc.abstractmethod
    def detect(self, photo: RGB, box: Box | None = None) -> LocalFeatures:
        """Of a region, px of the photo; None: all of it."""

    @property
    def record(self) -> np.dtype[Any]:
        """One feature in the file: the photo's row, geometry, descriptor."""
        descriptor = (np.dtype(self.dtype).newbyteorder("<"), (self.dim,))
        return np.dtype([("photo", "<i4"), ("geometry", "<f4", (4,)), ("descriptor", *descriptor)])


Matcher = Callable[[LocalFeatures], Ints]
"""A photo's features -> (k, 2) rows of the query's and of the photo's that match, verified."""


class LocalReranker(Reranker):
    """Re-ranks a shortlist by the verified matches of keypoints.

    The config has ``depth`` and ``min_inliers``.
    """

    needs = "photos"
    offline = "optional"

    @property
    @abc.abstractmethod
    def detector(self) -> Detector: ...

    @abc.abstractmethod
    def matcher(self, asked: LocalFeatures) -> Matcher:
        """What matches one query with photo after photo."""

    def prepare(self, view: View, progress: Progress | None = None) -> None:
        detector = self.detector
        doing = functools.partial(_write, view=view, detector=detector, progress=progress)
        view.artefact(FILE, _key(detector), doing, of_photos=True)

    def estimate_bytes(self, view: View) -> int:
        """Bytes on disk of ``prepare``: as many features as a photo may have, for every photo."""
        return len(view.photos) * self.detector.most * self.detector.record.itemsize

    def rerank(self, query: Query, ranking: Ranking, view: View) -> Ranking:
        detector = self.detector
        key = artefact.digest(_key(detector))
        stored = _stored(view, detector)
        # Of the query's own memory: a search that is timed anew makes them anew.
        asked = query.kept(key, lambda: detector.detect(query.pixels(), query.box))
        match = self.matcher(asked)

        def matches_of(row: int) -> Floats | None:
            if stored is not None:
                found = stored.of(row)
            else:
                found = view.kept(
                    ("photo features", key, row), lambda: _read(view, detector, row), of_photos=True
                )
            if found is None:
                return None
            pairs = match(found)
            places = (asked.geometry[pairs[:, 0], :2], found.geometry[pairs[:, 1], :2])
            return np.hstack(places)

        return reordered(self, ranking, view, matches_of)


def reordered(
    method: Reranker, ranking: Ranking, view: View, matches_of: Callable[[int], Floats | None]
) -> Ranking:
    """The shortlist by its numbers of verified matches; the others behind it as they were.

    Fewer matches than ``min_inliers`` count as none: unrelated photos have some by chance, and
    the order before is worth more than those.

    Args:
        matches_of: row -> (k, 4) px in the query's photo and in the found one; None for a photo
            that cannot be read.
    """
    count = min(method.depth, len(ranking))
    inliers = np.zeros(count)
    matches: dict[int, Floats] = {}
    unread = []
    for place, row in enumerate(ranking.rows[:count]):
        found = matches_of(int(row))
        if found is None:
            inliers[place] = np.nan
            unread.append(view.photos[row].id)
        elif len(found) >= method.config.min_inliers:
            inliers[place] = len(found)
            matches[int(row)] = np.asarray(found, np.float32)
    new = ranking.reordered(np.nan_to_num(inliers), inliers=inliers)
    notes = ranking.notes
    if unread:
        what = "1 photo" if len(unread) == 1 else f"{len(unread)} photos"
        notes += (
            f"{method.name}: {what} of the shortlist could not be read, such as {unread[0]}, and "
            f"keep the order from before, behind those with matches.",
        )
    # Matches of an earlier stage stay only where this one says nothing.
    checked = {int(row) for row in ranking.rows[:count]}
    earlier = {row: found for row, found in ranking.matches.items() if row not in checked}
    return dataclasses.replace(new, matches={**earlier, **matches}, notes=notes)


def nearest_pairs(asked: Floats, found: Floats, ratio: float) -> Ints:
    """(k, 2) pairs of unit descriptors that are each other's nearest and clearly so.

    Args:
        asked: (n, D) of the query.
        found: (m, D) of the photo.
        ratio: keep pairs whose distance is below this part of the distance to the second nearest
            of the photo's (Lowe's test).
    """
    if not len(asked) or len(found) < 2:
        return np.empty((0, 2), np.int64)
    closeness = asked @ found.T
    rows = np.arange(len(asked))
    nearest = closeness.argmax(axis=1)
    best = closeness[rows, nearest]
    closeness[rows, nearest] = -np.inf
    second = closeness.max(axis=1)
    closeness[rows, nearest] = best
    # Squared distances of unit vectors are 2 - 2 cos.
    keep = np.flatnonzero(1 - best < ratio * ratio * (1 - second))
    # Only for those that are left: a column's maximum is the dearer half of a full mutual test.
    mutual = best[keep] >= closeness[:, nearest[keep]].max(axis=0)
    keep = keep[mutual]
    return np.stack([rows[keep], nearest[keep]], axis=1).astype(np.int64)


def photo_px(px: float, features: LocalFeatures, image_size: int) -> float:
    """Px of a photo that are ``px`` at the size at which its features were made."""
    x0, y0, x1, y1 = features.box
    return px * max(1.0, max(x1 - x0, y1 - y0) / image_size)


# -- features of the photos of a collection --------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Stored:
    """The features of all photos, on disk."""

    records: NDArray[Any]  # memory-mapped
    offsets: Ints  # (N + 1,)
    boxes: tuple[Box, ...]

    def of(self, row: int) -> LocalFeatures | None:
        part = self.records[self.offsets[row] : self.offsets[row + 1]]
        geometry = np.array(part["geometry"], np.float32)
        if len(geometry) == 1 and np.isnan(geometry).all():
            return None
        return LocalFeatures(geometry, np.array(part["descriptor"]), self.boxes[row])


class _AbsentError(Exception):
    """There is no artefact yet; not kept, so that one that is built later is found."""


def _key(detector: Detector) -> dict[str, Any]:
    return {"what": "local features", "file": FORMAT, **detector.identity()}


def _stored(view: View, detector: Detector) -> _Stored | None:
    key = _key(detector)

    def load() -> _Stored:
        path = view.artefact(FILE, key, None, of_photos=True)
        if path is None:
            raise _AbsentError
        return _open(path, detector, view)

    try:
        return view.kept(("stored features", artefact.digest(key)), load, of_photos=True)
    except _AbsentError:
        return None


def _open(path: Path, detector: Detector, view: View) -> _Stored:
    photos = len(view.photos)
    try:
        records = np.load(path, mmap_mode="r", allow_pickle=False)
        if records.dtype != detector.record or records.ndim != 1:
            raise ValueError(f"{records.dtype} of the shape {records.shape}")
        owners = np.array(records["photo"], np.int64)
        if len(owners) and ((np.diff(owners) < 0).any() or owners[0] < 0 or owners[-1] >= photos):
            raise ValueError(f"rows that are not those of {photos} photos in order")
    except ValueError as error:
        raise PlaygroundError(
            f"{path} does not hold the local features of {view.name}: it has {error}. Run: "
            f"rm -r '{path.parent}' (it is made again)"
        ) from None
    offsets = np.searchsorted(owners, np.arange(photos + 1)).astype(np.int64)
    boxes = tuple((0, 0, photo.width, photo.height) for photo in view.photos)
    return _Stored(records, offsets, boxes)


def _read(view: View, detector: Detector, row: int) -> LocalFeatures | None:
    """The features of a photo; None where it cannot be read."""
    try:
        pixels = view.pixels(row)
    except PlaygroundError:
        return None
    return detector.detect(pixels)


def _write(path: Path, view: View, detector: Detector, progress: Progress | None) -> None:
    """Photo after photo into a .npy file, so that no more than one is in memory.

    NumPy's header leaves room for the first axis to grow, so the true length replaces 0 at the
    end. A photo that cannot be read has one feature of NaN.
    """
    record, total = detector.record, 0
    with open(path, "wb") as handle:
        _header(handle, record, 0)
        start = handle.tell()
        for row, photo in enumerate(view.photos):
            found = _read(view, detector, row)
            block = np.zeros(1 if found is None else len(found), record)
            block["photo"] = row
            block["geometry"] = np.nan if found is None else found.geometry
            if found is not None:
                block["descriptor"] = found.descriptors
            handle.write(block.tobytes())
            total += len(block)
            if progress is not None:
                progress(row + 1, len(view.photos), photo.id)
        handle.seek(0)
        _header(handle, record, total)
        assert handle.tell() == start


def _header(handle: Any, record: np.dtype[Any], rows: int) -> None:
    descr: Any = np.lib.format.dtype_to_descr(record)
    fields = {"descr": descr, "fortran_order": False, "shape": (rows,)}
    np.lib.format.write_array_header_1_0(handle, fields)
