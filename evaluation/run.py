"""The evaluator: every query through extractors and indexes, judged by a protocol.

    rows = evaluate("demo", ["hog", "resnet50"], ["flat", "pq"], reranks=["none", "aqe"])
    print(rows[0].map, rows[0].compare(rows[1]).p_value)

A query is described once per extractor and searched in all of its indexes. Each finished query
is kept at once and each finished row for good, so that an evaluation can be stopped at any
moment, and what did not change is not computed again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data import artefact, store
from data.base import Photo
from data.errors import NotFound, PlaygroundError
from data.progress import Progress, Steps
from data.store import Collection
from evaluation import metrics, registry, rows, statistics
from evaluation.base import Protocol, Truth
from evaluation.rows import QueryRow, Row
from extractors import registry as extractor_registry
from indexing import registry as index_registry
from indexing.artefacts import index_folder, index_manifest, index_version, vectors_manifest
from indexing.build import record
from retrieval.compare import own_photos
from retrieval.engine import MAX_K, SearchEngine
from retrieval.ranking import Query, Recipe, usual_chain
from retrieval.rerank import registry as rerank_registry

__all__ = ["QueryRow", "Row", "evaluate", "load_rows"]

K = 10  # of recall@k and of the timed searches
EXACT = "flat"
Key = dict[str, Any]


def evaluate(
    collection: str | Collection,
    extractors: Sequence[str],
    indexes: Sequence[str],
    protocol: str = "auto",
    progress: Progress | None = None,
    force: bool = False,
    *,
    k: int = K,
    reranks: Sequence[str | None] = (None,),
) -> list[Row]:
    """Evaluate every extractor with every index and chain; what is known is not done again.

    Args:
        collection: its name.
        extractors: specs, see ``extractors.registry``; each must be built.
        indexes: specs, see ``indexing.registry``; each must be built for each extractor. Recall
            against exact search is known where the index ``flat`` is built.
        protocol: a name of ``evaluation.registry``, or auto: the one of the collection.
        progress: told of every query; an exception of it (a cancel) stops, keeping what is done.
        force: do everything again.
        k: of recall@k and of the timed searches.
        reranks: chains of re-rankers, see ``retrieval.ranking.Recipe.of``.

    Returns:
        One row per recipe: the first extractor's indexes, each with its chains, then the second's.

    Raises:
        PlaygroundError: something is not built or cannot be read, the collection has no ground
            truth of the protocol, or another process evaluates the same.
    """
    if k < 1:
        raise PlaygroundError(f"k is {k}. Legal: 1 or more results.")
    task = _Task(collection if isinstance(collection, str) else collection.name, protocol, k)
    recipes = list(
        dict.fromkeys(
            Recipe.of(spec, index, rerank)
            for spec in extractors
            for index in indexes
            for rerank in reranks
        )
    )
    keys = {one: task.key(one) for one in recipes}  # tells what is not built, before the work
    found: dict[Recipe, Row] = {}
    for recipe in recipes:
        kept = None if force else rows.load(task.folder(recipe))
        if kept is not None and kept[0] == keys[recipe]:
            found[recipe] = kept[1]
    steps = Steps(progress, len(task.queries) * (len(recipes) - len(found)))
    for spec in dict.fromkeys(one.extractor for one in recipes):
        pending = {r: keys[r] for r in recipes if r.extractor == spec and r not in found}
        if pending:
            found.update(task.evaluate(spec, pending, force, steps))
    return [found[recipe] for recipe in recipes]


def load_rows(collection: str, protocol: str | None = None) -> list[Row]:
    """The rows that were kept for a collection; what is out of date says so in ``stale``.

    Args:
        protocol: only those of this protocol; None: all.
    """
    members = store.load(collection)
    tasks: dict[tuple[str, int], _Task] = {}
    result = []
    for key, row in rows.saved(members.name):
        if protocol not in (None, row.protocol):
            continue
        stale = ""
        try:
            wanted = (row.protocol, row.k)
            if wanted not in tasks:
                tasks[wanted] = _Task(members.name, row.protocol, row.k)
            now = tasks[wanted].key(Recipe.of(row.extractor, row.index, row.rerank))
            changed = [name for name in now if now[name] != key.get(name)]
            if changed:
                words = sorted({_CHANGED.get(name, name) for name in changed})
                stale = f"Since this was evaluated, {_listed(words)} changed."
        except PlaygroundError as error:
            stale = str(error)
        result.append(dataclasses.replace(row, stale=stale))
    order = {name: i for i, name in enumerate(extractor_registry.names())}
    index_order = {name: i for i, name in enumerate(index_registry.names())}

    def place(row: Row) -> tuple[Any, ...]:
        method, kind = row.extractor.partition(":")[0], row.index.partition(":")[0]
        rank = (order.get(method, len(order)), row.extractor)
        index = (index_order.get(kind, len(index_order)), row.index)
        return (*rank, *index, row.protocol, row.k, row.rerank != "none", row.rerank)

    return sorted(result, key=place)


_CHANGED = {
    "fingerprint": "the collection's photos",
    "truth": "the queries or their ground truth",
    "vectors": "the descriptors",
    "query_vectors": "the queries' descriptors",
    "index_sha256": "the index",
    "exact": "the exact index it is compared with",
    "protocol_version": "the protocol's definition",
    "rerank": "the re-ranking method",
}


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _usual(recipe: Recipe) -> bool:
    """Whether the chain is the one that the extractor's method prescribes."""
    return recipe.rerank == usual_chain(recipe.extractor)


class _Recalls:
    """The recall@k of a query by index, each worked out once, whatever re-ranks it.

    ``searched`` are the query objects that were searched: they know their neighbours.
    """

    def __init__(
        self, engine: SearchEngine, collection: str, spec: str, query: Query, k: int
    ) -> None:
        self.searched: dict[str, Query] = {}
        self._engine, self._of, self._query, self._k = engine, (collection, spec), query, k
        self._kept: dict[str, float] = {}

    @functools.cached_property
    def _exact(self) -> list[NDArray[np.float64]]:
        return self._distances(EXACT)

    def _distances(self, index: str) -> list[NDArray[np.float64]]:
        query = self.searched.get(index, self._query)
        return self._engine.neighbour_distances(*self._of, index, query, self._k)

    def of(self, index: str) -> float:
        if index not in self._kept:
            self._kept[index] = metrics.mean(
                metrics.recall_by_distance(one.tolist(), truth.tolist(), self._k)
                for one, truth in zip(self._distances(index), self._exact, strict=True)
            )
        return self._kept[index]


class _Task:
    """A collection and a protocol: the queries with their ground truth, and how to judge them."""

    def __init__(self, collection: str, protocol: str, k: int) -> None:
        self.members = store.load(collection)
        self.protocol: Protocol = registry.choose(protocol, self.members)
        self.k = k
        self.queries = self.protocol.queries(self.members)
        if not self.queries:
            raise PlaygroundError(
                f"The collection {collection} has no queries, and no photos that share a landmark "
                f"to make queries of. Import it from folders, one per landmark, or from a data "
                f"set with queries: python -m scripts.collections import --help"
            )
        self.truths: dict[str, dict[str, Truth]] = {
            query.id: self.protocol.truths(self.members, query) for query in self.queries
        }
        if not any(t.positives for truths in self.truths.values() for t in truths.values()):
            raise PlaygroundError(
                f"None of the {len(self.queries)} queries of {collection} has an answer by the "
                f"protocol {self.protocol.name}, so there is nothing to measure. Choose another "
                f"protocol ({', '.join(registry.names())}), or import photos with landmarks."
            )
        # One extractor and one query at a time: memory does not grow with the evaluation.
        self._engine = functools.partial(
            SearchEngine,
            max_extractors=1,
            max_queries=1,
            max_k=max(MAX_K, len(self.members.photos)),
        )

    @functools.cached_property
    def truth_digest(self) -> str:
        """Changes when a query, its crop or its ground truth does."""
        listed = [
            [
                query.id,
                query.sha256,
                list(query.box or ()),
                {
                    setting: [sorted(truth.positives), sorted(truth.junk)]
                    for setting, truth in self.truths[query.id].items()
                },
            ]
            for query in self.queries
        ]
        return artefact.digest(listed)

    def folder(self, recipe: Recipe) -> Path:
        names = (extractor_registry.slug(recipe.extractor), index_registry.slug(recipe.index))
        chain = "" if _usual(recipe) else f"+{rerank_registry.slug(recipe.rerank)}"
        root = rows.folder_of(self.members.name)
        return root.joinpath(*names, f"{self.protocol.name}-{self.k}{chain}")

    def key(self, recipe: Recipe) -> Key:
        """Everything that the row follows from.

        Raises:
            PlaygroundError: it is not built, with the command that builds it.
        """
        name, spec, index = self.members.name, recipe.extractor, recipe.index
        vectors = vectors_manifest(name, spec)
        built = index_manifest(name, spec, index)
        if vectors is None or built is None:
            words = ["--collection", name, "--extractors", spec, "--indexes", index]
            raise NotFound(
                f"The collection {name} has no {index} index of {spec} yet.",
                command=f"python -m scripts.build {shlex.join(words)}",
            )
        version = vectors["files"]["vectors.npy"]["sha256"]
        exact = artefact.usable_manifest(index_folder(name, spec, EXACT))
        key = {
            "kind": "evaluation",
            "protocol": self.protocol.name,
            "protocol_version": self.protocol.version,
            "fingerprint": self.members.fingerprint,
            "truth": self.truth_digest,
            "extractor": spec,
            "vectors": version,
            "query_vectors": vectors["files"].get("queries.npy", {}).get("sha256", ""),
            "index": index,
            "index_sha256": index_version(built),
            "exact": exact is not None and exact["vectors_sha256"] == version,
            "k": self.k,
        }
        if not _usual(recipe):  # rows of the usual chain are older than chains
            made = [rerank_registry.create(one) for one in recipe.rerank]
            key["rerank"] = [list(recipe.rerank), [one.version for one in made]]
        return key

    # -- one extractor -------------------------------------------------------------------------

    def evaluate(
        self, spec: str, pending: dict[Recipe, Key], force: bool, steps: Steps
    ) -> dict[Recipe, Row]:
        """The rows of one extractor's recipes, saved."""
        lock = rows.folder_of(self.members.name) / extractor_registry.slug(spec)
        doing = f"Evaluating {spec} on {self.members.name}"
        with contextlib.ExitStack() as stack:
            stack.enter_context(artefact.explain_os_errors(doing))
            stack.enter_context(artefact.exclusive(lock, doing))
            begun: dict[Recipe, rows.Partial] = {}
            for recipe, key in pending.items():
                folder = self.folder(recipe)
                if force:
                    rows.drop_partial(folder)
                begun[recipe] = rows.Partial(folder, key)
                stack.callback(begun[recipe].close)
                steps.add(spec, len(begun[recipe].queries))
            self._answer(spec, pending, begun, steps)
            finished = {}
            for recipe, key in pending.items():
                answered = [begun[recipe].queries[query.id] for query in self.queries]
                begun[recipe].close()
                row = self._row(recipe, answered)
                measured = record()
                rows.save(self.folder(recipe), key, row, measured)
                finished[recipe] = dataclasses.replace(
                    row, date=measured["date"], machine=measured["machine"]
                )
        return finished

    def _answer(
        self,
        spec: str,
        pending: dict[Recipe, Key],
        begun: dict[Recipe, rows.Partial],
        steps: Steps,
    ) -> None:
        """Every query that is still missing, by every recipe."""
        engine = self._engine(max_indexes=len(pending) + 1)
        name, warm = self.members.name, False
        for photo in self.queries:
            missing = [one for one in pending if photo.id not in begun[one].queries]
            if not missing:
                continue
            query = Query.of_photo(self.members, photo)
            if not warm:
                # The first time includes loading, and caches that are still cold.
                first = Query.of_photo(self.members, photo, key="warm-up")
                for recipe in pending:
                    engine.search(name, recipe, first, self.k)
                warm = True
            engine.describe(name, spec, query)
            query.verified = {}  # the same photos come in every index
            recalls = _Recalls(engine, name, spec, query, self.k)
            # Exact search first: what it finds serves the recall of the others.
            for recipe in sorted(missing, key=lambda one: one.index != EXACT):
                wanted = pending[recipe]["exact"] and recipe.index != EXACT
                answer = self._search(engine, recipe, photo, query, recalls, wanted)
                begun[recipe].add(answer)
                steps.add(f"{spec} {photo.id}")

    def _search(
        self,
        engine: SearchEngine,
        recipe: Recipe,
        photo: Photo,
        query: Query,
        recalls: _Recalls,
        with_recall: bool,
    ) -> QueryRow:
        name, total = self.members.name, len(self.members.photos)
        depth = min(total, self.protocol.depth or total)
        truths = self.truths[photo.id]
        left_out: frozenset[str] = frozenset()
        if not _usual(recipe):  # its own photo must not help the query; where it counts, it stays
            answers = frozenset().union(*(truth.positives for truth in truths.values()))
            left_out = own_photos(self.members, photo) - answers
        # What a re-ranker makes of the query is part of its time, whoever made it before.
        searched = query.again()
        result = engine.search(name, recipe, searched, depth, exclude=left_out)
        recalls.searched.setdefault(recipe.index, searched)
        ranking = [hit.id for hit in result.hits]
        # Ranking everything is not what people wait for: the time is that of k results. Local
        # descriptors vote and verify alike for any k.
        timed = result
        if depth > self.k and not extractor_registry.is_local(recipe.extractor):
            timed = engine.search(name, recipe, query.again(), self.k, exclude=left_out)
        recall = math.nan
        if recipe.index == EXACT:
            recall = 1.0
        elif with_recall:
            recall = recalls.of(recipe.index)
        spent = engine.describe(name, recipe.extractor, query).timings_ms
        extract_ms = spent["crop"] + spent["preprocess"] + spent["extract"]
        return QueryRow(
            query_id=photo.id,
            values={s: self.protocol.judge(ranking, truth) for s, truth in truths.items()},
            ranking=tuple(ranking[: rows.KEPT]),
            ranked=len(ranking),
            ranks={
                setting: tuple(metrics.positive_ranks(ranking, truth.positives, truth.junk))
                for setting, truth in truths.items()
            },
            positives={setting: len(truth.positives) for setting, truth in truths.items()},
            recall=recall,
            extract_ms=math.nan if extractor_registry.is_imported(recipe.extractor) else extract_ms,
            search_ms=timed.timings_ms["search"],
            rerank_ms=timed.rerank_ms,
        )

    def _row(self, recipe: Recipe, answered: Sequence[QueryRow]) -> Row:
        protocol, name = self.protocol, self.members.name
        spec, index = recipe.extractor, recipe.index
        stats = self._engine().stats(name, spec, index)
        intervals = {
            f"{setting}/{measure}": statistics.bootstrap_interval(
                [query.values[setting][measure] for query in answered]
            )
            for setting in protocol.settings
            for measure in dict.fromkeys(("ap", protocol.headline))
        }
        return Row(
            collection=name,
            protocol=protocol.name,
            extractor=spec,
            weights=stats.weights,
            index=index,
            rerank=recipe.chain,
            k=self.k,
            photos=len(self.members.photos),
            partial=any(bool(source.get("partial")) for source in self.members.sources),
            means={
                setting: protocol.aggregate([query.values[setting] for query in answered])
                for setting in protocol.settings
            },
            intervals=intervals,
            queries=tuple(answered),
            bytes_per_vector=stats.bytes_per_vector,
            build_s=stats.build_s,
            bytes_per_photo=stats.bytes_per_photo,
            shared_bytes=stats.shared_bytes,
        )
