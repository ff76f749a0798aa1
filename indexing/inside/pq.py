"""PQ: parts, codewords, the query's distance table, and what a photo's code keeps of it."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from indexing.base import BuiltIndex, Floats, Ints
from indexing.faiss_settings import faiss
from indexing.inside.common import as_query, faiss_object, nearest, squared_distances


@dataclasses.dataclass(frozen=True)
class PqView:
    """A product quantiser's index and one query, in m parts of d / m numbers.

    Attributes:
        centroids: (m, ksub, d / m) float32 codewords of each part.
        codes: (n, m) int64 the codeword that stands for each part of each row.
        table: (m, ksub) float64 squared L2 of the query's parts to the codewords (the asymmetric
            distance table: the query is not quantised).
        estimates: (n,) float64 sum of each row's m entries of the table.
        exact: (n,) float64 squared L2 of the query to the vectors themselves.
        query: (d,) float32.
        nbits: bits per part; ksub = 2^nbits.
    """

    centroids: Floats
    codes: Ints
    table: NDArray[np.float64]
    estimates: NDArray[np.float64]
    exact: NDArray[np.float64]
    query: Floats
    nbits: int

    @property
    def m(self) -> int:
        return self.codes.shape[1]

    @property
    def code_bytes(self) -> int:
        """Bytes of one code: m indices of nbits bits, packed."""
        return -(-self.m * self.nbits // 8)

    @property
    def compression(self) -> float:
        """Bytes of a float32 vector over bytes of its code."""
        return 4 * len(self.query) / self.code_bytes

    def terms(self, row: int) -> NDArray[np.float64]:
        """(m,) the entries of the table that a row's code picks; their sum is its distance."""
        return self.table[np.arange(self.m), self.codes[row]]

    def reconstruct(self, row: int) -> Floats:
        """(d,) float32: the codewords of a row, one behind the other."""
        chosen: Floats = self.centroids[np.arange(self.m), self.codes[row]].reshape(-1)
        return chosen

    def ranked(self) -> Ints:
        """(n,) rows by estimated distance, nearest first."""
        return nearest(self.estimates, len(self.estimates))


def look(built: BuiltIndex, vectors: Floats, query: Floats) -> PqView:
    """Read codewords and codes from the index and make the query's table.

    Args:
        built: an index of the type ``pq``.
        vectors: (n, d) float32 that the index holds, in its order.
        query: d numbers.
    """
    index = faiss_object(built, "pq")
    asked = as_query(query, built.d)[0]
    pq = index.pq
    m, ksub, nbits = int(pq.M), int(pq.ksub), int(pq.nbits)
    centroids = faiss.vector_to_array(pq.centroids).reshape(m, ksub, int(pq.dsub))
    packed = faiss.vector_to_array(index.codes).reshape(int(index.ntotal), int(index.code_size))
    codes = faiss.unpack_bitstrings(packed, m, nbits).astype(np.int64)
    apart = centroids.astype(np.float64) - asked.reshape(m, 1, -1)
    table = np.einsum("ikj,ikj->ik", apart, apart)
    estimates = table[np.arange(m), codes].sum(axis=1)
    exact = squared_distances(asked, vectors)
    return PqView(centroids, codes, table, estimates, exact, asked, nbits)


def error(view: PqView, row: int, vector: Floats) -> NDArray[np.float64]:
    """(m,) squared L2 between each part of a row's vector (d,) and its codeword."""
    apart = np.asarray(vector, np.float64) - view.reconstruct(row)
    return (apart * apart).reshape(view.m, -1).sum(axis=1)
