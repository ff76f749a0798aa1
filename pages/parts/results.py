"""The results: one strip of photos per extractor and index type, ranks aligned in columns.

One components-v2 component draws all strips: 24 strips of 100 hits are 2,400 buttons, which as
Streamlit widgets would take many seconds. Its HTML, CSS and JavaScript are constant strings; all
that varies comes as JSON and is written with ``textContent`` and ``src``, never as HTML.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

_HTML = """
<div class="bar">
  <div class="legend"></div>
  <div class="nav">
    <button type="button" class="go" data-go="-1" aria-label="Earlier ranks">&#8249;</button>
    <span class="at" aria-live="polite"></span>
    <button type="button" class="go" data-go="1" aria-label="Later ranks">&#8250;</button>
  </div>
</div>
<div class="rows"></div>
"""

_CSS = """
:host { display: block; }
* { box-sizing: border-box; }
.bar { position: sticky; top: 0; z-index: 3; display: flex; gap: .5rem 1rem; flex-wrap: wrap;
  align-items: center; justify-content: space-between; padding: .1rem 0 .25rem;
  background: var(--st-background-color); font-size: .78rem; }
.legend { display: flex; flex-wrap: wrap; gap: .3rem .9rem; align-items: center; opacity: .85; }
.legend i { display: inline-block; min-width: 1.25em; height: 1.25em; border-radius: .25em;
  font: 700 .92em/1.25em var(--st-font); text-align: center; color: #fff; margin-right: .35em;
  vertical-align: -.05em; background: #7a8496; }
.legend i.ok { background: #15803d; border-radius: 50%; } .legend i.no { background: #c81e3a; }
.legend i.kin { background: #a85b00; border-radius: .6em .6em 0 0; }
.legend b { font: inherit; font-weight: 650; font-size: .72rem; padding: .08em .45em;
  border-radius: 1em; background: #7c3aed; color: #fff; margin-right: .35em; }
.nav { display: flex; align-items: center; gap: .4rem; margin-left: auto; }
.at { min-width: 8.4em; text-align: center; font-variant-numeric: tabular-nums; }
.go { width: 1.75rem; height: 1.75rem; border: 1px solid var(--st-border-color); border-radius: 50%;
  background: var(--st-background-color); color: inherit; font-size: 1.15rem; line-height: 1;
  cursor: pointer; }
.go:hover { border-color: var(--st-primary-color); color: var(--st-primary-color); }
.row { padding: .35rem 0 0; border-top: 1px solid var(--st-border-color);
  content-visibility: auto; contain-intrinsic-size: auto 184px; }
.head { display: flex; flex-wrap: wrap; align-items: center; gap: .2rem .4rem;
  margin-bottom: .25rem; font-size: .74rem; }
.name { font-weight: 650; font-size: .94rem; margin-right: .25rem; }
.name em { font-style: normal; font-weight: 450; opacity: .75; }
.tag { padding: .1em .6em; border-radius: 1em; font-variant-numeric: tabular-nums;
  background: #eef1f6; color: #414b5e; white-space: nowrap; }
.tag.blue { background: #e3edff; color: #1c46ad; }
.tag.green { background: #def5e9; color: #0d5c3f; }
.tag.violet { background: #efe6ff; color: #5b21b6; }
.tag.orange { background: #fff0dc; color: #8a4a05; }
.tag.red { background: #ffe4e8; color: #a31631; }
.info { width: 1.5rem; height: 1.5rem; padding: 0; border: 1px solid var(--st-border-color);
  border-radius: 50%; background: none; color: inherit; font: italic 700 .85rem/1 Georgia, serif;
  cursor: pointer; }
.info[aria-expanded=true] { background: var(--st-primary-color); color: #fff; }
.notes { flex-basis: 100%; font-size: .8rem; }
.note { display: block; opacity: .8; padding: .1rem 0; }
.strip { display: flex; align-items: flex-start; gap: .5rem; overflow-x: auto;
  padding: 2px 2px .4rem; scrollbar-width: thin; scrollbar-color: #c3ccdb transparent;
  overscroll-behavior-x: contain; }
.hit { flex: 0 0 112px; width: 112px; padding: 0; border: 0; background: none; color: inherit;
  font: inherit; text-align: left; cursor: pointer; border-radius: .55rem; }
.pic { position: relative; display: block; width: 112px; height: 92px; border-radius: .55rem;
  overflow: hidden; background: var(--st-secondary-background-color);
  border: 3px solid var(--st-border-color); transition: box-shadow .12s; }
.hit.ok .pic { border-color: #15803d; } .hit.no .pic { border-color: #c81e3a; }
.hit.kin .pic { border-color: #c97a1c; border-style: dashed; }
.hit.junk .pic { border-color: #8b94a3; } .hit.junk .pic img { filter: grayscale(1); opacity: .45; }
.hit.junk .mark { display: block; background: #6b7484; }
.query { height: 76px; max-width: 130px; object-fit: cover; border-radius: .45rem;
  border: 3px solid #1c2333; margin-right: .35rem; }
.pic img { width: 100%; height: 100%; object-fit: cover; display: block; }
.rank, .mark, .odd { position: absolute; font-size: .7rem; font-weight: 650; line-height: 1.5;
  padding: 0 .45em; color: #fff; background: rgba(20, 26, 40, .78); }
.rank { left: 0; top: 0; border-bottom-right-radius: .45rem; font-variant-numeric: tabular-nums; }
.mark { right: 0; bottom: 0; border-top-left-radius: .45rem; display: none; font-size: .82rem; }
.hit.ok .mark { display: block; background: #15803d; }
.hit.no .mark { display: block; background: #c81e3a; }
.hit.kin .mark { display: block; background: #a85b00; }
.odd { right: 0; top: 0; background: #7c3aed; border-bottom-left-radius: .45rem; }
.text { display: block; padding: .15rem .1rem 0; font-size: .72rem; line-height: 1.22; }
.score { display: block; font-variant-numeric: tabular-nums; font-weight: 600; }
.score .weak { font-weight: 500; color: var(--st-orange-text-color, #a85b00); }
.label { display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2;
  overflow: hidden; overflow-wrap: anywhere; opacity: .85; }
.move { position: absolute; left: 0; bottom: 0; font-size: .7rem; font-weight: 650;
  line-height: 1.5; padding: 0 .45em; border-top-right-radius: .45rem; color: #fff;
  background: #5b6475; font-variant-numeric: tabular-nums; }
.move.up { background: #1d4ed8; } .move.down { background: #9a5b00; }
.move.new { background: #7c3aed; }
.rows.differ .hit.common { opacity: .22; filter: grayscale(1); }
.rows.differ .hit.common:hover, .rows.differ .hit.common:focus-visible { opacity: .8; }
.hit.in .pic { box-shadow: 0 0 0 3px #c4b0ff; }
.hit:hover .pic { box-shadow: 0 3px 12px rgba(28, 35, 51, .28); }
.hit:focus-visible, .go:focus-visible, .info:focus-visible {
  outline: 3px solid var(--st-primary-color); outline-offset: 1px; }
.none { padding: .6rem 0 .8rem; opacity: .75; font-size: .88rem; }
@media (max-width: 640px) {
  .hit { flex-basis: 100px; width: 100px; } .pic { width: 100px; height: 84px; }
}
"""

_JS = """
const WORD = { '1': 'right landmark', '2': 'same kind, another landmark', '0': 'another landmark',
  '-1': 'landmark unknown', '-2': 'junk, not judged' };
const CLASS = { '1': ' ok', '2': ' kin', '0': ' no', '-2': ' junk' };
const MARK = { '1': '✓', '2': '≈', '0': '✗', '-2': '–' };
const make = (tag, cls, text) => {
  const node = document.createElement(tag);
  if (cls) node.className = cls;
  if (text !== undefined && text !== null) node.textContent = text;
  return node;
};

// Streamlit's dialog does not give the focus back when it is closed.
let watch = null;
const giveBack = (hit) => {
  let open = false;
  const closed = () => !document.querySelector('[role=dialog]');
  watch?.disconnect();
  watch = new MutationObserver(() => {
    if (!closed()) { open = true; return; }
    // A step to the next hit draws the dialog again.
    if (open) setTimeout(() => {
      if (!closed() || !open) return;
      open = false; watch.disconnect(); hit.focus();
    }, 200);
  });
  watch.observe(document.body, { childList: true, subtree: true });
};

export default function ({ parentElement, data, setTriggerValue }) {
  const root = parentElement.querySelector('.rows');
  root.onclick = (event) => {
    const hit = event.target.closest('.hit');
    if (!hit) return;
    giveBack(hit);
    setTriggerValue('open', { id: hit.dataset.id, row: hit.dataset.row });
  };
  root.classList.toggle('differ', Boolean(data.differ));
  if (root.dataset.key === data.key) return;
  root.dataset.key = data.key;

  const strips = [];
  let left = Number(root.dataset.left || 0), moving = false;
  // The page scrolls inside an element: a margin counts only for that root.
  const scroller = root.getRootNode().host?.closest('[data-testid=stMain]') || null;
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      const img = entry.target;
      img.src = data.thumbs[img.dataset.id] || '';
      seen.unobserve(img);
    }
  }, { root: scroller, rootMargin: '400px' });

  const found = data.rows.map((row) => new Set(row.hits.map((hit) => hit[0])));
  const everywhere = (id) => found.length > 1 && found.every((ids) => ids.has(id));
  const markOf = (row) => row.mark || ['not in Flat', 'exact search does not return it'];
  const draw = (row) => {
    const box = make('section', 'row'), head = make('div', 'head'), name = make('span', 'name');
    box.setAttribute('aria-label', row.title + ', ' + row.index);
    name.append(row.title, make('em', '', ' · ' + row.index));
    if (row.picture) {
      const query = make('img', 'query');
      query.src = row.picture; query.alt = 'The query'; head.append(query);
    }
    head.append(name);
    for (const [text, colour] of row.badges) head.append(make('span', 'tag ' + colour, text));
    if (row.notes.length) {
      const info = make('button', 'info', 'i'), notes = make('div', 'notes');
      info.type = 'button'; info.title = row.notes.join(' ');
      info.setAttribute('aria-label', 'Notes on ' + row.title + ', ' + row.index);
      for (const text of row.notes) notes.append(make('span', 'note', text));
      const show = (open) => {
        notes.hidden = !open; info.setAttribute('aria-expanded', open);
      };
      info.onclick = () => show(notes.hidden);
      show(false);
      head.append(info, notes);
    }
    box.append(head);
    if (!row.hits.length) { box.append(make('div', 'none', 'No photo was found.')); return box; }
    const strip = make('div', 'strip');
    row.hits.forEach(([id, score, verdict, odd, inliers, moved, weak], at) => {
      const label = data.labels[id] || 'no label';
      const came = moved === 'new', shifted = typeof moved === 'number' && moved !== 0;
      const hit = make('button', 'hit' + (CLASS[verdict] || '') + (came ? ' in' : '') +
        (everywhere(id) ? ' common' : ''));
      hit.type = 'button'; hit.dataset.id = id; hit.dataset.row = row.id;
      hit.dataset.rank = at + 1; hit.dataset.photo = id;
      hit.tabIndex = at ? -1 : 0;
      const score3 = score === null ? '' :
        score.toFixed(Number.isInteger(score) && (inliers !== null || score >= 2) ? 0 : 3);
      const said = 'Rank ' + (at + 1) + ', ' + label + (score3 && ', score ' + score3) +
        ', ' + WORD[verdict] +
        (odd ? ', ' + markOf(row).join(': ') : '') +
        (inliers === null ? '' : ', ' + inliers + ' matches verified' + (weak ? ', weak' : '')) +
        (came ? ', came in by re-ranking' : '') +
        (shifted ? ', ' + (moved > 0 ? 'up ' : 'down ') + Math.abs(moved) : '');
      hit.setAttribute('aria-label', said);
      hit.title = said;
      const pic = make('span', 'pic'), img = make('img'), text = make('span', 'text');
      img.alt = ''; img.decoding = 'async'; img.dataset.id = id; seen.observe(img);
      const mark = make('span', 'mark', MARK[verdict] || '');
      pic.append(img, make('span', 'rank', at + 1), mark);
      if (odd) pic.append(make('span', 'odd', markOf(row)[0]));
      if (came) pic.append(make('span', 'move new', 'new'));
      if (shifted) {
        const arrow = moved > 0 ? '▲' : '▼';
        pic.append(make('span', 'move ' + (moved > 0 ? 'up' : 'down'), arrow + Math.abs(moved)));
      }
      const figures = score3 + (inliers === null ? '' : ' · ' + inliers + ' inl.');
      if (figures) {
        const line = make('span', 'score', figures);
        if (weak) line.append(make('span', 'weak', ' weak'));
        text.append(line);
      }
      text.append(make('span', 'label', label));
      hit.append(pic, text);
      strip.append(hit);
    });
    strips.push(strip);
    box.append(strip);
    return box;
  };
  root.replaceChildren(...data.rows.map(draw));

  const legend = parentElement.querySelector('.legend');
  legend.replaceChildren();
  const explain = (cls, mark, text) => {
    const item = make('span'), icon = make('i', cls, mark);
    icon.setAttribute('aria-hidden', 'true');
    item.append(icon, text); legend.append(item);
  };
  const verdicts = new Set(data.rows.flatMap((row) => row.hits.map((hit) => hit[2])));
  if (verdicts.has(1) || verdicts.has(0) || verdicts.has(2)) {
    explain('ok', '✓', 'right landmark');
    if (verdicts.has(2)) explain('kin', '≈', 'same kind');
    explain('no', '✗', verdicts.has(2) ? 'other' : 'another landmark');
    if (verdicts.has(-1)) explain('eh', '?', 'unknown');
    if (verdicts.has(-2)) explain('junk', '–', 'junk, not judged');
  } else { explain('eh', '?', 'landmark of the query unknown'); }
  const moves = new Set(data.rows.flatMap((row) => row.hits.map((hit) => hit[5])));
  if ([...moves].some((moved) => moved !== null && moved !== undefined)) {
    const item = make('span');
    item.append(make('b', '', '▲ ▼ new'), 'by re-ranking');
    legend.append(item);
  }
  const marks = new Map(data.rows.filter((row) => row.hits.some((hit) => hit[3])).map(markOf));
  for (const [short, long] of marks) {
    const item = make('span');
    item.append(make('b', '', short), long);
    legend.append(item);
  }

  const longest = Math.max(0, ...data.rows.map((row) => row.hits.length));
  const at = parentElement.querySelector('.at'), nav = parentElement.querySelector('.nav');
  const step = () => {
    const hit = root.querySelector('.hit');
    return hit ? hit.getBoundingClientRect().width + 8 : 120;
  };
  const tell = () => {
    const strip = strips[0];
    if (!strip) { nav.style.display = 'none'; return; }
    nav.style.display = '';
    const first = Math.min(longest, Math.floor(left / step() + .4) + 1);
    const shown = Math.floor((left + strip.clientWidth) / step() + .1);
    const last = Math.min(longest, Math.max(first, shown));
    at.textContent = 'ranks ' + first + '–' + last + ' of ' + longest;
  };
  const follow = (from) => {
    if (moving) return;
    moving = true;
    requestAnimationFrame(() => {
      left = from.scrollLeft; root.dataset.left = left;
      for (const strip of strips) {
        if (strip !== from && strip.scrollLeft !== left) strip.scrollLeft = left;
      }
      tell();
      requestAnimationFrame(() => {
        moving = false;
        if (from.scrollLeft !== left) follow(from);
      });
    });
  };
  for (const strip of strips) {
    strip.scrollLeft = left;
    strip.addEventListener('scroll', () => follow(strip), { passive: true });
  }
  parentElement.querySelectorAll('.go').forEach((button) => {
    button.onclick = () => {
      const strip = strips[0];
      if (!strip) return;
      const page = Math.max(1, Math.floor(strip.clientWidth / step())) * step();
      strip.scrollTo({ left: left + Number(button.dataset.go) * page, behavior: 'smooth' });
    };
  });
  root.onkeydown = (event) => {
    const hit = event.target.closest('.hit');
    if (!hit) return;
    const row = [...hit.parentElement.children], at = row.indexOf(hit);
    const line = strips.indexOf(hit.parentElement);
    const next = { ArrowRight: () => row[at + 1], ArrowLeft: () => row[at - 1],
      Home: () => row[0], End: () => row[row.length - 1],
      ArrowDown: () => strips[line + 1]?.children[at],
      ArrowUp: () => strips[line - 1]?.children[at] }[event.key]?.();
    if (!next) return;
    event.preventDefault();
    hit.tabIndex = -1; next.tabIndex = 0; next.focus();
  };
  tell();
  const resized = new ResizeObserver(tell);
  resized.observe(root);
}
"""

_grid = st.components.v2.component("playground_results", html=_HTML, css=_CSS, js=_JS)


def results_grid(payload: dict[str, Any], key: str) -> dict[str, str] | None:
    """Draw the strips; ``payload`` is what ``compare.payload`` makes, with a ``key`` of its own.

    A row may have a ``picture`` (a data URL) beside its name, and a ``mark`` of two texts, a short
    and a long one, for its odd hits; a score may be None, and a verdict -2 for junk, 2 for another
    landmark of the query's kind. With ``differ``, hits that every row has are dimmed.

    Returns:
        ``{"id": photo id, "row": row id}`` in the run in which a result was clicked, else None.
    """
    clicked = _grid(key=key, data=payload, on_open_change=_nothing).open
    return dict(clicked) if clicked else None


def _nothing() -> None:
    """A trigger needs a callback to exist; the returned value says all."""
