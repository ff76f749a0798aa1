"""The queries that indexes are measured with, and how their answers are judged.

They are the collection's own queries as the extractor describes them; where it has none, its
photos, each of which is then left out of its own results.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from data import artefact, store
from data.base import Photo
from data.errors import PlaygroundError
from data.store import Collection
from evaluation import metrics, registry
from evaluation.base import Protocol, Truth
from evaluation.tradeoffs.padding import VectorSet
from evaluation.tradeoffs.rows import points_path
from indexing.base import Floats, Ints
from retrieval.compare import is_photo
from retrieval.engine import SearchEngine
from retrieval.ranking import Query

MOST = 500  # queries; of more a seeded draw
DEPTH = 100  # ranks that mAP looks at
_SEED = 0


@dataclasses.dataclass(frozen=True)
class Questions:
    """Queries with their ground truth.

    Attributes:
        ids: of the queries.
        vectors: (nq, D) float32, contiguous.
        own: (nq,) int64: the row of the query's own photo, which is left out; -1 for none.
        truths: the landmarks' photos; None where nothing is known.
    """

    ids: tuple[str, ...]
    vectors: Floats
    own: Ints
    truths: tuple[Truth | None, ...]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def version(self) -> str:
        """Identifies the queries and their ground truth."""
        truths = [
            [sorted(truth.positives), sorted(truth.junk)] if truth else None
            for truth in self.truths
        ]
        parts = [list(self.ids), self.own.tolist(), truths, self.vectors.tobytes().hex()]
        return artefact.digest(parts)

    def without_own(self, rows: Ints, k: int) -> list[Ints]:
        """The first k rows of each answer (nq, >= k), own photo and padding (-1) left out."""
        return [
            found[(found >= 0) & (found != own)][:k]
            for found, own in zip(rows, self.own, strict=True)
        ]

    def mean_ap(self, answers: Sequence[Ints], vectors: VectorSet) -> float:
        """mAP@100: AP as in ``metrics.average_precision_at_k``, distractors being wrong answers.

        Args:
            answers: rows per query, nearest first, own photo left out.

        Returns:
            NaN where no query has an answer.
        """
        values = []
        for rows, truth in zip(answers, self.truths, strict=True):
            if truth is None or not truth.positives:
                continue
            names = [vectors.photo_id(int(row)) or f"distractor {row}" for row in rows]
            ranking = [name for name in names if name not in truth.junk]
            flags = metrics.relevance_flags(ranking, truth.positives)
            values.append(metrics.average_precision_at_k(flags, len(truth.positives), DEPTH))
        return metrics.mean(values) if values else math.nan


def ask(vectors: VectorSet, engine: SearchEngine | None = None) -> Questions:
    """The queries of a set's collection.

    Their descriptors are kept beside the points: describing 50 photos takes longer than asking a
    small index.

    Raises:
        PlaygroundError: a query cannot be described.
    """
    members = store.load(vectors.collection)
    protocol = registry.choose("auto", members)
    chosen = _chosen(members, protocol)
    rows = {one: row for row, one in enumerate(vectors.ids)}
    queries, own = [], []
    for query in chosen:
        photo = query.box is None and is_photo(members, query)
        itself = rows.get(query.id, -1) if photo else -1
        queries.append(query)
        own.append(itself)
    described = _described(vectors, members, queries, own, engine)
    usable = np.flatnonzero(described.any(axis=1))
    if len(usable) == 0:
        raise PlaygroundError(
            f"The collection {vectors.collection} has no query in which {vectors.extractor} finds "
            f"something, so recall cannot be measured. Add photos or queries to it."
        )
    return Questions(
        tuple(queries[i].id for i in usable),
        np.ascontiguousarray(described[usable], np.float32),
        np.asarray(own, np.int64)[usable],
        tuple(_truth(members, protocol, queries[i]) for i in usable),
    )


def _chosen(members: Collection, protocol: Protocol) -> list[Photo]:
    found = list(protocol.queries(members)) or list(members.photos)
    if len(found) <= MOST:
        return found
    drawn = np.random.default_rng(_SEED).choice(len(found), MOST, replace=False)
    return [found[i] for i in sorted(drawn)]


def _truth(members: Collection, protocol: Protocol, query: Photo) -> Truth | None:
    try:
        truth = protocol.truths(members, query)[protocol.main]
    except PlaygroundError:
        return None
    return truth if truth.positives else None


def _described(
    vectors: VectorSet,
    members: Collection,
    queries: list[Photo],
    own: list[int],
    engine: SearchEngine | None,
) -> Floats:
    """(nq, D): a photo of the collection has its vector already."""
    asked = [query for query, row in zip(queries, own, strict=True) if row < 0]
    found = _stored(vectors, members, asked, engine) if asked else iter(())
    rows = [np.asarray(vectors.vectors[row]) if row >= 0 else next(found) for row in own]
    return np.stack(rows).astype(np.float32)


def _stored(
    vectors: VectorSet, members: Collection, asked: list[Photo], engine: SearchEngine | None
) -> Iterator[Floats]:
    """The descriptors of queries that are no photos of the collection, in their order."""
    folder = points_path(vectors.collection, vectors.extractor).parent / "queries"
    key = {
        "kind": "described queries",
        "vectors": vectors.photos_version,
        "queries": artefact.digest([[q.id, q.sha256, list(q.box or ())] for q in asked]),
    }
    manifest = artefact.read_manifest(folder)
    if manifest is None or any(manifest.get(name) != value for name, value in key.items()):
        engine = engine or SearchEngine(max_queries=1)
        rows = [
            engine.describe(
                members.name, vectors.extractor, Query.of_photo(members, query)
            ).features.vectors[0]
            for query in asked
        ]
        matrix = np.stack(rows).astype(np.float32)

        def write(path: Path) -> None:
            with open(path, "wb") as handle:
                np.save(handle, matrix, allow_pickle=False)

        def write_ids(path: Path) -> None:
            path.write_text(json.dumps([query.id for query in asked]), encoding="utf-8")

        with artefact.explain_os_errors("Keeping the described queries"):
            manifest = artefact.save(
                folder, key, {"queries.npy": write, "query_ids.json": write_ids}
            )
    mend = f"python -m scripts.benchmark index --collection {members.name}"
    path = artefact.file_path(folder, manifest, "queries.npy", mend)
    return iter(np.load(path, allow_pickle=False))
