"""Contact sheets of a rendered collection (needs Pillow)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from . import manifest

BACKGROUND = (24, 24, 24)
MAX_BYTES = 300_000


def all_photos(out: Path, path: Path, labels: Sequence[str], width: int = 240) -> None:
    """Write all photos as thumbnails, one row a landmark, queries last with their boxes in red."""
    rows = manifest.read_lines(out / "photos.jsonl") + manifest.read_lines(out / "queries.jsonl")
    by_label = [[row for row in rows if row["label"] == label] for label in labels]
    _save(_paste(out, by_label, width), path)


def overview(out: Path, path: Path, columns: int = 10, width: int = 150) -> None:
    """Write one clear photo of every landmark."""
    rows = manifest.read_lines(out / "photos.jsonl")
    best = [
        min((row for row in rows if row["label"] == label), key=_unclear)
        for label in sorted({row["label"] for row in rows})
    ]
    cells = [best[i : i + columns] for i in range(0, len(best), columns)]
    _save(_paste(out, cells, width), path)


def _unclear(row: dict[str, Any]) -> float:
    """Smallest for a photo by day, upright or not, that shows its landmark large and whole."""
    scene = row["scene"]
    day = scene["weather"] in ("clear", "partly", "golden", "overcast")
    wide = row["width"] > row["height"]
    faults = 4 * (not day) + 4 * scene["detail"] + 2 * scene["occluded"] + 1.5 * (not wide)
    return faults + 3 * scene["hidden_share"] + abs(scene["visible_share"] - 0.4)


def _paste(out: Path, cells: Sequence[Sequence[dict[str, Any]]], width: int) -> Image.Image:
    height = width * 3 // 4
    columns = max(map(len, cells), default=1)
    sheet = Image.new("RGB", (width * columns, height * len(cells)), BACKGROUND)
    for i, rows in enumerate(cells):
        for j, row in enumerate(rows):
            image = Image.open(out / row["file"]).convert("RGB")
            if "box" in row:
                x0, y0, x1, y1 = row["box"]
                ImageDraw.Draw(image).rectangle((x0, y0, x1 - 1, y1 - 1), outline="red", width=3)
            image.thumbnail((width - 2, height - 2))
            left = j * width + (width - image.width) // 2
            sheet.paste(image, (left, i * height + (height - image.height) // 2))
    return sheet


def _save(sheet: Image.Image, path: Path) -> None:
    """Write a PNG as it is, a JPEG at the best quality within MAX_BYTES."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() not in (".jpg", ".jpeg"):
        sheet.save(path)
        return
    for quality in range(88, 30, -4):
        data = io.BytesIO()
        sheet.save(data, "JPEG", quality=quality, optimize=True, progressive=True)
        if data.tell() <= MAX_BYTES:
            break
    path.write_bytes(data.getvalue())
