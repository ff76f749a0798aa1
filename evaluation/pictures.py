"""Rankings as files: the query with its box, the first photos in coloured frames, and a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from data import artefact
from data.base import Photo
from data.errors import PlaygroundError
from data.photos import decode
from data.store import Collection
from evaluation.rows import QueryRow, Row
from retrieval.compare import Truth

TILE = 160  # px, side of the square that a photo is drawn into
FRAME = 6  # px
SHOWN = 10
COLOURS = {"positive": (21, 128, 61), "negative": (200, 30, 58), "junk": (139, 148, 163)}
TABLE = "ranks.csv"
COLUMNS = ("extractor", "index", "rerank", "query", "rank", "photo", "judged")
_QUERY = (28, 35, 51)
_BOX = (255, 200, 0)
_GAP = 8
_WHITE = (255, 255, 255)


def draw(collection: Collection, row: Row, answer: QueryRow, shown: int = SHOWN) -> Image.Image:
    """One query of a row, by the protocol's main setting."""
    query, truth = _truth(collection, row, answer)
    tiles = [_tile(_query(collection, query), _QUERY, "query")]
    known = set(collection.ids)
    for rank, photo_id in enumerate(answer.ranking[:shown], 1):
        photo = collection.photo(photo_id) if photo_id in known else None
        tiles.append(_tile(_photo(collection, photo), COLOURS[truth.mark(photo_id)], str(rank)))
    side = TILE + 2 * FRAME
    canvas = Image.new("RGB", (len(tiles) * (side + _GAP) + _GAP, side + 2 * _GAP), _WHITE)
    for place, tile in enumerate(tiles):
        canvas.paste(tile, (_GAP + place * (side + _GAP), _GAP))
    return canvas


def write(collection: Collection, rows: Sequence[Row], folder: Path) -> int:
    """A PNG per query and row, ``<row>/<query>.png``, and ``ranks.csv``; older ones are replaced.

    The table has a line per rank, as many as are drawn, with the columns ``COLUMNS``; ``judged`` is
    positive, negative or junk, by the protocol's main setting.

    Returns:
        How many pictures were written.

    Raises:
        PlaygroundError: the folder cannot be written to.
    """
    count = 0
    table = io.StringIO()
    lines = csv.writer(table, lineterminator="\n")
    lines.writerow(COLUMNS)
    with artefact.explain_os_errors(f"Writing the rankings to {folder}"):
        for row in rows:
            into = folder / _safe(row.name)
            into.mkdir(parents=True, exist_ok=True)
            for answer in row.queries:
                draw(collection, row, answer).save(into / f"{_safe(answer.query_id)}.png")
                lines.writerows(_lines(collection, row, answer))
                count += 1
        artefact.write_atomically(folder / TABLE, table.getvalue())
    return count


def _lines(collection: Collection, row: Row, answer: QueryRow) -> list[tuple[object, ...]]:
    truth = _truth(collection, row, answer)[1]
    recipe = (row.extractor, row.index, row.rerank)
    return [
        (*recipe, answer.query_id, rank, photo_id, truth.mark(photo_id))
        for rank, photo_id in enumerate(answer.ranking[:SHOWN], 1)
    ]


def _truth(collection: Collection, row: Row, answer: QueryRow) -> tuple[Photo, Truth]:
    protocol = row.judged_by
    query = next(one for one in protocol.queries(collection) if one.id == answer.query_id)
    return query, protocol.truths(collection, query)[protocol.main]


def _safe(name: str) -> str:
    """A file name: what is no letter, digit, dot or dash becomes an underscore."""
    return "".join(c if c.isalnum() or c in ".-=" else "_" for c in name)[:120].lstrip(".") or "_"


def _query(collection: Collection, query: Photo) -> Image.Image | None:
    """The whole photo, the searched region framed and all around it paler."""
    try:
        pixels = collection.read(query)
    except PlaygroundError:
        return None
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    picture.thumbnail((TILE, TILE))
    if query.box is None:
        return picture
    scale = (picture.width / pixels.shape[1], picture.height / pixels.shape[0])
    x0, y0, x1, y1 = (round(value * scale[i % 2]) for i, value in enumerate(query.box))
    region = picture.crop((x0, y0, x1, y1))
    paler = Image.blend(picture, Image.new("RGB", picture.size, _WHITE), 0.5)
    paler.paste(region, (x0, y0))
    ImageDraw.Draw(paler).rectangle(
        [x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)], outline=_BOX, width=2
    )
    return paler


def _photo(collection: Collection, photo: Photo | None) -> Image.Image | None:
    if photo is None:
        return None
    try:
        return Image.fromarray(decode(collection.thumbnail(photo), longer_side=TILE))
    except PlaygroundError:
        return None


def _tile(picture: Image.Image | None, colour: tuple[int, int, int], word: str) -> Image.Image:
    side = TILE + 2 * FRAME
    tile = Image.new("RGB", (side, side), colour)
    pen = ImageDraw.Draw(tile)
    pen.rectangle([FRAME, FRAME, side - FRAME - 1, side - FRAME - 1], fill=_WHITE)
    if picture is not None:
        tile.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    pen.rectangle([0, 0, 12 + 7 * len(word), 16], fill=colour)
    pen.text((5, 2), word, fill=_WHITE)
    return tile
