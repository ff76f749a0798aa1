"""The report: well-formed, self-contained, alive in a browser, and safe with odd names."""

from __future__ import annotations

import dataclasses
import html.parser
import math
import re
from pathlib import Path
from typing import Any

import pytest

from data import store
from data.base import Photo
from data.errors import PlaygroundError
from evaluation import report, rows
from evaluation.rows import QueryRow, Row
from tests.conftest import TOY_VIEWS

VOID = {"meta", "link", "br", "img", "input", "hr"}
EVIL = '</script><img src="http://example.org/x.png" onerror="alert(1)">&"\''


class Checker(html.parser.HTMLParser):
    """Notes tags that are not closed in order, addresses, ids and texts."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        names = [name for name, _ in attrs]
        if len(names) != len(set(names)):
            self.wrong.append(f"<{tag}> repeats an attribute")
        for name, value in attrs:
            if name in ("src", "href", "action", "data", "srcset", "xlink:href"):
                self.addresses.append(value or "")
            if name == "id":
                self.ids.append(value or "")
            if name.startswith("on"):
                self.handlers.append(name)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}> closes something else")


def check(text: str) -> Checker:
    checker = Checker()
    checker.feed(text)
    checker.close()
    assert checker.wrong == [] and checker.open == []
    assert len(checker.ids) == len(set(checker.ids))
    assert checker.handlers == []
    assert all(address.startswith("data:") for address in checker.addresses)
    assert "url(" not in text and "@import" not in text
    return checker


def made_row(
    collection: store.Collection, extractor: str, index: str, rankings: dict[str, list[str]]
) -> Row:
    """A row as the evaluator would make it, of given rankings."""
    protocol = rows.protocol_of("labels")
    answered = []
    for query in collection.queries:
        ranking = rankings[query.id]
        truth = protocol.truths(collection, query)["all"]
        values = protocol.judge(ranking, truth)
        ranks = tuple(i for i, one in enumerate(ranking) if one in truth.positives)
        answered.append(
            QueryRow(
                query_id=query.id,
                values={"all": values},
                ranking=tuple(ranking),
                ranked=len(ranking),
                ranks={"all": ranks},
                positives={"all": len(truth.positives)},
                recall=0.5,
                extract_ms=12.0,
                search_ms=0.1,
            )
        )
    means = protocol.aggregate([query.values["all"] for query in answered])
    return Row(
        collection="toy",
        protocol="labels",
        extractor=extractor,
        weights="untrained",
        index=index,
        rerank="none",
        k=10,
        photos=30,
        partial=False,
        means={"all": means},
        intervals={"all/ap": (means["ap"] - 0.05, means["ap"] + 0.05)},
        queries=tuple(answered),
        bytes_per_vector=512.0,
        build_s=None,
        date="2026-01-02T03:04:05+00:00",
        machine="Linux",
    )


@pytest.fixture
def made(toy_collection: store.Collection) -> tuple[store.Collection, list[Row]]:
    """A good, a bad and an empty-handed method. The good one is wrong at rank 1 alone."""
    ids = list(toy_collection.ids)
    good = {}
    for query in toy_collection.queries:
        *right, first = sorted(ids, key=lambda one, q=query: not one.startswith(str(q.label)))
        good[query.id] = [first, *right]
    bad = {query_id: ranking[::-1][:28] for query_id, ranking in good.items()}
    none: dict[str, list[str]] = {query_id: [] for query_id in good}
    return toy_collection, [
        made_row(toy_collection, "bovw", "pq", bad),
        made_row(toy_collection, "hog", "flat", good),
        made_row(toy_collection, "resnet50:pooling=mac", "flat", none),
    ]


def test_the_report_is_one_well_formed_file(
    made: tuple[store.Collection, list[Row]], tmp_path: Path
) -> None:
    collection, listed = made
    path = tmp_path / "new folder" / "report.html"
    report.write(path, listed, collection)
    text = path.read_text(encoding="utf-8")
    checker = check(text)
    assert "default-src 'none'" in text
    # 5 worst queries of 3 extractors with their crops; 10 ranks each of the two that found some.
    assert checker.tags.count("img") == 3 * 5 + 2 * 5 * 10
    assert text.count('class="positive"') == 5 * TOY_VIEWS
    assert text.count('class="negative"') == 5 * (10 - TOY_VIEWS) + 5 * 10
    assert "Nothing was found." in text
    assert "untrained" in text and "random parameters" in text
    assert "Partial data set" not in text
    body = text[text.index("<tbody>") :]
    assert body.index("hog") < body.index("bovw") < body.index("resnet50:pooling=mac")
    assert re.search(r'<td class=n data-v="0\.7\d+">0\.7\d\d <small>0\.\d{3}–0\.\d{3}', body)


def test_odd_names_stay_text(made: tuple[store.Collection, list[Row]]) -> None:
    collection, listed = made
    odd = dataclasses.replace(
        collection,
        title=EVIL,
        queries=tuple(dataclasses.replace(q, title=EVIL) for q in collection.queries),
        photos=tuple(dataclasses.replace(p, title=EVIL) for p in collection.photos),
    )
    renamed = [
        dataclasses.replace(
            row,
            index=f"factory:{EVIL}",
            machine=EVIL,
            queries=tuple(
                dataclasses.replace(q, query_id=q.query_id + EVIL) if i else q
                for i, q in enumerate(row.queries)
            ),
        )
        for row in listed
    ]
    text = report.render(renamed, odd)
    checker = check(text)
    assert "example.org" in text  # as a text
    assert checker.tags.count("script") == 2
    assert 'http://example.org/x.png"' not in re.sub(r"&[a-z#0-9]+;", "", text.split("<body>")[1])


def test_junk_partial_and_settings(toy_collection: store.Collection) -> None:
    label = [f"toy-1-{view:02d}" for view in range(TOY_VIEWS)]
    lists = {"easy": label[:2], "hard": [], "junk": label[2:]}
    queries = tuple(
        dataclasses.replace(q, extra={"ground_truth": lists}) for q in toy_collection.queries[1:2]
    )
    collection = dataclasses.replace(toy_collection, queries=queries)
    protocol = rows.protocol_of("revisited")
    *right, first = sorted(collection.ids, key=lambda one: one not in label)
    ranking = [first, *right]
    values = protocol.judge_all(collection, queries[0], ranking)
    query = QueryRow(
        query_id=queries[0].id,
        values=values,
        ranking=tuple(ranking),
        ranked=30,
        ranks={"easy": (1, 2), "medium": (1, 2), "hard": ()},
        positives={"easy": 2, "medium": 2, "hard": 0},
        recall=math.nan,
        extract_ms=math.nan,
        search_ms=1.0,
    )
    row = Row(
        collection="toy",
        protocol="revisited",
        extractor="imported:name=x",
        weights="",
        index="flat",
        rerank="ransac",
        k=10,
        photos=30,
        partial=True,
        means={setting: protocol.aggregate([values[setting]]) for setting in protocol.settings},
        intervals={},
        queries=(query,),
        bytes_per_vector=8.0,
        build_s=1.0,
    )
    text = report.render([row], collection)
    check(text)
    assert "Partial data set" in text
    assert text.count('class="junk"') == 4  # greyed, neither right nor wrong
    assert all(f"mAP {setting}" in text for setting in protocol.settings)
    assert "re-rank ms" in text and "Query by query" not in text  # one method has no other one


def test_photos_that_are_gone_leave_a_place(
    made: tuple[store.Collection, list[Row]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(self: Any, photo: Photo, longer_side: int | None = None) -> Any:
        raise PlaygroundError("The photo is gone.")

    monkeypatch.setattr(store.Collection, "read", gone)
    monkeypatch.setattr(store.Collection, "thumbnail", gone)
    collection, listed = made
    text = report.render(listed, collection)
    assert check(text).tags.count("img") == 0
    assert "no photo on this disk" in text


def test_a_perfect_method_has_no_failures(toy_collection: store.Collection) -> None:
    perfect = {query.id: sorted(toy_collection.relevant(query)) for query in toy_collection.queries}
    text = report.render([made_row(toy_collection, "hog", "flat", perfect)], toy_collection)
    assert check(text).tags.count("img") == 0
    assert "None: every query is answered perfectly." in text


def test_nothing_to_report(toy_collection: store.Collection, tmp_path: Path) -> None:
    with pytest.raises(PlaygroundError, match="nothing to report"):
        report.write(tmp_path / "report.html", [], toy_collection)


@pytest.mark.browser
def test_the_report_opens_without_any_request(
    made: tuple[store.Collection, list[Row]],
    tmp_path: Path,
    chrome: Any,
) -> None:
    collection, listed = made
    path = tmp_path / "report.html"
    report.write(path, listed, collection)
    context = chrome.new_context(viewport={"width": 1200, "height": 900}, offline=True)
    page = context.new_page()
    requests: list[str] = []
    problems: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text))
    page.goto(path.as_uri())
    outside = [url for url in requests if not url.startswith("data:")]
    assert outside == [path.as_uri()]

    def column(number: int) -> list[str]:
        cells = page.locator(f"#results tbody td:nth-child({number})")
        return [text.split()[0] for text in cells.all_inner_texts()]

    assert column(1) == ["hog", "bovw", "resnet50:pooling=mac"]
    page.get_by_role("button", name="extractor").click()
    assert column(1) == ["bovw", "hog", "resnet50:pooling=mac"]
    page.get_by_role("button", name="mAP", exact=True).click()
    assert column(1)[0] == "hog"  # numbers: the largest first
    page.get_by_role("button", name="mAP", exact=True).click()
    assert column(1)[0] == "resnet50:pooling=mac"

    assert "hog flat is better on 5 queries" in page.locator("#tally").inner_text()
    page.select_option("#first", "2")
    page.select_option("#second", "2")
    assert "5 are equal" in page.locator("#tally").inner_text()
    where = page.locator("#points circle").first.bounding_box()
    assert where is not None
    broken = page.evaluate(
        "() => [...document.images].filter(i => !i.complete || !i.naturalWidth).length"
    )
    assert broken == 0
    width = page.evaluate("() => [document.body.scrollWidth, innerWidth]")
    assert width[0] <= width[1]
    context.close()
    assert problems == []
