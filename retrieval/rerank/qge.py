"""Query-guided expansion: rank-weighted query expansion, then diffusion."""

from __future__ import annotations

import dataclasses

import numpy as np

from data.errors import PlaygroundError
from extractors.base import l2_normalise
from retrieval import graph
from retrieval.ranking import Query, Ranking
from retrieval.rerank.base import Progress, RerankCard, Reranker, View, query_vector

POWER = 4  # of the weights by rank
GAMMA, ALPHA = 3.0, 0.99


@dataclasses.dataclass(frozen=True)
class QgeConfig:
    k: int = 10  # answers that are added to the query
    kq: int = 3  # first answers of the expanded query that it is put on
    kd: int = 200  # neighbours of a photo; an edge is where two have each other among them
    truncation: int = 2000  # photos that similarity at one photo can reach


class Qge(Reranker):
    """The expanded query is searched again, and diffusion starts from what it finds."""

    name = "qge"
    offline = "needed"
    card = RerankCard(
        title="QGE",
        paper="Query expansion weighted by rank, then diffusion, as a bachelor's thesis on "
        "Google Landmarks combines them; its parts: Chum et al., ICCV 2007, and Yang et al., "
        "AAAI 2019",
        url="https://arxiv.org/abs/1811.10907",
        idea="First the query becomes a mean of itself and its first answers, where the first "
        "counts most and the weights fall quickly with the rank. Its new answers are few and "
        "good, and diffusion starts from them.",
        formula=r"v = q + \sum_{r=0}^{k-1} \left(\frac{k - r}{k}\right)^4 x_r, \quad "
        r"q' = \frac{v}{\|v\|}, \quad f = \sum_{i \in N_{k_q}(q')} \max(0, q'^\top x_i)^3\, "
        r"(I - 0.99\, S)^{-1} e_i",
        parameters={
            "k": "answers that are added to the query, 1 or more",
            "kq": "first answers of the expanded query that diffusion starts from, 1 or more",
            "kd": "neighbours of a photo, 1 or more. All four defaults are the thesis's, for a "
            "large collection",
            "truncation": "photos around a photo that its similarity can reach, 1 or more",
        },
        score="similarity that arrives; photos that none reaches stand behind by the cosine with "
        "the expanded query",
        cost="one more search and the sum of kq rows; offline as for diffusion. From 120,000 "
        "photos on, the thesis leaves diffusion out",
        hurts="where rank 1 is wrong: it has the query's own weight, and diffusion walks on from "
        "there. On collections with tens of photos per landmark a kd of 200 joins them all. The "
        "thesis had its queries in the collection; here the query itself is added, with weight 1",
    )

    def __init__(self, config: QgeConfig) -> None:
        super().__init__(config)
        self._walk = graph.Walk(config.kd, config.truncation, GAMMA, ALPHA)
        graph.check_walk(self.spec, self._walk, config.kq)
        if config.k < 1:
            raise PlaygroundError(f"{self.spec} is not possible. Legal: k of 1 or more.")

    @property
    def depth(self) -> int:
        return max(self.config.k, self.config.kq)

    def estimate_bytes(self, view: View) -> int:
        return graph.rows_bytes(view, self._walk)

    def prepare(self, view: View, progress: Progress | None = None) -> None:
        graph.offline_rows(view, self._walk, self.spec, progress)

    def rerank(self, query: Query, ranking: Ranking, view: View) -> Ranking:
        k = self.config.k
        nearest = np.asarray(view.vectors().vectors[ranking.rows[:k]])
        weights = ((k - np.arange(len(nearest), dtype=np.float32)) / k) ** POWER
        vector = query_vector(query, ranking, view) + weights @ nearest
        vector = l2_normalise(vector[None])[0]
        found = view.search(vector, len(ranking))
        found = dataclasses.replace(found, vector=vector, notes=ranking.notes)
        return graph.rerank(found, view, self._walk, self.spec, vector, self.config.kq)
