"""Search without a user interface: (collection, extractor, index) -> ranked hits and timings.

    engine = SearchEngine()
    photo = decode(Path("photo.jpg"))
    query = engine.describe("demo", "resnet50", photo, box=(40, 30, 400, 300))
    result = engine.search("demo", "resnet50", "flat", query, k=10)

A query is described once and then searched in any number of indexes. The engine is safe to share
between threads: what it keeps is loaded once and never changed afterwards, and search parameters
go with the call.
"""

from __future__ import annotations

import dataclasses
import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from data import artefact, store
from data.base import Box, Photo
from data.errors import PlaygroundError
from data.paths import check_name, collections_root
from data.store import Collection
from extractors import registry as extractor_registry
from extractors.base import RGB, Extractor, Features, crop
from indexing import registry as index_registry
from indexing.artefacts import (
    LoadedIndex,
    Vectors,
    extractor_folder,
    index_folder,
    load_index,
    load_vectors,
)
from indexing.verification import RESIDUAL_PX, verify
from indexing.voting import vote

Value = TypeVar("Value")

STAGES = ("decode", "crop", "preprocess", "extract", "search", "verify")
MAX_K = 10_000
VERIFIED = 100  # photos that go through RANSAC (DELF's re-ranking)


@dataclasses.dataclass(frozen=True)
class Hit:
    """One result.

    Attributes:
        rank: from 1.
        distance: in the index's own measure, smaller is nearer: squared L2 (of unit vectors,
            0 to 4), or bits for LSH. Local descriptors: mean over the photo's votes.
        score: larger is better. Global descriptors: cosine, estimated where the index is
            approximate. Local: votes and inliers together.
        inliers, votes: local descriptors only; inliers is None beyond the verified photos.
    """

    rank: int
    id: str
    label: str | None
    distance: float
    score: float
    inliers: int | None = None
    votes: int | None = None


@dataclasses.dataclass(frozen=True)
class QueryDescriptor:
    """A described crop. ``timings_ms`` has decode, crop, preprocess, extract and load.

    ``cold``: the extractor was loaded by this call (``load`` ms, not part of the total).
    """

    collection: str
    extractor: str
    weights: str
    box: Box
    features: Features
    timings_ms: Mapping[str, float]
    cold: bool
    vectors_version: str


@dataclasses.dataclass(frozen=True)
class SearchResult:
    """Ranked hits of one extractor and one index.

    ``matches`` has, for verified photos of local descriptors, (m, 4) float32 rows x, y in the
    query's photo and x, y in the found one (px), for drawing.
    """

    collection: str
    extractor: str
    weights: str
    index: str
    metric: str
    k: int
    box: Box
    hits: list[Hit]
    timings_ms: dict[str, float]
    cold: bool
    notes: tuple[str, ...] = ()
    load_ms: float = 0.0  # of a cold start: reading the vectors and the network; not in the total
    matches: dict[str, Any] = dataclasses.field(default_factory=dict, repr=False)

    def to_json(self) -> dict[str, Any]:
        """The documented JSON form (see ``scripts.search``)."""
        hits = []
        for hit in self.hits:
            entry: dict[str, Any] = {
                "rank": hit.rank,
                "id": hit.id,
                "label": hit.label,
                "distance": hit.distance,
                "score": hit.score,
            }
            if hit.votes is not None:
                entry |= {"inliers": hit.inliers, "votes": hit.votes}
            hits.append(entry)
        return {
            "collection": self.collection,
            "extractor": self.extractor,
            "weights": self.weights,
            "index": self.index,
            "metric": self.metric,
            "k": self.k,
            "box": list(self.box),
            "hits": hits,
            "timings_ms": self.timings_ms,
            "cold": self.cold,
            "load_ms": self.load_ms,
            "notes": list(self.notes),
        }


@dataclasses.dataclass(frozen=True)
class IndexStats:
    """What an index costs; seconds are those of its build, on the machine that built it."""

    n: int
    dim: int
    bytes_per_vector: float
    build_s: float | None
    extract_s: float | None
    weights: str
    runtime: str
    build_params: dict[str, Any]
    search_params: dict[str, Any]
    notes: tuple[str, ...]
    photos: int = 0

    @property
    def bytes_per_photo(self) -> float:
        """The index's bytes over the collection's photos (local: many vectors each)."""
        return self.bytes_per_vector * self.n / max(1, self.photos)


@dataclasses.dataclass(frozen=True)
class _Loaded:
    vectors: Vectors
    extractor: Extractor


class _Cache(Generic[Value]):
    """Keeps the last few of something; makes each once however many threads ask."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._locks: dict[Hashable, threading.Lock] = {}
        self._guard = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        with self._guard:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            with self._guard:
                if key in self._values:
                    return self._values[key]
            value = make()
            with self._guard:
                self._values[key] = value
                self._locks.pop(key, None)
                while len(self._values) > self._size:
                    self._values.popitem(last=False)
            return value

    def peek(self, key: Hashable) -> bool:
        with self._guard:
            return key in self._values


class SearchEngine:
    """Loads what a search needs at its first use and keeps it.

    Args:
        max_extractors: loaded extractors kept at the same time (some 100 MB each with a network).
        max_indexes: loaded indexes kept.
        max_queries: described queries kept.
        max_k: largest legal ``k``; the evaluation raises it, as it ranks whole collections.
    """

    def __init__(
        self,
        max_extractors: int = 12,
        max_indexes: int = 96,
        max_queries: int = 256,
        max_k: int = MAX_K,
    ) -> None:
        self._max_k = max_k
        self._collections: _Cache[Collection] = _Cache(16)
        self._extractors: _Cache[_Loaded] = _Cache(max_extractors)
        self._indexes: _Cache[LoadedIndex] = _Cache(max_indexes)
        self._queries: _Cache[QueryDescriptor] = _Cache(max_queries)

    # -- loading -------------------------------------------------------------------------------

    def collection(self, name: str) -> Collection:
        """The collection in its present state."""
        check_name(name, "collection")
        return self._collections.get(
            (name, _stamp(collections_root() / name)), lambda: store.load(name)
        )

    def _loaded(self, collection: str, spec: str) -> _Loaded:
        members = self.collection(collection)
        folder = extractor_folder(collection, spec)
        key = (collection, spec, members.fingerprint, _stamp(folder))
        return self._extractors.get(key, lambda: _Loaded(*load_vectors(members, spec)))

    def _index(self, collection: str, spec: str, index: str, vectors: Vectors) -> LoadedIndex:
        folder = index_folder(collection, spec, index)
        key = (collection, spec, index, vectors.version, _stamp(folder))
        return self._indexes.get(key, lambda: load_index(collection, spec, index, vectors))

    def vectors(self, collection: str, extractor: str) -> Vectors:
        """The collection's descriptors, to look at and never to change."""
        return self._loaded(collection, extractor_registry.canonical(extractor)).vectors

    def opened(self, collection: str, extractor: str, index: str) -> tuple[Vectors, LoadedIndex]:
        """The descriptors and a built index over them, to look at and never to change."""
        spec = extractor_registry.canonical(extractor)
        vectors = self._loaded(collection, spec).vectors
        return vectors, self._index(collection, spec, index, vectors)

    # -- queries -------------------------------------------------------------------------------

    def describe(
        self,
        collection: str,
        extractor: str,
        photo: RGB,
        box: Box | None = None,
        key: str | None = None,
        decode_ms: float = 0.0,
    ) -> QueryDescriptor:
        """Describe a crop, or give back what was made of it before.

        Args:
            photo: (H, W, 3) upright RGB uint8.
            box: px of the photo, None for all of it.
            key: identifies the photo (a digest of its bytes); None: a digest of its pixels.
            decode_ms: what decoding the photo took, for the timing record.

        Raises:
            PlaygroundError: nothing is built for this extractor, or the box is not in the photo.
        """
        spec = extractor_registry.canonical(extractor)
        height, width = photo.shape[:2]
        box = box if box is not None else (0, 0, width, height)
        crop(photo, box)  # refuses a bad box before anything is loaded
        loading = time.perf_counter()
        loaded = self._loaded(collection, spec)
        version = loaded.vectors.version
        key = key or hashlib.sha256(np.ascontiguousarray(photo).tobytes()).hexdigest()
        cache_key = (collection, spec, version, key, tuple(box))

        def make() -> QueryDescriptor:
            return self._describe(loaded, collection, spec, photo, box, decode_ms, loading)

        return self._queries.get(cache_key, make)

    def _describe(
        self,
        loaded: _Loaded,
        collection: str,
        spec: str,
        photo: RGB,
        box: Box,
        decode_ms: float,
        loading: float,
    ) -> QueryDescriptor:
        extractor = loaded.extractor
        network = getattr(extractor, "load", None)
        cold = network is not None and not getattr(extractor, "loaded", True)
        if network is not None:
            network()
        start = time.perf_counter()
        crop(photo, box)
        cropped = time.perf_counter()
        prepared = extractor.prepare(photo, box)
        ready = time.perf_counter()
        features = extractor.encode(extractor.describe(prepared))
        done = time.perf_counter()
        timings = {
            "decode": decode_ms,
            "crop": 1e3 * (cropped - start),
            "preprocess": 1e3 * (ready - cropped),
            "extract": 1e3 * (done - ready),
            "load": 1e3 * (start - loading) if cold else 0.0,
        }
        return QueryDescriptor(
            collection,
            spec,
            loaded.vectors.source,
            box,
            features,
            timings,
            cold,
            loaded.vectors.version,
        )

    # -- search --------------------------------------------------------------------------------

    def search(
        self,
        collection: str,
        extractor: str,
        index: str,
        descriptor: QueryDescriptor,
        k: int,
        params: Mapping[str, int] | None = None,
    ) -> SearchResult:
        """Rank the collection's photos for a described query.

        Args:
            k: results wanted, 1 to ``max_k``; a smaller collection gives what it has.
            params: search parameters of the index type, such as ``{"nprobe": 4}``.

        Raises:
            PlaygroundError: nothing is built, the descriptor is of something else, or illegal
                values.
        """
        if not 1 <= k <= self._max_k:
            raise PlaygroundError(f"k = {k} is not possible. Legal: 1 to {self._max_k}.")
        spec = extractor_registry.canonical(extractor)
        kind, overrides = index_registry.parse_index_spec(index)
        chosen = {name: overrides[name] for name in kind.search_names if name in overrides}
        chosen.update(params or {})
        loaded = self._loaded(collection, spec)
        if descriptor.vectors_version != loaded.vectors.version:
            raise PlaygroundError(
                f"The query was described for {descriptor.extractor} of "
                f"{descriptor.collection}, not for the vectors of {spec} for {collection} that "
                f"are there now. Describe it again."
            )
        members = self.collection(collection)
        found = self._index(collection, spec, index, loaded.vectors)
        notes = list(found.manifest["notes"])
        rank = _rank_local if loaded.extractor.local else _rank_global
        norms = np.linalg.norm(descriptor.features.vectors, axis=1)
        matches: dict[str, Any] = {}
        hits: list[Hit] = []
        timings = dict.fromkeys(STAGES, 0.0)
        timings.update({s: descriptor.timings_ms[s] for s in STAGES[:4]})
        if len(norms) == 0 or not norms.any():
            notes.append(
                f"{spec} found nothing to describe in this crop. Choose a larger or more detailed "
                f"region."
            )
        else:
            hits, matches, spent = rank(members, loaded, found, descriptor, k, chosen)
            timings.update(spent)
        if len(hits) < min(k, len(members.photos)) and hits:
            notes.append(
                f"{len(hits)} of {min(k, len(members.photos))} wanted results: the index looked "
                f"into a part of the collection only."
                if not loaded.extractor.local
                else f"{len(hits)} photos share a feature with the query."
            )
        timings["total"] = sum(timings.values())
        metric = "inliers" if loaded.extractor.local else found.built.distance
        return SearchResult(
            collection,
            spec,
            loaded.vectors.source,
            index_registry.canonical(index),
            metric,
            k,
            descriptor.box,
            hits,
            timings,
            descriptor.cold,
            tuple(notes),
            descriptor.timings_ms["load"],
            matches,
        )

    def neighbour_distances(
        self,
        collection: str,
        extractor: str,
        index: str,
        descriptor: QueryDescriptor,
        k: int,
    ) -> list[NDArray[np.float64]]:
        """How near the k vectors are that an index names, by exact distances (for recall@k).

        Returns:
            For each vector of the query the exact squared L2 distances, ascending; fewer than k
            where the index found fewer. Empty for a query in which nothing was found to describe.

        Raises:
            PlaygroundError: like ``search``.
        """
        spec = extractor_registry.canonical(extractor)
        kind, overrides = index_registry.parse_index_spec(index)
        chosen: dict[str, Any] = {
            name: overrides[name] for name in kind.search_names if name in overrides
        }
        vectors = self._loaded(collection, spec).vectors
        queries = descriptor.features.vectors
        if not queries.any():
            return []
        found = self._index(collection, spec, index, vectors)
        distances = []
        hits = found.built.search(queries, k, chosen)
        for query, (ids, _) in zip(queries, hits, strict=True):
            rows = ids if found.rows is None else found.rows[ids]
            apart = np.asarray(vectors.vectors[rows], np.float64) - query
            distances.append(np.sort((apart * apart).sum(axis=1)))
        return distances

    def stats(self, collection: str, extractor: str, index: str) -> IndexStats:
        """What the vectors and the index cost, from their manifests and build records."""
        spec = extractor_registry.canonical(extractor)
        vectors_folder = extractor_folder(collection, spec)
        folder = index_folder(collection, spec, index)
        vectors = artefact.read_manifest(vectors_folder)
        built = artefact.read_manifest(folder)
        if vectors is None or built is None:
            raise PlaygroundError(
                f"The collection {collection} has no {index} index of {spec} yet. Run: "
                f"python -m scripts.build --collection {collection} --extractors {spec} "
                f"--indexes {index}"
            )
        measured = artefact.read_record(vectors_folder)
        return IndexStats(
            n=built["n"],
            dim=built["d"],
            bytes_per_vector=built["bytes_per_vector"],
            build_s=artefact.read_record(folder).get("seconds"),
            extract_s=measured.get("seconds"),
            weights=str(vectors["identity"]["weights"].get("source", "")),
            runtime=str(measured.get("runtime", "")),
            build_params=built["build"],
            search_params=built["search"],
            notes=tuple(built["notes"]),
            photos=vectors["photos"],
        )


def _stamp(folder: Any) -> tuple[int, int]:
    """Changes whenever the artefact or collection in the folder is replaced."""
    try:
        stat = (folder / artefact.MANIFEST).stat()
    except OSError:
        return (0, 0)
    return (stat.st_mtime_ns, stat.st_ino)


def _residual(photo: Photo, extractor: Extractor) -> float:
    """RANSAC's residual in px of the photo: DELF's 10 px, at the size the features are made at.

    Their cells are ``STRIDE`` px apart at that size, so a photo that was shrunk more has coarser
    places.
    """
    longer = max(photo.width, photo.height)
    extracted = min(longer, extractor.image_size or longer)
    return RESIDUAL_PX * longer / extracted


Ranked = tuple[list[Hit], dict[str, Any], dict[str, float]]


def _rank_global(
    members: Collection,
    loaded: _Loaded,
    found: LoadedIndex,
    descriptor: QueryDescriptor,
    k: int,
    params: dict[str, Any],
) -> Ranked:
    start = time.perf_counter()
    ids, distances = found.built.search(descriptor.features.vectors, k, params)[0]
    scores = found.built.scores(distances)
    if found.rows is not None:
        ids = found.rows[ids]
    spent = {"search": 1e3 * (time.perf_counter() - start)}
    hits = []
    for rank, (row, distance, score) in enumerate(zip(ids, distances, scores, strict=True), 1):
        photo = members.photos[int(row)]
        hits.append(Hit(rank, photo.id, photo.label, float(distance), float(score)))
    return hits, {}, spent


def _rank_local(
    members: Collection,
    loaded: _Loaded,
    found: LoadedIndex,
    descriptor: QueryDescriptor,
    k: int,
    params: dict[str, Any],
) -> Ranked:
    start = time.perf_counter()
    vectors, query = loaded.vectors, descriptor.features
    assert vectors.offsets is not None and vectors.geometry is not None
    assert query.geometry is not None
    offsets = vectors.offsets
    if found.rows is not None:  # the index lacks some rows: count its own
        offsets = np.searchsorted(found.rows, offsets).astype(np.int64)
    votes = vote(found.built, query.vectors, offsets, params=params)
    voted = time.perf_counter()
    photos = votes.photos[: max(k, VERIFIED)]
    ranked = []
    matches: dict[str, Any] = {}
    for place, position in enumerate(photos):
        inliers: int | None = None
        if place < VERIFIED:
            first, last = vectors.offsets[position], vectors.offsets[position + 1]
            photo = members.photos[int(position)]
            geometry = np.asarray(vectors.geometry[first:last])
            checked = verify(
                query.geometry[:, :2],
                query.vectors,
                geometry[:, :2],
                np.asarray(vectors.vectors[first:last]),
                residual_px=_residual(photo, loaded.extractor),
            )
            inliers = checked.inliers
            if inliers:
                matches[photo.id] = np.hstack(
                    [
                        query.geometry[checked.matches[:, 0], :2],
                        geometry[checked.matches[:, 1], :2],
                    ]
                )
        ranked.append((inliers, place))
    # Inliers count beside the votes, not before them: cells of a coarse map fit some affine map by
    # chance. Stable: photos with as much of both keep the order of their votes.
    ranked.sort(key=lambda entry: (-(entry[0] or 0) - int(votes.votes[entry[1]]), entry[1]))
    hits = []
    for rank, (inliers, place) in enumerate(ranked[:k], 1):
        photo = members.photos[int(photos[place])]
        hits.append(
            Hit(
                rank,
                photo.id,
                photo.label,
                float(votes.mean_distance[place]),
                float((inliers or 0) + int(votes.votes[place])),
                inliers,
                int(votes.votes[place]),
            )
        )
    spent = {
        "search": 1e3 * (voted - start),
        "verify": 1e3 * (time.perf_counter() - voted),
    }
    return hits, matches, spent
