"""Google Landmarks v1: the lists of Kaggle's challenges of 2018, and what of the photos is here.

``index.csv`` and ``test.csv`` of the retrieval challenge hold the columns id and url: some 1.1
million photos and 117,000 queries (Noh et al., "Large-scale image retrieval with attentive deep
local features", ICCV 2017, made a first version of it). ``train.csv`` of the recognition challenge
has landmark_id besides. No ground truth of the queries was published that could be found:
collections of this source are for searching, and with ``train.csv`` for training. Photos are
``ID.jpg`` in any folder.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

from data import names
from data.benchmark import Benchmark, Entry, Listing

INDEX, TEST, TRAIN = "index.csv", "test.csv", "train.csv"


class GoogleLandmarksV1(Benchmark):
    """Index and queries, or the labelled training photos where only ``train.csv`` is there."""

    kind = "gldv1"
    protocol = "labels"
    title = "Google Landmarks v1"
    summary = "Lists of a million photos and their addresses; queries without a ground truth."
    licence = "photos under their owners' terms; the lists by Google under CC BY 4.0"
    author = "H. Noh et al. (Google)"
    how = (
        "https://www.kaggle.com/c/landmark-retrieval-challenge/data (an account and the rules' "
        "acceptance are needed): index.csv and test.csv; for training "
        "https://www.kaggle.com/google/google-landmarks-dataset: train.csv. Put them into FOLDER, "
        "and the photos that are still online as FOLDER/…/ID.jpg. Many addresses are gone, so that "
        "figures of different copies cannot be compared."
    )

    def read(self) -> Listing:
        index, test, train = (self.find(file) for file in (INDEX, TEST, TRAIN))
        listed = index or train
        if listed is None:
            raise self.missing(f"{INDEX} (or {TRAIN})")
        photos = self._entries(listed)
        queries = self._entries(test, query=True) if test is not None and index is not None else []
        known = {entry.id for entry in photos}
        return Listing(photos, [query for query in queries if query.id not in known])

    def _entries(self, path: Path, query: bool = False) -> list[Entry]:
        rows = csv.DictReader(io.StringIO(self.text(path)), skipinitialspace=True)
        if not {"id", "url"} <= set(rows.fieldnames or ()):
            raise self.damaged(path, f"its columns are {rows.fieldnames}; needed are id and url")
        entries: dict[str, Entry] = {}
        for row, line in enumerate(rows):
            one = (line["id"] or "").strip()
            if not names.legal_id(one):
                raise self.damaged(path, f"{one[:80]!r} is no id of a photo")
            label = (line.get("landmark_id") or "").strip()
            entries[one] = Entry(
                one,
                one,
                query=query,
                label=label if label not in ("", "None") else None,
                extra={"list": self.kind, "row": row},
                url=(line["url"] or "").strip() or None,
            )
        return list(entries.values())
