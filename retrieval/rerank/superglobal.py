"""SuperGlobal's re-ranking: the shortlist refines its own descriptors, and then the query."""

from __future__ import annotations

import dataclasses

import numpy as np

from data.errors import PlaygroundError
from indexing.base import Floats
from retrieval import graph
from retrieval.ranking import Query, Ranking
from retrieval.rerank.base import RerankCard, Reranker, View, query_vector


@dataclasses.dataclass(frozen=True)
class SuperGlobalConfig:
    depth: int = 400  # photos of the shortlist (M)
    k: int = 9  # nearest photos of the shortlist that refine one (K)
    beta: float = 0.15  # weight of their cosines


class SuperGlobal(Reranker):
    """Global descriptors alone, nothing offline."""

    name = "superglobal"
    card = RerankCard(
        title="SuperGlobal",
        paper="S. Shao, K. Chen, A. Karpur, Q. Cui, A. Araujo, B. Cao, Global Features are All "
        "You Need for Image Retrieval and Reranking, ICCV 2023",
        url="https://arxiv.org/abs/2308.06954",
        idea="Each photo of the shortlist is averaged with its nearest photos of the shortlist. "
        "The query is then replaced by the element-wise maximum of the best refined photos, and "
        "the two similarities, of the query and of its replacement, are averaged. No local "
        "feature is needed.",
        formula=r"x_i' = \frac{x_i + \beta \sum_{j \in N_K(i)} (x_i^\top x_j)\, x_j}"
        r"{1 + \beta \sum_{j \in N_K(i)} x_i^\top x_j}, \quad "
        r"s_i = \tfrac{1}{2}\left(q^\top x_i' + \max_{j \le K + 1} (x_{(j)}')^\top x_i'\right)",
        parameters={
            "depth": "photos of the shortlist that are re-ranked (M), 1 or more; the defaults are "
            "the authors'",
            "k": "nearest photos that refine one (K), 0 or more; 0 leaves photos as they are",
            "beta": "weight of their cosines, 0 or more; 0 leaves photos as they are",
        },
        score="the mean of both similarities for the shortlist; the others keep their cosine",
        cost="all pairs of the shortlist, whatever the collection's size",
        hurts="for landmarks with fewer than K + 1 photos: the maximum then takes in others. "
        "Where the first refined photos are of another landmark, as with query expansion",
    )

    def __init__(self, config: SuperGlobalConfig) -> None:
        super().__init__(config)
        if config.depth < 1 or config.k < 0 or config.beta < 0:
            raise PlaygroundError(
                f"{self.spec} is not possible. Legal: depth of 1 or more, k and beta of 0 or more."
            )

    def rerank(self, query: Query, ranking: Ranking, view: View) -> Ranking:
        if not len(ranking):
            return ranking
        shortlist = np.asarray(view.vectors().vectors[ranking.rows[: self.depth]])
        vector = query_vector(query, ranking, view)
        return ranking.reordered(self._scores(vector, shortlist))

    def _scores(self, vector: Floats, shortlist: Floats) -> Floats:
        """(m,) of the photos of the shortlist, (m, D)."""
        refined = self._refined(shortlist)
        first = refined @ vector
        best = np.argsort(-first, kind="stable")[: self.config.k + 1]
        return (first + refined @ refined[best].max(axis=0)) / 2

    def _refined(self, shortlist: Floats) -> Floats:
        similarities = shortlist @ shortlist.T
        np.fill_diagonal(similarities, np.inf)  # itself first
        near = graph.nearest(similarities, min(self.config.k + 1, len(shortlist)))
        # A negative weight could make the sum of the weights vanish.
        found = np.maximum(np.take_along_axis(similarities, near, axis=1), 0)
        found[:, 0], found[:, 1:] = 1, self.config.beta * found[:, 1:]
        weights = np.zeros_like(similarities)
        np.put_along_axis(weights, near, found, axis=1)
        return (weights @ shortlist) / found.sum(axis=1, keepdims=True)
