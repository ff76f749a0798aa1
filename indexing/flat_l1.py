"""Exact search by the L1 distance, as some tables before it was usual to normalise ask for."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from indexing.base import Floats, IndexCard, Plan
from indexing.faiss_index import FaissIndex, fill, wrong_class
from indexing.faiss_settings import faiss
from indexing.flat import Flat


class FlatL1Index(FaissIndex):
    """Scores of L1 distances; there is no cosine in them."""

    def scores(self, distances: Floats) -> Floats:
        """1 - d / 2: from 1 for equal vectors down; below 0 is possible."""
        return (1.0 - np.asarray(distances, np.float32) / 2.0).astype(np.float32)


class FlatL1(Flat):
    """IndexFlat with METRIC_L1."""

    name = "flat-l1"
    distance: ClassVar[str] = "l1"
    metric_type: ClassVar[int] = faiss.METRIC_L1
    card = IndexCard(
        title="Flat, L1 distance",
        idea=(
            "Compares the query with every photo by the sum of the absolute differences instead of "
            "the squared ones: a few large differences count less. It ranks otherwise than the "
            "cosine, also on vectors of length 1; what it finds is no error of an index."
        ),
        formula=r"d(q, x) = \sum_{j=1}^{d} |q_j - x_j|",
        parameters={},
        paper="M. Douze et al., The Faiss library, arXiv 2024",
        url="https://arxiv.org/abs/2401.08281",
        cost="4 d bytes per photo; a search reads all of them, so its time grows with n d.",
        when_to_use="To repeat a table that was made with L1, or for histograms (HOG, words).",
    )

    def factory_string(self, plan: Plan) -> str:
        return ""  # the string says nothing of the metric

    def _make_index(self, vectors: Floats, plan: Plan) -> Any:
        index = faiss.IndexFlat(vectors.shape[1], faiss.METRIC_L1)
        fill(index, vectors)
        return index

    def _mismatch(self, index: Any, d: int, plan: Plan) -> str | None:
        return wrong_class(index, "IndexFlat")

    def _wrap(self, index: Any, plan: Plan) -> FaissIndex:
        return FlatL1Index(
            self.name, index, plan, code_size=4 * int(index.d), settle_ties=True, distance="l1"
        )
