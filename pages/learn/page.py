"""Learn: lessons on the real index. Predict, reveal what the engine answers, read why."""

from __future__ import annotations

import dataclasses

import streamlit as st

from data.errors import PlaygroundError
from pages.learn import progress, sheet, step
from pages.learn.lesson import Lesson
from pages.learn.lessons.registry import LESSONS
from pages.learn.progress import Place
from pages.parts import backend, looks
from pages.parts.text import plain

COLLECTION = "demo"
_SAID = "learn_predictions"


def main() -> None:
    params = {name: st.query_params.get_all(name) for name in st.query_params}
    place = progress.read(params, LESSONS)
    if not params and _SAID in st.session_state:  # back from another page by the menu
        place = dataclasses.replace(place, said=st.session_state[_SAID])
    if place.lesson is None:
        _overview(place)
        return
    lesson = LESSONS[place.lesson]
    if place.sheet:
        beside = looks.heading("For teachers", "Questions, what the engine answers now, minutes.")
    else:
        beside = looks.heading(lesson.title, lesson.idea)
    with beside:
        _steps(place, lesson)
    try:
        members = backend.collection(COLLECTION)
    except PlaygroundError:
        st.info(
            "The lessons are about the demo collection, which is not here. Start the playground "
            "without PLAYGROUND_DEMO=off, and it is prepared."
        )
        return
    with backend.guard("show this lesson"):
        if place.sheet:
            sheet.draw(lesson, members)
        else:
            step.draw(place, lesson, members, _go)


def _go(place: Place) -> None:
    """Another place: a new address, so that Back leads here."""
    st.session_state[_SAID] = place.said
    st.query_params.from_dict(progress.params_of(place))


def _overview(place: Place) -> None:
    looks.heading(
        "Learn",
        "Predict what the engine will find, reveal what it finds, and see why. Every answer is "
        "computed when you ask for it.",
    )
    with st.container(key="learn_lessons"):
        cards = st.grid("auto", min_column_width=270, gap="small", border=True)
        for number, lesson in enumerate(LESSONS.values(), 1):
            with cards.cell():
                _card(place, number, lesson)


def _card(place: Place, number: int, lesson: Lesson) -> None:
    done, count = place.answered(lesson), len(lesson.steps)
    st.markdown(f"**{number}. {plain(lesson.title)}**  \n{plain(lesson.idea)}")
    st.progress(done / count, text=f"{done} of {count} steps · {lesson.minutes} minutes")
    label = "Begin" if not done else "Go on" if done < count else "See it again"
    with st.container(horizontal=True, gap="small"):
        st.button(
            label,
            key=f"learn_begin-{lesson.name}",
            type="primary" if done < count else "secondary",
            on_click=_go,
            args=(place.at(lesson.name, place.first_open(lesson)),),
            help=lesson.title,
        )
        st.button(
            "For teachers",
            key=f"learn_sheet-{lesson.name}",
            type="tertiary",
            on_click=_go,
            args=(place.at(lesson.name, sheet=True),),
            help="Questions, expected figures and minutes, to print or to keep",
        )
        if done:
            st.button(
                "Forget",
                key=f"learn_forget-{lesson.name}",
                type="tertiary",
                on_click=_go,
                args=(place.forgetting(lesson.name),),
                help="Forget the predictions of this lesson",
            )


def _steps(place: Place, lesson: Lesson) -> None:
    count = len(lesson.steps)
    with st.container(
        horizontal=True, horizontal_alignment="right", vertical_alignment="center", gap="small"
    ):
        st.button("Lessons", key="learn_all", on_click=_go, args=(place.at(None),))
        if place.sheet:
            st.button("To the lesson", key="learn_lesson", on_click=_go, args=(_begin(place),))
            return
        st.button(
            "‹",
            key="learn_back",
            help="The step before",
            disabled=place.step == 1,
            on_click=_go,
            args=(place.at(lesson.name, place.step - 1),),
        )
        st.markdown(f"Step {place.step} of {count}", width="content")
        st.button(
            "›",
            key="learn_next",
            help="The next step",
            disabled=place.step == count,
            on_click=_go,
            args=(place.at(lesson.name, place.step + 1),),
        )


def _begin(place: Place) -> Place:
    assert place.lesson is not None
    return place.at(place.lesson, place.first_open(LESSONS[place.lesson]))


main()
