"""Google Landmarks v2 retrieval: mAP@100."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from data.base import Photo
from data.store import Collection
from evaluation import metrics
from evaluation.base import Protocol, Truth

K = 100


class Gldv2(Protocol):
    """mAP@100 of the challenge, over all queries of the solution; no answer counts as 0.

    As DELF's ``google_landmarks_dataset/metrics.py``: the sum of precisions at the hits among the
    first 100 ranks, over min(relevant, 100). In a chosen subset of the index, relevant are the
    photos of the subset.
    """

    name = "gldv2"
    title = "Google Landmarks v2 retrieval"
    meaning = (
        "mAP@100 looks at the first 100 results alone: each right one adds the precision at its "
        "rank, and the sum is divided by the number of right photos there are (at most 100), not "
        "by those that were found. A query without an answer counts as 0. On a subset of the "
        "index there are fewer photos to confuse, so numbers are higher than published ones."
    )
    paper = "T. Weyand et al., Google Landmarks Dataset v2, CVPR 2020"
    url = "https://arxiv.org/abs/2004.01804"
    depth = K
    measures: ClassVar[dict[str, str]] = {
        "ap": "AP@100: precisions at the hits in the first 100, over min(relevant, 100)",
        "p@1": "whether the first photo is right",
        "p@5": "share of right photos in the first 5",
        "p@10": "share of right photos in the first 10",
        "p@100": "share of right photos in the first 100",
    }

    def truths(self, collection: Collection, query: Photo) -> dict[str, Truth]:
        return {"all": Truth(frozenset(collection.relevant(query)))}

    def judge(self, ranking: Sequence[str], truth: Truth) -> dict[str, float]:
        nres = len(truth.positives)
        if not nres:
            return dict.fromkeys(self.measures, float("nan"))
        flags = metrics.relevance_flags(ranking, truth.positives)
        values = {"ap": metrics.average_precision_at_k(flags, nres, K)}
        return values | {f"p@{k}": metrics.precision_at_k(flags, k) for k in (1, 5, 10, K)}
