"""A small part of the demo under the demo's name, so that lessons run in seconds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from pathlib import Path

from data.demo import DEMO_FOLDER


def lines(name: str) -> list[dict[str, object]]:
    """The demo's own listing."""
    text = (DEMO_FOLDER / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def write_part(folder: Path, landmarks: Collection[str]) -> Path:
    """Some landmarks of the demo with their photos and queries, in the demo's own format."""
    folder.mkdir(parents=True)
    shutil.copy(DEMO_FOLDER / "collection.json", folder)
    for name in ("photos", "queries"):
        chosen = [one for one in lines(name) if one["label"] in landmarks]
        for one in chosen:
            target = folder / str(one["file"])
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(DEMO_FOLDER / str(one["file"]), target)
        text = "".join(json.dumps(one) + "\n" for one in chosen)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return folder
