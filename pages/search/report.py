"""The HTML report of a comparison on the Search page; see ``evaluation.session``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from data.base import Box
from pages.parts import backend, compare, region
from pages.parts.compare import UNTRAINED, milliseconds
from pages.parts.query import Query, crop_of

if TYPE_CHECKING:
    from data.store import Collection
    from evaluation.session import Strip

_FIGURES = ("precision", "AP", "overlap")
_COLUMNS = ("total_ms", "preprocess_ms", "extract_ms", "search_ms", "rerank_ms", "times")


def of_search(
    collection: Collection, query: Query, box: Box | None, rows: Sequence[compare.Row], k: int
) -> str:
    """The Search page's comparison."""
    from evaluation import blocks, session
    from extractors.weights import source_words

    records = compare.records(rows, k)
    for one in records:
        one["weights"] = source_words(one["weights"])
    known = [f"{name}@{k}" for name in _FIGURES]
    columns = [
        "extractor",
        "index",
        "rerank",
        *_COLUMNS,
        *known,
        "bytes_per_photo",
        "build_s",
        "weights",
    ]
    random = [backend.title(r.extractor) for r in rows if r.result.weights == "untrained"]
    saved = session.Session(
        title=f"Search in {collection.title}",
        settings={
            "collection": f"{collection.name}, {len(collection.photos):,} photos",
            "fingerprint": collection.fingerprint[:16],
            "query": query.name,
            "region": region.describe(box, query.size),
            "results per row": str(k),
        },
        query=crop_of(query, box),
        query_words=query.name,
        notes=[f"{', '.join(dict.fromkeys(random))}: {UNTRAINED}."] if random else [],
        strips=[_of_row(collection, row) for row in rows],
        tables=[("Figures", columns, [[one[c] for c in columns] for one in records])],
        charts=[
            blocks.bars(
                [(_name(r), r.total_ms) for r in rows if r.total_ms is not None], "ms", "Time"
            ),
            blocks.bars(
                [(_name(r), r.stats.bytes_per_photo) for r in rows if r.stats],
                "bytes",
                "Memory per photo",
            ),
        ],
    )
    return session.render(saved, collection)


def _name(row: compare.Row) -> str:
    parts = (row.extractor, row.index, *row.result.recipe.rerank)
    return " · ".join(map(backend.title, parts))


def _of_row(collection: Collection, row: compare.Row) -> Strip:
    from evaluation.session import Found, Strip

    odd = compare.missing_from_flat(row)
    found = tuple(
        Found(
            hit.id,
            backend.caption(collection, collection.photo(hit.id)),
            verdict,
            "not in Flat" if hit.id in odd else "",
        )
        for hit, verdict in zip(row.hits, row.verdicts(), strict=True)
    )
    times = row.times()
    facts = [
        f"{stage} {milliseconds(times[stage])}" for stage in ("extract", "search") if stage in times
    ]
    return Strip(_name(row), (*facts, row.clock(), *map(str, row.result.notes)), found)
