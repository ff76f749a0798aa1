"""What the pages ask of the other packages, cached for all sessions, and how errors are shown.

Heavy modules (torch, FAISS, OpenVINO) are imported where they are first needed, so that a page
appears at once. Nothing that ``st.cache_resource`` shares is ever changed.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import logging
import shlex
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import streamlit as st
from streamlit import runtime
from streamlit.errors import StreamlitDuplicateElementKey

from data import artefact, decoding, permission, store
from data import photos as photo_files
from data.base import Photo
from data.errors import PlaygroundError
from data.paths import check_name, collections_root, vectors_root
from extractors import registry as extractor_registry
from extractors.base import RGB
from indexing import jobs as background
from indexing import registry as index_registry
from pages.parts.text import plain
from retrieval.cache import Cache
from retrieval.rerank import registry as rerank_registry

if TYPE_CHECKING:
    from data.store import Collection
    from evaluation.rows import Row
    from indexing.status import ExtractorStatus
    from retrieval.engine import IndexStats, SearchEngine

log = logging.getLogger("playground")

UPLOAD_SIDE = 2000  # px; a larger upload is shrunk, so that a session stays small
_BUILD_FLAGS = {"--collection", "--extractors", "--indexes"}


@contextlib.contextmanager
def guard(what: str = "show this") -> Iterator[None]:
    """Turn every error into a sentence on the page; details of our own defects go to stderr."""
    try:
        yield
    except PlaygroundError as error:
        st.error(plain(str(error)))
        offer_build(error)
    except MemoryError:
        log.exception("out of memory")
        st.error(f"There is not enough memory to {what}. Close other programs and try again.")
    except Exception as error:
        # Reruns and stops of Streamlit are no Exception and pass.
        log.exception("failed to %s", what)
        st.error(
            f"Sorry, the playground could not {what}: a defect of ours ({type(error).__name__}). "
            f"The terminal that runs it shows the details. Reload the page to go on."
        )


def offer_build(error: PlaygroundError) -> None:
    """A button that does what the error's command does, where that is a build."""
    wanted = build_of(error.command or "")
    if wanted is None or not permission.allowed():
        return
    key = f"build-{hashlib.sha256((error.command or '').encode()).hexdigest()[:12]}"
    clicked = False
    # Two errors of a page may name the same command: one button is enough.
    with contextlib.suppress(StreamlitDuplicateElementKey):
        clicked = st.button("Build it here", key=key)
    if clicked:
        try:
            start_build(*wanted)
        except PlaygroundError as refused:
            st.error(plain(str(refused)))
        else:
            st.rerun()


def build_of(command: str) -> tuple[str, list[str], list[str]] | None:
    """(collection, extractors, indexes) of a ``scripts.build`` command; None for any other."""
    try:
        words = shlex.split(command)
        given = dict(zip(words[3::2], words[4::2], strict=True))
        if words[:3] != ["python", "-m", "scripts.build"] or set(given) != _BUILD_FLAGS:
            return None
        name = check_name(given["--collection"], "collection")
        extractors = extractor_registry.expand(given["--extractors"])
        return name, extractors, index_registry.expand(given["--indexes"])
    except (ValueError, PlaygroundError):
        return None


def title(name: str) -> str:
    """How an extractor, index or re-ranker is called on a page; a spec keeps its parameters."""
    base, colon, rest = name.partition(":")
    if base == index_registry.FREE_TEXT and rest:
        return rest
    rows = (extractor_registry.ROWS, index_registry.TYPES, rerank_registry.RERANKERS)
    row = next((found[base] for found in rows if base in found), None)
    return f"{row.title if row else base}{' ' + rest if colon else ''}"


def label(name: str) -> str:
    """A title for what reads Markdown, such as pills and badges: specs are typed by people."""
    return plain(title(name))


def chain_title(chain: str) -> str:
    """A chain of re-rankers as it is called on a page; empty for none."""
    return " + ".join(map(title, rerank_registry.chain(chain)))


def row_title(extractor: str, index: str, chain: str = "none") -> str:
    """A recipe as it is called on a page: ``GeM-Siamese · Flat · aqe``."""
    return " · ".join(filter(None, (title(extractor), title(index), chain_title(chain))))


@st.cache_resource(show_spinner=False)
def engine() -> SearchEngine:
    """The one search engine of the process."""
    from retrieval.engine import SearchEngine

    return SearchEngine()


def collection_names() -> list[str]:
    """All collections, the demo first."""
    names = store.list_collections()
    return sorted(names, key=lambda name: (name != "demo", name))


def collection(name: str) -> Collection:
    """The collection in its present state; read again only when its manifest has changed."""
    manifest = artefact.read_manifest(collections_root() / check_name(name, "collection"))
    return _collection(name, str(manifest))


@st.cache_resource(max_entries=16, show_spinner=False)
def _collection(name: str, manifest: str) -> Collection:
    del manifest  # only part of the cache's key
    return store.load(name)


def caption(members: Collection, photo: Photo) -> str:
    """What to call a photo: its landmark in words, else its title, else its id."""
    if photo.label is not None:
        return members.titles.get(photo.label) or photo.title or photo.label
    return photo.title or photo.id


def marked(members: Collection, photo: Photo) -> str:
    """``caption``, with a word where the file is not the one that was imported."""
    words = caption(members, photo)
    return f"{words} (changed since its import)" if members.changed(photo) else words


def statuses(name: str) -> list[ExtractorStatus]:
    """What is built for a collection, cheapest extractor first."""
    from indexing.status import collection_status

    return list(collection_status(name))


def ready_indexes(found: Sequence[ExtractorStatus]) -> dict[str, list[str]]:
    """Extractor -> its index types that can be searched now; extractors without any are absent."""
    ready = {
        one.extractor: [index.index for index in one.indexes if index.state == "ready"]
        for one in found
        if one.current
    }
    return {name: indexes for name, indexes in ready.items() if indexes}


def jobs(name: str | None = None) -> list[background.Job]:
    return list(background.jobs(name))


def running_job(name: str) -> background.Job | None:
    """The build of the collection that is under way, if any."""
    return next((job for job in jobs(name) if job.state == "running"), None)


def start_build(
    name: str, extractors: list[str] | str, indexes: list[str] | str, force: bool = False
) -> background.Job:
    return background.start_build(name, extractors, indexes, force=force)


def start_mending(name: str) -> background.Job:
    """Verify everything that is built for a collection, and build what is damaged again."""
    words = ["scripts.build", "--collection", name, "--check"]
    return background.start(name, "build", words)


def start_download(what: str, arguments: Sequence[str]) -> background.Job:
    """Start ``python -m scripts.download glr21`` in a process of its own."""
    return background.start(what, "download", ["scripts.download", "glr21", *arguments])


def start_evaluation(what: str, arguments: Sequence[str]) -> background.Job:
    """Start ``python -m scripts.evaluate`` in a process of its own."""
    return background.start(what, "evaluation", ["scripts.evaluate", *arguments])


def start_map(name: str, arguments: Sequence[str]) -> background.Job:
    """Start ``python -m scripts.embedding`` in a process of its own."""
    return background.start(f"map:{name}", "map", ["scripts.embedding", *arguments])


def start_tradeoffs(
    what: str, arguments: Sequence[str], benchmark: str = "index"
) -> background.Job:
    """Start ``python -m scripts.benchmark index`` (or ``lab``) in a process of its own."""
    return background.start(what, "measurement", ["scripts.benchmark", benchmark, *arguments])


def evaluations(name: str) -> list[Row]:
    """The kept rows of a collection, of all protocols; read again only when something changed."""
    from evaluation.rows import folder_of

    if not any(folder_of(name).glob("*/*/*/manifest.json")):
        return []
    seen = []
    for folder, pattern in (
        (collections_root() / check_name(name, "collection"), "manifest.json"),
        (folder_of(name), "*/*/*/manifest.json"),
        (vectors_root(name), "*/manifest.json"),
        (vectors_root(name), "*/indexes/*/manifest.json"),
    ):
        for path in sorted(folder.glob(pattern)):
            with contextlib.suppress(OSError):  # replaced at this moment
                seen.append((str(path), path.stat().st_mtime_ns))
    return _evaluations(name, str(seen))


@st.cache_resource(max_entries=8, show_spinner=False)
def _evaluations(name: str, seen: str) -> list[Row]:
    del seen  # only part of the cache's key
    from evaluation.run import load_rows

    return load_rows(name)


def cancel(job_id: str) -> None:
    background.cancel(job_id)


def read_photo(members: Collection, photo: Photo) -> tuple[RGB, float]:
    """A photo of a collection at full size, and the ms it took to decode. Never changed."""
    return _read_photo(photo.sha256, members, photo)


@st.cache_resource(max_entries=6, show_spinner=False)
def _read_photo(sha256: str, _members: Collection, _photo: Photo) -> tuple[RGB, float]:
    del sha256  # the content is the cache's key
    start = time.perf_counter()
    pixels = _members.read(_photo)
    spent = (time.perf_counter() - start) * 1000
    pixels.setflags(write=False)
    return pixels, spent


@st.cache_resource(max_entries=6, show_spinner=False)
def decode_upload(digest: str, _data: bytes) -> tuple[RGB, float]:
    """An uploaded photo, upright RGB, at most UPLOAD_SIDE px long. Never changed."""
    del digest  # only part of the cache's key
    start = time.perf_counter()
    most = photo_files.UPLOAD_PIXELS
    pixels = decoding.decode(_data, max_pixels=most, longer_side=UPLOAD_SIDE)
    spent = (time.perf_counter() - start) * 1000
    pixels.setflags(write=False)
    return pixels, spent


def picture_url(pixels: RGB, longer_side: int) -> str:
    """A picture as a data URL. Streamlit's own media files can vanish when a run is cut short."""
    small = photo_files.make_thumbnail(pixels, longer_side)
    jpeg = photo_files.encode_jpeg(small, quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")


def photo_url(key: str, pixels: RGB, longer_side: int) -> str:
    """The address of a photo's JPEG, which is made once and then served to every session.

    Like any media file of Streamlit it lives as long as a session draws it, so that every run of
    the page has to ask for it again; the address stays the same.

    Args:
        key: the same photo has the same key.
        pixels: (H, W, 3).
    """
    jpeg = _jpegs.get((key, longer_side), lambda: _jpeg(pixels, longer_side))
    if not runtime.exists():
        return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
    path = runtime.get_instance().media_file_mgr.add(jpeg, "image/jpeg", f"photo {key}")
    prefix = str(st.get_option("server.baseUrlPath") or "").strip("/")
    return f"/{prefix}{path}" if prefix else path


_jpegs: Cache[bytes] = Cache(200)


def _jpeg(pixels: RGB, longer_side: int) -> bytes:
    small = photo_files.make_thumbnail(pixels, longer_side)
    return photo_files.encode_jpeg(small, quality=88)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def stats(name: str, extractor: str, index: str) -> IndexStats | None:
    """Figures of a built index; None where they cannot be had, the search itself still counts."""
    try:
        return engine().stats(name, extractor, index)
    except PlaygroundError:
        return None
