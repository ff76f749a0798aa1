"""UKBench: four consecutive photos of each object; each photo is a query.

Nistér and Stewénius, "Scalable Recognition with a Vocabulary Tree", CVPR 2006. Files are
``ukbench00000.jpg`` to ``ukbench10199.jpg``, 640 x 480 px; object i has the numbers 4 i to 4 i + 3.
"""

from __future__ import annotations

from data.benchmark import Benchmark, Entry, Listing


class UkBench(Benchmark):
    """10,200 photos of 2,550 objects."""

    kind = "ukbench"
    protocol = "ukbench"
    title = "UKBench"
    summary = "10,200 photos, four of each of 2,550 objects; each photo is a query."
    licence = "for research; see the data set's page"
    author = "D. Nister, H. Stewenius"
    how = (
        "https://archive.org/details/ukbench (2 GB; the authors' page was "
        "http://vis.uky.edu/~stewe/ukbench/). Unpack it so that "
        "FOLDER/full/ukbench00000.jpg and the others are there; any sub-folder will do. No "
        "form has to be filled in."
    )
    objects = 2550

    def read(self) -> Listing:
        photos, queries = [], []
        for row in range(4 * self.objects):
            name = _name(row)
            first = row - row % 4
            extra = {"list": self.kind, "row": row}
            label = str(row // 4)
            photos.append(Entry(name, name, label=label, extra=extra))
            queries.append(
                Entry(
                    f"q-{name}",
                    name,
                    query=True,
                    label=label,
                    relevant=tuple(_name(number) for number in range(first, first + 4)),
                    extra={**extra, "photo": name},
                )
            )
        return Listing(photos, queries)


def _name(number: int) -> str:
    return f"ukbench{number:05d}"
