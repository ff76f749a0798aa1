"""The report of an evaluation: one HTML file that opens offline, years later, by itself.

Tables, curves and the worst failures as pictures. Nothing is loaded from anywhere: styles, the
few lines of JavaScript, drawings (SVG) and thumbnails (JPEG) are in the file, and its content
security policy forbids requests.
"""

from __future__ import annotations

import base64
import functools
import html
import json
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from data import artefact, photos
from data.base import Photo
from data.errors import PlaygroundError
from data.store import Collection
from evaluation import statistics
from evaluation.base import Protocol, Truth
from evaluation.rows import LEVELS, QueryRow, Row

SHOWN = 10  # ranks of a failure
FAILURES = 5  # queries per extractor
MOST_EXTRACTORS = 8  # whose failures are shown
THUMB_SIDE, QUERY_SIDE = 96, 150  # px
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#7b4fa3", "#444444")
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
    text = render(rows, collection)
    try:
        artefact.write_atomically(path, text)
    except OSError as error:
        raise PlaygroundError(
            f"The report cannot be written to {path} ({error.strerror}). Give a path in a folder "
            f"that is writable."
        ) from error


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
    return _PAGE.format(title=_text(title), style=_STYLE, body="\n".join(body), script=_SCRIPT)


# Parts


def _head(rows: Sequence[Row], collection: Collection, protocol: Protocol) -> str:
    first = rows[0]
    judged = sum(not math.isnan(value) for value in first.values().values())
    facts = [
        f"{len(first.queries):,} queries",
        f"{first.photos:,} photos",
        f"collection <code>{_text(collection.name)}</code>",
        f"protocol <code>{_text(protocol.name)}</code>",
        _text(first.date[:10]),
        _text(first.machine),
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
    heading = f"<h1>{_text(collection.title)}</h1><p class=sub>{_text(protocol.title)}</p>"
    listed = " &#183; ".join(filter(None, facts))
    return f"<header>{heading}<p>{listed}</p>{shown}</header>"


def _meaning(row: Row, protocol: Protocol) -> str:
    measures = "".join(
        f"<dt>{_text(_mean_name(name))}</dt><dd>{_text(words)}</dd>"
        for name, words in protocol.measures.items()
    )
    k = row.k
    return f"""<section><h2>What the numbers mean</h2>
<p>{_text(protocol.meaning)}</p>
<dl>{measures}
<dt>95&#160;% interval</dt><dd>how far the mean moves when the queries are drawn again
({statistics.DRAWS:,} bootstrap draws); with few queries it is wide, and small differences mean
little</dd>
<dt>difference and p</dt><dd>against the best method, on the same queries: p is how often so large
a difference appears when the two methods are exchanged at random for each query (paired
permutation test). Of many comparisons some are below 0.05 by chance</dd>
<dt>recall@{k} vs exact</dt><dd>share of the {k} nearest descriptors that the index finds, by
distance, equally near ones counting as found. It judges the index, mAP the descriptor: a lossy
index can even gain mAP by luck</dd>
<dt>extract, search</dt><dd>median milliseconds per query once everything is loaded: from the
decoded photo to its descriptor, and the index alone for {k} results</dd></dl>
<p class=source>{_text(protocol.paper)}. <span class=url>{_text(protocol.url)}</span></p>
</section>"""


def _table(rows: Sequence[Row], protocol: Protocol, best: Row) -> str:
    columns: list[tuple[str, Callable[[Row], tuple[str, Any]], bool]] = [
        ("extractor", lambda row: (_text(row.extractor), row.extractor), False),
        ("index", lambda row: (_text(row.index), row.index), False),
    ]
    if any(row.weights for row in rows):
        columns.append(("weights", lambda row: (_text(row.weights or "–"), row.weights), False))
    if any(row.rerank != "none" for row in rows):
        columns.append(("rerank", lambda row: (_text(row.rerank), row.rerank), False))
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
        (f"recall@{best.k}", lambda row: _number_cell(row.recall, "{:.3f}"), True),
        ("extract ms", lambda row: _number_cell(row.extract_ms, "{:,.1f}"), True),
        ("search ms", lambda row: _number_cell(row.search_ms, "{:,.3f}"), True),
    ]
    if any(row.rerank != "none" for row in rows):
        columns.append(("verify ms", lambda row: _number_cell(row.verify_ms, "{:,.1f}"), True))
    columns += [
        ("bytes/vector", lambda row: _number_cell(row.bytes_per_vector, "{:,.0f}"), True),
        ("build s", lambda row: _number_cell(row.build_s, "{:,.2f}"), True),
    ]
    head = "".join(
        f'<th scope="col"{" class=n" if number else ""}><button type="button">{_text(name)}'
        f"</button></th>"
        for name, _, number in columns
    )
    lines = []
    for row in sorted(rows, key=lambda row: -_or_low(row.score)):
        cells = []
        for _, cell, number in columns:
            text, value = cell(row)
            cells.append(
                f'<td{" class=n" if number else ""} data-v="{_text(str(value))}">{text}</td>'
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
        shapes = [_axes("recall", "precision")]
        for row in (row for row in rows if row.index == index):
            curve = row.precision_recall()
            points = " ".join(
                f"{_x(level):.1f},{_y(value):.1f}"
                for level, value in zip(LEVELS, curve, strict=True)
            )
            shapes.append(
                f'<polyline points="{points}" fill="none" stroke="{colour[row.extractor]}" '
                f'stroke-width="2"><title>{_text(row.name)}</title></polyline>'
            )
        drawings.append(_figure(_text(index), "".join(shapes), f"Precision-recall, {index}"))
    keys = "".join(
        f'<li><span class="swatch" style="background:{colour[name]}"></span>{_text(name)}</li>'
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
        f'<circle r="4" cx="{_x((x or 0) / high):.1f}" cy="{_y((y or 0) / high):.1f}"'
        f"{' hidden=hidden' if x is None or y is None else ''}>"
        f"<title>{_text(one)}: {_or_dash(x)} and {_or_dash(y)}</title></circle>"
        for one, x, y in zip(ids, values[a], values[b], strict=True)
    )
    diagonal = f'<line x1="{_x(0)}" y1="{_y(0)}" x2="{_x(1)}" y2="{_y(1)}" class="diagonal"></line>'
    axes = _axes("first method", "second method", high)
    drawing = _figure(
        "", f'{axes}{diagonal}<g id="points">{points}</g>', "AP of each query", "chart big"
    )

    def options(chosen: int) -> str:
        return "".join(
            f'<option value="{i}"{" selected" if i == chosen else ""}>{_text(row.name)}</option>'
            for i, row in enumerate(rows)
        )

    setting = f" ({protocol.main})" if len(protocol.settings) > 1 else ""
    return (
        f"<section><h2>Query by query{setting}</h2><p>Each point is a query, at the "
        f"{_text(protocol.headline.upper())} of the first method (to the right) and of the second "
        f"one (up). Points above the diagonal are better with the second method; point at one to "
        f"see its name.</p>"
        f'<p><label>First <select id="first">{options(a)}</select></label> '
        f'<label>Second <select id="second">{options(b)}</select></label></p>'
        f'<p id="tally"></p>{drawing}'
        f'<script type="application/json" id="values">{_json(data)}</script></section>'
    )


def _failures(rows: Sequence[Row], collection: Collection, protocol: Protocol) -> str:
    """The worst queries of each extractor's best row, with the ranks that were found."""
    pictures = _Pictures(collection)
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
        parts.append(
            f"<details{' open' if extractor == extractors[0] else ''}><summary>{_text(row.name)} "
            f"<small>{_text(_mean_name(protocol.headline))} {_or_dash(row.score)}</small></summary>"
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
    pictures: _Pictures,
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
            f'<figure class="{mark}" title="{_text(tip)}">{pictures.thumbnail(photo_id, tip)}'
            f"<figcaption>{rank} {sign}</figcaption></figure>"
        )
    if not cells:
        cells.append("<p>Nothing was found.</p>")
    words = (
        f"{_or_dash(value)} &#183; {len(truth.positives):,} right photos, {found:,} found, {best}"
    )
    return (
        f'<div class="failure"><div class="query">{pictures.query(query.query_id, photo)}'
        f"</div><div><p><strong>{_text(name)}</strong> <code>{_text(query.query_id)}</code><br>"
        f'{words}</p><div class="ranks">{"".join(cells)}</div></div></div>'
    )


class _Pictures:
    """Small JPEGs as data addresses; a photo that cannot be read becomes a grey box."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._made: dict[str, str] = {}

    def thumbnail(self, photo_id: str, words: str) -> str:
        if photo_id not in self._made:
            self._made[photo_id] = self._inline(
                lambda: photos.decode(self._collection.thumbnail(photo_id)), THUMB_SIDE
            )
        return self._tag(self._made[photo_id], words)

    def query(self, query_id: str, photo: Photo) -> str:
        def crop() -> photos.RGB:
            pixels = self._collection.read(photo)
            if photo.box is None:
                return pixels
            x0, y0, x1, y1 = photo.box
            return pixels[y0:y1, x0:x1]

        return self._tag(self._inline(crop, QUERY_SIDE), f"query {query_id}")

    def _inline(self, read: Callable[[], photos.RGB], side: int) -> str:
        try:
            small = photos.make_thumbnail(read(), side)
        except PlaygroundError:
            return ""
        content = photos.encode_jpeg(small, quality=72)
        return f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"

    @staticmethod
    def _tag(address: str, words: str) -> str:
        if not address:
            return f'<span class="nothing">{_text(words)}: no photo on this disk</span>'
        return f'<img src="{address}" alt="{_text(words)}">'


# Drawing: the unit square at 50 to 290 px of a 310 x 300 px picture


def _x(value: float) -> float:
    return 50 + 250 * value


def _y(value: float) -> float:
    return 260 - 250 * value


def _axes(across: str, up: str, high: float = 1.0) -> str:
    shapes = [f'<rect x="{_x(0)}" y="{_y(1)}" width="250" height="250" class="frame"></rect>']
    for i in range(5):
        share = i / 4
        text = f"{share * high:g}"
        shapes.append(
            f'<line x1="{_x(share)}" y1="{_y(0)}" x2="{_x(share)}" y2="{_y(1)}" class="grid">'
            f'</line><line x1="{_x(0)}" y1="{_y(share)}" x2="{_x(1)}" y2="{_y(share)}" '
            f'class="grid"></line>'
            f'<text x="{_x(share)}" y="276" text-anchor="middle">{text}</text>'
            f'<text x="44" y="{_y(share) + 4}" text-anchor="end">{text}</text>'
        )
    shapes.append(f'<text x="175" y="294" text-anchor="middle">{_text(across)}</text>')
    shapes.append(
        f'<text x="14" y="135" text-anchor="middle" transform="rotate(-90 14 135)">'
        f"{_text(up)}</text>"
    )
    return "".join(shapes)


def _figure(caption: str, shapes: str, words: str, kind: str = "chart") -> str:
    shown = f"<figcaption>{caption}</figcaption>" if caption else ""
    return (
        f'<figure class="{kind}">{shown}<svg viewBox="0 0 310 300" role="img" '
        f'aria-label="{_text(words)}">{shapes}</svg></figure>'
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


def _text(words: str) -> str:
    return html.escape(words, quote=True)


def _json(value: Any) -> str:
    # "<" would end the script element wherever a name holds "</script>".
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


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


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{title}</title><style>{style}</style></head>
<body><main>{body}</main><script>{script}</script></body></html>
"""

_STYLE = """
:root { --ink: #1c2430; --soft: #5c6675; --line: #dde1e7; --tint: #f4f6f9; --blue: #0072b2;
  --right: #17803d; --wrong: #c62828; --junk: #9aa1ab; }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: #fff;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 28px 24px 60px; }
h1 { margin: 0; font-size: 28px; line-height: 1.2; }
h2 { margin: 44px 0 8px; font-size: 20px; }
p { margin: 6px 0; max-width: 80ch; }
.sub { font-size: 18px; color: var(--soft); }
.note { padding: 8px 12px; background: #fff7e0; border-left: 3px solid #d9a400; }
.source, small, .sub + p { color: var(--soft); }
.url { overflow-wrap: anywhere; }
code { font-size: .9em; background: var(--tint); padding: 1px 4px; border-radius: 3px; }
.wide { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px;
  font-variant-numeric: tabular-nums; }
th, td { padding: 6px 8px; text-align: left; white-space: nowrap; vertical-align: top;
  border-bottom: 1px solid var(--line); }
tbody tr:last-child td { border-bottom: 0; }
th { background: var(--tint); }
th button { all: unset; cursor: pointer; font-weight: 600; }
th button:focus-visible { outline: 2px solid var(--blue); outline-offset: 2px; }
th[aria-sort=ascending] button::after { content: " \\2191" / ""; }
th[aria-sort=descending] button::after { content: " \\2193" / ""; }
td:first-child { white-space: normal; overflow-wrap: anywhere; min-width: 80px;
  max-width: 210px; }
.n { text-align: right; }
.best td { background: #eef6fc; }
.bar { display: block; margin: 2px 0 0 auto; }
.bar rect { fill: var(--blue); opacity: .35; }
.bar path { stroke: var(--ink); stroke-width: 1.2; fill: none; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 18px; max-width: 100ch; }
dt { font-weight: 600; }
dd { margin: 0; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 4px 20px; padding: 0; }
.swatch { display: inline-block; width: 14px; height: 14px; margin-right: 6px;
  border-radius: 3px; vertical-align: -2px; }
.swatch.positive { background: var(--right); }
.swatch.negative { background: var(--wrong); }
.swatch.junk { background: var(--junk); }
.figures { display: flex; flex-wrap: wrap; gap: 16px; }
.chart { margin: 0; flex: 1 1 270px; max-width: 380px; }
.chart.big { max-width: 560px; }
.chart figcaption { font-weight: 600; }
.chart svg { width: 100%; height: auto; font-size: 11px; }
svg text { fill: var(--soft); }
.frame { fill: none; stroke: var(--soft); }
.grid { stroke: var(--line); }
.diagonal { stroke: var(--soft); stroke-dasharray: 4 4; }
circle { fill: var(--blue); fill-opacity: .55; stroke: #fff; }
circle:hover { fill-opacity: 1; }
select { font: inherit; padding: 3px 6px; margin: 0 14px 0 4px; }
details { border: 1px solid var(--line); border-radius: 6px; margin: 10px 0; padding: 0 14px; }
summary { cursor: pointer; padding: 10px 0; font-weight: 600; }
.failure { display: grid; grid-template-columns: 150px 1fr; gap: 18px; padding: 14px 0;
  border-top: 1px solid var(--line); }
.query img { max-width: 100%; border: 3px solid var(--ink); border-radius: 4px; }
.ranks { display: flex; flex-wrap: wrap; gap: 8px; margin-top: 8px; }
.ranks figure { margin: 0; width: 88px; }
.ranks img, .nothing { display: block; width: 88px; height: 74px; object-fit: cover;
  border: 4px solid var(--wrong); border-radius: 4px; }
.nothing { overflow: hidden; font-size: 11px; background: var(--tint); }
.ranks .positive img, .ranks .positive .nothing { border-color: var(--right); }
.ranks .junk img, .ranks .junk .nothing { border-color: var(--junk); }
.ranks .junk img { opacity: .55; }
.ranks figcaption { font-size: 12px; color: var(--soft); text-align: center; }
@media (max-width: 700px) { .failure { grid-template-columns: 1fr; } dl { display: block; } }
@media print { details > * { display: block; } }
"""

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
