"""The session's query on other pages than Search: its crop, and a place to change it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import streamlit as st

from data.base import Box
from pages.parts import backend, cropper, query, region, state
from pages.parts.text import plain

if TYPE_CHECKING:
    from data.store import Collection

_WIDE, _HIGH = 180, 118  # px, the crop's picture at most


@dataclasses.dataclass(frozen=True)
class Asked:
    """The query with its region; ``box`` is None for the whole photo."""

    query: query.Query
    box: Box | None

    @property
    def key(self) -> str:
        """Identifies what is searched."""
        return f"{self.query.image_id}:{self.box}"


def box_of(chosen: query.Query) -> Box | None:
    """The region that was last drawn for the photo, else its own; None for all of it."""
    box = cropper.remembered(chosen.image_id) or chosen.default_box
    clipped = region.clip(box, chosen.size) if box is not None else None
    return None if clipped == region.whole(chosen.size) else clipped


def picture(collection: Collection) -> Asked | None:
    """Show the crop that is searched, with a switch for ``change``; None without a query."""
    chosen = query.current(collection)
    if not st.session_state.get("in_change"):  # the picker says it, too
        state.warn("query")
    if chosen is None:
        st.info("There is no query yet. Choose one.")
        st.toggle("Change the query", key="in_change", value=True)
        return None
    box = box_of(chosen)
    x0, y0, x1, y1 = box or region.whole(chosen.size)
    crop = chosen.pixels[y0:y1, x0:x1]
    width = min(_WIDE, round(_HIGH * crop.shape[1] / crop.shape[0]))
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.image(backend.picture_url(crop, 360), width=max(40, width), alt="The query's region")
        with st.container(width=190, gap="xsmall"):
            st.caption(f"Query: **{plain(chosen.name)}**, {region.describe(box, chosen.size)}")
            st.toggle("Change the query", key="in_change")
    return Asked(chosen, box)


def change(collection: Collection) -> None:
    """The Search page's picker and cropper, while the switch is on."""
    if not st.session_state.get("in_change"):
        return
    with st.container(border=True, key="in_changing"):
        left, right = st.columns(2, gap="large")
        before = query.current(collection)
        seen = (before.image_id, box_of(before)) if before is not None else None
        with left:
            chosen = query.choose(collection)
        if chosen is None:
            return
        with right:
            box = cropper.pick_region(chosen.pixels, chosen.image_id, chosen.default_box)
        state.update(box=box or "whole")
        if seen != (chosen.image_id, box):
            st.rerun()  # the crop above was drawn from what was chosen before
