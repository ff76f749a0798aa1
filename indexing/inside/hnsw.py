"""HNSW: the layers of the graph and the path of one search through them.

The graph is built by FAISS; the search is replayed here on FAISS's own links (Malkov and Yashunin,
TPAMI 2020, Algorithms 2 and 5), so that every step can be shown. It returns what FAISS returns,
with as many distance computations.
"""

from __future__ import annotations

import dataclasses
import heapq
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import PlaygroundError
from indexing.base import Floats, Ints, check_vectors
from indexing.faiss_settings import faiss, search_threads, training_threads
from indexing.inside.common import as_query, squared_distances

MOST_VECTORS = 20_000  # of a graph that is built while someone waits
EF_CONSTRUCTION = 80
SEED = 1234
LINKS = (2, 64)  # legal M
EF = (1, 256)  # legal efSearch


@dataclasses.dataclass(frozen=True)
class Graph:
    """An HNSW graph over s vectors, read from FAISS.

    Attributes:
        index: faiss.IndexHNSWFlat; shared, never changed.
        rows: (s,) int64 rows of the collection's vectors: all, or a seeded sample.
        top: (s,) int64 the highest layer of each node, 0 for most.
        entry: node where every search begins, on the highest layer.
        m: links per node of the layers above 0 (layer 0 has up to 2 m).
    """

    index: Any
    rows: Ints
    vectors: Floats
    top: Ints
    entry: int
    m: int
    _links: Ints  # all links of all nodes; -1 where there is none
    _starts: Ints  # (s + 1,) where each node's links begin
    _per_layer: Ints  # places for links in the layers below each

    @property
    def layers(self) -> int:
        """Number of layers, at least 1."""
        return int(self.top.max()) + 1

    def nodes(self, layer: int) -> Ints:
        """The nodes that a layer holds."""
        return np.flatnonzero(self.top >= layer).astype(np.int64)

    def links(self, node: int, layer: int) -> Ints:
        """The neighbours of a node on a layer."""
        begin = self._starts[node] + self._per_layer[layer]
        found = self._links[begin : self._starts[node] + self._per_layer[layer + 1]]
        # FAISS fills from the front: the first -1 ends the list.
        ended = np.flatnonzero(found < 0)
        return found[: ended[0]] if len(ended) else found


@dataclasses.dataclass(frozen=True)
class Step:
    """A node that the search stood on, and whom it asked from there.

    Attributes:
        distance: squared L2 of the node to the query.
        compared: nodes whose distance was computed at this step.
    """

    layer: int
    node: int
    distance: float
    compared: Ints


@dataclasses.dataclass(frozen=True)
class Path:
    """One replayed search.

    Attributes:
        steps: in order, from the top layer down to layer 0.
        found: (k,) nodes of the result, nearest first.
        distances: (k,) squared L2.
        computed: distances computed, of the entry point too.
    """

    steps: tuple[Step, ...]
    found: Ints
    distances: NDArray[np.float64]
    computed: int

    def on(self, layer: int) -> list[Step]:
        return [step for step in self.steps if step.layer == layer]


def build(vectors: Floats, m: int) -> Graph:
    """Build a graph over the vectors, (n, d) float32; the same bytes on every machine's run.

    Args:
        m: links per node, 2 to 64.
    """
    if not LINKS[0] <= m <= LINKS[1]:
        raise PlaygroundError(f"M={m} is not legal. Legal: whole {LINKS[0]} to {LINKS[1]}.")
    rows = np.arange(len(vectors), dtype=np.int64)
    if len(rows) > MOST_VECTORS:
        drawn = np.random.default_rng(SEED).choice(len(rows), MOST_VECTORS, replace=False)
        rows = np.sort(drawn).astype(np.int64)
    part = check_vectors(np.ascontiguousarray(vectors[rows], np.float32), "hnsw")
    with training_threads():  # with several threads the links depend on who comes first
        index = faiss.IndexHNSWFlat(part.shape[1], m)
        index.hnsw.efConstruction = EF_CONSTRUCTION
        index.add(part)
    return read(index, rows, part, m)


def read(index: Any, rows: Ints, vectors: Floats, m: int) -> Graph:
    """The graph of a faiss.IndexHNSWFlat, as arrays."""
    hnsw = index.hnsw
    return Graph(
        index,
        rows,
        vectors,
        faiss.vector_to_array(hnsw.levels).astype(np.int64) - 1,
        int(hnsw.entry_point),
        m,
        faiss.vector_to_array(hnsw.neighbors).astype(np.int64),
        faiss.vector_to_array(hnsw.offsets).astype(np.int64),
        faiss.vector_to_array(hnsw.cum_nneighbor_per_level).astype(np.int64),
    )


def search(graph: Graph, query: Floats, k: int, ef: int) -> tuple[Ints, Floats]:
    """FAISS's own answer: (nodes, squared L2), nearest first; efSearch goes with the call."""
    asked = as_query(query, graph.vectors.shape[1])
    with search_threads(1):
        distances, nodes = graph.index.search(
            asked, min(k, len(graph.rows)), params=faiss.SearchParametersHNSW(efSearch=ef)
        )
    found = nodes[0] >= 0
    return nodes[0][found], distances[0][found]


def replay(graph: Graph, query: Floats, k: int, ef: int) -> Path:
    """Search step by step: greedy through the upper layers, best first on layer 0.

    Args:
        query: d numbers.
        k: neighbours wanted; FAISS finds fewer where ef is smaller.
        ef: nearer nodes known on layer 0 at which the search ends (efSearch).
    """
    if not EF[0] <= ef <= EF[1]:
        raise PlaygroundError(f"efSearch={ef} is not legal. Legal: whole {EF[0]} to {EF[1]}.")
    asked = as_query(query, graph.vectors.shape[1])[0]
    steps: list[Step] = []
    node = graph.entry
    here = float(_distances(graph, asked, np.array([node]))[0])
    for layer in range(graph.layers - 1, 0, -1):
        node, here = _descend(graph, asked, layer, node, here, steps)
    k = min(k, len(graph.rows))
    found = _best_first(graph, asked, node, here, k, ef, steps)
    nodes = np.array([number for _, number in found[:k]], np.int64)
    distances = np.array([distance for distance, _ in found[:k]])
    return Path(tuple(steps), nodes, distances, 1 + sum(len(step.compared) for step in steps))


def _distances(graph: Graph, query: Floats, nodes: Ints) -> NDArray[np.float64]:
    return squared_distances(query, graph.vectors[nodes])


def _descend(
    graph: Graph, query: Floats, layer: int, node: int, here: float, steps: list[Step]
) -> tuple[int, float]:
    """Go to the nearest neighbour until none is nearer than where we stand."""
    while True:
        near = graph.links(node, layer)
        distances = _distances(graph, query, near)
        steps.append(Step(layer, node, here, near))
        best = int(np.argmin(distances)) if len(near) else -1
        if best < 0 or distances[best] >= here:
            return node, here
        node, here = int(near[best]), float(distances[best])


def _best_first(
    graph: Graph, query: Floats, node: int, here: float, k: int, ef: int, steps: list[Step]
) -> list[tuple[float, int]]:
    """Always go on from the nearest node not yet left, until ef nearer ones are known."""
    room = max(ef, k)
    waiting = [(here, node)]
    kept = [(-here, node)]  # the nearest so far, at most ``room`` of them, the farthest first
    seen = {node}
    while waiting:
        here, node = heapq.heappop(waiting)
        if sum(-negative < here for negative, _ in kept) >= ef:
            break
        near = np.array([n for n in graph.links(node, 0) if n not in seen], np.int64)
        seen.update(int(n) for n in near)
        steps.append(Step(0, node, here, near))
        for distance, other in zip(_distances(graph, query, near), near, strict=True):
            if len(kept) < room or distance < -kept[0][0]:
                heapq.heappush(waiting, (float(distance), int(other)))
                heapq.heappush(kept, (-float(distance), int(other)))
                if len(kept) > room:
                    heapq.heappop(kept)
    return sorted((-distance, number) for distance, number in kept)
