"""Relevance feedback: hits that a person marked right pull the query, wrong ones push it away."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np

from data.errors import PlaygroundError
from extractors.base import l2_normalise
from indexing.base import Floats
from retrieval.ranking import Query, Ranking
from retrieval.rerank.base import RerankCard, Reranker, View, query_vector


@dataclasses.dataclass(frozen=True)
class RocchioConfig:
    right: float = 0.75  # weight of the mean of the right photos; the query's own is 1
    wrong: float = 0.15  # weight of the mean of the wrong ones, taken off
    combine: Literal["mean", "max"] = "mean"  # max: the best of several queries counts


class Rocchio(Reranker):
    """The query moved by marked photos, searched again; unmarked queries stay as they are."""

    name = "rocchio"
    card = RerankCard(
        title="Rocchio feedback",
        paper="J. Rocchio, Relevance feedback in information retrieval, in: The SMART Retrieval "
        "System, 1971; weights of C. Manning et al., Introduction to Information Retrieval, 2008",
        url="https://nlp.stanford.edu/IR-book/html/htmledition/rocchio-classification-1.html",
        idea="You mark hits as right or wrong. The query moves towards the mean of the right ones "
        "and away from the mean of the wrong ones, and is searched again. With combine=max each "
        "right photo is a query of its own, and the best of their scores counts.",
        formula=r"q' \propto q + \beta \frac{1}{|R|} \sum_{x \in R} x - "
        r"\gamma \frac{1}{|W|} \sum_{x \in W} x",
        parameters={
            "right": "weight of the right photos' mean, 0 or more",
            "wrong": "weight of the wrong photos' mean, 0 or more; 0: they have no effect",
            "combine": "mean: one moved query; max: the best of the query and each right photo",
        },
        score="cosine with the moved query, or the largest of several",
        cost="one more search, or one per right photo",
        hurts="where a mark is wrong, or the right photos show the landmark from two sides that "
        "have nothing in common (then max is better than mean)",
    )

    def __init__(self, config: RocchioConfig) -> None:
        super().__init__(config)
        for name, value in (("right", config.right), ("wrong", config.wrong)):
            if value < 0:
                raise PlaygroundError(f"rocchio:{name}={value} is not possible. Legal: 0 or more.")

    @property
    def depth(self) -> int:
        return 1

    def rerank(self, query: Query, ranking: Ranking, view: View) -> Ranking:
        right, wrong = _vectors(query.right, view), _vectors(query.wrong, view)
        vector = query_vector(query, ranking, view)
        if not len(right) and not len(wrong):
            note = "No hit was marked right or wrong, so feedback changed nothing."
            return dataclasses.replace(ranking, notes=(*ranking.notes, note))
        if self.config.combine == "max" and len(right):
            found = [view.search(one, len(ranking)) for one in np.vstack([vector[None], right])]
            return dataclasses.replace(_best(found, len(ranking)), notes=ranking.notes)
        moved = vector.astype(np.float64)
        if len(right):
            moved = moved + self.config.right * right.mean(axis=0)
        if len(wrong):
            moved = moved - self.config.wrong * wrong.mean(axis=0)
        moved = l2_normalise(moved[None].astype(np.float32))[0]
        found_one = view.search(moved, len(ranking))
        return dataclasses.replace(found_one, vector=moved, notes=ranking.notes)


def _vectors(ids: Sequence[str], view: View) -> Floats:
    """(n, D) of the marked photos that are in this collection and not left out."""
    rows = view.kept("rows by id", lambda: {photo.id: i for i, photo in enumerate(view.photos)})
    marked = [rows[one] for one in ids if rows.get(one, -1) not in (-1, *view.excluded)]
    return np.asarray(view.vectors().vectors[marked])


def _best(rankings: Sequence[Ranking], k: int) -> Ranking:
    """Each photo once, with its largest score."""
    rows = np.concatenate([one.rows for one in rankings])
    scores = np.concatenate([one.scores for one in rankings])
    distances = np.concatenate([one.columns["distance"] for one in rankings])
    order = np.lexsort((rows, -scores))
    _, first = np.unique(rows[order], return_index=True)
    order = order[np.sort(first)][:k]
    return Ranking(rows[order], scores[order], {"distance": distances[order]})
