"""IVF: the cells, the order in which a query visits them, and what each nprobe finds."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import PlaygroundError
from indexing.base import BuiltIndex, Floats, Ints
from indexing.faiss_settings import faiss, search_threads
from indexing.inside.common import as_query, faiss_object, nearest, recall, squared_distances

_MOST_PROBES = 48  # values of nprobe on a curve
DAMAGED = "The inverted lists of this index do not hold each vector once. Build the index again."


@dataclasses.dataclass(frozen=True)
class IvfView:
    """An inverted file and one query.

    Attributes:
        centroids: (nlist, d) float32.
        cells: (n,) int64 cell of each row.
        sizes: (nlist,) int64 vectors per cell.
        order: (nlist,) int64 cells in the order in which the query visits them.
        cell_distances: (nlist,) float32 squared L2 of the query to the centroids, in that order.
        neighbours: (k,) int64 rows of the exact nearest neighbours.
        neighbour_distances: (k,) float64 exact squared L2.
    """

    centroids: Floats
    cells: Ints
    sizes: Ints
    order: Ints
    cell_distances: Floats
    neighbours: Ints
    neighbour_distances: NDArray[np.float64]

    @property
    def probes_needed(self) -> Ints:
        """(k,) the smallest nprobe that reaches each neighbour: its cell's place in the order."""
        place = np.empty(len(self.order), np.int64)
        place[self.order] = np.arange(1, len(self.order) + 1)
        return place[self.cells[self.neighbours]]

    def scanned(self, nprobe: int) -> int:
        """How many vectors a search with ``nprobe`` compares with the query."""
        return int(self.sizes[self.order[:nprobe]].sum())


@dataclasses.dataclass(frozen=True)
class Probe:
    """One setting of nprobe for one query: recall@k of exact search, and vectors compared."""

    nprobe: int
    recall: float
    scanned: int


def look(built: BuiltIndex, vectors: Floats, query: Floats, k: int) -> IvfView:
    """Read the cells from the index and rank them for one query.

    Args:
        built: an index of the type ``ivf``.
        vectors: (n, d) float32 that the index holds, in its order.
        query: d numbers.
        k: exact neighbours wanted.
    """
    index = faiss_object(built, "ivf")
    asked = as_query(query, built.d)
    nlist = int(index.nlist)
    centroids = index.quantizer.reconstruct_n(0, nlist)
    with search_threads(1):
        # All of nlist: the quantiser's own ranking, which every nprobe takes a beginning of.
        distances, order = index.quantizer.search(asked, nlist)
    exact = squared_distances(asked, vectors)
    neighbours = nearest(exact, k)
    cells = assignment(index)
    return IvfView(
        centroids,
        cells,
        np.bincount(cells, minlength=nlist).astype(np.int64),
        order[0].astype(np.int64),
        distances[0],
        neighbours,
        exact[neighbours],
    )


def assignment(index: Any) -> Ints:
    """(n,) int64: the cell of each row, read from the inverted lists."""
    cells = np.full(int(index.ntotal), -1, np.int64)
    for cell in range(int(index.nlist)):
        size = int(index.invlists.list_size(cell))
        if not size:
            continue
        ids = faiss.rev_swig_ptr(index.invlists.get_ids(cell), size)
        if ids.min() < 0 or ids.max() >= len(cells):
            raise PlaygroundError(DAMAGED)
        cells[ids] = cell
    if (cells < 0).any():
        raise PlaygroundError(DAMAGED)
    return cells


def curve(built: BuiltIndex, view: IvfView, query: Floats) -> list[Probe]:
    """What each nprobe finds, by real searches whose nprobe goes with the call."""
    nlist, k = len(view.order), len(view.neighbours)
    tried = np.unique(np.geomspace(1, nlist, min(nlist, _MOST_PROBES)).round().astype(int))
    if nlist <= _MOST_PROBES:
        tried = np.arange(1, nlist + 1)
    points = []
    for nprobe in map(int, tried):
        found, _ = built.search(as_query(query, built.d), k, {"nprobe": nprobe})[0]
        points.append(Probe(nprobe, recall(found, view.neighbours), view.scanned(nprobe)))
    return points
