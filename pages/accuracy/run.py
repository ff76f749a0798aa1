"""Evaluating what is built, in a process of its own, and its progress on the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import streamlit as st

from data import permission
from pages.accuracy import words
from pages.parts import backend
from pages.parts.compare import seconds
from pages.parts.text import plain

if TYPE_CHECKING:
    from evaluation.rows import Row
    from indexing.jobs import Job

EVERY = 1.5  # s between two looks at the progress file
PREFIX = "evaluate:"  # of what the job is about, before the collection's name
_SEEN = "evaluation_seen"
_Seen = tuple[str, str | None, tuple[str, ...]]


def _jobs(name: str) -> list[Job]:
    """The collection's evaluations, newest first."""
    return backend.jobs(PREFIX + name)


def _now(name: str) -> _Seen:
    """What the page was drawn for: the running job and the extractors that it has finished."""
    job = next((one for one in _jobs(name) if one.state == "running"), None)
    stages = job.stages if job else ()
    done = tuple(stage.extractor for stage in stages if stage.state == "done")
    return (name, job.id if job else None, done)


def progress_strip(name: str) -> None:
    """The running evaluation, else why the last one failed; drawn again as rows are finished."""
    before: _Seen | None = st.session_state.get(_SEEN)
    now = _now(name)
    st.session_state[_SEEN] = now
    if now[1] is not None:
        st.fragment(_strip, run_every=EVERY)(name)
        return
    found = _jobs(name)
    if before is not None and before[0] == name and before[1] and found[:1]:
        st.toast(f"The evaluation of {plain(name)} has ended.")
    dismissed: set[str] = st.session_state.setdefault("dismissed_jobs", set())
    if found and found[0].state == "failed" and found[0].id not in dismissed:
        reason = plain(found[0].error or "no reason was recorded")
        st.error(f"The last evaluation stopped: {reason}")
        if st.button("Dismiss", key="dismiss_evaluation"):
            dismissed.add(found[0].id)
            st.rerun()


def _strip(name: str) -> None:
    with backend.guard("show the evaluation's progress"):
        if _now(name) != st.session_state.get(_SEEN):
            st.rerun(scope="app")
        job = next((one for one in _jobs(name) if one.state == "running"), None)
        if job is None:
            return
        with st.container(border=True, key="evaluation_strip", gap="xsmall"):
            st.progress(min(1.0, max(0.0, job.fraction)), text=_headline(job))
            if permission.allowed() and st.button("Cancel the evaluation", key="cancel_evaluation"):
                backend.cancel(job.id)
                st.toast("The evaluation is being stopped. What is finished stays.")


def _headline(job: Job) -> str:
    if job.waiting:
        return plain(job.waiting)
    stage = job.current
    if stage is None:
        return "Evaluating: getting ready …"
    left = f", about {seconds(stage.eta_s)} left for this extractor" if stage.eta_s else ""
    count = f"{stage.done:,} of {stage.total:,} searches" if stage.total > 1 else "getting ready …"
    return f"Evaluating **{backend.label(stage.extractor)}**: {count}{left}"


def offer(
    name: str, protocol: str, rows: Sequence[Row], ready: Mapping[str, Sequence[str]]
) -> None:
    """Say what is not evaluated yet, with a button that evaluates it."""
    pairs = words.missing(rows, ready)
    running = any(one.state == "running" for one in _jobs(name))
    if not ready:
        st.info("Nothing is built for this collection yet. Build it on the Collections page.")
        return
    if running:
        return
    built = sum(map(len, ready.values()))
    known = built - len(pairs)
    from retrieval.rerank import registry

    options = list(dict.fromkeys(extractor for extractor, _ in pairs)) or list(ready)
    with st.container(border=True, key="evaluate_box", gap="small"):
        st.markdown(
            f"Evaluated by this protocol and up to date: {known} of the {built} built "
            f"combinations of extractor and index."
        )
        chosen = st.pills(
            "Evaluate",
            options,
            selection_mode="multi",
            default=(options[:3] if not known else options) if pairs else [],
            format_func=backend.label,
            # A row that was finished meanwhile is no option any more.
            wrap=True,
            key=f"a_evaluate-{name}-{protocol}-{len(options)}",
        )
        chains = st.pills(
            "And re-ranked by",
            registry.names(),
            selection_mode="multi",
            format_func=backend.label,
            wrap=True,
            key=f"a_rerank-{name}",
            help="One more row each, for the extractors that it can follow",
        )
        with st.container(horizontal=True, vertical_alignment="center"):
            every = st.button("Evaluate", type="primary", key="evaluate", disabled=not chosen)
            flat = st.button(
                "Evaluate Flat only",
                key="evaluate_flat",
                disabled=not chosen,
                help="Exact search alone: what the extractors are worth, in a fraction of the time",
            )
            if every or flat:
                arguments = ["--collection", name, "--protocol", protocol, "--quiet"]
                arguments += ["--extractors", ",".join(chosen)]
                arguments += ["--indexes", "flat" if flat else "all"]
                for chain in ("usual", *chains) if chains else ():
                    arguments += ["--rerank", chain]
                with backend.guard("start the evaluation"):
                    backend.start_evaluation(PREFIX + name, arguments)
                    st.rerun()
            st.caption(
                "Runs in a process of its own, with all indexes that are built; it can be "
                "stopped, and goes on where it was."
            )
