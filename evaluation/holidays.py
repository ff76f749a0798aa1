"""INRIA Holidays: the first photo of each group finds the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from data.base import Photo
from data.store import Collection
from evaluation.base import Protocol, Truth
from evaluation.classic import trapezoid_measures
from evaluation.labels import stated_or_labelled
from retrieval.compare import own_photos


class Holidays(Protocol):
    """mAP of ``holidays_map.py``: trapezoid AP, the query's own photo taken out of the ranking."""

    name = "holidays"
    title = "INRIA Holidays"
    meaning = (
        "500 groups of holiday photos of one scene each; the first photo of a group is the query "
        "and the others are to be found. The query itself is in the collection and is taken out "
        "of the ranking. Groups are small (2 photos on average besides the query), so AP is "
        "mostly about the first ranks. State whether photos were turned upright by hand: many "
        "papers use such a version, and it scores higher."
    )
    paper = (
        "H. Jegou, M. Douze, C. Schmid, Hamming embedding and weak geometric consistency for "
        "large scale image search, ECCV 2008"
    )
    url = "https://lear.inrialpes.fr/~jegou/data.php"
    measures: ClassVar[dict[str, str]] = {
        "ap": "area under the precision-recall curve (trapezoids), the query removed",
        "p@1": "whether the first photo is right",
        "p@5": "share of right photos in the first 5",
        "p@10": "share of right photos in the first 10",
    }

    def truths(self, collection: Collection, query: Photo) -> dict[str, Truth]:
        itself = own_photos(collection, query)
        return {"all": Truth(stated_or_labelled(collection, query) - itself, itself)}

    def judge(self, ranking: Sequence[str], truth: Truth) -> dict[str, float]:
        return trapezoid_measures(ranking, truth)
