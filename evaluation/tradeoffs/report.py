"""The report of a grid: one HTML file that opens offline (see ``evaluation.blocks``)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

from data.errors import PlaygroundError
from evaluation.blocks import COLOURS, Series, escaped, legend, page, plot, save
from evaluation.tradeoffs import front
from evaluation.tradeoffs.rows import MEASURES, TIMED_K, Point

GOOD = 0.9  # recall@10 at which kinds of index are compared across sizes


def write(path: Path, points: Sequence[Point], notes: Sequence[str] = ()) -> None:
    """Write the report of the points of one collection and extractor.

    Args:
        notes: sentences about what was left out.

    Raises:
        PlaygroundError: there are no points, or the file cannot be written.
    """
    if not points:
        raise PlaygroundError(
            "There is nothing to report: no point was measured. Run: python -m scripts.benchmark "
            "index --collection NAME --extractor NAME"
        )
    save(path, render(points, notes))


def render(points: Sequence[Point], notes: Sequence[str] = ()) -> str:
    """The report as HTML text."""
    first = points[0]
    families = list(dict.fromkeys(point.family for point in points))
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(families)}
    keys = legend([Series(name, (), (), colours[name]) for name in families])
    sizes = itertools.groupby(
        sorted(points, key=lambda p: (p.n, p.padding)), key=lambda p: (p.n, p.padding)
    )
    body = [_head(points, notes), _crossings(points, colours), _meaning(first)]
    body += [_size(list(group), colours, keys) for _, group in sizes]
    title = f"Trade-offs of {first.extractor} on {first.collection}"
    return page(title, "\n".join(body), _SORT)


def _head(points: Sequence[Point], notes: Sequence[str]) -> str:
    first = points[0]
    machine, last = first.machine, max(points, key=lambda point: point.date)
    facts = [
        f"collection <code>{escaped(first.collection)}</code>",
        f"extractor <code>{escaped(first.extractor)}</code>",
        f"{first.dim:,} numbers per vector",
        f"{first.queries:,} queries",
        escaped(f"{machine.get('cpu', '')}, {machine.get('cores', '?')} cores"),
        escaped(", ".join(f"{name} {v}" for name, v in sorted(first.versions.items()))),
        escaped(last.date[:10]),
    ]
    words = [escaped(note) for note in notes]
    if any(point.simulated for point in points):
        words.insert(
            0,
            "<strong>Simulated distractors:</strong> the larger sizes are made of vectors that "
            "were drawn from a model of this collection's own. Their times and sizes are real; "
            "their recall is about simulated data.",
        )
    loads = [float(point.machine.get("load") or 0) for point in points]
    if max(loads) > int(machine.get("cores", 1)) + 0.5:
        words.append(
            f"The machine was busy while this was measured (load up to {max(loads):.1f} on "
            f"{escaped(str(machine.get('cores')))} cores): times are too long."
        )
    shown = "".join(f'<p class="note">{one}</p>' for one in words)
    return (
        f"<header><h1>Recall, latency, memory</h1><p class=sub>What an index over "
        f"{escaped(first.extractor)} descriptors costs, and what it finds</p>"
        f"<p>{' &#183; '.join(facts)}</p>{shown}</header>"
    )


def _crossings(points: Sequence[Point], colours: dict[str, str]) -> str:
    """From which size on each kind beats exact search."""
    sizes = sorted({point.n for point in points})
    if len(sizes) < 2:
        return ""
    rows = []
    for one in front.crossings(points, GOOD):
        cells = "".join(
            f"<td class=n>{_times(one.speedup[n])}</td>"
            if n in one.speedup
            else "<td class=n>–</td>"
            for n in sizes
        )
        where = "recall too low" if not one.speedup else "not faster"
        if one.size is not None:
            where = f"{_round(one.size):,}"
        if one.size is not None and one.speedup and one.size <= min(one.speedup):
            where = f"{min(one.speedup):,} or less"
        rows.append(f"<tr><td>{escaped(one.family)}</td>{cells}<td class=n>{where}</td></tr>")
    head = "".join(f"<th class=n>{n:,}</th>" for n in sizes)
    lines = []
    quick = front.fastest(points, "recall@10", GOOD)
    for family in dict.fromkeys(point.family for point in points):
        chosen = [point for point in quick if point.family == family]
        lines.append(
            Series(
                family,
                [point.n for point in chosen],
                [point.latency_ms for point in chosen],
                colours[family],
                [f"{point.setting}: {point.latency_ms:.3g} ms at {point.n:,}" for point in chosen],
                line=True,
            )
        )
    drawing = plot(
        lines,
        "vectors",
        "ms, median, 1 thread",
        f"Fastest setting with recall@10 ≥ {GOOD}",
        log_x=True,
        log_y=True,
    )
    return (
        f"<section><h2>When does it pay off?</h2><p>The latency of exact search over that of the "
        f"fastest setting with recall@10 of at least {GOOD}: above 1 it is faster. The last column "
        f"is the size from which on it is, between two measured sizes by interpolation.</p>"
        f"{legend(lines)}{drawing}"
        f'<div class="wide"><table><thead><tr><th>kind</th>{head}<th class=n>faster from</th></tr>'
        f"</thead><tbody>{''.join(rows)}</tbody></table></div></section>"
    )


def _size(points: Sequence[Point], colours: dict[str, str], keys: str) -> str:
    """Charts and table of one set of vectors."""
    first = points[0]
    what = f"{first.photos:,} of the collection"
    if first.padding:
        what += f" and {first.padding}"
    shown = []
    for across, up, words in (
        ("latency", "recall@10", "Recall against latency"),
        ("bytes", "recall@10", "Recall against memory"),
        ("build", "recall@10", "Recall against build time"),
    ):
        shown.append(_chart(points, across, up, words, colours))
    check = ""
    if first.simulated and first.plausibility:
        p = first.plausibility
        check = (
            f"<p>Simulated against real nearest-neighbour distances: Kolmogorov-Smirnov "
            f"{p['ks_nearest']:.2f} to other landmarks, {p['ks_among']:.2f} among themselves "
            f"({p['ks_chance']:.2f} is chance); local intrinsic dimension "
            f"{p['lid_simulated']:.1f} against {p['lid_real']:.1f}.</p>"
        )
    return (
        f"<section><h2>{first.n:,} vectors</h2><p>{escaped(what)}. Rings are the Pareto front: no "
        f"other setting is both cheaper and better.</p>{check}{keys}"
        f'<div class="figures">{"".join(shown)}</div>{_table(points)}</section>'
    )


def _chart(
    points: Sequence[Point], across: str, up: str, words: str, colours: dict[str, str]
) -> str:
    best = front.pareto_front(points, across, up)
    kept = {point.key for point in best}
    series = [
        Series(
            "Pareto front",
            [point.value(across) for point in best],
            [point.value(up) for point in best],
            "#9aa1ab",
            [_tip(point) for point in best],
            line=True,
        )
    ]
    for family, colour in colours.items():
        for on_front in (False, True):
            some = [p for p in points if p.family == family and (p.key in kept) == on_front]
            series.append(
                Series(
                    family,
                    [point.value(across) for point in some],
                    [point.value(up) for point in some],
                    colour,
                    [_tip(point) for point in some],
                    rings=on_front,
                )
            )
    measure = MEASURES[across]
    label = f"{measure.title}, {measure.unit}" if measure.unit else measure.title
    return plot(series, label, MEASURES[up].title, words, log_x=measure.log)


def _tip(point: Point) -> str:
    return (
        f"{point.setting}: recall@10 {point.value('recall@10'):.3f}, {point.latency_ms:.3g} ms, "
        f"{point.bytes_per_photo:,.0f} bytes per photo, built in {point.build_s:.3g} s"
    )


def _table(points: Sequence[Point]) -> str:
    columns = (
        ("recall@1", "recall@1", "{:.3f}"),
        ("recall@10", "recall@10", "{:.3f}"),
        ("recall@100", "recall@100", "{:.3f}"),
        ("mAP@100", "map100", "{:.3f}"),
        ("p50 ms", "latency", "{:,.3g}"),
        ("p95 ms", "p95", "{:,.3g}"),
        ("p99 ms", "p99", "{:,.3g}"),
        ("p50 ms, all threads", "latency_all", "{:,.3g}"),
        ("queries/s", "throughput", "{:,.0f}"),
        ("bytes/vector", "bytes", "{:,.0f}"),
        ("in memory", "memory", "{:,.0f}"),
        ("build s", "build", "{:,.3g}"),
        ("distances", "distances", "{:,.0f}"),
    )
    kept = {point.key for point in front.pareto_front(points)}
    head = "".join(
        f'<th scope="col" class=n><button type="button">{escaped(name)}</button></th>'
        for name, _, _ in columns
    )
    lines = []
    for point in sorted(points, key=lambda p: p.latency_ms):
        cells = []
        for _, measure, form in columns:
            value = point.value(measure)
            text = "–" if math.isnan(value) else form.format(value)
            if measure == "latency":
                text += f" <small>±{point.latency_1.p50.iqr / 2:.2g}</small>"
            sort = "" if math.isnan(value) else value
            cells.append(f'<td class=n data-v="{sort}">{text}</td>')
        marked = " class=best" if point.key in kept else ""
        lines.append(f"<tr{marked}><td>{escaped(point.setting)}</td>{''.join(cells)}</tr>")
    return (
        f'<div class="wide"><table class="sorted"><thead><tr><th>setting</th>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
        f"<p><small>Shaded: on the Pareto front of recall@10 and latency. ± is half the "
        f"interquartile range over {points[0].repeats} repeats. Exact search over these vectors "
        f"has mAP@100 {points[0].map100_exact:.3f}.</small></p>"
    )


def _meaning(point: Point) -> str:
    return f"""<section><h2>What the numbers mean</h2><dl>
<dt>recall@k</dt><dd>share of the k truly nearest vectors that the index finds, by distance, so that
equally near ones count alike; mean over {point.queries:,} queries. @1 and @10 are of a search for
{TIMED_K} results, @100 of one for 100</dd>
<dt>mAP@100</dt><dd>whether the photos that come first show the query's landmark. It judges
descriptor and index together: an index can lose neighbours that were wrong answers anyway and keep
its mAP, or lose the few right ones and little recall</dd>
<dt>latency</dt><dd>one query at a time, {TIMED_K} results, FAISS's own call, warm, settings in
turns; 1 thread unless it says otherwise. With few samples p99 is little more than the slowest
one</dd>
<dt>queries/s</dt><dd>many queries in one call, {point.threads} threads</dd>
<dt>bytes/vector</dt><dd>of the saved file, codebooks and lists included; in memory: what the
process grew by when it was loaded (small indexes: the file)</dd>
<dt>distances</dt><dd>per query: vectors and centroids compared, as FAISS counts them; exhaustive
indexes compare all</dd></dl></section>"""


def _times(ratio: float) -> str:
    """``0.43 x``, ``28 x``, ``1,300 x``."""
    return f"{ratio:,.0f} x" if ratio >= 10 else f"{ratio:.2g} x"


def _round(size: float) -> int:
    """To two digits."""
    unit = 10 ** max(0, int(math.log10(max(1.0, size))) - 1)
    return int(round(size / unit) * unit)


_SORT = """
"use strict";
for (const table of document.querySelectorAll("table.sorted")) {
  table.querySelectorAll("th button").forEach((button, i) => {
    button.addEventListener("click", () => {
      const head = button.parentElement;
      const down = head.getAttribute("aria-sort") !== "descending";
      for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const body = table.tBodies[0], value = (line) => line.children[i + 1].dataset.v;
      body.append(...[...body.children].sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        if (x === "" || y === "") return (x === "") - (y === "");
        return down ? y - x : x - y;
      }));
    });
  });
}
"""
