"""One step on the page: the query, the question, and what the engine answers to it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import cv2
import streamlit as st

from data.errors import PlaygroundError
from pages.learn import answers, words
from pages.learn.answers import Answer
from pages.learn.lesson import Lesson, Number, Step, in_words, is_right
from pages.learn.progress import Place
from pages.parts import backend, building, compare, details, results, thumbnails
from pages.parts.text import plain
from retrieval.compare import kind_of

if TYPE_CHECKING:
    from data.base import Photo
    from data.store import Collection
    from evaluation.tradeoffs.live import LiveIndex
    from extractors.base import RGB

_KEPT = 24  # answers that a session keeps: going back measures nothing again
_BOXES = ((36, 87, 214), (224, 122, 31), (26, 147, 111))  # RGB of the regions on the query
_SIDE = 900  # px

Go = Callable[[Place], None]


def draw(place: Place, lesson: Lesson, members: Collection, go: Go) -> None:
    """The step that the address names."""
    step = lesson.steps[place.step - 1]
    said = place.said.get((lesson.name, place.step))
    left, right = st.columns([4, 8], gap="large")
    with left:
        st.subheader(f"{place.step}. {step.title}", anchor=False)
        st.markdown(step.setup)
        photo = answers.query_of(members, step)
        if said is not None:
            _query(members, step, photo, small=True)
        st.markdown(f"**{step.question.text}**")
        answered = st.container()
    if said is None:
        with answered:
            _ask(place, lesson, step, go)
        with right:
            _query(members, step, photo, small=False)
        return
    with right, backend.guard("answer this step"):
        found = _answer(place, lesson, step, members)
    if found is None:
        return
    answer, at = found
    with answered:
        _verdict(place, lesson, step, answer, said, go)
    with right:
        _shown(members, step, answer, at, place)


def _ask(place: Place, lesson: Lesson, step: Step, go: Go) -> None:
    key = f"learn_said-{lesson.name}-{place.step}"
    question = step.question
    if isinstance(question, Number):
        with st.form(f"learn_form-{lesson.name}-{place.step}", border=False):
            whole = question.over is None
            unit = f" ({question.unit})" if question.unit else ""
            value = st.number_input(
                f"Your prediction{unit}, {question.low:g} to {question.high:g}",
                int(question.low) if whole else question.low,
                int(question.high) if whole else question.high,
                value=None,
                key=key,
                placeholder="a number",
            )
            if st.form_submit_button("Reveal", type="primary", key="learn_reveal"):
                if value is None:
                    st.caption("Predict a number first.")
                else:
                    go(place.saying(f"{value:g}"))
                    st.rerun()
        return
    options = question.options(step.runs)
    picked = st.radio(
        "Your prediction", list(options), index=None, format_func=_label_of(options), key=key
    )
    st.button(
        "Reveal",
        type="primary",
        key="learn_reveal",
        disabled=picked is None,
        on_click=go,
        args=(place.saying(str(picked)),),
    )


def _label_of(options: dict[str, str]) -> Callable[[str], str]:
    return lambda key: plain(options[key])


def _verdict(place: Place, lesson: Lesson, step: Step, answer: Answer, said: str, go: Go) -> None:
    verdict = step.question.judge(step.runs, answer.figures)
    right = is_right(step.question, verdict, said)
    badge = ":green-badge[✓ as predicted]" if right else ":orange-badge[✗ not as predicted]"
    st.markdown(
        f"Predicted: {plain(in_words(step.question, step.runs, said))}  \n"
        f"**The engine says: {plain(verdict.answer)}** {badge}"
    )
    st.markdown(verdict.because)
    with st.container(horizontal=True, gap="small"):
        last = place.step == len(lesson.steps)
        st.button(
            "All lessons" if last else "Next step",
            key="learn_on",
            type="primary",
            on_click=go,
            args=(place.at(None) if last else place.at(lesson.name, place.step + 1),),
        )
        without = {key: one for key, one in place.said.items() if key != (lesson.name, place.step)}
        st.button(
            "Predict again",
            key="learn_again",
            on_click=go,
            args=(dataclasses.replace(place, said=without),),
        )


# The query


def _query(members: Collection, step: Step, photo: Photo, small: bool) -> None:
    """The query photo with the regions that are searched."""
    regions = dict.fromkeys(answers.box_of(photo, run) for run in step.runs)
    url = query_url(members, step, _SIDE)
    height = 150 if small else 400
    width = min(600, round(height * photo.width / photo.height))
    st.image(url, width=width, alt=f"The query: {backend.caption(members, photo)}")
    if not small:
        names = []
        if len(regions) > 1:
            for number, box in enumerate(regions):
                runs = [run.name for run in step.runs if answers.box_of(photo, run) == box]
                colour = ("blue", "orange", "green")[number % 3]
                names.append(f":{colour}-badge[{plain(', '.join(runs))}]")
        caption = f"The query: **{plain(backend.caption(members, photo))}**"
        st.caption(" ".join([caption, *names]))


def query_url(members: Collection, step: Step, side: int) -> str:
    """The query photo with its regions drawn on it, as a data URL."""
    photo = answers.query_of(members, step)
    pixels, _ = backend.read_photo(members, photo)
    regions = dict.fromkeys(answers.box_of(photo, run) for run in step.runs)
    return backend.picture_url(_boxed(pixels, list(regions)), side)


def _boxed(pixels: RGB, boxes: list[Any]) -> RGB:
    """A copy of the photo with the regions drawn on it."""
    drawn = pixels.copy()
    thick = max(2, round(max(pixels.shape[:2]) / 150))
    for number, (x0, y0, x1, y1) in enumerate(boxes):
        inner = (x0 + thick // 2, y0 + thick // 2), (x1 - thick, y1 - thick)
        cv2.rectangle(drawn, *inner, _BOXES[number % len(_BOXES)], thick)
    return drawn


# The answer


def _answer(
    place: Place, lesson: Lesson, step: Step, members: Collection
) -> tuple[Answer, str] | None:
    """What the engine says, once per session; None, with a sentence, where something lacks."""
    kept: OrderedDict[Any, tuple[Answer, str]]
    kept = st.session_state.setdefault("learn_answers", OrderedDict())
    seen = building.look(members.name)
    needed = {answers.recipe_of(run).extractor for run in step.runs}
    stamp = str(
        [
            (one.extractor, one.weights, one.n, [index.index for index in one.indexes])
            for one in seen.found
            if one.extractor in needed
        ]
    )
    key = (lesson.name, place.step, members.fingerprint, stamp)
    if key in kept:
        kept.move_to_end(key)
        return kept[key]
    if not padded(members, step):
        return None
    try:
        with st.spinner("The engine is answering …"):
            found = answer_of(members, step)
    except PlaygroundError as error:
        st.info(f"This step cannot be answered yet. {plain(str(error))}")
        if seen.job is None:
            backend.offer_build(error)
        building.progress_strip(seen)
        return None
    kept[key] = (found, answers.now())
    while len(kept) > _KEPT:
        kept.popitem(last=False)
    return kept[key]


def answer_of(members: Collection, step: Step) -> Answer:
    """Ask the engine now.

    Raises:
        PlaygroundError: something is not built.
    """
    busy = any(job.state == "running" for job in backend.jobs())
    found = answers.answer(backend.engine(), members, step, _padded_index)
    return dataclasses.replace(found, alone=found.alone and not busy)


def padded(members: Collection, step: Step, key: str = "learn_pad") -> bool:
    """Whether the padded vectors that a step needs are there; offers to make them."""
    lacking = answers.lacks_padding(members, step)
    if not lacking:
        return True
    ready = {one.extractor for one in backend.statuses(members.name) if one.current}
    if not {extractor for extractor, _ in lacking} <= ready:
        return True  # the engine says what is not built, and how to build it
    dims = [backend.engine().vectors(members.name, one).vectors.shape[1] for one, _ in lacking]
    size = sum(4 * dim * count for dim, (_, count) in zip(dims, lacking, strict=True))
    listed = " and ".join(f"{count:,} vectors" for _, count in lacking)
    st.info(
        f"This step needs {listed}, most of them simulated after the demo's own. They are made "
        f"once and take {compare.size(size)} of the disk."
    )
    if not st.button("Make them", key=key, type="primary"):
        return False
    from evaluation.tradeoffs import live

    with st.spinner("Drawing vectors …", show_time=True):
        for extractor, count in lacking:
            live.open_set(members.name, extractor, count)
    return True


def _padded_index(collection: str, extractor: str, count: int, index: str) -> LiveIndex:
    version = backend.engine().vectors(collection, extractor).version
    return _built(version, collection, extractor, count, index)


@st.cache_resource(max_entries=4, show_spinner="Building the index …")
def _built(version: str, collection: str, extractor: str, count: int, index: str) -> LiveIndex:
    from evaluation.tradeoffs import live
    from indexing import registry

    del version  # only part of the cache's key
    vectors = live.open_set(collection, extractor, count or None)
    return live.build(vectors, registry.without_search(index))


def _shown(members: Collection, step: Step, answer: Answer, at: str, place: Place) -> None:
    """Links, figures and photos."""
    with st.container(horizontal=True, gap="small"):
        for label, url in words.links(members, step).items():
            st.link_button(label, url)
    if any(one.result is None for one in answer.outcomes):
        header, rows = words.figures(step, answer)
        lines = [header, ["---"] * len(header), *[[plain(one) for one in row] for row in rows]]
        st.markdown("\n".join("| " + " | ".join(line) + " |" for line in lines))
        st.caption("Computed from the index's plan; nothing of that size was built.")
        return
    told = words.clock(step, answer, at)
    if told:
        st.caption(told)
    data = _payload(members, step, answer)
    clicked = results.results_grid(data, key=f"learn_grid-{place.lesson}-{place.step}")
    if clicked is not None:
        _open(members, answer, clicked)


def _payload(members: Collection, step: Step, answer: Answer) -> dict[str, Any]:
    outcomes = [one for one in answer.outcomes if one.result is not None]
    rows = [
        compare.Row(one.result, one.stats, answer.truth, one.exact, measured=one.measured)
        for one in outcomes
        if one.result is not None
    ]
    photos = {hit.id: members.photo(hit.id) for row in rows for hit in row.hits}
    thumbs = {one: thumbnails.url(members, photo) for one, photo in photos.items()}
    labels = {one: backend.marked(members, photo) for one, photo in photos.items()}
    query = answers.query_of(members, step)
    kind = kind_of(members, query, query.label)
    kin = frozenset(one for one, photo in photos.items() if kind and photo.kind == kind)
    data = compare.payload(rows, thumbs, labels, {}, kin)
    several = len({one.box for one in outcomes}) > 1
    for number, (drawn, one) in enumerate(zip(data["rows"], outcomes, strict=True)):
        title = backend.row_title(one.recipe.extractor, one.recipe.index, one.recipe.chain)
        drawn["id"] = str(number)  # two regions may share a recipe
        drawn["title"], drawn["index"] = one.run.name, title
        told = words.facts(step, answer, one)
        drawn["badges"] = [[fact, "blue" if at == 0 else "grey"] for at, fact in enumerate(told)]
        drawn["notes"] = []
        if several:
            drawn["picture"] = _crop_url(members, query, one.box)
    text = json.dumps([data["rows"], members.fingerprint])
    data["key"] = hashlib.sha1(text.encode()).hexdigest()
    return data


def _crop_url(members: Collection, photo: Photo, box: Any) -> str:
    pixels, _ = backend.read_photo(members, photo)
    x0, y0, x1, y1 = box
    return backend.picture_url(pixels[y0:y1, x0:x1], 200)


def _open(members: Collection, answer: Answer, clicked: dict[str, str]) -> None:
    outcomes = [one for one in answer.outcomes if one.result is not None]
    number = int(clicked["row"])
    if number >= len(outcomes):
        return
    outcome = outcomes[number]
    assert outcome.result is not None
    for hit in outcome.result.hits:
        if hit.id == clicked["id"]:
            verdict = answer.truth.verdict(hit.id, hit.label) if answer.truth else None
            details.show_photo(
                members,
                members.photo(hit.id),
                hit,
                outcome.run.name,
                verdict,
                after=lambda: st.switch_page("pages/search/page.py"),
            )
            return
