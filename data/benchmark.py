"""What the published benchmarks share: a listed ground truth, photos looked up on this disk.

A benchmark's queries and photos come from its ground-truth files, never from what happens to lie
in a folder. Photos that are not on this disk are counted and reported, and ``describe`` says how
many there should be (``expected``), by which the stored collection is marked partial.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from data import names, permission, photos, walk
from data.base import Box, Candidate, Skipped
from data.errors import PlaygroundError
from data.photos import BadPhoto

TEXT_BYTES = 1 << 30  # of a list; the largest published one, of a million URLs, has 0.2 GB
SHOWN = 5  # names in a sentence about missing photos
FloatBox = tuple[float, float, float, float]


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """A photo or query of a ground truth.

    ``name`` is what its file is looked up by: a bare name without extension, or a path with
    slashes relative to the photo folder. ``box`` is (x0, y0, x1, y1) in px, not yet rounded.
    """

    id: str
    name: str
    query: bool = False
    label: str | None = None
    box: FloatBox | None = None
    relevant: tuple[str, ...] | None = None
    extra: dict[str, Any] = dataclasses.field(default_factory=dict)
    url: str | None = None  # where the photo was


@dataclasses.dataclass(frozen=True)
class Listing:
    """A ground truth as read. ``official`` photos are expected even where fewer are listed."""

    photos: Sequence[Entry]
    queries: Sequence[Entry] = ()
    official: int = 0


class Benchmark(abc.ABC):
    """Base of the benchmarks' sources (see ``data.base.Source``).

    Args:
        path: the data set's folder, or its ground-truth file.
        photos: False takes the list of photos alone, without their files, for descriptors that
            were computed elsewhere (``python -m scripts.descriptors``).
    """

    kind: str  # registry name
    protocol: ClassVar[str | None]  # of ``evaluation.registry``
    title: ClassVar[str]
    summary: ClassVar[str]  # a sentence
    licence: ClassVar[str]
    author: ClassVar[str]
    how: ClassVar[str]  # where to get it, what to do by hand, and the layout that is expected
    folders: ClassVar[tuple[str, ...]] = ("", "jpg", "images")  # where named paths are looked up

    def __init__(self, path: Path | str, photos: bool = True) -> None:
        permission.require("name a folder of this machine")
        self.path = Path(path).expanduser()
        self.photos = photos
        self._read: Listing | None = None
        self._looked_up: PhotoFiles | None = None

    @abc.abstractmethod
    def read(self) -> Listing:
        """Read the ground truth; ``listing`` keeps it."""

    def listing(self) -> Listing:
        if self._read is None:
            self._read = self.read()
        return self._read

    def root(self) -> Path:
        folder = self.path.parent if self.path.is_file() else self.path
        if not folder.is_dir():
            raise PlaygroundError(
                f"The folder {names.printable(str(folder))} does not exist. {self._help()}"
            )
        self.listing()
        if self.photos and not any(self._file(entry) for entry in self.listing().photos):
            raise PlaygroundError(
                f"None of the {len(self.listing().photos):,} photos of {self.title} is below "
                f"{names.printable(str(folder))}. --no-photos takes the list alone, for imported "
                f"descriptors. {self._help()}"
            )
        return folder.resolve()

    def candidates(self) -> Iterator[Candidate | Skipped]:
        root = self.root()
        for entries, noun in (
            (self.listing().photos, "photos"),
            (self.listing().queries, "queries"),
        ):
            absent = []
            for entry in entries:
                file = self._file(entry) if self.photos else absent_file(entry.name)
                if file is None:
                    absent.append(entry.name)
                else:
                    yield self._candidate(root, entry, file)
            if absent:
                more = f" and {len(absent) - SHOWN:,} more" if len(absent) > SHOWN else ""
                shown = names.printable(", ".join(absent[:SHOWN]))
                yield Skipped(
                    noun,
                    f"{len(absent):,} of {len(entries):,} are not on this disk: {shown}{more}. "
                    f"Results are marked partial.",
                )

    def absent(self) -> dict[str, list[str]]:
        """Names of the listed ``photos`` and ``queries`` that are not on this disk."""
        listing = self.listing()
        return {
            kind: [entry.name for entry in entries if self._file(entry) is None]
            for kind, entries in (("photos", listing.photos), ("queries", listing.queries))
        }

    def count(self) -> int:
        return len(self.listing().photos) + len(self.listing().queries)

    def describe(self) -> dict[str, Any]:
        listing = self.listing()
        described: dict[str, Any] = {"kind": self.kind, "path": str(self.root())}
        if self.protocol:
            described["protocol"] = self.protocol
        if not self.photos:
            described["photos"] = False
        expected = max(listing.official if self.photos else 0, len(listing.photos))
        described["expected"] = {"photos": expected, "queries": len(listing.queries)}
        return described

    def about(self) -> dict[str, str]:
        return {
            "title": self.title,
            "description": self.summary,
            "licence": self.licence,
            "author": self.author,
        }

    def find(self, *files: str) -> Path | None:
        """The first of the ground-truth files that is there, beside or below ``path``."""
        if self.path.is_file():
            return self.path if self.path.name in files else None
        for file in files:
            for folder in ("", *self.folders[1:], self.kind):
                candidate = self.path / folder / file
                if candidate.is_file():
                    return candidate
        return None

    def missing(self, what: str) -> PlaygroundError:
        """The error for a ground-truth file that is not where it should be."""
        return PlaygroundError(
            f"{what} is not in {names.printable(str(self.path))}. {self._help()}"
        )

    def damaged(self, path: Path, why: str) -> PlaygroundError:
        return PlaygroundError(
            f"{names.printable(str(path))} is no ground truth of {self.title}: {why}. Take the "
            f"file from its source again. {self._help()}"
        )

    def text(self, path: Path) -> str:
        """The text of a ground-truth file."""
        try:
            if path.stat().st_size > TEXT_BYTES:
                raise self.damaged(path, f"it has more than {TEXT_BYTES:,} bytes")
            return as_text(path.read_bytes())
        except UnicodeDecodeError:
            raise self.damaged(path, "it is no text") from None
        except OSError as error:
            raise PlaygroundError(
                f"{names.printable(str(path))} cannot be read ({error.strerror})."
            ) from error

    def _help(self) -> str:
        return f"How to get {self.title}: {self.how}"

    def files(self) -> PhotoFiles:
        """The photos on this disk, looked up once."""
        if self._looked_up is None:
            folder = self.path.parent if self.path.is_file() else self.path
            self._looked_up = PhotoFiles(folder, self.folders)
        return self._looked_up

    def _file(self, entry: Entry) -> str | None:
        return self.files().find(entry.name)

    def _candidate(self, root: Path, entry: Entry, file: str) -> Candidate | Skipped:
        box = None
        if entry.box is not None:
            size = None
            if self.photos:
                try:
                    size = photos.probe(root / file)
                except BadPhoto as error:
                    return Skipped(names.printable(file), str(error))
            box = to_box(entry.box, size)
            if box is None:
                return Skipped(
                    names.printable(file),
                    f"is a query whose box {entry.box} lies outside its {size} px.",
                )
        return Candidate(
            id=entry.id,
            path=root / file,
            file=file,
            label=entry.label,
            url=entry.url,
            box=box,
            relevant=entry.relevant,
            query=entry.query,
            extra=entry.extra,
            absent=not self.photos,
        )


class PhotoFiles:
    """The photos below a folder, found by bare name or by relative path.

    Args:
        folder: searched with everything below; a link to a folder is followed where it is one of
            ``folders``, directly below.
        folders: what paths with slashes may be relative to.
    """

    def __init__(self, folder: Path, folders: Sequence[str]) -> None:
        self._folder, self._folders = folder, folders
        self._by_name: dict[str, str] | None = None

    def find(self, name: str) -> str | None:
        """The file relative to the folder, with forward slashes; None where there is none."""
        if "/" not in name:
            path = PurePosixPath(name)
            bare = path.stem if path.suffix.lower() in names.PHOTO_SUFFIXES else name
            return self.by_name().get(bare)
        if not safe_path(name):
            return None
        for folder in self._folders:
            file = f"{folder}/{name}" if folder else name
            if (self._folder / file).is_file():
                return file
        return None

    def by_name(self) -> dict[str, str]:
        """Name without extension to file. Of equal names the first in sorted order counts."""
        if self._by_name is None:
            found: dict[str, str] = {}
            places = [self._folder]
            linked = (self._folder / name for name in self._folders if name)
            places += [place for place in linked if place.is_symlink() and place.is_dir()]
            for place in places:
                for file in photos_below(place):
                    relative = (place / file).relative_to(self._folder).as_posix()
                    found.setdefault(PurePosixPath(file).stem, relative)
            self._by_name = found
        return self._by_name


def photos_below(folder: Path) -> Iterator[str]:
    """Relative names of all photos below a folder, sorted; hidden ones are left out.

    The files of a folder come before those of its sub-folders.
    """
    files = [one[1] for one in walk.files(folder) if not isinstance(one, Skipped)]
    files = [one for one in files if Path(one).suffix.lower() in names.PHOTO_SUFFIXES]

    def order(file: str) -> list[tuple[bool, str]]:
        *folders, name = file.split("/")
        return [*((True, one) for one in folders), (False, name)]

    yield from sorted(files, key=order)


def as_text(content: bytes) -> str:
    """Text as editors save it: UTF-8, or what a byte-order mark says.

    Raises:
        UnicodeDecodeError: it is no text.
    """
    utf_16 = content[:2] in (b"\xff\xfe", b"\xfe\xff")
    return content.decode("utf-16" if utf_16 else "utf-8-sig")


def safe_path(name: str) -> bool:
    """Whether a listed path stays inside its folder."""
    path = PurePosixPath(name)
    return bool(name) and not path.is_absolute() and ".." not in path.parts and "\\" not in name


def absent_file(name: str) -> str:
    """The file that a photo without a file would have."""
    has_suffix = PurePosixPath(name).suffix.lower() in names.PHOTO_SUFFIXES
    file = name if "/" in name else f"jpg/{name}"
    return file if has_suffix else f"{file}.jpg"


def to_box(box: FloatBox, size: tuple[int, int] | None) -> Box | None:
    """Whole px, rounded as Pillow's ``crop`` does, clipped into the photo; None: nothing is left.

    Args:
        size: width and height of the photo in px; None where it is not known.
    """
    x0, y0, x1, y1 = (round(value) for value in box)
    x0, y0 = max(0, x0), max(0, y0)
    if size is not None:
        x1, y1 = min(x1, size[0]), min(y1, size[1])
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None
