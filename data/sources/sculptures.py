"""Sculptures6k: sculptures by Moore and Rodin, smooth objects that few local features describe.

Arandjelovic, Zisserman, "Smooth object retrieval using a bag of boundaries", ICCV 2011: 6,340
photos of Flickr, half of them for training; 70 queries among the test photos.
``sculptures6k_test.txt`` names the test photos, one per line, ``sculptures6k_gt.txt`` has a first
line that is skipped, then four lines per query: its photo, a line that public readers skip, the
right photos, and those to be ignored. Where the second line is four numbers, it is taken for the
query's box x0 y0 x1 y1; that could not be verified with the file itself.
"""

from __future__ import annotations

import math
from pathlib import Path

from data import names
from data.benchmark import Benchmark, Entry, FloatBox, Listing

TRUTH, TEST = "sculptures6k_gt.txt", "sculptures6k_test.txt"


class Sculptures6k(Benchmark):
    """The test half: 3,170 photos, 70 of them queries."""

    kind = "sculptures6k"
    protocol = "classic"
    title = "Sculptures6k"
    summary = "3,170 test photos of sculptures by Moore and Rodin, and 70 queries among them."
    licence = "Flickr photos under their owners' terms; for research"
    author = "R. Arandjelovic, A. Zisserman"
    folders = ("", "test", "sculptures6k/test", "sculptures6k_evaluation", "jpg", "images")
    how = (
        "https://www.robots.ox.ac.uk/~vgg/data/sculptures6k/: the photos, and the ground truth of "
        "the evaluation. Unpack them so that FOLDER/test/ (or FOLDER/sculptures6k/test/) holds the "
        "photos and FOLDER/sculptures6k_evaluation/sculptures6k_gt.txt and "
        "FOLDER/sculptures6k_test.txt are there. No form has to be filled in; the page's links "
        "have been seen broken."
    )

    def read(self) -> Listing:
        truth, test = self.find(TRUTH), self.find(TEST)
        for path, file in ((truth, TRUTH), (test, TEST)):
            if path is None:
                raise self.missing(file)
        assert truth is not None and test is not None
        listed = [self._name(test, line) for line in self.text(test).splitlines() if line.strip()]
        listed = list(dict.fromkeys(listed))
        photos = [
            Entry(name, name, extra={"list": self.kind, "row": row})
            for row, name in enumerate(listed)
        ]
        lines = self.text(truth).splitlines()[1:]
        while lines and not lines[-1].strip() and len(lines) % 4:
            lines.pop()
        if not lines or len(lines) % 4:
            raise self.damaged(truth, "it has not four lines per query after the first")
        queries = []
        for at in range(0, len(lines), 4):
            name = self._name(truth, lines[at])
            good, junk = ([self._name(truth, w) for w in lines[at + i].split()] for i in (2, 3))
            queries.append(
                Entry(
                    f"q{at // 4:02d}-{name}",
                    name,
                    query=True,
                    box=_box(lines[at + 1]),
                    relevant=tuple(good),
                    extra={
                        "list": self.kind,
                        "row": at // 4,
                        "photo": name,
                        "ground_truth": {"good": good, "ok": [], "junk": junk},
                    },
                )
            )
        return Listing(photos, queries)

    def _name(self, path: Path, text: str) -> str:
        name = text.strip().removesuffix(".jpg")
        if not names.legal_id(name):
            raise self.damaged(path, f"{text[:80]!r} is no name of a photo")
        return name


def _box(line: str) -> FloatBox | None:
    try:
        x0, y0, x1, y1 = (float(word) for word in line.split())
    except ValueError:
        return None
    return (x0, y0, x1, y1) if all(map(math.isfinite, (x0, y0, x1, y1))) else None
