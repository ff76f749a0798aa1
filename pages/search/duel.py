"""Two recipes on one query, side by side, with lines between the ranks of the same photo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from pages.parts.compare import Row

_HTML = '<div class="duel"></div>'

_CSS = """
:host { display: block; }
* { box-sizing: border-box; }
.duel { display: grid; grid-template-columns: minmax(0, 15rem) minmax(4rem, 1fr) minmax(0, 15rem);
  font-size: .78rem; }
.name { font-weight: 650; font-size: .92rem; padding-bottom: .3rem; overflow-wrap: anywhere; }
.name span { display: block; font-weight: 450; font-size: .78rem; opacity: .8; }
.name.right { text-align: right; }
svg { width: 100%; height: 100%; display: block; overflow: visible; }
line { stroke-width: 2.5; stroke: #7a8496; opacity: .75; }
line.ok { stroke: #15803d; } line.no { stroke: #c81e3a; stroke-dasharray: 2 5; }
line.kin { stroke: #c97a1c; stroke-dasharray: 8 4; }
.duel.over line { opacity: .12; } .duel.over line.on { opacity: 1; stroke-width: 4; }
.hit { display: flex; gap: .5rem; align-items: center; width: 100%; height: 64px; padding: 2px 4px;
  border: 0; border-radius: .5rem; background: none; color: inherit; font: inherit;
  text-align: left; cursor: pointer; }
.side.right .hit { flex-direction: row-reverse; text-align: right; }
.hit.on { background: var(--st-secondary-background-color); }
.hit:focus-visible { outline: 3px solid var(--st-primary-color); }
.pic { position: relative; flex: 0 0 72px; height: 58px; border-radius: .45rem; overflow: hidden;
  border: 3px solid #7a8496; background: var(--st-secondary-background-color); }
.pic img { width: 100%; height: 100%; object-fit: cover; display: block; }
.ok .pic { border-color: #15803d; } .no .pic { border-color: #c81e3a; }
.kin .pic { border-color: #c97a1c; border-style: dashed; }
.mark { position: absolute; right: 0; bottom: 0; padding: 0 .4em; color: #fff; font-weight: 700;
  background: #6b7484; border-top-left-radius: .4rem; }
.ok .mark { background: #15803d; } .no .mark { background: #c81e3a; }
.kin .mark { background: #a85b00; }
.rank { font-weight: 700; font-variant-numeric: tabular-nums; min-width: 1.5em; }
.text { min-width: 0; line-height: 1.2; display: -webkit-box; -webkit-box-orient: vertical;
  -webkit-line-clamp: 3; overflow: hidden; overflow-wrap: anywhere; flex: 1; }
.text b { display: block; font-weight: 650;
  color: var(--st-violet-text-color, #6d28d9); }
@media (max-width: 640px) {
  .duel { grid-template-columns: minmax(0, 1fr) 3rem minmax(0, 1fr); }
  .pic { flex-basis: 52px; } .text { font-size: .68rem; } .hit { gap: .25rem; }
}
"""

_JS = """
const WORD = { '1': 'right landmark', '2': 'same kind, another landmark', '0': 'another landmark',
  '-1': 'landmark unknown', '-2': 'junk, not judged' };
const CLASS = { '1': 'ok', '2': 'kin', '0': 'no' };
const MARK = { '1': '✓', '2': '≈', '0': '✗', '-1': '?', '-2': '–' };
const HIGH = 64;
const make = (tag, cls, text) => {
  const node = document.createElement(tag);
  if (cls) node.className = cls;
  if (text !== undefined) node.textContent = text;
  return node;
};
const drawn = (tag, values) => {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(values)) node.setAttribute(name, value);
  return node;
};

export default function ({ parentElement, data, setTriggerValue }) {
  const root = parentElement.querySelector('.duel');
  root.onclick = (event) => {
    const hit = event.target.closest('.hit');
    if (hit) setTriggerValue('open', { id: hit.dataset.photo, row: hit.dataset.row });
  };
  const point = (event) => {
    const hit = event.target.closest('.hit');
    root.classList.toggle('over', Boolean(hit));
    for (const node of root.querySelectorAll('.hit, line'))
      node.classList.toggle('on', Boolean(hit) && node.dataset.photo === hit.dataset.photo);
  };
  root.onpointerover = point; root.onfocusin = point; root.onpointerleave = point;
  root.onkeydown = (event) => {
    const hit = event.target.closest('.hit');
    if (!hit) return;
    const sides = [...root.querySelectorAll('.side')], side = hit.parentElement;
    const rows = [...side.children], at = rows.indexOf(hit);
    const beside = sides[1 - sides.indexOf(side)].children;
    const next = { ArrowDown: rows[at + 1], ArrowUp: rows[at - 1], Home: rows[0],
      End: rows[rows.length - 1], ArrowLeft: side === sides[1] && beside[at],
      ArrowRight: side === sides[0] && beside[at] }[event.key];
    if (!next) return;
    event.preventDefault();
    hit.tabIndex = -1; next.tabIndex = 0; next.focus();
  };
  if (root.dataset.key === data.key) return;
  root.dataset.key = data.key;
  const [left, right] = data.rows;
  const ranks = data.rows.map((row) => new Map(row.hits.map((hit, at) => [hit[0], at])));
  const name = (row, side) => {
    const node = make('div', 'name ' + side, row.name);
    node.append(make('span', '', row.found));
    return node;
  };
  const side = (which) => {
    const row = data.rows[which], other = ranks[1 - which];
    const box = make('div', 'side ' + (which ? 'right' : 'left'));
    box.setAttribute('role', 'group'); box.setAttribute('aria-label', row.name);
    row.hits.forEach(([id, verdict], at) => {
      const hit = make('button', 'hit ' + (CLASS[verdict] || '')), pic = make('span', 'pic');
      const img = make('img'), text = make('span', 'text', data.labels[id] || 'no label');
      const there = other.get(id);
      const place = there === undefined ? 'only here' : there === at ? 'same rank'
        : 'rank ' + (there + 1) + ' beside';
      hit.type = 'button'; hit.tabIndex = at ? -1 : 0;
      hit.dataset.photo = id; hit.dataset.rank = at + 1; hit.dataset.row = row.id;
      hit.setAttribute('aria-label', 'Rank ' + (at + 1) + ', ' + (data.labels[id] || 'no label') +
        ', ' + WORD[verdict] + ', ' + place);
      hit.title = hit.getAttribute('aria-label');
      img.alt = ''; img.src = data.thumbs[id] || '';
      if (there === undefined) text.prepend(make('b', '', 'only here'));
      pic.append(img, make('span', 'mark', MARK[verdict]));
      hit.append(make('span', 'rank', at + 1), pic, text);
      box.append(hit);
    });
    return box;
  };
  const svg = drawn('svg', { 'aria-hidden': 'true' });
  left.hits.forEach(([id, verdict], at) => {
    const there = ranks[1].get(id);
    if (there === undefined) return;
    const line = drawn('line', { x1: '4%', x2: '96%', y1: at * HIGH + HIGH / 2,
      y2: there * HIGH + HIGH / 2, class: CLASS[verdict] || '' });
    line.dataset.photo = id;
    svg.append(line);
  });
  root.replaceChildren(
    name(left, 'left'), make('div'), name(right, 'right'), side(0), svg, side(1));
}
"""

_component = st.components.v2.component("playground_duel", html=_HTML, css=_CSS, js=_JS)


def summary(left: Row, right: Row) -> str:
    """What the two share and what only one of them has, in words."""
    both = {hit.id for hit in left.hits} & {hit.id for hit in right.hits}
    parts = [f"Both show {len(both)} of the same photos."]
    for row, side in ((left, "left"), (right, "right")):
        alone = [
            verdict is True
            for hit, verdict in zip(row.hits, row.verdicts(), strict=True)
            if hit.id not in both
        ]
        if alone:
            known = f", {sum(alone)} of them right" if row.truth is not None else ""
            parts.append(f"Only the {side} one has {len(alone)} more{known}.")
    return " ".join(parts)


def draw(
    pair: tuple[Row, Row], drawn: Mapping[str, Any], names: Mapping[str, str]
) -> dict[str, str] | None:
    """Draw the two rows; what was clicked in this run, as ``results.results_grid`` says it.

    Args:
        drawn: ``compare.payload`` with a ``key`` of its own.
        names: what each row is called, by its id.
    """
    by_id = {one["id"]: one for one in drawn["rows"]}
    sides = [
        {
            "id": row.id,
            "name": names[row.id],
            "found": f"found {row.found()}" if row.truth is not None else "",
            "hits": [[hit[0], hit[2]] for hit in by_id[row.id]["hits"]],
        }
        for row in pair
    ]
    used = {hit[0] for side in sides for hit in side["hits"]}
    data: dict[str, Any] = {"key": f"{drawn['key']} {pair[0].id} {pair[1].id}", "rows": sides}
    for name in ("thumbs", "labels"):
        data[name] = {one: value for one, value in drawn[name].items() if one in used}
    clicked = _component(key="duel", data=data, on_open_change=_nothing).open
    return dict(clicked) if clicked else None


def _nothing() -> None:
    """A trigger needs a callback to exist; the returned value says all."""
