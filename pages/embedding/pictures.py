"""The photo under the mouse: a small picture beside it, from one sheet of all photos of a map.

Plotly's own hover boxes hold text alone. This component draws nothing of its own but that picture;
it listens to the chart that stands beside it on the page.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from data import photos as photo_files
from data.errors import PlaygroundError

if TYPE_CHECKING:
    from data.store import Collection
    from indexing.base import Ints

WIDTH, HEIGHT = 96, 72  # px of a photo on the sheet
_COLUMNS = 40
MOST = 4_000  # photos of a sheet: some 6 MB

_HTML = '<div class="look" hidden></div>'
_CSS = """
.look { position: fixed; z-index: 1000; pointer-events: none; border-radius: 6px;
  border: 2px solid #fff; box-shadow: 0 3px 14px rgba(28, 35, 51, .45);
  background-repeat: no-repeat; }
.look[hidden] { display: none; }
"""
_JS = """
export default function ({ parentElement, data }) {
  const look = parentElement.querySelector('.look');
  const places = new Map(data.rows.map((row, at) => [row, at]));
  const scale = 1.6, sheetRows = Math.ceil(data.rows.length / data.columns);
  look.style.width = data.width * scale + 'px';
  look.style.height = data.height * scale + 'px';
  look.style.backgroundImage = 'url(' + data.sheet + ')';
  look.style.backgroundSize =
    data.width * data.columns * scale + 'px ' + data.height * sheetRows * scale + 'px';
  const hide = () => { look.hidden = true; };
  const show = (event) => {
    // A list, or {"0": row} where the chart was given a NumPy array.
    const row = Object.values(event.points[0].customdata || {})[0], at = places.get(row);
    const mouse = event.event;
    if (at === undefined || !mouse) { hide(); return; }
    const x = (at % data.columns) * data.width * scale;
    const y = Math.floor(at / data.columns) * data.height * scale;
    look.style.backgroundPosition = -x + 'px ' + -y + 'px';
    const wide = data.width * scale, high = data.height * scale;
    const left = mouse.clientX + 18 + wide > innerWidth ? mouse.clientX - 18 - wide
      : mouse.clientX + 18;
    look.style.left = left + 'px';
    look.style.top = Math.max(4, mouse.clientY - high - 14) + 'px';
    look.dataset.row = row;
    look.hidden = false;
  };
  let chart = null;
  // Streamlit may draw the chart after this, or again.
  const attach = () => {
    const now = document.querySelector('[class*="' + data.chart + '"] .js-plotly-plot');
    if (!now || now === chart || !now.on) return;
    chart = now;
    chart.on('plotly_hover', show);
    chart.on('plotly_unhover', hide);
  };
  attach();
  const timer = setInterval(attach, 500);
  return () => {
    clearInterval(timer);
    hide();
    if (chart && chart.removeListener) {
      chart.removeListener('plotly_hover', show);
      chart.removeListener('plotly_unhover', hide);
    }
  };
}
"""

_look = st.components.v2.component("playground_map_pictures", html=_HTML, css=_CSS, js=_JS)


def on_hover(collection: Collection, rows: Ints, chart: str) -> None:
    """Show the photo whose dot the mouse is on.

    Args:
        rows: (n,) positions in the collection of the map's photos; beyond ``MOST`` the first.
        chart: key of the chart, whose points have their position as ``customdata``.
    """
    rows = rows[:MOST]
    digest = hashlib.sha1(np.ascontiguousarray(rows, np.int64).tobytes()).hexdigest()
    data: dict[str, Any] = {
        "sheet": _sheet(collection.fingerprint, digest, collection, rows),
        "rows": [int(row) for row in rows],
        "columns": _COLUMNS,
        "width": WIDTH,
        "height": HEIGHT,
        "chart": f"st-key-{chart}",
    }
    _look(key="em_pictures", data=data)


@st.cache_data(max_entries=4, show_spinner="Preparing the photos …")
def _sheet(fingerprint: str, digest: str, _members: Collection, _rows: Ints) -> str:
    """All photos in one JPEG, as a data URL; one that cannot be read is grey."""
    del fingerprint, digest  # the cache's key
    sheet = np.full((-(-len(_rows) // _COLUMNS) * HEIGHT, _COLUMNS * WIDTH, 3), 225, np.uint8)
    for at, row in enumerate(_rows):
        top, left = at // _COLUMNS * HEIGHT, at % _COLUMNS * WIDTH
        try:
            small = photo_files.decode(
                _members.thumbnail(_members.photos[int(row)]), longer_side=WIDTH
            )
        except PlaygroundError:
            continue
        part = small[:HEIGHT, :WIDTH]
        high, wide = part.shape[:2]
        y, x = top + (HEIGHT - high) // 2, left + (WIDTH - wide) // 2
        sheet[y : y + high, x : x + wide] = part
    jpeg = photo_files.encode_jpeg(sheet, quality=68)
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
