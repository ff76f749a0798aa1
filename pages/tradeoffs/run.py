"""Measuring the quick grid in a process of its own, and its progress on the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from data import permission
from pages.parts import backend
from pages.parts.compare import seconds
from pages.parts.text import plain
from pages.tradeoffs.answer import command
from pages.tradeoffs.data import short

if TYPE_CHECKING:
    from indexing.jobs import Job

EVERY = 1.5  # s between two looks at the progress file
PREFIX = "tradeoffs:"  # of what the job is about, before the collection's name
_SEEN = "tradeoffs_seen"
SIZES = ("real", "10k", "100k", "1m")
FOR_ALL = "One measurement runs at a time, and all see what it finds; only the teacher stops it."


def _jobs(name: str) -> list[Job]:
    """The collection's measurements, newest first."""
    return backend.jobs(PREFIX + name)


def running(name: str) -> bool:
    return any(job.state == "running" for job in _jobs(name))


def progress_strip(name: str) -> None:
    """The running measurement, else why the last one failed."""
    found = _jobs(name)
    job = next((one for one in found if one.state == "running"), None)
    before = st.session_state.get(_SEEN)
    st.session_state[_SEEN] = job.id if job else None
    if job is not None:
        st.fragment(_strip, run_every=EVERY)(name, job.id)
        return
    if not found:
        return
    last = found[0]
    if last.id == before and last.state == "done":
        st.toast("The measurement has ended.")
    dismissed: set[str] = st.session_state.setdefault("dismissed_jobs", set())
    if last.state == "failed" and last.id not in dismissed:
        st.error(f"The last measurement stopped: {plain(last.error or 'no reason was recorded')}")
        if st.button("Dismiss", key="dismiss_tradeoffs"):
            dismissed.add(last.id)
            st.rerun()


def _strip(name: str, job_id: str) -> None:
    with backend.guard("show the measurement's progress"):
        job = next((one for one in _jobs(name) if one.id == job_id), None)
        if job is None or job.state != "running":
            st.rerun(scope="app")
        with st.container(border=True, key="tradeoffs_strip", gap="xsmall"):
            st.progress(min(1.0, max(0.0, job.fraction)), text=_headline(job))
            with st.container(horizontal=True):
                if permission.allowed() and st.button(
                    "Cancel the measurement", key="cancel_tradeoffs"
                ):
                    backend.cancel(job.id)
                    st.toast("The measurement is being stopped. Measured points stay.")
                if st.button("Show what is there", key="show_tradeoffs"):
                    st.rerun(scope="app")


def _headline(job: Job) -> str:
    if job.waiting:
        return plain(job.waiting)
    stage = job.current
    if stage is None:
        return "Measuring: getting ready …"
    left = f", about {seconds(stage.eta_s)} left" if stage.eta_s else ""
    count = f"step {stage.done:,} of {stage.total:,}" if stage.total > 1 else "getting ready …"
    return f"Measuring **{backend.label(stage.extractor)}**: {count}{left}"


def offer(name: str, extractor: str, photos: int, nothing_yet: bool) -> None:
    """What can be measured, with the command and a button for the quick grid."""
    if running(name):
        return
    mine = permission.allowed()
    if nothing_yet:
        words = f"Nothing is measured yet for {backend.label(extractor)} on {plain(name)}."
        if mine:
            st.info(f"{words} Measure the full grid, up to a million vectors, by:")
            st.code(command(name, extractor), language="bash", wrap_lines=True)
        else:
            st.info(words)
    possible = [one for one in SIZES if _possible(one, photos, mine)]
    with st.container(border=True, key="measure_box", gap="small"):
        chosen = st.pills(
            "Measure the quick grid at",
            possible,
            selection_mode="multi",
            default=possible[:2],
            format_func=lambda one: _words(one, photos),
            key=f"t_sizes-{name}",
        )
        with st.container(horizontal=True, vertical_alignment="center"):
            if st.button("Measure", type="primary", key="measure", disabled=not chosen):
                arguments = ["--collection", name, "--extractor", extractor]
                arguments += ["--sizes", ",".join(chosen), "--quick"]
                with backend.guard("start the measurement"):
                    backend.start_tradeoffs(PREFIX + name, arguments)
                    st.rerun()
            how = "It can be stopped, and what was measured is kept." if mine else FOR_ALL
            st.caption(
                f"In a process of its own. {how} "
                "Sizes above the collection's are filled with simulated vectors, and labelled so. "
                "Other load on this machine makes the times worse."
            )


def _possible(size: str, photos: int, mine: bool) -> bool:
    from evaluation.tradeoffs.padding import VISITORS_MOST

    return size == "real" or photos < _count(size) <= (10**9 if mine else VISITORS_MOST)


def _count(size: str) -> int:
    from evaluation.tradeoffs.padding import parse_size

    return parse_size(size) or 0


def _words(size: str, photos: int) -> str:
    return (
        f"{photos:,} (the collection)" if size == "real" else f"{short(_count(size))} (simulated)"
    )
