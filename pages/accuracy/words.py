"""What the Accuracy page says about evaluated rows: tables, words and rankings. No Streamlit."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from data.errors import PlaygroundError
from pages.parts.evaluated import mean_name, score

if TYPE_CHECKING:
    from data.base import Photo
    from data.store import Collection
    from evaluation.base import Protocol, Truth
    from evaluation.rows import QueryRow, Row
    from evaluation.statistics import Comparison

GENERAL = ("labels", "gldv2")  # protocols that judge any collection with landmarks
LISTED = ("revisited", "classic")  # protocols that need lists of their own in the queries
VERDICTS = {"positive": 1, "negative": 0, "junk": -2}  # as ``results_grid`` draws them
SHARE = 0.05  # below this p, a difference is called unlikely to be chance
_TRIED = 20  # queries that are looked at, to see whether a protocol fits


def fitting(collection: Collection, saved: Iterable[str] = ()) -> list[str]:
    """The protocols that can judge the collection, its own one first.

    Args:
        saved: protocols that it was evaluated by already; they are offered in any case.
    """
    from evaluation import registry

    own, kept = registry.of_collection(collection), set(saved)
    names = [own, *(name for name in registry.names() if name != own)]
    able = [
        name
        for name in names
        if name in kept or (name in (own, *GENERAL, *LISTED) and _fits(collection, name))
    ]
    return able


def _fits(collection: Collection, name: str) -> bool:
    from evaluation import registry

    try:
        protocol = registry.protocol(name)
        truths = [
            protocol.truths(collection, query) for query in protocol.queries(collection)[:_TRIED]
        ]
    except PlaygroundError:
        return False
    return any(truth.positives for settings in truths for truth in settings.values())


def missing(rows: Sequence[Row], ready: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """Built pairs of extractor and index without a row that is up to date."""
    # Local features have the usual chain ransac, all others none.
    usual = ("none", "ransac")
    done = {(row.extractor, row.index) for row in rows if not row.stale and row.rerank in usual}
    pairs = [(extractor, index) for extractor, indexes in ready.items() for index in indexes]
    return [pair for pair in pairs if pair not in done]


def ordered(rows: Iterable[Row], setting: str) -> list[Row]:
    """Best first; rows without a value last."""
    return sorted(rows, key=lambda row: -_or_low(score(row, setting)))


def value_name(measure: str) -> str:
    """A measure of one query: ``AP``, ``N-S``."""
    return measure.upper()


def weights(row: Row) -> str:
    """The weights in words; ``none`` for methods that have none."""
    from extractors.weights import source_words

    return source_words(row.weights) or "none"


def untrained(row: Row) -> bool:
    return row.weights.endswith("untrained")


def state(row: Row) -> str:
    """What is to be known before a row is compared; empty for an ordinary one."""
    return ", ".join(
        word
        for word, true in (("out of date", row.stale), ("partial data set", row.partial))
        if true
    )


def between(interval: tuple[float, float] | None) -> str:
    """An interval for people: "0.412–0.530"."""
    return f"{interval[0]:.3f}–{interval[1]:.3f}" if interval else "–"


# The table


def record(
    row: Row, setting: str, test: Comparison | None, title: Callable[[str], str] = str
) -> dict[str, Any]:
    """One line of the shown table; what is not known is None.

    ``test`` is the row against the best one, None for the best one itself.
    """
    protocol = row.judged_by
    line: dict[str, Any] = {"extractor": title(row.extractor), "index": title(row.index)}
    line["rerank"] = "" if row.rerank == "none" else row.rerank
    several = len(protocol.settings) > 1
    for name in protocol.settings:
        words = f" {name}" if several else ""
        line[f"{mean_name(protocol.headline)}{words}"] = _known(score(row, name))
        line[f"95 %{words}"] = between(row.interval(name))
    line["difference"] = _known(test.difference) if test else None
    line["p"] = _known(test.p_value) if test else None
    line["weights"] = weights(row)
    for measure in protocol.measures:
        if measure != protocol.headline:
            line[mean_name(measure)] = _known(row.means[setting][measure])
    line["recall"] = _known(row.recall)
    line["extract_ms"] = _known(row.extract_ms)
    line["search_ms"] = _known(row.search_ms)
    if row.rerank != "none":
        line["rerank_ms"] = _known(row.rerank_ms)
    line["bytes_per_photo"] = _known(row.bytes_per_photo)
    line["build_s"] = row.build_s
    line["queries"] = len(row.queries)
    line["state"] = state(row)
    return line


def flat(row: Row) -> dict[str, Any]:
    """One line of the CSV: the row's documented form, intervals as two columns."""
    line: dict[str, Any] = {}

    def add(values: Mapping[str, Any], before: str) -> None:
        for name, value in values.items():
            if isinstance(value, Mapping):
                add(value, f"{before}{name} ")
            elif name.endswith("_ci"):
                low, high = value or (None, None)
                line[f"{before}{name}_low"], line[f"{before}{name}_high"] = low, high
            else:
                line[before + name] = value

    add(row.as_json(), "")
    return line | {"date": row.date, "out_of_date": row.stale}


def as_json(rows: Sequence[Row]) -> str:
    """The rows in their documented form (see ``scripts.evaluate``), out-of-date ones marked."""
    listed = [row.as_json() | {"date": row.date, "out_of_date": row.stale} for row in rows]
    return json.dumps(listed, ensure_ascii=False, indent=1)


# Words


def times(rows: Sequence[Row]) -> str:
    """Where and when the rows' times were measured, for they are not of this moment."""
    dates: dict[str, list[str]] = {}
    for row in rows:
        if row.machine:
            dates.setdefault(row.machine, []).append(row.date[:10])
    return "; ".join(
        f"on {machine}, {' to '.join(dict.fromkeys((min(found), max(found))))}"
        for machine, found in dates.items()
    )


def sentence(
    names: tuple[str, str], means: tuple[float, float], test: Comparison, measure: str
) -> str:
    """The paired test of two methods in plain words."""
    first, second = names
    if test.queries == 0:
        return "No query has a value for both methods, so they cannot be compared."
    count = f"{test.queries:,} {'query' if test.queries == 1 else 'queries'}"
    if test.wins == test.losses == 0:
        return f"On all {count} both methods have exactly the same {value_name(measure)}."
    better, worse = (first, second) if test.difference >= 0 else (second, first)
    shown = mean_name(measure)
    words = (
        f"On {count}, {first} has {shown} {means[0]:.3f} and {second} {means[1]:.3f}. "
        f"{first} is better on {test.wins:,}, {second} on {test.losses:,}, and {test.ties:,} are "
        f"equal. "
    )
    if test.difference == 0:
        return words + "On the whole there is no difference."
    lead = abs(test.difference)
    how_often = f"{_percent(test.p_value)} of the cases"
    words += (
        f"{better} leads by {lead:.3f}. If the two were equally good, chance alone would make so "
        f"large a difference in {how_often} (paired permutation test, p {_p(test.p_value)}): "
    )
    if test.p_value < SHARE:
        return words + f"{better} is most likely better than {worse} on queries like these."
    return words + "with these queries, the difference may well be chance."


def _percent(p: float) -> str:
    if p < 0.001:
        return "fewer than 0.1 %"
    return f"{100 * p:.1f} %" if p < 0.1 else f"{100 * p:.0f} %"


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def glossary(protocol: Protocol, k: int) -> list[tuple[str, str]]:
    """Every number of the page and what it means, for a class."""
    lines = []
    for name, words in protocol.measures.items():
        more = f"Mean over the queries of: {words}." if name != "n-s" else f"{words}."
        lines.append((mean_name(name), more))
    return [
        *lines,
        (
            "95 %",
            "The interval that the mean falls into when the queries are drawn again and again "
            "(bootstrap). With few queries it is wide. Intervals that overlap do not settle which "
            "method is better: the paired test below asks that.",
        ),
        (
            "Difference, p",
            "Against the best row, on the same queries. p is how often so large a difference "
            "appears when the two methods are exchanged at random for each query. Below 0.05 is "
            "usually called significant; of twenty comparisons, one gets there by chance.",
        ),
        (
            "Agrees with exact",
            f"Share of the {k} nearest descriptors that the index finds, as exact search (Flat) "
            f"does: recall@{k}, by distance. It "
            "judges the index alone. mAP judges descriptor and index together: an index that "
            "loses neighbours can even gain mAP by luck.",
        ),
        (
            "Extract, search",
            "Median milliseconds per query with everything loaded: from the decoded photo to its "
            f"descriptor, and the index alone for {k} results.",
        ),
        (
            "Re-rank",
            "What happens to the index's answer before it is shown, and its median milliseconds "
            "for the same number of results. The query's own photo has no part in it.",
        ),
        (
            "Bytes / photo, build",
            "What each photo adds to the index (of local features a photo has many), without what "
            "all photos share, such as centroids, codebooks or a rotation; and how long the index "
            "took to build.",
        ),
    ]


# Query by query


def points(first: Row, second: Row, setting: str, names: Mapping[str, str]) -> list[dict[str, Any]]:
    """The queries that both rows have a value for, the largest difference first."""
    a, b = first.values(setting), second.values(setting)
    found = [
        {"query": one, "name": names.get(one, one), "first": a[one], "second": b[one]}
        for one in a
        if one in b and not math.isnan(a[one]) and not math.isnan(b[one])
    ]
    return sorted(found, key=lambda point: -abs(point["first"] - point["second"]))


def names_of(collection: Collection, queries: Iterable[Photo]) -> dict[str, str]:
    """Query id to its words: landmark or title, and the id that tells it from others."""
    found = {}
    for query in queries:
        label = query.label
        words = (collection.titles.get(label) if label else None) or query.title or label
        found[query.id] = f"{words} ({query.id})" if words and words != query.id else query.id
    return found


def worst(row: Row, setting: str) -> list[QueryRow]:
    """The queries that are not answered perfectly, the lowest value first."""
    values = row.values(setting)
    best = 4.0 if row.judged_by.headline == "n-s" else 1.0
    return [
        query
        for query in row.worst(len(row.queries), setting)
        if values[query.query_id] < best - 1e-9
    ]


def strip(
    row_id: str,
    title: str,
    below: str,
    query: QueryRow,
    row: Row,
    setting: str,
    truth: Truth,
    shown: int,
    picture: str = "",
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """One kept ranking as a row of the results grid, right and wrong framed, junk greyed."""
    measure = row.judged_by.headline
    found = query.ranks[setting]
    first = f"first right at rank {found[0] + 1:,}" if found else "nothing right was found"
    value = query.values[setting][measure]
    badges = [
        [f"{value_name(measure)} {value:.3f}", "blue"],
        [f"{len(found):,} of {query.positives[setting]:,} right photos ranked", "green"],
        [first, "grey"],
    ]
    if untrained(row):
        badges.append(["random weights", "red"])
    hits = [[one, None, VERDICTS[truth.mark(one)], 0, None] for one in query.ranking[:shown]]
    return {
        "id": row_id,
        "title": title,
        "index": below,
        "badges": badges,
        "notes": list(notes),
        "hits": hits,
        "picture": picture,
    }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _or_low(value: float) -> float:
    return -math.inf if math.isnan(value) else value
