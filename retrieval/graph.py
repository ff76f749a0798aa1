"""The photos as a graph: exact nearest neighbours of every photo, and diffusion over them.

What takes long is made offline in blocks of photos, goes to disk and is mapped into memory from
there. A photo that a search leaves out (``View.excluded``) has no part: what depends on it is
computed again without it, as if the collection had never had it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from scipy.sparse.linalg import cg

from data.errors import PlaygroundError
from indexing.artefacts import build_command
from indexing.base import Floats, Ints
from retrieval.ranking import Ranking
from retrieval.rerank.base import Progress, View

Lists = NDArray[Any]
"""(n, m) of ``LIST``: photos that belong to each photo, with a value each."""
LIST = np.dtype([("row", "<i4"), ("value", "<f4")])
NOBODY = -1  # in a list that is shorter than the others

ONLINE_PHOTOS = 2_000  # of larger collections, a search does not wait for the offline part
SPARE = 8  # neighbours kept beyond those wanted: so many photos can be left out of a search
ROUNDED = 64  # lists of similar lengths are one file, which several methods share
CHUNK = 1 << 26  # bytes of a block of similarities

ITERATIONS = 20  # of conjugate gradients, and the tolerance: those of fyang93/diffusion
TOLERANCE = 1e-6


def refuse_waiting(view: View, spec: str, progress: Progress | None) -> None:
    """Refuse to make what a re-ranker needs during a search, where that takes long."""
    if progress is None and len(view.photos) > ONLINE_PHOTOS:
        command = build_command(view.name, view.extractor, "flat")
        raise PlaygroundError(
            f"{spec} needs a preparation of {view.name} for {view.extractor}, and at "
            f"{len(view.photos):,} photos a search cannot wait for it (up to {ONLINE_PHOTOS:,} it "
            f"does). Run: {command} --rerank '{spec}'"
        )


def array(
    view: View,
    name: str,
    key: dict[str, Any],
    shape: tuple[int, ...],
    dtype: Any,
    fill: Callable[[NDArray[Any]], None],
) -> NDArray[Any]:
    """A matrix that is made once, kept on disk and mapped into memory. ``fill`` fills it."""

    def make(path: Path) -> None:
        if 0 in shape:  # nothing to map
            with open(path, "wb") as handle:
                np.save(handle, np.empty(shape, dtype), allow_pickle=False)
            return
        matrix = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
        fill(matrix)
        matrix.flush()

    def load() -> NDArray[Any]:
        path = view.artefact(name, key, make)
        assert path is not None
        if 0 in shape:
            return np.empty(shape, dtype)
        return np.asanyarray(np.load(path, mmap_mode="r", allow_pickle=False))

    return view.kept((name, tuple(sorted(key.items()))), load)


def blocks(count: int, bytes_each: int) -> Iterator[slice]:
    """Slices of ``count`` things that take at most ``CHUNK`` bytes."""
    size = max(1, CHUNK // max(1, bytes_each))
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def described(view: View) -> NDArray[np.bool_]:
    """(n,) photos with a descriptor; one without is near to nothing, and no index holds it."""

    def make() -> NDArray[np.bool_]:
        x = view.vectors().vectors
        found = np.empty(len(x), bool)
        for part in blocks(len(x), 4 * x.shape[1]):
            found[part] = x[part].any(axis=1)
        return found

    return view.kept("described", make)


def allowed(view: View) -> NDArray[np.bool_]:
    """(n,) photos that may be found."""
    found = described(view)
    if view.excluded:
        found = found.copy()
        found[list(view.excluded)] = False
    return found


def nearest(similarities: Floats, k: int) -> Ints:
    """(b, k) the columns of the largest values of each row of (b, n), largest first."""
    best = np.argpartition(-similarities, k - 1, axis=1)[:, :k]
    found = np.take_along_axis(similarities, best, axis=1)
    return np.take_along_axis(best, np.lexsort((best, -found), axis=1), axis=1)


# -- neighbours --------------------------------------------------------------------------------


def length(view: View, k: int) -> int:
    """Of the lists that ``neighbours`` keeps."""
    rounded = -(-(k + SPARE) // ROUNDED) * ROUNDED
    return min(rounded, len(view.photos) - 1)


def neighbours(view: View, k: int, progress: Progress | None = None) -> Lists:
    """The k exact nearest neighbours of every photo and some to spare, nearest first.

    Values are cosines. No photo is its own neighbour; those without a descriptor have none.
    """
    x, most = view.vectors().vectors, length(view, k)
    n = len(x)

    def fill(lists: Lists) -> None:
        filled = described(view)
        lists["row"], lists["value"] = NOBODY, 0
        for part in blocks(n, 20 * n):
            values = np.asarray(x[part] @ x.T)
            values[:, ~filled] = -np.inf
            values[np.arange(len(values)), np.arange(part.start, part.stop)] = -np.inf
            best = nearest(values, most)
            found = np.take_along_axis(values, best, axis=1)
            real = np.isfinite(found) & filled[part][:, None]
            lists["row"][part] = np.where(real, best, NOBODY)
            lists["value"][part] = np.where(real, found, 0)
            if progress is not None:
                progress(part.stop, n, "nearest neighbours")

    key = {"method": "neighbours", "version": 1, "length": most}
    return array(view, "neighbours.npy", key, (n, most), LIST, fill)


def first(lists: Lists, k: int, excluded: frozenset[int]) -> tuple[Ints, Floats]:
    """The first k of each list without the excluded photos: rows (``NOBODY``: none), values."""
    if not excluded:
        lists = lists[:, :k]
    rows, values = lists["row"], lists["value"]
    legal = rows != NOBODY
    if excluded:
        legal &= ~np.isin(rows, list(excluded))
        legal &= np.cumsum(legal, axis=1) <= k
    return np.where(legal, rows, NOBODY), np.where(legal, values, 0)


# -- diffusion ---------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Walk:
    """How similarity spreads over the graph."""

    kd: int  # neighbours of a photo; an edge is where two have each other among them
    truncation: int  # photos around each that its row reaches
    gamma: float  # power of the cosine on an edge
    alpha: float  # share that goes on at each step, below 1

    @property
    def key(self) -> dict[str, Any]:
        return {"method": "diffusion", "version": 1, **dataclasses.asdict(self)}


def check_walk(spec: str, walk: Walk, kq: int) -> None:
    """Refuse what is no diffusion."""
    if min(walk.kd, walk.truncation, kq) < 1 or walk.gamma <= 0 or not 0 < walk.alpha < 1:
        raise PlaygroundError(
            f"{spec} is not possible. Legal: kq, kd and truncation of 1 or more, gamma above 0, "
            f"alpha between 0 and 1."
        )


def system(
    lists: Lists, walk: Walk, excluded: frozenset[int] = frozenset()
) -> scipy.sparse.csr_matrix:
    """I - alpha S, with S = D^(-1/2) A D^(-1/2) of the mutual neighbours' graph A."""
    n = len(lists)
    rows, values = first(lists, walk.kd, excluded)
    if excluded:
        rows[list(excluded)] = NOBODY
    start, place = np.nonzero(rows != NOBODY)
    edge = np.maximum(values[start, place].astype(np.float64), 0) ** walk.gamma
    given = scipy.sparse.csr_matrix((edge, (start, rows[start, place])), shape=(n, n))
    mutual = given.minimum(given.T)  # nothing where only one of them names the other
    degree = np.asarray(mutual.sum(axis=1)).ravel()
    scale = np.divide(1, np.sqrt(degree), out=np.zeros(n), where=degree > 0)
    scaled = scipy.sparse.diags(scale) @ mutual @ scipy.sparse.diags(scale)
    return scipy.sparse.csr_matrix(scipy.sparse.identity(n) - walk.alpha * scaled)


def solve(
    matrix: scipy.sparse.csr_matrix, x: Floats, nodes: Ints, walk: Walk, mask: NDArray[np.bool_]
) -> Iterator[tuple[Ints, Floats]]:
    """For each node the photos around it and its row of the inverse of ``matrix`` there."""
    n, reach = len(x), min(walk.truncation, len(x))
    everything = np.arange(n)
    for part in blocks(len(nodes), 20 * n):
        ids = None
        if reach < n:
            values = np.asarray(x[nodes[part]] @ x.T)
            values[:, ~mask] = -np.inf
            values[np.arange(len(values)), nodes[part]] = np.inf  # itself first
            ids = nearest(values, reach)
        for at, node in enumerate(nodes[part]):
            around = everything if ids is None else ids[at]
            local = matrix if ids is None else matrix[around][:, around]
            start = np.zeros(reach)
            start[node if ids is None else 0] = 1
            row, _ = cg(local, start, rtol=TOLERANCE, atol=0, maxiter=ITERATIONS)
            yield around, row.astype(np.float32)


def offline_rows(view: View, walk: Walk, spec: str, progress: Progress | None = None) -> Lists:
    """(n, truncation) the rows of all photos: where similarity at one ends up.

    Args:
        spec: the re-ranker that asks.
    """
    x = view.vectors().vectors
    n, reach = len(x), min(walk.truncation, len(x))

    def fill(rows: Lists) -> None:
        refuse_waiting(view, spec, progress)
        matrix = system(neighbours(view, walk.kd, progress), walk)
        found = solve(matrix, x, np.arange(n), walk, described(view))
        for node, (around, values) in enumerate(found):
            rows["row"][node], rows["value"][node] = around, values
            if progress is not None and (node % 64 == 0 or node == n - 1):
                progress(node + 1, n, "diffusion")

    return array(view, "diffusion.npy", walk.key, (n, reach), LIST, fill)


def rows_bytes(view: View, walk: Walk) -> int:
    """Bytes of ``offline_rows`` and of the neighbours that they are made from."""
    n = len(view.photos)
    return n * LIST.itemsize * (min(walk.truncation, n) + length(view, walk.kd))


def diffused(
    view: View, walk: Walk, spec: str, vector: Floats, sources: Ints
) -> NDArray[np.float64]:
    """(n,) similarity to a (D,) descriptor, spread from the photos ``sources``; 0: none arrives."""
    x = view.vectors().vectors
    weights = np.maximum(x[sources] @ vector, 0).astype(np.float64) ** walk.gamma
    total = np.zeros(len(x))
    if view.excluded:
        # The photos left out are part of the offline rows, so these few rows are made without.
        matrix = system(neighbours(view, walk.kd), walk, view.excluded)
        found = solve(matrix, x, sources, walk, allowed(view))
    else:
        rows = offline_rows(view, walk, spec)[sources]
        found = ((row["row"], row["value"]) for row in rows)
    for weight, (around, values) in zip(weights, found, strict=True):
        total[around] += weight * values
    total[~allowed(view)] = 0
    return total


def rerank(ranking: Ranking, view: View, walk: Walk, spec: str, vector: Floats, kq: int) -> Ranking:
    """By diffusion from the first kq photos; those that it does not reach stand behind."""
    scores = diffused(view, walk, spec, vector, ranking.rows[:kq])
    reached = np.flatnonzero(scores > 0)
    best = reached[np.argsort(-scores[reached], kind="stable")]
    return ranking.led_by(best, scores[best])
