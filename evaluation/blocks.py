"""What the HTML reports are made of: pages that open offline, years later, by themselves.

Nothing is loaded from anywhere: styles, a few lines of JavaScript, drawings (SVG) and pictures
(JPEG) are in the file, and its content security policy forbids requests.
"""

from __future__ import annotations

import base64
import dataclasses
import html
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from data import artefact, photos
from data.base import Photo
from data.errors import PlaygroundError
from data.store import Collection

THUMB_SIDE, QUERY_SIDE = 96, 150  # px
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#7b4fa3", "#444444")


def save(path: Path, text: str) -> None:
    """Write a report, or say why it cannot be written."""
    try:
        artefact.write_atomically(path, text)
    except OSError as error:
        raise PlaygroundError(
            f"The report cannot be written to {path} ({error.strerror}). Give a path in a folder "
            f"that is writable."
        ) from error


def page(title: str, body: str, script: str = "") -> str:
    """A whole page.

    Args:
        title: of the window, not escaped yet.
        body: HTML.
        script: JavaScript, ours.
    """
    return _PAGE.format(title=escaped(title), style=_STYLE, body=body, script=script)


def escaped(words: str) -> str:
    """Text of others, safe within HTML and its attributes."""
    return html.escape(words, quote=True)


def json_text(value: Any) -> str:
    """A value for a script element of the type application/json."""
    # "<" would end the script element wherever a name holds "</script>".
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


# Pictures


def inline(pixels: photos.RGB, side: int) -> str:
    """(H, W, 3) uint8 as the data address of a small JPEG."""
    content = photos.encode_jpeg(photos.make_thumbnail(pixels, side), quality=72)
    return f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"


def image(address: str, words: str) -> str:
    """An img element; without an address a grey box with words."""
    if not address:
        return f'<span class="nothing">{escaped(words)}: no photo on this disk</span>'
    return f'<img src="{address}" alt="{escaped(words)}">'


class Pictures:
    """Small JPEGs as data addresses; a photo that cannot be read becomes a grey box."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._made: dict[str, str] = {}

    def thumbnail(self, photo_id: str, words: str) -> str:
        if photo_id not in self._made:
            self._made[photo_id] = self._inline(
                lambda: photos.decode(self._collection.thumbnail(photo_id)), THUMB_SIDE
            )
        return image(self._made[photo_id], words)

    def query(self, query_id: str, photo: Photo) -> str:
        def crop() -> photos.RGB:
            pixels = self._collection.read(photo)
            if photo.box is None:
                return pixels
            x0, y0, x1, y1 = photo.box
            return pixels[y0:y1, x0:x1]

        return image(self._inline(crop, QUERY_SIDE), f"query {query_id}")

    def _inline(self, read: Callable[[], photos.RGB], side: int) -> str:
        try:
            return inline(read(), side)
        except PlaygroundError:
            return ""


# Drawing: the unit square at 50 to 290 px of a 310 x 300 px picture


def x_of(value: float) -> float:
    """From 0..1 to the place in the picture."""
    return 50 + 250 * value


def y_of(value: float) -> float:
    """From 0..1 to the place in the picture."""
    return 260 - 250 * value


def unit_axes(across: str, up: str, high: float = 1.0) -> str:
    """Frame, grid and labels of two axes from 0 to ``high``."""
    shapes = [f'<rect x="{x_of(0)}" y="{y_of(1)}" width="250" height="250" class="frame"></rect>']
    for i in range(5):
        shapes += [_tick_x(i / 4, f"{i / 4 * high:g}"), _tick_y(i / 4, f"{i / 4 * high:g}")]
    return "".join(shapes) + _titles(across, up)


def figure(caption: str, shapes: str, words: str, kind: str = "chart") -> str:
    """A drawing with its caption (HTML); ``words`` say what it shows."""
    shown = f"<figcaption>{caption}</figcaption>" if caption else ""
    return (
        f'<figure class="{kind}">{shown}<svg viewBox="0 0 322 300" role="img" '
        f'aria-label="{escaped(words)}">{shapes}</svg></figure>'
    )


@dataclasses.dataclass(frozen=True)
class Series:
    """Points of a plot. ``tips`` are shown where the mouse rests, one per point."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: str
    tips: Sequence[str] = ()
    line: bool = False
    rings: bool = False  # hollow points


def plot(
    series: Sequence[Series],
    across: str,
    up: str,
    caption: str = "",
    *,
    log_x: bool = False,
    log_y: bool = False,
) -> str:
    """Points and lines with labelled axes. Values that cannot be drawn are left out."""
    shown = [_drawable(one, log_x, log_y) for one in series]
    x_axis = _Axis([v for one in shown for v in one.x], log_x)
    y_axis = _Axis([v for one in shown for v in one.y], log_y)
    shapes = [_frame(x_axis, y_axis, across, up)]
    for one in shown:
        places = [
            (x_of(x_axis.share(x)), y_of(y_axis.share(y)))
            for x, y in zip(one.x, one.y, strict=True)
        ]
        if one.line and len(places) > 1:
            points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            shapes.append(
                f'<polyline points="{points}" fill="none" stroke="{one.colour}" '
                f'stroke-width="1.6"></polyline>'
            )
        fill = "#fff" if one.rings else one.colour
        tips = one.tips or [one.name] * len(places)
        for (x, y), tip in zip(places, tips, strict=True):
            shapes.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.6" '
                f'style="fill:{fill};fill-opacity:.9;stroke:{one.colour}">'
                f"<title>{escaped(tip)}</title></circle>"
            )
    return figure(escaped(caption), "".join(shapes), caption or f"{up} over {across}", "chart big")


def bars(values: Sequence[tuple[str, float]], unit: str, caption: str) -> str:
    """Horizontal bars, one per name, with their values behind them."""
    most = max((value for _, value in values if math.isfinite(value)), default=0.0) or 1.0
    lines = []
    for place, (name, value) in enumerate(values):
        y = 6 + 24 * place
        width = 300 * value / most if math.isfinite(value) else 0.0
        lines.append(
            f'<text x="196" y="{y + 13}" text-anchor="end">{escaped(name)}</text>'
            f'<rect x="204" y="{y}" width="{width:.1f}" height="17" class="fill"></rect>'
            f'<text x="{210 + width:.1f}" y="{y + 13}">{value:,.4g} {escaped(unit)}</text>'
        )
    height = 24 * len(values) + 10
    return (
        f'<figure class="chart wider"><figcaption>{escaped(caption)}</figcaption>'
        f'<svg viewBox="0 0 600 {height}" role="img" aria-label="{escaped(caption)}">'
        f"{''.join(lines)}</svg></figure>"
    )


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Numbers to the right, everything else to the left; None is a dash."""

    def cell(value: Any) -> str:
        if isinstance(value, int | float) and not isinstance(value, bool):
            shown = "–" if not math.isfinite(value) else f"{value:,.4g}"
            return f'<td class="n">{shown if isinstance(value, float) else f"{value:,}"}</td>'
        return f"<td>{escaped('–' if value is None else str(value))}</td>"

    head = "".join(f'<th scope="col">{escaped(name)}</th>' for name in header)
    body = "".join(f"<tr>{''.join(map(cell, row))}</tr>" for row in rows)
    whole = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="wide">{whole}</div>'


def legend(series: Sequence[Series]) -> str:
    """The names of series beside their colours."""
    keys = "".join(
        f'<li><span class="swatch" style="background:{one.colour}"></span>{escaped(one.name)}</li>'
        for one in series
    )
    return f'<ul class="legend">{keys}</ul>'


def _drawable(one: Series, log_x: bool, log_y: bool) -> Series:
    keep = [
        i
        for i, (x, y) in enumerate(zip(one.x, one.y, strict=True))
        if math.isfinite(x) and math.isfinite(y) and (x > 0 or not log_x) and (y > 0 or not log_y)
    ]
    return dataclasses.replace(
        one,
        x=[one.x[i] for i in keep],
        y=[one.y[i] for i in keep],
        tips=[one.tips[i] for i in keep] if one.tips else (),
    )


class _Axis:
    """From values to 0..1, with a few round numbers to label it."""

    def __init__(self, values: Sequence[float], log: bool) -> None:
        self._log = log
        low, high = min(values, default=1.0), max(values, default=1.0)
        if log:
            first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
            last = max(last, first + 1)
            self._low, self._high = float(first), float(last)
            step = -(-(last - first) // 6)
            self.ticks = [10.0**power for power in range(first, last + 1, step)]
        else:
            span = (high - low) or abs(high) or 1.0
            unit = 10 ** math.floor(math.log10(span / 4))
            step = next(unit * f for f in (1, 2, 5, 10) if span / (unit * f) <= 6)
            self._low, self._high = step * math.floor(low / step), step * math.ceil(high / step)
            if self._high == self._low:
                self._high += step
            count = round((self._high - self._low) / step)
            self.ticks = [self._low + step * i for i in range(count + 1)]

    def share(self, value: float) -> float:
        place = math.log10(value) if self._log else value
        return (place - self._low) / (self._high - self._low)


def _frame(x_axis: _Axis, y_axis: _Axis, across: str, up: str) -> str:
    shapes = [f'<rect x="{x_of(0)}" y="{y_of(1)}" width="250" height="250" class="frame"></rect>']
    shapes += [_tick_x(x_axis.share(tick), _short(tick)) for tick in x_axis.ticks]
    shapes += [_tick_y(y_axis.share(tick), _short(tick)) for tick in y_axis.ticks]
    return "".join(shapes) + _titles(across, up)


def _short(value: float) -> str:
    """``10k``, ``1M``, ``0.01``."""
    for limit, unit in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:g}{unit}"
    return f"{value:g}" if abs(value) >= 1e-3 or value == 0 else f"{value:.0e}"


def _tick_x(share: float, words: str) -> str:
    x = f"{x_of(share):.1f}"
    return (
        f'<line x1="{x}" y1="{y_of(0)}" x2="{x}" y2="{y_of(1)}" class="grid"></line>'
        f'<text x="{x}" y="276" text-anchor="middle">{words}</text>'
    )


def _tick_y(share: float, words: str) -> str:
    y = y_of(share)
    return (
        f'<line x1="{x_of(0)}" y1="{y:.1f}" x2="{x_of(1)}" y2="{y:.1f}" class="grid"></line>'
        f'<text x="44" y="{y + 4:.1f}" text-anchor="end">{words}</text>'
    )


def _titles(across: str, up: str) -> str:
    return (
        f'<text x="175" y="294" text-anchor="middle">{escaped(across)}</text>'
        f'<text x="12" y="135" text-anchor="middle" transform="rotate(-90 12 135)">'
        f"{escaped(up)}</text>"
    )


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
.figures .legend { flex-basis: 100%; margin: 0; }
.figures .chart.big { flex: 1 1 420px; }
.chart.wider { max-width: 900px; flex-basis: 100%; }
.fill { fill: var(--blue); opacity: .55; }
.flag { color: #6d28d9; font-weight: 600; }
.crop img { max-width: 260px; max-height: 260px; border: 3px solid var(--ink); border-radius: 4px; }
.asked { display: flex; flex-wrap: wrap; gap: 12px 32px; align-items: flex-start; }
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
.ranks .unknown img, .ranks .unknown .nothing { border-color: var(--line); }
.ranks .junk img, .ranks .junk .nothing { border-color: var(--junk); }
.ranks .junk img { opacity: .55; }
.ranks figcaption { font-size: 12px; color: var(--soft); text-align: center; }
@media (max-width: 700px) { .failure { grid-template-columns: 1fr; } dl { display: block; } }
@media print { details > * { display: block; } }
"""
