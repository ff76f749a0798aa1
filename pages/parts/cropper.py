"""Choose a region of a photo, with mouse, finger or keyboard.

One components-v2 component. Its HTML, CSS and JavaScript are constant strings; the photo comes as
the address of a JPEG that is made once, and boxes are pixels of the original photo on both ends.

The browser has the box while it is dragged and sends it when it is released; here it is kept by
photo, so that it outlives a page switch. A run of the page never moves the box, unless somebody
set it from outside: then ``turn`` is higher than the one the browser has, and a box that the
browser sent in an earlier turn does not count any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from data.base import Box
from extractors.base import RGB
from pages.parts import backend, region

SENT_SIDE = 900  # px of the JPEG: a column's width on a screen of twice the pixels
TOO_SMALL = 24  # px; there is nothing to crop in a smaller photo

_HTML = """
<div class="stage">
  <div class="clip"><img class="photo" alt="" draggable="false"><div class="lit"></div></div>
  <div class="box" tabindex="0" role="application" aria-roledescription="crop box">
    <i data-x="-1" data-y="-1"></i><i data-x="0" data-y="-1"></i><i data-x="1" data-y="-1"></i>
    <i data-x="-1" data-y="0"></i><i data-x="1" data-y="0"></i>
    <i data-x="-1" data-y="1"></i><i data-x="0" data-y="1"></i><i data-x="1" data-y="1"></i>
  </div>
</div>
<div class="said" role="status" aria-live="polite"></div>
"""

_CSS = """
:host { display: block; }
* { box-sizing: border-box; }
.stage { position: relative; margin: 6px auto; cursor: crosshair; user-select: none;
  -webkit-user-select: none; touch-action: none; }
.clip { position: absolute; inset: 0; overflow: hidden; border-radius: .4rem;
  background: var(--st-secondary-background-color); }
.photo { position: absolute; inset: 0; width: 100%; height: 100%; display: block;
  pointer-events: none; }
.lit { position: absolute; box-shadow: 0 0 0 4000px rgba(12, 17, 29, .55); }
.box { position: absolute; border: 2px solid #fff; outline: 2px solid var(--st-primary-color);
  outline-offset: -1px; cursor: move; }
.box.full { cursor: crosshair; }
.box:focus-visible { outline-width: 4px; }
.box i { position: absolute; width: 22px; height: 22px; margin: -11px; }
.box i::after { content: ''; position: absolute; inset: 5px; border-radius: 2px; background: #fff;
  border: 2px solid var(--st-primary-color); }
.box i[data-x='-1'] { left: 0; } .box i[data-x='0'] { left: 50%; }
.box i[data-x='1'] { left: 100%; }
.box i[data-y='-1'] { top: 0; } .box i[data-y='0'] { top: 50%; } .box i[data-y='1'] { top: 100%; }
.box i[data-x='-1'][data-y='-1'], .box i[data-x='1'][data-y='1'] { cursor: nwse-resize; }
.box i[data-x='1'][data-y='-1'], .box i[data-x='-1'][data-y='1'] { cursor: nesw-resize; }
.box i[data-x='0'] { cursor: ns-resize; } .box i[data-y='0'] { cursor: ew-resize; }
.box.flat i[data-y='0'], .box.thin i[data-x='0'] { display: none; }
.said { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
@media (pointer: coarse) {
  .box i { width: 40px; height: 40px; margin: -20px; } .box i::after { inset: 12px; }
}
"""

_JS = """
const HELP = 'Drag on the photo to draw a box, inside the box to move it, at a handle to size ' +
  'it. Arrow keys move it, Shift and arrow keys size it.';
const KEY_PAUSE = 350, SLIP = 4, NEARLY_ALL = 0.8;
const within = (value, low, high) => Math.min(Math.max(value, low), high);

function start(parentElement) {
  const stage = parentElement.querySelector('.stage'), node = parentElement.querySelector('.box');
  const photo = parentElement.querySelector('.photo'), said = parentElement.querySelector('.said');
  const lit = parentElement.querySelector('.lit');
  const one = { photo: '', turn: -1, size: [1, 1], least: 1, box: [0, 0, 1, 1], tries: 0 };
  let drag = null, timer = null, told = '';

  const draw = () => {
    const [x0, y0, x1, y1] = one.box, [width, height] = one.size;
    const part = (x, whole) => 100 * x / whole + '%';
    for (const drawn of [node, lit]) {
      Object.assign(drawn.style, { left: part(x0, width), top: part(y0, height),
        width: part(x1 - x0, width), height: part(y1 - y0, height) });
    }
    const shown = stage.getBoundingClientRect(), scale = shown.width / width || 1;
    node.classList.toggle('flat', (y1 - y0) * scale < 56);
    node.classList.toggle('thin', (x1 - x0) * scale < 56);
    node.classList.toggle('full', covers());
    node.dataset.box = one.box.join(',');
    node.setAttribute('aria-label', 'Searched region, ' + (x1 - x0) + ' by ' + (y1 - y0) +
      ' pixels at ' + x0 + ', ' + y0 + '. ' + HELP);
  };
  const covers = () => (one.box[2] - one.box[0]) * (one.box[3] - one.box[1]) >=
    NEARLY_ALL * one.size[0] * one.size[1];
  const send = () => {
    clearTimeout(timer); timer = null;
    const now = one.box.join(',');
    if (now === told) return;
    told = now;
    said.textContent = (one.box[2] - one.box[0]) + ' by ' + (one.box[3] - one.box[1]) + ' pixels';
    one.set('box', { photo: one.photo, turn: one.turn, box: one.box });
  };
  const at = (event) => {
    const shown = stage.getBoundingClientRect();
    return [(event.clientX - shown.left) / shown.width * one.size[0],
      (event.clientY - shown.top) / shown.height * one.size[1]];
  };
  // One side of a box between a fixed and a dragged place: whole px, on the photo, not too small.
  const side = (fixed, dragged, whole) => {
    const least = Math.min(one.least, whole);
    let low = Math.round(Math.min(fixed, dragged)), high = Math.round(Math.max(fixed, dragged));
    if (high - low < least) {
      if (dragged < fixed) low = high - least; else high = low + least;
    }
    if (low < 0) { low = 0; high = Math.max(high, least); }
    if (high > whole) { high = whole; low = Math.min(low, whole - least); }
    return [low, high];
  };
  const moved = (by) => {
    const [x0, y0, x1, y1] = drag ? drag.box : one.box, [width, height] = one.size;
    const dx = within(Math.round(by[0]), -x0, width - x1);
    const dy = within(Math.round(by[1]), -y0, height - y1);
    one.box = [x0 + dx, y0 + dy, x1 + dx, y1 + dy];
  };

  stage.onpointerdown = (event) => {
    if (drag || (event.pointerType === 'mouse' && event.button !== 0)) return;
    event.preventDefault();
    node.focus({ preventScroll: true });
    const handle = event.target.closest('i'), from = at(event), box = [...one.box];
    const inside = event.target.closest('.box') && !covers();
    drag = { id: event.pointerId, box, from, screen: [event.clientX, event.clientY],
      how: handle ? 'size' : inside ? 'move' : 'draw' };
    if (handle) {
      drag.pull = [Number(handle.dataset.x), Number(handle.dataset.y)];
      // The handle is seldom grasped at its middle: the box must not jump to the pointer.
      drag.off = drag.pull.map((pull, axis) => box[axis + (pull > 0 ? 2 : 0)] - from[axis]);
    }
    stage.setPointerCapture(event.pointerId);
  };
  stage.onpointermove = (event) => {
    if (!drag || event.pointerId !== drag.id) return;
    const place = at(event), { box, from, how } = drag;
    const far = Math.hypot(event.clientX - drag.screen[0], event.clientY - drag.screen[1]);
    if (!drag.begun && far < SLIP) return;
    drag.begun = true;
    if (how === 'move') {
      moved([place[0] - from[0], place[1] - from[1]]);
    } else {
      const next = [...box];
      for (const axis of [0, 1]) {
        const pull = how === 'draw' ? 1 : drag.pull[axis];
        if (!pull) continue;
        const fixed = how === 'draw' ? from[axis] : box[axis + (pull > 0 ? 0 : 2)];
        const dragged = how === 'draw' ? place[axis] : place[axis] + drag.off[axis];
        const whole = one.size[axis];
        [next[axis], next[axis + 2]] = side(fixed, within(dragged, 0, whole), whole);
      }
      one.box = next;
    }
    draw();
  };
  stage.onpointerup = (event) => {
    if (!drag || event.pointerId !== drag.id) return;
    const begun = drag.begun;
    drag = null;
    if (begun) send();
  };
  const undo = () => {
    if (drag) { one.box = drag.box; drag = null; draw(); }
  };
  stage.onpointercancel = undo;

  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  node.onkeydown = (event) => {
    if (event.key === 'Escape' && drag) { undo(); return; }
    const way = ARROWS[event.key];
    if (!way || event.ctrlKey || event.metaKey || event.altKey || drag) return;
    event.preventDefault(); event.stopPropagation();
    const step = Math.max(1, Math.round(Math.max(...one.size) / 100));
    if (event.shiftKey) {
      const axis = way[0] ? 0 : 1, next = [...one.box], whole = one.size[axis];
      const least = Math.min(one.least, whole);
      const longer = next[axis + 2] + way[axis] * step;
      if (longer > whole && next[axis + 2] === whole) next[axis] = Math.max(0, next[axis] - step);
      next[axis + 2] = within(longer, next[axis] + least, whole);
      one.box = next;
    } else { moved([way[0] * step, way[1] * step]); }
    draw();
    clearTimeout(timer);
    timer = setTimeout(send, KEY_PAUSE);
  };
  node.onblur = () => { if (timer !== null) send(); };

  // A media address can be gone for a moment while the server starts the next run.
  photo.onerror = () => {
    if (one.tries++ < 6) setTimeout(() => { photo.src = one.src + '?again=' + one.tries; }, 300);
  };
  photo.onload = () => { photo.style.visibility = ''; };
  stage.title = HELP;
  const watch = new ResizeObserver(draw);
  watch.observe(stage);

  return (data, set) => {
    one.set = set;
    const other = one.photo !== data.photo;
    if (other) {
      drag = null; clearTimeout(timer); timer = null;
      const [width, height] = data.size;
      const most = Math.min(4 * width, data.high * width / height);
      stage.style.width = 'min(calc(100% - 12px), ' + most.toFixed(1) + 'px)';
      stage.style.aspectRatio = width + ' / ' + height;
      photo.style.visibility = 'hidden'; photo.alt = data.alt;
      Object.assign(one, { photo: data.photo, size: data.size, least: data.least });
    }
    if (one.src !== data.src) {
      one.src = data.src; one.tries = 0;
      photo.src = data.src;
    }
    if (other || one.turn !== data.turn) {
      one.turn = data.turn; one.box = data.box; told = data.box.join(',');
      drag = null; clearTimeout(timer); timer = null;
      draw();
    }
  };
}

const running = new WeakMap();

export default function ({ parentElement, data, setStateValue }) {
  const stage = parentElement.querySelector('.stage');
  if (!running.has(stage)) running.set(stage, start(parentElement));
  running.get(stage)(data, setStateValue);
}
"""

_component = st.components.v2.component("playground_crop", html=_HTML, css=_CSS, js=_JS)


def _nothing() -> None:
    """A state needs a callback to exist; the returned value says all."""


def remember(image_id: str, box: Box | None) -> None:
    """Set the box of a photo from outside, as a button or a link does (None: forget it)."""
    boxes: dict[str, Box] = st.session_state.setdefault("boxes", {})
    if box is None:
        boxes.pop(image_id, None)
    else:
        boxes[image_id] = box
    st.session_state["crop_turn"] = st.session_state.get("crop_turn", 0) + 1


def remembered(image_id: str) -> Box | None:
    """The box that was last chosen for the photo."""
    boxes: dict[str, Box] = st.session_state.setdefault("boxes", {})
    return boxes.get(image_id)


def pick_region(photo: RGB, image_id: str, default: Box | None, high: int = 400) -> Box | None:
    """Draw the photo with its box and return the chosen box, None for the whole photo.

    Args:
        photo: the upright photo.
        image_id: the same photo has the same id, in every session.
        default: the box to begin with, None for the whole photo.
        high: px on the screen at most.
    """
    size = (photo.shape[1], photo.shape[0])
    everything = region.whole(size)
    if min(size) < TOO_SMALL:
        st.image(backend.picture_url(photo, 120), width=120)
        st.caption("This photo is too small to crop; all of it is searched.")
        return None
    turn = int(st.session_state.get("crop_turn", 0))
    box = region.clip(remembered(image_id) or default or everything, size) or everything
    data = {
        "photo": image_id,
        "src": backend.photo_url(image_id, photo, SENT_SIDE),
        "alt": "The photo that is cropped",
        "size": size,
        "box": box,
        "turn": turn,
        "least": region.MIN_SIDE,
        "high": high,
    }
    sent = _drawn(data)
    if sent is not None and sent.get("photo") == image_id and sent.get("turn") == turn:
        drawn = region.of_browser(sent.get("box"), size)
        if drawn is not None:
            box = st.session_state["boxes"][image_id] = drawn
    return None if box == everything else box


def _drawn(data: dict[str, Any]) -> Mapping[str, Any] | None:
    """Mount the component; what the browser sent last, None before it has sent anything."""
    sent = _component(key="crop", data=data, default={"box": None}, on_box_change=_nothing).box
    return sent if isinstance(sent, Mapping) else None
