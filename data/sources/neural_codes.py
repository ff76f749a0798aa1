"""The photos that Neural Codes were trained on: 213,678 of 672 landmarks, as addresses.

Babenko, Slesarev, Chigorin, Lempitsky, "Neural codes for image retrieval", ECCV 2014. The authors
give a list of addresses with the landmark of each. Its exact form could not be verified: what is
read is a text file (``.txt`` or ``.csv``) in whose lines one word is an address and the rest,
before or behind it, the landmark; a file without any other words gives its own name to all its
addresses. Photos are looked up as LANDMARK/NAME, NAME being the last part of the address.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from data import names
from data.benchmark import Benchmark, Entry, Listing

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
        "http://sites.skoltech.ru/compvision/projects/neuralcodes/: the list of addresses. Put it "
        "into FOLDER (a .txt or .csv file with an address and its landmark per line, or one file "
        "per landmark), and the photos that are still online as FOLDER/LANDMARK/NAME, NAME being "
        "the last part of the address. Many are gone: the collection says how many."
    )

    def read(self) -> Listing:
        lists = sorted(
            path for suffix in ("*.txt", "*.csv") for path in self._folder().glob(suffix)
        )
        ids, photos = names.Ids(), []
        for path in lists:
            for line in self.text(path).splitlines():
                found = _URL.search(line)
                if found is None:
                    continue
                rest = (line[: found.start()] + " " + line[found.end() :]).strip(" \t\"',;")
                label = names.printable(rest) or path.stem
                file = f"{_folder_name(label)}/{_file_name(found[0])}"
                photos.append(Entry(ids.of(file), file, label=label, url=found[0]))
        if not photos:
            raise self.missing("A list of addresses (.txt or .csv)")
        return Listing(photos)

    def _folder(self) -> Path:
        return self.path.parent if self.path.is_file() else self.path


def _folder_name(label: str) -> str:
    return label.replace("/", "_").replace("\\", "_").strip(". ") or "unnamed"


def _file_name(url: str) -> str:
    name = unquote(PurePosixPath(urlsplit(url).path).name)
    return name.replace("\\", "_").replace("/", "_").strip(". ") or "unnamed"
