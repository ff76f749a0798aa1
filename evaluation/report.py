"""The report of an evaluation: one HTML file that opens offline, years later, by itself.

Tables, curves and the worst failures as pictures (see ``evaluation.blocks``).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from data.base import Photo
from data.errors import PlaygroundError
from data.store import Collection
from evaluation import statistics
from evaluation.base import Protocol, Truth
from evaluation.blocks import (
    COLOURS,
    Pictures,
    escaped,
    figure,
    json_text,
    page,
    save,
    unit_axes,
    x_of,
    y_of,
)
from evaluation.rows import LEVELS, QueryRow, Row

SHOWN = 10  # ranks of a failure
FAILURES = 5  # queries per extractor
MOST_EXTRACTORS = 8  # whose failures are shown
_TESTED = 30_000_000  # draws of all queries of all tests together, to bound the time

_WORDS = {
    "positive": ("&#10003;", "right"),
    "negative": ("&#10007;", "wrong"),
    "junk": ("&#8211;", "junk, not judged"),
}


def write(path: Path, rows: Sequence[Row], collection: Collection) -> None:
    """Write the report of rows of one collection and one protocol.

    Raises:
        PlaygroundError: there are no rows, or the file cannot be written.
    """
    if not rows:
        raise PlaygroundError("There is nothing to report: not one row was evaluated.")
    save(path, render(rows, collection))


def render(rows: Sequence[Row], collection: Collection) -> str:
    """The report as HTML text."""
    protocol = rows[0].judged_by
    title = f"{collection.title}: {protocol.title}"
    best = max(rows, key=lambda row: -math.inf if math.isnan(row.score) else row.score)
    body = [
        _head(rows, collection, protocol),
        _table(rows, protocol, best),
        _meaning(rows[0], protocol),
        _curves(rows, protocol),
        _scatter(rows, protocol, best),
        _failures(rows, collection, protocol),
    ]
    return page(title, "\n".join(body), _SCRIPT)


# Parts


def _head(rows: Sequence[Row], collection: Collection, protocol: Protocol) -> str:
    first = rows[0]
    judged = sum(not math.isnan(value) for value in first.values().values())
    facts = [
        f"{len(first.queries):,} queries",
        f"{first.photos:,} photos",
        f"collection <code>{escaped(collection.name)}</code>",
        f"protocol <code>{escaped(protocol.name)}</code>",
        escaped(first.date[:10]),
        escaped(first.machine),
    ]
    notes = []
    if judged < len(first.queries):
        notes.append(
            f"{len(first.queries) - judged} queries have no right photo here and are left out of "
            f"the means."
        )
    if any(row.partial for row in rows):
        notes.append(
            "<strong>Partial data set:</strong> photos were missing when it was imported. These "
            "numbers cannot be compared with published ones."
        )
    if any(row.weights.endswith("untrained") for row in rows):
        notes.append(
            "Methods with <em>untrained</em> weights have random parameters: their accuracy is a "
            "baseline, not the method's."
        )
    shown = "".join(f'<p class="note">{note}</p>' for note in notes)
    heading = f"<h1>{escaped(collection.title)}</h1><p class=sub>{escaped(protocol.title)}</p>"
    listed = " &#183; ".join(filter(None, facts))
    return f"<header>{heading}<p>{listed}</p>{shown}</header>"


def _meaning(row: Row, protocol: Protocol) -> str:
    measures = "".join(
        f"<dt>{escaped(_mean_name(name))}</dt><dd>{escaped(words)}</dd>"
        for name, words in protocol.measures.items()
    )
    k = row.k
    return f"""<section><h2>What the numbers mean</h2>
<p>{escaped(protocol.meaning)}</p>
<dl>{measures}
<dt>95&#160;% interval</dt><dd>how far the mean moves when the queries are drawn again
({statistics.DRAWS:,} bootstrap draws); with few queries it is wide, and small differences mean
little</dd>
<dt>difference and p</dt><dd>against the best method, on the same queries: p is how often so large
a difference appears when the two methods are exchanged at random for each query (paired
permutation test). Of many comparisons some are below 0.05 by chance</dd>
<dt>agrees with exact</dt><dd>recall@{k}: share of the {k} nearest descriptors that the index finds,
by distance, equally near ones counting as found. It judges the index, mAP the descriptor: a lossy
index can even gain mAP by luck</dd>
<dt>extract, search</dt><dd>median milliseconds per query once everything is loaded: from the
decoded photo to its descriptor, and the index alone for {k} results</dd></dl>
<p class=source>{escaped(protocol.paper)}. <span class=url>{escaped(protocol.url)}</span></p>
</section>"""


def _table(rows: Sequence[Row], protocol: Protocol, best: Row) -> str:
    columns: list[tuple[str, Callable[[Row], tuple[str, Any]], bool]] = [
        ("extractor", lambda row: (escaped(row.extractor), row.extractor), False),
        ("index", lambda row: (escaped(row.index), row.index), False),
    ]
    if any(row.weights for row in rows):
        from extractors.weights import source_words  # imports torch

        columns.append(
            ("weights", lambda row: (escaped(source_words(row.weights) or "–"), row.weights), False)
        )
    if any(row.rerank != "none" for row in rows):
        columns.append(("rerank", lambda row: (escaped(row.rerank), row.rerank), False))
    # Bars of all settings share one scale, up to the highest interval.
    tops = [edge for row in rows for s in protocol.settings for edge in (row.interval(s) or ())]
    high = max([edge for edge in tops if edge > 0], default=1.0)
    several = len(protocol.settings) > 1
    for setting in protocol.settings:
        name = _mean_name(protocol.headline) + (f" {setting}" if several else "")
        mean = functools.partial(_mean_cell, setting=setting, high=high, best=best)
        columns.append((name, mean, True))
    shown = [name for name in protocol.measures if name != protocol.headline]
    for setting in protocol.settings:
        for measure in shown:
            short = f" {setting[0].upper()}" if several else ""
            value = functools.partial(_value_cell, setting=setting, measure=measure)
            columns.append((_mean_name(measure) + short, value, True))
    tests = _tests(rows, best)
    columns += [
        ("difference", lambda row: _difference_cell(tests.get(id(row))), True),
        ("p", lambda row: _p_cell(tests.get(id(row))), True),
        ("agrees with exact", lambda row: _number_cell(row.recall, "{:.3f}"), True),
        ("extract ms", lambda row: _number_cell(row.extract_ms, "{:,.1f}"), True),
        ("search ms", lambda row: _number_cell(row.search_ms, "{:,.3f}"), True),
    ]
    if any(row.rerank != "none" for row in rows):
        columns.append(("re-rank ms", lambda row: _number_cell(row.rerank_ms, "{:,.1f}"), True))
    columns += [
        ("bytes/photo", lambda row: _number_cell(row.bytes_per_photo, "{:,.0f}"), True),
        ("build s", lambda row: _number_cell(row.build_s, "{:,.2f}"), True),
    ]
    head = "".join(
        f'<th scope="col"{" class=n" if number else ""}><button type="button">{escaped(name)}'
        f"</button></th>"
        for name, _, number in columns
    )
    lines = []
    for row in sorted(rows, key=lambda row: -_or_low(row.score)):
        cells = []
        for _, cell, number in columns:
            text, value = cell(row)
            cells.append(
                f'<td{" class=n" if number else ""} data-v="{escaped(str(value))}">{text}</td>'
            )
        marked = " class=best" if row is best else ""
        lines.append(f"<tr{marked}>{''.join(cells)}</tr>")
    return (
        f"<section><h2>Results</h2><p>Best first; a click on a column's name sorts by it. The bar "
        f"is the mean, the line across its end the 95&#160;% interval.</p>"
        f'<div class=wide><table id="results"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div></section>"
    )


def _tests(rows: Sequence[Row], best: Row) -> dict[int, statistics.Comparison]:
    """Each row against the best one; with very many queries by fewer draws."""
    work = max(1, len(best.queries)) * max(1, len(rows) - 1)
    draws = max(1_000, min(statistics.DRAWS, _TESTED // work))
    mine = best.values()
    return {
        id(row): statistics.compare(row.values(), mine, draws=draws)
        for row in rows
        if row is not best
    }


def _curves(rows: Sequence[Row], protocol: Protocol) -> str:
    """Precision over recall: one drawing per index, one line per extractor."""
    extractors = list(dict.fromkeys(row.extractor for row in rows))
    colour = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(extractors)}
    drawings = []
    for index in dict.fromkeys(row.index for row in rows):
        shapes = [unit_axes("recall", "precision")]
        for row in (row for row in rows if row.index == index):
            curve = row.precision_recall()
            points = " ".join(
                f"{x_of(level):.1f},{y_of(value):.1f}"
                for level, value in zip(LEVELS, curve, strict=True)
            )
            shapes.append(
                f'<polyline points="{points}" fill="none" stroke="{colour[row.extractor]}" '
                f'stroke-width="2"><title>{escaped(row.name)}</title></polyline>'
            )
        drawings.append(figure(escaped(index), "".join(shapes), f"Precision-recall, {index}"))
    keys = "".join(
        f'<li><span class="swatch" style="background:{colour[name]}"></span>{escaped(name)}</li>'
        for name in extractors
    )
    setting = f" ({protocol.main})" if len(protocol.settings) > 1 else ""
    depth = f" The protocol looks at the first {protocol.depth} ranks." if protocol.depth else ""
    return (
        f"<section><h2>Precision and recall{setting}</h2><p>The best precision that a ranking "
        f"reaches at each recall or beyond, mean over the queries. A line that falls to 0 early "
        f"belongs to an index that never returns some right photos.{depth}</p>"
        f'<ul class="legend">{keys}</ul><div class="figures">{"".join(drawings)}</div></section>'
    )


def _scatter(rows: Sequence[Row], protocol: Protocol, best: Row) -> str:
    """Two methods against each other, a point per query; JavaScript exchanges the methods."""
    if len(rows) < 2:
        return ""
    others = [row for row in rows if row.extractor != best.extractor] or [
        row for row in rows if row is not best
    ]
    second = max(others, key=lambda row: _or_low(row.score))
    ids = [query.query_id for query in rows[0].queries]
    values = [[_or_none(row.values()[one]) for one in ids] for row in rows]
    # Axes end at the next fifth above the best query, as weak methods crowd near 0.
    most = max((value for line in values for value in line if value is not None), default=1.0)
    high = max(1, math.ceil(5 * most - 1e-9)) / 5
    data = {"high": high, "ids": ids, "names": [row.name for row in rows], "values": values}
    a, b = _place(rows, best), _place(rows, second)
    points = "".join(
        f'<circle r="4" cx="{x_of((x or 0) / high):.1f}" cy="{y_of((y or 0) / high):.1f}"'
        f"{' hidden=hidden' if x is None or y is None else ''}>"
        f"<title>{escaped(one)}: {_or_dash(x)} and {_or_dash(y)}</title></circle>"
        for one, x, y in zip(ids, values[a], values[b], strict=True)
    )
    ends = f'x1="{x_of(0)}" y1="{y_of(0)}" x2="{x_of(1)}" y2="{y_of(1)}"'
    diagonal = f'<line {ends} class="diagonal"></line>'
    axes = unit_axes("first method", "second method", high)
    drawing = figure(
        "", f'{axes}{diagonal}<g id="points">{points}</g>', "AP of each query", "chart big"
    )

    def options(chosen: int) -> str:
        return "".join(
            f'<option value="{i}"{" selected" if i == chosen else ""}>{escaped(row.name)}</option>'
            for i, row in enumerate(rows)
        )

    setting = f" ({protocol.main})" if len(protocol.settings) > 1 else ""
    return (
        f"<section><h2>Query by query{setting}</h2><p>Each point is a query, at the "
        f"{escaped(protocol.headline.upper())} of the first method (to the right) and of the "
        f"second one (up). Points above the diagonal are better with the second method; point at "
        f"one to see its name.</p>"
        f'<p><label>First <select id="first">{options(a)}</select></label> '
        f'<label>Second <select id="second">{options(b)}</select></label></p>'
        f'<p id="tally"></p>{drawing}'
        f'<script type="application/json" id="values">{json_text(data)}</script></section>'
    )


def _failures(rows: Sequence[Row], collection: Collection, protocol: Protocol) -> str:
    """The worst queries of each extractor's best row, with the ranks that were found."""
    pictures = Pictures(collection)
    by_id = {query.id: query for query in protocol.queries(collection)}
    parts = []
    by_score = sorted(rows, key=lambda row: -_or_low(row.score))
    extractors = list(dict.fromkeys(row.extractor for row in by_score))
    for extractor in extractors[:MOST_EXTRACTORS]:
        row = next(row for row in by_score if row.extractor == extractor)
        shown = []
        values = row.values()
        for query in row.worst(FAILURES):
            photo = by_id.get(query.query_id)
            if photo is not None and values[query.query_id] < _perfect(protocol):
                truth = protocol.truths(collection, photo)[protocol.main]
                shown.append(_failure(query, photo, truth, row, collection, pictures))
        if not shown:
            shown.append("<p>None: every query is answered perfectly.</p>")
        state = " open" if extractor == extractors[0] else ""
        parts.append(
            f"<details{state}><summary>{escaped(row.name)} <small>"
            f"{escaped(_mean_name(protocol.headline))} {_or_dash(row.score)}</small></summary>"
            f"{''.join(shown)}</details>"
        )
    keys = "".join(
        f'<li><span class="{mark} swatch"></span>{sign} {words}</li>'
        for mark, (sign, words) in _WORDS.items()
    )
    return (
        f"<section><h2>The worst failures first</h2><p>For each extractor (with its best index) "
        f"the queries with the lowest value, and the first {SHOWN} photos that were found.</p>"
        f'<ul class="legend">{keys}</ul>{"".join(parts)}</section>'
    )


def _failure(
    query: QueryRow,
    photo: Photo,
    truth: Truth,
    row: Row,
    collection: Collection,
    pictures: Pictures,
) -> str:
    setting = row.judged_by.main
    value = query.values[setting][row.judged_by.headline]
    found = len(query.ranks[setting])
    first = query.ranks[setting][0] + 1 if found else None
    best = f"first right photo at rank {first:,}" if first else "no right photo was found"
    name = photo.title or photo.label or photo.id
    cells = []
    known_ids = set(collection.ids)
    for rank, photo_id in enumerate(query.ranking[:SHOWN], start=1):
        mark = truth.mark(photo_id)
        sign, words = _WORDS[mark]
        known = collection.photo(photo_id) if photo_id in known_ids else None
        label = (known.title or known.label or photo_id) if known else photo_id
        tip = f"{rank}. {label} ({photo_id}): {words}"
        cells.append(
            f'<figure class="{mark}" title="{escaped(tip)}">{pictures.thumbnail(photo_id, tip)}'
            f"<figcaption>{rank} {sign}</figcaption></figure>"
        )
    if not cells:
        cells.append("<p>Nothing was found.</p>")
    words = (
        f"{_or_dash(value)} &#183; {len(truth.positives):,} right photos, {found:,} found, {best}"
    )
    return (
        f'<div class="failure"><div class="query">{pictures.query(query.query_id, photo)}'
        f"</div><div><p><strong>{escaped(name)}</strong> <code>{escaped(query.query_id)}</code><br>"
        f'{words}</p><div class="ranks">{"".join(cells)}</div></div></div>'
    )


# Cells: (HTML, the value that sorting compares)


def _mean_cell(row: Row, setting: str, high: float, best: Row) -> tuple[str, Any]:
    value = row.means[setting][row.judged_by.headline]
    if math.isnan(value):
        return "–", ""
    interval = row.interval(setting)
    width = 90.0
    line = ""
    words = f"{value:.3f}"
    if interval is not None:
        low, top = (width * edge / high for edge in interval)
        line = f'<path d="M{low:.1f} 7H{top:.1f}M{low:.1f} 4v6M{top:.1f} 4v6"></path>'
        words += f" <small>{interval[0]:.3f}–{interval[1]:.3f}</small>"
    bar = (
        f'<svg class="bar" viewBox="0 0 92 14" width="92" height="14" aria-hidden="true">'
        f'<rect x="0" y="3" width="{width * value / high:.1f}" height="8"></rect>{line}</svg>'
    )
    return f"{words}{bar}", value


def _value_cell(row: Row, setting: str, measure: str) -> tuple[str, Any]:
    return _number_cell(row.means[setting][measure], "{:.3f}")


def _difference_cell(test: statistics.Comparison | None) -> tuple[str, Any]:
    if test is None:
        return "best", 0.0
    words = f"{test.wins} better, {test.ties} equal, {test.losses} worse"
    return f'<span title="{words}">{test.difference:+.3f}</span>', test.difference


def _p_cell(test: statistics.Comparison | None) -> tuple[str, Any]:
    if test is None or math.isnan(test.p_value):
        return "–", ""
    return ("&lt; 0.001" if test.p_value < 0.001 else f"{test.p_value:.3f}"), test.p_value


def _number_cell(value: float | None, form: str) -> tuple[str, Any]:
    if value is None or math.isnan(value):
        return "–", ""
    return form.format(value), value


# Words and numbers


def _mean_name(measure: str) -> str:
    """``ap@100`` to ``mAP@100``, ``p@5`` to ``mP@5``; N-S is a mean already."""
    return "N-S" if measure == "n-s" else f"m{measure.upper()}"


def _perfect(protocol: Protocol) -> float:
    return 4.0 if protocol.headline == "n-s" else 1.0


def _or_low(value: float) -> float:
    return -math.inf if math.isnan(value) else value


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 6)


def _or_dash(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.3f}"


def _place(rows: Iterable[Row], wanted: Row) -> int:
    return next(i for i, row in enumerate(rows) if row is wanted)


_SCRIPT = """
"use strict";
for (const button of document.querySelectorAll("#results th button")) {
  button.addEventListener("click", () => {
    const head = button.parentElement, row = head.parentElement;
    const column = [...row.children].indexOf(head), number = head.classList.contains("n");
    const before = head.getAttribute("aria-sort");
    const down = before ? before === "ascending" : number;
    for (const other of row.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = document.querySelector("#results tbody");
    const value = (line) => line.children[column].dataset.v;
    const lines = [...body.children].sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === "" || y === "") return (x === "") - (y === "");
      const order = number ? x - y : x.localeCompare(y);
      return down ? -order : order;
    });
    body.append(...lines);
  });
}
const stored = document.getElementById("values");
if (stored) {
  const data = JSON.parse(stored.textContent);
  const first = document.getElementById("first"), second = document.getElementById("second");
  const circles = document.querySelectorAll("#points circle");
  const shown = (value) => value === null ? "\\u2013" : value.toFixed(3);
  const draw = () => {
    const xs = data.values[first.value], ys = data.values[second.value];
    let wins = 0, losses = 0, ties = 0;
    circles.forEach((circle, i) => {
      const [x, y] = [xs[i], ys[i]], known = x !== null && y !== null;
      circle.style.display = known ? "" : "none";
      if (!known) return;
      circle.setAttribute("cx", 50 + 250 * x / data.high);
      circle.setAttribute("cy", 260 - 250 * y / data.high);
      circle.firstChild.textContent = `${data.ids[i]}: ${shown(x)} and ${shown(y)}`;
      if (x > y) wins += 1; else if (x < y) losses += 1; else ties += 1;
    });
    document.getElementById("tally").textContent =
      `${data.names[first.value]} is better on ${wins} queries, ` +
      `${data.names[second.value]} on ${losses}; ${ties} are equal.`;
  };
  first.addEventListener("change", draw);
  second.addEventListener("change", draw);
  draw();
}
"""
