"""Choose a region of a photo with streamlit-cropper, around its traps.

What streamlit-cropper 0.3.1 needs, and where it is done here:

* it ignores EXIF orientation and keeps odd modes: it only ever gets upright RGB (``data.photos``);
* its canvas has a fixed size in px: the photo is shrunk to the measured width of the column;
* its own resizing rounds twice and costs time in every run: ``should_resize_image=False``, and
  the scaling is ours (``region.py``);
* the same key with another photo keeps the old picture, and another width of the page throws the
  box back to its first place without telling Python: the key names photo, width and a counter,
  so that it is mounted anew, with the box we remember;
* giving the box back as ``default_coords`` shrinks it: they are frozen for the life of a key;
* its state is lost when it is not drawn: the boxes are kept here, by photo;
* right after mounting, its rounded box is ours in other numbers: only a moved box counts.
"""

from __future__ import annotations

from typing import Any

import cv2
import streamlit as st
from PIL import Image
from streamlit_cropper import st_cropper

from data.base import Box
from extractors.base import RGB
from pages.parts import backend, region

MAX_WIDTH, MAX_HEIGHT = 600, 400  # px on the screen
TOO_SMALL = 24  # px; there is nothing to crop in a smaller photo

_WIDTH_JS = """
export default function ({ parentElement, setStateValue }) {
  const line = parentElement.querySelector('.line');
  const tell = () => {
    const width = Math.floor(line.getBoundingClientRect().width);
    if (width > 0 && line.dataset.told !== String(width)) {
      line.dataset.told = width;
      setStateValue('width', width);
    }
  };
  let timer = null;
  const later = () => { clearTimeout(timer); timer = setTimeout(tell, 200); };
  const watch = new ResizeObserver(later);
  watch.observe(line);
  return () => { clearTimeout(timer); watch.disconnect(); };
}
"""

_width = st.components.v2.component(
    "playground_width",
    html='<div class="line"></div>',
    css=".line { width: 100%; height: 0; }",
    js=_WIDTH_JS,
)


def _nothing() -> None:
    """A state needs a callback to exist; the returned value says all."""


def column_width(key: str) -> int | None:
    """Width in px of the column this is called in; None until the browser has told."""
    told = _width(key=key, on_width_change=_nothing, height=1).width
    if told:
        st.session_state["column_width"] = int(told)
    known: int | None = st.session_state.get("column_width")
    return known


def remember(image_id: str, box: Box | None) -> None:
    """Set the box of a photo from outside, as a button or a link does (None: forget it)."""
    boxes: dict[str, Box] = st.session_state.setdefault("boxes", {})
    if box is None:
        boxes.pop(image_id, None)
    else:
        boxes[image_id] = box
    st.session_state["crop_counter"] = st.session_state.get("crop_counter", 0) + 1


def remembered(image_id: str) -> Box | None:
    """The box that was last chosen for the photo."""
    boxes: dict[str, Box] = st.session_state.setdefault("boxes", {})
    return boxes.get(image_id)


def pick_region(photo: RGB, image_id: str, default: Box | None, width: int | None) -> Box | None:
    """Draw the cropper and return the chosen box, None for the whole photo.

    Args:
        photo: the upright photo.
        image_id: the same photo has the same id, in every session.
        default: the box to begin with, None for the whole photo.
        width: px that the column offers; None shows the photo alone, until it is known.
    """
    size = (photo.shape[1], photo.shape[0])
    everything = region.whole(size)
    if min(size) < TOO_SMALL:
        st.image(backend.picture_url(photo, 120), width=120)
        st.caption("This photo is too small to crop; all of it is searched.")
        return None
    box = remembered(image_id) or default or everything
    box = region.clip(box, size) or everything

    if width is None:
        st.image(backend.picture_url(photo, MAX_WIDTH), width="stretch")
        return None if box == everything else box

    shown = region.fit(size, min(MAX_WIDTH, max(160, width - 4)), MAX_HEIGHT)
    key = f"crop-{image_id}-{shown[0]}-{st.session_state.get('crop_counter', 0)}"
    frozen: dict[str, tuple[Box, tuple[int, int, int, int]]]
    frozen = st.session_state.setdefault("crop_frozen", {})
    if key not in st.session_state or key not in frozen:  # it is mounted, or mounted again
        frozen.clear()
        frozen[key] = (box, region.to_display(box, size, shown))
    first_box, coords = frozen[key]
    rect: dict[str, Any] = st_cropper(
        _picture(photo, shown),
        should_resize_image=False,
        return_type="box",
        realtime_update=True,
        default_coords=coords,
        box_color="#2457d6",
        stroke_width=3,
        key=key,
    )
    left, right, top, bottom = coords
    first = {"left": left, "top": top, "width": right - left, "height": bottom - top}
    if all(abs(float(rect[side]) - value) < 0.75 for side, value in first.items()):
        chosen = first_box
    else:
        chosen = region.from_display(rect, size, shown) or box
    st.session_state["boxes"][image_id] = chosen
    return None if chosen == everything else chosen


def _picture(photo: RGB, shown: region.Size) -> Image.Image:
    shrinks = shown[0] < photo.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return Image.fromarray(cv2.resize(photo, shown, interpolation=how))
