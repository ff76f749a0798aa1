"""Google Landmarks v2 and its Kaggle edition (GLR21): a chosen subset of a local copy.

The layout, of the public mirror and of Kaggle alike, for the splits index, train and test::

    train.csv                       id,landmark_id or id,url,landmark_id
    index_image_to_landmark.csv     id,landmark_id
    retrieval_solution_v2.1.csv     id,images,Usage
    {split}_label_to_category.csv   landmark_id,category        (optional)
    {split}_label_to_hierarchical.csv   landmark_id,hierarchical_label  (optional)
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

from data import names, permission
from data.base import Candidate, Skipped
from data.errors import Invalid, PlaygroundError

Split = Literal["index", "train"]
SOLUTION = "retrieval_solution_v2.1.csv"
PROTOCOL = "gldv2"  # how its queries are judged, see evaluation.registry
LABELS = {"index": "index_image_to_landmark.csv", "train": "train.csv"}
PHOTO_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{2,63}")
_NO_LABEL = ""
_NO_UTF8 = re.compile("[\udc80-\udcff]")  # how bytes that are none are read
_NO_ATTRIBUTION: dict[str, str] = {}


@dataclasses.dataclass(frozen=True)
class _Chosen:
    """The subset: photo ids by landmark, both sorted, and what was left out and why."""

    photos: dict[str, list[str]]
    notes: list[Skipped]
    unlabelled: list[str]  # photos whose landmark the list leaves empty


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
        permission.require("name a folder of this machine")
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
        titles, kinds = self._titles(), self._kinds()
        label_of = {photo: label for label, photos in chosen.photos.items() for photo in photos}
        label_of |= dict.fromkeys(chosen.unlabelled, _NO_LABEL)
        attribution = self._attribution(label_of)
        for photo in sorted(label_of):
            label = label_of[photo]
            credit = attribution.get(photo, _NO_ATTRIBUTION)
            file = photo_file(self.split, photo)
            yield Candidate(
                id=photo,
                path=root / file,
                file=file,
                label=label or None,
                title=titles.get(label) if label else None,
                author=credit.get("author") or None,
                licence=credit.get("license") or None,
                url=credit.get("url") or None,
                extra={
                    **({"photo_title": credit["title"]} if credit.get("title") else {}),
                    **({"kind": kinds[label]} if label in kinds else {}),
                },
            )
        if self._wants_queries():
            yield from self._queries(root, label_of, titles)

    def count(self) -> int:
        chosen = self._choose()
        subset = {photo for found in chosen.photos.values() for photo in found}
        subset.update(chosen.unlabelled)
        if not self._wants_queries():
            return len(subset)
        return len(subset) + sum(1 for _ in self._solution(subset))

    @property
    def _everything(self) -> bool:
        """Whether no subset was asked for."""
        return (self.landmarks, self.min_photos, self.max_photos) == (None, 1, None)

    def _expected(self) -> dict[str, int] | None:
        """What the listed data set has; None for a subset that was chosen."""
        if not self._everything:
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
        # A photo may be listed again; it counts once, and never for two landmarks.
        label_of: dict[str, str] = {}
        disputed: set[str] = set()
        on_disk = _OnDisk(self.path / self.split)
        for photo, label in self._labels():
            listed += 1
            if not PHOTO_ID.fullmatch(photo):
                illegal += 1
            elif on_disk.has(photo):
                present += 1
                if label_of.setdefault(photo, label) != label:
                    disputed.add(photo)
        for photo in disputed:
            del label_of[photo]
        counts = Counter(label_of.values())
        unlabelled = counts.pop(_NO_LABEL, 0)
        listing = LABELS[self.split]
        notes = [
            Skipped(photo, f"is listed in {listing} for several landmarks; nothing says which.")
            for photo in sorted(disputed)
        ]
        if unlabelled:
            fate = "have no label" if self._everything else "were left out"
            notes.append(
                Skipped(
                    listing, f"{unlabelled:,} photos are listed without a landmark; they {fate}."
                )
            )
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
        only_unlabelled = self._everything and unlabelled > 0
        if (not qualified and not only_unlabelled) or (self.landmarks or 0) > len(qualified):
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
        for photo in sorted(label_of):
            if label_of[photo] in photos:
                photos[label_of[photo]].append(photo)
        for label, found in photos.items():
            if self.max_photos is not None and len(found) > self.max_photos:
                draw = random.Random(f"{self.seed}:{label}")
                photos[label] = sorted(draw.sample(found, self.max_photos))
        bare = [photo for photo, label in label_of.items() if not label]
        return _Chosen(photos, notes, sorted(bare) if self._everything else [])

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
            # The labels as they are kept: what looks alike is one landmark.
            yield row[0].strip(), names.label(row[1]) or _NO_LABEL

    def _titles(self) -> dict[str, str]:
        path = self._find(f"{self.split}_label_to_category.csv")
        if path is None:
            return {}
        wanted = self._choose().photos
        return {
            label: title_words(category)
            for listed, category in csv_rows(path, ("landmark_id", "category"))
            if (label := names.label(listed)) in wanted and label is not None
        }

    def _kinds(self) -> dict[str, str]:
        """The hierarchical label of each landmark, where the optional list is there."""
        path = self._find(f"{self.split}_label_to_hierarchical.csv")
        if path is None:
            return {}
        wanted = self._choose().photos
        return {
            label: kind
            for listed, given in csv_rows(path, ("landmark_id", "hierarchical_label"))
            if (label := names.label(listed)) in wanted
            and label is not None
            and (kind := names.printable(given.replace("_", " ")))
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
            for row in csv_rows(path, columns, free_text=True)
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
            labels = {label_of[photo] for photo in relevant} - {_NO_LABEL}
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


def csv_rows(
    path: Path, columns: tuple[str, ...], *, free_text: bool = False
) -> Iterator[list[str]]:
    """The named columns of a CSV file, row by row: the official ones have millions of rows.

    A row that is not what it seems would give photos another landmark, so nothing is guessed.

    Args:
        free_text: of people's own words: rows may span lines, and hold what is no UTF-8.

    Raises:
        PlaygroundError: it cannot be read, lacks a column, or a row is damaged; names its line.
    """
    # A query of the official solution lists thousands of ids in one field.
    csv.field_size_limit(max(csv.field_size_limit(), 1 << 24))

    def damaged(line: int, why: str) -> PlaygroundError:
        return PlaygroundError(
            f"{names.printable(str(path))}, line {line:,}: {why}. Mend the line, or take the file "
            f"from the data set again."
        )

    begun = 1
    try:
        errors = "replace" if free_text else "surrogateescape"
        with open(path, encoding="utf-8-sig", errors=errors, newline="") as handle:
            reader = csv.reader(handle, strict=True)
            header = [name.strip() for name in next(reader, [])]
            if not set(columns) <= set(header):
                raise PlaygroundError(
                    f"{names.printable(str(path))} has the columns "
                    f"{names.printable(', '.join(header)) or '(none)'}; needed are "
                    f"{', '.join(columns)}. Take the file from the data set again."
                )
            places = [header.index(column) for column in columns]
            begun = reader.line_num + 1
            for row in reader:
                if reader.line_num > begun and not free_text:
                    raise damaged(begun, 'a quotation mark (") is opened and not closed')
                if row and len(row) != len(header):
                    raise damaged(
                        begun, f"it has {len(row)} fields, the header has {len(header)} columns"
                    )
                if row:
                    chosen = [row[place] for place in places]
                    if not free_text and any(_NO_UTF8.search(field) for field in chosen):
                        raise damaged(begun, "it is no UTF-8 text")
                    yield chosen
                begun = reader.line_num + 1
    except OSError as error:
        raise PlaygroundError(
            f"{names.printable(str(path))} cannot be read ({error.strerror})."
        ) from error
    except csv.Error as error:
        quote = any(words in str(error) for words in ("expected after", "end of data"))
        why = 'a quotation mark (") is opened and not closed' if quote else str(error)
        raise damaged(begun, why) from error
