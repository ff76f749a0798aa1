"""The CSV lists of Google Landmarks v2: getting them, and choosing a subset by them.

A list is streamed into a cache (``downloads/gldv2/lists/``), continued where it broke off, and
noted with its size, SHA-256 and ETag. The choice is made from the lists alone, before any photo
is fetched, by the rule of ``data.glr21``: equal parameters draw the equal subset there, from a
complete copy on disk, and here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from data import artefact
from data.errors import Invalid, PlaygroundError
from data.glr21 import LABELS, PHOTO_ID, SOLUTION, Split, csv_rows, title_words
from data.http import ChangedError, Remote, RestartError, Web, WebError
from data.progress import Progress

BASE_URL = "https://s3.amazonaws.com/google-landmark"
SHARDS = {"train": 500, "index": 100, "test": 20}
PHOTOS = {"train": 4_132_914, "index": 761_757, "test": 117_577}
CLEAN = "train_clean.csv"
ATTRIBUTION = "train_attribution.csv"


@dataclasses.dataclass(frozen=True)
class Mirror:
    """A server with the layout of the official one, which is the default.

    ``shards`` and ``photos`` are counts by split: train, index, test.
    """

    base_url: str = BASE_URL
    shards: dict[str, int] = dataclasses.field(default_factory=lambda: dict(SHARDS))
    photos: dict[str, int] = dataclasses.field(default_factory=lambda: dict(PHOTOS))

    def list_url(self, name: str) -> str:
        folder = "ground_truth" if name == SOLUTION else "metadata"
        return f"{self.base_url.rstrip('/')}/{folder}/{name}"

    def shard_url(self, split: str, number: int) -> str:
        return f"{self.base_url.rstrip('/')}/{split}/images_{number:03d}.tar"

    def md5_url(self, split: str, number: int) -> str:
        return f"{self.base_url.rstrip('/')}/md5sum/{split}/md5.images_{number:03d}.txt"


@dataclasses.dataclass(frozen=True)
class Wanted:
    """Which photos, and how large.

    Landmarks with ``min_photos`` or more qualify, ``landmarks`` of them are drawn, and of a
    landmark with more than ``max_photos``, that many. ``category`` and ``hierarchy`` name words:
    a landmark qualifies if its title (its hierarchical label, supercategory, or whether it is
    natural or human-made) contains one of them, whatever the case. ``clean``: only photos of
    GLDv2-clean, which exists for the split train. ``queries``: of the test set, those with a
    relevant photo in the subset, which exist for the split index. ``longer_side`` in px; None
    keeps the photos as they are.
    """

    split: Split = "index"
    landmarks: int | None = 50
    min_photos: int = 4
    max_photos: int | None = 20
    category: tuple[str, ...] = ()
    hierarchy: tuple[str, ...] = ()
    clean: bool = False
    queries: bool = True
    seed: int = 0
    longer_side: int | None = 1024

    def check(self) -> None:
        """Refuse parameters that cannot be."""
        if self.split not in get_args(Split):
            raise Invalid(
                f"{self.split!r} is no split to make a collection of. Legal: index, train (the "
                f"photos of test come along as queries of index)."
            )
        least = {"landmarks": 1, "min_photos": 1, "max_photos": 1, "longer_side": 32}
        for name, low in least.items():
            value = getattr(self, name)
            if value is not None and value < low:
                raise Invalid(f"{name} is {value}. Legal: at least {low}.")
        if self.max_photos is not None and self.max_photos < self.min_photos:
            raise Invalid(
                f"max_photos is {self.max_photos}, min_photos {self.min_photos}. Legal: "
                f"max_photos at least min_photos."
            )
        if self.clean and self.split != "train":
            raise Invalid(
                "The clean set is a part of the split train; index has none. Use --split train, "
                "or leave --clean out."
            )

    @property
    def with_queries(self) -> bool:
        return self.queries and self.split == "index"

    def lists(self) -> dict[str, bool]:
        """Names of the lists that are needed, and whether it can be done without."""
        split = self.split
        found = {CLEAN if self.clean else LABELS[split]: False}
        found[f"{split}_label_to_category.csv"] = not self.category
        if self.hierarchy:
            found[f"{split}_label_to_hierarchical.csv"] = False
        if split == "train":
            found[ATTRIBUTION] = False  # the licence CC BY asks for it
        if self.with_queries:
            found[SOLUTION] = False
        return found


@dataclasses.dataclass(frozen=True)
class Subset:
    """What was chosen. All by id or label, sorted."""

    split: Split
    photos: dict[str, list[str]]  # ids by landmark
    titles: dict[str, str]  # category as the list has it, by landmark
    queries: dict[str, tuple[list[str], str]]  # relevant ids and usage, by id
    credits: dict[str, tuple[str, str, str, str]]  # url, author, licence, title, by id
    listed: int  # photos of the list it was chosen from

    def ids(self) -> dict[str, list[str]]:
        """Photos to fetch, by the split whose shards hold them."""
        found: dict[str, list[str]] = {
            self.split: sorted({i for ids in self.photos.values() for i in ids})
        }
        if self.queries:
            found["test"] = sorted(self.queries)
        return found


# Getting the lists


def missing(web: Web, mirror: Mirror, wanted: Wanted, folder: Path) -> dict[str, int]:
    """Lists that have to be fetched yet, with their bytes (-1 where the server does not say)."""
    found = {}
    for name, optional in wanted.lists().items():
        if known(folder, name, mirror.list_url(name)) is None:
            with _absent_is_fine(optional):
                found[name] = web.probe(mirror.list_url(name), 1).size
    return found


@contextlib.contextmanager
def _absent_is_fine(optional: bool) -> Iterator[None]:
    try:
        yield
    except WebError as error:
        if not (optional and error.absent):
            raise


def known(folder: Path, name: str, url: str) -> dict[str, Any] | None:
    """The note on a list that is here, None if it is not, or not as noted."""
    try:
        note: dict[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        here = (folder / name).stat().st_size == note["bytes"] and note["url"] == url
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return note if here else None


def fetch(
    web: Web, mirror: Mirror, wanted: Wanted, folder: Path, progress: Progress | None = None
) -> dict[str, dict[str, Any]]:
    """Fetch the lists that are missing.

    Returns:
        The notes on all of them: ``url``, ``bytes``, ``sha256``, ``etag``; by name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    notes = {}
    for name, optional in wanted.lists().items():
        url = mirror.list_url(name)
        note = known(folder, name, url)
        if note is None:
            with _absent_is_fine(optional):
                note = _fetch_one(web, url, folder / name, progress)
        if note is not None:
            notes[name] = note
    return notes


def _fetch_one(web: Web, url: str, path: Path, progress: Progress | None) -> dict[str, Any]:
    part = path.with_name(f"{path.name}.part")
    source = path.with_name(f"{path.name}.part.json")
    for attempt in range(web.settings.attempts):
        remote = web.probe(url, 1)
        identity = {"url": url, "bytes": remote.size, "etag": remote.etag}
        # Only a part of the very same file is continued.
        resumable = remote.ranges and bool(remote.etag) and _same(source, identity)
        start = part.stat().st_size if resumable and part.exists() else 0
        if start > remote.size:
            start = 0
        artefact.write_atomically(source, json.dumps(identity))
        try:
            _append(web, remote, part, start, progress)
            break
        except (RestartError, ChangedError) as error:
            if attempt + 1 == web.settings.attempts:
                raise WebError(
                    f"{url} broke off {web.settings.attempts} times ({error}), and this server "
                    f"cannot continue a file. Run the same command again."
                ) from error
            web.cancel.wait(min(web.settings.backoff * 2**attempt, web.settings.longest_wait))
    note = {**identity, "bytes": part.stat().st_size, "sha256": artefact.file_sha256(part)}
    part.replace(path)
    artefact.write_atomically(path.with_name(f"{path.name}.json"), artefact.canonical_json(note))
    source.unlink(missing_ok=True)
    return note


def _same(source: Path, identity: dict[str, Any]) -> bool:
    try:
        return bool(json.loads(source.read_text(encoding="utf-8")) == identity)
    except (OSError, ValueError):
        return False


def _append(web: Web, remote: Remote, part: Path, start: int, progress: Progress | None) -> None:
    with open(part, "r+b" if start else "wb") as handle:
        handle.seek(start)
        handle.truncate()
        done = start
        for chunk in web.stream(remote, start):
            handle.write(chunk)
            done += len(chunk)
            if progress:
                progress(done, max(0, remote.size), remote.url.rpartition("/")[2])


def sha256_of(folder: Path, notes: dict[str, dict[str, Any]]) -> dict[str, str]:
    """SHA-256 of the lists, after checking the files against their notes.

    Raises:
        PlaygroundError: a list was changed since it was fetched.
    """
    for name, note in notes.items():
        if artefact.file_sha256(folder / name) != note["sha256"]:
            raise PlaygroundError(
                f"{folder / name} is not as it was downloaded: its SHA-256 is another one. Delete "
                f"it and run the same command again."
            )
    return {name: str(note["sha256"]) for name, note in sorted(notes.items())}


# Choosing


def choose(wanted: Wanted, folder: Path) -> Subset:
    """Draw the subset from the lists in ``folder``.

    Raises:
        PlaygroundError: too few landmarks qualify, or a list is damaged.
    """
    wanted.check()
    allowed = _allowed(wanted, folder)
    counts: Counter[str] = Counter()
    listed = 0
    for photo, label in _labels(wanted, folder):
        listed += 1
        if PHOTO_ID.fullmatch(photo) and (allowed is None or label in allowed):
            counts[label] += 1
    qualified = sorted(label for label, n in counts.items() if n >= wanted.min_photos)
    if not qualified or (wanted.landmarks or 0) > len(qualified):
        filters = [f"--category {word}" for word in wanted.category]
        filters += [f"--hierarchy {word}" for word in wanted.hierarchy]
        raise PlaygroundError(
            f"{len(qualified):,} landmarks of the split {wanted.split} have at least "
            f"{wanted.min_photos} photos{' with ' + ' '.join(filters) if filters else ''}"
            f"{' in the clean set' if wanted.clean else ''}, wanted "
            f"{'any' if wanted.landmarks is None else f'{wanted.landmarks:,}'}. The largest has "
            f"{max(counts.values(), default=0):,}. Lower --landmarks or --min-photos, or use "
            f"other words."
        )
    drawn = qualified
    if wanted.landmarks is not None:
        # As in data.glr21: the draw of a landmark does not depend on the other landmarks.
        drawn = random.Random(f"{wanted.seed}:landmarks").sample(qualified, wanted.landmarks)
    photos: dict[str, list[str]] = {label: [] for label in sorted(drawn)}
    for photo, label in _labels(wanted, folder):
        if label in photos and PHOTO_ID.fullmatch(photo):
            photos[label].append(photo)
    for label, found in photos.items():
        once = sorted(set(found))
        if wanted.max_photos is not None and len(once) > wanted.max_photos:
            draw = random.Random(f"{wanted.seed}:{label}")
            once = sorted(draw.sample(once, wanted.max_photos))
        photos[label] = once
    ids = {photo for found in photos.values() for photo in found}
    return Subset(
        wanted.split,
        photos,
        _titles(wanted, folder, set(photos)),
        _queries(wanted, folder, ids),
        _credits(wanted, folder, ids),
        listed,
    )


def _labels(wanted: Wanted, folder: Path) -> Iterator[tuple[str, str]]:
    """(id, landmark) of every photo that may be chosen."""
    if wanted.clean:
        for label, images in csv_rows(folder / CLEAN, ("landmark_id", "images")):
            for photo in images.split():
                yield photo, label
        return
    for photo, label in csv_rows(folder / LABELS[wanted.split], ("id", "landmark_id")):
        yield photo, label


def _allowed(wanted: Wanted, folder: Path) -> set[str] | None:
    """The landmarks that the words leave; None: all."""
    allowed: set[str] | None = None
    if wanted.category:
        path = folder / f"{wanted.split}_label_to_category.csv"
        allowed = {
            label
            for label, category in csv_rows(path, ("landmark_id", "category"))
            if _contains(title_words(category), wanted.category)
        }
    if wanted.hierarchy:
        path = folder / f"{wanted.split}_label_to_hierarchical.csv"
        columns = ("landmark_id", "supercategory", "hierarchical_label", "natural_or_human_made")
        fitting = {
            row[0]
            for row in csv_rows(path, columns)
            if any(_contains(value.replace("_", " "), wanted.hierarchy) for value in row[1:])
        }
        allowed = fitting if allowed is None else allowed & fitting
    return allowed


def _contains(text: str, words: tuple[str, ...]) -> bool:
    folded = text.casefold()
    return any(word.casefold().replace("_", " ") in folded for word in words)


def _titles(wanted: Wanted, folder: Path, labels: set[str]) -> dict[str, str]:
    path = folder / f"{wanted.split}_label_to_category.csv"
    if not path.is_file():
        return {}
    rows = csv_rows(path, ("landmark_id", "category"))
    return dict(sorted((label, category) for label, category in rows if label in labels))


def _queries(wanted: Wanted, folder: Path, ids: set[str]) -> dict[str, tuple[list[str], str]]:
    if not wanted.with_queries:
        return {}
    found = {}
    for query, images, usage in csv_rows(folder / SOLUTION, ("id", "images", "Usage")):
        relevant = sorted(ids.intersection(images.split()))
        if relevant and usage != "Ignored" and PHOTO_ID.fullmatch(query):
            found[query] = (relevant, usage)
    return dict(sorted(found.items()))


def _credits(wanted: Wanted, folder: Path, ids: set[str]) -> dict[str, tuple[str, str, str, str]]:
    if wanted.split != "train":
        # The data set's page says so of every photo of index and test; it lists no authors.
        return dict.fromkeys(sorted(ids), ("", "", "CC0 or public domain", ""))
    columns = ("id", "url", "author", "license", "title")
    rows = csv_rows(folder / ATTRIBUTION, columns, free_text=True)
    found = {row[0]: (row[1], row[2], row[3], row[4]) for row in rows if row[0] in ids}
    return dict(sorted(found.items()))
