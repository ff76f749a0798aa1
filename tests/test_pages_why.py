"""The dialog of a hit: its views, what it says, and what it does where nothing can be said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from data import store
from indexing.build import build


def page() -> None:
    """What ``pages.search.page`` does with a click, without the page around it."""
    import streamlit as st

    from data import store
    from pages.parts import backend, details, query, why
    from retrieval.ranking import Hit, Recipe
    from retrieval.ranking import Query as Searched

    given = st.session_state["given"]
    members = store.load("toy")
    chosen = query.of_photo(members, members.queries[0], "query")
    box = chosen.default_box
    searched = Searched(chosen.pixels, box, key=f"{chosen.image_id}:0")
    recipe = Recipe.of(given["extractor"], given.get("index", "flat"))
    result = backend.engine().search("toy", recipe, searched, 5)
    result.matches.update(given.get("matches", {}))
    hit: Hit = result.hits[0]
    if given.get("gone"):
        result.hits.clear()
        object.__setattr__(result, "collection", "elsewhere")
    details._body(
        members,
        members.photo(hit.id),
        hit,
        "HOG · Flat",
        True,
        None,
        why.Why(result, chosen, box),
    )


def drawn(view: str | None = None, **given: Any) -> AppTest:
    test = AppTest.from_function(page, default_timeout=60)
    test.session_state["given"] = given
    if view is not None:
        test.session_state["why_before"] = view
    return test.run()


def words(test: AppTest) -> str:
    """Everything that is said, without the escapes of Markdown."""
    kinds = ("markdown", "caption", "info", "warning", "error")
    said = [one.value for kind in kinds for one in test.get(kind)]
    return " ".join(said).replace("\\", "")


@pytest.fixture
def toy(toy_collection: store.Collection) -> store.Collection:
    build("toy", ["hog"], ["flat", "lsh"])
    return toy_collection


def test_hog_shows_its_cells(toy: store.Collection) -> None:
    test = drawn(extractor="hog")
    assert not test.exception and not test.error
    said = words(test)
    assert "3 of the 128 cells of the query (outlined) make" in said
    assert "is the cosine of the angle" in said and "is the squared distance" in said
    assert test.button(key="use_as_query")


def test_an_estimated_score_names_the_exact_cosine(toy: store.Collection) -> None:
    said = words(drawn(extractor="hog", index="lsh"))
    assert "the index's estimate of" in said and "number of bits" in said


def test_the_photo_alone_needs_no_explanation(
    toy: store.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    from retrieval.explain import registry

    def fail(*_: Any) -> None:
        raise AssertionError("nothing is computed for it")

    monkeypatch.setattr(registry, "explain", fail)
    test = drawn("Photo", extractor="hog")
    assert not test.exception and not test.error
    assert "strongest" not in words(test)


def test_matches_of_a_re_ranker_can_be_laid_over(toy: store.Collection) -> None:
    rng = np.random.default_rng(0)
    places = rng.uniform((20, 10), (180, 140), (30, 2))
    pairs = np.hstack([places, places * 0.9 + 4]).astype(np.float32)
    given = {photo.id: pairs for photo in toy.photos}
    test = drawn("Overlay", extractor="hog", matches=given)
    assert not test.exception and not test.error
    assert "30 matches agree" in words(test) and "homography" in words(test)
    test.slider(key="why_blend").set_value(1.0).run()
    assert not test.exception and not test.error
    assert "30 matches" in words(drawn("Matches", extractor="hog", matches=given))


def test_few_matches_are_called_weak(toy: store.Collection) -> None:
    pairs = np.array([[20, 20, 30, 30], [90, 25, 100, 35], [40, 90, 50, 100], [99, 99, 109, 109]])
    given = {photo.id: pairs.astype(np.float32) for photo in toy.photos}
    test = drawn("Matches", extractor="hog", matches=given)
    assert any("Weak" in one.value for one in test.warning)


def test_errors_are_sentences(toy: store.Collection) -> None:
    test = drawn(extractor="hog", gone=True)
    assert not test.exception
    assert test.error and "elsewhere" in test.error[0].value
    assert test.button(key="use_as_query")  # the rest of the dialog is there


def test_words_have_a_table(toy_collection: store.Collection) -> None:
    build("toy", ["bovw"], ["flat"])
    test = drawn(extractor="bovw")
    assert not test.exception and not test.error
    assert "visual words are in both" in words(test)
    table = test.dataframe[0].value
    assert {"word", "part of score", "idf weight", "in query", "in photo"} < set(table.columns)
    assert len(table) == 8


def test_what_cannot_be_taken_apart_says_so(
    toy_collection: store.Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    build("toy", ["timm:model=test_vit"], ["flat"], weights="untrained")
    test = drawn(extractor="timm:model=test_vit")
    assert not test.exception and not test.error
    assert any("class token" in one.value for one in test.info)
    assert "is the cosine" in words(test)


def test_the_attention_of_a_place(toy: store.Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    from extractors import registry
    from pages.parts import why

    taken = np.full((3, 4, 3, 4), 0.5 / 11, np.float32)
    taken[:, :, 0, 0] = 0.5
    monkeypatch.setattr(registry, "attends", lambda spec: True)
    monkeypatch.setattr(why, "_taken", lambda *_: taken)
    test = drawn("Attention", extractor="hog")
    assert not test.exception and not test.error
    said = words(test)
    assert "strongest cell gives 50.00 %" in said and "all 12 alike would give 8.33 %" in said
