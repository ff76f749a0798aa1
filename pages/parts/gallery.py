"""Photos to click on, as one component: a strip to pick a query from, or a page of a collection."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import streamlit as st

_HTML = '<div class="items" role="group"></div>'

_CSS = """
:host { display: block; }
* { box-sizing: border-box; }
.items { display: grid; gap: .55rem; grid-template-columns: repeat(auto-fill, minmax(132px, 1fr)); }
.items.strip { display: flex; overflow-x: auto; padding: 3px 3px .55rem; scrollbar-width: thin;
  scrollbar-color: #c3ccdb transparent; overscroll-behavior-x: contain; }
.item { padding: 0; border: 0; background: none; color: inherit; font: inherit; cursor: pointer;
  text-align: left; border-radius: .55rem; min-width: 0; }
.strip .item { flex: 0 0 92px; }
.item span { display: block; overflow: hidden; text-overflow: ellipsis; white-space: nowrap;
  font-size: .76rem; padding: .2rem .1rem 0; opacity: .85; }
.item img { display: block; width: 100%; height: 112px; object-fit: cover; border-radius: .55rem;
  border: 1px solid var(--st-border-color); background: var(--st-secondary-background-color); }
.strip .item img { height: 76px; }
.item:hover img { box-shadow: 0 3px 12px rgba(28, 35, 51, .25); }
.item[aria-pressed=true] img { border-color: var(--st-primary-color);
  box-shadow: 0 0 0 2px var(--st-primary-color); }
.item[aria-pressed=true] span { font-weight: 650; opacity: 1; }
.item:focus-visible { outline: 3px solid var(--st-primary-color); outline-offset: 2px; }
@media (max-width: 640px) {
  .items { grid-template-columns: repeat(auto-fill, minmax(96px, 1fr)); }
  .item img { height: 84px; }
}
"""

_JS = """
export default function ({ parentElement, data, setTriggerValue }) {
  const root = parentElement.querySelector('.items');
  root.className = 'items ' + data.mode;
  root.setAttribute('aria-label', data.label);
  root.onclick = (event) => {
    const item = event.target.closest('.item');
    if (item) setTriggerValue('pick', item.dataset.id);
  };
  // One stop for the Tab key, arrow keys inside.
  const stop = (item) => {
    for (const one of root.children) one.tabIndex = one === item ? 0 : -1;
  };
  root.onkeydown = (event) => {
    const all = [...root.children], at = all.indexOf(event.target.closest('.item'));
    if (at < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const columns = all.filter((one) => one.offsetTop === all[0].offsetTop).length;
    const next = { ArrowRight: all[at + 1], ArrowLeft: all[at - 1], Home: all[0],
      End: all[all.length - 1], ArrowDown: data.mode !== 'strip' && all[at + columns],
      ArrowUp: data.mode !== 'strip' && all[at - columns] }[event.key];
    if (!next) return;
    event.preventDefault();
    stop(next); next.focus();
  };
  if (root.dataset.key !== data.key) {
    root.dataset.key = data.key;
    root.replaceChildren(...data.items.map(([id, src, caption]) => {
      const item = document.createElement('button'), img = document.createElement('img');
      const text = document.createElement('span');
      item.type = 'button'; item.className = 'item'; item.dataset.id = id;
      item.title = caption; item.setAttribute('aria-label', caption + ' (' + id + ')');
      img.alt = ''; img.decoding = 'async'; img.loading = 'lazy'; img.src = src;
      text.textContent = caption;
      item.append(img, text);
      return item;
    }));
    root.dataset.shown = '';
    stop(root.querySelector('.item'));
  }
  for (const item of root.children) {
    const chosen = item.dataset.id === data.chosen;
    if (data.mode === 'strip') item.setAttribute('aria-pressed', chosen);
    if (chosen && root.dataset.shown !== data.chosen && data.mode === 'strip') {
      root.dataset.shown = data.chosen;
      stop(item);
      const inside = item.offsetLeft - root.offsetLeft;
      if (inside < root.scrollLeft || inside + 92 > root.scrollLeft + root.clientWidth)
        root.scrollLeft = inside - root.clientWidth / 2 + 46;
    }
  }
}
"""

_gallery = st.components.v2.component("playground_gallery", html=_HTML, css=_CSS, js=_JS)

Item = tuple[str, str, str]
"""(photo id, address of the image, caption)."""


def gallery(
    items: Sequence[Item], key: str, label: str, chosen: str | None = None, strip: bool = False
) -> str | None:
    """Show the photos; the id of the one clicked in this run, else None."""
    digest = hashlib.sha1(repr(items).encode()).hexdigest()
    data: dict[str, Any] = {
        "items": [list(item) for item in items],
        "key": digest,
        "mode": "strip" if strip else "page",
        "label": label,
        "chosen": chosen or "",
    }
    picked = _gallery(key=key, data=data, on_pick_change=_nothing).pick
    return str(picked) if picked else None


def _nothing() -> None:
    """A trigger needs a callback to exist; the returned value says all."""
