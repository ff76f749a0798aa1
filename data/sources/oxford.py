"""Classic Oxford5k and Paris6k: four text files per query (query, good, ok, junk).

Philbin et al., CVPR 2007 and CVPR 2008. ``all_souls_1_query.txt`` holds the photo (in Oxford with
the prefix ``oxc1_``) and x0 y0 x1 y1 in px; the others one photo name per line. The query's own
photo is in the database and is one of the good ones.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import ClassVar

from data import names
from data.benchmark import Benchmark, Entry, FloatBox, Listing, as_text, photos_below
from data.errors import PlaygroundError

PREFIX = "oxc1_"
FLICKR = "oxc1_100k"  # the folder of the 100,071 distractors
_QUERY = "_query.txt"
_JUDGED = ("good", "ok", "junk")
_MAX_BYTES = 1 << 20  # the real files have a few kB
# https://www.robots.ox.ac.uk/~vgg/data/parisbuildings/corrupt.txt: everybody leaves them out.
PARIS_CORRUPT = frozenset(
    [
        "paris_louvre_000136",
        "paris_louvre_000146",
        "paris_moulinrouge_000422",
        "paris_museedorsay_001059",
        "paris_notredame_000188",
        "paris_pantheon_000284",
        "paris_pantheon_000960",
        "paris_pantheon_000974",
        "paris_pompidou_000195",
        "paris_pompidou_000196",
        "paris_pompidou_000201",
        "paris_pompidou_000467",
        "paris_pompidou_000640",
        "paris_sacrecoeur_000299",
        "paris_sacrecoeur_000330",
        "paris_sacrecoeur_000353",
        "paris_triomphe_000662",
        "paris_triomphe_000833",
        "paris_triomphe_000863",
        "paris_triomphe_000867",
    ]
)


class _Classic(Benchmark):
    protocol = "classic"
    author = "J. Philbin, R. Arandjelovic, A. Zisserman"
    licence = "Flickr photos under their owners' terms; for research"
    official_photos: ClassVar[int]
    ground_truth: ClassVar[str]  # the official archive's name, without its extension
    left_out: ClassVar[frozenset[str]] = frozenset()

    def read(self) -> Listing:
        folder = self._ground_truth()
        queries = [self._query(path) for path in sorted(folder.glob(f"*{_QUERY}"))]
        named = {
            name
            for query in queries
            for listed in query.extra["ground_truth"].values()
            for name in listed
        } | {query.name for query in queries}
        present = self._database(named)
        # Rows of published descriptors follow a list, not the names on this disk.
        listed = self.find("imlist.txt") is not None
        photos = [
            Entry(name, name, extra={"list": self.kind, "row": row} if listed else {})
            for row, name in enumerate(present)
        ]
        # Without the photos' list, the ground truth's own photos are all that is known of it.
        official = self.official_photos if self.photos else 0
        return Listing(photos, queries, official)

    def _ground_truth(self) -> Path:
        below = sorted(self.path.iterdir()) if self.path.is_dir() else []
        for place in (self.path, self.path / self.ground_truth, *below):
            if place.is_dir() and next(place.glob(f"*{_QUERY}"), None) is not None:
                return place
        raise self.missing(f"Ground truth (…{_QUERY})")

    def _database(self, named: set[str]) -> list[str]:
        """The database in its order: imlist.txt where there is one, else the names on this disk."""
        listing = self.find("imlist.txt")
        if listing is not None:
            return [name for name in self._lines(listing) if name not in self.left_out]
        if not self.photos:
            raise self.missing("imlist.txt, the database's photo names in order,")
        present = {
            name
            for name, file in self.files().by_name().items()
            if names.legal_id(name) and FLICKR not in file.split("/")
        }
        return sorted((present | named) - self.left_out)

    def _query(self, path: Path) -> Entry:
        words = " ".join(self._text(path).split()).split(" ")
        stem = path.name.removesuffix(_QUERY)
        if len(words) != 5 or not names.legal_id(stem):
            raise self.damaged(path, "expected is one line: photo x0 y0 x1 y1")
        name = words[0].removeprefix(PREFIX)
        lists = {key: self._lines(path.with_name(f"{stem}_{key}.txt")) for key in _JUDGED}
        return Entry(
            stem,
            name,
            query=True,
            box=self._box(path, words[1:]),
            relevant=(*lists["good"], *lists["ok"]),
            extra={"ground_truth": lists, "photo": name},
        )

    def _box(self, path: Path, words: list[str]) -> FloatBox:
        try:
            x0, y0, x1, y1 = (float(word) for word in words)
        except ValueError:
            raise self.damaged(path, f"{' '.join(words)[:80]!r} is no box") from None
        if not all(map(math.isfinite, (x0, y0, x1, y1))):
            raise self.damaged(path, f"{' '.join(words)[:80]!r} is no box")
        return x0, y0, x1, y1

    def _lines(self, path: Path) -> list[str]:
        listed = [line.strip().removesuffix(".jpg") for line in self._text(path).splitlines()]
        listed = list(dict.fromkeys(line for line in listed if line))
        for name in listed:
            if not names.legal_id(name):
                raise self.damaged(path, f"{name[:80]!r} is no name of a photo")
        return listed

    def _text(self, path: Path) -> str:
        try:
            if path.stat().st_size > _MAX_BYTES:
                raise self.damaged(path, f"it has more than {_MAX_BYTES:,} bytes")
            return as_text(path.read_bytes())
        except FileNotFoundError:
            raise self.missing(path.name) from None
        except UnicodeDecodeError:
            raise self.damaged(path, "it is no text") from None
        except OSError as error:
            raise PlaygroundError(f"{path} cannot be read ({error.strerror}).") from error


class Oxford5k(_Classic):
    """5,062 photos by the authors' page (the archive has 5,063) and 55 queries."""

    kind = "oxford5k"
    title = "Oxford5k (Oxford buildings)"
    summary = "Photos of 11 landmarks of Oxford; 5 queries of each; good, ok and junk answers."
    official_photos = 5062
    ground_truth = "gt_files_170407"
    how = (
        "https://www.robots.ox.ac.uk/~vgg/data/oxbuildings/: oxbuild_images-v1.tgz and "
        "gt_files_170407.tgz. Unpack the photos into FOLDER/jpg/ and the text files into "
        "FOLDER/gt_files_170407/. No form has to be filled in."
    )


class Paris6k(_Classic):
    """6,412 photos, 20 of them corrupt and left out, and 55 queries."""

    kind = "paris6k"
    title = "Paris6k (Paris buildings)"
    summary = "Photos of 11 landmarks of Paris; 5 queries of each; good, ok and junk answers."
    official_photos = 6392
    ground_truth = "paris_120310"
    left_out = PARIS_CORRUPT
    how = (
        "https://www.robots.ox.ac.uk/~vgg/data/parisbuildings/: paris_1-v1.tgz, paris_2-v1.tgz and "
        "paris_120310.tgz. Unpack the photos into FOLDER/jpg/ (sub-folders are searched) and the "
        "text files into FOLDER/paris_120310/. The 20 corrupt photos that the page lists are left "
        "out. No form has to be filled in."
    )


_FLICKR_HOW = (
    " The distractors: https://www.robots.ox.ac.uk/~vgg/data/oxbuildings/flickr100k.html, "
    "oxc1_100k.part01.rar and the others of the same name (unrar unpacks them all). Put them as "
    f"FOLDER/{FLICKR}/TAG/PHOTO.jpg."
)
FLICKR_PHOTOS = 100_071


class _WithFlickr(_Classic):
    """A classic benchmark among the Flickr100k distractors, every one of them a wrong answer."""

    def read(self) -> Listing:
        listing = super().read()
        place = self.path / FLICKR
        files = [f"{FLICKR}/{file}" for file in photos_below(place)] if place.is_dir() else []
        if self.photos and not files:
            raise self.missing(f"Not one distractor {FLICKR}/TAG/PHOTO.jpg")
        ids = names.Ids()
        distractors = [Entry(f"flickr-{ids.of(file)}", file) for file in files]
        return Listing([*listing.photos, *distractors], listing.queries, self.official_photos)


class Oxford105k(_WithFlickr, Oxford5k):
    """Oxford5k and the 100,071 photos of Flickr100k."""

    kind = "oxford105k"
    title = "Oxford105k (with Flickr100k)"
    summary = "Oxford5k among 100,071 photos of Flickr that show none of its landmarks."
    official_photos = 5062 + FLICKR_PHOTOS
    how = Oxford5k.how + _FLICKR_HOW


class Paris106k(_WithFlickr, Paris6k):
    """Paris6k and the 100,071 photos of Flickr100k."""

    kind = "paris106k"
    title = "Paris106k (with Flickr100k)"
    summary = "Paris6k among 100,071 photos of Flickr that show none of its landmarks."
    official_photos = 6392 + FLICKR_PHOTOS
    how = Paris6k.how + _FLICKR_HOW
