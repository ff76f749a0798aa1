"""Product quantisation: vectors become a few bytes, distances are looked up in tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from data.errors import PlaygroundError
from indexing.base import Floats, IndexCard, Plan, Value, check_overrides, check_size, plural
from indexing.faiss_index import FaissIndex, FaissType, fill, wrong_class
from indexing.faiss_settings import POINTS_PER_CENTROID, apply, faiss, quiet_clustering

_MOST_PARTS = 256
_MOST_BITS = 12


def divisors(d: int) -> list[int]:
    """All divisors of d, ascending."""
    return [m for m in range(1, d + 1) if d % m == 0]


def default_parts(d: int) -> int:
    """The divisor of d nearest to d / 8 (the smaller one of two), at most 256."""
    wanted = min(_MOST_PARTS, d / 8)
    return min((m for m in divisors(d) if m <= _MOST_PARTS), key=lambda m: (abs(m - wanted), m))


def default_bits(n: int) -> int:
    """8 where training has 39 vectors per centroid, else as many as it has, down to 4.

    Below 16 vectors even 4 bits have more centroids than vectors; then log2(n), at least 1.
    """
    trained = (max(1, n // POINTS_PER_CENTROID)).bit_length() - 1
    possible = max(1, n.bit_length() - 1)
    return min(possible, min(8, max(4, trained)))


class Pq(FaissType):
    """IndexPQ, searched with exact query and quantised photos (ADC)."""

    name = "pq"
    card = IndexCard(
        title="PQ (product quantisation)",
        idea=(
            "Cuts each vector into m parts and replaces each part by the nearest of 2^nbits "
            "centres that k-means learned for it. A query's distances to all centres are computed "
            "once; each photo then costs m table look-ups."
        ),
        formula=r"\hat d^2(q, x) = \sum_{i=1}^{m} \lVert q^{(i)} - c_i(x^{(i)}) \rVert^2",
        parameters={
            "m": "parts, a divisor of d; default the one nearest to d / 8, at most 256",
            "nbits": (
                f"bits per part, 1 to {_MOST_BITS}, 2^nbits <= n; default 8, fewer (down to 4) "
                f"where there are fewer than {POINTS_PER_CENTROID} vectors per centre"
            ),
        },
        paper=(
            "H. Jegou, M. Douze, C. Schmid, Product Quantization for Nearest Neighbor Search, "
            "TPAMI 2011"
        ),
        url="https://doi.org/10.1109/TPAMI.2010.57",
        cost="m nbits / 8 bytes per photo and once 4 d 2^nbits bytes; m look-ups per photo.",
        when_to_use="When memory is short; learning good centres takes 10,000 vectors or more.",
    )

    def plan(self, n: int, d: int, overrides: Mapping[str, Value] | None = None) -> Plan:
        check_size(self.name, n, d)
        most = min(_MOST_BITS, max(1, n.bit_length() - 1))
        chosen = check_overrides(self.name, overrides, {"m": (1, d), "nbits": (1, most)})
        m = chosen.get("m", default_parts(d))
        if d % m:
            raise PlaygroundError(
                f"m={m} does not divide the {d} numbers of a vector. Legal: "
                f"{', '.join(map(str, divisors(d)))}."
            )
        nbits = chosen.get("nbits", default_bits(n))
        notes = []
        if "nbits" not in chosen and nbits < 8:
            notes.append(
                f"nbits is {nbits} instead of 8: {256 * POINTS_PER_CENTROID:,} vectors would train "
                f"256 centres per part, and there are {n:,}."
            )
        if n < POINTS_PER_CENTROID << nbits:
            notes.append(
                f"{plural(n, 'vector')} for {1 << nbits} centres per part are fewer than the "
                f"{POINTS_PER_CENTROID} per centre that FAISS advises: distances to photos that "
                f"are not in the index will be rough."
            )
        if "m" not in chosen and (4 * d / m > 64 or 4 * d / m < 16):
            notes.append(f"m is {m}: {d} has no divisor nearer to d / 8 = {d / 8:g} (256 at most).")
        return Plan({"m": m, "nbits": nbits}, {}, tuple(notes))

    def estimate_bytes(self, plan: Plan, n: int, d: int) -> int:
        m, nbits = int(plan.build["m"]), int(plan.build["nbits"])
        return n * -(-m * nbits // 8) + 4 * d * 2**nbits

    def factory_string(self, plan: Plan) -> str:
        return f"PQ{plan.build['m']}x{plan.build['nbits']}"

    def _make_index(self, vectors: Floats, plan: Plan) -> Any:
        apply()
        nbits = int(plan.build["nbits"])
        index = faiss.IndexPQ(vectors.shape[1], int(plan.build["m"]), nbits)
        index.do_polysemous_training = False
        quiet_clustering(index.pq.cp)
        # A single vector cannot fill the 2 centres of 1 bit: it is shown twice.
        few = len(vectors) < 1 << nbits
        fill(index, vectors, np.repeat(vectors, 2, axis=0) if few else None)
        return index

    def _mismatch(self, index: Any, d: int, plan: Plan) -> str | None:
        wrong = wrong_class(index, "IndexPQ")
        if wrong:
            return wrong
        found = (index.pq.d, index.pq.M, index.pq.nbits)
        if found != (d, plan.build["m"], plan.build["nbits"]):
            return f"{index.pq.M} parts of {index.pq.nbits} bits"
        if index.search_type != faiss.IndexPQ.ST_PQ or index.codes.size() != index.ntotal * (
            index.code_size
        ):
            return "codes of another kind"
        return None

    def _wrap(self, index: Any, plan: Plan) -> FaissIndex:
        return FaissIndex(self.name, index, plan, code_size=int(index.code_size))
