"""The photos that Neural Codes were trained on: 213,678 of 672 landmarks, as addresses.

Babenko, Slesarev, Chigorin, Lempitsky, "Neural codes for image retrieval", ECCV 2014. What is to be
had are the lists of Gordo, Almazan, Revaud, Larlus, "Deep image retrieval", ECCV 2016:
``annotation_full_{train,val}.txt``, an address and a class of 0 to 585 per line, and
``annotation_clean_{train,val}.txt``, of what was verified by geometry, with an estimated box x1 x2
y1 y2 behind, which is not used here (their README and files as kept in the repository
chengxiaoy/landmark_retrieval_2019, ``annotations_landmarks/``). Other lists, such as Babenko's own,
which could not be looked at, are read as far as one word of a line is an address and the rest,
before or behind it, the landmark; a file without any other words gives its own name to all its
addresses. Photos are looked up as LANDMARK/NAME, NAME being the last part of the address.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from data import names
from data.benchmark import Benchmark, Entry, Listing

_GORDO = re.compile(r"(https?://\S+) (\d+)(?: \d+){0,4}\s*")  # addresses with commas among them
_URL = re.compile(r"""https?://[^\s"',;]+""")


class NeuralCodesTraining(Benchmark):
    """A training set; there are no queries."""

    kind = "neural-codes-landmarks"
    protocol = "labels"
    title = "Neural Codes landmarks (training)"
    summary = "213,678 photos of 672 landmarks, of which the list of addresses is given."
    licence = "photos from the web under their owners' terms; for research"
    author = "A. Babenko et al."
    how = (
        "http://sites.skoltech.ru/compvision/projects/neuralcodes/, or the lists of Deep Image "
        "Retrieval (annotation_clean_train.txt and others). Put a list into FOLDER (a .txt or .csv "
        "file with an address and its landmark per line, or one file per landmark), and the "
        "photos that are still online as FOLDER/LANDMARK/NAME, LANDMARK being the class as the "
        "list names it, NAME the last part of the address. Many are gone: the collection says how "
        "many."
    )

    def read(self) -> Listing:
        lists = sorted(
            path for suffix in ("*.txt", "*.csv") for path in self._folder().glob(suffix)
        )
        ids, photos = names.Ids(), []
        for path in lists:
            for line in self.text(path).splitlines():
                found = _address(line)
                if found is None:
                    continue
                url, label = found[0], found[1] or path.stem
                file = f"{_folder_name(label)}/{_file_name(url)}"
                photos.append(Entry(ids.of(file), file, label=label, url=url))
        if not photos:
            raise self.missing("A list of addresses (.txt or .csv)")
        return Listing(photos)

    def _folder(self) -> Path:
        return self.path.parent if self.path.is_file() else self.path


def _address(line: str) -> tuple[str, str] | None:
    """The address of a line and its landmark, which may be empty; None where there is none."""
    listed = _GORDO.fullmatch(line)
    if listed is not None:
        return listed[1], listed[2]
    found = _URL.search(line)
    if found is None:
        return None
    rest = (line[: found.start()] + " " + line[found.end() :]).strip(" \t\"',;")
    return found[0], names.printable(rest)


def _folder_name(label: str) -> str:
    return label.replace("/", "_").replace("\\", "_").strip(". ") or "unnamed"


def _file_name(url: str) -> str:
    name = unquote(PurePosixPath(urlsplit(url).path).name)
    return name.replace("\\", "_").replace("/", "_").strip(". ") or "unnamed"
