"""Choosing the query: a query photo, a photo of the collection, an upload or the camera."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from data import names
from data.base import Box, Photo
from extractors.base import RGB
from pages.parts import backend, cropper, region, state, thumbnails
from pages.parts.gallery import gallery
from pages.parts.text import plain

if TYPE_CHECKING:
    from data.store import Collection

_SOURCES = {
    "query": "Queries",
    "photo": "Collection",
    "upload": "Upload",
    "camera": "Camera",
}
_PER_STRIP = 60  # thumbnails in one strip
_TYPES = sorted(suffix[1:] for suffix in names.PHOTO_SUFFIXES | names.HEIF_SUFFIXES)
ALL = "All landmarks"
# The demo's query that the page begins with: of its 200 the one that sets the three methods of the
# first screen farthest apart. GeM-Siamese finds 11 of 11, DELF 7 and BoVW 1 among the first 12 on
# Flat (2026-11-29); open the page to see it.
_START = "stupa-02_q1"


@dataclasses.dataclass(frozen=True)
class Query:
    """The photo to search with."""

    image_id: str  # the same photo has the same id, in every session
    name: str
    pixels: RGB
    decode_ms: float
    digest: str  # of the file's bytes
    photo: Photo | None  # None for an upload
    own_id: str | None  # its id where it is one of the photos that are searched
    label: str | None

    @property
    def size(self) -> region.Size:
        return (self.pixels.shape[1], self.pixels.shape[0])

    @property
    def default_box(self) -> Box | None:
        return self.photo.box if self.photo is not None else None

    def id_for(self, box: Box | None) -> str | None:
        """The id under which a descriptor of this region may be stored; None for other regions.

        What was imported for a query belongs to its own region alone.
        """
        if self.photo is None or self._region(box) != self._region(self.photo.box):
            return None
        return self.photo.id

    def _region(self, box: Box | None) -> Box:
        everything = region.whole(self.size)
        return everything if box is None else region.clip(box, self.size) or everything


def choose(collection: Collection) -> Query | None:
    """Draw the source control with its picker; the chosen query, None while there is none."""
    _settle(collection)
    settings = state.current()
    options = [source for source in _SOURCES if source != "query" or collection.queries]
    source = settings.source
    state.seed("w_source", source)
    if st.session_state["w_source"] not in options:
        st.session_state["w_source"] = source
    picked = st.segmented_control(
        "Query from",
        options,
        format_func=_SOURCES.__getitem__,
        key="w_source",
        required=True,
        label_visibility="collapsed",
    )
    source = picked or source
    if source != settings.source:
        state.update(source=source, query=None, box=None)
    if source == "upload":
        return _upload(collection)
    if source == "camera":
        return _camera(collection)
    return _from_collection(collection, source)


def _settle(collection: Collection) -> None:
    """Let the settings name a source and a photo that are there, whatever a link asked for."""
    settings = state.current()
    lists = {"query": collection.queries, "photo": collection.photos}
    if settings.source not in lists:
        return
    source = settings.source if settings.source == "photo" or collection.queries else "photo"
    if settings.query is not None:
        known = [name for name in (source, *lists) if _named(lists[name], settings.query)]
        if not known:
            state.mend(
                "query",
                plain(
                    f"There is no photo {settings.query} in this collection; another one is shown."
                ),
                query=None,
                box=None,
                right=(),
                wrong=(),
            )
        else:
            source = known[0]
    if source != settings.source:
        state.mend("query", source=source)
        st.session_state["w_source"] = source


def _named(photos: Sequence[Photo], wanted: str) -> bool:
    return any(photo.id == wanted for photo in photos)


def _from_collection(collection: Collection, source: str) -> Query | None:
    photos: Sequence[Photo] = collection.queries if source == "query" else collection.photos
    if not photos:
        st.info("This collection has no photos yet. Add some on the Collections page.")
        return None
    by_id = {photo.id: photo for photo in photos}
    state.warn("query")
    wanted = state.current().query
    if wanted not in by_id:
        wanted = at_first(photos).id
    place: Any = contextlib.nullcontext()
    if source == "photo":
        offered = _narrow(collection, photos, by_id[wanted])
    else:
        offered = mixed(photos)
        if len(photos) > _PER_STRIP:
            place = st.container()
            offered = _page_of(offered, by_id[wanted], "w_query_page")
    items = [
        (
            photo.id,
            thumbnails.url(collection, photo),
            backend.caption(collection, photo),
        )
        for photo in offered
    ]
    with place:
        picked = gallery(items, f"pick-{source}", "Photos to search with", wanted, strip=True)
    if picked in by_id and picked != wanted:
        wanted = picked
    if wanted != state.current().query:
        # A box that a link brought belongs to the link's query alone.
        state.update(query=wanted, box=None)
        if picked is not None:
            st.rerun()  # so that the strip shows at once which photo is chosen
    query = of_photo(collection, by_id[wanted], source)
    _take_box_of_link(query)
    return query


def at_first(photos: Sequence[Photo]) -> Photo:
    """The photo to begin with."""
    return next((photo for photo in photos if photo.id == _START), photos[0])


def mixed(photos: Sequence[Photo]) -> list[Photo]:
    """The photos with kinds (else landmarks) in turn, so that the first ones show them all."""
    groups: dict[str | None, list[Photo]] = {}
    for photo in photos:
        groups.setdefault(photo.kind or photo.label, []).append(photo)
    rounds = itertools.zip_longest(*groups.values())
    return [photo for one in rounds for photo in one if photo is not None]


def of_photo(collection: Collection, photo: Photo, source: str) -> Query:
    """A query photo ("query") or a photo of the collection ("photo") as the query."""
    pixels, spent = backend.read_photo(collection, photo)
    return Query(
        image_id=f"{collection.name}-{photo.id}-{photo.sha256[:12]}",
        name=backend.caption(collection, photo),
        pixels=pixels,
        decode_ms=spent,
        digest=photo.sha256,
        photo=photo,
        own_id=photo.id if source == "photo" else None,
        label=photo.label,
    )


def current(collection: Collection) -> Query | None:
    """What was last chosen, without drawing a picker; None where it is not at hand any more."""
    _settle(collection)
    settings = state.current()
    if settings.source in ("upload", "camera"):
        kept: tuple[str, bytes] | None = st.session_state.get(f"kept_{settings.source}")
        return of_file(*kept) if kept is not None else None
    source = settings.source
    photos = collection.queries if source == "query" else collection.photos
    photo = next((one for one in photos if one.id == settings.query), None)
    if photo is None:
        if not photos:
            return None
        photo = at_first(photos)
    query = of_photo(collection, photo, source)
    _take_box_of_link(query)
    return query


def of_file(name: str, data: bytes, label: str | None = None) -> Query:
    """An uploaded file as the query."""
    digest = backend.digest(data)
    pixels, spent = backend.decode_upload(digest, data)
    return Query(f"upload-{digest[:16]}", name, pixels, spent, digest, None, None, label)


def _narrow(collection: Collection, photos: Sequence[Photo], chosen: Photo) -> list[Photo]:
    if collection.labels:
        options = [ALL, *collection.labels]
        if st.session_state.get("w_landmark", ALL) not in options:
            del st.session_state["w_landmark"]
        state.seed("w_landmark", chosen.label or ALL)
        landmark = st.selectbox(
            "Landmark",
            options,
            format_func=lambda label: collection.titles.get(label, label),
            key="w_landmark",
            label_visibility="collapsed",
        )
        if landmark != ALL:
            photos = [photo for photo in photos if photo.label == landmark]
    if len(photos) <= _PER_STRIP:
        return list(photos)
    return _page_of(photos, chosen, "w_photo_page")


def _page_of(photos: Sequence[Photo], chosen: Photo, key: str) -> list[Photo]:
    pages = -(-len(photos) // _PER_STRIP)
    if st.session_state.get(key, 1) > pages:
        del st.session_state[key]
    place = next((i for i, photo in enumerate(photos) if photo.id == chosen.id), 0)
    page = st.pagination(pages, default=place // _PER_STRIP + 1, key=key, max_visible_pages=7)
    return list(photos[(page - 1) * _PER_STRIP : page * _PER_STRIP])


def _take_box_of_link(query: Query) -> None:
    """The box that the link named, once, for the query that it named."""
    box = st.session_state.pop("box_of_link", None)
    if box is None or state.current().box is None:
        return
    chosen = region.whole(query.size) if box == "whole" else region.clip(box, query.size)
    if chosen is not None and chosen != cropper.remembered(query.image_id):
        cropper.remember(query.image_id, chosen)


def _upload(collection: Collection) -> Query | None:
    given = st.file_uploader(
        "A photo of yours",
        type=_TYPES,
        max_upload_size=25,
        key="w_upload",
        help="It stays on this machine, in the memory of this session.",
    )
    if given is not None:
        st.session_state["kept_upload"] = (given.name, given.getvalue())
    return _kept("kept_upload", collection, given is not None)


def _camera(collection: Collection) -> Query | None:
    taken = st.camera_input("Take a photo", key="w_camera")
    if taken is not None:
        st.session_state["kept_camera"] = ("camera photo", taken.getvalue())
    return _kept("kept_camera", collection, taken is not None)


def _kept(key: str, collection: Collection, fresh: bool) -> Query | None:
    kept: tuple[str, bytes] | None = st.session_state.get(key)
    if kept is None:
        st.info("Choose a photo to begin. Links cannot carry it: they hold the other settings.")
        return None
    name, data = kept
    if not fresh:
        left, right = st.columns([4, 1], vertical_alignment="center")
        left.caption(f"Still searching with **{plain(name)}**, from before.")
        if right.button("Forget", key=f"forget-{key}"):
            del st.session_state[key]
            st.rerun()
    label = None
    if collection.labels:
        label = st.selectbox(
            "Its landmark, if you know it",
            collection.labels,
            index=None,
            format_func=lambda one: collection.titles.get(one, one),
            key=f"w_label-{backend.digest(data)[:12]}",
            placeholder="Unknown: results are neither right nor wrong",
        )
    return of_file(name, data, label)


def crop_of(query: Query, box: Box | None) -> RGB:
    """The pixels that are searched."""
    x0, y0, x1, y1 = box or region.whole(query.size)
    return query.pixels[y0:y1, x0:x1]
