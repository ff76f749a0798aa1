"""The HTML report of the Trade-offs page, from what it shows; see ``evaluation.session``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from indexing import registry
from pages.parts.query import crop_of
from pages.tradeoffs.data import Scale, briefly, families

if TYPE_CHECKING:
    from evaluation.session import Strip
    from evaluation.tradeoffs.rows import Point
    from pages.parts.inside_data import Case
    from pages.tradeoffs.answer import Asked


def of_tradeoffs(
    case: Case,
    points: Sequence[Point],
    everything: Sequence[Point],
    scale: Scale,
    measure: str,
    least: float,
    asked: Asked | None,
    payload: Mapping[str, Any] | None,
) -> str:
    """The Trade-offs page: charts, the measured settings, and the chosen one on the query.

    Args:
        points: those of the scale; everything: those of all scales.
        measure, least: the recall that is drawn, and what growth asks of it.
        asked, payload: the answer that is shown, and the grid it is drawn as.
    """
    from evaluation import session

    first = points[0]
    settings = {
        "collection": f"{case.collection.name}, {first.photos:,} photos",
        "extractor": f"{case.extractor}, {first.dim:,} numbers",
        "vectors": scale.sentence,
        "queries": f"{first.queries:,}",
        "machine": f"{first.machine.get('cpu', '')}, {first.machine.get('cores', '')} cores",
        "threads": f"1, and {first.threads} where all are used",
        "versions": ", ".join(f"{k} {v}" for k, v in first.versions.items()),
        "measured": f"{min(p.date for p in points)[:10]} to {max(p.date for p in points)[:10]}",
    }
    if asked is not None:
        settings["setting shown"] = asked.title
        settings["its search of this query"] = briefly(asked.search.median)
        if asked.exact_search is not None:
            settings["exact search (Flat) of it"] = briefly(asked.exact_search.median)
    notes = []
    if scale.simulated:
        notes.append(
            f"{scale.simulated:,} of the {scale.n:,} vectors are simulated: drawn from a model of "
            f"the collection's own. Recall is about them, too."
        )
    query = case.asked.query
    saved = session.Session(
        title=f"Trade-offs: {case.collection.title}",
        settings=settings,
        query=crop_of(query, case.asked.box),
        query_words=query.name,
        notes=notes,
        strips=_strips(payload) if payload else [],
        tables=[_table(points)],
        charts=_charts(points, everything, measure, least),
    )
    return session.render(saved, case.collection)


def _strips(payload: Mapping[str, Any]) -> list[Strip]:
    """What the results grid draws, for the report."""
    from evaluation.session import Found, Strip

    right = {1: True, 0: False}
    return [
        Strip(
            row["title"],
            (row["index"], *(text for text, _ in row["badges"])),
            tuple(
                Found(
                    one if one in payload["thumbs"] else None,
                    payload["labels"].get(one, one),
                    right.get(verdict),
                    row["mark"][0] if odd else "",
                )
                for one, _, verdict, odd, _ in row["hits"]
            ),
        )
        for row in payload["rows"]
    ]


def _table(points: Sequence[Point]) -> tuple[str, list[str], list[list[Any]]]:
    names = ["recall@1", "recall@10", "recall@100", "latency", "p95", "throughput"]
    names += ["bytes", "memory", "build"]
    from evaluation.tradeoffs.rows import MEASURES

    header = ["setting"]
    for name in names:
        unit = MEASURES[name].unit
        header.append(f"{name} ({unit})" if unit else name)
    lines = [[point.setting, *(float(point.value(name)) for name in names)] for point in points]
    return "Measured settings", header, lines


def _charts(
    points: Sequence[Point], everything: Sequence[Point], measure: str, least: float
) -> list[str]:
    from evaluation import blocks
    from evaluation.tradeoffs.front import fastest

    names = families(everything)
    colours = {f: blocks.COLOURS[i % len(blocks.COLOURS)] for i, f in enumerate(names)}

    def series(cost: str) -> list[blocks.Series]:
        found = []
        for family in names:
            mine = [p for p in points if p.family == family]
            found.append(
                blocks.Series(
                    registry.family_title(family),
                    [p.value(cost) for p in mine],
                    [p.value(measure) for p in mine],
                    colours[family],
                    [p.setting for p in mine],
                )
            )
        return [one for one in found if one.x]

    drawn = [blocks.legend(series("latency"))]
    for cost, across in (("latency", "ms"), ("bytes", "bytes per vector"), ("build", "build s")):
        drawn.append(
            blocks.plot(series(cost), across, measure, f"{measure} over {across}", log_x=True)
        )
    steps = fastest(everything, measure, least)
    if len({step.n for step in steps}) > 1:
        lines = []
        for family in dict.fromkeys(step.family for step in steps):
            mine = [step for step in steps if step.family == family]
            lines.append(
                blocks.Series(
                    registry.family_title(family),
                    [step.n for step in mine],
                    [step.latency_ms for step in mine],
                    colours[family],
                    [step.setting for step in mine],
                    line=True,
                    rings=any(step.simulated for step in mine),
                )
            )
        words = f"Fastest with {measure} of at least {least:g}"
        if any(step.simulated for step in steps):
            words += ", larger sizes with simulated vectors"
        drawn.append(blocks.plot(lines, "vectors", "ms", words, log_x=True, log_y=True))
    return drawn
