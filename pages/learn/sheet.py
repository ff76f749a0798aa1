"""A lesson's sheet for teachers: questions, what the engine answers now, and minutes per step."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from data.errors import PlaygroundError
from evaluation import blocks
from pages.learn import answers, step, words
from pages.learn.answers import Answer
from pages.learn.lesson import Lesson, Number, Step
from pages.parts import building

if TYPE_CHECKING:
    from data.base import Photo
    from data.store import Collection

_SHOWN = 10  # photos of a ranking on paper
_SIDE = 240  # px of the query

CSS = """
.sheet { max-width: 60rem; }
.sheet .step { break-inside: avoid; border-top: 1px solid rgba(128, 140, 160, .5);
  padding: .6rem 0 .4rem; }
.sheet .asked { display: flex; gap: 1rem; flex-wrap: wrap; align-items: flex-start; }
.sheet .asked > div { flex: 1 1 22rem; min-width: 0; }
.sheet .asked img { max-width: 210px; max-height: 160px; border: 0; border-radius: 4px; }
.sheet h2 { font-size: 1.1rem; margin: 0 0 .3rem; }
.sheet .minutes { float: right; font-weight: 400; font-size: .9rem; }
.sheet table { border-collapse: collapse; font-size: .85rem; margin: .3rem 0; width: auto; }
.sheet th, .sheet td { border: 1px solid rgba(128, 140, 160, .5); padding: 2px 8px;
  text-align: left; white-space: normal; }
.sheet ul { margin: .2rem 0; padding-left: 1.2rem; }
.sheet .answer { background: rgba(36, 87, 214, .1); padding: .3rem .6rem; border-radius: 4px; }
.sheet .marks { font-family: ui-monospace, monospace; letter-spacing: .1em; }
.sheet small { opacity: .85; }
"""
# The page's own parts stay on the screen; what scrolls there runs over pages of paper.
_PRINT = """
@media print {
  [data-testid=stHeader], [data-testid=stToolbar], .st-key-learn_tools,
  .st-key-strip, .stMainBlockContainer h1, [data-testid=stCaptionContainer],
  [data-testid=stHorizontalBlock] { display: none !important; }
  .stApp, [data-testid=stAppViewContainer], [data-testid=stMain], .stMainBlockContainer {
    position: static !important; overflow: visible !important; height: auto !important;
    padding: 0 !important; max-width: none !important; }
  .stMainBlockContainer .sheet h1 { display: block !important; padding: 0; }
}
"""
_ALONE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1c2333; margin: 1.5rem; }
@page { margin: 14mm; }
"""


@dataclasses.dataclass(frozen=True)
class Entry:
    """A step with its answer; ``lacks`` says why there is none."""

    step: Step
    answer: Answer | None
    photo: Photo
    picture: str
    lacks: str = ""


def draw(lesson: Lesson, members: Collection) -> None:
    """The sheet on the page, with a button that saves it."""
    entries = []
    seen = building.look(members.name)
    building.progress_strip(seen)
    for number, one in enumerate(lesson.steps, 1):
        if not step.padded(members, one, f"learn_pad-{number}"):
            return
    note = st.empty()
    for number, one in enumerate(lesson.steps, 1):
        note.caption(f"Computing step {number} of {len(lesson.steps)} …")
        entries.append(_entry(members, one))
    note.empty()
    made = datetime.datetime.now().astimezone()
    text = body(lesson, members, entries, made)
    with st.container(key="learn_tools", horizontal=True, vertical_alignment="center"):
        st.download_button(
            "Save as HTML",
            page(lesson, text),
            f"lesson-{lesson.name}.html",
            "text/html",
            key="learn_save",
            on_click="ignore",
        )
        st.caption("Or print this page (Ctrl+P): the sheet alone is printed.")
    st.html(f"<style>{CSS}{_PRINT}</style>{text}")


def _entry(members: Collection, one: Step) -> Entry:
    photo = answers.query_of(members, one)
    picture = step.query_url(members, one, _SIDE)
    try:
        return Entry(one, step.answer_of(members, one), photo, picture)
    except PlaygroundError as error:
        return Entry(one, None, photo, picture, str(error))


def page(lesson: Lesson, text: str) -> str:
    """The sheet as a file that opens offline; nothing in it is loaded or run."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "img-src data:; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{blocks.escaped(lesson.title)}</title><style>{_ALONE}{CSS}</style></head>"
        f"<body>{text}</body></html>"
    )


def body(
    lesson: Lesson, members: Collection, entries: Sequence[Entry], made: datetime.datetime
) -> str:
    """The sheet's own HTML."""
    esc = blocks.escaped
    parts = [
        f'<div class="sheet"><h1>{esc(lesson.title)}</h1><p>{esc(lesson.idea)}</p>',
        f"<p><small>{len(entries)} steps, {lesson.minutes} minutes. Expected figures computed on "
        f"{made:%d %B %Y at %H:%M} by this playground on {len(members.photos):,} photos of "
        f"{esc(members.title)} ({members.fingerprint[:12]}). With other weights or photos they "
        f"differ; the explanations go with the figures. ✓ right landmark, ✗ another, – not "
        f"judged.</small></p>",
    ]
    parts += [_step(number, one) for number, one in enumerate(entries, 1)]
    return "".join([*parts, "</div>"])


def _step(number: int, entry: Entry) -> str:
    esc, one = blocks.escaped, entry.step
    question = one.question
    if isinstance(question, Number):
        unit = f" {question.unit}" if question.unit else ""
        asked = f"<p>A number, {question.low:g} to {question.high:g}{esc(unit)}.</p>"
    else:
        options = "".join(f"<li>{esc(label)}</li>" for label in question.options(one.runs).values())
        asked = f"<ul>{options}</ul>"
    minutes = f'<span class="minutes">{one.minutes} min</span>'
    return (
        f'<section class="step"><h2>{number}. {esc(one.title)} {minutes}</h2>'
        f'<div class="asked">{blocks.image(entry.picture, "The query")}<div>'
        f"<p>{esc(_unmarked(one.setup))}</p><p><b>{esc(question.text)}</b></p>{asked}</div></div>"
        f"{_expected(entry)}</section>"
    )


def _expected(entry: Entry) -> str:
    esc, one, answer = blocks.escaped, entry.step, entry.answer
    if answer is None:
        return f"<p class='answer'>No expected figures: {esc(entry.lacks)}</p>"
    verdict = one.question.judge(one.runs, answer.figures)
    header, rows = words.figures(one, answer)
    marks = [_marks(answer, at) for at in range(len(rows))]
    if any(marks):
        header = [*header, f"The first {_SHOWN}"]
        rows = [[*row, mark] for row, mark in zip(rows, marks, strict=True)]
    head = "".join(f"<th>{esc(name)}</th>" for name in header)
    cells = "".join(
        "<tr>" + "".join(f"<td>{esc(text)}</td>" for text in row) + "</tr>" for row in rows
    )
    told = words.clock(one, answer, answers.now())
    clock = f"<p><small>{esc(told)}</small></p>" if told else ""
    return (
        f'<div class="answer"><b>Expected: {esc(verdict.answer)}.</b> '
        f"{esc(_unmarked(verdict.because))}</div>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{cells}</tbody></table>{clock}"
    )


def _marks(answer: Answer, at: int) -> str:
    """A ranking on paper: one sign per photo."""
    result = answer.outcomes[at].result
    if result is None or answer.truth is None:
        return ""
    signs = {True: "✓", False: "✗", None: "–"}
    return "".join(signs[answer.truth.verdict(hit.id, hit.label)] for hit in result.hits[:_SHOWN])


def _unmarked(text: str) -> str:
    """The lessons' own Markdown is bold and italics alone."""
    return text.replace("*", "")
