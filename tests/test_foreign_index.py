"""An index that is not FAISS's, added by one registry row, is on every page.

``Prefix`` compares only the first ``dims`` numbers of the vectors, in NumPy: with all of them it is
exact.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest
from ui_fakes import NAME, ToySource

from data import artefact, importing, store
from data.errors import PlaygroundError
from data.paths import PROJECT_ROOT
from evaluation.run import evaluate
from evaluation.tradeoffs import bare, grid, run
from evaluation.tradeoffs.measure import Effort
from indexing import registry
from indexing.artefacts import index_folder
from indexing.base import (
    BuiltIndex,
    Floats,
    IndexCard,
    IndexType,
    Plan,
    SearchHits,
    SearchParameter,
    Value,
    check_overrides,
    check_size,
)
from indexing.build import build
from indexing.registry import IndexRow
from indexing.status import collection_status
from pages.parts import backend
from retrieval.engine import SearchEngine
from retrieval.ranking import Query, Recipe

PREFIX, COLOUR = "prefix", "#123456"
DIM = 3_780  # of HOG
PHOTOS = 12  # of the toy collection


class PrefixIndex(BuiltIndex):
    """All vectors, as they are."""

    name = PREFIX
    distance = "l2"

    def __init__(self, vectors: Floats, plan: Plan) -> None:
        self.vectors, self.plan = vectors, plan
        self.n, self.d = vectors.shape
        self.code_size = 4 * self.d
        numbers = SearchParameter(1, self.d, plan.search["dims"], "numbers compared")
        self.search_parameters = {"dims": numbers}

    def search(
        self, queries: Floats, k: int, params: Mapping[str, int] | None = None
    ) -> SearchHits:
        queries = self.check_queries(queries, k)
        dims = self.choose(params)["dims"]
        apart = queries[:, None, :dims] - self.vectors[None, :, :dims]
        squared = np.einsum("qnd,qnd->qn", apart, apart)
        order = np.argsort(squared, axis=1, kind="stable")[:, :k]
        return SearchHits.from_padded(np.take_along_axis(squared, order, 1), order)

    def save(self, path: Path) -> None:
        with open(path, "wb") as handle:
            np.save(handle, self.vectors, allow_pickle=False)

    @property
    def size_bytes(self) -> int:
        return 128 + self.vectors.nbytes


class Prefix(IndexType):
    """What somebody else would write."""

    name = PREFIX
    file = "prefix.npy"
    search_names = ("dims",)
    card: ClassVar[IndexCard] = IndexCard(
        title="Prefix (NumPy)",
        idea="Compares the first numbers of each vector.",
        formula=r"\sum_{j \le dims} (q_j - x_j)^2",
        parameters={"dims": "numbers compared, 1 to d; default d"},
        paper="None",
        url="https://example.org",
        cost="4 d bytes per photo.",
        when_to_use="In this test.",
    )

    def plan(self, n: int, d: int, overrides: Mapping[str, Value] | None = None) -> Plan:
        check_size(self.name, n, d)
        chosen = check_overrides(self.name, overrides, {"dims": (1, d)})
        return Plan({}, {"dims": chosen.get("dims", d)})

    def estimate_bytes(self, plan: Plan, n: int, d: int) -> int:
        return 128 + 4 * n * d

    def build(self, vectors: Floats, plan: Plan) -> BuiltIndex:
        return PrefixIndex(np.array(vectors), plan)

    def load(self, path: Path, manifest: Mapping[str, Any]) -> BuiltIndex:
        return PrefixIndex(np.load(path), Plan({}, dict(manifest["search"])))


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A collection described by hog, in the index of this file and in Flat."""
    folder = tmp_path_factory.mktemp("foreign")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLAYGROUND_HOME", str(folder / "home"))
        row = IndexRow(f"{__name__}:Prefix", "Prefix", COLOUR)
        patch.setitem(registry.TYPES, PREFIX, row)
        importing.import_collection(NAME, ToySource(folder / "photos"))
        build(NAME, ["hog"], ["flat", PREFIX])
        yield folder / "home"


@pytest.fixture
def measured() -> run.Outcome:
    """Points of both indexes; kept ones are not measured again."""
    effort = Effort(samples=3, seconds=0.5, fewest=1)
    return run.measure_grid(
        NAME, "hog", [None], specs=["flat", PREFIX, f"{PREFIX}:dims=1"], repeats=1, effort=effort
    )


def page(name: str, **params: Any) -> AppTest:
    import streamlit

    streamlit.cache_data.clear()
    streamlit.cache_resource.clear()
    test = AppTest.from_file(str(PROJECT_ROOT / "app.py"), default_timeout=60)
    test.query_params["collection"] = NAME
    for key, value in params.items():
        test.query_params[key] = value
    with (
        mock.patch("pages.parts.startup.begin", return_value=""),
    ):
        test.run()
        return fine(test.switch_page(f"pages/{name}/page.py").run())


def fine(test: AppTest) -> AppTest:
    assert not test.exception, [one.value for one in test.exception]
    assert not test.error, [one.value for one in test.error]
    return test


# -- below the pages ---------------------------------------------------------------------------


def test_all_builds_it_and_the_file_is_its_own() -> None:
    assert registry.expand("all") == ["flat", "ivf", "lsh", "pq", PREFIX]
    folder = index_folder(NAME, "hog", PREFIX)
    assert list(artefact.read_manifest(folder)["files"]) == ["prefix.npy"]
    flat = index_folder(NAME, "hog", "flat")
    assert list(artefact.read_manifest(flat)["files"]) == ["index.faiss"]
    assert [one.action for one in build(NAME, ["hog"], [PREFIX])] == ["unchanged", "unchanged"]
    status = next(one for one in collection_status(NAME) if one.extractor == "hog")
    states = {one.index: (one.state, one.bytes) for one in status.indexes}
    assert states[PREFIX] == ("ready", 128 + 4 * DIM * PHOTOS)


def test_a_search_finds_what_flat_finds() -> None:
    engine, collection = SearchEngine(), store.load(NAME)
    query = Query.of_photo(collection, collection.queries[0])
    mine = engine.search(NAME, Recipe.of("hog", PREFIX), query, 5)
    flat = engine.search(NAME, Recipe.of("hog", "flat"), query, 5)
    assert [hit.id for hit in mine.hits] == [hit.id for hit in flat.hits]
    distances = [hit.distance for hit in flat.hits]
    assert [hit.distance for hit in mine.hits] == pytest.approx(distances, abs=1e-5)
    # One number only: the photos in the order of how near their first numbers are.
    first = np.asarray(engine.vectors(NAME, "hog").vectors)[:, 0]
    mine = engine.search(NAME, Recipe.of("hog", f"{PREFIX}:dims=1"), query, PHOTOS)
    squares = (first - engine.describe(NAME, "hog", query).features.vectors[0, 0]) ** 2
    assert [hit.distance for hit in mine.hits] == pytest.approx(sorted(squares), abs=1e-7)


def test_it_is_evaluated() -> None:
    exact, mine = evaluate(NAME, ["hog"], ["flat", PREFIX], k=5)
    assert (mine.index, mine.recall) == (PREFIX, 1.0)
    assert mine.map == exact.map


def test_the_bare_search_pads_what_was_not_found() -> None:
    built = PrefixIndex(np.eye(2, dtype=np.float32), Plan({}, {"dims": 2}))
    distances, ids = built.searcher()(np.eye(2, dtype=np.float32), 3)
    assert ids.tolist() == [[0, 1, -1], [1, 0, -1]]
    assert distances.tolist() == [[0, 2, math.inf], [0, 2, math.inf]]
    _, near = built.searcher({"dims": 1})(np.array([[0.9, 5.0]], np.float32), 1)
    assert near.tolist() == [[0]]


def test_the_grid_asks_the_type() -> None:
    wanted = grid.one_build(PREFIX, 1_000, 64)
    assert wanted.bytes == 128 + 4 * 1_000 * 64
    assert wanted.searches == ({"dims": 64},)  # a parameter that the grid does not know
    assert grid.training_bytes(wanted, 1_000, 64) == 0
    assert PREFIX in grid.default_specs(1_000, 64, quick=True)
    assert grid.user_specs(PREFIX) == [PREFIX]


def test_its_trade_offs_are_measured(measured: run.Outcome) -> None:
    points = {point.setting: point for point in measured.points}
    assert set(points) == {"flat", f"{PREFIX}:dims={DIM}", f"{PREFIX}:dims=1"}
    whole = points[f"{PREFIX}:dims={DIM}"]
    assert (whole.family, whole.recall[10], whole.map100) == (PREFIX, 1.0, points["flat"].map100)
    assert (whole.disk_bytes, whole.code_bytes) == (128 + 4 * DIM * PHOTOS, 4 * DIM)
    assert math.isnan(whole.distances) and whole.distances_how == "not counted"
    assert whole.latency_ms > 0 and whole.throughput.median > 0


def test_there_are_no_plain_faiss_calls_for_it() -> None:
    with pytest.raises(PlaygroundError, match="no plain FAISS calls to compare prefix"):
        bare.plain_index(PREFIX, {}, np.eye(4, dtype=np.float32))


# -- pages -------------------------------------------------------------------------------------


def test_the_build_form_offers_it() -> None:
    test = page("collections")
    assert "Prefix" in test.pills(key="b_indexes").options
    test.pills(key="b_extractors").set_value(["hog"])
    test.pills(key="b_indexes").set_value([PREFIX])
    with mock.patch.object(backend, "start_build") as start:
        fine(test.run())
        fine(test.button(key="build").click().run())
    start.assert_called_once_with(NAME, ["hog"], [PREFIX], force=False)
    built = next(one.value for one in test.dataframe if "What" in one.value)
    assert "ready" in list(built[built["What"] == "Prefix"]["State"])


def test_search_has_a_row_of_it() -> None:
    test = page("search", extractors="hog", indexes=["flat", PREFIX])
    frame = test.dataframe[0].value
    assert list(frame["index"]) == ["Flat", "Prefix"]


def test_trade_offs_draw_it_and_move_its_parameter(measured: run.Outcome) -> None:
    test = page("tradeoffs")
    drawn = "\n".join(one.proto.spec for one in test.get("plotly_chart"))
    assert '"name":"Prefix"' in drawn and COLOUR in drawn
    setting = next(p for p in measured.points if p.setting == f"{PREFIX}:dims=1")
    test.selectbox(key="t_setting").set_value(setting.key)
    fine(test.run())
    live = test.segmented_control(key="t_live")
    assert live.options == ["IVF: nprobe", "LSH: nbits", "PQ: m", "Prefix"]
    live.set_value(PREFIX)
    fine(test.run())
    slider = test.slider(key="t_dims")
    assert (slider.min, slider.max, slider.value) == (1, DIM, DIM)
    missed = [one.value for one in test.metric if one.label == "Missed / wrong"]
    assert missed[-1] == "0 / 0"  # all numbers are compared


def test_inside_the_index_says_that_it_cannot_be_looked_into() -> None:
    test = page("inside")
    control = test.segmented_control(key="in_index")
    assert control.options == ["Flat", "IVF", "LSH", "PQ", "Factory", "Prefix", "HNSW"]
    for kind, title in ((PREFIX, "Prefix"), ("factory", "Factory")):
        control.set_value(kind)
        fine(test.run())
        assert test.info[0].value.startswith(f"{title} cannot be looked into")
        assert not test.get("plotly_chart")
        control = test.segmented_control(key="in_index")


def test_methods_explain_it() -> None:
    test = page("methods")
    test.segmented_control(key="m_kind").set_value("Index types")
    fine(test.run())
    test.pills(key="m_index").set_value(PREFIX)
    fine(test.run())
    assert test.header[0].value == "Prefix (NumPy)"
    frame = next(one.value for one in test.dataframe)
    assert frame.iloc[0]["Bytes / photo"] == pytest.approx(4 * DIM)
    assert frame.iloc[0]["Shared by all"] == "128 B"


def test_the_row_is_all_there_is() -> None:
    assert dataclasses.asdict(registry.TYPES[PREFIX]) == {
        "path": f"{__name__}:Prefix",
        "title": "Prefix",
        "colour": COLOUR,
        "view": "",
        "basic": True,
        "package": "",
    }
