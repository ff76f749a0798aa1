"""The photos beside the map: what was drawn around on it, within the filter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pages.embedding import map as embedding_map
from pages.parts import backend, details, thumbnails
from pages.parts.gallery import gallery
from pages.parts.text import photos as count_photos

if TYPE_CHECKING:
    from data.store import Collection
    from indexing.base import Ints
    from pages.parts.inside_data import Case

_SHOWN = 60  # photos that are drawn


def show(
    collection: Collection,
    case: Case,
    picked: list[int],
    neighbours: Ints,
    by: str,
    only: list[str],
) -> None:
    """The photos of the map's selection and the filter; without either, the query's nearest."""
    positions, words = chosen(case, picked, neighbours, by, only)
    shown = [collection.photos[position] for position in positions]
    st.markdown(f"**{count_photos(len(shown))}**: {words}")
    items = [
        (one.id, thumbnails.url(collection, one), backend.caption(collection, one))
        for one in shown[:_SHOWN]
    ]
    with st.container(height=embedding_map.HEIGHT, border=False, key="em_beside"):
        clicked = gallery(items, "em_selected", "Photos of the map")
        if len(shown) > _SHOWN:
            st.caption(f"The first {_SHOWN} are shown.")
    by_id = {one.id: one for one in shown}
    if clicked in by_id:
        details.show_photo(collection, by_id[clicked])


def chosen(
    case: Case, picked: list[int], neighbours: Ints, by: str, only: list[str]
) -> tuple[list[int], str]:
    """(positions of the photos beside the map, what they are)."""
    count = len(case.collection.photos)
    wanted = set(only)

    def passes(position: int) -> bool:
        return not wanted or embedding_map.group_of(case, position, by) in wanted

    of_filter = " of the chosen groups" if wanted else ""
    if picked:
        found = [one for one in picked if one < count and passes(one)]
        return found, f"selected on the map{of_filter}; click one to see it, or to search with it"
    if wanted:
        return [one for one in range(count) if passes(one)], "of the chosen groups"
    return [int(one) for one in neighbours], "nearest to the query. Draw around others on the map."
