"""Photos by address: those of a collection, and nothing else."""

from __future__ import annotations

import base64
import dataclasses
from typing import Any
from unittest import mock

import pytest
import streamlit as st
from starlette.applications import Starlette

from data import photos, store
from pages.parts import thumbnails

testclient = pytest.importorskip("starlette.testclient")


@pytest.fixture
def client(toy_collection: store.Collection, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(thumbnails, "_prefix", None)
    return testclient.TestClient(Starlette(routes=[thumbnails.route()]))


def test_an_address_gives_the_photo_for_ever(client: Any, toy_collection: store.Collection) -> None:
    all_of_them = (*toy_collection.photos, *toy_collection.queries)
    pixels = {
        one.id: toy_collection.read(one, longer_side=thumbnails.SIDE).astype(float)
        for one in all_of_them
    }
    for photo in (toy_collection.photos[3], toy_collection.queries[0]):
        answer = client.get(thumbnails.url(toy_collection, photo))
        assert answer.headers["content-type"] == "image/jpeg"
        assert "immutable" in answer.headers["cache-control"]
        small = photos.decode(answer.content)
        assert max(small.shape) == thumbnails.SIDE
        # Twice compressed, it is nearest to what it was made of.
        assert min(pixels, key=lambda one: abs(small - pixels[one]).mean()) == photo.id


def test_nothing_else_has_an_address(client: Any, toy_collection: store.Collection) -> None:
    content = toy_collection.photos[0].sha256
    assert client.get(f"/photos/toy/{content}.jpg").status_code == 200
    for path in (
        f"/photos/other/{content}.jpg",
        f"/photos/.toy/{content}.jpg",
        f"/photos/toy/{'0' * 64}.jpg",
        f"/photos/toy/{content[:-1]}.jpg",
        f"/photos/toy/{content}.png",
        "/photos/toy/..%2F..%2Fmanifest.json.jpg",
        "/photos/..%2Ftoy/manifest.jpg",
    ):
        answer = client.get(path)
        assert answer.status_code == 404, path
        assert "immutable" not in answer.headers.get("cache-control", "")


def test_a_server_below_a_path_is_asked_there(
    toy_collection: store.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thumbnails, "_prefix", None)
    with mock.patch.object(st, "get_option", return_value="/class/"):
        thumbnails.route()
    photo = toy_collection.photos[0]
    assert thumbnails.url(toy_collection, photo) == f"/class/photos/toy/{photo.sha256}.jpg"


def test_without_the_route_the_photo_is_in_the_message(
    toy_collection: store.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thumbnails, "_prefix", None)
    sent = thumbnails.url(toy_collection, toy_collection.photos[0])
    kind, _, data = sent.partition(",")
    assert kind == "data:image/jpeg;base64"
    assert max(photos.decode(base64.b64decode(data)).shape) == thumbnails.SIDE


def test_a_photo_without_a_file_has_none(toy_collection: store.Collection) -> None:
    absent = dataclasses.replace(toy_collection.photos[0], width=0, height=0)
    assert thumbnails.url(toy_collection, absent) == ""
