"""Benchmarks and precomputed descriptors on the Collections page, in process."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest
from ui_fakes import draw, faked

from data import store
from data.paths import PROJECT_ROOT
from data.sources.registry import BENCHMARKS
from indexing.imported import stored_queries


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[mock.Mock]:
    """Yields the mock that stands for starting a build."""
    import streamlit

    monkeypatch.setenv("PLAYGROUND_HOME", str(tmp_path / "home"))
    streamlit.cache_data.clear()
    streamlit.cache_resource.clear()
    with faked([]) as (_, calls):
        yield calls["start_build"]


def roxford(folder: Path, missing: int = 0) -> Path:
    """Six photos and one query of a revisited ground truth, ``missing`` photos not there."""
    names = [f"radcliffe_camera_{number:06d}" for number in range(6)]
    judged = {"bbx": [10.0, 10.0, 200.0, 200.0], "easy": [0, 1], "hard": [2], "junk": [3]}
    truth = {"imlist": names, "qimlist": ["all_souls_000013"], "gnd": [judged]}
    (folder / "jpg").mkdir(parents=True)
    (folder / "gnd_roxford5k.pkl").write_bytes(pickle.dumps(truth))
    for number, name in enumerate(["all_souls_000013", *names[missing:]]):
        draw(number % 3, number).save(folder / "jpg" / f"{name}.jpg")
    return folder


def form(kind: str) -> AppTest:
    test = AppTest.from_file(str(PROJECT_ROOT / "app.py"), default_timeout=30)
    test.run()
    test.switch_page("pages/collections/page.py").run()
    test.segmented_control(key="i_kind").set_value(kind)
    return fine(test.run())


def fine(test: AppTest) -> AppTest:
    assert not test.exception, [one.value for one in test.exception]
    assert not test.error, [one.value for one in test.error]
    return test


def press(test: AppTest, label: str) -> AppTest:
    next(one for one in test.button if one.label == label).click()
    return test.run()


def words(test: AppTest) -> str:
    parts = [*test.markdown, *test.caption, *test.warning, *test.success, *test.error]
    return "\n".join(one.value for one in parts).replace("\\", "")


def test_every_benchmark_of_the_registry_says_how_to_get_it(started: mock.Mock) -> None:
    test = form("Benchmark")
    for kind, source in BENCHMARKS.items():
        test.selectbox(key="bm_kind").set_value(kind)
        fine(test.run())
        plain = words(test).replace("<", "").replace(">", "").replace("\u2060", "")
        assert source.how in plain and source.summary in plain
        assert test.text_input(key=f"bm_path-{kind}")
    # The distractors' own parameters, and the way they are used.
    assert test.number_input(key="bm_limit-distractors").value is None
    assert test.checkbox(key="bm_add-distractors").value is True


def test_what_is_missing_is_listed_before_and_marked_after(
    started: mock.Mock, tmp_path: Path
) -> None:
    folder = roxford(tmp_path / "rox", missing=2)
    test = form("Benchmark")
    test.text_input(key="bm_name-roxford5k").set_value("rox")
    test.text_input(key="bm_path-roxford5k").set_value(str(folder))
    fine(press(test, "See what is missing"))
    assert "On this disk: 4 of 6 photos and 1 of 1 queries." in words(test)
    listed = next(one.value for one in test.dataframe if "Missing" in one.value)
    assert list(listed["Name"]) == ["radcliffe_camera_000000", "radcliffe_camera_000001"]
    assert not store.exists("rox")
    fine(press(test, "Import"))
    assert len(store.load("rox").photos) == 4
    assert "2 of 6 photos and 0 of 1 queries of roxford5k are missing" in words(test)
    overview = next(one.value for one in test.dataframe if "Licence" in one.value)
    assert overview["State"].tolist() == ["partial"]


def test_a_folder_without_the_data_set_is_a_sentence(started: mock.Mock, tmp_path: Path) -> None:
    test = form("Benchmark")
    test.text_input(key="bm_name-roxford5k").set_value("rox")
    press(test, "Import")
    assert "Give the folder of Revisited Oxford" in words(test)
    test.text_input(key="bm_path-roxford5k").set_value(str(tmp_path))
    press(test, "Import")
    assert not test.exception
    assert "gnd_roxford5k.pkl is not in" in words(test) and "How to get" in words(test)


def test_descriptors_of_a_list_without_photos(started: mock.Mock, tmp_path: Path) -> None:
    test = form("Benchmark")
    test.text_input(key="bm_name-roxford5k").set_value("rox")
    test.text_input(key="bm_path-roxford5k").set_value(str(roxford(tmp_path / "rox", missing=6)))
    test.checkbox(key="bm_list-roxford5k").set_value(True)
    fine(press(test, "Import"))
    rng = np.random.default_rng(0)
    for name, rows in (("x", 6), ("q", 1)):
        np.save(tmp_path / f"{name}.npy", rng.normal(size=(rows, 8)).astype(np.float32))
    test.segmented_control(key="i_kind").set_value("Descriptors").run()
    test.text_input(key="ds_name").set_value("mine")
    test.text_input(key="ds_file").set_value(str(tmp_path / "x.npy"))
    test.text_input(key="ds_queries").set_value(str(tmp_path / "q.npy"))
    fine(press(test, "Import"))
    spec = "imported:name=mine"
    assert "6 photos and 1 queries have descriptors of 8 numbers" in words(test)
    started.assert_called_once_with("rox", [spec], ["flat", "ivf", "lsh", "pq"])
    stored = stored_queries("rox", spec)
    assert np.linalg.norm(stored.vectors[stored.rows["all_souls_000013"]]) == pytest.approx(1)


def test_descriptors_that_do_not_fit_are_a_sentence(started: mock.Mock, tmp_path: Path) -> None:
    assert "no collection yet" in " ".join(one.value for one in form("Descriptors").info)
    test = form("Benchmark")
    test.text_input(key="bm_name-roxford5k").set_value("rox")
    test.text_input(key="bm_path-roxford5k").set_value(str(roxford(tmp_path / "rox")))
    fine(press(test, "Import"))
    np.save(tmp_path / "x.npy", np.ones((5, 8), np.float32))
    test.segmented_control(key="i_kind").set_value("Descriptors").run()
    test.text_input(key="ds_name").set_value("mine")
    test.text_input(key="ds_file").set_value(str(tmp_path / "x.npy"))
    press(test, "Import")
    assert not test.exception
    assert "expected are 6 photos" in words(test)
    started.assert_not_called()
