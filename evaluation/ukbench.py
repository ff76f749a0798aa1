"""UKBench: four photos of each object, and the N-S score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from data.base import Photo
from data.store import Collection
from evaluation import metrics
from evaluation.base import Protocol, Truth
from evaluation.labels import stated_or_labelled
from retrieval.compare import own_photos


class UkBench(Protocol):
    """N-S: how many of an object's four photos are in the first four, the query among them.

    Some code leaves the query out and ends at 3; those numbers cannot be compared with these.
    """

    name = "ukbench"
    title = "UKBench"
    meaning = (
        "Each object has four photos and each photo is a query. The N-S score counts how many of "
        "the four are in the first four ranks. The query itself is in the collection and counts, "
        "so 1 means that nothing else was found and 4 is perfect."
    )
    paper = "D. Nister, H. Stewenius, Scalable Recognition with a Vocabulary Tree, CVPR 2006"
    url = "https://archive.org/details/ukbench"
    measures: ClassVar[dict[str, str]] = {
        "n-s": "photos of the object in the first 4, the query included (0 to 4)",
        "ap": "area under the precision-recall curve (trapezoids), the query included",
        "p@1": "whether the first photo is right (the query itself finds its own photo)",
        "p@5": "share of right photos in the first 5",
        "p@10": "share of right photos in the first 10",
    }
    headline = "n-s"

    def truths(self, collection: Collection, query: Photo) -> dict[str, Truth]:
        itself = own_photos(collection, query)
        return {"all": Truth(stated_or_labelled(collection, query) | itself)}

    def judge(self, ranking: Sequence[str], truth: Truth) -> dict[str, float]:
        nres = len(truth.positives)
        if not nres:
            return dict.fromkeys(self.measures, float("nan"))
        first = metrics.relevance_flags(ranking[:10], truth.positives)
        ranks = metrics.positive_ranks(ranking, truth.positives)
        values = {"n-s": metrics.ukbench_score(first), "ap": metrics.trapezoid_ap(ranks, nres)}
        return values | {f"p@{k}": metrics.precision_at_k(first, k) for k in (1, 5, 10)}
