"""Bringing photos in: folders, archives, data sets, published benchmarks, descriptors."""

from __future__ import annotations

import inspect
import re
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from data import importing, permission
from data.errors import PlaygroundError
from indexing import registry as index_registry
from pages.collections import fetching
from pages.parts import backend, classroom, state
from pages.parts.text import linked, plain
from pages.parts.text import photos as count_of

if TYPE_CHECKING:
    from data.benchmark import Benchmark
    from indexing.imported import Report

_ZIP, _FOLDER, _GLR, _DEMO = "Zip file", "Folder", "GLR21 / GLDv2", "Demo"
_FETCH, _BENCHMARK, _DESCRIPTORS = "Download GLDv2", "Benchmark", "Descriptors"
_MOST_LISTED = 2000  # missing photos that are listed


def tell(kind: str, text: str) -> None:
    """What an action had to say; ``manage`` shows it after the rerun that follows."""
    st.session_state.setdefault("told", []).append((kind, text))


def choose(names: Sequence[str]) -> None:
    """The choice of a source, and its form.

    Args:
        names: the collections that there are.
    """
    if not permission.allowed():
        st.caption(classroom.VISITORS)
        return
    kind = st.segmented_control(
        "From",
        [_ZIP, _FOLDER, _GLR, _FETCH, _BENCHMARK, _DESCRIPTORS, _DEMO],
        default=_ZIP,
        required=True,
        key="i_kind",
        label_visibility="collapsed",
    )
    if kind == _DEMO:
        _import_demo(names)
    elif kind == _FETCH:
        fetching.form()
    elif kind == _BENCHMARK:
        _benchmark()
    elif kind == _DESCRIPTORS:
        _descriptors(names)
    else:
        _photos(str(kind))


def _photos(kind: str) -> None:
    st.markdown(
        "A folder or zip with **one sub-folder per landmark** gives labelled photos. "
        "Photos without sub-folders work too; then results are neither right nor wrong."
    )
    with st.form("import_form", border=True, width=760):
        title = st.text_input("Title", key="i_title", max_chars=200, placeholder="My city")
        name = st.text_input(
            "Name (optional)",
            key="i_name",
            max_chars=100,
            help="For folders, links and commands: A-Z, a-z, 0-9, dot, underscore, hyphen. Left "
            "empty, it is made from the title.",
        )
        make = _FIELDS[kind]()
        add = st.checkbox(
            "Add to the collection of this name, if there is one",
            key="i_add",
            help="Otherwise a name that is taken is refused. Photos with equal ids are replaced.",
        )
        with st.container(horizontal=True):
            build = st.form_submit_button("Import and build", type="primary")
            alone = st.form_submit_button("Import")
        if not (build or alone):
            return
    with backend.guard("import the photos"):
        source = make()
        chosen = name.strip() or slug(title)
        if not chosen:
            raise PlaygroundError("The collection needs a title or a name, such as My city.")
        _run_import(chosen, source, title.strip() or None, add, build)
        st.rerun()


def slug(title: str) -> str:
    """A name for folders and links from a title: Café à Paris as cafe-a-paris; may be empty."""
    plain_letters = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain_letters.lower()).strip("-")[:60]


def _zip_fields() -> Any:
    given = st.file_uploader("Zip of photos", type=["zip"], key="i_zip", max_upload_size=200)

    def make() -> Any:
        from data.archive import ZipSource

        if given is None:
            raise PlaygroundError("Choose a zip file first.")
        return ZipSource(given.getvalue(), name=given.name)

    return make


def _folder_fields() -> Any:
    path = st.text_input(
        "Folder on this machine", key="i_folder", placeholder="Photos/landmarks", max_chars=1000
    )

    def make() -> Any:
        from data.folder import FolderSource

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

    def make() -> Any:
        from data.glr21 import Glr21Source

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
        tell("ok", "The demo is back. Build it in the tab Built.")
        state.update(collection="demo", query=None, box=None)
        st.session_state.pop("c_collection", None)
        st.rerun()


def _run_import(name: str, source: Any, title: str | None, add: bool, build: bool = False) -> None:
    bar = st.progress(0.0, text="Reading …")

    def progress(done: int, total: int, text: str) -> None:
        count = f"{done} of {total} photos" if total else f"{done} photos"
        bar.progress(min(1.0, done / total) if total else 0.0, text=f"{count}: {plain(text)}")

    on_exists: importing.OnExists = "add" if add else "refuse"
    report = importing.import_collection(
        name, source, title=title, progress=progress, on_exists=on_exists
    )
    bar.empty()
    done = [f"{count_of(report.added)} imported"]
    if report.unchanged:
        done.append(f"{report.unchanged} unchanged")
    if report.replaced:
        done.append(f"{report.replaced} replaced")
    following = "It is being built; each method can be searched as soon as it is ready."
    if build:
        backend.start_build(name, "all", "all")
    else:
        following = "Next: build it in the tab Built."
    tell("ok", f"{plain(name)}: {', '.join(done)}. {following}")
    st.session_state["skipped"] = report.skipped
    state.update(collection=name, query=None, box=None)
    st.session_state.pop("c_collection", None)


# Benchmarks


def _benchmark() -> None:
    """One of the published data sets of the registry, with what must be done by hand."""
    from data.sources.registry import BENCHMARKS

    kind = st.selectbox(
        "Data set",
        list(BENCHMARKS),
        format_func=lambda one: BENCHMARKS[one].title,
        key="bm_kind",
        width=420,
    )
    source = BENCHMARKS[kind]
    st.markdown(plain(source.summary))
    with st.container(border=True, width=760):
        st.markdown(f"**How to get it.** {linked(source.how)}")
        st.caption(f"{plain(source.author.rstrip('.'))}. {plain(source.licence.rstrip('.'))}.")
    with st.form(f"benchmark_form-{kind}", border=True, width=760):
        name = st.text_input("Name", key=f"bm_name-{kind}", max_chars=100, placeholder=kind)
        path = st.text_input(
            "Folder on the machine that runs the playground",
            key=f"bm_path-{kind}",
            max_chars=1000,
            placeholder="the FOLDER above",
        )
        options = {"photos": not _list_alone(kind), **_options(source, kind)}
        add = st.checkbox(
            "Add to the collection of this name, if there is one",
            # Data sets without a protocol of their own exist to be added to one that has.
            value=source.protocol is None,
            key=f"bm_add-{kind}",
        )
        with st.container(horizontal=True):
            wanted = st.form_submit_button("Import", type="primary")
            look = st.form_submit_button("See what is missing")
    if not (wanted or look):
        return
    with backend.guard("read the data set"):
        if not path.strip():
            raise PlaygroundError(f"Give the folder of {source.title}.")
        made = source(path.strip(), **options)
        if look:
            _look(made)
            return
        if not name.strip():
            raise PlaygroundError(f"The collection needs a name, such as {kind}.")
        _run_import(name.strip(), made, None, add)
        st.rerun()


def _list_alone(kind: str) -> bool:
    return st.checkbox(
        "The list alone, without photos",
        key=f"bm_list-{kind}",
        help="For descriptors that were computed elsewhere: import them under Descriptors.",
    )


def _options(source: type[Benchmark], kind: str) -> dict[str, Any]:
    """A field for each parameter that a source has besides those of all benchmarks."""
    found = {}
    for name, parameter in inspect.signature(source).parameters.items():
        if name not in ("path", "photos"):
            value = st.number_input(
                name.replace("_", " ").capitalize(),
                min_value=0 if name == "seed" else 1,
                value=parameter.default,
                placeholder="all",
                key=f"bm_{name}-{kind}",
                width=200,
            )
            found[name] = value
    return found


def _look(source: Benchmark) -> None:
    """Which listed photos are not on this disk."""
    listing = source.listing()
    source.root()
    absent = source.absent()
    count = {"photos": len(listing.photos), "queries": len(listing.queries)}
    here = [
        f"{count[kind] - len(absent[kind]):,} of {count[kind]:,} {kind}"
        for kind in count
        if count[kind]
    ]
    st.markdown(f"On this disk: {' and '.join(here)}.")
    missing = [{"Missing": kind, "Name": one} for kind, names in absent.items() for one in names]
    if not missing:
        st.success("Nothing is missing.")
        return
    st.warning(
        "It can be imported as it is; the collection is then marked partial, and so are its "
        "results."
    )
    st.dataframe(missing[:_MOST_LISTED], hide_index=True, width=760, height=300)
    if len(missing) > _MOST_LISTED:
        st.caption(f"The first {_MOST_LISTED:,} of {len(missing):,} are listed.")


# Descriptors


def _descriptors(names: Sequence[str]) -> None:
    """Descriptors that were computed elsewhere, as the output of an extractor."""
    from typing import get_args

    from data.descriptors import Layout

    st.markdown(
        "Descriptors that were computed elsewhere: a **.npy**, **.parquet** or **.mat** file, one "
        "descriptor per photo of a collection. Those of a benchmark may follow its list (import "
        "it first, its list alone if you have no photos); others need a text file with one photo "
        "id per line. A .mat file of the revisited benchmarks holds the queries, too."
    )
    if not names:
        st.info("There is no collection yet to which they could belong.")
        return
    with st.form("descriptors_form", border=True, width=760):
        collection = st.selectbox("Collection", names, key="ds_collection")
        name = st.text_input("Name", key="ds_name", max_chars=100, placeholder="R101-GeM")
        file = _path("File", "ds_file", "FOLDER/roxford5k_resnet_rsfm120k_gem.mat")
        with st.expander("More"):
            more = {
                "ids": _path("File of the photos' ids", "ds_ids"),
                "queries": _path("File of the queries' descriptors", "ds_queries"),
                "query_ids": _path("File of the queries' ids", "ds_query_ids"),
                "distractors": _path("Folder of the distractors' descriptors", "ds_distractors"),
                "key": _path("Variable or column of the photos", "ds_key", "X"),
                "query_key": _path("Variable or column of the queries", "ds_query_key", "Q"),
            }
            layout = st.selectbox("Photos are", get_args(Layout), key="ds_layout")
        *some, last = map(backend.title, index_registry.basic())
        words = f"Build {', '.join(some)} and {last} over them"
        build = st.checkbox(words, value=True, key="ds_build")
        if not st.form_submit_button("Import", type="primary"):
            return
    with backend.guard("import the descriptors"):
        from indexing.imported import import_descriptors

        if not name.strip() or not file:
            raise PlaygroundError("The descriptors need a name, such as R101-GeM, and a file.")
        given = {key: value for key, value in more.items() if value}
        with st.spinner("Reading …"):
            report = import_descriptors(collection, name.strip(), file, layout=layout, **given)
        if build:
            backend.start_build(collection, [report.extractor], index_registry.basic())
        tell("ok", _imported(collection, report))
        state.update(collection=collection, query=None, box=None)
        st.session_state.pop("c_collection", None)
        st.rerun()


def _path(label: str, key: str, placeholder: str = "") -> str:
    return st.text_input(label, key=key, max_chars=1000, placeholder=placeholder).strip()


def _imported(collection: str, report: Report) -> str:
    norms = report.norms
    lengths = "" if norms.unit else f" from lengths {norms.least:.3g} to {norms.greatest:.3g}"
    words = [
        f"{collection}: {count_of(report.photos)} and {report.queries:,} queries have "
        f"descriptors of {report.dim:,} numbers, L2-normalised{lengths}.",
        *report.notes,
    ]
    return plain(" ".join(words))
