"""What the command line and the REST API read and answer: one form of everything, as JSON."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Collection as Ids
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# Pydantic reads no other TypedDict before Python 3.12.
from typing_extensions import TypedDict

from data import decoding, photos, store
from data.base import Box, Photo
from data.errors import Invalid, NotFound, PlaygroundError
from data.specs import Row
from data.store import Collection
from extractors import registry as extractor_registry
from indexing import registry as index_registry
from indexing.jobs import Job
from retrieval.compare import own_photos
from retrieval.engine import SearchEngine
from retrieval.ranking import STAGES, Query
from retrieval.rerank import registry as rerank_registry

DESCRIBING = STAGES[:-1]  # stages that a query goes through once per extractor


class Found(TypedDict):
    """One hit; with what re-ranking counted besides: votes, inliers, rank_before."""

    rank: int
    id: str
    label: str | None
    distance: float | None
    score: float


class Answer(TypedDict):
    """One recipe's result, as ``scripts.search --json`` prints it."""

    collection: str
    extractor: str
    weights: str
    index: str
    rerank: list[str]
    metric: str
    k: int
    box: list[int] | None
    hits: list[Found]
    timings_ms: dict[str, float]
    cold: bool
    load_ms: float
    notes: list[str]


class Searched(TypedDict):
    """One photo by several recipes."""

    photo: str | None  # its id, or the file's name
    excluded: list[str]
    results: list[Answer]  # one per recipe, in their order


class Described(TypedDict):
    """A photo's descriptors: ``vectors`` (n, D), ``geometry`` (n, 4) of local ones."""

    collection: str
    extractor: str
    weights: str
    dim: int
    box: list[int]
    vectors: list[list[float]]
    geometry: list[list[float]] | None
    timings_ms: dict[str, float]
    cold: bool
    load_ms: float


class Catalogue(TypedDict):
    """What there is of a kind."""

    items: list[dict[str, Any]]


class BuildState(TypedDict):
    """Where a build is; ``state``: running, done, failed or cancelled."""

    id: str
    collection: str
    state: str
    fraction: float
    eta_s: float | None
    waiting: str
    error: str
    stages: list[dict[str, Any]]


CATALOGUES: dict[str, tuple[Mapping[str, Row], Any]] = {
    "extractors": (extractor_registry.ROWS, extractor_registry.card),
    "indexes": (index_registry.TYPES, index_registry.card),
    "rerankers": (rerank_registry.RERANKERS, rerank_registry.card),
}


def box_of(text: str) -> Box:
    """ "X0,Y0,X1,Y1" in px of the upright photo, half-open."""
    try:
        x0, y0, x1, y1 = (int(part) for part in text.split(","))
    except ValueError:
        raise Invalid(
            f"{text[:60]!r} is not a box. Legal: X0,Y0,X1,Y1, four whole numbers in px, such as "
            f"40,30,400,300."
        ) from None
    return x0, y0, x1, y1


def params_of(texts: Sequence[str]) -> dict[str, int]:
    """Search parameters of an index: "nprobe=4" and the like."""
    params = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            params[name] = int(value)
        except ValueError:
            raise Invalid(f"{text[:60]!r} is not NAME=NUMBER, such as nprobe=4.") from None
    return params


def query_of(
    data: bytes | Path, box: Box | None = None, *, max_pixels: int = photos.MAX_PIXELS, **more: Any
) -> Query:
    """A photo that is no collection's, decoded; the time of that is in its record.

    Args:
        more: of ``Query``: ``right`` and ``wrong``.
    """
    start = time.perf_counter()
    if isinstance(data, bytes):  # sent by somebody: it may be anything
        pixels = decoding.decode(data, max_pixels=max_pixels)
    else:
        pixels = photos.decode(data, max_pixels=max_pixels)
    decode_ms = 1e3 * (time.perf_counter() - start)
    key = hashlib.sha256(data).hexdigest() if isinstance(data, bytes) else None
    return Query(pixels, box, key=key, decode_ms=decode_ms, **more)


def query_in(
    members: Collection, photo_id: str, box: Box | None = None, exclude: Ids[str] = (), **more: Any
) -> tuple[Query, list[str]]:
    """A photo or query of the collection, by its own box unless another is given.

    Args:
        more: of ``Query``: ``right`` and ``wrong``.

    Returns:
        The query, and the ids that its results leave out: its own photo, and ``exclude``.
    """
    photo = members.find(photo_id)
    query = Query.of_photo(members, photo, box, **more)
    return query, sorted(own_photos(members, photo) | set(exclude))


def picture(members: Collection, photo_id: str, side: int | None = None) -> tuple[bytes, str]:
    """A photo's own file and its media type; with ``side`` a JPEG of so many px at most."""
    one = members.find(photo_id)
    if side is not None:
        return photos.encode_jpeg(members.read(one, longer_side=side), quality=85), "image/jpeg"
    content = members.content(one)
    form = photos.read_header(content).format
    return content, "image/jpeg" if form == "MPO" else f"image/{form.lower()}"


def description(engine: SearchEngine, collection: str, extractor: str, query: Query) -> Described:
    """A query's descriptors: ``vectors`` (n, D), and ``geometry`` (n, 4) of local ones."""
    described = engine.describe(collection, extractor, query)
    vectors, geometry = described.features.vectors, described.features.geometry
    times = {name: ms for name, ms in described.timings_ms.items() if name != "load"}
    return {
        "collection": collection,
        "extractor": extractor_registry.canonical(extractor),
        "weights": engine.vectors(collection, extractor).source,
        "dim": vectors.shape[1],
        "box": list(query.box),
        "vectors": vectors.tolist(),
        "geometry": None if geometry is None else geometry.tolist(),
        "timings_ms": times | {"total": sum(times.values())},
        "cold": described.cold,
        "load_ms": described.timings_ms["load"],
    }


def catalogue(kind: str) -> Catalogue:
    """Every method of a kind (see ``CATALOGUES``) with its card, where its packages are here."""
    rows, card = CATALOGUES[kind]
    listed = []
    for name, row in rows.items():
        entry: dict[str, Any] = {"name": name, "title": row.title}
        try:
            entry |= {"card": dataclasses.asdict(card(name))}
        except PlaygroundError as error:
            entry |= {"missing": str(error)}
        listed.append(entry)
    return {"items": listed}


def counts(name: str) -> dict[str, Any]:
    """What a collection holds now, and its state."""
    found = store.summary(name)
    return {key: found[key] for key in (*_COUNTS, "fingerprint")}


_SUMMARY = ("name", "title", "description", "licence", "author", "fingerprint")
_COUNTS = ("photos", "queries", "landmarks")


def summary(name: str) -> dict[str, Any]:
    """A collection's header and counts; a damaged one says so, and hides no other."""
    try:
        found = store.summary(name)
    except NotFound:
        raise
    except PlaygroundError as error:
        return {"name": name, "error": str(error)}
    return {key: found[key] for key in (*_SUMMARY, *_COUNTS)}


def collection(name: str, offset: int, limit: int) -> dict[str, Any]:
    """A collection: its header, what is built, and a part of its photos."""
    from indexing.status import collection_status  # loads torch

    members = store.load(name)
    return {
        **summary(name),
        "built": [
            {
                "extractor": one.extractor,
                "state": one.state,
                "weights": one.weights,
                "dim": one.dim,
                "vectors": one.n,
                "message": one.message,
                "indexes": [
                    {
                        "index": index.index,
                        "state": index.state,
                        "bytes_per_photo": index.bytes_per_photo,
                        "message": index.message,
                    }
                    for index in one.indexes
                ],
            }
            for one in collection_status(name)
        ],
        "query_ids": [query.id for query in members.queries],
        "offset": offset,
        "photo_list": [photo(one) for one in members.photos[offset : offset + limit]],
    }


def photo(one: Photo) -> dict[str, Any]:
    """What is known of a photo but where it lies."""
    fields = ("id", "width", "height", "sha256", "label", "title", "author", "licence", "url")
    return {field: getattr(one, field) for field in fields}


def job(one: Job) -> BuildState:
    """Where a build is; ``eta_s`` is of the stage that runs."""
    current = one.current
    return {
        "id": one.id,
        "collection": one.collection,
        "state": one.state,
        "fraction": one.fraction,
        "eta_s": None if current is None else current.eta_s,
        "waiting": one.waiting,
        "error": one.error,
        "stages": [dataclasses.asdict(stage) for stage in one.stages],
    }
