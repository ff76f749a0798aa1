"""What all FAISS indexes share: searching without side effects, saving, loading, checking."""

from __future__ import annotations

import abc
import contextvars
import functools
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from data.errors import PlaygroundError
from indexing.base import (
    BuiltIndex,
    Floats,
    IndexType,
    Ints,
    Plan,
    SearchHits,
    SearchParameter,
    check_vectors,
    in_order,
)
from indexing.faiss_settings import faiss, reading, reason, search_threads

# Of the build that this thread is at: training and adding happen within ``_make_index``.
_seconds: contextvars.ContextVar[list[tuple[float, float]]] = contextvars.ContextVar("seconds")
_MOST_TIES = 4_096  # neighbours asked for at most while settling a tie at the last place


class FaissIndex(BuiltIndex):
    """A FAISS index behind the contract."""

    def __init__(
        self,
        name: str,
        index: Any,
        plan: Plan,
        *,
        code_size: int,
        parameters: Mapping[str, SearchParameter] | None = None,
        make: Callable[[dict[str, int]], Any] | None = None,
        settle_ties: bool = False,
        distance: str = "l2",
    ) -> None:
        """Wrap an index.

        Args:
            make: from the search parameters to a faiss.SearchParameters; None: there is none.
            settle_ties: FAISS keeps an arbitrary one of the equally near vectors at place k, so
                ask for more of them (Flat, LSH and PQ keep the lowest ids by themselves).
        """
        self.name = name
        self.plan = plan
        self.distance = distance
        self.n = int(index.ntotal)
        self.d = int(index.d)
        self._index = index
        self.code_size = code_size
        self.search_parameters = dict(parameters or {})
        self._make = make
        self._settle_ties = settle_ties

    def _search_object(self, params: Mapping[str, int] | None) -> Any:
        """The faiss.SearchParameters of a call, only to be read; None where there are none."""
        if not params:
            return self._usual
        values = self.choose(params)
        return self._make(values) if self._make else None

    @functools.cached_property
    def _usual(self) -> Any:
        return self._make(self.choose(None)) if self._make else None

    def inspect(self) -> Any:
        return self._index

    def searcher(
        self, params: Mapping[str, int] | None = None
    ) -> Callable[[Floats, int], tuple[Floats, Ints]]:
        # FAISS's own call, so that its time compares with anybody's script.
        return functools.partial(self._index.search, params=self._search_object(params))

    def search(
        self, queries: Floats, k: int, params: Mapping[str, int] | None = None
    ) -> SearchHits:
        queries = self.check_queries(queries, k)
        made = self._search_object(params)
        k = min(k, self.n)
        with search_threads(len(queries)):
            if not self._settle_ties or k == self.n:
                distances, ids = self._ask(queries, k, made)
            else:
                distances, ids = self._ask_with_ties(queries, k, made)
        return SearchHits.from_padded(distances, ids)

    def _ask(self, queries: Floats, k: int, made: Any) -> tuple[Floats, Ints]:
        if len(queries) == 0:
            return np.empty((0, k), np.float32), np.empty((0, k), np.int64)
        try:
            distances, ids = self._index.search(queries, k, params=made)
        except (RuntimeError, MemoryError) as error:
            raise PlaygroundError(
                f"The {self.name} index cannot be searched: {reason(error)}. Its file may be "
                f"damaged: build the index again."
            ) from error
        if int(ids.max()) >= self.n:  # only a damaged file can hold such an id
            raise PlaygroundError(
                f"The {self.name} index names a vector that does not exist: its file is damaged. "
                f"Build the index again."
            )
        return distances, ids

    def _ask_with_ties(self, queries: Floats, k: int, made: Any) -> tuple[Floats, Ints]:
        """The k nearest by (distance, id), also where place k and k + 1 are equally near."""
        wide = k + 1
        distances, ids = self._ask(queries, wide, made)
        if in_order(distances, ids):
            return distances[:, :k], ids[:, :k]
        order = np.lexsort((ids, distances), axis=-1)
        distances = np.take_along_axis(distances, order, -1)
        ids = np.take_along_axis(ids, order, -1)
        open_rows = np.flatnonzero((distances[:, k - 1] == distances[:, k]) & (ids[:, k] >= 0))
        distances, ids = distances[:, :k].copy(), ids[:, :k].copy()
        while len(open_rows) and wide < min(self.n, max(_MOST_TIES, 2 * k)):
            wide = min(self.n, 4 * wide + 64)
            more, more_ids = self._ask(queries[open_rows], wide, made)
            missing = more_ids < 0
            order = np.lexsort((more_ids, np.where(missing, np.inf, more), missing), axis=-1)
            more = np.take_along_axis(more, order, -1)
            more_ids = np.take_along_axis(more_ids, order, -1)
            distances[open_rows], ids[open_rows] = more[:, :k], more_ids[:, :k]
            still = (more[:, k - 1] == more[:, -1]) & (more_ids[:, -1] >= 0)
            open_rows = open_rows[still]
        return distances, ids

    def save(self, path: Path) -> None:
        # A Python file instead of a file name: FAISS opens names with fopen, which fails for
        # non-ASCII folders on Windows and hides the reason (a full disk) elsewhere.
        with open(path, "wb") as handle:
            writer = faiss.PyCallbackIOWriter(handle.write)
            faiss.write_index(self._index, writer)

    @functools.cached_property
    def size_bytes(self) -> int:
        total = 0

        def count(part: bytes) -> int:
            nonlocal total
            total += len(part)
            return len(part)

        faiss.write_index(self._index, faiss.PyCallbackIOWriter(count))
        return total


class FaissType(IndexType):
    """The steps that all FAISS types share."""

    file = "index.faiss"
    metric_type: ClassVar[int] = faiss.METRIC_L2

    @abc.abstractmethod
    def _make_index(self, vectors: Floats, plan: Plan) -> Any:
        """Train and fill; may raise RuntimeError (FAISS's own)."""

    @abc.abstractmethod
    def _mismatch(self, index: Any, d: int, plan: Plan) -> str | None:
        """What of a loaded index is not as planned; None where all is."""

    @abc.abstractmethod
    def _wrap(self, index: Any, plan: Plan) -> FaissIndex:
        """Behind the contract."""

    def build(self, vectors: Floats, plan: Plan) -> BuiltIndex:
        vectors = check_vectors(vectors, self.name)
        spent = _seconds.set([])
        try:
            index = self._make_index(vectors, plan)
            steps = _seconds.get()
        except (RuntimeError, MemoryError) as error:
            raise PlaygroundError(
                f"The {self.name} index of {len(vectors)} vectors of {vectors.shape[1]} numbers "
                f"with {plan.build} cannot be built: {reason(error)}. Choose other parameters, "
                f"or the index 'flat', which always can be built."
            ) from error
        finally:
            _seconds.reset(spent)
        built = self._wrap(index, plan)
        built.seconds = steps[-1] if steps else None
        return built

    def load(self, path: Path, manifest: Mapping[str, Any]) -> BuiltIndex:
        try:
            n, d = int(manifest["n"]), int(manifest["d"])
            plan = Plan(dict(manifest["build"]), {k: int(v) for k, v in manifest["search"].items()})
            reference = self.plan(n, d, {**plan.build, **plan.search})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise PlaygroundError(
                f"The manifest beside {path} does not describe a {self.name} index ({error!r}). "
                f"Build the index again."
            ) from error
        if reference.build != plan.build or reference.search != plan.search:
            raise PlaygroundError(
                f"The manifest beside {path} has the parameters {plan.build} {plan.search}, "
                f"which are not those of a {self.name} index. Build the index again."
            )
        index = read(path)
        wrong: str | None
        if (index.d, index.ntotal) != (d, n):
            wrong = f"{index.ntotal} vectors of {index.d} numbers instead of {n} of {d}"
        elif not index.is_trained:
            wrong = "an untrained index"
        elif index.metric_type != self.metric_type:
            wrong = "another metric"
        else:
            wrong = self._mismatch(index, d, plan)
        if wrong:
            raise PlaygroundError(
                f"{path} holds {wrong}: it is not the {self.name} index of its manifest. Build "
                f"the index again."
            )
        return self._wrap(index, plan)


def fill(
    index: Any, vectors: Floats, training: Floats | None = None, block: int | None = None
) -> None:
    """Train and add, and note the seconds of both (see ``FaissIndex.seconds``).

    Args:
        training: what to train on; the vectors where omitted.
        block: rows added at a time; all where omitted.
    """
    start = time.perf_counter()
    index.train(vectors if training is None else training)
    trained = time.perf_counter()
    block = block or max(1, len(vectors))
    for begin in range(0, len(vectors), block):
        index.add(vectors[begin : begin + block])
    _seconds.get().append((trained - start, time.perf_counter() - trained))


def read(path: Path) -> Any:
    """A FAISS index from an untrusted file.

    Raises:
        PlaygroundError: there is no such file, or it is damaged.
    """
    try:
        with open(path, "rb") as handle:
            size = os.fstat(handle.fileno()).st_size
            with reading(size):
                index = faiss.read_index(faiss.PyCallbackIOReader(handle.read))
            rest = size - handle.tell()
    except FileNotFoundError:
        raise PlaygroundError(f"{path} is missing. Build the index again.") from None
    except (RuntimeError, MemoryError) as error:
        raise PlaygroundError(
            f"{path} is damaged: {reason(error)}. Build the index again."
        ) from error
    if rest:
        raise PlaygroundError(
            f"{path} is damaged: {rest} bytes follow the index. Build the index again."
        )
    return index


def wrong_class(index: Any, wanted: str) -> str | None:
    """A sentence's part when a loaded index is of another class."""
    found = type(index).__name__
    return None if found == wanted else f"an {found} instead of an {wanted}"
