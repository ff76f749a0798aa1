"""One lesson from beginning to end in a real browser, on a real part of the demo."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from browser import Tab, serving
from learn_demo import write_part

from data import importing
from data.demo import DemoSource
from indexing.build import build
from pages.learn.lesson import Number
from pages.learn.lessons.registry import LESSONS

pytestmark = [pytest.mark.browser, pytest.mark.bundled]

LESSON = LESSONS["codes"]


@pytest.fixture(scope="module")
def server(chrome: Any, tmp_path_factory: Any) -> Iterator[str]:
    """The landmarks of the lesson's queries, and all indexes that it names."""
    folder = tmp_path_factory.mktemp("learn")
    landmarks = {step.query.partition("_")[0] for step in LESSON.steps}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLAYGROUND_HOME", str(folder / "home"))
        importing.import_collection("demo", DemoSource(write_part(folder / "part", landmarks)))
        build("demo", ["gem-siamese"], ["flat", "pq", "lsh", "lsh:nbits=64"])
    with serving(folder / "home") as url:
        yield url


def address(tab: Tab) -> dict[str, list[str]]:
    return parse_qs(urlsplit(tab.page.url).query)


def test_a_lesson_from_the_first_prediction_to_the_sheet(chrome: Any, server: str) -> None:
    tab = Tab(chrome, server, 1280, 720)
    page = tab.page
    tab.open("/learn")
    page.locator(".st-key-learn_begin-codes").get_by_role("button", name="Begin").first.click()
    page.get_by_role("heading", name=LESSON.title).wait_for()
    for number, step in enumerate(LESSON.steps, 1):
        page.get_by_role("heading", name=f"{number}. {step.title}").wait_for()
        tab.settle()
        # With the keyboard alone.
        if isinstance(step.question, Number):
            page.get_by_role("spinbutton").focus()
            page.keyboard.type("7")
            page.keyboard.press("Enter")
        else:
            page.get_by_role("radio").first.focus()
            page.keyboard.press("Space")
            tab.settle()
            page.locator(".st-key-learn_reveal button").focus()
            page.keyboard.press("Enter")
        page.get_by_text("The engine says:").wait_for()
        tab.settle()
        rows = page.locator("section.row")
        rows.first.wait_for()
        assert rows.count() == len(step.runs)
        assert rows.first.locator("[data-rank='1']").count() == 1
        assert len(address(tab)["said"]) == number
        link = page.get_by_role("link", name="Open this in Search").get_attribute("href") or ""
        assert parse_qs(urlsplit(link).query)["query"] == [step.query]
        page.locator(".st-key-learn_on button").click()
    page.get_by_text(re.compile(r"5 of 5 steps")).wait_for()

    # Back leads to the last step, as it was answered; a new visit by its address, too.
    page.go_back()
    page.get_by_text("The engine says:").wait_for()
    said = page.url
    assert address(tab)["step"] == ["5"]
    with page.expect_popup() as opened:
        page.get_by_role("link", name="Open this in Search").click()
    opened.value.locator("h1").first.wait_for()
    assert opened.value.url.startswith(f"{server}/?")
    opened.value.locator("[data-rank='1']").first.wait_for()
    opened.value.close()
    tab.close()

    phone = Tab(chrome, server, 390, 844)
    phone.open(said.removeprefix(server))
    phone.page.get_by_text("The engine says:").wait_for()
    scroll, client = phone.frame_size()
    assert scroll <= client
    phone.open("/learn?lesson=codes&sheet=1")
    phone.page.locator(".sheet .step").nth(4).wait_for()
    with phone.page.expect_download() as given:
        phone.page.get_by_role("button", name="Save as HTML").click()
    kept = Path(given.value.path()).read_text(encoding="utf-8")
    assert kept.count("Expected: ") == len(LESSON.steps)
    phone.page.emulate_media(media="print")
    assert phone.page.locator(".sheet h1").is_visible()
    assert not phone.page.get_by_role("button", name="Save as HTML").is_visible()
    phone.close()
