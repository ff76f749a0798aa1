"""Google Landmarks v2 and its Kaggle edition (GLR21): a chosen subset of a local copy.

The layout, of the public mirror and of Kaggle alike, for the splits index, train and test::

    train.csv                       id,landmark_id or id,url,landmark_id
    index_image_to_landmark.csv     id,landmark_id
    retrieval_solution_v2.1.csv     id,images,Usage
    {split}_label_to_category.csv   landmark_id,category        (optional)
    {split}_attribution.csv         id,url,author,license,title (optional)
    {split}/{id[0]}/{id[1]}/{id[2]}/{id}.jpg

CSV files may also lie in ``metadata/`` or ``ground_truth/``. Landmark ids of index and train
differ: they name different things.
"""

from __future__ import annotations

import csv
import dataclasses
import os
import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import unquote

from data import names
from data.base import Candidate, Skipped
from data.errors import Invalid, PlaygroundError

Split = Literal["index", "train"]
SOLUTION = "retrieval_solution_v2.1.csv"
PROTOCOL = "gldv2"  # how its queries are judged, see evaluation.registry
LABELS = {"index": "index_image_to_landmark.csv", "train": "train.csv"}
PHOTO_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{2,63}")
_NO_ATTRIBUTION: dict[str, str] = {}


@dataclasses.dataclass(frozen=True)
class _Chosen:
    """The subset: photo ids by landmark, both sorted, and what was left out and why."""

    photos: dict[str, list[str]]
    notes: list[Skipped]


class Glr21Source:
    """A subset of a local copy of Google Landmarks v2, referenced where it lies.

    The rule, made for small but dense subsets: of the landmarks with at least ``min_photos``
    photos on this disk, ``landmarks`` are drawn; of a landmark with more than ``max_photos``,
    that many are drawn. Equal parameters and files give the equal subset.

    Args:
        root: the folder with the CSV files and the split folders.
        split: index or train.
        landmarks: how many; None for all that qualify.
        min_photos: landmarks with fewer photos are left out.
        max_photos: None for all photos of a landmark.
        seed: of both draws.
        queries: take the queries that have a relevant photo in the subset. None: for the split
            index where the solution file exists. They belong to the split index only.
    """

    kind = "glr21"

    def __init__(
        self,
        root: Path | str,
        split: Split = "index",
        landmarks: int | None = None,
        min_photos: int = 1,
        max_photos: int | None = None,
        seed: int = 0,
        queries: bool | None = None,
    ) -> None:
        self.path = Path(root).expanduser()
        self.split = split
        self.landmarks = landmarks
        self.min_photos = min_photos
        self.max_photos = max_photos
        self.seed = seed
        self.queries = queries
        self._chosen: _Chosen | None = None

    def root(self) -> Path:
        self._check()
        return self.path.resolve()

    def candidates(self) -> Iterator[Candidate | Skipped]:
        root = self.root()
        chosen = self._choose()
        yield from chosen.notes
        titles = self._titles()
        label_of = {photo: label for label, photos in chosen.photos.items() for photo in photos}
        attribution = self._attribution(label_of)
        for photo in sorted(label_of):
            label = label_of[photo]
            credit = attribution.get(photo, _NO_ATTRIBUTION)
            file = photo_file(self.split, photo)
            yield Candidate(
                id=photo,
                path=root / file,
                file=file,
                label=label,
                title=titles.get(label),
                author=credit.get("author") or None,
                licence=credit.get("license") or None,
                url=credit.get("url") or None,
                extra={"photo_title": credit["title"]} if credit.get("title") else {},
            )
        if self._wants_queries():
            yield from self._queries(root, label_of, titles)

    def count(self) -> int:
        photos = sum(len(found) for found in self._choose().photos.values())
        if not self._wants_queries():
            return photos
        subset = {photo for found in self._choose().photos.values() for photo in found}
        return photos + sum(1 for _ in self._solution(subset))

    def _expected(self) -> dict[str, int] | None:
        """What the listed data set has; None for a subset that was chosen."""
        if (self.landmarks, self.min_photos, self.max_photos) != (None, 1, None):
            return None
        listed = {photo for photo, _ in self._labels() if PHOTO_ID.fullmatch(photo)}
        queries = sum(1 for _ in self._solution(listed)) if self._wants_queries() else 0
        return {"photos": len(listed), "queries": queries}

    def describe(self) -> dict[str, Any]:
        expected = self._expected()
        return {
            "kind": self.kind,
            "path": str(self.root()),
            "split": self.split,
            "landmarks": self.landmarks,
            "min_photos": self.min_photos,
            "max_photos": self.max_photos,
            "seed": self.seed,
            "queries": self._wants_queries(),
            **({"protocol": PROTOCOL} if self._wants_queries() else {}),
            **({"expected": expected} if expected is not None else {}),
        }

    def about(self) -> dict[str, str]:
        return {
            "description": f"A subset of the {self.split} split of a copy in the layout of "
            f"Google Landmarks v2.",
            "licence": "That of the copy. Official photos: train CC BY with the attribution of "
            "each photo; index and test CC0 or public domain.",
        }

    # The subset

    def _choose(self) -> _Chosen:
        if self._chosen is None:
            self._chosen = self._draw()
        return self._chosen

    def _draw(self) -> _Chosen:
        self._check()
        listed, present, illegal = 0, 0, 0
        counts: Counter[str] = Counter()
        on_disk = _OnDisk(self.path / self.split)
        for photo, label in self._labels():
            listed += 1
            if not PHOTO_ID.fullmatch(photo):
                illegal += 1
            elif on_disk.has(photo):
                present += 1
                counts[label] += 1
        listing = LABELS[self.split]
        notes = []
        if illegal:
            notes.append(Skipped(listing, f"{illegal:,} lines have an illegal photo id."))
        if present + illegal < listed:
            notes.append(
                Skipped(
                    listing,
                    f"{listed - present - illegal:,} of {listed:,} listed photos are not in "
                    f"{self.split}/ on this disk; landmarks were chosen from the others.",
                )
            )
        qualified = sorted(label for label, n in counts.items() if n >= self.min_photos)
        if not qualified or (self.landmarks or 0) > len(qualified):
            wanted = "any" if self.landmarks is None else f"{self.landmarks:,}"
            most = max(counts.values(), default=0)
            raise PlaygroundError(
                f"{self.path / self.split} has {len(qualified):,} landmarks with at least "
                f"{self.min_photos} photos on this disk, wanted {wanted}. {present:,} of the "
                f"{listed:,} photos of {listing} are there; the largest landmark has {most:,}. "
                f"Lower --landmarks or --min-photos."
            )
        drawn = qualified
        if self.landmarks is not None:
            # Text seeds: the draw of a landmark does not depend on the other landmarks.
            drawn = random.Random(f"{self.seed}:landmarks").sample(qualified, self.landmarks)
        photos: dict[str, list[str]] = {label: [] for label in sorted(drawn)}
        for photo, label in self._labels():
            if label in photos and PHOTO_ID.fullmatch(photo) and on_disk.has(photo):
                photos[label].append(photo)
        for label, found in photos.items():
            once = sorted(set(found))
            if self.max_photos is not None and len(once) > self.max_photos:
                draw = random.Random(f"{self.seed}:{label}")
                once = sorted(draw.sample(once, self.max_photos))
            photos[label] = once
        return _Chosen(photos, notes)

    def _check(self) -> None:
        if self.split not in get_args(Split):
            raise Invalid(
                f"{self.split!r} is no split of Google Landmarks v2. Legal: index, train."
            )
        for name, value in (
            ("landmarks", self.landmarks),
            ("min_photos", self.min_photos),
            ("max_photos", self.max_photos),
        ):
            if value is not None and value < 1:
                raise Invalid(f"{name} is {value}. Legal: at least 1.")
        if self.queries and self.split != "index":
            raise Invalid(
                f"The queries of Google Landmarks v2 belong to the split index, not to "
                f"{self.split}. Use --split index or --no-queries."
            )
        if not (self.path / self.split).is_dir():
            raise PlaygroundError(
                f"The folder {self.path / self.split} is missing. Expected are {self.path}/"
                f"{LABELS[self.split]} and the photos as {self.split}/a/b/c/abc….jpg beside it."
            )
        self._csv(LABELS[self.split])

    # The CSV files

    def _find(self, name: str) -> Path | None:
        for folder in ("", "metadata", "ground_truth"):
            path = self.path / folder / name
            if path.is_file():
                return path
        return None

    def _csv(self, name: str) -> Path:
        path = self._find(name)
        if path is None:
            raise PlaygroundError(
                f"{name} is missing in {self.path} (also looked in metadata/ and ground_truth/). "
                f"The split {self.split} needs {LABELS[self.split]}, and {SOLUTION} for queries; "
                f"--no-queries does without the latter."
            )
        return path

    def _labels(self) -> Iterator[tuple[str, str]]:
        for row in csv_rows(self._csv(LABELS[self.split]), ("id", "landmark_id")):
            yield row[0], row[1]

    def _titles(self) -> dict[str, str]:
        path = self._find(f"{self.split}_label_to_category.csv")
        if path is None:
            return {}
        wanted = self._choose().photos
        return {
            label: title_words(category)
            for label, category in csv_rows(path, ("landmark_id", "category"))
            if label in wanted
        }

    def _attribution(self, wanted: dict[str, str]) -> dict[str, dict[str, str]]:
        path = self._find(f"{self.split}_attribution.csv")
        if path is None:
            return {}
        columns = ("id", "url", "author", "license", "title")
        return {
            row[0]: {
                column: names.printable(value)
                for column, value in zip(columns[1:], row[1:], strict=True)
            }
            for row in csv_rows(path, columns)
            if row[0] in wanted
        }

    def _wants_queries(self) -> bool:
        if self.queries is None:
            return self.split == "index" and self._find(SOLUTION) is not None
        return self.queries

    def _solution(self, subset: set[str] | dict[str, str]) -> Iterator[tuple[str, list[str], str]]:
        """Queries with their relevant photos of the subset, and Public or Private."""
        for query, images, usage in csv_rows(self._csv(SOLUTION), ("id", "images", "Usage")):
            if usage == "Ignored" or not PHOTO_ID.fullmatch(query):
                continue
            relevant = sorted({photo for photo in images.split() if photo in subset})
            if relevant:
                yield query, relevant, names.printable(usage)[:20]

    def _queries(
        self, root: Path, label_of: dict[str, str], titles: dict[str, str]
    ) -> Iterator[Candidate]:
        for query, relevant, usage in sorted(self._solution(label_of)):
            labels = {label_of[photo] for photo in relevant}
            # A query whose relevant photos bear several labels keeps its list and has no label.
            label = labels.pop() if len(labels) == 1 else None
            file = photo_file("test", query)
            yield Candidate(
                id=query,
                path=root / file,
                file=file,
                label=label,
                title=titles.get(label) if label else None,
                relevant=tuple(relevant),
                query=True,
                extra={"usage": usage} if usage else {},
            )


class _OnDisk:
    """Whether photos exist; folders that do not are asked about once (partial copies)."""

    def __init__(self, split: Path) -> None:
        self._split = split
        self._folders: dict[str, bool] = {}

    def has(self, photo: str) -> bool:
        folder = os.path.join(self._split, photo[0], photo[1], photo[2])
        known = self._folders.get(folder)
        if known is None:
            known = self._folders[folder] = os.path.isdir(folder)
        return known and os.path.isfile(os.path.join(folder, f"{photo}.jpg"))


def photo_file(split: str, photo: str) -> str:
    """Where the data set keeps a photo, relative to its folder."""
    return f"{split}/{photo[0]}/{photo[1]}/{photo[2]}/{photo}.jpg"


def title_words(category: str) -> str:
    """``http://…/wiki/Category:Some_Place`` and ``some_place`` to the words for people."""
    return names.printable(unquote(category.rpartition("Category:")[2]).replace("_", " "))


def csv_rows(path: Path, columns: tuple[str, ...]) -> Iterator[list[str]]:
    """The named columns of a CSV file, row by row: the official ones have millions of rows."""
    # A query of the official solution lists thousands of ids in one field.
    csv.field_size_limit(max(csv.field_size_limit(), 1 << 24))
    try:
        with open(path, encoding="utf-8-sig", errors="replace", newline="") as handle:
            reader = csv.reader(handle)
            header = next(reader, [])
            if not set(columns) <= set(header):
                raise PlaygroundError(
                    f"{path} has the columns {', '.join(header) or '(none)'}; needed are "
                    f"{', '.join(columns)}. Take the file from the data set again."
                )
            places = [header.index(column) for column in columns]
            last = max(places)
            for row in reader:
                if len(row) > last:
                    yield [row[place] for place in places]
    except OSError as error:
        raise PlaygroundError(f"{path} cannot be read ({error.strerror}).") from error
    except csv.Error as error:
        raise PlaygroundError(
            f"{path} is no legal CSV file ({error}). Take the file from the data set again."
        ) from error
