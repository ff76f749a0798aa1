"""Exports: what is written can be read by other tools, and says whose each row is."""

from __future__ import annotations

import ast
import csv
import dataclasses
import io
import json
import subprocess
import sys
from pathlib import Path

import faiss
import numpy as np
import pytest
import scipy.io
from PIL import Image

from data import descriptors as data_descriptors
from data import store
from data.base import Photo
from evaluation import pictures
from evaluation.run import evaluate
from indexing.build import build
from retrieval.engine import SearchEngine
from retrieval.export import Form, export, matches_npz
from retrieval.ranking import Hit, Query, Recipe, SearchResult
from scripts import descriptors as script
from scripts import evaluate as evaluate_script
from scripts import index as index_script
from scripts.console import call


@pytest.fixture
def built(toy_collection: store.Collection) -> store.Collection:
    build("toy", ["hog"], ["flat"])
    return toy_collection


def test_an_exported_index_answers_like_the_engine(
    built: store.Collection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["export", "--collection", "toy", "--extractor", "hog"]
    of_index = [*arguments, "--index", "flat", "--out", str(out)]
    assert call(index_script.main, [*of_index, "--json"]) == 0
    names = {Path(one).name for one in json.loads(capsys.readouterr().out)["files"]}
    assert names == {"index.faiss", "ids.txt", "example_query.npy", "README.md", "about.json"}
    ids = (out / "ids.txt").read_text().split()
    engine = SearchEngine()
    query = Query.of_photo(built, built.queries[0])
    q = engine.describe("toy", "hog", query).features.vectors
    _, found = faiss.read_index(str(out / "index.faiss")).search(q, 5)
    hits = engine.search("toy", Recipe.of("hog", "flat"), query, 5).hits
    assert [ids[one] for one in found[0]] == [hit.id for hit in hits]
    assert json.loads((out / "about.json").read_text())["extractor"] == "hog"
    again = ((index_script.main, of_index), (script.main, [*arguments, "--out", str(out)]))
    for main, words in again:
        assert call(main, words) == 2
        assert "not an empty folder" in capsys.readouterr().err


def test_exported_descriptors_are_those_of_the_collection(
    built: store.Collection, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    arguments = ["export", "--collection", "toy", "--extractor", "hog", "--out", str(out)]
    assert call(script.main, arguments) == 0
    assert {file.name for file in out.iterdir()} == {"vectors.npy", "ids.txt", "about.json"}
    assert (out / "ids.txt").read_text().split() == list(built.ids)
    expected = np.asarray(SearchEngine().vectors("toy", "hog").vectors)
    assert np.array_equal(np.load(out / "vectors.npy"), expected)


@pytest.mark.parametrize("form", ["mat", "parquet"])
def test_descriptors_in_other_formats_come_back(
    built: store.Collection, tmp_path: Path, form: Form
) -> None:
    out = tmp_path / "out"
    arguments = ["export", "--collection", "toy", "--extractor", "hog", "--format", form]
    assert call(script.main, [*arguments, "--out", str(out)]) == 0
    expected = np.asarray(SearchEngine().vectors("toy", "hog").vectors)
    if form == "mat":
        found = scipy.io.loadmat(out / "vectors.mat")
        assert found["X"].shape == expected.T.shape
        assert [str(one[0]) for one in found["ids"].ravel()] == list(built.ids)
    matrix = data_descriptors.open_matrix(out / f"vectors.{form}", dim=3780)
    assert np.array_equal(np.concatenate(list(matrix.blocks())), expected)
    assert form == "mat" or matrix.ids == tuple(built.ids)


def test_an_exported_index_is_read_by_the_five_lines_beside_it(
    built: store.Collection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build("toy", ["hog"], ["ivf"])
    for index in ("flat", "ivf"):
        out = tmp_path / index
        arguments = ["export", "--collection", "toy", "--extractor", "hog", "--index", index]
        assert call(index_script.main, [*arguments, "--out", str(out)]) == 0
        text = (out / "README.md").read_text(encoding="utf-8")
        code = text.partition("```python\n")[2].partition("```")[0]
        assert len(code.splitlines()) == 5
        run = subprocess.run(
            [sys.executable, "-c", code], cwd=out, capture_output=True, text=True, check=True
        )
        (found,) = ast.literal_eval(run.stdout)
        # The example is the first photo's own vector.
        assert found[0] == built.ids[0] and set(found) <= set(built.ids)
        if index == "flat":
            vectors = (
                np.load(out / "example_query.npy")
                @ np.asarray(SearchEngine().vectors("toy", "hog").vectors).T
            )
            order = np.argsort(-vectors[0], kind="stable")[:10]
            assert found == [built.ids[row] for row in order]


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
    assert call(evaluate_script.main, [*arguments, "--save-ranks", str(tmp_path / "out")]) == 0
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
    with open(tmp_path / "out" / "ranks.csv", encoding="utf-8", newline="") as handle:
        lines = list(csv.DictReader(handle))
    assert tuple(lines[0]) == pictures.COLUMNS
    mine = [line for line in lines if line["query"] == answer.query_id]
    assert [line["photo"] for line in mine] == list(answer.ranking[: pictures.SHOWN])
    assert [line["rank"] for line in mine] == [str(i) for i in range(1, len(mine) + 1)]
    for line in mine:
        right = built.photo(line["photo"]).label == label
        assert line["judged"] == ("positive" if right else "negative")


def test_a_query_is_drawn_whole_with_its_box(built: store.Collection) -> None:
    query = dataclasses.replace(built.queries[0], box=None)
    plain = pictures._query(built, query)
    assert plain is not None
    half = (0, 0, query.width // 2, query.height)
    boxed = pictures._query(built, dataclasses.replace(query, box=half))
    assert boxed is not None and boxed.size == plain.size
    middle = plain.height // 2
    inside = (plain.width // 4, middle)
    assert boxed.getpixel(inside) == plain.getpixel(inside)
    outside = (plain.width * 3 // 4, middle)
    expected = [(value + 255) / 2 for value in plain.getpixel(outside)]  # type: ignore[union-attr]
    assert np.allclose(boxed.getpixel(outside), expected, atol=1)
    assert boxed.getpixel((0, middle)) == pictures._BOX


@pytest.mark.parametrize(("name", "safe"), [("../../x", "_.._x"), ("", "_"), ("a b:c", "a_b_c")])
def test_a_picture_never_leaves_its_folder(name: str, safe: str) -> None:
    assert pictures._safe(name) == safe


def test_local_rows_name_their_photo(built: store.Collection, tmp_path: Path) -> None:
    spec = "delf:trunk=resnet50,image_size=128,scales=1.0,max_features=10,dim=8"
    build("toy", [spec], ["flat"], weights="untrained")
    export(SearchEngine(), "toy", spec, tmp_path / "out")
    ids = (tmp_path / "out" / "ids.txt").read_text().split()
    vectors = SearchEngine().vectors("toy", spec)
    assert vectors.offsets is not None
    assert len(ids) == len(np.load(tmp_path / "out" / "geometry.npy")) == vectors.offsets[-1]
    photo: Photo = built.photos[3]
    assert ids[vectors.offsets[3]] == photo.id
