"""The training report on the Methods page, from the header of the weights in use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from streamlit.testing.v1 import AppTest

from extractors.weights import measured_tables
from pages.methods import training

CARD: dict[str, Any] = {
    "title": "GeM-Siamese, resnet50 trunk, triplet loss",
    "data": "24 pictures of 6 landmarks (toy).",
    "hardware": "cpu fp32",
    "hours": 0.25,
    "commit": "abc1234",
    "command": "python -m scripts.train_siamese --collection toy",
    "recipe": {"loss": "triplet", "seed": 0},
    "history": [
        {"step": 0, "map": 0.2},
        {"step": 10, "loss": 0.5},
        {"step": 20, "loss": 0.25},
        {"step": 20, "map": 0.4},
    ],
    "measured": [{"collection": "demo", "map": 0.31}],
    "notes": "More landmarks would help.",
}


def test_curves_are_by_step() -> None:
    points = training.curve(CARD, "loss")
    assert points.to_dict() == {10: 0.5, 20: 0.25}
    assert training.curve(CARD, "accuracy").empty


def test_no_title_of_a_curve_breaks_its_chart() -> None:
    """Titles are names of fields for Vega, which reads quotes and brackets in them."""
    assert not set("'\"[].\\") & set("".join(training.CURVES.values()))


@pytest.mark.parametrize(
    "history",
    [
        None,
        "text",
        [1, None, "x"],
        [{"step": "1", "loss": 1.0}],
        [{"step": 1, "loss": float("nan")}],
        [{"step": 1, "loss": [1]}],
        [{"loss": 1.0}],
    ],
)
def test_a_card_with_nonsense_has_no_curve(history: Any) -> None:
    assert training.curve({"history": history}, "loss").empty


def test_measured_rows_with_the_same_figures_share_a_table() -> None:
    demo, glr = {"collection": "demo", "easy ap": 0.31}, {"collection": "glr", "ap@100": 0.2}
    assert measured_tables({"measured": [demo, glr, demo, {"a": None}]}) == [
        [{"collection": "demo", "easy ap": "0.31"}] * 2,
        [{"collection": "glr", "ap@100": "0.2"}],
        [{"a": "None"}],
    ]
    assert measured_tables({"measured": "x"}) == measured_tables({"measured": [1]}) == []


def shown() -> AppTest:
    """What the part draws for gem-siamese."""

    def script() -> None:
        from pages.methods import training

        training.report("gem-siamese")

    test = AppTest.from_function(script, default_timeout=120).run()
    assert not test.exception
    return test


@pytest.mark.parametrize("card", [CARD, {"title": 3, "history": 7, "recipe": []}, None])
def test_the_report_of_the_weights_in_use_is_shown(home: Path, card: Any) -> None:
    folder = home / "weights"
    folder.mkdir(parents=True)
    header = {"card": json.dumps(card)} if card else None
    tensors = {"pool.p": torch.ones(1)}
    safetensors.torch.save_file(tensors, folder / "gem-siamese.safetensors", header)
    test = shown()
    titles = [one.value for one in test.subheader]
    assert ("How its weights were trained" in titles) == (card is not None)
    if card is CARD:
        assert "24 pictures of 6 landmarks" in test.markdown[0].value
        assert test.dataframe[0].value.to_dict("list") == {"collection": ["demo"], "map": ["0.31"]}
        assert "More landmarks" in test.markdown[1].value
        assert test.code[0].value == CARD["command"]


def test_without_weights_of_ours_nothing_is_shown(home: Path) -> None:
    assert not shown().subheader
