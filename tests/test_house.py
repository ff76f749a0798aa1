"""The house stays: nothing imports upward, and only the pages import Streamlit."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ["data", "extractors", "indexing", "retrieval", "evaluation", "pages"]
"""From the ground up: a room may import those before it. ``scripts`` may import all but pages."""


def imports(file: Path) -> Iterator[tuple[str, int]]:
    """The first part of each imported module with its line, wherever in the file it stands."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name.partition(".")[0], node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0], node.lineno


def faults(room: str, forbidden: set[str]) -> list[str]:
    found = []
    for file in sorted((ROOT / room).rglob("*.py")):
        for name, line in imports(file):
            if name in forbidden:
                found.append(f"{file.relative_to(ROOT)}:{line} imports {name}")
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_nothing_imports_upward(room: str) -> None:
    above = set(ROOMS[ROOMS.index(room) + 1 :]) | {"scripts", "app"}
    assert list((ROOT / room).rglob("*.py"))
    assert not faults(room, above)


@pytest.mark.parametrize("room", [*ROOMS[:-1], "scripts"])
def test_only_pages_import_streamlit(room: str) -> None:
    assert not faults(room, {"streamlit", "pages"})


def test_the_check_sees_an_import_inside_a_function(tmp_path: Path) -> None:
    file = tmp_path / "one.py"
    file.write_text("def f():\n    from pages.parts import x\n    import streamlit.web\n")
    assert list(imports(file)) == [("pages", 2), ("streamlit", 3)]
