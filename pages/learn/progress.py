"""Where a learner is, as the address says it: lesson, step and predictions. No Streamlit."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from pages.learn.lesson import Lesson, Number

_MOST = 24  # characters of a prediction


@dataclasses.dataclass(frozen=True)
class Place:
    """What the address says.

    Attributes:
        lesson: None: the list of all lessons.
        step: from 1.
        sheet: the lesson's sheet for teachers is shown.
        said: (lesson, step) to the prediction.
    """

    lesson: str | None = None
    step: int = 1
    sheet: bool = False
    said: Mapping[tuple[str, int], str] = dataclasses.field(default_factory=dict)

    def at(self, lesson: str | None, step: int = 1, sheet: bool = False) -> Place:
        """Elsewhere, with the same predictions."""
        return dataclasses.replace(self, lesson=lesson, step=step, sheet=sheet)

    def saying(self, prediction: str) -> Place:
        """With a prediction for the step that is shown."""
        assert self.lesson is not None
        return dataclasses.replace(self, said={**self.said, (self.lesson, self.step): prediction})

    def forgetting(self, lesson: str) -> Place:
        """Without the predictions of a lesson."""
        return dataclasses.replace(
            self, said={key: one for key, one in self.said.items() if key[0] != lesson}
        )

    def answered(self, lesson: Lesson) -> int:
        """Steps of a lesson that were predicted."""
        return sum((lesson.name, at) in self.said for at in range(1, len(lesson.steps) + 1))

    def first_open(self, lesson: Lesson) -> int:
        """The first step that was not predicted; the first of all where none is left."""
        steps = range(1, len(lesson.steps) + 1)
        return next((at for at in steps if (lesson.name, at) not in self.said), 1)


def read(params: Mapping[str, Sequence[str]], lessons: Mapping[str, Lesson]) -> Place:
    """Read an address. What is missing or makes no sense is left out: links never fail."""

    def last(name: str) -> str:
        return next((one for one in reversed(params.get(name, ())) if one), "")

    said = {}
    for text in params.get("said", ()):
        name, _, rest = text.partition(".")
        number, _, prediction = rest.partition(".")
        step = _step(number)
        known = name in lessons and 1 <= step <= len(lessons[name].steps)
        if known and _legal(lessons[name], step, prediction):
            said[name, step] = prediction
    name = last("lesson")
    if name not in lessons:
        return Place(said=said)
    step = min(max(1, _step(last("step"))), len(lessons[name].steps))
    return Place(name, step, last("sheet") == "1", said)


def _step(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 0


def _legal(lesson: Lesson, step: int, prediction: str) -> bool:
    one = lesson.steps[step - 1]
    if not isinstance(one.question, Number):
        return prediction in one.question.options(one.runs)
    try:
        value = float(prediction) if len(prediction) <= _MOST else float("nan")
    except ValueError:
        return False
    return one.question.low <= value <= one.question.high


def params_of(place: Place) -> dict[str, str | list[str]]:
    """The address of a place."""
    params: dict[str, str | list[str]] = {}
    if place.lesson is not None:
        params["lesson"] = place.lesson
        if place.sheet:
            params["sheet"] = "1"
        else:
            params["step"] = str(place.step)
    if place.said:
        params["said"] = [f"{name}.{step}.{one}" for (name, step), one in place.said.items()]
    return params
