"""A build's progress on a page, drawn again every second or two while it runs."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import streamlit as st

from data import permission
from extractors import registry
from pages.parts import backend, startup
from pages.parts.compare import seconds
from pages.parts.text import plain

if TYPE_CHECKING:
    from indexing.jobs import Job
    from indexing.status import ExtractorStatus

EVERY = 2.5  # s between two looks at the progress file
_SEEN = "ready_seen"
_FROM = 0.05  # share of the work from which on the rest is estimated
_INDEX = 300.0  # an index among the extractors' costs (ms per photo): about 0.3 s
_PHOTOS = 1_000  # where no stage says yet how many there are


@dataclasses.dataclass(frozen=True)
class Look:
    """What a page is drawn for: the running build, and what can be searched.

    ``settled``: nothing more will start by itself.
    """

    name: str
    settled: bool
    job: Job | None
    found: list[ExtractorStatus]

    @property
    def ready(self) -> dict[str, list[str]]:
        """Extractor to its index types that can be searched."""
        return backend.ready_indexes(self.found)

    @property
    def signature(self) -> tuple[str, dict[str, list[str]], bool, bool]:
        """When it changes, the page is drawn again."""
        return (self.name, self.ready, self.job is not None, self.settled)


def look(name: str) -> Look:
    """Look at a collection's build.

    The order counts: a build that ends or starts meanwhile is seen as running, so that the strip
    is drawn, which notices. Read the other way round, nothing would tell the page.
    """
    settled = startup.checked()
    job = backend.running_job(name)
    return Look(name, settled, job, backend.statuses(name))


def progress_strip(seen: Look, detailed: bool = False) -> None:
    """One line on the collection's running build; nothing while there is none.

    The page is drawn again when an extractor or index becomes ready and when the build ends.
    """
    name = seen.name
    before = st.session_state.get(_SEEN)
    st.session_state[_SEEN] = seen.signature
    if seen.job is None and seen.settled:
        if before is not None and before[0] == name and before[2]:
            st.toast(f"The build of {plain(name)} has ended.")
        _say_how_it_ended(name)
        return
    st.fragment(_strip, run_every=EVERY)(name, detailed)


def _strip(name: str, detailed: bool) -> None:
    with backend.guard("show the build's progress"):
        now = look(name)
        if now.signature != st.session_state.get(_SEEN):
            st.rerun(scope="app")
        job = now.job
        if job is None:
            return
        with st.container(border=True, key="strip", gap="xsmall"):
            share, rest = ahead(job)
            st.progress(share, text=_headline(job, rest))
            ready = list(now.ready)
            waiting = list(dict.fromkeys(s.extractor for s in job.stages))
            waiting = [one for one in waiting if one not in ready]
            parts = []
            if ready:
                parts.append("Ready: " + ", ".join(backend.label(one) for one in ready))
            if waiting:
                parts.append("Still to come: " + ", ".join(backend.label(one) for one in waiting))
            st.caption(". ".join(parts) + ("." if parts else ""))
            if detailed:
                _details(job)


def ahead(job: Job) -> tuple[float, float | None]:
    """How much of the whole build is done, 0 to 1, and the seconds left.

    Steps are weighed by what their extractors cost, and the pace is that of the steps that did
    something: what was there already took no time. None below 5 %.
    """
    photos = max([one.total for one in job.stages if one.stage != "index"], default=0)
    photos = photos if photos > 1 else _PHOTOS
    learning = {one.extractor for one in job.stages if one.stage == "fit"}
    work = done = spent = 0.0
    for one in job.stages:
        if one.state == "failed" or (one.state == "done" and one.seconds == 0):
            continue
        weight = _INDEX
        if one.stage != "index":
            weight = photos * registry.cost(one.extractor)
            weight /= 2 if one.extractor in learning else 1  # a sample is described for both
        share = 1.0 if one.state == "done" else min(1.0, one.done / max(1, one.total))
        work, done, spent = work + weight, done + weight * share, spent + one.seconds
    if work == 0:
        return min(1.0, max(0.0, job.fraction)), None
    share = done / work
    return share, spent / done * (work - done) if share >= _FROM and spent > 0 else None


def _headline(job: Job, rest: float | None) -> str:
    if job.waiting:
        return plain(job.waiting)
    stages = [stage for stage in job.stages if stage.state == "running"]
    if not stages:
        coming = next((stage for stage in job.stages if stage.state == "waiting"), None)
        name = f" **{backend.label(coming.extractor)}**" if coming else ""
        return f"Building{name}: getting ready …"
    stage = stages[0]
    doing = {
        "fit": "learning from a sample",
        "extract": "describing photos",
        "index": f"building {backend.label(stage.index or 'the index')}",
    }.get(stage.stage, stage.stage)
    count = f" {stage.done} of {stage.total}" if stage.total > 1 else ""
    left = f", about {seconds(rest)} left in all" if rest is not None else ""
    return f"Building **{backend.label(stage.extractor)}**: {doing}{count}{left}"


def _details(job: Job) -> None:
    mark = {"done": "✓", "running": "▸", "failed": "✗", "waiting": "·"}
    by_extractor: dict[str, list[str]] = {}
    for stage in job.stages:
        name = {"fit": "learn", "extract": "describe"}.get(stage.stage)
        name = name or backend.label(stage.index or stage.stage)
        spent = f" {seconds(stage.seconds)}" if stage.state == "done" and stage.seconds else ""
        by_extractor.setdefault(stage.extractor, []).append(
            f"{mark.get(stage.state, '·')} {name}{spent}"
        )
    lines = [
        f"- **{backend.label(name)}** " + " &nbsp; ".join(steps)
        for name, steps in by_extractor.items()
    ]
    st.markdown("\n".join(lines))
    if permission.allowed() and st.button("Cancel the build", key="cancel_build"):
        backend.cancel(job.id)
        st.toast("The build is being stopped. What is finished stays.")


def _say_how_it_ended(name: str) -> None:
    """A failed last build is worth a word until it is dismissed."""
    last = max(backend.jobs(name), key=lambda job: job.updated, default=None)
    if last is None or last.state != "failed":
        return
    dismissed: set[str] = st.session_state.setdefault("dismissed_jobs", set())
    if last.id in dismissed:
        return
    st.error(f"The last build stopped: {plain(last.error or 'no reason was recorded')}")
    if st.button("Dismiss", key="dismiss_job"):
        dismissed.add(last.id)
        st.rerun()
