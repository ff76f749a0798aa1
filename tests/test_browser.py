"""The pages in a real browser, on a real build of a small collection."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Tab, serving
from ui_fakes import draw

from data.paths import PROJECT_ROOT

pytestmark = pytest.mark.browser

IMPORT = """
import sys
from pathlib import Path
from data import importing
from data.demo import DemoSource
for name in ("toy", "other"):
    importing.import_collection(name, DemoSource(Path(sys.argv[1])), title=name)
"""


@pytest.fixture(scope="session")
def server(chrome: Any, toy_folder: Path, tmp_path_factory: Any) -> Iterator[str]:
    """A server with two collections; ``toy`` is built with hog and bovw, ``other`` is not."""
    home = tmp_path_factory.mktemp("browser") / "home"
    environment = os.environ | {"PLAYGROUND_HOME": str(home)}

    def python(*arguments: str) -> None:
        subprocess.run(
            [sys.executable, *arguments], cwd=PROJECT_ROOT, env=environment, check=True, timeout=300
        )

    python("-c", IMPORT, str(toy_folder))
    python(
        *("-m", "scripts.build", "--collection", "toy"),
        *("--extractors", "hog,bovw", "--indexes", "all"),
    )
    with serving(home) as url:
        yield url


@pytest.fixture
def tab(chrome: Any, server: str) -> Iterator[Tab]:
    one = Tab(chrome, server)
    yield one
    one.close()


@pytest.fixture
def phone(chrome: Any, server: str) -> Iterator[Tab]:
    one = Tab(chrome, server, 390, 844)
    yield one
    one.close()


@pytest.fixture
def projector(chrome: Any, server: str) -> Iterator[Tab]:
    one = Tab(chrome, server, 1280, 720)
    yield one
    one.close()


def region(tab: Tab) -> str:
    found = tab.page.locator("[data-testid=stCaptionContainer]", has_text="Searched region")
    return str(found.inner_text())


def searched(tab: Tab, words: str) -> None:
    """Wait until the page says that this region is searched."""
    tab.page.locator("[data-testid=stCaptionContainer]", has_text="Searched region").filter(
        has_text=words
    ).wait_for()
    tab.settle()


def focused(tab: Tab, attribute: str) -> str:
    """An attribute of the element that has the focus, in whatever component it lies."""
    return str(
        tab.page.evaluate(
            "(name) => { let n = document.activeElement;"
            " while (n.shadowRoot?.activeElement) n = n.shadowRoot.activeElement;"
            " return n.getAttribute(name); }",
            attribute,
        )
    )


Place = tuple[float, float]
"""A part of the photo's width and height."""


def stage(tab: Tab, place: Place) -> tuple[float, float]:
    """Where a place of the cropped photo is on the screen, px."""
    found = tab.page.locator(".stage")
    found.wait_for()
    found.scroll_into_view_if_needed()
    box = found.bounding_box()
    assert box is not None
    return box["x"] + place[0] * box["width"], box["y"] + place[1] * box["height"]


def box_of(tab: Tab) -> list[int]:
    """The box that the browser shows, px of the photo."""
    return [
        int(side)
        for side in str(tab.page.locator(".box[data-box]").get_attribute("data-box")).split(",")
    ]


def drag(tab: Tab, start: Place, end: Place) -> None:
    """Drag on the cropper with the mouse, and wait for the search."""
    tab.settle()
    tab.page.mouse.move(*stage(tab, start))
    tab.page.mouse.down()
    tab.page.mouse.move(*stage(tab, end), steps=8)
    tab.page.mouse.up()
    tab.settle()


def touch(tab: Tab, start: Place, end: Place) -> None:
    """The same with a finger."""
    tab.settle()
    client = tab.context.new_cdp_session(tab.page)

    def send(kind: str, *places: Place) -> None:
        points = [dict(zip("xy", stage(tab, place), strict=True)) for place in places]
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    send("touchStart", start)
    for step in range(1, 9):
        part = step / 8
        send("touchMove", tuple(a + (b - a) * part for a, b in zip(start, end, strict=True)))  # type: ignore[arg-type]
    send("touchEnd")
    tab.settle()


def test_a_deep_link_works_as_the_first_request(tab: Tab) -> None:
    tab.open("/collections?any=thing")
    tab.page.get_by_role("heading", name="Collections").wait_for()
    tab.page.get_by_role("link", name="Search").wait_for()
    tab.settle()
    assert tab.page.get_by_text("Page not found").count() == 0


def test_the_name_of_the_first_page_leads_to_it(tab: Tab) -> None:
    tab.open("/search?collection=toy&k=5&extractors=hog&extractors=bovw")
    tab.page.locator(".row").first.wait_for()
    tab.settle()
    assert tab.page.get_by_text("Page not found").count() == 0
    assert "k=5" in tab.page.url
    assert tab.page.url.count("extractors=") == 2


def test_search_shows_rows_table_and_badges(tab: Tab) -> None:
    tab.open("/?collection=toy&extractors=hog&extractors=bovw&indexes=flat&indexes=ivf")
    page = tab.page
    page.locator(".row").nth(3).wait_for()
    assert page.locator(".row").count() == 4  # hog and bovw on flat and ivf
    assert page.locator(".row .hit").count() > 40
    page.get_by_text("extract", exact=False).first.wait_for()
    assert "160 x 130 px of 200 x 150" in region(tab)
    assert page.locator(".hit.ok").count() > 0
    assert page.locator(".hit.no").count() > 0
    first = page.locator(".row .hit").first
    assert re.match(r"Rank 1, Toy landmark \d, score ", first.get_attribute("aria-label") or "")
    assert (first.get_attribute("data-rank"), first.get_attribute("data-row")) == ("1", "hog|flat")
    first.scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    assert first.locator("img").evaluate("img => img.naturalWidth") > 0


def test_ranks_stay_aligned_when_one_row_is_scrolled(tab: Tab) -> None:
    tab.open("/?collection=toy&extractors=hog&extractors=bovw&indexes=flat&indexes=ivf&k=30")
    strips = tab.page.locator(".rows .strip")
    strips.nth(3).wait_for()
    strips.nth(2).evaluate("node => { node.scrollLeft = 700; }")
    tab.page.wait_for_timeout(500)
    places = strips.evaluate_all("nodes => nodes.map((node) => Math.round(node.scrollLeft))")
    assert len(set(places)) == 1
    assert places[0] > 600
    tab.page.get_by_role("button", name="Earlier ranks").click()
    tab.page.wait_for_timeout(1000)
    assert strips.nth(0).evaluate("node => node.scrollLeft") == 0


def test_arrow_keys_walk_through_the_results(tab: Tab) -> None:
    tab.open("/?collection=toy&extractors=hog&extractors=bovw&indexes=flat&indexes=ivf")
    tab.page.locator(".hit").first.focus()
    tab.page.keyboard.press("ArrowRight")
    tab.page.keyboard.press("ArrowDown")
    assert focused(tab, "aria-label").startswith("Rank 2,")
    assert focused(tab, "data-row") == "hog|ivf"


def test_dragging_a_corner_changes_box_crop_and_link(tab: Tab) -> None:
    tab.open("/?collection=toy&extractors=hog")
    drag(tab, (0.9, 0.933), (0.5, 0.5))
    found = re.search(r"(\d+) x (\d+) px of 200 x 150", region(tab))
    assert found is not None
    assert abs(int(found[1]) - 80) <= 4
    assert abs(int(found[2]) - 65) <= 4
    box = re.search(r"box=(\d+)%2C(\d+)%2C(\d+)%2C(\d+)", tab.page.url)
    assert box is not None
    assert int(box[3]) - int(box[1]) == int(found[1])
    tab.page.get_by_role("button", name="Whole photo").click()
    searched(tab, "whole photo, 200 x 150 px")
    assert box_of(tab) == [0, 0, 200, 150]
    tab.page.get_by_role("button", name="Reset box").click()
    searched(tab, "160 x 130 px")
    assert box_of(tab) == [20, 10, 180, 140]


def test_a_box_dragged_over_the_edge_stays_inside_and_keeps_its_size(tab: Tab) -> None:
    tab.open("/?collection=toy&extractors=hog")
    assert box_of(tab) == [20, 10, 180, 140]
    drag(tab, (0.5, 0.5), (-0.2, -0.3))
    assert box_of(tab) == [0, 0, 160, 130]
    tab.page.wait_for_url(re.compile("box=0%2C0%2C160%2C130"))


def test_a_drag_beside_the_box_draws_a_new_one(tab: Tab) -> None:
    tab.open("/?collection=toy&source=photo&query=toy-1-02&box=10,10,60,60&extractors=hog")
    drag(tab, (0.5, 0.5), (1.3, 0.9))
    x0, y0, x1, y1 = box_of(tab)
    assert abs(x0 - 100) <= 1 and abs(y0 - 75) <= 1 and x1 == 200 and abs(y1 - 135) <= 1
    tab.page.wait_for_url(re.compile(f"box={x0}%2C{y0}%2C{x1}%2C{y1}"))
    drag(tab, (0.2, 0.2), (0.205, 0.2))  # a click beside it is no box
    assert box_of(tab) == [x0, y0, x1, y1]
    tab.page.get_by_role("button", name="Whole photo").click()
    searched(tab, "whole photo")
    drag(tab, (0.8, 0.8), (0.3, 0.2))  # there is nowhere to move all of the photo to
    x0, y0, x1, y1 = box_of(tab)
    assert abs(x0 - 60) <= 1 and abs(y0 - 30) <= 1 and abs(x1 - 160) <= 1 and abs(y1 - 120) <= 1


def test_a_box_is_sent_when_it_is_released_and_a_run_does_not_move_it(tab: Tab) -> None:
    tab.open("/?collection=toy&extractors=hog&indexes=flat")
    kept = tab.page.locator(".stage").element_handle()
    before = tab.page.url
    tab.page.mouse.move(*stage(tab, (0.9, 0.5)))
    tab.page.mouse.down()
    tab.page.mouse.move(*stage(tab, (0.6, 0.5)), steps=5)
    tab.settle()
    assert box_of(tab)[2] == 120
    assert tab.page.url == before
    tab.page.mouse.up()
    tab.page.wait_for_url(re.compile("box=20%2C10%2C120%2C140"))
    tab.settle()
    assert box_of(tab) == [20, 10, 120, 140]
    assert kept.evaluate("node => node.isConnected")  # drawn once, not again


def test_arrow_keys_move_and_size_the_box(tab: Tab) -> None:
    tab.open("/?collection=toy&extractors=hog&indexes=flat")
    tab.page.locator(".box").focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowDown", "Shift+ArrowLeft", "Shift+ArrowUp"):
        tab.page.keyboard.press(key)
    assert box_of(tab) == [22, 14, 180, 142]
    tab.page.wait_for_url(re.compile("box=22%2C14%2C180%2C142"))
    said = tab.page.locator(".box").get_attribute("aria-label") or ""
    assert said.startswith("Searched region, 158 by 128 pixels at 22, 14.")
    assert "Shift and arrow keys size it" in said
    for _ in range(12):
        tab.page.keyboard.press("ArrowRight")
    assert box_of(tab) == [42, 14, 200, 142]  # it stops at the edge


def test_a_finger_draws_and_moves_the_box(phone: Tab) -> None:
    phone.open("/?collection=toy&extractors=hog&indexes=flat")
    touch(phone, (0.9, 0.933), (0.5, 0.5))  # at the corner's handle
    x0, y0, x1, y1 = box_of(phone)
    assert (x0, y0) == (20, 10)
    assert abs(x1 - 100) <= 2 and abs(y1 - 75) <= 2
    phone.page.wait_for_url(re.compile(f"box={x0}%2C{y0}%2C{x1}%2C{y1}"))
    touch(phone, (0.3, 0.3), (0.5, 0.3))
    assert abs(box_of(phone)[0] - 60) <= 2
    touch(phone, (0.1, 0.9), (0.9, 0.6))
    x0, y0, x1, y1 = box_of(phone)
    assert abs(x0 - 20) <= 2 and abs(x1 - 180) <= 2 and abs(y0 - 90) <= 2 and abs(y1 - 135) <= 2


def test_the_box_survives_a_resized_window_and_a_page_switch(tab: Tab) -> None:
    tab.open("/?collection=toy&extractors=hog")
    drag(tab, (0.9, 0.933), (0.5, 0.5))
    before = region(tab)
    tab.page.set_viewport_size({"width": 800, "height": 900})
    tab.settle()
    tab.settle()
    assert region(tab) == before
    tab.page.set_viewport_size({"width": 1400, "height": 1000})
    tab.settle()
    tab.page.get_by_role("link", name="Methods").click()
    tab.page.get_by_role("heading", name="Methods").wait_for()
    tab.settle()
    tab.page.get_by_role("link", name="Search").click()
    tab.page.get_by_role("heading", name="Search").wait_for()
    tab.settle()
    assert region(tab) == before


def test_a_link_brings_everything_back(tab: Tab) -> None:
    tab.open("/?collection=toy&source=photo&query=toy-1-02&box=10,20,110,120&k=5")
    assert "100 x 100 px of 200 x 150" in region(tab)
    tab.page.get_by_test_id("stButtonGroup").filter(has_text="Flat").get_by_text("PQ").click()
    tab.settle()
    assert tab.page.url.count("indexes=") == 2
    url, rows = tab.page.url, tab.page.locator(".row .name").all_inner_texts()
    tab.page.goto("about:blank")
    tab.page.goto(url)
    tab.page.locator(".row").first.wait_for()
    tab.settle()
    assert tab.page.locator(".row .name").all_inner_texts() == rows
    assert "100 x 100 px of 200 x 150" in region(tab)


def test_back_and_forward_bring_the_queries(tab: Tab) -> None:
    tab.open("/?collection=toy&source=photo&extractors=hog&indexes=flat")
    chosen = tab.page.locator(".strip .item[aria-pressed=true]")
    queries = [chosen.get_attribute("data-id")]
    for number in (2, 4):
        item = tab.page.locator(".strip .item").nth(number)
        queries.append(item.get_attribute("data-id"))
        item.click()
        tab.page.wait_for_url(re.compile(f"query={queries[-1]}"))
        tab.settle()
    for go, wanted in ((tab.page.go_back, 1), (tab.page.go_back, 0), (tab.page.go_forward, 1)):
        go()
        tab.page.wait_for_url(re.compile(f"query={queries[wanted]}"))
        tab.page.locator(f".strip .item[aria-pressed=true][data-id='{queries[wanted]}']").wait_for()
        tab.settle()
        assert f"query={queries[wanted]}" in tab.page.url


def test_a_result_opens_and_becomes_the_query(tab: Tab) -> None:
    tab.open("/?collection=toy&extractors=hog&indexes=flat")
    tab.page.locator(".hit").nth(2).click()
    dialog = tab.page.get_by_role("dialog")
    dialog.wait_for()
    tab.settle()
    dialog.get_by_text("rank 3 in HOG · Flat").wait_for()
    dialog.get_by_text("200 x 150 px").wait_for()
    dialog.get_by_role("button", name="Use as query").click()
    tab.settle()
    tab.page.get_by_role("dialog").wait_for(state="detached")
    tab.page.wait_for_url(re.compile("source=photo"))
    tab.settle()
    assert "whole photo" in region(tab)


def test_arrow_keys_step_through_a_row(tab: Tab) -> None:
    tab.open("/?collection=toy&extractors=hog&indexes=flat&k=4")
    tab.page.locator(".hit").nth(2).click()
    dialog = tab.page.get_by_role("dialog")
    dialog.get_by_text("rank 3 in HOG · Flat").wait_for()
    dialog.get_by_text("is the cosine of the angle").wait_for()
    tab.settle()
    tab.page.keyboard.press("ArrowRight")
    dialog.get_by_text("rank 4 in HOG · Flat").wait_for()
    tab.settle()
    assert dialog.get_by_role("button", name="Next").is_disabled()
    for rank in (3, 2):
        dialog.get_by_role("button", name="Previous").click()
        dialog.get_by_text(f"rank {rank} in HOG · Flat").wait_for()
        tab.settle()
    dialog.get_by_role("button", name="Close").click()
    dialog.wait_for(state="detached")
    # The focus is where it was when the dialog was opened.
    tab.page.locator(".hit").nth(2).and_(tab.page.locator(":focus")).wait_for()
    tab.page.locator(".hit").nth(0).click()
    dialog.get_by_text("rank 1 in HOG · Flat").wait_for()


def test_two_rows_of_results_are_seen_on_a_projector(projector: Tab) -> None:
    projector.open("/?collection=toy&extractors=hog&extractors=bovw")
    hits = projector.page.locator(".row .hit[data-rank='1']")
    hits.nth(1).wait_for()
    assert projector.page.evaluate("document.querySelector('[data-testid=stMain]').scrollTop") == 0
    for number in range(2):
        box = hits.nth(number).bounding_box()
        assert box is not None
        assert box["y"] + box["height"] < 720
        assert box["x"] > projector.page.locator(".stage").bounding_box()["x"] + 300  # type: ignore[index]


def test_on_a_phone_the_results_come_right_after_the_query(phone: Tab) -> None:
    phone.open("/?collection=toy&extractors=hog&extractors=bovw")
    phone.page.locator(".row").nth(1).wait_for()
    phone.settle()
    places = [
        phone.page.locator(f".st-key-search_{part}").bounding_box()["y"]  # type: ignore[index]
        for part in ("query", "results", "methods")
    ]
    assert places == sorted(places)
    pills = phone.page.locator(".st-key-search_methods [data-testid=stButtonGroup] button")
    for number in range(pills.count()):
        box = pills.nth(number).bounding_box()
        assert box is None or box["x"] + box["width"] <= 390  # None: its expander is closed


def test_differences_only_dims_what_all_rows_have(tab: Tab) -> None:
    tab.open("/?collection=toy&extractors=hog&extractors=bovw&indexes=flat&k=9")
    tab.page.locator(".row .hit").nth(17).wait_for()
    rows: dict[str, set[str]] = {}
    for hit in tab.page.locator(".hit").all():
        row = str(hit.get_attribute("data-row"))
        rows.setdefault(row, set()).add(str(hit.get_attribute("data-photo")))
    common = set.intersection(*rows.values())
    assert len(rows) == 2 and common and any(common < found for found in rows.values())
    tab.page.get_by_text("Differences only").click()
    tab.page.wait_for_url(re.compile("differences=1"))
    tab.page.locator(".rows.differ").wait_for()
    dimmed = {
        str(hit.get_attribute("data-photo"))
        for hit in tab.page.locator(".hit").all()
        if float(hit.evaluate("node => getComputedStyle(node).opacity")) < 0.5
    }
    assert dimmed == common


def test_two_rows_are_compared_with_lines(tab: Tab) -> None:
    tab.open("/?collection=toy&extractors=hog&extractors=bovw&indexes=flat&k=5")
    tab.page.get_by_text("Compare two").click()
    tab.page.locator(".duel .hit").nth(9).wait_for()
    tab.page.wait_for_url(re.compile("pair="))
    sides = [
        [str(hit.get_attribute("data-photo")) for hit in side.locator(".hit").all()]
        for side in tab.page.locator(".duel .side").all()
    ]
    lines = tab.page.locator(".duel line")
    assert lines.count() == len(set(sides[0]) & set(sides[1]))
    for line in lines.all():
        photo = str(line.get_attribute("data-photo"))
        ends = [int(float(str(line.get_attribute(end)))) // 64 for end in ("y1", "y2")]
        assert ends == [sides[0].index(photo), sides[1].index(photo)]
    tab.page.locator(".duel .side.right .hit").nth(1).click()
    tab.page.get_by_role("dialog").get_by_text("rank 2 in BoVW · Flat").wait_for()


def test_the_strip_is_one_stop_of_the_tab_key(tab: Tab) -> None:
    tab.open("/?collection=toy&source=photo&extractors=hog&indexes=flat")
    items = tab.page.locator(".strip .item")
    tab.page.locator(".strip .item[aria-pressed=true][tabindex='0']").wait_for()
    assert tab.page.locator(".strip .item[tabindex='0']").count() == 1
    items.first.focus()
    tab.page.keyboard.press("ArrowRight")
    tab.page.keyboard.press("ArrowRight")
    wanted = items.nth(2).get_attribute("data-id")
    assert focused(tab, "data-id") == wanted
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_url(re.compile(f"query={wanted}"))


def test_the_link_is_copied(tab: Tab) -> None:
    tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab.open("/?collection=toy&extractors=hog&indexes=flat&k=5")
    tab.page.get_by_role("button", name="Copy link").click()
    tab.page.get_by_role("button", name="Copied").wait_for()
    copied = tab.page.evaluate("navigator.clipboard.readText()")
    assert copied == tab.page.url
    assert "k=5" in copied


def test_upload_and_downloads(tab: Tab, tmp_path: Path) -> None:
    tab.open("/?collection=toy&extractors=hog&extractors=bovw&indexes=flat&k=20")
    tab.page.get_by_test_id("stButtonGroup").first.get_by_text("Upload").click()
    tab.settle()
    picture = draw(1, 9, (400, 300))
    exif = picture.getexif()
    exif[0x0112] = 6  # lies on its side
    picture.save(tmp_path / "mine.jpg", exif=exif)
    tab.page.locator("input[type=file]").set_input_files(tmp_path / "mine.jpg")
    tab.page.get_by_text("whole photo, 300 x 400 px").wait_for()
    tab.settle()
    assert tab.page.locator(".hit.no").count() == 0  # nobody knows the landmark
    with tab.page.expect_download() as given:
        tab.page.get_by_role("button", name="CSV", exact=True).click()
    lines = Path(given.value.path()).read_text().splitlines()
    assert given.value.suggested_filename == "comparison.csv"
    assert len(lines) == 3
    with tab.page.expect_download() as given:
        tab.page.get_by_role("button", name="JSON", exact=True).click()
    whole = json.loads(Path(given.value.path()).read_text())
    assert [len(one["hits"]) for one in whole["results"]] == [20, 20]


def test_camera(tab: Tab) -> None:
    tab.open("/?collection=toy&extractors=hog&source=camera")
    tab.settle()
    # A click before the camera's first frame takes nothing, and says nothing; a user clicks again.
    tab.page.wait_for_function("document.querySelector('video')?.videoWidth > 0")
    taken = tab.page.get_by_text("Searched region")
    shutter = tab.page.get_by_role("button", name="Take Photo")
    for _ in range(4):
        if shutter.is_visible():
            shutter.click()
        tab.page.wait_for_timeout(3000)
        tab.settle()
        if taken.count():
            break
    taken.wait_for()
    tab.page.locator(".row").first.wait_for()


def test_build_from_the_page_makes_an_extractor_choosable(tab: Tab) -> None:
    tab.open("/?collection=other")
    tab.page.get_by_text("Nothing is built for this collection").wait_for()
    tab.page.get_by_role("link", name="Collections").click()
    tab.page.get_by_role("tab", name="Built").click()
    pills = tab.page.locator(".st-key-b_extractors")
    for name in ("BoVW", "ResNet50", "GeM-Siamese", "DELF", "VGG16"):
        pills.get_by_text(name, exact=True).click()
        tab.settle()
    tab.page.get_by_role("button", name="Build", exact=True).click()
    # A page switch would take the place of a click that the server has not seen yet.
    tab.page.get_by_role("button", name="Cancel the build").wait_for(timeout=60_000)
    tab.page.get_by_role("link", name="Search").click()
    tab.page.locator(".row").first.wait_for(timeout=120_000)
    assert tab.page.locator(".row .name").first.inner_text().startswith("HOG")


@pytest.mark.parametrize("path", ["/?collection=toy", "/collections", "/methods"])
def test_phone_width_needs_no_sideways_scrolling(phone: Tab, path: str) -> None:
    phone.open(path)
    scroll, client = phone.frame_size()
    assert scroll <= client


def test_the_cropper_fits_a_phone(phone: Tab) -> None:
    phone.open("/?collection=toy&extractors=hog")
    box = phone.page.locator(".stage").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    assert box["width"] > 300


def test_delete_asks_twice(tab: Tab) -> None:
    tab.open("/collections")
    tab.page.locator(".st-key-c_collection").get_by_role("combobox").click()
    tab.page.get_by_role("option", name="other").click()
    tab.settle()
    tab.page.get_by_role("tab", name="Change").click()
    tab.page.get_by_role("button", name="Delete the collection").click()
    dialog = tab.page.get_by_role("dialog")
    dialog.wait_for()
    assert dialog.get_by_role("button", name="Delete", exact=True).is_disabled()
    dialog.get_by_role("textbox").fill("other")
    dialog.get_by_role("textbox").press("Enter")
    tab.settle()
    dialog.get_by_role("button", name="Delete", exact=True).click()
    tab.page.get_by_text("other was deleted").wait_for()


def test_methods_page_shows_a_formula(tab: Tab) -> None:
    tab.open("/methods")
    tab.page.locator(".katex").first.wait_for()
    tab.page.get_by_text("What it costs here").wait_for()


PAGES = ("", "learn", "accuracy", "tradeoffs", "inside", "embedding", "collections", "methods")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("page", PAGES)
def test_no_serious_barrier(chrome: Any, server: str, page: str, scheme: Any) -> None:
    """axe-core's rules: names, roles, contrast, focus."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    tab = Tab(chrome, server, 1280, 720)
    tab.page.emulate_media(color_scheme=scheme)
    tab.open(f"/{page}")
    # Streamlit fetches what draws the style rules when it first needs it.
    tab.page.wait_for_function(
        "() => [...document.querySelectorAll('style')].some("
        "one => one.textContent.includes('stCaptionContainer] { opacity'))"
    )
    found = axe.run(tab.page).response["violations"]
    serious = [
        (one["id"], node["html"][:200], [check["message"] for check in node["any"]])
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
    tab.close()
    assert serious == []
