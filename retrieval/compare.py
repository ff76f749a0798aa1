"""Several recipes on one query: the one ground truth, and which photo is the query itself."""

from __future__ import annotations

import dataclasses

from data.base import Photo
from data.errors import PlaygroundError
from data.store import Collection


@dataclasses.dataclass(frozen=True)
class Truth:
    """The ground truth of one query in one setting. The sets do not overlap.

    Attributes:
        positives: ids that answer the query, whether the collection has them or not.
        junk: ids that are removed from a ranking before it is judged.
        by_label: it follows from labels, so that a photo without one is neither right nor wrong.
    """

    positives: frozenset[str]
    junk: frozenset[str] = frozenset()
    by_label: bool = False

    def mark(self, photo_id: str) -> str:
        """``positive``, ``junk`` or ``negative``, for the frames of a shown ranking."""
        if photo_id in self.positives:
            return "positive"
        return "junk" if photo_id in self.junk else "negative"

    def verdict(self, photo_id: str, label: str | None) -> bool | None:
        """True: right; False: wrong; None: nobody knows, or it is junk."""
        mark = self.mark(photo_id)
        if mark == "junk" or (mark == "negative" and self.by_label and label is None):
            return None
        return mark == "positive"


def truth_of(collection: Collection, query: Photo | None, label: str | None) -> Truth | None:
    """The right answers to a query; None where its landmark is unknown (then nothing is wrong).

    Args:
        query: a query or photo of the collection; None for a photo of one's own.
        label: the landmark that a person named for it.
    """
    if query is not None:
        junk = frozenset(query.extra.get("ground_truth", {}).get("junk", ()))
        if query.relevant is not None or query.label is not None:
            positives = frozenset(collection.relevant(query)) - junk
            return Truth(positives, junk, by_label=query.relevant is None)
    if label is None:
        return None
    there = label in collection.labels
    return Truth(frozenset(collection.relevant(label) if there else ()), by_label=True)


def kind_of(collection: Collection, query: Photo | None, label: str | None) -> str | None:
    """The kind of landmark that the query shows; None where nothing says it.

    Args:
        query, label: as in ``truth_of``.
    """
    if query is not None and query.kind is not None:
        return query.kind
    if label is None or label not in collection.labels:
        return None
    kinds = (collection.photo(one).kind for one in sorted(collection.relevant(label)))
    return next(filter(None, kinds), None)


def own_photos(collection: Collection, photo: Photo) -> frozenset[str]:
    """The ids of the query's own photo: named by its source, else found by its bytes."""
    if "photo" in photo.extra:
        return frozenset({str(photo.extra["photo"])})
    if is_photo(collection, photo):
        return frozenset({photo.id})
    return frozenset(one.id for one in collection.photos if one.sha256 == photo.sha256)


def is_photo(collection: Collection, query: Photo) -> bool:
    """Whether the query is a photo of the collection, and not one that is called alike."""
    try:
        return collection.photo(query.id).sha256 == query.sha256
    except PlaygroundError:  # there is no photo of this id
        return False
