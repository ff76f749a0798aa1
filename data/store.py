"""Stored collections, as they are read.

A collection is a folder below ``paths.collections_root()``::

    manifest.json           commits the three files below together (see data.artefact)
    collection-….json       header: title, licence, sources, photo roots, counts, fingerprint
    photos-….jsonl          one photo per line, sorted by id
    queries-….jsonl         the same for queries
    record.json             when it was made, how long it took, what was skipped
    thumbs/ab/….jpg         one per photo, named by the SHA-256 of the photo's bytes
    photos/ab/….jpg         photos of archives and uploads, named likewise

data.importing and data.changing change them; data.layout says how the files are written.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from data import artefact, commands, elsewhere, layout, paths, photos
from data.base import Photo, Skipped
from data.errors import Conflict, NotFound, PlaygroundError
from data.photos import RGB, BadPhoto

T = TypeVar("T")


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
    def positions(self) -> dict[str, int]:
        """Photo id to its place in ``photos``."""
        return {photo.id: i for i, photo in enumerate(self.photos)}

    @functools.cached_property
    def _queries_by_id(self) -> dict[str, Photo]:
        return {query.id: query for query in self.queries}

    @functools.cached_property
    def _by_content(self) -> dict[str, Photo]:
        return {photo.sha256: photo for photo in (*self.queries, *self.photos)}

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
            return self.positions[photo_id]
        except KeyError:
            raise NotFound(
                f"The collection {self.name} has no photo {photo_id!r}. Its ids are listed by:",
                command=commands.collections("show", self.name, "--json"),
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
            raise NotFound(
                f"The collection {self.name} has no query {query_id!r}; it has "
                f"{len(self.queries)}. They are listed by:",
                command=commands.collections("show", self.name, "--json"),
            ) from None

    def of_content(self, sha256: str) -> Photo:
        """A photo or query with this content.

        Raises:
            PlaygroundError: there is none.
        """
        try:
            return self._by_content[sha256]
        except KeyError:
            raise NotFound(f"The collection {self.name} has no photo of this content.") from None

    def find(self, photo_or_id: Photo | str) -> Photo:
        """The photo, else the query, with this id; a ``Photo`` is returned as it is."""
        if isinstance(photo_or_id, Photo):
            return photo_or_id
        query = self._queries_by_id.get(photo_or_id)
        if query is not None and photo_or_id not in self.positions:
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
            return {photo_id for photo_id in query.relevant if photo_id in self.positions}
        if query.label is None:
            return set()
        own = self.positions.get(query.id)
        itself = {query.id} if own is not None and self.photos[own] == query else set()
        return set(self._by_label.get(query.label, ())) - itself

    def path(self, photo: Photo) -> Path:
        """Where the photo's file lies."""
        relative = PurePosixPath(photo.file)
        legal = not relative.is_absolute() and ".." not in relative.parts
        if not legal or not 0 <= photo.root < len(self.roots):
            raise Conflict(
                f"The photo {photo.id} of {self.name} lies outside its folder: {photo.file!r}. "
                f"{self._mend(photo)}"
            )
        return self.roots[photo.root].joinpath(*relative.parts)

    def read(self, photo_or_id: Photo | str, longer_side: int | None = None) -> RGB:
        """Decode a photo or query: upright RGB (H, W, 3) uint8.

        In this process and not by a worker (``data.decoding``): of the very bytes that are decoded
        the hash is that of the import, where a worker has decoded them. A file that was swapped
        since, even while it is read, reaches no decoder.

        Args:
            longer_side: shrink to this longer side in px; boxes refer to the full size.

        Raises:
            PlaygroundError: the file is missing, or is another one than was imported.
        """
        photo = self.find(photo_or_id)
        try:
            return photos.decode(self.content(photo), longer_side=longer_side)
        except BadPhoto as error:
            raise PlaygroundError(
                f"The photo {photo.id} of the collection {self.name} cannot be read: {error} "
                f"{self._mend(photo)}"
            ) from error

    def content(self, photo_or_id: Photo | str) -> bytes:
        """The bytes of the photo's file, which are those that were hashed.

        A file of the same size with other content would otherwise stand under the old photo's
        label. Where there is no file, ``data.elsewhere`` may have it. Raises like ``read``.
        """
        photo = self.find(photo_or_id)
        path = self.path(photo)
        if photo.absent:
            raise NotFound(
                f"The photo {photo.id} of the collection {self.name} has no file: its list was "
                f"imported with --no-photos, for descriptors that were computed elsewhere. Put the "
                f"photos on this disk and import them without --no-photos under another name."
            )
        try:
            # A file of another size is not read: it may be anything.
            changed = bool(photo.size) and path.stat().st_size != photo.size
            content = b"" if changed else path.read_bytes()
        except OSError as error:
            gone = self._gone(photo, path, error)
            if elsewhere.url() is None:
                raise NotFound(gone) from error
            try:
                content = elsewhere.read(photo.file, photo.size)
            except PlaygroundError as why:
                words = f"{gone} Nor can it be read from {elsewhere.VARIABLE}: {why}."
                raise NotFound(words) from why
            changed = False
        if changed or hashlib.sha256(content).hexdigest() != photo.sha256:
            raise Conflict(self._changed(photo, path))
        return content

    def changed(self, photo_or_id: Photo | str, thorough: bool = False) -> str | None:
        """A sentence where the photo's file is missing or is another one than was imported.

        Args:
            thorough: hash the content whatever the file's times say.
        """
        photo = self.find(photo_or_id)
        if photo.absent:
            return None
        path = self.path(photo)
        try:
            found = path.stat()
            same = not photo.size or found.st_size == photo.size
            if same and (thorough or not self._settled(photo, found)):
                same = photo.sha256 == artefact.file_sha256(path)
        except OSError as error:
            return self._gone(photo, path, error)
        return None if same else self._changed(photo, path)

    def _settled(self, photo: Photo, found: os.stat_result) -> bool:
        """Whether the file is older than its thumbnail, which was made of the right content."""
        with contextlib.suppress(OSError):
            made = self.thumbnail_path(photo).stat().st_mtime_ns
            # The time of the last change tells a file that was put there with an old date.
            return max(found.st_mtime_ns, found.st_ctime_ns) < made
        return False

    def _changed(self, photo: Photo, path: Path) -> str:
        return (
            f"{path}, the photo {photo.id} of the collection {self.name}, has changed since "
            f"it was imported. {self._mend(photo)}"
        )

    def _gone(self, photo: Photo, path: Path, error: OSError) -> str:
        return (
            f"The photo {photo.id} of the collection {self.name} is not at {path} any more "
            f"({error.strerror}). {self._mend(photo)}"
        )

    def thumbnail_path(self, photo_or_id: Photo | str) -> Path:
        """Where the thumbnail lies (it may have to be made first, see ``thumbnail``)."""
        return layout.thumb_path(self.folder, self.find(photo_or_id).sha256)

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
            layout.write_once(path, content, again=True)
        return content

    def _mend(self, photo: Photo) -> str:
        drop = commands.collections("remove", self.name, photo.id)
        for described in self.sources:
            if described.get("kind") == "demo":
                return f"Restore it: git checkout -- data/demo (or drop it: {drop})"
        again = commands.refresh(self.name, self.sources, self.roots[photo.root])
        if again is None:
            return f"Upload it again, or drop it: {drop}"
        return f"Put the file back, or take the folder as it is now: {again} (or drop it: {drop})"


def exists(name: str) -> bool:
    """Whether there is a collection of this name."""
    return (layout.folder_of(name) / artefact.MANIFEST).is_file()


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
    return _consistently(name, layout.read_header)


def skipped(name: str) -> list[Skipped]:
    """What the last import or addition left out, and why."""
    listed = artefact.read_record(layout.folder_of(name)).get("skipped", [])
    return [Skipped(str(entry["file"]), str(entry["reason"])) for entry in listed]


def _consistently(name: str, read: Callable[[Path, dict[str, Any]], T]) -> T:
    """Read by the manifest; again when a save in another process replaced it meanwhile."""
    folder = layout.folder_of(name)
    while True:
        mend = commands.delete(name)
        manifest = artefact.read_manifest(folder, "collection", mend, commands.AGAIN)
        if manifest is None:
            known = ", ".join(list_collections()) or "(none)"
            make = ("import", "--source", "folder", "--path", "DIR", "--name", name)
            raise NotFound(
                f"There is no collection {name!r}. There are: {known}. Make one:",
                command=commands.collections(*make),
            )
        try:
            return read(folder, manifest)
        except (PlaygroundError, FileNotFoundError) as error:
            if artefact.usable_manifest(folder) != manifest:
                continue
            if isinstance(error, PlaygroundError):
                raise
            raise Conflict(
                f"The collection {name} is damaged: {error.filename} is missing.",
                command=commands.delete(name),
                then=commands.AGAIN,
            ) from error


def _load(name: str, folder: Path, manifest: dict[str, Any]) -> Collection:
    def photos_of(file: str) -> tuple[Photo, ...]:
        # Not splitlines(): it also breaks at characters that JSON strings may hold.
        return tuple(map(layout.from_line, layout.read(folder, manifest, file).split("\n")[:-1]))

    try:
        header = layout.read_header(folder, manifest)
        return Collection(
            name=name,
            title=header["title"],
            description=header["description"],
            licence=header["licence"],
            author=header["author"],
            source=header["sources"][0],
            sources=tuple(header["sources"]),
            photos=photos_of(layout.PHOTOS),
            queries=photos_of(layout.QUERIES),
            fingerprint=header["fingerprint"],
            folder=folder,
            roots=tuple(layout.root_path(folder, root) for root in header["roots"]),
        )
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise Conflict(
            f"The collection {name} in {folder} is damaged ({error!r}).",
            command=commands.delete(name),
            then=commands.AGAIN,
        ) from error
