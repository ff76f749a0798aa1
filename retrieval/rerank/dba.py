"""Database augmentation: every photo becomes the weighted mean of itself and its neighbours."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import PlaygroundError
from extractors.base import l2_normalise
from indexing.base import Floats, Ints
from retrieval import graph
from retrieval.ranking import Query, Ranking
from retrieval.rerank.base import Progress, RerankCard, Reranker, View, query_vector


@dataclasses.dataclass(frozen=True)
class DbaConfig:
    k: int = 10  # neighbours that are added to a photo
    alpha: float = 3.0  # power of the cosine that weighs a neighbour; 0: all alike


class Dba(Reranker):
    """alphaQE of the database, offline; a query is compared with all augmented photos, exactly."""

    name = "dba"
    offline = "needed"
    card = RerankCard(
        title="alphaDBA",
        paper="A. Gordo, J. Almazan, J. Revaud, D. Larlus, End-to-end Learning of Deep Visual "
        "Representations for Image Retrieval, IJCV 2017; R. Arandjelovic, A. Zisserman, Three "
        "Things Everyone Should Know to Improve Object Retrieval, CVPR 2012",
        url="https://arxiv.org/abs/1610.07940",
        idea="What query expansion does to the query, done to every photo beforehand: its "
        "descriptor is averaged with those of its neighbours, so that what is special about one "
        "photo fades and the landmark stays. The query is compared with the new descriptors of "
        "all photos, whatever the index is.",
        formula=r"x_i' = \frac{v_i}{\|v_i\|}, \quad v_i = x_i + \sum_{j \in N_k(i)} "
        r"\max(0, x_i^\top x_j)^\alpha\, x_j",
        parameters={
            "k": "neighbours that are added to each photo, 1 or more. 10: the best of 3, 5, 10, 20 "
            "on rendered landmarks, and near the best on real ones",
            "alpha": "power of the cosine, 0 or more; 0: all alike. 3 as for the query",
        },
        score="cosine of the query with the augmented photo",
        cost="offline all pairs of photos, and one more descriptor per photo on disk; online a "
        "comparison with every photo",
        hurts="for landmarks with few photos and a large k: their neighbours are other landmarks",
    )

    def __init__(self, config: DbaConfig) -> None:
        super().__init__(config)
        if config.k < 1 or config.alpha < 0:
            raise PlaygroundError(
                f"{self.spec} is not possible. Legal: k of 1 or more, alpha of 0 or more."
            )

    @property
    def depth(self) -> int:
        return 1

    def estimate_bytes(self, view: View) -> int:
        lists = graph.LIST.itemsize * graph.length(view, self.config.k)
        return len(view.photos) * (4 * view.vectors().vectors.shape[1] + lists)

    def prepare(self, view: View, progress: Progress | None = None) -> None:
        self._augmented(view, progress)

    def rerank(self, query: Query, ranking: Ranking, view: View) -> Ranking:
        vector, augmented = query_vector(query, ranking, view), self._augmented(view)
        # Not BLAS: for one vector, waiting for its second thread takes longer than the work.
        scores = np.einsum("nd,d->n", augmented, vector)
        if view.excluded:
            changed = self._touched(view)
            scores[changed] = self._mean(view, changed, view.excluded) @ vector
        rows = np.flatnonzero(graph.allowed(view))
        best = rows[np.argsort(-scores[rows], kind="stable")[: len(ranking)]]
        return ranking.led_by(best, scores[best])

    def _augmented(self, view: View, progress: Progress | None = None) -> Floats:
        """(n, D) all photos."""
        x, config = view.vectors().vectors, self.config

        def fill(matrix: NDArray[Any]) -> None:
            graph.refuse_waiting(view, self.spec, progress)
            graph.neighbours(view, config.k, progress)
            for part in graph.blocks(len(x), 4 * x.shape[1] * (config.k + 1)):
                matrix[part] = self._mean(view, np.arange(part.start, part.stop), frozenset())
                if progress is not None:
                    progress(part.stop, len(x), "dba")

        key = {"method": "dba", "version": 1, **dataclasses.asdict(config)}
        return graph.array(view, "dba.npy", key, x.shape, np.float32, fill)

    def _touched(self, view: View) -> Ints:
        """Photos with an excluded one among those that were added to them."""
        rows, _ = graph.first(graph.neighbours(view, self.config.k), self.config.k, frozenset())
        return np.flatnonzero(np.isin(rows, list(view.excluded)).any(axis=1))

    def _mean(self, view: View, photos: Ints, excluded: frozenset[int]) -> Floats:
        """(m, D) some photos, augmented by those that are not excluded."""
        x, k = view.vectors().vectors, self.config.k
        rows, similarities = graph.first(graph.neighbours(view, k)[photos], k, excluded)
        weights = np.where(
            rows == graph.NOBODY, 0, np.maximum(similarities, 0) ** self.config.alpha
        )
        added = np.einsum("nk,nkd->nd", weights, x[rows])
        return l2_normalise(x[photos] + added)
