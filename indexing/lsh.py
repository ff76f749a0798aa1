"""Locality-sensitive hashing: vectors become bits, distances become counts of differing bits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from data.errors import PlaygroundError
from indexing.base import Floats, IndexCard, Plan, Value, check_overrides, check_size
from indexing.faiss_index import FaissIndex, FaissType, fill, wrong_class
from indexing.faiss_settings import faiss, training_threads

_FEWEST, _MOST = 64, 2_048  # bits by default
_SMALL = 256  # bits by default where there are fewer vectors than that
_BLOCK = 65_536  # rows
_LIMIT = 4_096  # bits at most: FAISS makes the rotation by a QR of nbits x nbits, 10 s for these


def default_bits(n: int, d: int) -> int:
    """4 d bits, 64 to 2,048, but not more than there are vectors (256 are always allowed).

    The rotation takes 4 d nbits bytes: with more bits than vectors the index would be larger than
    the vectors themselves.
    """
    wanted = min(_MOST, max(_FEWEST, 4 * d), max(_SMALL, n))
    return -(-wanted // 8) * 8


class LshIndex(FaissIndex):
    """IndexLSH with the cosine that its Hamming distances stand for."""

    def __init__(self, index: Any, plan: Plan) -> None:
        super().__init__("lsh", index, plan, code_size=int(index.code_size), distance="hamming")
        self.nbits = int(index.nbits)

    def scores(self, distances: Floats) -> Floats:
        """Estimated cosine cos(pi h / nbits) of Hamming distances h, higher is better.

        Two vectors at the angle t differ in a random hyperplane's bit with probability t / pi
        (Charikar 2002). With ``thresholds=1`` it is a similarity that ranks alike, no estimate.
        """
        share = np.asarray(distances, np.float64) / self.nbits
        return np.cos(np.pi * share).astype(np.float32)


class Lsh(FaissType):
    """IndexLSH: signs after a random rotation."""

    name = "lsh"
    distance = "hamming"
    card = IndexCard(
        title="LSH (locality-sensitive hashing)",
        idea=(
            "Each bit says on which side of a random hyperplane the vector lies; similar vectors "
            "share most bits. Only the angle counts, not the length, and searching counts "
            "differing bits, which is fast. Many photos tie at the same count."
        ),
        formula=(
            r"h_i(x) = [\langle r_i, x \rangle \ge 0],\quad "
            r"\cos(q, x) \approx \cos\!\left(\pi \frac{\mathrm{Hamming}}{nbits}\right)"
        ),
        parameters={
            "nbits": (
                f"bits per photo, a multiple of 8, 8 to {_LIMIT}; default 4 d, {_FEWEST} to "
                f"{_MOST}, and at most n (or {_SMALL})"
            ),
            "thresholds": (
                "0 (default): hyperplanes through the origin, so lengths do not matter and the "
                "score estimates the cosine; 1: each bit is cut at the median of the collection, "
                "which balances the bits of vectors without negative numbers, but neither holds"
            ),
        },
        paper="M. Charikar, Similarity Estimation Techniques from Rounding Algorithms, STOC 2002",
        url="https://doi.org/10.1145/509907.509965",
        cost="nbits / 8 bytes per photo, and once a rotation of 4 d nbits bytes.",
        when_to_use="To see how far a few hundred bits carry; PQ finds more with equal bytes.",
    )

    def plan(self, n: int, d: int, overrides: Mapping[str, Value] | None = None) -> Plan:
        check_size(self.name, n, d)
        chosen = check_overrides(self.name, overrides, {"nbits": (8, _LIMIT), "thresholds": (0, 1)})
        # The rotation is always on: without it each bit would be the sign of one component, which
        # is no random hyperplane, and descriptors without negative numbers would get equal bits.
        nbits = chosen.get("nbits", default_bits(n, d))
        thresholds = chosen.get("thresholds", 0)
        if nbits % 8:
            # FAISS takes it, but the file and the code would hold the next multiple.
            raise PlaygroundError(f"nbits={nbits} is not legal. Legal: multiples of 8 to {_LIMIT}.")
        notes = []
        if 4 * d * nbits > n * nbits // 8:
            notes.append(
                f"The rotation of {d} x {nbits} numbers takes {4 * d * nbits / 1e6:.1f} MB of the "
                f"file, more than the bits of the {n:,} vectors: a larger collection shares it."
            )
        return Plan({"nbits": nbits, "thresholds": thresholds}, {}, tuple(notes))

    def estimate_bytes(self, plan: Plan, n: int, d: int) -> int:
        nbits = int(plan.build["nbits"])
        return n * nbits // 8 + 4 * d * nbits

    def factory_string(self, plan: Plan) -> str:
        return f"LSH{plan.build['nbits']}r{'t' if plan.build['thresholds'] else ''}"

    def _make_index(self, vectors: Floats, plan: Plan) -> Any:
        with training_threads():  # the rotation is a QR decomposition, made in the constructor
            index = faiss.IndexLSH(
                vectors.shape[1], int(plan.build["nbits"]), True, bool(plan.build["thresholds"])
            )
            # Rotated, a block is a matrix of its rows x nbits numbers: 8 GB for a million vectors.
            fill(index, vectors, block=_BLOCK)
        return index

    def _mismatch(self, index: Any, d: int, plan: Plan) -> str | None:
        wrong = wrong_class(index, "IndexLSH")
        if wrong:
            return wrong
        nbits, thresholds = plan.build["nbits"], bool(plan.build["thresholds"])
        if index.nbits != nbits or index.code_size * 8 != nbits:
            return f"codes of {index.nbits} bits instead of {nbits}"
        if not index.rotate_data or bool(index.train_thresholds) != thresholds:
            return "bits made in another way"
        return None

    def _wrap(self, index: Any, plan: Plan) -> FaissIndex:
        return LshIndex(index, plan)
