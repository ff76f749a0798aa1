"""Importing photos as a collection, and adding to one."""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import hashlib
import os
import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from data import artefact, decoding, layout, names, permission, photos
from data.base import Candidate, PackedSource, Photo, Skipped, Source
from data.commands import in_words, without_content
from data.errors import Conflict, Invalid, PlaygroundError
from data.photos import BadPhoto
from data.progress import Progress
from data.store import Collection, exists, load, summary

OnExists = Literal["refuse", "add", "refresh", "replace"]
MAX_FILE_BYTES = 256 << 20  # a photo's file; the whole of it is read at once
_SUFFIX = {"JPEG": ".jpg", "MPO": ".jpg", "TIFF": ".tif"}  # others: the format in lower case


@dataclasses.dataclass(frozen=True)
class Report:
    """What an import did. ``added`` and the rest count photos and queries alike."""

    added: int
    skipped: list[Skipped]
    unchanged: int
    replaced: int = 0  # same id, other bytes or description
    # Files that were taken though something is wrong with them, and what.
    notes: list[Skipped] = dataclasses.field(default_factory=list)


def import_collection(
    name: str,
    source: Source | PackedSource,
    *,
    title: str | None = None,
    progress: Progress | None = None,
    on_exists: OnExists = "refuse",
) -> Report:
    """Import photos as a collection. Bad files are skipped; the report says why.

    Nothing of the collection changes before the end, when everything takes effect at once. An
    import that was killed is simply run again.

    Args:
        name: the collection's name.
        source: where the photos come from (see ``data.base.Source``).
        title: words for people; the source's title or the name where omitted.
        progress: called for every photo.
        on_exists: what to do with a collection of this name. refuse: raise; add: keep its
            photos, replacing equal ids; refresh: the same, but photos imported from the same
            folder that the source no longer offers go; replace: drop its photos.

    Raises:
        PlaygroundError: no photo could be imported, the name is taken or illegal, another
            process is changing the collection, or the disk is full or not writable.
    """
    if on_exists not in get_args(OnExists):
        raise Invalid(f"on_exists is {on_exists!r}. Legal: {', '.join(get_args(OnExists))}.")
    permission.require("import photos")
    folder = layout.folder_of(name)
    if on_exists == "refuse":
        _refuse_existing(name)
    doing = f"Importing the collection {name}"
    packed = isinstance(source, PackedSource)
    if not packed:
        source.root()  # a wrong path should not leave a folder behind
    with artefact.explain_os_errors(doing), artefact.exclusive(folder, doing):
        if on_exists == "refuse":
            _refuse_existing(name)
        old = load(name) if on_exists != "replace" and exists(name) else None
        draft = _Draft(name, folder, source, packed, old, keep_root=on_exists != "refresh")
        started = time.perf_counter()
        try:
            draft.take_all(progress)
        finally:
            shutil.rmtree(folder / layout.INCOMING, ignore_errors=True)
        try:
            draft.save(title, time.perf_counter() - started)
        except PlaygroundError:
            if not exists(name):
                layout.clear(folder)
            raise
    return draft.report()


def add(name: str, source: Source | PackedSource, *, progress: Progress | None = None) -> Report:
    """Add photos to a collection: new ids are added, equal ids with other bytes replaced.

    Raises:
        PlaygroundError: like ``import_collection``, and when there is no such collection.
    """
    load(name)
    return import_collection(name, source, progress=progress, on_exists="add")


def _refuse_existing(name: str) -> None:
    if exists(name):
        raise Conflict(
            f"There is a collection {name!r} already. Choose another name, or say what to do with "
            f"it: --exists add, --exists refresh or --exists replace."
        )


@dataclasses.dataclass(frozen=True)
class _Measured:
    """What a worker found out about a candidate's file."""

    header: photos.Header
    sha256: str
    size: int


class _Draft:
    """The next version of a collection while an import runs."""

    def __init__(
        self,
        name: str,
        folder: Path,
        source: Source | PackedSource,
        packed: bool,
        old: Collection | None,
        keep_root: bool,
    ) -> None:
        self._name, self._folder, self._source, self._packed = name, folder, source, packed
        self._header = summary(name) if old is not None else layout.new_header()
        own = {"base": "collection", "path": layout.COPIES}
        root = own if packed else layout.describe_root(source.root())
        if root not in self._header["roots"]:
            self._header["roots"].append(root)
        self._root = self._header["roots"].index(root)
        self._old = old
        kept = [*old.photos, *old.queries] if old is not None else []
        # What was there is looked up in _before; what will be there is collected in _after.
        self._before: dict[str, Photo] = {photo.id: photo for photo in kept}
        self._after = {p.id: p for p in kept if keep_root or p.root != self._root}
        self._is_query = {query.id for query in old.queries} if old is not None else set()
        self._seen: set[str] = set()
        self._skipped: list[Skipped] = []
        self._notes: list[Skipped] = []
        self._added = self._unchanged = self._replaced = 0

    def take_all(self, progress: Progress | None) -> None:
        """Measure every candidate in a few threads, and take the results in order."""
        incoming = self._folder / layout.INCOMING
        shutil.rmtree(incoming, ignore_errors=True)
        if isinstance(self._source, PackedSource):
            incoming.mkdir()
            candidates = self._source.unpack(incoming)
        else:
            candidates = self._source.candidates()
        total = self._source.count() if progress else 0
        workers = min(4, max(2, os.cpu_count() or 2))
        pool = concurrent.futures.ThreadPoolExecutor(workers, thread_name_prefix="import")
        # Only this many files are read ahead, however many the source offers.
        waiting: collections.deque[
            tuple[Candidate, concurrent.futures.Future[_Measured | Skipped]]
        ] = collections.deque()
        done = 0

        def finish_one() -> None:
            nonlocal done
            candidate, future = waiting.popleft()
            self._take(candidate, future.result())
            done += 1
            if progress:
                progress(done, total, names.printable(candidate.file))

        try:
            for candidate in candidates:
                if isinstance(candidate, Skipped):
                    self._skipped.append(candidate)
                    continue
                waiting.append((candidate, pool.submit(self._measure, candidate)))
                if len(waiting) >= 4 * workers:
                    finish_one()
            while waiting:
                finish_one()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _measure(self, candidate: Candidate) -> _Measured | Skipped:
        """Read, check and hash a file, and see to its thumbnail. Runs in a worker thread."""

        def no(reason: str) -> Skipped:
            return Skipped(names.printable(candidate.file), reason)

        if candidate.absent:
            # Of the file's name: a query and the photo that it is must stay recognisable as one.
            name = hashlib.sha256(f"no file: {candidate.file}".encode()).hexdigest()
            return _Measured(photos.Header(0, 0, ""), name, 0)
        try:
            size = candidate.path.stat().st_size
            if size > MAX_FILE_BYTES:
                return no(f"has {size:,} bytes, the limit for a photo is {MAX_FILE_BYTES:,}.")
            content = candidate.path.read_bytes()
        except OSError as error:
            return no(f"cannot be read ({error.strerror}).")
        sha256 = hashlib.sha256(content).hexdigest()
        if candidate.sha256 is not None and candidate.sha256 != sha256:
            return no("does not have the SHA-256 that its collection lists; it was changed.")
        thumb = layout.thumb_path(self._folder, sha256)
        try:
            # A thumbnail of these very bytes says that they decode, and so may their source;
            # the thumbnail is then made when it is first shown.
            known = candidate.decoded and candidate.sha256 == sha256
            if known or layout.has_bytes(thumb):
                header = photos.read_header(content)
            else:
                header, small = decoding.thumbnail(content)
                layout.write_once(thumb, small)
        except BadPhoto as error:
            return no(str(error))
        return _Measured(header, sha256, len(content))

    def _take(self, candidate: Candidate, measured: _Measured | Skipped) -> None:
        """Add one measured candidate to the draft. Runs in the calling thread, in order."""
        try:
            if isinstance(measured, Skipped):
                self._skipped.append(measured)
                return
            reason = self._refusal(candidate, measured)
            if reason:
                self._skipped.append(Skipped(names.printable(candidate.file), reason))
                return
            self._seen.add(candidate.id)
            if measured.header.note:
                shown = names.printable(candidate.file)
                self._notes.append(Skipped(shown, measured.header.note))
            self._put(self._photo(candidate, measured), candidate.query)
        finally:
            if self._packed:
                candidate.path.unlink(missing_ok=True)

    def _refusal(self, candidate: Candidate, measured: _Measured) -> str | None:
        if not names.legal_id(candidate.id):
            return (
                f"has an illegal id {candidate.id!r}. Legal: up to 200 of A-Z, a-z, 0-9, '.', '_', "
                f"'-', the first one a letter or digit."
            )
        if candidate.id in self._seen:
            return f"has the id {candidate.id} of another photo or query of this import."
        other = self._before.get(candidate.id)
        if other is not None and (candidate.id in self._is_query) != candidate.query:
            kind = "photo" if candidate.query else "query"
            return f"has the id {candidate.id} of a {kind} of this collection."
        width, height = measured.header.width, measured.header.height
        if candidate.box is not None:
            x0, y0, x1, y1 = candidate.box
            inside = candidate.absent or (x1 <= width and y1 <= height)
            if not (0 <= x0 < x1 and 0 <= y0 < y1 and inside):
                return f"has the box {x0},{y0},{x1},{y1}, outside its {width} x {height} px."
        return None

    def _photo(self, candidate: Candidate, measured: _Measured) -> Photo:
        file = candidate.file
        if self._packed:
            suffix = _SUFFIX.get(measured.header.format, f".{measured.header.format.lower()}")
            file = f"{measured.sha256[:2]}/{measured.sha256}{suffix}"
            target = self._folder / layout.COPIES / file
            if not layout.has_bytes(target, measured.size):
                target.parent.mkdir(parents=True, exist_ok=True)
                with open(candidate.path, "rb") as handle:
                    os.fsync(handle.fileno())
                os.replace(candidate.path, target)
        return Photo(
            id=candidate.id,
            file=file,
            width=measured.header.width,
            height=measured.header.height,
            sha256=measured.sha256,
            label=names.label(candidate.label),
            title=names.words(candidate.title),
            author=names.words(candidate.author),
            licence=names.words(candidate.licence),
            url=names.words(candidate.url),
            box=candidate.box,
            relevant=candidate.relevant,
            extra=candidate.extra,
            size=measured.size,
            root=self._root,
        )

    def _put(self, photo: Photo, query: bool) -> None:
        before = self._before.get(photo.id)
        self._after[photo.id] = photo
        if query:
            self._is_query.add(photo.id)
        if before is None:
            self._added += 1
            return
        # The same photo from another place is no change, as long as the old place still has it.
        here = dataclasses.replace(before, file=photo.file, root=photo.root)
        there = self._old is not None and (before.absent or self._old.path(before).is_file())
        if here == photo and there:
            stays_put = before.root != self._root
            self._after[photo.id] = before if stays_put else photo
            self._unchanged += 1
        else:
            self._replaced += 1

    def report(self) -> Report:
        counts = (self._added, self._skipped, self._unchanged, self._replaced)
        return Report(*counts, self._notes)

    def save(self, title: str | None, seconds: float) -> None:
        kept = {i: p for i, p in self._after.items() if i not in self._is_query}
        queries = []
        for query in (p for i, p in self._after.items() if i in self._is_query):
            if query.relevant is not None and not any(i in kept for i in query.relevant):
                self._skipped.append(
                    Skipped(query.file, "is a query whose relevant photos were all left out.")
                )
                self._added -= query.id not in self._before
            else:
                queries.append(query)
        described = self._source.describe()
        described |= self._partial(described, kept, queries)
        if not kept:
            first = "; ".join(f"{s.file} {s.reason}" for s in self._skipped[:3])
            raise Invalid(
                f"No photo was found to import into {self._name} ({in_words(described)}); "
                f"files skipped: {len(self._skipped)}{' (' + first + ')' if first else ''}. "
                f"Legal: {photos.LEGAL} files, in one sub-folder per landmark or without labels."
            )
        header = self._header
        about = self._source.about()
        if not header["sources"]:
            header["title"] = about.get("title") or self._name
            for field in ("description", "licence", "author"):
                header[field] = about.get(field, "")
        elif self._is_first_source(described):
            for field, value in about.items():
                header[field] = value
        if title:
            header["title"] = title
        # A content's hash and what is missing: only the latest stays true.
        same = without_content(described)
        places = [i for i, s in enumerate(header["sources"]) if without_content(s) == same]
        if places:
            header["sources"][places[0]] = described
        else:
            header["sources"].append(described)
        record = {
            "skipped": [dataclasses.asdict(entry) for entry in self._skipped],
            "seconds": round(seconds, 3),
            "saved_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        header["skipped"] = len(self._skipped)
        layout.save(self._folder, header, kept.values(), queries, record)

    def _partial(
        self, described: dict[str, Any], kept: Mapping[str, Photo], queries: Iterable[Photo]
    ) -> dict[str, Any]:
        """What is missing of a source that knows how much it should have; empty: nothing."""
        expected = described.get("expected")
        if expected is None:
            return {}
        photos_here = sum(photo_id in kept for photo_id in self._seen)
        queries_here = sum(query.id in self._seen for query in queries)
        return layout.partial(expected["photos"] - photos_here, expected["queries"] - queries_here)

    def _is_first_source(self, described: dict[str, Any]) -> bool:
        return bool(without_content(self._header["sources"][0]) == without_content(described))
