"""k-reciprocal re-ranking: photos are alike if they have the same neighbours."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import PlaygroundError
from retrieval import graph
from retrieval.ranking import Query, Ranking
from retrieval.rerank.base import RerankCard, Reranker, View, query_vector


@dataclasses.dataclass(frozen=True)
class KReciprocalConfig:
    depth: int = 400  # photos of the shortlist
    k1: int = 20  # neighbours that must be mutual
    k2: int = 6  # nearest, itself included, over which sets are averaged; 1: off
    weight: float = 0.3  # of the original distance (lambda); 1: nothing changes


class KReciprocal(Reranker):
    """The Jaccard distance of weighted neighbour sets, mixed with the distance."""

    name = "k-reciprocal"
    card = RerankCard(
        title="k-reciprocal",
        paper="Z. Zhong, L. Zheng, D. Cao, S. Li, Re-ranking Person Re-identification with "
        "k-reciprocal Encoding, CVPR 2017",
        url="https://arxiv.org/abs/1701.08398",
        idea="Two photos of a landmark have the same photos near them. The query and each photo of "
        "the shortlist get the set of those that are near and have them near, too; a set takes in "
        "another that mostly lies in it. How much two sets overlap is the new distance.",
        formula=r"d^* = (1 - \lambda) \left(1 - \frac{\sum_g \min(V_{q,g}, V_{i,g})}"
        r"{\sum_g \max(V_{q,g}, V_{i,g})}\right) + \lambda\, d(q, i), \quad "
        r"V_{p,g} = e^{-d(p,g)}\ [g \in R^*(p, k_1)]",
        parameters={
            "depth": "photos of the shortlist that are re-ranked, 1 or more; the paper takes all",
            "k1": "neighbours that must be mutual, 1 or more. The paper's 20",
            "k2": "nearest photos whose sets are averaged, 1 or more; 1 is off. The paper's 6",
            "weight": "of the original distance (lambda), 0 to 1; 1 changes nothing. The paper's "
            "0.3. Distances are squared, over the largest from the same photo",
        },
        score="1 - d* for the shortlist; the others keep their cosine",
        cost="all pairs of the shortlist, whatever the collection's size",
        hurts="for landmarks with far fewer than k1 photos: sets then are of whole neighbourhoods",
    )

    def __init__(self, config: KReciprocalConfig) -> None:
        super().__init__(config)
        if min(config.depth, config.k1, config.k2) < 1 or not 0 <= config.weight <= 1:
            raise PlaygroundError(
                f"{self.spec} is not possible. Legal: depth, k1 and k2 of 1 or more, weight from "
                f"0 to 1."
            )

    def rerank(self, query: Query, ranking: Ranking, view: View) -> Ranking:
        if not len(ranking):
            return ranking
        shortlist = np.asarray(view.vectors().vectors[ranking.rows[: self.depth]])
        x = np.vstack([query_vector(query, ranking, view), shortlist])
        cosines = x @ x.T
        squared = np.diag(cosines)
        distances = np.maximum(squared[:, None] + squared - 2 * cosines, 0)
        return ranking.reordered(1 - self._mixed(distances)[1:])

    def _mixed(self, distances: NDArray[Any]) -> NDArray[Any]:
        """(n,) new distances from the first of (n, n)."""
        k1, k2, weight = self.config.k1, self.config.k2, self.config.weight
        n = len(distances)
        np.fill_diagonal(distances, -1)  # itself first
        order = graph.nearest(-distances, min(n, max(k1 + 1, k2)))
        np.fill_diagonal(distances, 0)
        largest = distances.max(axis=1, keepdims=True)
        distances = np.divide(distances, largest, out=np.zeros((n, n)), where=largest > 0)

        sets, halves = _reciprocal(order, k1), _reciprocal(order, round(k1 / 2))
        inside = sets.astype(np.float32) @ halves.T.astype(np.float32)  # |R(p) and half R(q)|
        taken = sets & (3 * inside >= 2 * halves.sum(axis=1))
        sets |= (taken.astype(np.float32) @ halves.astype(np.float32)) > 0

        encoded = np.where(sets, np.exp(-distances), 0)
        near = order[:, :k2]
        total = encoded.sum(axis=1)[near].mean(axis=1)
        mine = encoded[near[0]].mean(axis=0)
        shared = np.flatnonzero(mine)  # elsewhere the minimum is 0
        common = np.minimum(encoded[:, shared][near].mean(axis=1), mine[shared]).sum(axis=1)
        jaccard = 1 - common / (total + total[0] - common)  # min + max = the sum of both
        return np.asarray((1 - weight) * jaccard + weight * distances[0])


def _reciprocal(order: NDArray[Any], k: int) -> NDArray[np.bool_]:
    """(n, n) whether two are among each other's k nearest; everyone is its own.

    Args:
        order: (n, m) the nearest of each, itself first.
    """
    near = np.zeros((len(order), len(order)), bool)
    np.put_along_axis(near, order[:, : k + 1], True, axis=1)
    return near & near.T
