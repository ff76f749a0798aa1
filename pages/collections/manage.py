"""The parts of the Collections page: photos, what is built, changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from data import changing, permission
from data.gldv2 import download
from extractors import registry as extractor_registry
from indexing import registry as index_registry
from indexing.artefacts import drop_held
from pages.collections import fetching, importing
from pages.parts import backend, building, choices, classroom, details, state, thumbnails
from pages.parts.compare import size
from pages.parts.gallery import gallery
from pages.parts.text import photos as count_of
from pages.parts.text import plain

if TYPE_CHECKING:
    from data.store import Collection
    from indexing.status import ExtractorStatus

_PER_PAGE = 48
_ALL = "All landmarks"
_IMPORTED = extractor_registry.IMPORTED
_STATES = {
    "ready": "ready",
    "stale": "out of date",
    "damaged": "damaged",
    "missing": "not built",
    "building": "building",
}


def show(beside: DeltaGenerator) -> None:
    """The whole page; the choice of the collection goes ``beside`` its title."""
    classroom.door()
    fetching.progress_strip()
    names = backend.collection_names()
    _told()
    _leftovers()
    if not names:
        st.info("There is no collection yet. Import one here.")
        importing.choose([])
        return
    with beside:
        name = choices.collection_of(names, key="c_collection")
    _overview(names)
    collection = backend.collection(name)
    if st.button(f"Search in {plain(collection.title or name)}", key="c_search"):
        state.update(collection=name, query=None, box=None)
        st.switch_page("pages/search/page.py")
    seen = building.look(name)
    building.progress_strip(seen, detailed=True)
    mine = permission.allowed()
    photos, built, *rest = st.tabs(["Photos", "Built", *(["Import", "Change"] if mine else [])])
    with photos, backend.guard("show the photos"):
        _photos(collection)
    with built, backend.guard("show what is built"):
        _built(seen)
    if not rest:
        return
    more, change = rest
    with more, backend.guard("import"):
        importing.choose(names)
    with change, backend.guard("change the collection"):
        _change(collection)


def _told() -> None:
    """What the last action had to say; it survives the rerun that follows it."""
    for kind, text in st.session_state.pop("told", []):
        (st.success if kind == "ok" else st.error)(text)
    skipped = st.session_state.get("skipped")
    if skipped:
        with st.expander(f"{len(skipped)} files were not imported", expanded=True):
            st.dataframe(
                [{"File": one.file, "Why": one.reason} for one in skipped],
                hide_index=True,
                width="stretch",
                height=min(320, 38 + 35 * len(skipped)),
                column_config={
                    "File": st.column_config.TextColumn(width="medium"),
                    "Why": st.column_config.TextColumn(width="large"),
                },
            )
            if st.button("Close the list"):
                del st.session_state["skipped"]
                st.rerun()


def _leftovers() -> None:
    """What imports that were killed have left, each with the button that deletes it."""
    if not permission.allowed():
        return
    with backend.guard("look for what killed imports left"):
        for name in changing.leftovers():
            with st.container(horizontal=True, vertical_alignment="center", key=f"left-{name}"):
                st.warning(
                    f"An import of {plain(name)} was stopped before it was done. Import it again "
                    f"under this name, which goes on from what is there, or delete that."
                )
                if st.button("Delete", key=f"left_delete-{name}"):
                    changing.delete(name)
                    importing.tell("ok", f"What was left of {plain(name)} was deleted.")
                    st.rerun()


def _overview(names: Sequence[str]) -> None:
    lines = []
    for name in names:
        with backend.guard(f"read the collection {name}"):
            one = backend.collection(name)
            lines.append(
                {
                    "Name": one.name,
                    "Title": one.title,
                    "Photos": len(one.photos),
                    "Landmarks": len(one.labels),
                    "Query photos": len(one.queries),
                    "Size": size(sum(photo.size for photo in one.photos) or None),
                    "State": "partial" if missing_of(one) else "",
                    "Licence": one.licence or "unknown",
                }
            )
    st.dataframe(lines, hide_index=True, width="stretch")


def missing_of(collection: Collection) -> str:
    """What of a published data set is not here, in words; empty where nothing is missing."""
    parts = []
    for source in collection.sources:
        if "partial" in source:
            missing, expected = source["partial"], source["expected"]
            parts.append(
                f"{missing['photos_missing']:,} of {expected['photos']:,} photos and "
                f"{missing['queries_missing']:,} of {expected['queries']:,} queries of "
                f"{source['kind']}"
            )
    return "; ".join(parts)


def _photos(collection: Collection) -> None:
    if collection.description:
        st.markdown(plain(collection.description))
    missing = missing_of(collection)
    if missing:
        st.warning(
            f"Partial data set: {plain(missing)} are missing. Its results are marked partial, and "
            f"cannot be compared with published ones."
        )
    photos = list(collection.photos)
    options = [_ALL, *collection.labels] + (["Query photos"] if collection.queries else [])
    if st.session_state.get("c_landmark", _ALL) not in options:
        del st.session_state["c_landmark"]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        landmark = st.selectbox(
            "Show",
            options,
            format_func=lambda label: collection.titles.get(label, label),
            key="c_landmark",
            width=340,
        )
        if landmark == "Query photos":
            photos = list(collection.queries)
        elif landmark != _ALL:
            photos = [p for p in photos if p.label == landmark]
        pages = max(1, -(-len(photos) // _PER_PAGE))
        if st.session_state.get("c_page", 1) > pages:
            del st.session_state["c_page"]
        page = st.pagination(pages, key="c_page", max_visible_pages=7) if pages > 1 else 1
    st.caption(f"{count_of(len(photos))}. Click one for its details.")
    shown = photos[(page - 1) * _PER_PAGE : page * _PER_PAGE]
    items = [
        (
            p.id,
            thumbnails.url(collection, p),
            backend.marked(collection, p),
        )
        for p in shown
    ]
    picked = gallery(items, "c_gallery", "Photos of the collection")
    if picked is not None:
        photo = next((p for p in shown if p.id == picked), None)
        if photo is not None:
            details.show_photo(
                collection,
                photo,
                after=lambda: st.switch_page("pages/search/page.py"),
            )


def _built(seen: building.Look) -> None:
    from extractors.weights import source_words

    found = seen.found
    lines: list[dict[str, Any]] = []
    for one in found:
        lines.append(
            {
                "Extractor": backend.title(one.extractor),
                "What": "descriptors",
                "State": _STATES.get(one.state, one.state),
                "Size": size(one.bytes) if one.bytes else "–",
                "Bytes / photo": None,
                "Seconds": one.extract_s,
                "Vectors": one.n or None,
                "Weights": source_words(one.weights),
                "Note": "" if one.state == "missing" else one.message,
            }
        )
        for index in one.indexes:
            lines.append(
                {
                    "Extractor": backend.title(one.extractor),
                    "What": backend.title(index.index),
                    "State": _STATES.get(index.state, index.state),
                    "Size": size(index.bytes) if index.bytes else "–",
                    "Bytes / photo": index.bytes_per_photo,
                    "Seconds": index.build_s,
                    "Vectors": None,
                    "Weights": "",
                    "Note": index.message or " ".join(str(note) for note in index.notes or ()),
                }
            )
    st.dataframe(
        lines,
        hide_index=True,
        width="stretch",
        placeholder="–",
        height=min(38 + 35 * max(1, len(lines)), 460) + 2,
        column_config={
            "Extractor": st.column_config.TextColumn(pinned=True, width=110),
            "Seconds": st.column_config.NumberColumn(
                format="%.2f", help="Extracting all photos, or building the index"
            ),
            "Bytes / photo": st.column_config.NumberColumn(format="%.0f"),
        },
    )
    if not permission.allowed():
        return
    _mend(seen)
    st.subheader("Build", anchor=False)
    _build_form(seen.name, found, seen.job is not None)


def _mend(seen: building.Look) -> None:
    """What is damaged, with the button that makes it again."""
    damaged = [one.message for one in seen.found if one.state == "damaged"]
    for one in seen.found:
        damaged += [index.message for index in one.indexes if index.state == "damaged"]
    if not damaged:
        return
    st.error("  \n".join(map(plain, damaged)))
    if st.button(
        "Build what is damaged again",
        type="primary",
        key="mend",
        disabled=seen.job is not None,
        help="Everything is verified by its SHA-256; what is whole is left as it is.",
    ):
        backend.start_mending(seen.name)
        st.rerun()


def _build_form(name: str, found: Sequence[ExtractorStatus], running: bool) -> None:
    # Imported descriptors are no extractor of the registry; they need indexes all the same.
    own = [one.extractor for one in found if one.extractor.partition(":")[0] in _IMPORTED]
    every = [*extractor_registry.names(), *own]
    lacking = [
        one.extractor
        for one in found
        if one.extractor in every and one.state in ("missing", "stale", "damaged")
    ]
    state.seed("b_extractors", lacking or every)
    extractors = st.pills(
        "Extractors",
        every,
        selection_mode="multi",
        format_func=backend.label,
        key="b_extractors",
    )
    state.seed("b_indexes", index_registry.basic())
    indexes = st.pills(
        "Index types",
        index_registry.offered(),
        selection_mode="multi",
        format_func=backend.label,
        key="b_indexes",
    )
    spec = st.text_input(
        "A FAISS factory string, if you want one more",
        key="b_factory",
        placeholder="HNSW32 or OPQ16_64,IVF256,PQ16",
        max_chars=120,
        width=340,
    ).strip()
    force = st.checkbox("Build again what is up to date", key="b_force")
    wanted = [*indexes, *([f"factory:{spec.removeprefix('factory:')}"] if spec else [])]
    if st.button(
        "Build",
        type="primary",
        key="build",
        disabled=running or not extractors or not wanted,
        help="It runs in a process of its own; the pages answer all along.",
    ):
        backend.start_build(name, list(extractors), wanted, force=force)
        st.rerun()
    if running:
        st.caption("A build is running; another one can start when it has ended.")


def _change(collection: Collection) -> None:
    st.subheader("Remove photos", anchor=False)
    ids = [photo.id for photo in collection.photos]
    labels = {photo.id: backend.caption(collection, photo) for photo in collection.photos}
    chosen = st.multiselect(
        "Photos",
        ids,
        format_func=lambda one: f"{one} ({labels[one]})",
        key=f"r_photos-{collection.fingerprint[:12]}",
        placeholder="Type a part of an id or a landmark",
    )
    if st.button("Remove from the collection", disabled=not chosen, key="remove"):
        _confirm_remove(collection.name, list(chosen))
    st.caption("The files themselves stay where they are. Build again afterwards: it is quick.")
    st.subheader("Delete the collection", anchor=False)
    st.caption(
        "Its list, thumbnails, descriptors and indexes are deleted. "
        + ("The demo can be imported again." if collection.name == "demo" else "")
    )
    if st.button("Delete the collection", key="delete"):
        _confirm_delete(collection.name)


@st.dialog("Remove photos?")
def _confirm_remove(name: str, ids: list[str]) -> None:
    st.markdown(f"{count_of(len(ids))} of **{plain(name)}** will be removed.")
    with st.container(horizontal=True):
        if st.button("Remove", type="primary", key="remove_sure"):
            with backend.guard("remove the photos"):
                changing.remove(name, ids)
                importing.tell(
                    "ok", f"{count_of(len(ids))} removed. Build again to bring it up to date."
                )
                st.rerun()
        if st.button("Keep", key="remove_keep"):
            st.rerun()


@st.dialog("Delete the collection?")
def _confirm_delete(name: str) -> None:
    st.markdown(f"This deletes **{plain(name)}** with everything that was built from it.")
    downloaded = download.downloaded(name)
    photos_too = False
    if downloaded is not None:
        photos_too = st.checkbox("Delete its downloaded photos, too", key="delete_downloaded")
        st.caption(f"They lie in {plain(str(downloaded))}. Kept, they need not be fetched again.")
    typed = st.text_input("Type its name to be sure", key="delete_name")
    with st.container(horizontal=True):
        if st.button("Delete", type="primary", key="delete_sure", disabled=typed != name):
            with backend.guard("delete the collection"):
                changing.delete(name, drop_held)
                if photos_too:
                    download.delete_downloaded(name)
                state.update(collection=None, query=None, box=None)
                for key in ("c_collection", "w_collection"):
                    st.session_state.pop(key, None)
                gone = " with its downloaded photos" if photos_too else ""
                importing.tell("ok", f"{plain(name)} was deleted{gone}.")
                st.rerun()
        if st.button("Keep", key="delete_keep"):
            st.rerun()
