"""FlickrLogos-32: mAP, and right photos in the first four."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from data.base import Photo
from data.store import Collection
from evaluation import metrics
from evaluation.base import Protocol, Truth
from evaluation.classic import trapezoid_measures
from evaluation.labels import stated_or_labelled


class FlickrLogos(Protocol):
    """mAP and the average top-4 score of the authors' ``fl_eval_retrieval.py``.

    Photos without a logo (class no-logo) are in the database and answer no query.
    """

    name = "flickrlogos"
    title = "FlickrLogos-32"
    meaning = (
        "960 test photos with a logo find the 40 training and validation photos of their brand "
        "among 4,280, of which 3,000 show no logo. Beside mAP the authors count the right photos "
        "in the first four ranks; no query is in the collection, so 4 is perfect."
    )
    paper = (
        "S. Romberg, L. Garcia Pueyo, R. Lienhart, R. van Zwol, Scalable logo recognition in "
        "real-world images, ICMR 2011"
    )
    url = "https://dl.acm.org/doi/10.1145/1991996.1992021"
    measures: ClassVar[dict[str, str]] = {
        "ap": "area under the precision-recall curve (trapezoids)",
        "top-4": "right photos in the first 4 (0 to 4)",
        "p@1": "whether the first photo is right",
        "p@5": "share of right photos in the first 5",
        "p@10": "share of right photos in the first 10",
    }

    def truths(self, collection: Collection, query: Photo) -> dict[str, Truth]:
        return {"all": Truth(stated_or_labelled(collection, query))}

    def judge(self, ranking: Sequence[str], truth: Truth) -> dict[str, float]:
        values = trapezoid_measures(ranking, truth)
        if truth.positives:
            values["top-4"] = metrics.ukbench_score(
                metrics.relevance_flags(ranking[:4], truth.positives)
            )
        else:
            values["top-4"] = float("nan")
        return values
