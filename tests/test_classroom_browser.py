"""The server with its headers, in classroom mode and a real browser: two people, one playground."""

from __future__ import annotations

import json
import re
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Tab, serving
from conftest import write_toy
from PIL import Image

from data import importing, permission
from data.demo import DemoSource
from indexing.build import build
from pages.parts import classroom
from pages.parts.text import plain

EVIL = "evil.example"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection with a landmark whose name is Markdown, and HOG built over it."""
    folder = tmp_path_factory.mktemp("classroom")
    toy = write_toy(folder / "toy", landmarks=2, views=3)
    lines = []
    for line in (toy / "photos.jsonl").read_text().splitlines():
        entry = json.loads(line)
        title = f"![b](http://{EVIL}/b.png) http://{EVIL}/x www.{EVIL} a@{EVIL} <img src=x>"
        lines.append(json.dumps({**entry, "title": title}) + "\n")
    (toy / "photos.jsonl").write_text("".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLAYGROUND_HOME", str(folder / "home"))
        patch.delenv(permission.MODE, raising=False)
        importing.import_collection("toy", DemoSource(toy))
        build("toy", ["hog"], ["flat"])
    return folder / "home"


@pytest.fixture(scope="module")
def url(home: Path) -> Iterator[str]:
    with serving(home, script="server.py", PLAYGROUND_MODE="classroom") as address:
        yield address


@pytest.fixture
def tab(chrome: Any, url: str) -> Iterator[Tab]:
    made = Tab(chrome, url)
    yield made
    made.close()


def links(tab: Tab) -> list[str]:
    found = tab.page.locator("[data-testid=stMain] a[href]").evaluate_all(
        "all => all.map(one => one.href)"
    )
    return [one for one in found if EVIL in one]


def test_foreign_text_makes_no_link_and_no_picture(tab: Tab) -> None:
    violations: list[str] = []
    tab.page.on("console", lambda one: violations.append(one.text))
    text = f"![b](http://{EVIL}/b.png) http://{EVIL}/x"
    tab.open(f"/?query={urllib.parse.quote(text)}")
    warning = tab.page.get_by_text("There is no photo").first
    warning.wait_for()
    shown = warning.inner_text().replace("\u2060", "")
    assert f"![b](http://{EVIL}/b.png) http://{EVIL}/x" in shown
    for page in ("collections", "embedding"):
        assert links(tab) == []
        assert tab.page.locator(f"img[src*='{EVIL}']").count() == 0
        tab.open(f"/{page}")
    assert links(tab) == []
    # Nothing of our own runs into the policy either.
    assert [one for one in violations if "Content Security Policy" in one] == []


def test_the_policy_stops_what_no_escaping_would(tab: Tab) -> None:
    tab.open("/collections")
    stopped = tab.page.evaluate(
        """address => new Promise(done => {
            const seen = [];
            document.addEventListener("securitypolicyviolation", one => {
                seen.push(one.effectiveDirective);
                if (seen.length === 2) done(seen.sort());
            });
            new Image().src = address;
            fetch(address).catch(() => null);
        })""",
        f"http://{EVIL}/x.png",
    )
    tab.outside.clear()  # what this test has tried itself
    assert stopped == ["connect-src", "img-src"]


def test_photos_come_by_addresses(tab: Tab) -> None:
    answers: list[Any] = []
    tab.page.on("response", lambda one: answers.append(one) if "/photos/" in one.url else None)
    tab.open("/")
    pictures = tab.page.locator(".row .pic img[src]")
    pictures.first.wait_for()
    tab.settle()
    sources = pictures.evaluate_all("all => all.map(one => [one.src, one.naturalWidth])")
    assert sources and all("/photos/toy/" in src and width == 160 for src, width in sources)
    assert {one.status for one in answers} == {200}
    assert len({one.url for one in answers}) == len(answers)  # each is asked for once


def test_headers_are_on_every_answer(url: str) -> None:
    for path in ("/", "/_stcore/health"):
        with urllib.request.urlopen(url + path) as answer:
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'self'" in policy and "sha256-" in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_uploads_stay_in_their_session_and_the_token_opens_one_browser(
    tab: Tab, chrome: Any, url: str, home: Path, tmp_path: Path
) -> None:
    other = Tab(chrome, url)
    Image.new("RGB", (300, 200), (200, 30, 30)).save(tmp_path / "mine-alone.jpg")
    tab.open("/?source=upload")
    tab.page.locator("input[type=file]").first.set_input_files(tmp_path / "mine-alone.jpg")
    tab.page.get_by_text("mine-alone").first.wait_for()
    other.open("/?source=upload")
    other.page.get_by_text("Choose a photo to begin").wait_for()
    assert "mine-alone" not in other.page.content()
    log = (home / "server.log").read_text()
    (token,) = re.findall(r"this once:\s+(\S+)", log)
    enter(tab, "not it")
    tab.page.get_by_role("button", name="I am the teacher").click()
    tab.page.get_by_text("That is not the token").wait_for()
    enter(tab, token)
    tab.page.get_by_role("tab", name="Change").wait_for()
    tab.open("/collections")  # loaded again: the cookie says who this is
    tab.page.get_by_role("tab", name="Change").wait_for()
    assert tab.page.url == f"{url}/collections"
    # Nothing on the page can read the cookie, and the token is nowhere in the browser.
    kept = tab.page.evaluate(
        "() => document.cookie + JSON.stringify([localStorage, sessionStorage])"
    )
    (cookie,) = (one for one in tab.context.cookies() if one["name"] == classroom.COOKIE)
    assert cookie["value"] not in kept and token not in kept + cookie["value"]
    other.open("/collections")
    assert other.page.get_by_role("tab", name="Change").count() == 0
    other.close()
    tab.page.get_by_role("button", name="Leave").click()
    tab.page.get_by_role("button", name="I am the teacher").wait_for()
    tab.open("/collections")
    assert tab.page.get_by_role("tab", name="Change").count() == 0


def enter(tab: Tab, token: str) -> None:
    tab.open("/collections")
    tab.page.get_by_role("button", name="I am the teacher").click()
    tab.page.get_by_label("Token").fill(token)
    with tab.page.expect_navigation():
        tab.page.get_by_role("button", name="Enter").click()
    tab.settle()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"http://{EVIL}", f"http\\:\u2060//{EVIL}"),
        (f"www.{EVIL}", f"www\u2060.{EVIL}"),
        (f"(WWW.{EVIL})", f"\\(WWW\u2060.{EVIL}\\)"),
        (f"a_b@{EVIL}", f"a\\_b\u2060@{EVIL}"),
        ("recall@10", "recall@10"),
        ("12:30", "12\\:30"),
    ],
)
def test_addresses_are_broken_up(text: str, shown: str) -> None:
    assert plain(text) == shown
