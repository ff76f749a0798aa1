"""Words for people: the commands that help, and where a collection's photos come from."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

AGAIN = " and import it again"  # behind the command that deletes a damaged collection
# Of a source's description: what was found at its import, not what would make it again.
FOUND = ("content", "protocol", "expected", "listed", "partial")


def collections(*words: str) -> str:
    return "python -m scripts.collections " + " ".join(shlex.quote(word) for word in words)


def delete(name: str) -> str:
    return collections("delete", name, "--yes")


def refresh(name: str, sources: Iterable[Mapping[str, Any]], root: Path) -> str | None:
    """The import that takes a folder as it is now: what is gone goes, what has changed is taken.

    Args:
        root: of the photo that should come right.
    """
    known = [one for one in sources if one.get("path") is not None]
    # A benchmark may be given by its file; the source of the photo's own folder comes first.
    known.sort(key=lambda one: Path(str(one["path"])) not in (root, *root.parents))
    for described in known:
        kind = described.get("kind")
        words = ["import", "--source", str(kind), "--path", str(described["path"])]
        end = ["--name", name, "--exists", "refresh"]
        if kind == "folder" or (kind != "glr21" and "expected" in described):
            extra = [] if described.get("photos", True) else ["--no-photos"]
            for key in ("limit", "seed"):
                if described.get(key) is not None:
                    extra += [f"--{key}", str(described[key])]
            return collections(*words, *extra, *end)
        if kind == "glr21":
            for key, value in described.items():
                if key not in ("kind", "path", "queries", *FOUND) and value is not None:
                    words += [f"--{key.replace('_', '-')}", str(value)]
            words.append("--queries" if described.get("queries") else "--no-queries")
            return collections(*words, *end)
    return None


def in_words(described: Mapping[str, Any]) -> str:
    parts = (f"{k} {v}" for k, v in described.items() if k not in ("kind", *FOUND))
    return " ".join([f"source {described.get('kind')}", *parts])


def without_content(described: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in described.items() if key not in FOUND}
