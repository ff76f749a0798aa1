"""One row per recipe: figures for the table, hits for the grid. No Streamlit."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evaluation.metrics import average_precision_at_k, overlap_at_k, precision_at_k

if TYPE_CHECKING:
    from retrieval.clock import Measured
    from retrieval.compare import Truth
    from retrieval.engine import IndexStats
    from retrieval.ranking import Hit, SearchResult

UNTRAINED = "random weights: a baseline, not the method's real accuracy"


@dataclasses.dataclass(frozen=True)
class Row:
    """One recipe, for one query."""

    result: SearchResult
    stats: IndexStats | None
    truth: Truth | None
    flat_ids: tuple[str, ...] | None  # what exact search returns, None where there is no Flat
    base: Row | None = None  # the same without this chain, where it has one of its own
    measured: Measured | None = None  # its times over several runs, once somebody asked

    @property
    def extractor(self) -> str:
        return self.result.recipe.extractor

    @property
    def index(self) -> str:
        return self.result.recipe.index

    @property
    def chain(self) -> str:
        """The re-rankers as one text, ``none`` without."""
        return self.result.recipe.chain

    @property
    def id(self) -> str:
        return "|".join([self.extractor, self.index, *self.result.recipe.rerank])

    @property
    def hits(self) -> Sequence[Hit]:
        return self.result.hits

    def times(self) -> dict[str, float]:
        """ms of the stages that can be shown, in order: medians where it was measured.

        The query's own stages are missing where it had been described for somebody else before.
        """
        if self.measured is not None:
            return {name: timing.median for name, timing in self.measured.stages.items()}
        times = {k: v for k, v in self.result.timings_ms.items() if k != "total"}
        if self.result.earlier:
            for stage in ("decode", "crop", "preprocess", "extract"):
                times.pop(stage, None)
        return times

    @property
    def total_ms(self) -> float | None:
        """The sum of all stages; None where some are not known."""
        times = self.times()
        return sum(times.values()) if "extract" in times else None

    def clock(self) -> str:
        """What the times are worth, in words."""
        if self.measured is not None:
            runs = next(iter(self.measured.stages.values())).runs
            busy = "" if self.measured.alone else ", something else was running"
            return f"median of {runs}{busy}"
        if self.result.earlier:
            return "described earlier"
        return "once, cold start" if self.result.cold else "once"

    def verdicts(self) -> list[bool | None]:
        """One per hit; None where nobody knows, or where it is junk."""
        if self.truth is None:
            return [None] * len(self.hits)
        return [self.truth.verdict(hit.id, hit.label) for hit in self.hits]

    def is_junk(self, hit: Hit) -> bool:
        """Whether a hit is left out of the figures: it is neither right nor wrong."""
        return self.truth is not None and hit.id in self.truth.junk

    def moves(self) -> list[int | str | None]:
        """Per hit the ranks it went up against ``base`` (negative: down), or "new"."""
        if self.base is None:
            return [None] * len(self.hits)
        before = {hit.id: hit.rank for hit in self.base.hits}
        return [before[hit.id] - hit.rank if hit.id in before else "new" for hit in self.hits]

    def change(self) -> str:
        """What re-ranking did to the shown hits, in words; empty without it."""
        if self.base is None:
            return ""
        now, before = {hit.id for hit in self.hits}, {hit.id for hit in self.base.hits}
        moved = sum(isinstance(move, int) and move != 0 for move in self.moves())
        against = f"the row {'without it' if self.base.chain == 'none' else self.base.chain}"
        if now == before and not moved:
            return f"Nothing changed against {against}."
        return (
            f"Against {against}: {len(now - before)} came in, {len(before - now)} went "
            f"out, {moved} changed places."
        )

    def found(self) -> str:
        """How many of the right photos are among the shown ones, in words; empty where unknown."""
        if self.truth is None:
            return ""
        right = sum(verdict is True for verdict in self.verdicts())
        most = min(len(self.truth.positives), self.result.k)
        return f"{right} of {most}"

    def figures(self, k: int) -> dict[str, float | None]:
        """precision@K and AP@K (None where the landmark is unknown), overlap@K with Flat."""
        precision = average = overlap = None
        if self.truth is not None:
            flags = [
                verdict is True
                for hit, verdict in zip(self.hits, self.verdicts(), strict=True)
                if not self.is_junk(hit)
            ]
            judged = k - (len(self.hits) - len(flags))  # junk takes no place
            if judged > 0:
                precision = float(precision_at_k(flags, judged))
                average = float(average_precision_at_k(flags, len(self.truth.positives), judged))
        if self.flat_ids is not None:
            overlap = float(overlap_at_k([hit.id for hit in self.hits], self.flat_ids, k))
        values = {"precision": precision, "ap": average, "overlap": overlap}
        return {
            name: None if value is None or math.isnan(value) else value
            for name, value in values.items()
        }


def record(row: Row, k: int, titles: Callable[[str], str] = str) -> dict[str, Any]:
    """One line of the table; keys are the column names of the CSV."""
    times = row.times()
    figures = row.figures(k)
    line: dict[str, Any] = {"extractor": titles(row.extractor), "index": row.index}
    line["rerank"] = row.chain
    line["total_ms"] = None if row.total_ms is None else round(row.total_ms, 3)
    from retrieval.ranking import STAGES

    for stage in STAGES:
        line[f"{stage}_ms"] = _ms(times, stage)
    line["rerank_ms"] = round(sum(times.get(spec, 0) for spec in row.result.recipe.rerank), 3)
    line["load_ms"] = round(row.result.load_ms, 3) if row.result.cold else None
    line["times"] = row.clock()
    line["found"] = row.found()
    line[f"precision@{k}"] = figures["precision"]
    line[f"AP@{k}"] = figures["ap"]
    if row.base is not None and figures["ap"] is not None:
        line["gain"] = figures["ap"] - (row.base.figures(k)["ap"] or 0.0)
    else:
        line["gain"] = None
    line[f"overlap@{k}"] = figures["overlap"]
    line["bytes_per_vector"] = row.stats.bytes_per_vector if row.stats else None
    line["bytes_per_photo"] = row.stats.bytes_per_photo if row.stats else None
    line["build_s"] = row.stats.build_s if row.stats else None
    line["weights"] = row.result.weights or "none"
    return line


def _ms(times: Mapping[str, float], stage: str) -> float | None:
    value = times.get(stage)
    return None if value is None else round(float(value), 3)


def records(rows: Sequence[Row], k: int) -> list[dict[str, Any]]:
    """The table, one line per row."""
    return [record(row, k) for row in rows]


def missing_from_flat(row: Row) -> Collection[str]:
    """Hits of the row that exact search does not return."""
    if row.flat_ids is None or row.index == "flat":
        return frozenset()
    return frozenset(hit.id for hit in row.hits) - frozenset(row.flat_ids)


def is_weak(hit: Hit) -> bool:
    """Whether so few of its matches agree that unrelated photos reach as many."""
    from retrieval.explain.base import FEW

    return hit.inliers is not None and hit.inliers < FEW


def milliseconds(value: float | None) -> str:
    """A time of two significant digits: "0.08 ms", "12 ms", "340 ms", "1.4 s"."""
    if value is None:
        return "–"
    if value >= 9_950:
        return f"{float(f'{value / 1000:.2g}'):.0f} s"
    if value >= 995:
        return f"{value / 1000:.1f} s"
    if value >= 9.95:
        return f"{float(f'{value:.2g}'):.0f} ms"
    return f"{value:.1f} ms" if value >= 0.995 else f"{value:.2f} ms"


def seconds(value: float | None) -> str:
    """A duration for people: "0.4 s", "12 s", "3 min 20 s"."""
    if value is None:
        return "–"
    if value < 10:
        return f"{value:.1f} s"
    if value < 90:
        return f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def size(value: float | None) -> str:
    """Bytes for people: "812 B", "4.2 kB", "1.3 MB"."""
    if value is None:
        return "–"
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def mark(verdict: bool | None, junk: bool, kin: bool) -> int:
    """The grid's number for a verdict; ``kin``: the photo shows the query's kind of landmark."""
    if junk:
        return -2
    if verdict is False and kin:
        return 2
    return -1 if verdict is None else int(verdict)


def payload(
    rows: Sequence[Row],
    thumbnails: Mapping[str, str],
    labels: Mapping[str, str],
    titles: Mapping[str, str],
    kin: Collection[str] = (),
) -> dict[str, Any]:
    """What the results grid draws; see ``results.py`` for the other end.

    A hit is ``[id, score, verdict, odd, inliers, moved, weak]`` with verdict 1 right, 0 wrong, 2
    wrong but among ``kin``, -1 unknown, -2 junk, odd 1 where Flat does not return the photo, moved
    as in ``Row.moves``, and weak 1 where too few matches agree to mean anything.

    Args:
        kin: ids of photos that show the query's kind of landmark.
    """
    from extractors.weights import source_words

    drawn = []
    for row in rows:
        odd = missing_from_flat(row)
        times = row.times()
        badges = [[f"found {row.found()}", "green"]] if row.truth is not None else []
        if "extract" in times:
            badges.append([f"extract {milliseconds(times['extract'])}", "blue"])
        badges.append([f"search {milliseconds(times.get('search'))}", "blue"])
        for spec in row.result.recipe.rerank:
            badges.append([f"{spec} {milliseconds(times.get(spec))}", "violet"])
        busy = row.measured is not None and not row.measured.alone
        badges.append([row.clock(), "orange" if row.result.cold or busy else "grey"])
        about = [row.change(), *map(str, row.result.notes)]
        if row.result.weights == "untrained":
            badges.append(["random weights", "red"])
        elif row.result.weights:
            about.append(f"Weights: {source_words(row.result.weights)}.")
        drawn.append(
            {
                "id": row.id,
                "title": titles.get(row.extractor, row.extractor),
                "index": " · ".join(
                    titles.get(one, one) for one in (row.index, *row.result.recipe.rerank)
                ),
                "badges": badges,
                "notes": [one for one in about if one],
                "hits": [
                    [
                        hit.id,
                        round(float(hit.score), 4),
                        mark(verdict, row.is_junk(hit), hit.id in kin),
                        int(hit.id in odd),
                        hit.inliers,
                        moved,
                        int(is_weak(hit)),
                    ]
                    for hit, verdict, moved in zip(
                        row.hits, row.verdicts(), row.moves(), strict=True
                    )
                ],
            }
        )
    used = {hit[0] for row in drawn for hit in row["hits"]}
    return {
        "rows": drawn,
        "thumbs": {key: value for key, value in thumbnails.items() if key in used},
        "labels": {key: value for key, value in labels.items() if key in used},
    }
