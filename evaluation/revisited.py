"""Revisited Oxford and Paris: easy, medium and hard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from data.base import Photo
from data.store import Collection
from evaluation import metrics
from evaluation.base import Protocol, Truth, listed_truth


class Revisited(Protocol):
    """mAP and mP@k of ROxford5k and RParis6k, as in the authors' ``evaluate.py``.

    Easy: easy photos are positives, hard ones are junk. Medium: both are positives. Hard: hard
    photos are positives, easy ones are junk. Junk of the lists is junk in all three.
    """

    name = "revisited"
    title = "Revisited protocol (easy, medium, hard)"
    meaning = (
        "Each query is a building cut out of a photo; its other photos are listed as easy, hard or "
        "junk beforehand (in Oxford and Paris by people). AP is the area under the "
        "precision-recall curve after junk has been taken out of the ranking: 1 means that all "
        "photos of the building come first. Medium is the setting that papers quote first, hard "
        "the one that tells good methods apart."
    )
    paper = (
        "F. Radenovic et al., Revisiting Oxford and Paris: Large-Scale Image Retrieval "
        "Benchmarking, CVPR 2018"
    )
    url = "https://arxiv.org/abs/1803.11285"
    settings = ("easy", "medium", "hard")
    main = "medium"
    measures: ClassVar[dict[str, str]] = {
        "ap": "area under the precision-recall curve (trapezoids), junk removed",
        "p@1": "whether the first photo is right",
        "p@5": "share of right photos in the first 5, or up to the last positive if that is sooner",
        "p@10": "the same for the first 10",
    }

    def truths(self, collection: Collection, query: Photo) -> dict[str, Truth]:
        lists = listed_truth(query, self.name, ("easy", "hard", "junk"))
        easy, hard, junk = lists["easy"], lists["hard"], lists["junk"]
        return {
            "easy": Truth(easy, (junk | hard) - easy),
            "medium": Truth(easy | hard, junk - easy - hard),
            "hard": Truth(hard, (junk | easy) - hard),
        }

    def judge(self, ranking: Sequence[str], truth: Truth) -> dict[str, float]:
        ranks = metrics.positive_ranks(ranking, truth.positives, truth.junk)
        nres = len(truth.positives)
        values = {"ap": metrics.trapezoid_ap(ranks, nres)}
        for k in (1, 5, 10):
            values[f"p@{k}"] = metrics.revisited_precision_at_k(ranks, k, nres)
        return values
