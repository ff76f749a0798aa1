"""Classic Oxford5k and Paris6k: good, ok and junk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from data.base import Photo
from data.store import Collection
from evaluation import metrics
from evaluation.base import Protocol, Truth, listed_truth


class Classic(Protocol):
    """mAP as in the authors' ``compute_ap.cpp``; good and ok photos are positives.

    The query's own photo is one of the collection and one of the good ones: it is not removed.
    """

    name = "classic"
    title = "Classic Oxford and Paris buildings"
    meaning = (
        "Good and ok photos show enough of the building and are positives; junk, which shows "
        "less than a quarter of it, is taken out of the ranking before it is judged. The query's "
        "own photo is in the collection and counts as found, so numbers are higher than those of "
        "the revisited protocol and cannot be compared with them."
    )
    paper = (
        "J. Philbin et al., Object retrieval with large vocabularies and fast spatial matching, "
        "CVPR 2007"
    )
    url = "https://www.robots.ox.ac.uk/~vgg/data/oxbuildings/"
    measures: ClassVar[dict[str, str]] = {
        "ap": "area under the precision-recall curve (trapezoids), junk removed",
        "p@1": "whether the first photo is right",
        "p@5": "share of right photos in the first 5",
        "p@10": "share of right photos in the first 10",
    }

    def truths(self, collection: Collection, query: Photo) -> dict[str, Truth]:
        lists = listed_truth(query, self.name, ("good", "ok", "junk"))
        positives = lists["good"] | lists["ok"]
        return {"all": Truth(positives, lists["junk"] - positives)}

    def judge(self, ranking: Sequence[str], truth: Truth) -> dict[str, float]:
        return trapezoid_measures(ranking, truth)


def trapezoid_measures(ranking: Sequence[str], truth: Truth) -> dict[str, float]:
    """Trapezoid AP and plain P@1, 5, 10 after junk has been removed; NaN without positives."""
    ranks = metrics.positive_ranks(ranking, truth.positives, truth.junk)
    nres = len(truth.positives)
    values = {"ap": metrics.trapezoid_ap(ranks, nres)}
    for k in (1, 5, 10):
        values[f"p@{k}"] = sum(rank < k for rank in ranks) / k if nres else float("nan")
    return values
