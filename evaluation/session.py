"""A comparison as one HTML file: settings, query, results side by side, timings, charts.

It is what a page showed when someone saved it, made of ``evaluation.blocks``: it opens offline.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from data import photos
from data.store import Collection
from evaluation.blocks import Pictures, escaped, image, inline, page, table

_QUERY_SIDE = 260  # px
_SIGNS = {True: ("positive", "&#10003;"), False: ("negative", "&#10007;"), None: ("unknown", "")}


@dataclasses.dataclass(frozen=True)
class Found:
    """A result.

    Attributes:
        photo_id: None for what is no photo of the collection (a distractor).
        caption: landmark or title.
        right: whether it shows the query's landmark; None where nobody knows.
        flag: what is to be noticed, such as "not in Flat"; empty for nothing.
    """

    photo_id: str | None
    caption: str
    right: bool | None = None
    flag: str = ""


@dataclasses.dataclass(frozen=True)
class Strip:
    """One ranking, best first, with a few facts beside its title."""

    title: str
    facts: tuple[str, ...]
    found: tuple[Found, ...]


@dataclasses.dataclass(frozen=True)
class Session:
    """What is saved.

    Attributes:
        settings: name -> value, everything that is needed to see the same again.
        query: (H, W, 3) uint8, the region that was searched; None without one.
        notes: sentences that must not be overlooked, such as that vectors are simulated.
        tables: (title, header, rows).
        charts: HTML from ``blocks.plot`` and ``blocks.bars``.
    """

    title: str
    settings: Mapping[str, str]
    query: photos.RGB | None = None
    query_words: str = ""
    notes: Sequence[str] = ()
    strips: Sequence[Strip] = ()
    tables: Sequence[tuple[str, Sequence[str], Sequence[Sequence[Any]]]] = ()
    charts: Sequence[str] = ()


def render(session: Session, collection: Collection) -> str:
    """The session as HTML text; the pictures are those of the collection."""
    pictures = Pictures(collection)
    parts = [_head(session)]
    if session.strips:
        strips = "".join(_strip(one, pictures) for one in session.strips)
        parts.append(f"<section><h2>Results</h2>{strips}</section>")
    for title, header, rows in session.tables:
        parts.append(f"<section><h2>{escaped(title)}</h2>{table(header, rows)}</section>")
    if session.charts:
        shown = "".join(session.charts)
        parts.append(f'<section><h2>Charts</h2><div class="figures">{shown}</div></section>')
    return page(session.title, "\n".join(parts))


def _head(session: Session) -> str:
    notes = "".join(f'<p class="note">{escaped(note)}</p>' for note in session.notes)
    settings = "".join(
        f"<dt>{escaped(name)}</dt><dd>{escaped(value)}</dd>"
        for name, value in session.settings.items()
    )
    picture = ""
    if session.query is not None:
        shown = image(inline(session.query, _QUERY_SIDE), "The query")
        picture = f'<div class="crop">{shown}<p>{escaped(session.query_words)}</p></div>'
    return (
        f"<header><h1>{escaped(session.title)}</h1>{notes}"
        f'<div class="asked">{picture}<dl>{settings}</dl></div></header>'
    )


def _strip(strip: Strip, pictures: Pictures) -> str:
    cells = []
    for rank, one in enumerate(strip.found, start=1):
        mark, sign = _SIGNS[one.right]
        tip = f"{rank}. {one.caption} ({one.photo_id or 'no photo'})"
        shown = (
            pictures.thumbnail(one.photo_id, tip)
            if one.photo_id is not None
            else f'<span class="nothing">{escaped(one.caption)}</span>'
        )
        flag = f' <span class="flag">{escaped(one.flag)}</span>' if one.flag else ""
        cells.append(
            f'<figure class="{mark}" title="{escaped(tip)}">{shown}'
            f"<figcaption>{rank} {sign}{flag}</figcaption></figure>"
        )
    facts = " &#183; ".join(map(escaped, strip.facts))
    ranks = "".join(cells) or "<p>Nothing was found.</p>"
    return (
        f"<p><strong>{escaped(strip.title)}</strong> <small>{facts}</small></p>"
        f'<div class="ranks">{ranks}</div>'
    )
