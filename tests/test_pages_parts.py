"""The pages' pure parts: boxes, links, the table, the payload of the grid."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from ui_fakes import FakeStats

from data.base import Photo
from data.store import Collection
from pages.parts import backend, choices, compare, plots, query, region, settings, text
from pages.parts.settings import Settings
from pages.search import table
from retrieval.compare import Truth, kind_of, truth_of
from retrieval.ranking import Hit, Recipe, SearchResult


def photo(name: str, label: str | None = None, **more: object) -> Photo:
    return Photo(name, f"{name}.jpg", 640, 480, "0" * 64, label, **more)  # type: ignore[arg-type]


# Boxes


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((-20, -5, 50, 60), (0, 0, 50, 60)),
        ((600, 400, 900, 900), (600, 400, 640, 480)),
        ((10, 10, 14, 200), None),
        ((700, 10, 800, 200), None),
        ((0, 0, 640, 480), (0, 0, 640, 480)),
    ],
)
def test_clip(box: region.Box, expected: region.Box | None) -> None:
    assert region.clip(box, (640, 480)) == expected


def test_clip_keeps_narrow_photos_usable() -> None:
    assert region.clip((0, 0, 5, 300), (5, 300)) == (0, 0, 5, 300)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ([10, 20, 300.4, 400], (10, 20, 300, 400)),
        ((-5, 20, 700, 400), (0, 20, 640, 400)),
        ([10, 20, 12, 400], None),
        ([300, 20, 10, 400], None),
        ([10, 20, 300], None),
        ([10, 20, float("nan"), 400], None),
        ([10, 20, float("inf"), 400], None),
        ([10, 20, "300", 400], None),
        ("1234", None),
        ({"box": 1}, None),
        (None, None),
    ],
)
def test_a_browser_can_send_anything_as_a_box(sent: object, expected: region.Box | None) -> None:
    assert region.of_browser(sent, (640, 480)) == expected


def test_describe() -> None:
    assert region.describe((10, 20, 110, 70), (640, 480)) == "100 x 50 px of 640 x 480"
    assert region.describe(None, (640, 480)) == "whole photo, 640 x 480 px"


def test_a_photos_jpeg_is_made_once() -> None:
    pixels = np.full((40, 60, 3), 90, np.uint8)
    encode = backend.photo_files.encode_jpeg
    with mock.patch.object(backend.photo_files, "encode_jpeg", side_effect=encode) as made:
        urls = [backend.photo_url("test: made once", pixels, 900) for _ in range(3)]
    assert made.call_count == 1
    assert len(set(urls)) == 1
    assert urls[0].startswith("data:image/jpeg;base64,")  # there is no server


# Links


def listed(params: dict[str, str | list[str]]) -> dict[str, list[str]]:
    return {k: v if isinstance(v, list) else [v] for k, v in params.items()}


@pytest.mark.parametrize(
    "given",
    [
        Settings(),
        Settings(
            "demo", "query", "q-1", (10, 20, 300, 400), ("hog",), ("flat", "pq"), ("aqe",), 20
        ),
        Settings("demo", "photo", "p-1", "whole", ("hog", "vgg16"), None, None, 100),
        Settings("demo", "query", "q", differences=True, pair=("hog|flat", "hog|flat|aqe:k=5")),
        Settings(
            "demo",
            "query",
            "q",
            None,
            ("resnet50:pooling=rmac,p=3",),
            None,
            ("aqe:k=5+sift", "none"),
            1,
        ),
        Settings(
            "demo", "query", "q", None, ("hog",), ("factory:OPQ16_64,IVF256,PQ16x4fs",), None, 1
        ),
    ],
)
def test_a_link_reproduces_the_settings(given: Settings) -> None:
    assert settings.from_params(listed(settings.to_params(given))) == given


def test_a_link_does_not_name_an_upload() -> None:
    params = settings.to_params(Settings("demo", "upload", "x", (1, 2, 3, 4)))
    assert "query" not in params
    assert "box" not in params
    assert params["source"] == "upload"


@pytest.mark.parametrize("box", ["", "1,2,3", "a,b,c,d", "9,9,3,3", "-1,0,5,5", "1;2;3;4"])
def test_a_box_that_makes_no_sense_is_ignored(box: str) -> None:
    assert settings.parse_box(box) is None


@pytest.mark.parametrize(("k", "expected"), [("0", 1), ("9999", 100), ("x", 12), ("7", 7)])
def test_k_of_a_link_is_kept_legal(k: str, expected: int) -> None:
    assert settings.from_params({"k": [k]}).k == expected


def test_nonsense_links_give_the_defaults() -> None:
    odd = {"source": ["<script>"], "extractors": ["", ""], "k": [""], "other": ["1"]}
    odd |= {"differences": ["yes"], "pair": ["one"]}
    assert settings.from_params(odd) == Settings()


# What is chosen at first


@pytest.mark.parametrize(
    ("ready", "chosen"),
    [
        (["hog"], ["hog"]),
        (["hog", "resnet50"], ["resnet50"]),
        (["hog", "gem-siamese", "resnet50"], ["gem-siamese", "resnet50"]),
        (["hog", "gem-siamese", "resnet50", "delf"], ["gem-siamese", "delf"]),
        (
            ["hog", "gem-siamese", "resnet50", "delf", "bovw", "vgg16"],
            ["gem-siamese", "delf", "bovw"],
        ),
        ([], []),
    ],
)
def test_the_best_are_chosen_and_hog_only_where_nothing_else_is_ready(
    ready: list[str], chosen: list[str]
) -> None:
    assert choices.at_first(ready) == chosen


# The table


def result(ids: str, labels: dict[str, str | None], **more: object) -> SearchResult:
    hits = [Hit(n, one, labels.get(one), n / 10, 1 - n / 10) for n, one in enumerate(ids, 1)]
    values: dict[str, object] = {
        "collection": "c",
        "recipe": Recipe("hog", "ivf"),
        "weights": "",
        "metric": "l2",
        "k": len(ids),
        "box": (0, 0, 1, 1),
        "hits": hits,
        "timings_ms": {"extract": 12.3456, "search": 0.5, "total": 14.0},
        "cold": False,
    }
    return SearchResult(**(values | more))  # type: ignore[arg-type]


def collection_of(photos: list[Photo]) -> Collection:
    nowhere = Path("nowhere")
    return Collection(
        "c", "", "", "", "", {}, ({},), tuple(photos), (), "0" * 64, nowhere, (nowhere,)
    )


LABELS: dict[str, str | None] = {"a": "arch", "b": "bridge", "c": "arch", "d": None}
PHOTOS = [photo(name, label) for name, label in LABELS.items()]
TOY = collection_of(PHOTOS)


def row(truth: Truth | None, flat: tuple[str, ...] | None = None) -> compare.Row:
    return compare.Row(result("abcd", LABELS), FakeStats(), truth, flat)  # type: ignore[arg-type]


def test_truth_by_label() -> None:
    truth = truth_of(TOY, photo("q", "arch"), None)
    assert truth is not None
    assert truth.positives == {"a", "c"}
    assert row(truth).verdicts() == [True, False, True, None]  # d has no label: nobody knows


def test_truth_leaves_the_photo_itself_out() -> None:
    truth = truth_of(TOY, PHOTOS[0], None)
    assert truth is not None
    assert truth.positives == {"c"}


def test_truth_by_list() -> None:
    truth = truth_of(TOY, photo("q", relevant=("b", "gone")), None)
    assert truth is not None
    assert truth.positives == {"b"}
    assert row(truth).verdicts() == [False, True, False, False]


def test_nothing_is_wrong_when_the_landmark_is_unknown() -> None:
    assert truth_of(TOY, None, None) is None
    assert truth_of(TOY, photo("q"), None) is None
    assert row(None).verdicts() == [None] * 4
    figures = row(None).figures(4)
    assert figures["precision"] is None
    assert figures["ap"] is None


def test_figures_by_hand() -> None:
    truth = truth_of(TOY, None, "arch")
    figures = row(truth, flat=("a", "b", "x", "y")).figures(4)
    assert figures["precision"] == pytest.approx(0.5)
    assert figures["ap"] == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert figures["overlap"] == pytest.approx(0.5)


def test_no_photo_of_the_landmark_gives_no_ap() -> None:
    figures = row(truth_of(TOY, None, "castle")).figures(4)
    assert figures["precision"] == 0
    assert figures["ap"] is None


def test_junk_is_neither_right_nor_wrong() -> None:
    lists = {"easy": ["c"], "hard": [], "junk": ["a"]}
    truth = truth_of(TOY, photo("q", "arch", extra={"ground_truth": lists}), None)
    assert truth is not None
    assert truth.positives == {"c"}
    judged = row(truth)
    assert judged.verdicts() == [None, False, True, None]
    figures = judged.figures(4)  # the ranking without a: b wrong, c right, d without a label
    assert figures["precision"] == pytest.approx(1 / 3)
    assert figures["ap"] == pytest.approx(1 / 2)
    sent = compare.payload([judged], {}, {}, {})
    assert [hit[2] for hit in sent["rows"][0]["hits"]] == [-2, 0, 1, -1]


def test_a_ranking_of_junk_alone_has_no_figures() -> None:
    lists = {"easy": [], "hard": [], "junk": ["a", "b", "c", "d"]}
    truth = truth_of(TOY, photo("q", "arch", extra={"ground_truth": lists}), None)
    figures = row(truth).figures(4)
    assert figures["precision"] is None and figures["ap"] is None


def test_csv_and_json_hold_every_stage() -> None:
    rows = [row(truth_of(TOY, None, "arch"), ("a", "b", "c", "d"))]
    lines = list(csv.DictReader(io.StringIO(table.csv(rows, 4))))
    assert lines[0]["extractor"] == "hog"
    assert lines[0]["extract_ms"] == "12.346"
    assert lines[0]["overlap@4"] == "1.0"
    assert lines[0]["times"] == "once"
    whole = json.loads(table.as_json(rows, 4, {"k": 4}))
    assert whole["settings"] == {"k": 4}
    assert len(whole["results"][0]["hits"]) == 4


def test_payload_sends_each_thumbnail_once_and_marks_what_flat_lacks() -> None:
    truth = truth_of(TOY, None, "arch")
    rows = [row(truth, ("a", "b")), row(truth, None)]
    sent = compare.payload(rows, {one: f"data:{one}" for one in "abcdz"}, {"a": "Arch"}, {})
    assert set(sent["thumbs"]) == set("abcd")
    assert sent["labels"] == {"a": "Arch"}
    assert [hit[3] for hit in sent["rows"][0]["hits"]] == [0, 0, 1, 1]
    assert [hit[3] for hit in sent["rows"][1]["hits"]] == [0, 0, 0, 0]
    assert [hit[2] for hit in sent["rows"][0]["hits"]] == [1, 0, 1, -1]
    json.dumps(sent)


def of_kind(name: str, kind: str | None, label: str | None = None) -> Photo:
    return photo(name, label, extra={} if kind is None else {"scene": {"kind": kind}})


def test_another_landmark_of_the_same_kind_has_a_mark_of_its_own() -> None:
    photos = [
        of_kind("a", "arch", "arch 1"),
        of_kind("b", "arch", "arch 2"),
        of_kind("c", "castle", "castle"),
        of_kind("d", None, "shed"),
    ]
    members = collection_of(photos)
    query = of_kind("q", "arch", "arch 1")
    assert kind_of(members, query, None) == "arch"
    assert kind_of(members, None, "castle") == "castle"  # an upload whose landmark is named
    assert kind_of(members, photo("q", "shed"), "shed") is None
    assert kind_of(members, None, "gone") is None
    labels = {one.id: one.label for one in photos}
    found = compare.Row(result("abcd", labels), None, truth_of(members, query, None), None)
    sent = compare.payload([found], {}, {}, {}, {"a", "b"})
    assert [hit[2] for hit in sent["rows"][0]["hits"]] == [1, 2, 0, 0]


def test_the_kind_is_the_scenes_or_the_lists() -> None:
    assert photo("a", extra={"kind": "castle"}).kind == "castle"
    assert photo("a", extra={"scene": {"kind": ["odd"]}}).kind is None
    assert photo("a", extra={"scene": "odd"}).kind is None


def test_few_agreeing_matches_are_weak() -> None:
    found = [
        hit._replace(columns={"inliers": n})
        for hit, n in zip(result("ab", LABELS).hits, (7, 8), strict=True)
    ]
    sent = compare.payload(
        [compare.Row(result("ab", LABELS, hits=found), None, None, None)], {}, {}, {}
    )
    assert [hit[6] for hit in sent["rows"][0]["hits"]] == [1, 0]


def test_the_strip_begins_with_every_kind() -> None:
    photos = [of_kind(f"{kind}{n}", kind) for kind in ("arch", "castle") for n in range(3)]
    photos.append(of_kind("last", None, "shed"))
    names = [one.id for one in query.mixed(photos)]
    assert names == ["arch0", "castle0", "last", "arch1", "castle1", "arch2", "castle2"]


def test_the_page_begins_with_a_query_on_which_methods_differ() -> None:
    start = photo(query._START)
    assert query.at_first([photo("a"), start]) is start
    assert query.at_first([photo("a"), photo("b")]).id == "a"


def test_payload_says_that_weights_are_random() -> None:
    found = result("a", LABELS, weights="untrained", cold=True)
    one = compare.Row(found, None, None, None)  # type: ignore[arg-type]
    badges = [badge[0] for badge in compare.payload([one], {}, {}, {})["rows"][0]["badges"]]
    assert "random weights" in badges
    assert "once, cold start" in badges


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "–"),
        (0.04, "0.04 ms"),
        (3.21, "3.2 ms"),
        (42.4, "42 ms"),
        (347, "350 ms"),
        (1530, "1.5 s"),
    ],
)
def test_milliseconds(value: float | None, expected: str) -> None:
    assert compare.milliseconds(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, "–"), (0.43, "0.4 s"), (42, "42 s"), (200, "3 min 20 s"), (7300, "2 h 1 min")],
)
def test_seconds(value: float | None, expected: str) -> None:
    assert compare.seconds(value) == expected


@pytest.mark.parametrize(("value", "expected"), [(0, "0 B"), (4200, "4.2 kB"), (3.2e9, "3.2 GB")])
def test_size(value: float, expected: str) -> None:
    assert compare.size(value) == expected


def test_plain_shows_marks_as_they_are() -> None:
    assert text.plain("a_b*[c](d)") == r"a\_b\*\[c\]\(d\)"
    assert text.photos(1) == "1 photo"
    assert text.photos(1204) == "1,204 photos"


@pytest.mark.parametrize(
    ("shown", "colours"), [("light", ("#ffffff", "#1c2333")), ("dark", ("#0f1420", "#fafafa"))]
)
def test_charts_follow_the_theme_that_is_shown(shown: str, colours: tuple[str, str]) -> None:
    with mock.patch("streamlit.context", mock.Mock(theme=mock.Mock(type=shown))):
        assert (plots.background(), plots.ink()) == colours
        assert plots.figure().layout.paper_bgcolor == colours[0]


# Commands of errors


@pytest.mark.parametrize(
    ("command", "wanted"),
    [
        (
            "python -m scripts.build --collection toy --extractors 'hog' --indexes 'flat,pq'",
            ("toy", ["hog"], ["flat", "pq"]),
        ),
        ("python -m scripts.build --collection toy --check", None),
        ("python -m scripts.build --collection ../x --extractors hog --indexes flat", None),
        ("python -m scripts.build --collection toy --extractors hogg --indexes flat", None),
        ("rm -r 'x' --collection toy --extractors hog --indexes flat", None),
        ("python -m scripts.build 'unfinished", None),
        ("", None),
    ],
)
def test_only_a_build_becomes_a_button(command: str, wanted: object) -> None:
    assert backend.build_of(command) == wanted


def test_found_counts_against_what_was_asked_for() -> None:
    """An index that returns little has still missed the rest."""
    few = result("a", LABELS, k=5)
    truth = Truth(frozenset("abc"))
    assert compare.Row(few, None, truth, None).found() == "1 of 3"
    assert compare.Row(result("a", LABELS, k=2), None, truth, None).found() == "1 of 2"
    assert compare.Row(few, None, None, None).found() == ""
