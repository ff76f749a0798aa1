"""Search without a user interface: a collection, a recipe and a query -> ranked hits and timings.

    engine = SearchEngine()
    query = Query(decode(Path("photo.jpg")), box=(40, 30, 400, 300))
    result = engine.search("demo", Recipe.of("resnet50", "flat", "aqe:k=5"), query, k=10)

A query is described once and then searched by any number of recipes. The engine is safe to share
between threads: what it keeps is loaded once and never changed afterwards, and search parameters
go with the call.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import math
import os
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from collections.abc import Collection as Ids
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from data import artefact, store
from data.errors import Invalid, NotFound, PlaygroundError
from data.paths import HOME, artifacts_root, check_name, collections_root
from data.store import Collection
from extractors import registry as extractor_registry
from extractors.base import Features, crop
from indexing import registry as index_registry
from indexing.artefacts import (
    LoadedIndex,
    Vectors,
    build_command,
    extractor_folder,
    index_bytes,
    index_folder,
    index_manifest,
    index_version,
    load_index,
    load_vectors,
    vectors_manifest,
)
from indexing.base import Floats, SearchHits
from indexing.imported import stored_queries
from retrieval.cache import Cache
from retrieval.ranking import STAGES, Described, Hit, Query, Ranking, Recipe, SearchResult
from retrieval.rerank import registry as rerank_registry
from retrieval.rerank.base import Reranker
from retrieval.snapshot import Loaded, Snapshot
from retrieval.voting import default_neighbours, vote

Value = TypeVar("Value")

MAX_K = 10_000
_Stamp = tuple[int, int]
_UNIT = 1e-2  # how far from 1 the length of a unit vector may be: it may have been rounded
_TRIES = 5  # a build that replaces what is being loaded is waited for so often


@dataclasses.dataclass(frozen=True)
class IndexStats:
    """What an index costs; seconds are those of its build, on the machine that built it."""

    n: int
    dim: int
    bytes_per_vector: float
    build_s: float | None
    extract_s: float | None
    weights: str
    photos: int = 0
    bytes_per_photo: float = 0.0  # what each photo adds (local: many vectors)
    shared_bytes: int = 0  # what all photos share: centroids, codebooks, a rotation


class _Activity:
    """How many searches began, and how many run now."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self.begun = self.running = 0

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        with self._guard:
            self.begun += 1
            self.running += 1
        try:
            yield
        finally:
            with self._guard:
                self.running -= 1


class SearchEngine:
    """Loads what a search needs at its first use and keeps it.

    Args:
        max_extractors: loaded extractors kept at the same time (some 100 MB each with a network).
        max_indexes: loaded indexes kept.
        max_queries: described queries kept.
        max_k: largest legal ``k``; the evaluation raises it, as it ranks whole collections.
        max_kept: what re-rankers keep in memory, such as graphs and features of photos.
    """

    def __init__(
        self,
        max_extractors: int = 12,
        max_indexes: int = 96,
        max_queries: int = 256,
        max_k: int = MAX_K,
        max_kept: int = 4096,
    ) -> None:
        self._max_k = max_k
        self._collections: Cache[Collection] = Cache(16)
        self._extractors: Cache[Loaded] = Cache(max_extractors)
        self._indexes: Cache[LoadedIndex] = Cache(max_indexes)
        self._queries: Cache[Described] = Cache(max_queries)
        self._kept: Cache[Any] = Cache(max_kept)
        self._stats: Cache[IndexStats] = Cache(4 * max_indexes)
        self._activity = _Activity()

    # -- loading -------------------------------------------------------------------------------

    def collection(self, name: str) -> Collection:
        """The collection in its present state."""
        check_name(name, "collection")
        return self._collection(name, _stamp(str(collections_root() / name / artefact.MANIFEST)))

    def _collection(self, name: str, stamp: _Stamp) -> Collection:
        return self._collections.get((name, stamp), lambda: store.load(name))

    def loaded_for(self, members: Collection, extractor: str) -> Loaded:
        """The descriptors of exactly this state of a collection.

        Raises:
            PlaygroundError: there are none, or they are of another state.
        """
        spec = extractor_registry.canonical(extractor)
        return self._loaded_for(members, spec, _stamp(_manifests(members.name, spec, None)[1]))

    def _loaded_for(self, members: Collection, spec: str, stamp: _Stamp) -> Loaded:
        # Labels are no part of the fingerprint, but a result shows them: the object is the state.
        key = (members.name, id(members), spec, stamp)

        def load() -> Loaded:
            return Loaded(members, spec, *load_vectors(members, spec))

        return self._extractors.get(key, load)

    def _index(self, loaded: Loaded, index: str, stamp: _Stamp) -> LoadedIndex:
        name, spec = loaded.members.name, loaded.spec
        key = (name, spec, index, loaded.vectors.version, stamp)
        return self._indexes.get(key, lambda: load_index(name, spec, index, loaded.vectors))

    def _steady(self, manifests: Sequence[str], load: Callable[[Sequence[_Stamp]], Value]) -> Value:
        """Load what the manifests, looked at once, name; again where an error comes from a build
        that replaced something meanwhile."""
        stamps = tuple(map(_stamp, manifests))
        for _ in range(_TRIES):
            try:
                return load(stamps)
            except (PlaygroundError, FileNotFoundError):
                before, stamps = stamps, tuple(map(_stamp, manifests))
                if stamps == before:
                    raise
        return load(stamps)

    def _loaded(self, collection: str, extractor: str) -> Loaded:
        spec = extractor_registry.canonical(extractor)
        return self._steady(
            _manifests(collection, spec, None),
            lambda stamps: self._loaded_for(
                self._collection(collection, stamps[0]), spec, stamps[1]
            ),
        )

    def snapshot(
        self,
        collection: str,
        extractor: str,
        index: str,
        params: Mapping[str, int] | None = None,
        exclude: Ids[str] = (),
    ) -> Snapshot:
        """One state of everything that a search needs.

        Args:
            params: search parameters of the index type, over those of its spec.
            exclude: ids of photos to leave out; unknown ones are ignored.

        Raises:
            PlaygroundError: something is not built, with the command that builds it.
        """
        spec, chosen, manifests = _looked_up(*_here(), collection, extractor, index)

        def load(stamps: Sequence[_Stamp]) -> tuple[Loaded, LoadedIndex]:
            members = self._collection(collection, stamps[0])
            loaded = self._loaded_for(members, spec, stamps[1])
            return loaded, self._index(loaded, index, stamps[2])

        loaded, found = self._steady(manifests, load)
        rows = map(loaded.members.positions.get, exclude)
        excluded = frozenset(row for row in rows if row is not None)
        return Snapshot(self, loaded, found, {**chosen, **(params or {})}, excluded)

    def vectors(self, collection: str, extractor: str) -> Vectors:
        """The collection's descriptors, to look at and never to change."""
        return self._loaded(collection, extractor).vectors

    def opened(self, collection: str, extractor: str, index: str) -> tuple[Vectors, LoadedIndex]:
        """The descriptors and a built index over them, to look at and never to change."""
        state = self.snapshot(collection, extractor, index)
        return state.loaded.vectors, state.index

    def kept(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """Something derived from what was loaded; see ``View.kept``."""
        return cast(Value, self._kept.get(key, make))

    def without_queries(self) -> SearchEngine:
        """The same engine with nothing described yet: what it describes is measured anew."""
        fresh = copy.copy(self)
        fresh._queries = Cache(1)
        return fresh

    def activity(self) -> tuple[int, int]:
        """Searches that ever began, in all threads, and that run now."""
        return self._activity.begun, self._activity.running

    # -- queries -------------------------------------------------------------------------------

    def describe(self, collection: str, extractor: str, query: Query) -> Described:
        """Describe a query, or give back what was made of it before.

        Raises:
            PlaygroundError: nothing is built for this extractor, or no descriptor of this query
                was imported.
        """
        return self.described(self._loaded(collection, extractor), query)

    def described(self, loaded: Loaded, query: Query) -> Described:
        """``describe`` for a state that is loaded."""
        memo = (loaded.members.name, loaded.spec, loaded.vectors.version)

        def describe() -> Described:
            if extractor_registry.is_imported(loaded.spec) and query.id is not None:
                return _imported(loaded, query)
            made: list[Described] = []

            def make() -> Described:
                made.append(_describe(loaded, query))
                return made[0]

            found = self._queries.get((*memo, query.key, query.box), make)
            return found if made else dataclasses.replace(found, cold=False, earlier=True)

        return query.kept(("described", *memo), describe)

    # -- search --------------------------------------------------------------------------------

    def search(
        self,
        collection: str,
        recipe: Recipe,
        query: Query,
        k: int,
        *,
        params: Mapping[str, int] | None = None,
        exclude: Ids[str] = (),
    ) -> SearchResult:
        """Rank the collection's photos for a query.

        Args:
            k: results wanted, 1 to ``max_k``; a smaller collection gives what it has.
            params: search parameters of the index type, such as ``{"nprobe": 4}``.
            exclude: ids of photos that are no results and have no part in re-ranking: the query's
                own photo.

        Raises:
            PlaygroundError: nothing is built, or illegal values.
        """
        self._check_k(k)
        with self._activity.one():
            rerankers = [rerank_registry.create(spec) for spec in recipe.rerank]
            for one in rerankers:
                one.check(recipe)
            state = self.snapshot(collection, recipe.extractor, recipe.index, params, exclude)
            described = self.described(state.loaded, query)
            return self._ranked(recipe, state, described, k, query, rerankers)

    def search_vectors(
        self,
        collection: str,
        extractor: str,
        index: str,
        vectors: Floats,
        k: int,
        *,
        params: Mapping[str, int] | None = None,
        exclude: Ids[str] = (),
    ) -> SearchResult:
        """Rank the photos for descriptors that were made elsewhere; nothing is re-ranked.

        Args:
            vectors: (1, D) float32 as the extractor makes them, or (n, D) of a local one.

        Raises:
            PlaygroundError: nothing is built, illegal values, or no vectors of this extractor.
        """
        self._check_k(k)
        with self._activity.one():
            state = self.snapshot(collection, extractor, index, params, exclude)
            features = Features(_checked(state, vectors))
            described = Described(features, dict.fromkeys((*STAGES[:-1], "load"), 0.0), cold=False)
            recipe = Recipe(state.extractor, index_registry.canonical(index))
            return self._ranked(recipe, state, described, k, None, [])

    def _check_k(self, k: int) -> None:
        if not 1 <= k <= self._max_k:
            raise Invalid(f"k = {k} is not possible. Legal: 1 to {self._max_k}.")

    def _ranked(
        self,
        recipe: Recipe,
        state: Snapshot,
        described: Described,
        k: int,
        query: Query | None,
        rerankers: Sequence[Reranker],
    ) -> SearchResult:
        timings = {s: described.timings_ms[s] for s in STAGES[:-1]}
        notes = list(state.index.manifest["notes"])
        before: dict[int, int] = {}
        ranking = Ranking(np.empty(0, np.int64), np.empty(0, np.float32))
        timings["search"] = 0.0
        if described.empty:
            notes.append(
                f"{recipe.extractor} found nothing to describe in this crop. Choose a larger or "
                f"more detailed region."
            )
        else:
            wanted = max([k, *(one.depth for one in rerankers)])
            ranking, timings["search"] = _timed(
                lambda: _first(state, query, described.features, wanted)
            )
            if rerankers:
                before = {int(row): rank for rank, row in enumerate(ranking.rows, 1)}
        if query is not None and len(ranking):
            for spec, one in zip(recipe.rerank, rerankers, strict=True):
                if one.offline == "needed":
                    one.prepare(state)
                given = ranking
                ranking, timings[spec] = _timed(
                    lambda one=one, given=given: one.rerank(query, given, state)  # type: ignore[misc]
                )
                timings[spec] += ranking.spared_ms
                ranking = dataclasses.replace(ranking, spared_ms=0.0)
        hits = _hits(state, ranking, k, before)
        there = len(state.photos) - len(state.excluded)
        if hits and len(hits) < min(k, there):
            notes.append(
                f"{len(hits)} photos share a feature with the query."
                if state.local
                else f"{len(hits)} of {min(k, there)} wanted results: the index looked into a part "
                f"of the collection only."
            )
        timings["total"] = sum(timings.values())
        shown = {int(row) for row in ranking.rows[:k]}
        return SearchResult(
            collection=state.name,
            recipe=recipe,
            weights=state.loaded.vectors.source,
            metric=state.index.built.distance,
            k=k,
            box=None if query is None else query.box,
            hits=hits,
            timings_ms=timings,
            cold=described.cold,
            notes=(*notes, *ranking.notes),
            load_ms=described.timings_ms["load"],
            earlier=described.earlier,
            matches={
                state.photos[row].id: places
                for row, places in ranking.matches.items()
                if row in shown
            },
        )

    def neighbour_distances(
        self, collection: str, extractor: str, index: str, query: Query, k: int
    ) -> list[NDArray[np.float64]]:
        """How near the k vectors are that an index names, by exact distances (for recall@k).

        Local descriptors are not searched again where the same query object has been.

        Returns:
            For each vector of the query the exact squared L2 distances, ascending; fewer than k
            where the index found fewer. Empty for a query in which nothing was found to describe.

        Raises:
            PlaygroundError: like ``search``.
        """
        state = self.snapshot(collection, extractor, index)
        described = self.described(state.loaded, query)
        if described.empty:
            return []
        queries, found = described.features.vectors, state.index
        distances = []
        hits = _asked_before(state, query, k) or found.built.search(queries, k, state.params)
        for vector, (ids, _) in zip(queries, hits, strict=True):
            ids = ids[:k]
            rows = ids if found.rows is None else found.rows[ids]
            difference = np.asarray(state.loaded.vectors.vectors[rows], np.float64) - vector
            distances.append(np.sort((difference * difference).sum(axis=1)))
        return distances

    def stats(self, collection: str, extractor: str, index: str) -> IndexStats:
        """What the vectors and the index cost, from their manifests and build records."""
        spec = extractor_registry.canonical(extractor)
        stamps = tuple(map(_stamp, _manifests(collection, spec, index)))
        key = (collection, spec, index, artifacts_root(), stamps)
        return self._stats.get(key, lambda: self._read_stats(collection, spec, index))

    def _read_stats(self, collection: str, spec: str, index: str) -> IndexStats:
        vectors_folder = extractor_folder(collection, spec)
        folder = index_folder(collection, spec, index)
        vectors = vectors_manifest(collection, spec)
        built = index_manifest(collection, spec, index)
        if vectors is None or built is None:
            raise NotFound(
                f"The collection {collection} has no {index} index of {spec} yet.",
                command=f"python -m scripts.build --collection {collection} --extractors {spec} "
                f"--indexes {index}",
            )
        measured = artefact.read_record(vectors_folder)
        per_photo, shared = index_bytes(built, vectors["photos"])
        return IndexStats(
            n=built["n"],
            dim=built["d"],
            bytes_per_vector=built["bytes_per_vector"],
            build_s=artefact.read_record(folder).get("seconds"),
            extract_s=measured.get("seconds"),
            weights=str(vectors["identity"]["weights"].get("source", "")),
            photos=vectors["photos"],
            bytes_per_photo=per_photo,
            shared_bytes=shared,
        )


def _timed(work: Callable[[], Value]) -> tuple[Value, float]:
    """What the work gives, and the ms that it took."""
    start = time.perf_counter()
    value = work()
    return value, 1e3 * (time.perf_counter() - start)


def _describe(loaded: Loaded, query: Query) -> Described:
    photo, box, extractor = query.pixels(), query.box, loaded.extractor
    loading = time.perf_counter()
    cold = not extractor.loaded
    extractor.load()
    start = time.perf_counter()
    crop(photo, box)
    cropped = time.perf_counter()
    prepared = extractor.prepare(photo, box)
    ready = time.perf_counter()
    features = extractor.encode(extractor.describe(prepared))
    done = time.perf_counter()
    timings = {
        "decode": query.decode_ms,
        "crop": 1e3 * (cropped - start),
        "preprocess": 1e3 * (ready - cropped),
        "extract": 1e3 * (done - ready),
        "load": 1e3 * (start - loading) if cold else 0.0,
    }
    return Described(features, timings, cold)


def _checked(state: Snapshot, vectors: Floats) -> Floats:
    """Vectors from elsewhere as the extractor would have made them, or a sentence."""
    made = np.ascontiguousarray(vectors, np.float32)
    manifest, spec = state.loaded.vectors.manifest, state.extractor
    wanted = f"(n, {manifest['dim']})" if state.local else f"(1, {manifest['dim']})"
    if made.ndim != 2 or made.shape[1] != manifest["dim"] or (len(made) != 1 and not state.local):
        raise Invalid(f"The vectors have the shape {made.shape}. {spec} makes {wanted}.")
    lengths = np.linalg.norm(made, axis=1)
    wrong = ~np.isfinite(lengths)
    if manifest["normalised"]:
        wrong |= (np.abs(lengths - 1.0) > _UNIT) & (lengths > 0)  # zero: nothing was found
    if wrong.any():
        row = int(np.argmax(wrong))
        must = "length 1" if manifest["normalised"] else "finite numbers"
        raise Invalid(
            f"The vector in row {row} has the length {lengths[row]:.6g}; those of {spec} have "
            f"{must}. Send what describing a photo gives."
        )
    return made


def _imported(loaded: Loaded, query: Query) -> Described:
    """A query whose descriptor came with the collection's."""
    name, spec = loaded.members.name, loaded.spec
    stored = stored_queries(name, spec)
    row = stored.rows.get(str(query.id))
    if row is None:
        raise NotFound(
            f"{spec} has no descriptor of the query {query.id} of {name}; it "
            f"has {len(stored.rows):,}. Import the queries' descriptors too:",
            command=f"{build_command(name, spec)} --queries FILE",
        )
    times = dict.fromkeys((*STAGES[:-1], "load"), 0.0)
    return Described(Features(stored.vectors[row : row + 1]), times, cold=False)


def _asked_before(state: Snapshot, query: Query, k: int) -> SearchHits | None:
    """The neighbours that voted when this query was searched, where they begin with the k nearest.

    That of a graph or a refined index depends on how many are asked for.
    """
    if not state.local or state.index.built.name not in index_registry.basic():
        return None
    count, hits = query.made(_neighbours_key(state)) or (0, None)
    return hits if count >= k else None


def _neighbours_key(state: Snapshot) -> Hashable:
    index = state.index.manifest
    return ("neighbours", index["vectors_sha256"], index_version(index), *state.params.items())


def _first(state: Snapshot, query: Query | None, features: Features, k: int) -> Ranking:
    """What the index alone answers."""
    if not state.local:
        return state.search(features.vectors[0], k)
    offsets = state.loaded.vectors.offsets
    assert offsets is not None
    if state.index.rows is not None:  # the index lacks some rows: count its own
        offsets = np.searchsorted(state.index.rows, offsets).astype(np.int64)
    count = default_neighbours(len(offsets) - 1)
    hits = state.index.built.search(features.vectors, count, state.params)
    if query is not None:
        query.remember(_neighbours_key(state), (count, hits))
    votes = vote(state.index.built, features.vectors, offsets, count, hits=hits)
    ranking = Ranking(
        votes.photos,
        votes.votes.astype(np.float64),
        {"distance": votes.mean_distance, "votes": votes.votes},
    )
    return state.allowed(ranking, k)


def _hits(state: Snapshot, ranking: Ranking, k: int, before: Mapping[int, int]) -> list[Hit]:
    rows, scores = ranking.rows[:k].tolist(), ranking.scores[:k].tolist()
    distances = ranking.columns.get("distance")
    far = [math.nan] * len(rows) if distances is None else distances[:k].tolist()
    more = {name: v for name, v in ranking.columns.items() if name != "distance"}
    photos = state.photos
    return [
        Hit(
            rank=place + 1,
            id=photos[row].id,
            label=photos[row].label,
            distance=float(far[place]),
            score=float(scores[place]),
            columns={name: _number(values[place]) for name, values in more.items()} if more else {},
            before=before.get(row),
        )
        for place, row in enumerate(rows)
    ]


def _number(value: Any) -> float | int | None:
    """As JSON has it: whole numbers as such, None for NaN."""
    number = float(value)
    if np.isnan(number):
        return None
    return int(number) if number.is_integer() else number


def _stamp(manifest: str) -> _Stamp:
    """Changes whenever the artefact or collection that has this manifest is replaced."""
    try:
        stat = os.stat(manifest)
    except OSError:
        return (0, 0)
    return (stat.st_mtime_ns, stat.st_ino)


def _here() -> tuple[str | None, str]:
    """What ``artifacts_root`` follows from."""
    return os.environ.get(HOME), os.getcwd()


def _manifests(collection: str, spec: str, index: str | None) -> tuple[str, ...]:
    """Where the manifests of a collection, its vectors and an index are."""
    return _manifests_at(*_here(), collection, spec, index)


@functools.lru_cache(maxsize=4096)
def _manifests_at(
    home: str | None, folder: str, collection: str, spec: str, index: str | None
) -> tuple[str, ...]:
    del home, folder  # only part of the cache's key
    check_name(collection, "collection")
    folders = [collections_root() / collection, extractor_folder(collection, spec)]
    if index is not None:
        folders.append(index_folder(collection, spec, index))
    return tuple(str(folder / artefact.MANIFEST) for folder in folders)


@functools.lru_cache(maxsize=1024)
def _looked_up(
    home: str | None, folder: str, collection: str, extractor: str, index: str
) -> tuple[str, dict[str, Any], tuple[str, ...]]:
    """The extractor's canonical spec, the search parameters in the index's, and the manifests."""
    spec = extractor_registry.canonical(extractor)
    kind, overrides = index_registry.parse_index_spec(index)
    chosen = {name: overrides[name] for name in kind.search_names if name in overrides}
    return spec, chosen, _manifests_at(home, folder, collection, spec, index)
