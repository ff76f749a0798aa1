"""The benchmark script runs and reports what it promises; its figures are not judged here."""

from __future__ import annotations

import json
import random
from types import SimpleNamespace
from unittest import mock

import pytest

from data import store
from indexing.build import build
from scripts import benchmark, benchmark_browsers
from scripts.console import call


def report(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:  # type: ignore[type-arg]
    assert call(benchmark.main, [*arguments, "--collection", "toy", "--json"]) == 0
    value: dict = json.loads(capsys.readouterr().out)  # type: ignore[type-arg]
    assert {"date", "machine", "load", "libraries", "commit"} <= value["environment"].keys()
    return value


def test_query_compares_the_engine_with_the_bare_calls(
    toy_collection: store.Collection, capsys: pytest.CaptureFixture[str]
) -> None:
    build("toy", ["hog"], ["flat", "pq"])
    arguments = ["--extractors", "hog", "--indexes", "flat,pq", "--queries", "2", "--rounds", "1"]
    rows = report(capsys, "query", *arguments)["rows"]
    assert [(row["extractor"], row["index"]) for row in rows] == [("hog", "flat"), ("hog", "pq")]
    assert all(row["ours_ms"] > 0 and row["bare_ms"] > 0 for row in rows)


def test_build_measures_photos_per_second(
    toy_collection: store.Collection, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--extractors", "hog,resnet50:image_size=64", "--weights", "untrained"]
    rows = report(capsys, "build", *arguments, "--photos", "3", "--rounds", "1")["rows"]
    assert all(row["photos_per_s"] > 0 for row in rows)
    assert "speedup" not in rows[0]
    assert rows[1]["speedup"] > 0


def test_kill_finds_the_same_bytes(
    toy_collection: store.Collection, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--extractors", "hog", "--indexes", "flat", "--kills", "2"]
    (row,) = report(capsys, "kill", *arguments)["rows"]
    assert row["same_bytes"]
    assert row["files"] == 5  # vectors, ids and their manifest; index and its manifest


def test_scale_measures_each_size_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["scale", "--extractors", "hog", "--side", "64", "--json"]
    assert call(benchmark.main, [*arguments, "--sizes", "4,2"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    steps = ("import", "hog", "hog, Flat")
    expected = [(size, step) for size in (2, 4) for step in steps]
    assert [(row["photos"], row["step"]) for row in rows] == expected
    assert all(row["cpu_ms_per_photo"] > 0 and row["peak_mb"] > 10 for row in rows)
    assert len({row["peak_mb"] for row in rows}) > 1  # not that of this process
    assert call(benchmark.main, [*arguments, "--sizes", "none"]) != 0
    assert "numbers of photos from 1" in capsys.readouterr().err


def test_without_a_browser_the_class_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmark_browsers, "chromium", lambda: None)
    assert call(benchmark.main, ["browsers"]) == 2
    assert "needs Chromium" in capsys.readouterr().err


def test_what_a_class_meets_is_counted_by_what_it_is() -> None:
    tally = benchmark_browsers.Tally()
    visitor = benchmark_browsers.Visitor(mock.Mock(), "http://x", random.Random(0), tally)
    for status, name in ((404, "media/abc.csv"), (200, "media/d.csv"), (404, "media/e.json")):
        visitor._answered(SimpleNamespace(status=status, url=f"http://x/{name}?title=y"))
    assert tally.faults == {"404 /media/": 2}
    tally.waits["change"] = [float(wait) for wait in range(40, 0, -1)]
    (row,) = tally.rows()
    assert (row["done"], row["p50_s"], row["p95_s"], row["longest_s"]) == (40, 20.5, 39.0, 40.0)
