"""The Methods page: every re-ranker's card, whether its packages are installed or not."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from data.paths import PROJECT_ROOT
from retrieval.rerank import registry


@pytest.mark.parametrize("name", registry.names())
def test_every_reranker_has_a_card(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAYGROUND_HOME", str(tmp_path))
    monkeypatch.setenv("PLAYGROUND_DEMO", "off")
    test = AppTest.from_file(str(PROJECT_ROOT / "app.py"), default_timeout=60)
    test.run()
    test.query_params["m_kind"] = "Re-rankers"
    test.switch_page("pages/methods/page.py").run()
    test.pills(key="m_rerank").set_value(name).run()
    assert not test.exception and not test.error
    card = registry.card(name)
    assert card.title in [one.value for one in test.header]
    shown = "\n".join(one.value for one in test.markdown)
    for words in (card.idea, card.hurts, card.cost, card.score):
        assert words in shown
    fields = {field.name for field in dataclasses.fields(registry.create(name).config)}
    assert fields == set(card.parameters)
