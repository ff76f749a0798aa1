"""Embedding map: colours by kind, names on the map, and what stands beside it."""

from __future__ import annotations

import base64
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest
from test_learn import LANDMARKS, built, fine, home  # noqa: F401  (fixtures)

from data import store
from data.base import Photo
from data.paths import PROJECT_ROOT
from data.photos import decode
from pages.embedding import map as embedding_map
from pages.embedding import pictures
from pages.embedding.beside import chosen
from pages.parts import plots


def test_the_kind_of_a_photo() -> None:
    def kind(extra: Any) -> str | None:
        return Photo("a", "a", 1, 1, "a", extra=extra).kind

    assert kind({"scene": {"kind": "castle"}}) == "castle"
    assert kind({"kind": "bridge"}) == "bridge"
    assert kind({"scene": {"kind": 3}}) is None
    assert kind({"scene": "text"}) is None
    assert kind({}) is None


def test_names_stand_in_their_groups_and_not_on_each_other() -> None:
    rng = np.random.default_rng(0)
    near = rng.normal((0, 0), 0.05, (30, 2))
    twin = rng.normal((0.1, 0), 0.1, (30, 2))  # its name would lie on that of ``near``
    far = rng.normal((10, 10), 0.2, (30, 2))
    few = np.array([[5.0, 5.0], [5.1, 5.0]])
    points = np.vstack([near, twin, far, few]).astype(np.float32)
    groups = np.array(["near"] * 30 + ["twin"] * 30 + ["far"] * 30 + ["few"] * 2, dtype=object)
    found = embedding_map.named_places(points, groups, ["twin", "near", "far", "few"])
    assert set(found) == {"near", "far"}
    for group, place in found.items():
        own = points[groups == group]
        assert np.linalg.norm(own - np.array(place), axis=1).min() < 1e-3
    assert embedding_map.named_places(points, groups, []) == {}


def test_the_sheet_holds_each_photo_at_its_place(home: object) -> None:  # noqa: F811
    members = store.load("demo")
    rows = np.arange(len(members.photos))[::-1].copy()
    url = pictures._sheet.__wrapped__("f", "d", members, rows)
    sheet = decode(base64.b64decode(url.partition(",")[2]))
    assert sheet.shape == (pictures.HEIGHT, 40 * pictures.WIDTH, 3)
    for at in (0, 7):
        small = decode(members.thumbnail(members.photos[int(rows[at])]), longer_side=96)
        part = sheet[:, at * 96 : (at + 1) * 96]
        high, wide = small[:72, :96].shape[:2]
        middle = part[(72 - high) // 2 :, (96 - wide) // 2 :][:high, :wide]
        apart = np.abs(middle.astype(int) - small[:72, :96].astype(int)).mean()
        assert apart < 12  # JPEG alone
        other = np.abs(middle.astype(int) - middle[::-1].astype(int)).mean()
        assert apart < other


def page(**params: Any) -> AppTest:
    test = AppTest.from_file(str(PROJECT_ROOT / "app.py"), default_timeout=60)
    test.query_params["collection"] = "demo"
    test.run()
    return fine(test.switch_page("pages/embedding/page.py").run())


def text(test: AppTest) -> str:
    return "\n".join(one.value for one in [*test.markdown, *test.caption]).replace("\\", "")


def test_kinds_are_the_colours_and_a_filter(home: object) -> None:  # noqa: F811
    with mock.patch.object(embedding_map, "draw", wraps=embedding_map.draw) as draw:
        test = page()
        assert draw.call_args.args[2] == ["gopuram", "rotunda"]  # 24 and 12 photos
        assert draw.call_args.args[5] == embedding_map.KIND
        assert "**10 photos**: nearest to the query" in text(test)
        test.multiselect[0].set_value(["rotunda"])
        fine(test.run())
        assert draw.call_args.args[2] == ["rotunda"]
        assert "**12 photos**: of the chosen groups" in text(test)
        picked = plots.Picked(({"customdata": [0]}, {"customdata": [35]}))
        with mock.patch("pages.parts.plots.figure_with_downloads", return_value=picked):
            fine(test.run())
        assert "**1 photo**: selected on the map of the chosen groups" in text(test)
        test.segmented_control(key="em_by").set_value(embedding_map.LANDMARK)
        fine(test.run())
        assert draw.call_args.args[5] == embedding_map.LANDMARK
        assert set(draw.call_args.args[2]) <= set(LANDMARKS)


@pytest.mark.parametrize(
    ("picked", "only", "found"),
    [
        ([], [], [4, 2]),
        ([1, 3, 99], [], [1, 3]),
        ([1, 3], ["b"], [3]),
        ([], ["b"], [2, 3]),
    ],
)
def test_what_stands_beside_the_map(picked: list[int], only: list[str], found: list[int]) -> None:
    photos = [SimpleNamespace(kind=kind, label=kind) for kind in "aabbc"]
    case: Any = SimpleNamespace(collection=SimpleNamespace(photos=photos))
    positions, _ = chosen(case, picked, np.array([4, 2]), embedding_map.KIND, only)
    assert positions == found
