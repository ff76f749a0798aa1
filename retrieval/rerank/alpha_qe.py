"""alpha query expansion: near answers count more than far ones."""

from __future__ import annotations

import dataclasses

import numpy as np

from data.errors import PlaygroundError
from extractors.base import l2_normalise
from retrieval.ranking import Query, Ranking
from retrieval.rerank.base import RerankCard, Reranker, View, query_vector


@dataclasses.dataclass(frozen=True)
class AlphaQeConfig:
    k: int = 10  # answers that are added to the query
    alpha: float = 3.0  # power of the cosine that weighs an answer; 0: all alike (aqe)


class AlphaQe(Reranker):
    """The query and its k nearest, weighted by their cosine, searched again in the same index."""

    name = "alpha-qe"
    card = RerankCard(
        title="alphaQE",
        paper="F. Radenovic, G. Tolias, O. Chum, Fine-tuning CNN Image Retrieval with No Human "
        "Annotation, TPAMI 2019",
        url="https://arxiv.org/abs/1711.02512",
        idea="Query expansion in which an answer counts by its similarity to the query. A wrong "
        "answer at rank 8 then does little harm, and k matters less than for the plain mean.",
        formula=r"q' = \frac{v}{\|v\|}, \quad v = q + \sum_{i=1}^{k} \max(0, q^\top x_i)^\alpha\, "
        r"x_i",
        parameters={
            "k": "answers that are added, 1 or more. 10 as for aqe; 50, which is often used with "
            "this weighting, was worse on both collections that it was tried on",
            "alpha": "power of the cosine, 0 or more; 0 is the plain mean. The paper's 3",
        },
        score="cosine with the expanded query",
        cost="one more search, and reading k descriptors",
        hurts="where the first answers are wrong, though less than the plain mean; with a large k "
        "and a descriptor whose cosines are all alike it is the plain mean again",
    )

    def __init__(self, config: AlphaQeConfig) -> None:
        super().__init__(config)
        if config.k < 1 or config.alpha < 0:
            raise PlaygroundError(
                f"{self.spec} is not possible. Legal: k of 1 or more, alpha of 0 or more."
            )

    @property
    def depth(self) -> int:
        return int(self.config.k)

    def rerank(self, query: Query, ranking: Ranking, view: View) -> Ranking:
        vector = query_vector(query, ranking, view)
        nearest = np.asarray(view.vectors().vectors[ranking.rows[: self.config.k]])
        weights = np.maximum(nearest @ vector, 0) ** self.config.alpha
        expanded = l2_normalise((vector + weights @ nearest)[None])[0]
        found = view.search(expanded, len(ranking))
        return dataclasses.replace(found, vector=expanded, notes=ranking.notes)
