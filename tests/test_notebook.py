"""The notebook: its cells parse here, and run from the first to the last with ``make slow``."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from data import paths

NOTEBOOK = paths.PROJECT_ROOT / "docs" / "playground.ipynb"


def cells() -> list[dict[str, Any]]:
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]


def test_it_has_fifteen_cells_that_parse_and_no_output_is_committed() -> None:
    found = cells()
    assert len(found) == 15
    for cell in found:
        if cell["cell_type"] == "code":
            ast.parse("".join(cell["source"]))
            assert cell["outputs"] == [] and cell["execution_count"] is None


def test_what_it_imports_of_the_project_is_there() -> None:
    for cell in cells():
        if cell["cell_type"] != "code":
            continue
        for node in ast.walk(ast.parse("".join(cell["source"]))):
            if isinstance(node, ast.ImportFrom) and node.module is not None:
                module = __import__(node.module, fromlist=[one.name for one in node.names])
                assert all(hasattr(module, one.name) for one in node.names), node.module


@pytest.mark.slow
def test_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    monkeypatch.setenv("PLAYGROUND_HOME", str(tmp_path))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=1800, resources={"metadata": {"path": str(NOTEBOOK.parent)}}
    )
    client.execute()
    shown = "\n".join(
        output.get("text", "") + str(output.get("data", {}).get("text/plain", ""))
        for cell in notebook.cells
        for output in cell.get("outputs", [])
    )
    assert "240 photos of 20 landmarks" in shown
    assert "on the front" in shown and "gem-siamese" in shown
    pictures = sum(
        "image/png" in output.get("data", {})
        for cell in notebook.cells
        for output in cell.get("outputs", [])
    )
    assert pictures == 3
