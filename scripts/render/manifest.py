"""Files of a rendered collection: atomic writes, per-photo records, the collection's manifests.

While rendering, every finished photo has a record `records/<id>.json` beside the image, which is
exactly its manifest line; `assemble` gathers them into photos.jsonl and queries.jsonl, after
which the records can go (`drop_records`): they are restored from the lines when needed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
from pathlib import Path
from typing import Any

from . import truth

FORMAT = 1
TITLE = "Rendered landmarks"
DESCRIPTION = (
    "Path-traced photographs of invented buildings, several of every kind so that landmarks"
    " are confusable; surroundings, weather and camera are drawn anew for every photo."
)


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that it exists whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tmp = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    tmp.write_bytes(data)
    os.replace(tmp, path)


def sha256(data: bytes) -> str:
    """Return the hexadecimal SHA-256 of some bytes."""
    return hashlib.sha256(data).hexdigest()


def jpeg_size(data: bytes) -> tuple[int, int]:
    """Return (width, height) in pixels from a JPEG's frame header."""
    pos = 2
    while pos + 9 < len(data):
        marker, length = data[pos + 1], struct.unpack(">H", data[pos + 2 : pos + 4])[0]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[pos + 5 : pos + 9])
            return width, height
        pos += 2 + length
    raise ValueError("no JPEG frame header")


def record_path(out: Path, key: str) -> Path:
    """Return where a photo's record lies."""
    return out / "records" / f"{key}.json"


def is_done(out: Path, key: str) -> bool:
    """Return whether a photo's record exists and its image is the one recorded."""
    try:
        record = json.loads(record_path(out, key).read_text())
        return sha256((out / record["file"]).read_bytes()) == record["sha256"]
    except (OSError, ValueError, KeyError):
        return False


def save_photo(out: Path, image: bytes, record: dict[str, Any]) -> None:
    """Write a photo and then its record, which marks it as done."""
    record = {**record, "sha256": sha256(image)}
    write_atomic(out / record["file"], image)
    write_atomic(record_path(out, record["id"]), _line(record).encode())


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read a JSON-lines file; a missing one has no lines."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def restore_records(out: Path) -> None:
    """Make records from an assembled collection, so that it can be extended in place."""
    for name in ("photos.jsonl", "queries.jsonl"):
        for row in read_lines(out / name):
            path = record_path(out, row["id"])
            if not path.exists():
                write_atomic(path, _line(row).encode())


def start_collection(out: Path, generator: dict[str, Any], name: str = "demo") -> None:
    """Write collection.json, refusing to mix two different generators in one folder."""
    path = out / "collection.json"
    if path.exists():
        old = json.loads(path.read_text(encoding="utf-8")).get("generator")
        if old != generator:
            raise SystemExit(f"{out} was rendered with {old}, not {generator}: use another folder")
        return
    collection = {
        "format": FORMAT,
        "name": name,
        "title": TITLE,
        "licence": "CC0-1.0",
        "author": "Landmark Retrieval Playground contributors",
        "description": DESCRIPTION,
        "generator": generator,
    }
    text = json.dumps(collection, indent=2, ensure_ascii=False) + "\n"
    write_atomic(path, text.encode())


def assemble(out: Path) -> tuple[int, int]:
    """Write photos.jsonl and queries.jsonl from all records; return how many lines each has.

    Queries get their easy, hard and junk photos (see `truth`), which depend on all photos.
    """
    restore_records(out)
    records = [json.loads(p.read_text()) for p in sorted((out / "records").glob("*.json"))]
    records.sort(key=lambda row: row["id"])
    photos = [row for row in records if "box" not in row]
    queries = [row for row in records if "box" in row]
    if all("scene" in row for row in records):
        judged = truth.ground_truth(queries, photos)
        queries = [{**row, "ground_truth": judged[row["id"]]} for row in queries]
    for name, rows in (("photos.jsonl", photos), ("queries.jsonl", queries)):
        write_atomic(out / name, "".join(map(_line, rows)).encode())
    return len(photos), len(queries)


def drop_records(out: Path) -> None:
    """Remove the records of an assembled collection."""
    shutil.rmtree(out / "records", ignore_errors=True)
