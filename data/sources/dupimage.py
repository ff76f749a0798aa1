"""DupImage: partial duplicates of pictures from the web, 33 groups.

Zhou, Lu, Li, Song, Tian, "Spatial coding for large scale partial-duplicate web image search", ACM
Multimedia 2010; 1,104 pictures, of which the authors used 108 as queries. The archive could not be
looked at, and no public reader of it was found (searched: the name, the paper's title, the counts);
one folder per group is what lists of data sets say of it. Which pictures are the queries is not
known here, so that every picture is one, unless ``queries.txt`` (ours: a path per line) lists them.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from data import names
from data.benchmark import Benchmark, Entry, Listing, photos_below

FILE = "queries.txt"


class DupImage(Benchmark):
    """1,104 pictures in 33 groups."""

    kind = "dupimage"
    protocol = "holidays"
    title = "DupImage"
    summary = "1,104 pictures in 33 groups of partial duplicates; the query itself is taken out."
    licence = "pictures from the web under their owners' terms; for research"
    author = "W. Zhou et al."
    how = (
        "https://pan.baidu.com/s/1jGETFUm (the authors' link; an account is needed). Unpack it so "
        "that each of the 33 groups is a folder: FOLDER/GROUP/PICTURE.jpg. FOLDER/queries.txt, one "
        "path GROUP/PICTURE.jpg per line, says which 108 are the queries; without it each picture "
        "is one, and figures are not the authors'."
    )
    official_photos = 1104

    def read(self) -> Listing:
        files = [file for file in photos_below(self.path) if "/" in file]
        if not files:
            raise self.missing("Not one picture GROUP/PICTURE.jpg")
        ids = names.Ids()
        one = {file: ids.of(file) for file in files}
        groups: dict[str, list[str]] = {}
        for file in files:
            groups.setdefault(_group(file), []).append(one[file])
        photos = [
            Entry(one[file], file, label=_group(file), extra={"list": self.kind, "row": row})
            for row, file in enumerate(files)
        ]
        queries: list[Entry] = []
        for file in self._queries(files):
            others = tuple(other for other in groups[_group(file)] if other != one[file])
            extra = {"list": self.kind, "row": len(queries), "photo": one[file]}
            queries.append(
                Entry(
                    f"q-{one[file]}",
                    file,
                    query=True,
                    label=_group(file),
                    relevant=others,
                    extra=extra,
                )
            )
        return Listing(photos, queries, self.official_photos)

    def _queries(self, files: list[str]) -> list[str]:
        path = self.find(FILE)
        if path is None:
            return files
        known, listed = set(files), []
        for line in self.text(path).splitlines():
            file = line.strip()
            if file and file not in known:
                raise self.damaged(path, f"{file[:80]!r} is no picture of the folder")
            listed += [file] if file else []
        return listed


def _group(file: str) -> str:
    return PurePosixPath(file).parent.as_posix()
