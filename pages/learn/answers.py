"""What the live engine answers to a step: hits, and the figures that its question asks for.

Nothing is kept here: a page that shows times measures them for the class before it. No Streamlit.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from data.base import Box
from data.errors import PlaygroundError
from evaluation.metrics import overlap_at_k
from indexing import registry as index_registry
from indexing.inside.ivf import assignment
from pages.learn.lesson import MEASURES, Figure, Run, Step
from retrieval import clock
from retrieval.clock import Measured, Timing
from retrieval.compare import truth_of
from retrieval.ranking import STAGES, Hit, Query, Recipe, SearchResult

if TYPE_CHECKING:
    from data.base import Photo
    from data.store import Collection
    from evaluation.tradeoffs.live import LiveIndex
    from indexing.base import Floats
    from retrieval.compare import Truth
    from retrieval.engine import IndexStats, SearchEngine

_FLAT = "flat"
Open = Callable[[str, str, int, str], "LiveIndex"]
"""(collection, extractor, vectors in all, index spec) to the index over padded vectors."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one run gave.

    Attributes:
        result: None where nothing was searched (a planned index).
        stats: of the built index; None for one over padded vectors.
        exact: ids of exact search by the same extractor and chain; None where nothing was searched.
        figures: the step's measures that this run has.
        distractors: simulated vectors among the first k.
    """

    run: Run
    recipe: Recipe
    box: Box
    result: SearchResult | None
    stats: IndexStats | None
    exact: tuple[str, ...] | None
    figures: Mapping[str, Figure]
    measured: Measured | None = None
    distractors: int = 0


@dataclasses.dataclass(frozen=True)
class Answer:
    """All runs of a step. ``alone`` is False where something else was searched meanwhile."""

    outcomes: tuple[Outcome, ...]
    truth: Truth | None
    alone: bool = True

    @property
    def figures(self) -> list[Mapping[str, Figure]]:
        return [one.figures for one in self.outcomes]


def query_of(members: Collection, step: Step) -> Photo:
    """The step's query photo.

    Raises:
        PlaygroundError: the collection has no such query.
    """
    found = next((one for one in members.queries if one.id == step.query), None)
    if found is None:
        raise PlaygroundError(
            f"The collection {members.name} has no query {step.query}: the lessons are about the "
            f"demo as it comes with the playground."
        )
    return found


def box_of(photo: Photo, run: Run) -> Box:
    """The region that a run searches, px of the photo."""
    everything = (0, 0, photo.width, photo.height)
    if isinstance(run.box, str):
        return everything
    return run.box or photo.box or everything


def recipe_of(run: Run) -> Recipe:
    return Recipe.of(run.extractor, run.index, run.rerank)


def answer(
    engine: SearchEngine, members: Collection, step: Step, open_padded: Open | None = None
) -> Answer:
    """Run a step.

    Args:
        members: the collection, as the engine has it.
        open_padded: builds an index over padded vectors; None: as ``evaluation.tradeoffs.live``
            does.

    Raises:
        PlaygroundError: something is not built, with the command that builds it.
    """
    photo = query_of(members, step)
    truth = truth_of(members, photo, photo.label)
    queries = {
        box: Query.of_photo(members, photo, box=box)
        for box in {box_of(photo, run) for run in step.runs}
    }
    timed = any(MEASURES[name].timed for name in step.measures)
    times, alone = _measured(engine, members, step, photo, queries) if timed else ({}, True)
    padded = _padded(engine, members, step, queries, truth, open_padded)
    outcomes: list[Outcome] = []
    for at, run in enumerate(step.runs):
        box = box_of(photo, run)
        if run.planned:
            outcomes.append(_planned(engine, members, run, box))
        elif at in padded:
            outcomes.append(padded[at])
        else:
            measured = times.get((box, recipe_of(run)))
            outcomes.append(_searched(engine, members, step, run, queries[box], truth, measured))
    for at, run in enumerate(step.runs):
        if run.against is not None:
            shared = _shared(outcomes[at], outcomes[run.against])
            figures = {**outcomes[at].figures, "shared": Figure.of(shared)}
            outcomes[at] = dataclasses.replace(outcomes[at], figures=figures)
    return Answer(tuple(outcomes), truth, alone)


def _measured(
    engine: SearchEngine,
    members: Collection,
    step: Step,
    photo: Photo,
    queries: Mapping[Box, Query],
) -> tuple[dict[tuple[Box, Recipe], Measured], bool]:
    """Times of the runs over the collection's own vectors, the recipes of a region in turn."""
    found = {}
    for box, query in queries.items():
        recipes = [
            recipe_of(run)
            for run in step.runs
            if box_of(photo, run) == box and run.vectors is None and not run.planned
        ]
        if recipes:
            unique = list(dict.fromkeys(recipes))
            measured = clock.measure(engine, members.name, unique, query, step.k)
            found.update({(box, recipe): one for recipe, one in measured.items()})
    return found, all(one.alone for one in found.values())


def _searched(
    engine: SearchEngine,
    members: Collection,
    step: Step,
    run: Run,
    query: Query,
    truth: Truth | None,
    measured: Measured | None,
) -> Outcome:
    recipe = recipe_of(run)
    result = engine.search(members.name, recipe, query, step.k)
    stats = engine.stats(members.name, recipe.extractor, recipe.index)
    exact_recipe = dataclasses.replace(recipe, index=_FLAT)
    exact = result
    if exact_recipe != recipe:
        exact = engine.search(members.name, exact_recipe, query, step.k)
    ids = tuple(hit.id for hit in exact.hits)
    figures = {
        "found": Figure.of(_found(result.hits, truth)),
        "agrees": Figure.of(_agrees([hit.id for hit in result.hits], ids, step.k)),
        "bytes": Figure.of(stats.bytes_per_photo),
        "memory": Figure.of(stats.bytes_per_vector * stats.n),
        "features": Figure.of(stats.n / max(1, stats.photos)),
    }
    if "compared" in step.measures:
        figures["compared"] = Figure.of(_compared(engine, members.name, recipe, query))
    if measured is not None:
        figures |= _stages(measured)
    return Outcome(run, recipe, query.box, result, stats, ids, figures, measured)


def _stages(measured: Measured) -> dict[str, Figure]:
    """The clock's stages as the lessons' measures: quartiles add up to a bound, not a quartile."""
    groups: dict[str, list[Timing]] = {"describe_ms": [], "search_ms": [], "rerank_ms": []}
    for stage, timing in measured.stages.items():
        if stage == "search":
            groups["search_ms"].append(timing)
        elif stage in STAGES:
            # Decoding is the photo's, not the method's.
            groups["describe_ms"] += [timing] if stage != "decode" else []
        else:
            groups["rerank_ms"].append(timing)
    return {
        name: Figure(
            sum(one.median for one in timings),
            sum(one.low for one in timings),
            sum(one.high for one in timings),
        )
        for name, timings in groups.items()
    }


def _found(hits: Sequence[Hit], truth: Truth | None) -> int:
    if truth is None:
        return 0
    return sum(truth.verdict(hit.id, hit.label) is True for hit in hits)


def _agrees(ids: Sequence[str], exact: Sequence[str], k: int) -> int:
    """How many of exact search's photos an index names."""
    return round(overlap_at_k(ids, exact, k) * min(k, len(exact))) if exact else 0


def _shared(one: Outcome, other: Outcome) -> int:
    if one.result is None or other.result is None:
        return 0
    ids = {hit.id for hit in other.result.hits}
    return sum(hit.id in ids for hit in one.result.hits)


def _compared(engine: SearchEngine, name: str, recipe: Recipe, query: Query) -> int:
    """Vectors that a search compares with the query: all of them, but for IVF."""
    snapshot = engine.snapshot(name, recipe.extractor, recipe.index)
    built = snapshot.index.built
    if built.name != "ivf":
        return int(snapshot.index.manifest["n"])
    index = built.inspect()
    asked = engine.describe(name, recipe.extractor, query).features.vectors[:1]
    chosen = {**built.plan.search, **snapshot.params}
    _, cells = index.quantizer.search(np.ascontiguousarray(asked), int(chosen["nprobe"]))
    return int(np.isin(assignment(index), cells[0]).sum())


# Without the collection alone: what is only planned, and what is padded


def _planned(engine: SearchEngine, members: Collection, run: Run, box: Box) -> Outcome:
    """What an index over so many vectors would take, by its own plan."""
    recipe = recipe_of(run)
    dim = int(engine.vectors(members.name, recipe.extractor).vectors.shape[1])
    kind, overrides = index_registry.parse_index_spec(recipe.index)
    count = run.vectors or len(members.photos)
    size = kind.estimate_bytes(kind.plan(count, dim, overrides), count, dim)
    figures = {"memory": Figure.of(size), "bytes": Figure.of(size / count)}
    return Outcome(run, recipe, box, None, None, None, figures)


def _padded(
    engine: SearchEngine,
    members: Collection,
    step: Step,
    queries: Mapping[Box, Query],
    truth: Truth | None,
    open_padded: Open | None,
) -> dict[int, Outcome]:
    """The same query among distractors: indexes built in memory, timed in turns as the clock does.

    Returns:
        The outcomes by the runs' places in the step.
    """
    from evaluation.tradeoffs.live import timed

    photo = query_of(members, step)
    wanted = {at: one for at, one in enumerate(step.runs) if one.vectors is not None}
    wanted = {at: one for at, one in wanted.items() if not one.planned}
    asks: dict[int, tuple[LiveIndex, Floats, dict[str, int], Query]] = {}
    for at, run in wanted.items():
        recipe, query = recipe_of(run), queries[box_of(photo, run)]
        count = run.vectors or 0
        opened = (open_padded or _open)(members.name, recipe.extractor, count, recipe.index)
        kind, overrides = index_registry.parse_index_spec(recipe.index)
        params = {name: int(overrides[name]) for name in kind.search_names if name in overrides}
        vector = engine.describe(members.name, recipe.extractor, query).features.vectors[0]
        asks[at] = (opened, vector, params, query)
    # Runs of equal queries take turns.
    turns: dict[tuple[str, Box], list[int]] = {}
    for at in asks:
        turns.setdefault((recipe_of(wanted[at]).extractor, box_of(photo, wanted[at])), []).append(
            at
        )
    times: dict[int, Timing] = {}
    for same in turns.values():
        indexes = [(asks[at][0], asks[at][2]) for at in same]
        times |= zip(same, timed(indexes, asks[same[0]][1], step.k), strict=True)
    return {
        at: _among(engine, members, step, wanted[at], ask, truth, times[at])
        for at, ask in asks.items()
    }


def _among(
    engine: SearchEngine,
    members: Collection,
    step: Step,
    run: Run,
    ask: tuple[LiveIndex, Floats, dict[str, int], Query],
    truth: Truth | None,
    timing: Timing,
) -> Outcome:
    from evaluation.tradeoffs import live

    opened, vector, params, query = ask
    recipe = recipe_of(run)
    found = opened.answer(vector, step.k, params)
    exact = live.exact(opened.vectors, vector, step.k)
    scores = opened.built.scores(found.distances)
    hits = [
        Hit(rank, one, members.photo(one).label, float(distance), float(score))
        for rank, (one, distance, score) in enumerate(
            zip(found.photo_ids, found.distances, scores, strict=True), 1
        )
        if one is not None
    ]
    memory = opened.built.bytes_per_vector * opened.vectors.n
    agrees = _agrees([str(row) for row in found.rows], [str(row) for row in exact.rows], step.k)
    figures = {
        "found": Figure.of(_found(hits, truth)),
        "agrees": Figure.of(agrees),
        "search_ms": Figure(timing.median, timing.low, timing.high),
        "memory": Figure.of(memory),
        "bytes": Figure.of(memory / opened.vectors.n),
        "features": Figure.of(1.0),
    }
    result = SearchResult(
        collection=members.name,
        recipe=recipe,
        weights=engine.vectors(members.name, recipe.extractor).source,
        metric=opened.built.distance,
        k=step.k,
        box=query.box,
        hits=hits,
        timings_ms={"search": timing.median, "total": timing.median},
        cold=False,
        earlier=True,
    )
    ids = tuple(one for one in exact.photo_ids if one is not None)
    measured = Measured({"search": timing}, alone=True)
    missing = len(found.rows) - len(hits)
    return Outcome(run, recipe, query.box, result, None, ids, figures, measured, missing)


def _open(collection: str, extractor: str, count: int, index: str) -> LiveIndex:
    from evaluation.tradeoffs import live

    return live.build(live.open_set(collection, extractor, count or None), index)


def lacks_padding(members: Collection, step: Step) -> list[tuple[str, int]]:
    """(extractor, vectors) of padded sets that a step needs and that are not on the disk yet."""
    from data import artefact
    from evaluation.tradeoffs.padding import set_folder

    wanted = {
        (recipe_of(run).extractor, run.vectors)
        for run in step.runs
        if run.vectors and not run.planned
    }
    return sorted(
        (extractor, count)
        for extractor, count in wanted
        if artefact.read_manifest(set_folder(members.name, extractor, count)) is None
    )


def measure_of(step: Step, name: str) -> str:
    """A measure's title in a step."""
    return MEASURES[name].title.replace("of K", f"of {step.k}")


def now() -> str:
    """The time of day, for what was measured."""
    return time.strftime("%H:%M")
