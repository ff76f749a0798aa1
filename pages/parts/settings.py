"""What a link to the Search page says. No Streamlit here."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from data.base import Box

SOURCES = ("query", "photo", "upload", "camera")
"""Where the query comes from; the first two can be named in a link, the others cannot."""

MAX_K = 100
DEFAULT_K = 12


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything that decides what the Search page shows.

    ``right`` and ``wrong`` are photos that were marked for relevance feedback.
    ``extractors`` and ``indexes`` are None until someone chooses: the page then picks for itself.
    ``box`` is None for the query's own region and ``"whole"`` for all of the photo.
    ``pair`` has ids as ``compare.Row`` makes them.
    """

    collection: str | None = None
    source: str = "query"
    query: str | None = None
    box: Box | str | None = None
    extractors: tuple[str, ...] | None = None
    indexes: tuple[str, ...] | None = None
    rerank: tuple[str, ...] | None = None
    k: int = DEFAULT_K
    right: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    differences: bool = False  # hits that every row has are dimmed
    pair: tuple[str, str] | None = None  # ids of two rows that are shown side by side

    def replace(self, **changes: object) -> Settings:
        """A copy with some fields changed; marks belong to one query and go with it."""
        about = ("collection", "source", "query")
        if any(
            getattr(self, one) not in (None, changes.get(one)) for one in about if one in changes
        ):
            changes = {"right": (), "wrong": (), **changes}
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]


def parse_box(text: str) -> Box | str | None:
    """``"10,20,300,400"`` or ``"whole"``; None for anything else."""
    if text == "whole":
        return text
    try:
        x0, y0, x1, y1 = (int(part) for part in text.split(","))
    except ValueError:
        return None
    return (x0, y0, x1, y1) if 0 <= x0 < x1 and 0 <= y0 < y1 else None


def from_params(params: Mapping[str, Sequence[str]]) -> Settings:
    """Read a link. What is missing or makes no sense keeps its default: links never fail."""

    def one(name: str) -> str | None:
        values = [value for value in params.get(name, ()) if value]
        return values[-1] if values else None

    def several(name: str) -> tuple[str, ...] | None:
        values = tuple(dict.fromkeys(value for value in params.get(name, ()) if value))
        return values or None

    settings = Settings(collection=one("collection"))
    source = one("source")
    if source in SOURCES:
        settings = settings.replace(source=source)
    if (query := one("query")) is not None:
        settings = settings.replace(query=query)
    if (text := one("box")) is not None:
        settings = settings.replace(box=parse_box(text))
    try:
        k = int(one("k") or DEFAULT_K)
    except ValueError:
        k = DEFAULT_K
    return settings.replace(
        extractors=several("extractors"),
        indexes=several("indexes"),
        rerank=several("rerank"),
        right=several("right") or (),
        wrong=several("wrong") or (),
        differences=one("differences") == "1",
        pair=(pair[0], pair[1]) if len(pair := several("pair") or ()) == 2 else None,
        k=min(MAX_K, max(1, k)),
    )


def to_params(settings: Settings) -> dict[str, str | list[str]]:
    """The link's parameters. Uploads and camera photos have no name that a link could carry."""
    params: dict[str, str | list[str]] = {}
    if settings.collection:
        params["collection"] = settings.collection
    params["source"] = settings.source
    if settings.source in ("query", "photo") and settings.query:
        params["query"] = settings.query
        if isinstance(settings.box, str):
            params["box"] = settings.box
        elif settings.box is not None:
            params["box"] = ",".join(str(value) for value in settings.box)
    if settings.extractors:
        params["extractors"] = list(settings.extractors)
    if settings.indexes:
        params["indexes"] = list(settings.indexes)
    if settings.rerank:
        params["rerank"] = list(settings.rerank)
    for name, marked in (("right", settings.right), ("wrong", settings.wrong)):
        if marked:
            params[name] = list(marked)
    if settings.differences:
        params["differences"] = "1"
    if settings.pair:
        params["pair"] = list(settings.pair)
    params["k"] = str(settings.k)
    return params
