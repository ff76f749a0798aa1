"""Any collection with landmarks: photos of the query's landmark are the answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from data.base import Photo
from data.store import Collection
from evaluation import metrics
from evaluation.base import Protocol, Truth
from retrieval.compare import is_photo

SAMPLE = 500  # queries drawn from a collection that has none of its own
SEED = 0


class Labels(Protocol):
    """mAP over the whole ranking, AP@100, P@k and R@k by the landmarks of the photos.

    A query that is a photo of the collection is taken out of its own ranking. A collection
    without queries is searched with its own photos (leave one out): those that share their
    landmark with another one, of more than ``SAMPLE`` a seeded draw.
    """

    name = "labels"
    title = "Landmarks of the collection"
    meaning = (
        "All photos of the query's landmark are right, all others wrong. AP adds the precision "
        "at the rank of each right photo and divides by the number of right photos there are: 1 "
        "means that they all come first, and a photo that an index never returns adds nothing. "
        "These numbers compare methods on this collection; they are of no published benchmark."
    )
    paper = "C. Manning, P. Raghavan, H. Schuetze, Introduction to Information Retrieval, 2008"
    url = "https://nlp.stanford.edu/IR-book/"
    measures: ClassVar[dict[str, str]] = {
        "ap": "precisions at the ranks of the right photos, over the number of right photos",
        "ap@100": "the same for the first 100 ranks, over min(right photos, 100)",
        "p@1": "whether the first photo is right",
        "p@5": "share of right photos in the first 5",
        "p@10": "share of right photos in the first 10",
        "r@10": "share of the right photos that are in the first 10",
        "r@100": "share of the right photos that are in the first 100",
    }

    def queries(self, collection: Collection) -> tuple[Photo, ...]:
        if collection.queries:
            return collection.queries
        sizes = Counter(photo.label for photo in collection.photos)
        able = [p for p in collection.photos if p.label is not None and sizes[p.label] > 1]
        if len(able) <= SAMPLE:
            return tuple(able)
        drawn = np.random.default_rng(SEED).choice(len(able), SAMPLE, replace=False)
        return tuple(able[i] for i in sorted(drawn))

    def truths(self, collection: Collection, query: Photo) -> dict[str, Truth]:
        relevant = frozenset(collection.relevant(query))
        itself = frozenset({query.id} if is_photo(collection, query) else ())
        # A benchmark's query may be a photo of the collection under another id.
        named = frozenset({str(query.extra["photo"])} if "photo" in query.extra else ())
        return {"all": Truth(relevant - itself, itself | (named - relevant))}

    def judge(self, ranking: Sequence[str], truth: Truth) -> dict[str, float]:
        nres = len(truth.positives)
        if not nres:
            return dict.fromkeys(self.measures, float("nan"))
        judged = [one for one in ranking if one not in truth.junk]
        flags = metrics.relevance_flags(judged, truth.positives)
        values = {
            "ap": metrics.average_precision_at_k(flags, nres, max(nres, len(flags))),
            "ap@100": metrics.average_precision_at_k(flags, nres, 100),
        }
        values |= {f"p@{k}": metrics.precision_at_k(flags, k) for k in (1, 5, 10)}
        return values | {f"r@{k}": metrics.recall_at_k(flags, nres, k) for k in (10, 100)}


def stated_or_labelled(collection: Collection, query: Photo) -> frozenset[str]:
    """The answers that a published ground truth lists, also those that are not on this disk.

    Where the query lists none, the photos of its label.
    """
    if query.relevant is not None:
        return frozenset(query.relevant)
    return frozenset(collection.relevant(query))
