"""Average query expansion: the query becomes the mean of itself and its first answers."""

from __future__ import annotations

import dataclasses

import numpy as np

from data.errors import PlaygroundError
from extractors.base import l2_normalise
from indexing.base import Floats
from retrieval.ranking import Query, Ranking
from retrieval.rerank.base import RerankCard, Reranker, View, query_vector


@dataclasses.dataclass(frozen=True)
class AqeConfig:
    k: int = 10  # answers that are added to the query


class Aqe(Reranker):
    """The mean of the query and its k nearest, searched again in the same index."""

    name = "aqe"
    card = RerankCard(
        title="AQE",
        paper="O. Chum, J. Philbin, J. Sivic, M. Isard, A. Zisserman, Total Recall: Automatic "
        "Query Expansion with a Generative Feature Model for Object Retrieval, ICCV 2007",
        url="https://www.robots.ox.ac.uk/~vgg/publications/2007/Chum07b/chum07b.pdf",
        idea="The first answers are taken to be right, and their descriptors are averaged with the "
        "query's. The mean sees the landmark from several sides at once and is searched again.",
        formula=r"q' = \frac{q + \sum_{i=1}^{k} x_i}{\left\| q + \sum_{i=1}^{k} x_i \right\|}",
        parameters={"k": "answers that are added, 1 or more"},
        score="cosine with the expanded query",
        cost="one more search, and reading k descriptors",
        hurts="where the first answers are wrong: then the query drifts away from its landmark",
    )

    def __init__(self, config: AqeConfig) -> None:
        super().__init__(config)
        if config.k < 1:
            raise PlaygroundError(f"aqe:k={config.k} is not possible. Legal: 1 or more answers.")

    @property
    def depth(self) -> int:
        return int(self.config.k)

    def rerank(self, query: Query, ranking: Ranking, view: View) -> Ranking:
        vector = self._expand(query_vector(query, ranking, view), ranking, view)
        found = view.search(vector, len(ranking))
        return dataclasses.replace(found, vector=vector, notes=ranking.notes)

    def _expand(self, vector: Floats, ranking: Ranking, view: View) -> Floats:
        nearest = np.asarray(view.vectors().vectors[ranking.rows[: self.config.k]])
        return l2_normalise((vector + nearest.sum(axis=0))[None])[0]
