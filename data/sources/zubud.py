"""ZuBuD: five views of each of 201 buildings of Zurich, and 115 queries of other cameras.

Shao, Svoboda, Van Gool, "ZuBuD: Zurich buildings database for image based recognition", technical
report 260, ETH Zurich, 2003. Photos are ``object0001.view01.png`` to ``object0201.view05.png``,
queries ``qimg0001.JPG`` to ``qimg0115.JPG``. ``zubud_groundtruth.txt`` begins with the line ``TEST
TRAIN``, then one line per query: its number and its building's.
"""

from __future__ import annotations

from data.benchmark import Benchmark, Entry, Listing

FILE = "zubud_groundtruth.txt"


class ZuBuD(Benchmark):
    """1,005 photos and 115 queries that are not among them."""

    kind = "zubud"
    protocol = "labels"
    title = "ZuBuD (Zurich buildings)"
    summary = "Five views of each of 201 buildings of Zurich; 115 queries of other cameras."
    licence = "for research; see the data set's page"
    author = "H. Shao, T. Svoboda, L. Van Gool"
    folders = ("", "png-ZuBuD", "qimage", "1000city/qimage", "jpg", "images")
    how = (
        "https://www.vision.ee.ethz.ch/showroom/zubud/: ZuBuD.tar.gz (486 MB), qimages.tar.gz and "
        "zubud_groundtruth.txt. Unpack them so that FOLDER/png-ZuBuD/object0001.view01.png, "
        "FOLDER/1000city/qimage/qimg0001.JPG and FOLDER/zubud_groundtruth.txt are there. No form "
        "has to be filled in."
    )
    buildings = 201
    views = 5

    def read(self) -> Listing:
        path = self.find(FILE)
        if path is None:
            raise self.missing(FILE)
        lines = [line.split() for line in self.text(path).splitlines() if line.strip()]
        if not lines or [word.upper() for word in lines[0]] != ["TEST", "TRAIN"]:
            raise self.damaged(path, "its first line is not 'TEST TRAIN'")
        truth: dict[int, int] = {}
        for words in lines[1:]:
            if len(words) != 2 or not all(word.isascii() and word.isdigit() for word in words):
                raise self.damaged(path, f"{' '.join(words)[:80]!r} is not a query and a building")
            query, building = map(int, words)
            if query in truth or not 1 <= building <= self.buildings:
                raise self.damaged(path, f"{' '.join(words)[:80]!r} is not possible")
            truth[query] = building
        photos: list[Entry] = []
        of: dict[int, list[str]] = {}
        for building in range(1, self.buildings + 1):
            for view in range(1, self.views + 1):
                name = f"object{building:04d}.view{view:02d}"
                of.setdefault(building, []).append(name)
                extra = {"list": self.kind, "row": len(photos)}
                photos.append(Entry(name, name, label=str(building), extra=extra))
        queries = [
            Entry(
                f"qimg{number:04d}",
                f"qimg{number:04d}",
                query=True,
                label=str(building),
                relevant=tuple(of[building]),
                extra={"list": self.kind, "row": row},
            )
            for row, (number, building) in enumerate(truth.items())
        ]
        return Listing(photos, queries)
