"""The parts of the Collections page: photos, what is built, import, changes."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from data import store
from data.errors import PlaygroundError
from pages.parts import backend, building, choices, details, fetching, state
from pages.parts.compare import size
from pages.parts.gallery import gallery
from pages.parts.text import photos as count_of
from pages.parts.text import plain

if TYPE_CHECKING:
    from data.store import Collection
    from indexing.status import ExtractorStatus

_PER_PAGE = 48
_ALL = "All landmarks"
_STATES = {
    "ready": "ready",
    "stale": "out of date",
    "missing": "not built",
    "building": "building",
}
_ZIP, _FOLDER, _GLR, _DEMO = "Zip file", "Folder", "GLR21 / GLDv2", "Demo"
_FETCH = "Download GLDv2"


def show(beside: DeltaGenerator) -> None:
    """The whole page; the choice of the collection goes ``beside`` its title."""
    fetching.progress_strip()
    names = backend.collection_names()
    _told()
    if not names:
        st.info("There is no collection yet. Import one here.")
        _import(None)
        return
    with beside:
        name = choices.collection_of(names, key="c_collection")
    _overview(names)
    collection = backend.collection(name)
    building.progress_strip(name, detailed=True)
    photos, built, importing, change = st.tabs(["Photos", "Built", "Import", "Change"])
    with photos, backend.guard("show the photos"):
        _photos(collection)
    with built, backend.guard("show what is built"):
        _built(name)
    with importing, backend.guard("import"):
        _import(names)
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


def _tell(kind: str, text: str) -> None:
    st.session_state.setdefault("told", []).append((kind, text))


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
                    "Licence": one.licence or "unknown",
                }
            )
    st.dataframe(lines, hide_index=True, width="stretch")


def _photos(collection: Collection) -> None:
    if collection.description:
        st.markdown(plain(collection.description))
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
            backend.thumbnail_url(collection, p),
            backend.caption(collection, p),
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
                after=lambda: st.switch_page("pages/search.py"),
            )


def _built(name: str) -> None:
    found = backend.statuses(name)
    lines: list[dict[str, Any]] = []
    for one in found:
        lines.append(
            {
                "Extractor": backend.title(one.extractor),
                "What": "descriptors",
                "State": _STATES.get(one.state, one.state),
                "Size": size(one.bytes) if one.bytes else "–",
                "Bytes / vector": None,
                "Seconds": one.extract_s,
                "Vectors": one.n or None,
                "Weights": one.weights,
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
                    "Bytes / vector": index.bytes_per_vector,
                    "Seconds": index.build_s,
                    "Vectors": None,
                    "Weights": "",
                    "Note": " ".join(str(note) for note in index.notes or ()),
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
            "Bytes / vector": st.column_config.NumberColumn(format="%.0f"),
        },
    )
    running = backend.running_job(name)
    st.subheader("Build", anchor=False)
    _build_form(name, found, running is not None)


def _build_form(name: str, found: Sequence[ExtractorStatus], running: bool) -> None:
    every = backend.extractor_names()
    lacking = [
        one.extractor
        for one in found
        if one.extractor in every and one.state in ("missing", "stale")
    ]
    state.seed("b_extractors", lacking or every)
    extractors = st.pills(
        "Extractors",
        every,
        selection_mode="multi",
        format_func=backend.title,
        key="b_extractors",
    )
    state.seed("b_indexes", list(backend.BASIC_INDEXES))
    indexes = st.pills(
        "Index types",
        list(backend.BASIC_INDEXES),
        selection_mode="multi",
        format_func=backend.title,
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


def _import(names: list[str] | None) -> None:
    st.markdown(
        "A folder or zip with **one sub-folder per landmark** gives labelled photos. "
        "Photos without sub-folders work too; then results are neither right nor wrong."
    )
    kind = st.segmented_control(
        "From",
        [_ZIP, _FOLDER, _GLR, _FETCH, _DEMO],
        default=_ZIP,
        required=True,
        key="i_kind",
        label_visibility="collapsed",
    )
    if kind == _DEMO:
        _import_demo(names or [])
        return
    if kind == _FETCH:
        fetching.form()
        return
    with st.form("import_form", border=True, width=760):
        name = st.text_input(
            "Name", key="i_name", max_chars=100, help="A-Z, a-z, 0-9, dot, underscore, hyphen"
        )
        title = st.text_input("Title (optional)", key="i_title", max_chars=200)
        make = _FIELDS[kind]()
        add = st.checkbox(
            "Add to the collection of this name, if there is one",
            key="i_add",
            help="Otherwise a name that is taken is refused. Photos with equal ids are replaced.",
        )
        if not st.form_submit_button("Import", type="primary"):
            return
    try:
        with tempfile.TemporaryDirectory() as scratch:
            source = make(Path(scratch))
            if source is None:
                return
            if not name.strip():
                raise PlaygroundError("The collection needs a name, such as my-city.")
            _run_import(name.strip(), source, title.strip() or None, add)
    except PlaygroundError as error:
        st.error(plain(str(error)))
        return
    st.rerun()


def _zip_fields() -> Any:
    given = st.file_uploader("Zip of photos", type=["zip"], key="i_zip", max_upload_size=200)

    def make(scratch: Path) -> Any:
        from data.archive import ZipSource

        if given is None:
            raise PlaygroundError("Choose a zip file first.")
        del scratch
        return ZipSource(given.getvalue(), name=given.name)

    return make


def _folder_fields() -> Any:
    path = st.text_input(
        "Folder on this machine", key="i_folder", placeholder="Photos/landmarks", max_chars=1000
    )

    def make(scratch: Path) -> Any:
        from data.folder import FolderSource

        del scratch
        if not path.strip():
            raise PlaygroundError("Give the folder that holds the photos.")
        return FolderSource(path.strip())

    return make


def _glr_fields() -> Any:
    path = st.text_input(
        "Folder of the data set",
        key="i_glr",
        max_chars=1000,
        help="It holds train.csv or index_image_to_landmark.csv and the folders of photos.",
    )
    first, second, third = st.columns(3)
    split = first.selectbox("Split", ["index", "train"], key="i_split")
    landmarks = second.number_input("Landmarks", 1, 100_000, 50, key="i_landmarks")
    seed = third.number_input("Seed", 0, 2**31 - 1, 0, key="i_seed")
    least = first.number_input("Photos each, at least", 1, 10_000, 4, key="i_min")
    most = second.number_input("Photos each, at most", 1, 10_000, 20, key="i_max")

    def make(scratch: Path) -> Any:
        from data.glr21 import Glr21Source

        del scratch
        if not path.strip():
            raise PlaygroundError("Give the folder of the data set.")
        return Glr21Source(
            path.strip(),
            split="train" if split == "train" else "index",
            landmarks=int(landmarks),
            min_photos=int(least),
            max_photos=int(most),
            seed=int(seed),
        )

    return make


_FIELDS = {_ZIP: _zip_fields, _FOLDER: _folder_fields, _GLR: _glr_fields}


def _import_demo(names: Sequence[str]) -> None:
    st.markdown("The landmarks that come with the playground, rendered by the project itself.")
    if "demo" in names:
        st.caption("The demo is here already. Deleted, it can be imported again from this place.")
        return
    if st.button("Import the demo", type="primary", key="import_demo"):
        from data import demo

        with st.spinner("Importing …"):
            demo.ensure_demo()
        _tell("ok", "The demo is back. Build it in the tab Built.")
        state.update(collection="demo", query=None, box=None)
        st.session_state.pop("c_collection", None)
        st.rerun()


def _run_import(name: str, source: Any, title: str | None, add: bool) -> None:
    bar = st.progress(0.0, text="Reading …")

    def progress(done: int, total: int, text: str) -> None:
        count = f"{done} of {total} photos" if total else f"{done} photos"
        bar.progress(min(1.0, done / total) if total else 0.0, text=f"{count}: {plain(text)}")

    on_exists: store.OnExists = "add" if add else "refuse"
    report = store.import_collection(
        name, source, title=title, progress=progress, on_exists=on_exists
    )
    bar.empty()
    done = [f"{count_of(report.added)} imported"]
    if report.unchanged:
        done.append(f"{report.unchanged} unchanged")
    if report.replaced:
        done.append(f"{report.replaced} replaced")
    _tell("ok", f"{plain(name)}: {', '.join(done)}. Next: build it in the tab Built.")
    st.session_state["skipped"] = report.skipped
    state.update(collection=name, query=None, box=None)
    st.session_state.pop("c_collection", None)


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
                store.remove(name, ids)
                _tell("ok", f"{count_of(len(ids))} removed. Build again to bring it up to date.")
                st.rerun()
        if st.button("Keep", key="remove_keep"):
            st.rerun()


@st.dialog("Delete the collection?")
def _confirm_delete(name: str) -> None:
    st.markdown(f"This deletes **{plain(name)}** with everything that was built from it.")
    typed = st.text_input("Type its name to be sure", key="delete_name")
    with st.container(horizontal=True):
        if st.button("Delete", type="primary", key="delete_sure", disabled=typed != name):
            with backend.guard("delete the collection"):
                store.delete(name)
                state.update(collection=None, query=None, box=None)
                for key in ("c_collection", "w_collection"):
                    st.session_state.pop(key, None)
                _tell("ok", f"{plain(name)} was deleted.")
                st.rerun()
        if st.button("Keep", key="delete_keep"):
            st.rerun()
