"""The Accuracy page in a real browser: evaluate, click a point, download, phone width."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Tab, serving
from ui_fakes import NAME, JunkSource

from data import importing
from indexing.build import build

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def server(chrome: Any, tmp_path_factory: Any) -> Iterator[str]:
    """A collection with junk, built with hog on two indexes; nothing is evaluated."""
    folder = tmp_path_factory.mktemp("accuracy")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLAYGROUND_HOME", str(folder / "home"))
        importing.import_collection(NAME, JunkSource(folder / "photos"))
        build(NAME, ["hog"], ["flat", "pq"])
    with serving(folder / "home") as url:
        yield url


def test_from_the_button_to_the_two_rankings(chrome: Any, server: str) -> None:
    tab = Tab(chrome, server)
    page = tab.page
    tab.open("/accuracy")
    page.get_by_role("button", name="Evaluate", exact=True).click()
    page.get_by_text("Query by query").wait_for(timeout=120_000)
    tab.settle()
    page.get_by_role("button", name="Dismiss").wait_for(state="detached")

    # A click on a point chooses its query, and its rankings follow.
    value = page.locator(".st-key-a_query input")
    points = page.locator("[class*=st-key-a_scatter] .mark-symbol path")
    points.first.wait_for()
    assert points.count() == 3
    before = value.input_value()
    for place in range(3):
        name = (points.nth(place).get_attribute("aria-label") or "").partition("Query: ")[2]
        points.nth(place).click(force=True)
        tab.settle()
        if value.input_value() != before and value.input_value().startswith(name.split(";")[0]):
            break
    else:
        pytest.fail("no click on a point chose its query")
    pair = page.locator(".row").filter(has=page.locator(".name", has_text="Flat")).first
    assert pair.locator(".hit.ok").count() == 3
    assert pair.locator(".hit.junk").count() == 1
    assert pair.locator(".hit.no").count() == 8
    assert "junk, not judged" in (pair.locator(".hit.junk").get_attribute("aria-label") or "")

    pair.locator(".hit").first.click()
    page.get_by_role("dialog").get_by_text("360 x 260 px").wait_for()
    page.keyboard.press("Escape")
    with page.expect_download() as given:
        page.get_by_role("button", name="CSV", exact=True).click()
    assert given.value.suggested_filename == f"accuracy-{NAME}-revisited.csv"
    lines = Path(given.value.path()).read_text().splitlines()
    assert len(lines) == 3
    assert "map_ci_low" in lines[0]
    tab.close()

    phone = Tab(chrome, server, 390, 844)
    phone.open("/accuracy")
    phone.page.locator(".row").first.wait_for()
    scroll, client = phone.frame_size()
    assert scroll <= client
    phone.close()
