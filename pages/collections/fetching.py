"""Downloading a part of Google Landmarks v2 from the Collections page, in a process of its own."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import streamlit as st

from data import mirrors, permission
from data.errors import PlaygroundError
from data.gldv2.estimate import Question, forget_question, kept_question
from data.gldv2.lists import BASE_URL, SHARDS
from data.paths import check_name
from pages.parts import backend, state
from pages.parts.compare import seconds, size
from pages.parts.text import plain

if TYPE_CHECKING:
    from indexing.jobs import Job

EVERY = 1.5  # s between two looks at the progress file
PREFIX = "download:"  # of what the job is about, before the collection's name
_SEEN = "download_seen"
_METHODS = {
    "auto": "what fits",
    "ranges": "byte ranges: only the photos",
    "shards": "whole shards, MD5 checked",
}


def form() -> None:
    """Which photos to download, and how much at most."""
    st.markdown(
        "A part of **Google Landmarks v2** from its public mirror. The lists of the data set come "
        "first (those of the split train, 4.1 million photos with their authors, are large), then "
        "only the photos that were drawn. Before each step you are told what it takes, and asked. "
        "Stopped, it goes on where it was when it is started again with the same choice."
    )
    with st.form("download_form", border=True, width=760):
        name = st.text_input(
            "Name", key="d_name", max_chars=100, help="A-Z, a-z, 0-9, dot, underscore, hyphen"
        )
        first, second, third = st.columns(3)
        split = first.selectbox("Split", ["index", "train"], key="d_split")
        landmarks = second.number_input("Landmarks", 1, 100_000, 50, key="d_number")
        seed = third.number_input("Seed", 0, 2**31 - 1, 0, key="d_seed")
        least = first.number_input("Photos each, at least", 1, 10_000, 4, key="d_min")
        most = second.number_input("Photos each, at most", 1, 10_000, 20, key="d_max")
        side = third.number_input("Longer side (px)", 32, 10_000, 1024, key="d_side")
        words = first.text_input(
            "Words in the landmark's title", key="d_words", help="castle, bridge: one is enough"
        )
        kinds = second.text_input(
            "Kind of landmark", key="d_kinds", help="church, natural: of the hierarchical labels"
        )
        limit = third.number_input("Fetch at most (GB)", 0.01, 1000.0, 2.0, key="d_limit")
        clean = st.checkbox("Only GLDv2-clean (split train)", key="d_clean")
        with st.expander("The server"):
            mirror = st.text_input("Mirror", BASE_URL, key="d_mirror", max_chars=500)
            shards = st.text_input(
                "Shards",
                key="d_shards",
                max_chars=60,
                placeholder=",".join(f"{split}={count}" for split, count in SHARDS.items()),
                help="Of a mirror that has fewer tars than the official one",
            )
            method = st.selectbox(
                "Method", _METHODS, format_func=_METHODS.__getitem__, key="d_method"
            )
        if not st.form_submit_button("Estimate", type="primary"):
            return
    with backend.guard("start the download"):
        if not name.strip():
            raise PlaygroundError("The collection needs a name, such as castles.")
        name = check_name(name.strip(), "collection")
        mirrors.check(mirror.strip(), [mirrors.host_of(BASE_URL)])
        arguments = ["--name", name, "--split", str(split), "--landmarks", str(int(landmarks))]
        arguments += ["--min-photos", str(int(least)), "--max-photos", str(int(most))]
        arguments += ["--longer-side", str(int(side)), "--seed", str(int(seed))]
        # Joined by "=": a word that begins with a hyphen is still a word.
        arguments += [f"--category={word}" for word in _words(words)]
        arguments += [f"--hierarchy={word}" for word in _words(kinds)]
        arguments += [f"--base-url={mirror.strip()}", "--up-to", str(float(limit))]
        arguments += ["--clean"] if clean else []
        arguments += [f"--shards={shards.strip()}"] if shards.strip() else []
        arguments += ["--method", str(method)]
        forget_question(name)
        backend.start_download(PREFIX + name, [*arguments, "--estimate"])
        st.rerun()


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _downloads() -> list[Job]:
    """The download jobs, newest first."""
    return [job for job in backend.jobs() if job.collection.startswith(PREFIX)]


def progress_strip() -> None:
    """The running download, else how the last one ended; call it before other widgets."""
    found = _downloads()
    job = next((one for one in found if one.state == "running"), None)
    before = st.session_state.get(_SEEN)
    st.session_state[_SEEN] = job.id if job else None
    if job is not None:
        st.fragment(_strip, run_every=EVERY)(job.id)
        return
    if not found:
        return
    last = found[0]
    name = last.collection.removeprefix(PREFIX)
    question = kept_question(name) if last.state == "done" and permission.allowed() else None
    if question is not None:
        _ask(question)
        return
    if last.id == before and last.state == "done":
        st.success(f"{plain(name)} was downloaded. Next: build it in the tab Built.")
        state.update(collection=name, query=None, box=None)
        st.session_state.pop("c_collection", None)
    dismissed: set[str] = st.session_state.setdefault("dismissed_jobs", set())
    if last.state == "failed" and last.id not in dismissed:
        st.error(f"Downloading {plain(name)}: {plain(last.error or 'no reason was recorded')}")
        if st.button("Dismiss", key="dismiss_download"):
            dismissed.add(last.id)
            st.rerun()


def _ask(question: Question) -> None:
    """The estimate of the next step, with the two answers."""
    estimate = question.estimate
    name = plain(question.name)
    lists = estimate.step == "lists"
    with st.container(border=True, key="download_question", gap="small"):
        st.markdown(f"**{name}**: {plain(estimate.how)}")
        figures = [
            ("Lists" if lists else "Photos", f"{estimate.files:,}"),
            ("To fetch", size(estimate.bytes)),
            *([("Shards", f"{estimate.shards:,}")] if estimate.shards else []),
            ("Requests", f"{estimate.requests:,}"),
            ("Time", f"about {seconds(estimate.seconds)}" if estimate.seconds else "not known yet"),
            ("On disk", f"{size(estimate.disk)} of {size(estimate.free)} free"),
        ]
        st.markdown(" · ".join(f"{label}: **{plain(value)}**" for label, value in figures))
        if not lists:
            st.caption("The time is by the pace of this server, measured just now.")
        limit = _limit(question)
        beyond = estimate.bytes > limit
        if beyond:
            st.warning(
                f"That is more than the {size(limit)} that were allowed. Estimate again with a "
                f"higher limit, or with fewer photos."
            )
        with st.container(horizontal=True):
            # The lists alone: what the photos take is asked afterwards.
            again = ["--estimate", "--yes"] if lists else []
            if st.button(
                "Fetch the lists" if lists else "Download",
                type="primary",
                key="download_yes",
                disabled=beyond,
            ):
                with backend.guard("start the download"):
                    backend.start_download(PREFIX + question.name, [*question.arguments, *again])
                    forget_question(question.name)
                    st.rerun()
            if st.button("Not now", key="download_no"):
                forget_question(question.name)
                st.rerun()


def _limit(question: Question) -> float:
    """Bytes that were allowed."""
    words = question.arguments
    place = words.index("--up-to") + 1 if "--up-to" in words else len(words)
    return 1e9 * float(words[place]) if place < len(words) else math.inf


def _strip(job_id: str) -> None:
    with backend.guard("show the download's progress"):
        job = next((one for one in _downloads() if one.id == job_id), None)
        if job is None or job.state != "running":
            st.rerun(scope="app")
        with st.container(border=True, key="download_strip", gap="xsmall"):
            st.progress(min(1.0, max(0.0, job.fraction)), text=_headline(job))
            if permission.allowed() and st.button("Cancel the download", key="cancel_download"):
                backend.cancel(job.id)
                st.toast("The download is being stopped. What was fetched stays.")


def _headline(job: Job) -> str:
    name = plain(job.collection.removeprefix(PREFIX))
    stage = job.current
    if stage is None:
        return f"Downloading **{name}**: getting ready …"
    done, total = f"{stage.done:,}", f"{stage.total:,}"
    if stage.stage == "lists":
        done, total = f"{stage.done / 1e6:,.1f}", f"{stage.total / 1e6:,.1f} MB"
    doing = {
        "lists": "lists",
        "shards": "asking for shards",
        "photos": "photos",
        "import": "importing",
    }.get(stage.stage, stage.stage)
    return f"Downloading **{name}**: {doing} {f'{done} of {total}' if stage.total else '…'}"
