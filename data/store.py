"""Stored collections: importing, changing and reading them.

A collection is a folder below ``paths.collections_root()``::

    manifest.json           commits the three files below together (see data.artefact)
    collection-….json       header: title, licence, sources, photo roots, counts, fingerprint
    photos-….jsonl          one photo per line, sorted by id
    queries-….jsonl         the same for queries
    record.json             when it was made, how long it took, what was skipped
    thumbs/ab/….jpg         one per photo, named by the SHA-256 of the photo's bytes
    photos/ab/….jpg         photos of archives and uploads, named likewise

Thumbnails and copies are named by content and written before the manifest, so that a process
killed at any time leaves the old collection whole, and the next import takes up what is there.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import shlex
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Collection as Container
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeVar, get_args

from data import artefact, names, paths, photos
from data.base import Candidate, PackedSource, Photo, Skipped, Source
from data.errors import PlaygroundError
from data.photos import RGB, BadPhoto

Progress = Callable[[int, int, str], None]
"""Called as (done, total, text); total 0 means unknown."""
OnExists = Literal["refuse", "add", "refresh", "replace"]
MAX_FILE_BYTES = 256 << 20  # a photo's file; the whole of it is read at once
_HEADER, _PHOTOS, _QUERIES = "collection.json", "photos.jsonl", "queries.jsonl"
_COPIES, _THUMBS, _INCOMING = "photos", "thumbs", ".incoming"
_BIG = 30_000_000  # pixels; photos above it are decoded one at a time, to bound memory
_SUFFIX = {"JPEG": ".jpg", "MPO": ".jpg", "TIFF": ".tif"}  # others: the format in lower case
T = TypeVar("T")
# Of a source's description: what was found at its import, not what would make it again.
_FOUND = ("content", "protocol", "expected", "listed", "partial")
_FIELDS = {field.name: field for field in dataclasses.fields(Photo)}


@dataclasses.dataclass(frozen=True)
class Report:
    """What an import did. ``added`` and the rest count photos and queries alike."""

    added: int
    skipped: list[Skipped]
    unchanged: int
    replaced: int = 0  # same id, other bytes or description


@dataclasses.dataclass(frozen=True)
class Collection:
    """A stored collection, as it was when it was loaded. Made by ``load``."""

    name: str
    title: str
    description: str
    licence: str
    author: str
    source: dict[str, Any]  # of the first import
    sources: tuple[dict[str, Any], ...]  # of all imports
    photos: tuple[Photo, ...]  # sorted by id
    queries: tuple[Photo, ...]  # sorted by id
    fingerprint: str  # SHA-256 of the sorted (id, sha256) of the photos
    folder: Path
    roots: tuple[Path, ...]  # that photos are relative to; ``Photo.root`` says which

    @property
    def root(self) -> Path:
        """The photo root of the first import."""
        return self.roots[0]

    @functools.cached_property
    def ids(self) -> tuple[str, ...]:
        """The photos' ids in order: row i of any matrix of this collection is ``ids[i]``."""
        return tuple(photo.id for photo in self.photos)

    @functools.cached_property
    def _positions(self) -> dict[str, int]:
        return {photo.id: i for i, photo in enumerate(self.photos)}

    @functools.cached_property
    def _queries_by_id(self) -> dict[str, Photo]:
        return {query.id: query for query in self.queries}

    @functools.cached_property
    def _by_label(self) -> dict[str, frozenset[str]]:
        found: dict[str, list[str]] = {}
        for photo in self.photos:
            if photo.label is not None:
                found.setdefault(photo.label, []).append(photo.id)
        return {label: frozenset(found[label]) for label in sorted(found)}

    @property
    def labels(self) -> tuple[str, ...]:
        """The landmarks of the photos, sorted."""
        return tuple(self._by_label)

    @functools.cached_property
    def titles(self) -> dict[str, str]:
        """Label to the words for people; the label itself where no photo has a title."""
        named = {p.label: p.title for p in reversed(self.photos) if p.label and p.title}
        return {label: named.get(label) or label for label in self.labels}

    def position(self, photo_id: str) -> int:
        """The photo's place in ``photos``.

        Raises:
            PlaygroundError: no photo has this id.
        """
        try:
            return self._positions[photo_id]
        except KeyError:
            raise PlaygroundError(
                f"The collection {self.name} has no photo {photo_id!r}. Its ids are listed by: "
                f"{_command('show', self.name, '--json')}"
            ) from None

    def photo(self, photo_id: str) -> Photo:
        """The photo with this id; raises like ``position``."""
        return self.photos[self.position(photo_id)]

    def query(self, query_id: str) -> Photo:
        """The query with this id.

        Raises:
            PlaygroundError: no query has this id.
        """
        try:
            return self._queries_by_id[query_id]
        except KeyError:
            raise PlaygroundError(
                f"The collection {self.name} has no query {query_id!r}; it has "
                f"{len(self.queries)}. They are listed by: "
                f"{_command('show', self.name, '--json')}"
            ) from None

    def find(self, photo_or_id: Photo | str) -> Photo:
        """The photo, else the query, with this id; a ``Photo`` is returned as it is."""
        if isinstance(photo_or_id, Photo):
            return photo_or_id
        query = self._queries_by_id.get(photo_or_id)
        if query is not None and photo_or_id not in self._positions:
            return query
        return self.photo(photo_or_id)

    def relevant(self, query_or_label: Photo | str) -> set[str]:
        """Ids of the photos that show the landmark.

        Args:
            query_or_label: a query, by itself or by its id; a photo of the collection, which is
                not relevant to itself; or a label.

        Returns:
            Ids of photos of this collection; empty where nothing is known.
        """
        query = query_or_label
        if isinstance(query, str):
            if query in self._by_label:
                return set(self._by_label[query])
            query = self.find(query)
        if query.relevant is not None:
            return {photo_id for photo_id in query.relevant if photo_id in self._positions}
        if query.label is None:
            return set()
        own = self._positions.get(query.id)
        itself = {query.id} if own is not None and self.photos[own] == query else set()
        return set(self._by_label.get(query.label, ())) - itself

    def path(self, photo: Photo) -> Path:
        """Where the photo's file lies."""
        relative = PurePosixPath(photo.file)
        legal = not relative.is_absolute() and ".." not in relative.parts
        if not legal or not 0 <= photo.root < len(self.roots):
            raise PlaygroundError(
                f"The photo {photo.id} of {self.name} lies outside its folder: {photo.file!r}. "
                f"{self._mend(photo)}"
            )
        return self.roots[photo.root].joinpath(*relative.parts)

    def read(self, photo_or_id: Photo | str, longer_side: int | None = None) -> RGB:
        """Decode a photo or query: upright RGB (H, W, 3) uint8.

        Args:
            longer_side: shrink to this longer side in px; boxes refer to the full size.

        Raises:
            PlaygroundError: the file is missing, or is another one than was imported.
        """
        photo = self.find(photo_or_id)
        path = self.path(photo)
        if photo.absent:
            raise PlaygroundError(
                f"The photo {photo.id} of the collection {self.name} has no file: its list was "
                f"imported with --no-photos, for descriptors that were computed elsewhere. Put the "
                f"photos on this disk and import them without --no-photos under another name."
            )
        try:
            size = path.stat().st_size
        except OSError as error:
            raise PlaygroundError(
                f"The photo {photo.id} of the collection {self.name} is not at {path} any more "
                f"({error.strerror}). {self._mend(photo)}"
            ) from error
        changed = photo.size and size != photo.size
        if not changed:
            try:
                pixels, header = photos.decode_with_header(path, longer_side=longer_side)
            except BadPhoto as error:
                raise PlaygroundError(
                    f"The photo {photo.id} of the collection {self.name} cannot be read: {error} "
                    f"{self._mend(photo)}"
                ) from error
            changed = (header.width, header.height) != (photo.width, photo.height)
        if changed:
            raise PlaygroundError(
                f"{path}, the photo {photo.id} of the collection {self.name}, has changed since "
                f"it was imported. {self._mend(photo)}"
            )
        return pixels

    def thumbnail_path(self, photo_or_id: Photo | str) -> Path:
        """Where the thumbnail lies (it may have to be made first, see ``thumbnail``)."""
        return _thumb(self.folder, self.find(photo_or_id).sha256)

    def thumbnail(self, photo_or_id: Photo | str) -> bytes:
        """The JPEG of the photo's or query's thumbnail, longer side 240 px.

        A lost thumbnail is made again from the photo.
        """
        path = self.thumbnail_path(photo_or_id)
        with contextlib.suppress(OSError):
            content = path.read_bytes()
            # A power cut can leave the file without its bytes.
            if content[:2] == b"\xff\xd8" and content[-2:] == b"\xff\xd9":
                return content
        small = self.read(photo_or_id, longer_side=photos.THUMBNAIL_SIDE)
        content = photos.encode_jpeg(small, quality=85)
        with contextlib.suppress(OSError):
            _write_once(path, content, again=True)
        return content

    def _mend(self, photo: Photo) -> str:
        drop = _command("remove", self.name, photo.id)
        for described in self.sources:
            if described.get("kind") == "demo":
                return f"Restore it: git checkout -- data/demo (or drop it: {drop})"
        again = _import_command(self.name, self.sources, photo)
        if again is None:
            return f"Upload it again, or drop it: {drop}"
        return f"Put the file back, or import again: {again} (or drop it: {drop})"


# Reading


def exists(name: str) -> bool:
    """Whether there is a collection of this name."""
    return (_folder(name) / artefact.MANIFEST).is_file()


def list_collections() -> list[str]:
    """The names of all collections, sorted."""
    try:
        folders = sorted(paths.collections_root().iterdir())
    except FileNotFoundError:
        return []
    return [f.name for f in folders if f.name[0] != "." and (f / artefact.MANIFEST).is_file()]


def load(name: str) -> Collection:
    """Read a collection; its files are verified against their manifest.

    Raises:
        PlaygroundError: there is none of this name, or it is damaged.
    """
    return _consistently(name, lambda folder, manifest: _load(name, folder, manifest))


def summary(name: str) -> dict[str, Any]:
    """The header alone, for lists of collections; fast however large the collection is.

    Returns:
        ``name``, ``title``, ``description``, ``licence``, ``author``, ``sources``, ``roots``,
        ``fingerprint`` and the counts ``photos``, ``queries``, ``landmarks`` and ``skipped``.

    Raises:
        PlaygroundError: there is none of this name, or it is damaged.
    """
    return _consistently(name, _read_header)


def skipped(name: str) -> list[Skipped]:
    """What the last import or addition left out, and why."""
    listed = artefact.read_record(_folder(name)).get("skipped", [])
    return [Skipped(str(entry["file"]), str(entry["reason"])) for entry in listed]


def _consistently(name: str, read: Callable[[Path, dict[str, Any]], T]) -> T:
    """Read by the manifest; again when a save in another process replaced it meanwhile."""
    folder = _folder(name)
    while True:
        manifest = artefact.read_manifest(folder)
        if manifest is None:
            known = ", ".join(list_collections()) or "(none)"
            raise PlaygroundError(
                f"There is no collection {name!r}. There are: {known}. Make one: "
                f"{_command('import', '--source', 'folder', '--path', 'DIR', '--name', name)}"
            )
        try:
            return read(folder, manifest)
        except (PlaygroundError, FileNotFoundError) as error:
            if artefact.read_manifest(folder) != manifest:
                continue
            if isinstance(error, PlaygroundError):
                raise
            raise PlaygroundError(
                f"The collection {name} is damaged: {error.filename} is missing. "
                f"Run: {_rebuild(name)}"
            ) from error


def _load(name: str, folder: Path, manifest: dict[str, Any]) -> Collection:
    mend = _rebuild(name)

    def content(file: str) -> str:
        path = artefact.file_path(folder, manifest, file, mend)
        return path.read_text(encoding="utf-8")

    try:
        header = json.loads(content(_HEADER))
        return Collection(
            name=name,
            title=header["title"],
            description=header["description"],
            licence=header["licence"],
            author=header["author"],
            source=header["sources"][0],
            sources=tuple(header["sources"]),
            # Not splitlines(): it also breaks at characters that JSON strings may hold.
            photos=tuple(map(_from_line, content(_PHOTOS).split("\n")[:-1])),
            queries=tuple(map(_from_line, content(_QUERIES).split("\n")[:-1])),
            fingerprint=header["fingerprint"],
            folder=folder,
            roots=tuple(_root_path(folder, root) for root in header["roots"]),
        )
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise PlaygroundError(
            f"The collection {name} in {folder} is damaged ({error!r}). Run: {mend}"
        ) from error


# Changing


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
        source: where the photos come from (see ``data.registry``).
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
        raise PlaygroundError(
            f"on_exists is {on_exists!r}. Legal: {', '.join(get_args(OnExists))}."
        )
    folder = _folder(name)
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
            shutil.rmtree(folder / _INCOMING, ignore_errors=True)
        try:
            draft.save(title, time.perf_counter() - started)
        except PlaygroundError:
            if not exists(name):
                _clear(folder)
            raise
    return draft.report()


def add(name: str, source: Source | PackedSource, *, progress: Progress | None = None) -> Report:
    """Add photos to a collection: new ids are added, equal ids with other bytes replaced.

    Raises:
        PlaygroundError: like ``import_collection``, and when there is no such collection.
    """
    load(name)
    return import_collection(name, source, progress=progress, on_exists="add")


def remove(name: str, ids: Iterable[str]) -> int:
    """Take photos or queries out of a collection; files referenced elsewhere are not touched.

    Returns:
        How many were removed.

    Raises:
        PlaygroundError: an id is unknown (nothing is removed then), or no photo would be left.
    """
    unwanted = set(ids)
    folder = _folder(name)
    doing = f"Removing photos from {name}"
    load(name)
    with artefact.explain_os_errors(doing), artefact.exclusive(folder, doing):
        old = load(name)
        unknown = sorted(unwanted - set(old.ids) - {query.id for query in old.queries})
        if unknown:
            raise PlaygroundError(
                f"The collection {name} has no photo or query {', '.join(unknown[:5])}"
                f"{' and others' if len(unknown) > 5 else ''}; nothing was removed. Ids are listed "
                f"by: {_command('show', name, '--json')}"
            )
        left = [photo for photo in old.photos if photo.id not in unwanted]
        if not left:
            raise PlaygroundError(
                f"Nothing was removed: no photo of {name} would be left. To delete the "
                f"collection: {_command('delete', name, '--yes')}"
            )
        queries = [query for query in old.queries if query.id not in unwanted]
        header = summary(name)
        first = header["sources"][0]
        if "expected" in first:
            # Only the first import's photos are told from others, by their root.
            gone = [p for p in (*old.photos, *old.queries) if p.id in unwanted and p.root == 0]
            were = first.get("partial", {"photos_missing": 0, "queries_missing": 0})
            removed = len({p.id for p in gone} & set(old.ids))
            first |= _partial(
                were["photos_missing"] + removed, were["queries_missing"] + len(gone) - removed
            )
        _save(folder, header, left, queries, artefact.read_record(folder))
    return len(unwanted)


def delete(name: str) -> None:
    """Delete a collection with its thumbnails, copies, vectors, indexes and evaluations.

    Referenced photos are not touched.

    Raises:
        PlaygroundError: there is none, another process is changing it, or building from it.
    """
    folder, vectors = _folder(name), paths.vectors_root(name)
    if not exists(name):
        load(name)  # raises, naming what there is
    doing = f"Deleting the collection {name}"
    with artefact.explain_os_errors(doing), contextlib.ExitStack() as locks:
        locks.enter_context(artefact.exclusive(folder, doing))
        # Builds hold the lock of their extractor's folder.
        for lock in sorted(vectors.glob("*/.lock")):
            locks.enter_context(artefact.exclusive(lock.parent, f"Building from {name}"))
        # Without its manifest it is no collection any more, whatever happens next.
        (folder / artefact.MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(vectors, ignore_errors=True)
        for root in (paths.evaluations_root, paths.rerank_root):
            shutil.rmtree(root(name), ignore_errors=True)
        _clear(folder)


def _partial(photos_missing: int, queries_missing: int) -> dict[str, Any]:
    missing = {
        "photos_missing": max(0, photos_missing),
        "queries_missing": max(0, queries_missing),
    }
    return {"partial": missing} if any(missing.values()) else {}


def fingerprint(collection_photos: Iterable[Photo]) -> str:
    """SHA-256 (hex) of the sorted (id, sha256) of photos: what vectors are computed from."""
    digest = hashlib.sha256()
    for photo in sorted(collection_photos, key=lambda photo: photo.id):
        digest.update(f"{photo.id}\t{photo.sha256}\n".encode())
    return digest.hexdigest()


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
        self._header = summary(name) if old is not None else _new_header()
        root = {"base": "collection", "path": _COPIES} if packed else _describe_root(source.root())
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
        self._added = self._unchanged = self._replaced = 0
        self._one_big = threading.Lock()

    def take_all(self, progress: Progress | None) -> None:
        """Measure every candidate in a few threads, and take the results in order."""
        incoming = self._folder / _INCOMING
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
        thumb = _thumb(self._folder, sha256)
        try:
            header = photos.read_header(content)
            # A thumbnail of these very bytes says that they decode.
            if not _has_bytes(thumb):
                big = header.width * header.height > _BIG
                with self._one_big if big else contextlib.nullcontext():
                    small = photos.decode(content, longer_side=photos.THUMBNAIL_SIDE)
                _write_once(thumb, photos.encode_jpeg(small, quality=85))
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
            target = self._folder / _COPIES / file
            if not _has_bytes(target, measured.size):
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
            label=candidate.label,
            title=candidate.title,
            author=candidate.author,
            licence=candidate.licence,
            url=candidate.url,
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
        return Report(self._added, self._skipped, self._unchanged, self._replaced)

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
            raise PlaygroundError(
                f"No photo was found to import into {self._name} ({_short(described)}); "
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
        same = _without_content(described)
        places = [i for i, s in enumerate(header["sources"]) if _without_content(s) == same]
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
        _save(self._folder, header, kept.values(), queries, record)

    def _partial(
        self, described: dict[str, Any], kept: Mapping[str, Photo], queries: Iterable[Photo]
    ) -> dict[str, Any]:
        """What is missing of a source that knows how much it should have; empty: nothing."""
        expected = described.get("expected")
        if expected is None:
            return {}
        photos_here = sum(photo_id in kept for photo_id in self._seen)
        queries_here = sum(query.id in self._seen for query in queries)
        return _partial(expected["photos"] - photos_here, expected["queries"] - queries_here)

    def _is_first_source(self, described: dict[str, Any]) -> bool:
        return bool(_without_content(self._header["sources"][0]) == _without_content(described))


# On disk


def _folder(name: str) -> Path:
    return paths.collections_root() / paths.check_name(name, "collection")


def _clear(folder: Path) -> None:
    """Delete what is in a collection's folder, then the folder, while its lock is held."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != ".lock":
            path.unlink(missing_ok=True)
    # Some systems do not let go of a lock file that is held: then the empty folder stays.
    with contextlib.suppress(OSError):
        (folder / ".lock").unlink(missing_ok=True)
        folder.rmdir()


def _refuse_existing(name: str) -> None:
    if exists(name):
        raise PlaygroundError(
            f"There is a collection {name!r} already. Choose another name, or say what to do with "
            f"it: --exists add, --exists refresh or --exists replace."
        )


def _new_header() -> dict[str, Any]:
    return {"title": "", "description": "", "licence": "", "author": "", "sources": [], "roots": []}


def _read_header(folder: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    path = artefact.file_path(folder, manifest, _HEADER, _rebuild(folder.name))
    header: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return header


def _save(
    folder: Path,
    header: dict[str, Any],
    kept: Iterable[Photo],
    queries: Iterable[Photo],
    record: dict[str, Any],
) -> None:
    kept = sorted(kept, key=lambda photo: photo.id)
    queries = sorted(queries, key=lambda query: query.id)
    summary = {
        "name": folder.name,
        "photos": len(kept),
        "queries": len(queries),
        "landmarks": len({photo.label for photo in kept} - {None}),
        "fingerprint": fingerprint(kept),
    }
    header = {**header, **summary}

    def lines(of: list[Photo]) -> Callable[[Path], None]:
        def write(path: Path) -> None:
            with open(path, "w", encoding="utf-8", newline="\n") as handle:
                handle.writelines(_to_line(photo) for photo in of)

        return write

    def write_header(path: Path) -> None:
        path.write_text(artefact.canonical_json(header), encoding="utf-8")

    artefact.save(
        folder,
        {"kind": "collection", **summary},
        {_HEADER: write_header, _PHOTOS: lines(kept), _QUERIES: lines(queries)},
        record,
    )
    _remove_unused(folder, [*kept, *queries])


def _to_line(photo: Photo) -> str:
    # Values equal to their defaults are left out: most lines have few others.
    fields = {
        name: value
        for name, field in _FIELDS.items()
        if (value := getattr(photo, name)) != field.default and value != {}
    }
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")) + "\n"


def _from_line(line: str) -> Photo:
    fields = json.loads(line)
    box, relevant = fields.get("box"), fields.get("relevant")
    if box is not None:
        fields["box"] = tuple(box)
    if relevant is not None:
        fields["relevant"] = tuple(relevant)
    return Photo(**fields)


def _describe_root(root: Path) -> dict[str, str]:
    # Relative inside the project, so that a clone that was moved still finds its photos.
    if root.is_relative_to(paths.PROJECT_ROOT):
        return {"base": "project", "path": root.relative_to(paths.PROJECT_ROOT).as_posix()}
    return {"base": "absolute", "path": str(root)}


def _root_path(folder: Path, root: Mapping[str, str]) -> Path:
    bases = {"project": paths.PROJECT_ROOT, "collection": folder, "absolute": Path("/")}
    return bases[root["base"]] / root["path"]


def _thumb(folder: Path, sha256: str) -> Path:
    return folder / _THUMBS / sha256[:2] / f"{sha256}.jpg"


def _has_bytes(path: Path, size: int | None = None) -> bool:
    try:
        found = path.stat().st_size
    except OSError:
        return False
    return found > 0 if size is None else found == size


def _write_once(path: Path, content: bytes, again: bool = False) -> None:
    """Write a file named by its content. Not synced: it can be made again from the photo."""
    if not again and _has_bytes(path):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _remove_unused(folder: Path, used: Container[Photo]) -> None:
    """Delete thumbnails and copies that no photo has any more."""
    wanted = {photo.sha256 for photo in used}
    for shelf in (_THUMBS, _COPIES):
        for path in _files_below(folder / shelf):
            if path.stem not in wanted:
                # The collection is saved; what stays here only takes space until the next time.
                with contextlib.suppress(OSError):
                    path.unlink()


def _files_below(folder: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        for shard in sorted(folder.iterdir()):
            yield from shard.iterdir()


# Words for people


def _command(*words: str) -> str:
    return "python -m scripts.collections " + " ".join(shlex.quote(word) for word in words)


def _rebuild(name: str) -> str:
    return f"{_command('delete', name, '--yes')} and import it again"


def _import_command(name: str, sources: Iterable[Mapping[str, Any]], photo: Photo) -> str | None:
    for described in sources:
        kind = described.get("kind")
        if kind == "folder" or (kind != "glr21" and "expected" in described):
            return _command("add", name, "--source", str(kind), "--path", str(described["path"]))
        if described.get("kind") == "glr21":
            words = ["add", name, "--source", "glr21"]
            for key, value in described.items():
                if key not in ("kind", "queries", *_FOUND) and value is not None:
                    words += [f"--{key.replace('_', '-')}", str(value)]
            return _command(*words, "--queries" if described.get("queries") else "--no-queries")
    return None


def _short(described: Mapping[str, Any]) -> str:
    parts = (f"{k} {v}" for k, v in described.items() if k not in ("kind", *_FOUND))
    return " ".join([f"source {described.get('kind')}", *parts])


def _without_content(described: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in described.items() if key not in _FOUND}
