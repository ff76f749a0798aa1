"""retrieval-SfM-120k and -30k: photos of 3D models, to train on, with their matching pairs.

Radenovic, Tolias, Chum, "Fine-tuning CNN image retrieval with no human annotation", TPAMI 2019.
``retrieval-SfM-120k.pkl`` is a pickle of ``{"train": {"cids": names, "cluster": numbers, "qidxs":
rows, "pidxs": rows}, "val": {…}}`` (cirtorch ``datasets/traindataset.py``): photo ``qidxs[i]`` and
``pidxs[i]`` show the same place, and photos of one cluster are never negatives of each other. Photo
``…abcdef`` is ``ims/ef/cd/ab/…abcdef``, without an extension.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from data import names
from data.benchmark import Benchmark, Entry, Listing
from data.errors import PlaygroundError
from data.sources.revisited import load_plain_pickle

MAX_BYTES = 256 << 20
SPLITS = ("train", "val")
_KEYS = ("cids", "cluster", "qidxs", "pidxs")
_IMS = "https://cmp.felk.cvut.cz/cnnimageretrieval/data/train/"


class Sfm120k(Benchmark):
    """A training set: clusters as labels, and each query photo's matching photos.

    A photo's ``extra["split"]`` is train or val, and ``extra["positives"]`` the ids that it is
    paired with as a query.
    """

    kind = "sfm120k"
    protocol = "labels"
    title = "retrieval-SfM-120k (training)"
    summary = "Photos of 713 reconstructed places with the pairs that see the same points."
    licence = "Flickr photos under their owners' terms; for research"
    author = "F. Radenovic, G. Tolias, O. Chum"
    folders = ("", "ims")
    name: ClassVar[str] = "retrieval-SfM-120k"
    how = (
        f"{_IMS}dbs/retrieval-SfM-120k.pkl and {_IMS}ims/ims.tar.gz. Put the first as "
        "FOLDER/retrieval-SfM-120k.pkl and unpack the second into FOLDER/ims/ (00/00/00/…). No "
        "form has to be filled in. Photos that are missing take their pairs with them."
    )

    def read(self) -> Listing:
        path = self.find(f"{self.name}.pkl")
        if path is None:
            raise self.missing(f"{self.name}.pkl")
        try:
            if path.stat().st_size > MAX_BYTES:
                raise self.damaged(path, f"it has more than {MAX_BYTES:,} bytes")
            found = load_plain_pickle(path.read_bytes())
        except ValueError as error:
            raise self.damaged(path, names.printable(str(error))) from error
        except OSError as error:
            raise PlaygroundError(f"{path} cannot be read ({error.strerror}).") from error
        if not isinstance(found, dict) or not set(SPLITS) <= set(found):
            raise self.damaged(path, "it is no dictionary with train and val")
        entries: dict[str, Entry] = {}
        for split in SPLITS:
            for entry in self._split(path, split, found[split]):
                # The same photo is never in both; where a damaged list says so, the first counts.
                entries.setdefault(entry.id, entry)
        return Listing(list(entries.values()))

    def _split(self, path: Path, split: str, of: Any) -> list[Entry]:
        if not isinstance(of, dict) or not set(_KEYS) <= set(of):
            raise self.damaged(path, f"{split} is no dictionary with {', '.join(_KEYS)}")
        cids, cluster, queries, positives = (list(of[key]) for key in _KEYS)
        if len(cids) != len(cluster) or len(queries) != len(positives):
            raise self.damaged(path, f"the lists of {split} are not equally long")
        for cid in cids:
            if not isinstance(cid, str) or len(cid) < 6 or not names.legal_id(cid):
                raise self.damaged(path, f"{str(cid)[:80]!r} is no name of a photo")
        if any(type(number) is not int for number in cluster):
            raise self.damaged(path, f"the clusters of {split} are no whole numbers")
        pairs = self._pairs(path, split, queries, positives, len(cids))
        return [
            Entry(
                cid,
                f"{cid[-2:]}/{cid[-4:-2]}/{cid[-6:-4]}/{cid}",
                label=str(cluster[row]),
                extra={
                    "list": self.kind,
                    "split": split,
                    "row": row,
                    "positives": [cids[positive] for positive in pairs.get(row, ())],
                },
            )
            for row, cid in enumerate(cids)
        ]

    def _pairs(
        self, path: Path, split: str, queries: Sequence[Any], positives: Sequence[Any], count: int
    ) -> dict[int, list[int]]:
        pairs: dict[int, list[int]] = {}
        for query, positive in zip(queries, positives, strict=True):
            for row in (query, positive):
                if type(row) is not int or not 0 <= row < count:
                    raise self.damaged(path, f"{split} has the row {row!r}; there are {count}")
            if positive not in pairs.setdefault(query, []):
                pairs[query].append(positive)
        return pairs


class Sfm30k(Sfm120k):
    """The smaller one of the ECCV 2016 paper, in the same form."""

    kind = "sfm30k"
    name = "retrieval-SfM-30k"
    title = "retrieval-SfM-30k (training)"
    summary = "The smaller training set of the same authors (ECCV 2016), in the same form."
    how = (
        f"{_IMS}dbs/retrieval-SfM-30k.pkl and {_IMS}ims/ims.tar.gz (the same photos as of "
        "retrieval-SfM-120k). Put the first as FOLDER/retrieval-SfM-30k.pkl and unpack the second "
        "into FOLDER/ims/ (00/00/00/…). No form has to be filled in."
    )
