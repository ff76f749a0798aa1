"""Words for people: the commands that help, and where a collection's photos come from."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from data.base import Photo

AGAIN = " and import it again"  # behind the command that deletes a damaged collection
# Of a source's description: what was found at its import, not what would make it again.
FOUND = ("content", "protocol", "expected", "listed", "partial")


def collections(*words: str) -> str:
    return "python -m scripts.collections " + " ".join(shlex.quote(word) for word in words)


def delete(name: str) -> str:
    return collections("delete", name, "--yes")


def import_command(name: str, sources: Iterable[Mapping[str, Any]], photo: Photo) -> str | None:
    for described in sources:
        kind = described.get("kind")
        if kind == "folder" or (kind != "glr21" and "expected" in described):
            return collections("add", name, "--source", str(kind), "--path", str(described["path"]))
        if described.get("kind") == "glr21":
            words = ["add", name, "--source", "glr21"]
            for key, value in described.items():
                if key not in ("kind", "queries", *FOUND) and value is not None:
                    words += [f"--{key.replace('_', '-')}", str(value)]
            return collections(*words, "--queries" if described.get("queries") else "--no-queries")
    return None


def in_words(described: Mapping[str, Any]) -> str:
    parts = (f"{k} {v}" for k, v in described.items() if k not in ("kind", *FOUND))
    return " ".join([f"source {described.get('kind')}", *parts])


def without_content(described: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in described.items() if key not in FOUND}
