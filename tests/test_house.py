"""The house stays: nothing imports upward, and only the pages import Streamlit."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ["data", "extractors", "indexing", "retrieval", "evaluation", "pages"]
"""From the ground up: a room may import those before it. ``scripts`` and ``api.py`` may import all
but pages."""


def imports(file: Path) -> Iterator[tuple[str, int]]:
    """The first part of each imported module with its line, wherever in the file it stands."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name.partition(".")[0], node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0], node.lineno


def files(room: str) -> list[Path]:
    """Of a room, or the one beside ``app.py``."""
    path = ROOT / room
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


def faults(room: str, forbidden: set[str]) -> list[str]:
    found = []
    for file in files(room):
        for name, line in imports(file):
            if name in forbidden:
                found.append(f"{file.relative_to(ROOT)}:{line} imports {name}")
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_nothing_imports_upward(room: str) -> None:
    above = set(ROOMS[ROOMS.index(room) + 1 :]) | {"scripts", "app", "api"}
    assert files(room)
    assert not faults(room, above)


@pytest.mark.parametrize("room", [*ROOMS[:-1], "scripts", "api.py"])
def test_only_pages_import_streamlit(room: str) -> None:
    assert files(room)
    found = faults(room, {"streamlit", "pages"})
    # It stands in for a browser: it speaks the server's protocol, whose messages Streamlit has.
    assert [one for one in found if not one.startswith("scripts/benchmark_pages.py:")] == []


def test_what_starts_imports_nothing_of_the_others() -> None:
    assert not faults("api.py", {"scripts", "app"})
    assert not faults("scripts", {"api", "app"})


def test_the_check_sees_an_import_inside_a_function(tmp_path: Path) -> None:
    file = tmp_path / "one.py"
    file.write_text("def f():\n    from pages.parts import x\n    import streamlit.web\n")
    assert list(imports(file)) == [("pages", 2), ("streamlit", 3)]
