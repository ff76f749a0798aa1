"""How a step's figures and states are written: cells, badges and links. No Streamlit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from indexing import registry as index_registry
from pages.learn.answers import Answer, Outcome, measure_of, recipe_of
from pages.learn.lesson import MEASURES, WHOLE, Run, Step
from pages.parts import settings
from pages.parts.compare import milliseconds, size

if TYPE_CHECKING:
    from data.store import Collection


def cell(step: Step, answer: Answer, outcome: Outcome, name: str) -> str:
    """A figure as it stands in a table; a dash where the run has none."""
    figure = outcome.figures.get(name)
    if figure is None:
        return "–"
    if MEASURES[name].timed:
        if not figure.value:
            return "–"
        spread = f"{milliseconds(figure.low)} to {milliseconds(figure.high)}"
        return f"{milliseconds(figure.value)} ({spread})"
    if name in ("bytes", "memory"):
        return size(figure.value)
    value = f"{figure.value:,.0f}"
    if name == "found" and answer.truth is not None:
        return f"{value} of {min(len(answer.truth.positives), step.k)}"
    return f"{value} of {step.k}" if name in ("agrees", "shared") else value


def figures(step: Step, answer: Answer) -> tuple[list[str], list[list[str]]]:
    """The table of a step: header, and a row per run."""
    header = ["", *(measure_of(step, name).capitalize() for name in step.measures)]
    rows = [
        [one.run.name, *(cell(step, answer, one, name) for name in step.measures)]
        for one in answer.outcomes
    ]
    return header, rows


def facts(step: Step, answer: Answer, outcome: Outcome) -> list[str]:
    """The same for one run: "5 of 10 right"."""
    said = []
    for name in step.measures:
        value = cell(step, answer, outcome, name)
        if value == "–":
            continue
        words = {
            "found": f"{value} right",
            "agrees": f"{value} agree with exact",
            "shared": f"{value} the same photos",
            "compared": f"{value} vectors compared",
            "features": f"{value} vector{'' if value == '1' else 's'} per photo",
            "bytes": f"{value} per photo",
            "memory": f"{value} in memory",
        }
        said.append(words.get(name, f"{MEASURES[name].title} {value}"))
    if outcome.distractors:
        said.append(f"{outcome.distractors} of {step.k} are simulated: no photo to show")
    return said


def clock(step: Step, answer: Answer, at: str) -> str:
    """What the shown times are worth; empty where none are shown."""
    if not any(MEASURES[name].timed for name in step.measures):
        return ""
    from retrieval.clock import RUNS

    busy = "" if answer.alone else "; something else was running, so they may be too long"
    return (
        f"Times: median of {RUNS} runs in turn after a warm-up, in brackets the quartiles; "
        f"measured at {at} on this machine{busy}."
    )


# Links


def search_link(collection: str, step: Step, runs: Sequence[Run]) -> str:
    """The address of the Search page in the state of some runs of one region.

    Search parameters of an index stay behind: the Search page uses those it was built with.
    """
    recipes = [recipe_of(run) for run in runs]
    state = settings.Settings(
        collection=collection,
        source="query",
        query=step.query,
        box=runs[0].box,
        extractors=tuple(dict.fromkeys(one.extractor for one in recipes)),
        indexes=tuple(dict.fromkeys(index_registry.without_search(one.index) for one in recipes)),
        rerank=tuple(dict.fromkeys(run.rerank for run in runs if run.rerank)) or None,
        k=step.k,
    )
    return "./?" + urlencode(settings.to_params(state), doseq=True)


def inside_link(collection: str, step: Step, run: Run) -> str:
    """The address of Inside the index for a run."""
    state = settings.Settings(
        collection=collection,
        source="query",
        query=step.query,
        box=run.box,
        extractors=(run.extractor,),
        k=step.k,
    )
    # The page's own control is bound to the address, where options stand by their titles.
    family = index_registry.family_title(recipe_of(run).index.partition(":")[0])
    return "./inside?" + urlencode(settings.to_params(state) | {"in_index": family}, doseq=True)


def links(collection: Collection, step: Step) -> dict[str, str]:
    """Label to address of everything that a step can be opened in."""
    shown = [run for run in step.runs if not run.planned]
    regions: dict[object, list[Run]] = {}
    for run in shown:
        regions.setdefault(run.box, []).append(run)
    found = {}
    for box, runs in regions.items():
        if len(regions) == 1:
            label = "Open this in Search"
        elif box == WHOLE:
            label = "Whole photo in Search"
        else:
            name = runs[0].name if box is not None else "its box"
            label = f"{name[0].upper()}{name[1:]} in Search"
        found[label] = search_link(collection.name, step, runs)
    within = [run for run in shown if run.index.partition(":")[0] in _DRAWN and not run.vectors]
    if within:
        found["Open in Inside the index"] = inside_link(collection.name, step, within[0])
    return found


_DRAWN = ("ivf", "lsh", "pq")
