"""Exports: what is written can be read by other tools, and says whose each row is."""

from __future__ import annotations

import io
import json
from pathlib import Path

import faiss
import numpy as np
import pytest
from PIL import Image

from data import store
from data.base import Photo
from evaluation import pictures
from evaluation.run import evaluate
from indexing.build import build
from retrieval.engine import SearchEngine
from retrieval.export import export, matches_npz
from retrieval.ranking import Hit, Query, Recipe, SearchResult
from scripts import descriptors as script
from scripts import evaluate as evaluate_script
from scripts.console import call


@pytest.fixture
def built(toy_collection: store.Collection) -> store.Collection:
    build("toy", ["hog"], ["flat"])
    return toy_collection


def test_an_exported_index_answers_like_the_engine(
    built: store.Collection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["export", "--collection", "toy", "--extractor", "hog", "--index", "flat"]
    assert call(script.main, [*arguments, "--out", str(out), "--json"]) == 0
    names = {Path(one).name for one in json.loads(capsys.readouterr().out)["files"]}
    assert names == {"vectors.npy", "ids.txt", "index.faiss", "index_rows.npy", "about.json"}
    ids = (out / "ids.txt").read_text().split()
    vectors = np.load(out / "vectors.npy")
    assert ids == list(built.ids) and vectors.shape == (30, 3780)
    engine = SearchEngine()
    query = Query.of_photo(built, built.queries[0])
    q = engine.describe("toy", "hog", query).features.vectors
    _, found = faiss.read_index(str(out / "index.faiss")).search(q, 5)
    rows = np.load(out / "index_rows.npy")
    hits = engine.search("toy", Recipe.of("hog", "flat"), query, 5).hits
    assert [ids[rows[one]] for one in found[0]] == [hit.id for hit in hits]
    assert json.loads((out / "about.json").read_text())["extractor"] == "hog"
    assert call(script.main, [*arguments, "--out", str(out)]) == 2
    assert "not an empty folder" in capsys.readouterr().err


def test_matches_say_whose_they_are() -> None:
    hits = [Hit(1, "a", None, 0.0, 2.0), Hit(2, "b", None, 0.0, 1.0), Hit(3, "c", None, 0.0, 0.5)]
    places = {"c": np.ones((3, 4), np.float32), "a": np.zeros((2, 4), np.float32)}
    result = SearchResult(
        "toy", Recipe("delf", "flat"), "", "l2", 3, (1, 2, 3, 4), hits, {}, False, matches=places
    )
    with np.load(io.BytesIO(matches_npz(result)), allow_pickle=False) as read:
        assert read["ids"].tolist() == ["a", "c"]
        assert read["offsets"].tolist() == [0, 2, 5]
        assert read["places"].shape == (5, 4) and read["places"][2:].all()
        assert read["box"].tolist() == [1, 2, 3, 4]


def test_rankings_are_drawn_with_their_frames(
    built: store.Collection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--collection", "toy", "--extractors", "hog", "--indexes", "flat", "--quiet"]
    assert call(evaluate_script.main, [*arguments, "--pictures", str(tmp_path / "out")]) == 0
    assert "5 rankings" in capsys.readouterr().err
    (row,) = evaluate("toy", ["hog"], ["flat"])
    answer = row.queries[0]
    picture = Image.open(tmp_path / "out" / "hog_flat" / f"{answer.query_id}.png")
    side = pictures.TILE + 2 * pictures.FRAME
    label = built.query(answer.query_id).label
    for rank, photo_id in enumerate(answer.ranking[: pictures.SHOWN], 1):
        right = built.photo(photo_id).label == label
        frame = picture.getpixel((8 + rank * (side + 8) + side // 2, 8 + 2))
        assert frame == pictures.COLOURS["positive" if right else "negative"]


@pytest.mark.parametrize(("name", "safe"), [("../../x", "_.._x"), ("", "_"), ("a b:c", "a_b_c")])
def test_a_picture_never_leaves_its_folder(name: str, safe: str) -> None:
    assert pictures._safe(name) == safe


def test_local_rows_name_their_photo(built: store.Collection, tmp_path: Path) -> None:
    spec = "delf:trunk=resnet50,image_size=128,scales=1.0,max_features=10,dim=8"
    build("toy", [spec], ["flat"], weights="untrained")
    export(SearchEngine(), "toy", spec, None, tmp_path / "out")
    ids = (tmp_path / "out" / "ids.txt").read_text().split()
    vectors = SearchEngine().vectors("toy", spec)
    assert vectors.offsets is not None
    assert len(ids) == len(np.load(tmp_path / "out" / "geometry.npy")) == vectors.offsets[-1]
    photo: Photo = built.photos[3]
    assert ids[vectors.offsets[3]] == photo.id
