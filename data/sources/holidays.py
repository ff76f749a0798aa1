"""INRIA Holidays: 500 groups of photos; the first of each group is the query.

Jégou et al., "Hamming embedding and weak geometric consistency", ECCV 2008. Files are numbered
``GGGGNN.jpg``: photo NN of group GGGG; number % 100 == 0 is the query. The query is in the
database too and is removed from its own ranking.
"""

from __future__ import annotations

import re

from data.benchmark import Benchmark, Entry, Listing

_NAME = re.compile(r"\d{6}")


class Holidays(Benchmark):
    """1,491 photos, 500 of them queries."""

    kind = "holidays"
    protocol = "holidays"
    title = "INRIA Holidays"
    summary = "1,491 holiday photos in 500 groups; the first of each group finds the others."
    licence = "for research; see the data set's page"
    author = "H. Jegou, M. Douze, C. Schmid"
    how = (
        "https://lear.inrialpes.fr/~jegou/data.php: jpg1.tar.gz and jpg2.tar.gz. Unpack both into "
        "FOLDER/jpg/ (100000.jpg, 100001.jpg, …). No form has to be filled in. Many papers turn "
        "the photos upright by hand first; say which version you use."
    )
    official_photos = 1491

    def read(self) -> Listing:
        listing = self.find("holidays_images.dat")
        if listing is not None:
            words = listing.read_text(encoding="utf-8", errors="replace").split()
            found = {word.removesuffix(".jpg") for word in words}
        elif self.photos:
            found = set(self.files().by_name())
        else:
            raise self.missing("holidays_images.dat (of eval_holidays.tgz), the list of photos,")
        numbers = sorted(name for name in found if _NAME.fullmatch(name))
        if not numbers:
            raise self.missing("Not one photo with a number of 6 digits (100000.jpg, …)")
        groups: dict[int, list[str]] = {}
        for name in numbers:
            groups.setdefault(int(name) // 100, []).append(name)
        photos = [
            Entry(name, name, label=str(int(name) // 100), extra={"list": self.kind, "row": row})
            for row, name in enumerate(numbers)
        ]
        queries = []
        for row, (group, members) in enumerate(groups.items()):
            # The group's query is expected even where its file is missing: it is reported then.
            name = f"{group * 100:06d}"
            others = tuple(member for member in members if member != name)
            queries.append(
                Entry(
                    f"q{name}",
                    name,
                    query=True,
                    label=str(group),
                    relevant=others,
                    extra={"list": self.kind, "row": row, "photo": name},
                )
            )
        return Listing(photos, queries, self.official_photos)
