"""Exact search: every query is compared with every vector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from indexing.base import Floats, IndexCard, Plan, Value, check_overrides, check_size
from indexing.faiss_index import FaissIndex, FaissType, fill, wrong_class
from indexing.faiss_settings import faiss


class Flat(FaissType):
    """IndexFlatL2."""

    name = "flat"
    card = IndexCard(
        title="Flat (exact)",
        idea=(
            "Compares the query with every photo and keeps the nearest. It is the reference: every "
            "other index is judged by how many of its neighbours it finds. On vectors of length 1 "
            "squared L2 ranks like the cosine."
        ),
        formula=r"d^2(q, x) = \sum_{j=1}^{d} (q_j - x_j)^2 = 2 - 2\cos(q, x)",
        parameters={},
        paper="M. Douze et al., The Faiss library, arXiv 2024",
        url="https://arxiv.org/abs/2401.08281",
        cost="4 d bytes per photo; a search reads all of them, so its time grows with n d.",
        when_to_use="Up to some 100,000 photos, and whenever the answer must be exact.",
    )

    def plan(self, n: int, d: int, overrides: Mapping[str, Value] | None = None) -> Plan:
        check_size(self.name, n, d)
        check_overrides(self.name, overrides, {})
        return Plan({}, {})

    def estimate_bytes(self, plan: Plan, n: int, d: int) -> int:
        return 4 * n * d

    def factory_string(self, plan: Plan) -> str:
        return "Flat"

    def _make_index(self, vectors: Floats, plan: Plan) -> Any:
        index = faiss.IndexFlatL2(vectors.shape[1])
        fill(index, vectors)
        return index

    def _mismatch(self, index: Any, d: int, plan: Plan) -> str | None:
        return wrong_class(index, "IndexFlatL2")

    def _wrap(self, index: Any, plan: Plan) -> FaissIndex:
        return FaissIndex(self.name, index, plan, code_size=4 * int(index.d))
