"""The R1M distractors of revisited Oxford and Paris: photos, or descriptors in shards.

Radenovic et al., CVPR 2018: 1,001,001 Flickr photos that show none of the landmarks, in 100
archives, with their list ``revisitop1m.txt``. They are added to a benchmark's collection; every
one is a wrong answer. A seeded draw of some of them makes a small experiment, and is no R1M.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from data import names
from data.benchmark import Benchmark, Entry, Listing, photos_below, safe_path
from data.descriptors import SUFFIXES, Floats, Layout, Matrix, open_matrix, shape_of
from data.errors import PlaygroundError

LIST = "revisitop1m.txt"
_MAX_LINES = 20_000_000


class DistractorSource(Benchmark):
    """Distractors, all of them or a seeded draw.

    Args:
        path: the folder with ``revisitop1m.txt`` and the photos; without the list, every photo
            below the folder is a distractor.
        photos: False takes the list alone (see ``Benchmark``).
        limit: so many drawn at random; None for all.
        seed: of the draw.
    """

    kind = "distractors"
    protocol = None
    title = "R1M distractors"
    summary = "Flickr photos that show none of the landmarks of Oxford and Paris."
    licence = "Flickr photos under their owners' terms; for research"
    author = "F. Radenovic et al."
    how = (
        "http://ptak.felk.cvut.cz/revisitop/revisitop1m/: the list revisitop1m.txt, and the "
        "photos in jpg/revisitop1m.1.tar.gz to revisitop1m.100.tar.gz (over 400 GB). Unpack them "
        "into FOLDER/jpg/, the list beside it, and add them to a benchmark: python -m "
        "scripts.collections add NAME --source distractors --path FOLDER [--limit 10000]. No form "
        "has to be filled in."
    )

    def __init__(
        self, path: Path | str, photos: bool = True, limit: int | None = None, seed: int = 0
    ) -> None:
        super().__init__(path, photos)
        self.limit = limit
        self.seed = seed
        self._listed = 0

    def read(self) -> Listing:
        files = self._names()
        self._listed = len(files)
        rows = range(len(files))
        if self.limit is not None:
            if not 1 <= self.limit <= len(files):
                raise PlaygroundError(
                    f"--limit {self.limit} is not possible. Legal: 1 to {len(files):,}, as many as "
                    f"there are distractors."
                )
            draw = np.random.default_rng(self.seed).choice(len(files), self.limit, replace=False)
            rows = sorted(draw.tolist())  # type: ignore[assignment]
        ids = distractor_ids(files)
        # Rows of published descriptors follow the list, not the names on this disk.
        listed = self.find(LIST) is not None
        return Listing(
            [
                Entry(ids[row], files[row], extra={"list": self.kind, "row": row} if listed else {})
                for row in rows
            ]
        )

    def describe(self) -> dict[str, Any]:
        described = super().describe()
        described["listed"] = self._listed
        if self.limit is not None:
            described |= {"limit": self.limit, "seed": self.seed}
        return described

    def _names(self) -> list[str]:
        listing = self.find(LIST)
        if listing is not None:
            return self._lines(listing)
        if not self.photos:
            raise self.missing(LIST)
        folder = self.path
        files = list(photos_below(folder)) if folder.is_dir() else []
        if not files:
            raise self.missing(f"Neither {LIST} nor any photo")
        return files

    def _lines(self, path: Path) -> list[str]:
        try:
            with open(path, encoding="utf-8-sig") as handle:
                files = [line.strip() for line in handle if line.strip()]
        except UnicodeDecodeError:
            raise self.damaged(path, "it is no text") from None
        except OSError as error:
            raise PlaygroundError(f"{path} cannot be read ({error.strerror}).") from error
        bad = next((file for file in files if not safe_path(file)), None)
        if bad is not None or not files or len(files) > _MAX_LINES:
            raise self.damaged(path, f"{str(bad)[:80]!r} is no path of a photo")
        if len(set(files)) != len(files):
            raise self.damaged(path, "it names a photo twice")
        return files


def distractor_ids(files: list[str]) -> list[str]:
    """The ids of the list's photos, in its order."""
    ids = names.Ids()
    return [ids.of(file) for file in files]


def open_shards(
    path: Path | str,
    *,
    dim: int,
    count: int | None = None,
    layout: Layout = "auto",
    key: str | None = None,
) -> Matrix:
    """One matrix out of a folder of feature files, in the order of the numbers in their names.

    Files are opened one after the other while the matrix is read; .npy are memory-mapped.

    Args:
        path: a folder of .npy, .mat or .parquet files, or one such file.
        dim: D, which says which axis of each file counts the photos.
        count: how many photos there are in all, where known.

    Raises:
        PlaygroundError: no such files, of mixed kinds, or not ``count`` descriptors in all.
    """
    path = Path(path).expanduser()
    files = shard_files(path)
    if files[0].suffix == ".parquet":
        raise PlaygroundError(
            "Shards in Parquet name their own photos: put them into one file first, or save them "
            "as .npy in the order of the list."
        )
    shapes = [shape_of(file, key) for file in files]
    if layout == "auto":
        # One layout for all: a shard that happens to be D x D does not say which.
        telling = [shape for shape in shapes if len(shape) == 2 and shape[0] != shape[1]]
        layout = "columns" if telling and all(shape[0] == dim for shape in telling) else "rows"
        if not telling:
            layout = "auto"
    depth = 1 if layout == "rows" else 0
    if layout == "auto" or any(len(one) != 2 or one[depth] != dim for one in shapes):
        for file in files:  # the first one that does not fit says why
            open_matrix(file, dim=dim, layout=layout, key=key)
    rows = sum(shape[1 - depth] for shape in shapes)
    if count is not None and rows != count:
        raise PlaygroundError(
            f"The {len(files)} files in {names.printable(str(path))} have {rows:,} "
            f"descriptors, and the list of distractors has {count:,}. Is a file missing?"
        )

    def blocks() -> Iterator[Floats]:
        for file in files:
            yield from open_matrix(file, dim=dim, layout=layout, key=key).blocks()

    return Matrix(path, rows, dim, blocks)


def shard_files(path: Path) -> list[Path]:
    """The feature files of a folder, ``x.2.npy`` before ``x.10.npy``; all of one kind."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise PlaygroundError(f"The folder {names.printable(str(path))} does not exist.")
    files = [file for file in path.iterdir() if file.suffix in SUFFIXES and file.is_file()]
    files.sort(key=lambda file: [_number(part) for part in re.split(r"(\d+)", file.name)])
    if not files or len({file.suffix for file in files}) > 1:
        kinds = sorted({file.suffix for file in files})
        raise PlaygroundError(
            f"{names.printable(str(path))} has {len(files)} feature files"
            f"{' of the kinds ' + ', '.join(kinds) if kinds else ''}. Needed: files of one kind of "
            f"{', '.join(SUFFIXES)}."
        )
    return files


def _number(part: str) -> tuple[int, str]:
    return (int(part), "") if part.isdigit() else (-1, part)
