"""The pages Inside the index and Embedding map in process, on a real, tiny, built collection."""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest
from ui_fakes import NAME, ToySource

from data import importing, store
from data.paths import PROJECT_ROOT
from indexing.build import build
from pages.parts import backend, plots
from retrieval.engine import SearchEngine
from retrieval.ranking import Query, Recipe

IVF, PQ = "ivf:nlist=3", "pq:m=4,nbits=2"
SPECS = ["flat", "flat-l1", IVF, "lsh", PQ]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with ``toy`` described by hog and indexed. Read only: ``home`` copies it."""
    folder = tmp_path_factory.mktemp("inside")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLAYGROUND_HOME", str(folder / "home"))
        importing.import_collection(NAME, ToySource(folder / "photos"))
        build(NAME, ["hog"], SPECS)
    return folder / "home"


@pytest.fixture
def home(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    import streamlit

    shutil.copytree(built, tmp_path / "home")
    monkeypatch.setenv("PLAYGROUND_HOME", str(tmp_path / "home"))
    streamlit.cache_data.clear()
    streamlit.cache_resource.clear()
    with (
        mock.patch("pages.parts.startup.begin", return_value=""),
        mock.patch("indexing.inside.lsh.TRIED_BITS", (16, 64)),  # HOG is long: 1,024 take a second
    ):
        yield tmp_path / "home"


def page(name: str = "inside", index: str | None = None) -> AppTest:
    test = AppTest.from_file(str(PROJECT_ROOT / "app.py"), default_timeout=60)
    test.query_params["collection"] = NAME
    test.run()
    fine(test.switch_page(f"pages/{name}/page.py").run())
    if index is not None:
        choose(test, "in_index", index)
    return test


def choose(test: AppTest, key: str, value: Any) -> AppTest:
    """Click on a segmented control."""
    test.segmented_control(key=key).set_value(value)
    return fine(test.run())


def fine(test: AppTest) -> AppTest:
    assert not test.exception, [one.value for one in test.exception]
    assert not test.error, [one.value for one in test.error]
    return test


def text(test: AppTest) -> str:
    parts = [*test.markdown, *test.caption, *test.info]
    return "\n".join(one.value for one in parts).replace("\\", "")


def charts(test: AppTest) -> dict[str, dict[str, Any]]:
    """Key -> Plotly specification of every chart on the page."""
    found = {}
    for one in test.get("plotly_chart"):
        found[one.proto.id.rpartition("-")[2]] = json.loads(one.proto.spec)
    return found


def traces(test: AppTest) -> list[str]:
    return [trace.get("name") or "" for spec in charts(test).values() for trace in spec["data"]]


def query_vector() -> Any:
    """The engine, the first query with its own box, and the collection's vectors."""
    engine = SearchEngine()
    collection = store.load(NAME)
    query = collection.queries[0]
    return (
        engine,
        Query.of_photo(collection, query),
        np.asarray(engine.vectors(NAME, "hog").vectors),
    )


@pytest.mark.parametrize(
    ("index", "words", "power"),
    [("flat", "every other index is judged by", 2), ("flat-l1", "not that of the cosine", 1)],
)
def test_flat_shows_every_distance(home: Path, index: str, words: str, power: int) -> None:
    test = page(index=index)
    assert test.title[0].value == "Inside the index"
    assert words in text(test)
    shown = {name for name in traces(test) if name}
    assert shown == {"the query's landmark", "another landmark"}
    engine, query, vectors = query_vector()
    described = engine.describe(NAME, "hog", query)
    exact = np.sort((np.abs(vectors - described.features.vectors[0]) ** power).sum(1))
    drawn = [
        value for spec in charts(test).values() for trace in spec["data"] for value in ys(trace)
    ]
    np.testing.assert_allclose(np.sort(drawn), exact, atol=1e-4)


def ys(trace: dict[str, Any]) -> list[float]:
    """A trace's y values; Plotly sends arrays in base64."""
    values = trace["y"]
    if isinstance(values, dict):
        import base64

        return np.frombuffer(base64.b64decode(values["bdata"]), values["dtype"]).tolist()
    return [float(value) for value in values]


def test_nprobe_goes_with_the_search(home: Path) -> None:
    test = page(index="ivf")
    slider = next(one for one in test.slider if one.label.startswith("nprobe"))
    assert (slider.min, slider.max) == (1, 3)
    slider.set_value(1)
    fine(test.run())
    before = {one.label: one.value for one in test.metric}
    assert "Missed at nprobe 1" in text(test)
    next(one for one in test.slider if one.label.startswith("nprobe")).set_value(3)
    fine(test.run())
    after = {one.label: one.value for one in test.metric}
    assert float(before["Agrees with exact"]) < float(after["Agrees with exact"]) == 1.0
    assert after["Photos compared"] == "12 of 12"
    raw = backend.engine().opened(NAME, "hog", IVF)[1].built.inspect()
    assert raw.nprobe == 1  # FAISS's own default: the shared index was not touched


def test_lsh_draws_bits_and_the_line_of_theory(home: Path) -> None:
    test = page(index="lsh")
    shown = traces(test)
    assert "nbits · θ / π" in shown and "true neighbour" in shown
    assert len(test.get("plotly_chart")) == 3
    assert "true neighbours" in text(test)


def test_pq_sums_to_the_distance_of_faiss(home: Path) -> None:
    test = page(index="pq")
    shown = {one.label: one.value for one in test.metric}
    engine, query, _ = query_vector()
    best = engine.search(NAME, Recipe.of("hog", PQ), query, 1).hits[0]
    assert float(shown["Sum of its cells"]) == pytest.approx(best.distance, abs=1e-3)
    assert shown["By FAISS"] == shown["Sum of its cells"]
    assert shown["Bytes per vector"] == "15,120 → 1"
    assert test.selectbox[0].options[0].startswith("rank 1:")
    assert best.id in test.selectbox[0].options[0]


def test_hnsw_is_replayed(home: Path) -> None:
    test = page(index="hnsw")
    shown = {one.label: one.value for one in test.metric}
    assert shown["Agrees with exact"] == "1.00"
    assert {"walked over", "query", "result, a true neighbour"} <= set(traces(test))
    next(one for one in test.slider if one.label.startswith("efSearch")).set_value(1)
    fine(test.run())


def test_an_index_that_is_not_built_names_the_command(home: Path) -> None:
    shutil.rmtree(home / "vectors" / NAME / "hog" / "indexes")
    test = page()
    assert "There is no Flat index of HOG" in text(test) or "Nothing is built" in text(test)
    commands = [one.value for one in test.code]
    if commands:
        assert commands[0].startswith("python -m scripts.build --collection toy")


def test_the_data_of_every_chart_can_be_saved(home: Path) -> None:
    test = page()
    for index, files in {
        "flat": ["toy-hog-flat.csv"],
        "ivf": ["toy-hog-ivf-map.csv", "toy-hog-ivf-nprobe.csv"],
        "lsh": ["toy-hog-lsh-bits.csv", "toy-hog-lsh-angles.csv", "toy-hog-lsh-bits-recall.csv"],
        "pq": ["toy-hog-pq-table.csv", "toy-hog-pq-vector.csv", "toy-hog-pq-distances.csv"],
        "hnsw": ["toy-hog-hnsw-path.csv"],
    }.items():
        with mock.patch("pages.parts.plots.st.download_button") as button:
            choose(test, "in_index", index)
            if index == "flat":
                fine(test.run())
        given = {call.args[2]: call.args[1] for call in button.call_args_list}
        assert list(given) == files
        for content in given.values():
            assert len(pd.read_csv(io.StringIO(content))) > 0


def test_local_descriptors_get_a_sentence(home: Path) -> None:
    real = backend.engine().vectors

    def local(collection: str, extractor: str) -> Any:
        import dataclasses

        found = real(collection, extractor)
        return dataclasses.replace(found, offsets=np.arange(13))

    with mock.patch.object(backend.engine(), "vectors", side_effect=local):
        for name in ("inside", "embedding"):
            test = page(name)
            assert "one vector per photo" in text(test)
            assert not test.get("plotly_chart")


def test_the_query_is_carried_over_and_can_be_changed(home: Path) -> None:
    test = page()
    assert "The arch" in text(test) and "260 x 200 px" in text(test)
    test.toggle(key="in_change").set_value(True)
    fine(test.run())
    test.segmented_control(key="w_source").set_value("photo")
    fine(test.run())
    assert "whole photo, 360 x 260 px" in text(test)
    fine(test.switch_page("pages/search/page.py").run())
    assert test.session_state["settings"].source == "photo"
    fine(test.switch_page("pages/inside/page.py").run())
    assert "whole photo, 360 x 260 px" in text(test)


def test_damaged_files_are_sentences(home: Path) -> None:
    for path in (home / "vectors" / NAME / "hog" / "indexes").rglob("index-*.faiss"):
        path.write_bytes(path.read_bytes()[:-7])
    test = page(index="ivf")
    assert "Run: python -m scripts.build" in text(test)


def test_pca_map_shows_photos_query_and_neighbours(home: Path) -> None:
    test = page("embedding")
    assert test.title[0].value == "Embedding map"
    shown = traces(test)
    assert "query" in shown and "its 10 nearest photos" in shown
    coloured = test.multiselect[0].value
    assert coloured[0] == "arch"  # the query's own landmark comes first
    assert set(coloured) == {"arch", "bridge", "tower"}
    drawn = [
        len(ys(trace))
        for spec in charts(test).values()
        for trace in spec["data"]
        if "customdata" in trace
    ]
    assert sum(drawn) == 12
    assert "of the variance is in these two axes" in text(test)
    test.multiselect[0].set_value(["tower"])
    fine(test.run())
    assert "the others" in traces(test)


def test_selected_photos_are_shown(home: Path) -> None:
    picked = plots.Picked(
        ({"customdata": [3]}, {"customdata": [5]}, {"x": 1}, {"customdata": {"0": 3}})
    )
    assert picked.custom() == [3, 5]
    with mock.patch("pages.parts.plots.figure_with_downloads", return_value=picked):
        test = page("embedding")
    assert "**2 photos**: selected on the map" in text(test)


def test_umap_is_made_in_a_process_of_its_own(home: Path) -> None:
    test = page("embedding")
    choose(test, "em_map", "umap")
    assert "There is no UMAP map of HOG yet" in text(test)
    with mock.patch.object(backend, "start_map") as start:
        test.button(key="em_make").click().run()
    fine(test)
    arguments = ["--collection", NAME, "--extractors", "hog", "--methods", "umap"]
    start.assert_called_once_with(NAME, arguments)


def test_a_saved_umap_map_is_drawn(home: Path) -> None:
    from indexing import embedding

    fake = mock.Mock()
    fake.UMAP.return_value.fit.return_value.embedding_ = np.arange(24.0).reshape(12, 2)
    vectors = SearchEngine().vectors(NAME, "hog")
    with mock.patch.object(embedding.importlib, "import_module", return_value=fake):
        embedding.make(NAME, "hog", "umap", vectors)
    test = page("embedding")
    choose(test, "em_map", "umap")
    assert "UMAP arranges them" in text(test)
    assert len(test.get("plotly_chart")) == 1


def test_names_of_others_are_no_html(home: Path) -> None:
    assert plots.safe('<a href="x">&</a>') == '&lt;a href="x"&gt;&amp;&lt;/a&gt;'


def import_own(home: Path) -> str:
    """Descriptors of the photos and of the queries, imported and indexed; the spec."""
    from indexing.imported import import_descriptors

    collection = store.load(NAME)
    folder = home / "own"
    folder.mkdir()
    for file, members in (("photos", collection.photos), ("queries", collection.queries)):
        rows = np.random.default_rng(len(members)).standard_normal((len(members), 64))
        np.save(folder / f"{file}.npy", rows.astype(np.float32))
        (folder / f"{file}.txt").write_text("\n".join(one.id for one in members))
    report = import_descriptors(
        NAME,
        "own",
        folder / "photos.npy",
        ids=folder / "photos.txt",
        queries=folder / "queries.npy",
        query_ids=folder / "queries.txt",
    )
    build(NAME, [report.extractor], ["flat"])
    return report.extractor


@pytest.mark.parametrize("name", ["inside", "embedding", "tradeoffs"])
def test_a_querys_imported_descriptor_is_used_on_every_page(name: str, home: Path) -> None:
    from indexing.imported import stored_queries

    spec = import_own(home)
    stored = stored_queries(NAME, spec)
    described = []
    real = SearchEngine.describe

    def spy(self: SearchEngine, collection: str, extractor: str, query: Query) -> Any:
        found = real(self, collection, extractor, query)
        described.append((extractor, found.features.vectors[0]))
        return found

    with mock.patch.object(SearchEngine, "describe", spy):
        test = AppTest.from_file(str(PROJECT_ROOT / "app.py"), default_timeout=60)
        test.query_params["collection"] = NAME
        test.query_params["extractors"] = spec
        fine(test.run())
        fine(test.switch_page(f"pages/{name}/page.py").run())
    assert "cannot describe" not in text(test)
    mine = [vector for extractor, vector in described if extractor == spec]
    assert mine
    row = stored.vectors[stored.rows[store.load(NAME).queries[0].id]]
    for vector in mine:
        np.testing.assert_array_equal(vector, row)


def test_a_query_whose_box_is_the_whole_photo_is_its_own_region(home: Path) -> None:
    from pages.parts.query import Query as Chosen

    collection = store.load(NAME)
    photo = collection.queries[0]
    size = (photo.width, photo.height)
    for own, box, expected in (
        (None, None, photo.id),
        ((0, 0, *size), None, photo.id),
        (None, (0, 0, *size), photo.id),
        ((0, 0, size[0] + 5, size[1]), None, photo.id),
        ((40, 20, 300, 220), (40, 20, 300, 220), photo.id),
        ((40, 20, 300, 220), None, None),
        ((40, 20, 300, 220), (40, 20, 300, 221), None),
    ):
        pixels = np.zeros((size[1], size[0], 3), np.uint8)
        mine = dataclasses.replace(photo, box=own)
        chosen = Chosen("x", "x", pixels, 0.0, "", mine, None, None)
        assert chosen.id_for(box) == expected, (own, box)
