"""The descriptors of a collection and the indexes over them, on disk.

``vectors/<collection>/<extractor>/`` holds the descriptors of one extractor, and its sub-folder
``indexes/<index>/`` each index over them (see ``data.artefact`` for how they are saved). Both
name what they were made from, and loading refuses anything else with the command that mends it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from data import artefact
from data.errors import Conflict, NotFound, PlaygroundError
from data.paths import vectors_root
from data.store import Collection
from extractors import registry as extractor_registry
from extractors.base import Extractor
from indexing import registry as index_registry
from indexing.base import BuiltIndex, Plan, Unreachable


def extractor_folder(collection: str, extractor: str) -> Path:
    return vectors_root(collection) / extractor_registry.slug(extractor)


def index_folder(collection: str, extractor: str, index: str) -> Path:
    """One folder per built index: overrides that only steer searches share it."""
    built = index_registry.without_search(index)
    return extractor_folder(collection, extractor) / "indexes" / index_registry.slug(built)


def build_command(collection: str, extractor: str, index: str = "all") -> str:
    """The command that builds (again) what is missing or wrong."""
    _, _, fields = extractor.partition(":name=")
    if extractor_registry.is_imported(extractor) and index == "all":  # the vectors themselves
        return (
            f"python -m scripts.descriptors import --collection {collection} "
            f"--name '{fields or 'NAME'}' --file FILE"
        )
    return (
        f"python -m scripts.build --collection {collection} --extractors '{extractor}' "
        f"--indexes '{index}'"
    )


def recorded_source(source: str) -> str:
    """The weights source to ask for, from the one that a manifest records.

    A trained trunk with an untrained head is recorded as "imagenet+untrained".
    """
    return source.removesuffix("+untrained")


@dataclasses.dataclass(frozen=True)
class Vectors:
    """The descriptors of a collection by one extractor, in the order of ``ids``.

    Attributes:
        vectors: (n, D) float32, memory-mapped; n = photos for a global descriptor.
        offsets: (photos + 1,) int64 for local descriptors, else None: photo i has the rows
            offsets[i] to offsets[i + 1].
        geometry: (n, 4) float32 for local descriptors, else None (see ``extractors.base``).
        state: what the extractor learned from the collection.
    """

    manifest: dict[str, Any]
    ids: tuple[str, ...]
    sha256: tuple[str, ...]  # of the photos' files, as they were described
    vectors: NDArray[np.float32]
    offsets: NDArray[np.int64] | None
    geometry: NDArray[np.float32] | None
    state: dict[str, NDArray[Any]]

    @property
    def source(self) -> str:
        """Where the network's weights came from; empty without a network."""
        return str(self.manifest["identity"]["weights"].get("source", ""))

    @property
    def version(self) -> str:
        """Identifies the exact vectors."""
        return str(self.manifest["files"]["vectors.npy"]["sha256"])


def identity_difference(extractor: Extractor, manifest: dict[str, Any]) -> str | None:
    """What differs between an extractor and the one that made the vectors, in words."""
    mine, theirs = extractor.identity(), manifest["identity"]
    # Through JSON, as tuples come back as lists.
    mine = json.loads(json.dumps(mine))
    for field in ("extractor", "version", "config", "weights"):
        if mine[field] != theirs.get(field):
            if isinstance(mine[field], dict):
                keys = [k for k in mine[field] if mine[field][k] != theirs[field].get(k)]
                then = {k: theirs[field].get(k) for k in keys}
                now = {k: mine[field][k] for k in keys}
            else:
                then, now = theirs.get(field), mine[field]
            return f"{field} was {then} and is {now} now"
    return None


def read_vectors_manifest(collection: str, extractor: str) -> dict[str, Any] | None:
    """The manifest of a collection's vectors; None when there are none, or a damaged one."""
    try:
        return vectors_manifest(collection, extractor)
    except artefact.Damaged:
        return None


def vectors_manifest(collection: str, extractor: str) -> dict[str, Any] | None:
    """The manifest of a collection's vectors; None when there are none.

    Raises:
        artefact.Damaged: it is not one of these vectors; the text names the command that helps.
    """
    folder, mend = extractor_folder(collection, extractor), build_command(collection, extractor)
    manifest = artefact.read_manifest(folder, "vectors", mend)
    if manifest is not None:
        _check_spec(folder, manifest, "extractor", extractor_registry.canonical, extractor, mend)
        _require(manifest, _VECTORS_FIELDS, ("vectors.npy", "ids.json"))
    return manifest


def index_manifest(collection: str, extractor: str, index: str) -> dict[str, Any] | None:
    """The manifest of an index; None when there is none. Raises like ``vectors_manifest``."""
    folder = index_folder(collection, extractor, index)
    mend = build_command(collection, extractor, index)
    manifest = artefact.read_manifest(folder, "index", mend)
    if manifest is not None:
        built = index_registry.without_search(index)
        _check_spec(folder, manifest, "index", index_registry.canonical, built, mend)
        kind, _ = index_registry.parse_index_spec(index)
        _require(manifest, _INDEX_FIELDS, (kind.file,))
    return manifest


_VECTORS_FIELDS = ("dim", "fingerprint", "identity", "local", "photos", "vectors")
_INDEX_FIELDS = ("build", "bytes_per_vector", "d", "n", "notes", "search", "vectors_sha256")


def _require(manifest: dict[str, Any], fields: Sequence[str], files: Sequence[str]) -> None:
    """Ask for what is needed later: a manifest tells by itself what it lacks."""
    for field in fields:
        _ = manifest[field]
    for file in files:
        _ = manifest["files"][file]


def _check_spec(
    folder: Path,
    manifest: dict[str, Any],
    field: str,
    canonical: Callable[[str], str],
    wanted: str,
    mend: str,
) -> None:
    found = manifest[field]
    try:
        same = canonical(found) == canonical(wanted)
    except PlaygroundError:
        same = False
    if not same:
        what = f"its {field} is {found[:60]!r} instead of {wanted!r}"
        raise artefact.Damaged.of(folder, what, mend)


def spec_of(folder: Path, canonical: Callable[[str], str], slug: Callable[[str], str]) -> str:
    """The spec that a folder is named after; its name where that cannot be told."""
    spec = unquote(folder.name.replace("@", ":", 1))
    try:
        return spec if canonical(spec) == spec and slug(spec) == folder.name else folder.name
    except PlaygroundError:
        return folder.name


def built_extractors(collection: str) -> list[str]:
    """The specs of what is there, damaged or not; a folder's name where it is all that is left."""
    root = vectors_root(collection)
    specs = []
    for folder in sorted(root.iterdir()) if root.is_dir() else []:
        if (folder / artefact.MANIFEST).is_file():
            found = (artefact.usable_manifest(folder) or {}).get("extractor")
            specs.append(_named(found, folder, extractor_registry))
    return specs


def _named(found: Any, folder: Path, registry: Any) -> str:
    """A manifest's spec if the folder is its own, else the folder's."""
    try:
        if isinstance(found, str) and registry.slug(found) == folder.name:
            return found
    except PlaygroundError:
        pass
    return spec_of(folder, registry.canonical, registry.slug)


def load_vectors(
    collection: Collection, spec: str, *, allow_changed: bool = False
) -> tuple[Vectors, Extractor]:
    """Load and verify the vectors, and make the extractor that made them.

    Args:
        allow_changed: accept vectors of an earlier state of the collection (an update reuses
            them).

    Raises:
        PlaygroundError: there are none, they are damaged, or they were made from another
            collection, config or weights.
    """
    folder = extractor_folder(collection.name, spec)
    mend = build_command(collection.name, spec)
    manifest = vectors_manifest(collection.name, spec)
    if manifest is None:
        raise NotFound(
            f"The collection {collection.name} has no vectors of {spec} yet.", command=mend
        )
    source = manifest["identity"]["weights"].get("source", "auto")
    extractor = extractor_registry.create(spec, weights=recorded_source(source))
    difference = identity_difference(extractor, manifest)
    if difference is not None:
        raise Conflict(
            f"The vectors of {spec} for {collection.name} were made otherwise: {difference}.",
            command=mend,
        )
    if manifest["fingerprint"] != collection.fingerprint and not allow_changed:
        raise Conflict(
            f"The collection {collection.name} has changed since its vectors of {spec} were built "
            f"({manifest['photos']} photos then, {len(collection.photos)} now).",
            command=mend,
        )

    def path(name: str) -> Path:
        return artefact.file_path(folder, manifest, name, mend)

    rows = json.loads(path("ids.json").read_text(encoding="utf-8"))
    vectors = np.load(path("vectors.npy"), mmap_mode="r", allow_pickle=False)
    local = bool(manifest["local"])
    offsets = np.load(path("offsets.npy"), allow_pickle=False) if local else None
    geometry = np.load(path("geometry.npy"), mmap_mode="r", allow_pickle=False) if local else None
    expected = (manifest["vectors"], manifest["dim"])
    if vectors.shape != expected or vectors.dtype != np.float32:
        raise Conflict(
            f"{folder / 'vectors.npy'} is {vectors.shape} {vectors.dtype}, its manifest says "
            f"{expected} float32.",
            command=mend,
        )
    state: dict[str, NDArray[Any]] = {}
    if "state.safetensors" in manifest["files"]:
        state = safetensors.numpy.load_file(path("state.safetensors"))
        extractor.load_state(state)
    loaded = Vectors(
        manifest, tuple(rows["ids"]), tuple(rows["sha256"]), vectors, offsets, geometry, state
    )
    if len(loaded.ids) != manifest["photos"] or len(loaded.sha256) != manifest["photos"]:
        raise Conflict(
            f"{folder}: {len(loaded.ids)} ids for {manifest['photos']} photos.", command=mend
        )
    if not allow_changed and loaded.ids != tuple(photo.id for photo in collection.photos):
        raise Conflict(
            f"The ids of the vectors of {spec} are not those of the collection {collection.name}.",
            command=mend,
        )
    return loaded, extractor


@dataclasses.dataclass(frozen=True)
class LoadedIndex:
    """An index with what ties its rows to the vectors' rows.

    ``rows`` is None where the index holds every row, else (n,) int64: row of the vectors of each
    row of the index (empty descriptors, such as a photo without keypoints, are left out: a zero
    vector would be nearer to every query than most photos).
    """

    manifest: dict[str, Any]
    built: BuiltIndex
    rows: NDArray[np.int64] | None


def index_version(manifest: dict[str, Any]) -> str:
    """Identifies the exact index of a manifest."""
    kind, _ = index_registry.parse_index_spec(manifest["index"])
    return str(manifest["files"][kind.file]["sha256"])


def index_bytes(manifest: dict[str, Any], photos: int) -> tuple[float, int]:
    """(bytes that a photo adds to an index's file, bytes that all photos share).

    Codes, ids and links against centroids, codebooks and rotations; a photo with local descriptors
    adds many vectors.
    """
    kind, _ = index_registry.parse_index_spec(manifest["index"])
    n, whole = manifest["n"], manifest["bytes_per_vector"] * manifest["n"]
    plan = Plan(manifest["build"], manifest["search"])
    try:
        shared = min(kind.shared_bytes(plan, n, manifest["d"]), int(whole))
    except (KeyError, TypeError, ValueError):  # a damaged manifest: loading says so
        shared = 0
    return (whole - shared) / max(1, photos), shared


def load_index(collection: str, extractor: str, index: str, vectors: Vectors) -> LoadedIndex:
    """Load and verify an index over exactly these vectors."""
    folder = index_folder(collection, extractor, index)
    mend = build_command(collection, extractor, index)
    manifest = index_manifest(collection, extractor, index)
    if manifest is None:
        raise NotFound(
            f"The collection {collection} has no {index} index of {extractor} yet.", command=mend
        )
    if manifest["vectors_sha256"] != vectors.version:
        raise Conflict(
            f"The {index} index of {extractor} for {collection} was built over other vectors than "
            f"those that are there now.",
            command=mend,
        )
    kind, _ = index_registry.parse_index_spec(index)
    path = artefact.file_path(folder, manifest, kind.file, mend)
    try:
        built = kind.load(path, manifest)
    except Unreachable:
        raise
    except PlaygroundError as error:
        raise Conflict(str(error), command=mend) from error
    rows = None
    if "rows.npy" in manifest["files"]:
        rows = np.load(artefact.file_path(folder, manifest, "rows.npy", mend), allow_pickle=False)
    return LoadedIndex(manifest, built, rows)


def index_damage(collection: str, extractor: str, index: str) -> PlaygroundError | None:
    """What is wrong with an index's files, or with all that a server holds of it.

    Raises:
        Unreachable: the server does not answer.
        Damaged: the manifest is.
    """
    folder = index_folder(collection, extractor, index)
    mend = build_command(collection, extractor, index)
    manifest = index_manifest(collection, extractor, index)
    if manifest is None:
        return None
    damage = artefact.damage(folder, manifest, mend)
    if damage is None:
        kind, _ = index_registry.parse_index_spec(index)
        try:
            kind.check(artefact.file_path(folder, manifest, kind.file, mend, content=False))
        except Unreachable:
            raise
        except PlaygroundError as error:
            damage = Conflict(str(error), command=mend)
    return damage


def drop_held(collection: str) -> None:
    """Remove what servers hold of a collection's indexes, before its files are deleted.

    Raises:
        PlaygroundError: a server does not let go now; nothing of ours is lost.
    """
    for extractor in built_extractors(collection):
        for index in built_indexes(collection, extractor):
            try:
                folder = index_folder(collection, extractor, index)
                manifest = index_manifest(collection, extractor, index)
                kind, _ = index_registry.parse_index_spec(index)
            except PlaygroundError:
                continue  # damaged, or its package is not here: nobody can tell what it held
            if manifest is not None:
                kind.drop(folder / Path(manifest["files"][kind.file]["file"]).name)


def built_indexes(collection: str, extractor: str) -> list[str]:
    """The specs of the indexes that are there, damaged or not, like ``built_extractors``.

    They come in the registry's order, factory strings last.
    """
    root = extractor_folder(collection, extractor) / "indexes"
    specs = []
    for folder in sorted(root.iterdir()) if root.is_dir() else []:
        if (folder / artefact.MANIFEST).is_file():
            found = (artefact.usable_manifest(folder) or {}).get("index")
            specs.append(_named(found, folder, index_registry))
    return sort_indexes(specs)


def sort_indexes(specs: Sequence[str]) -> list[str]:
    order = {name: i for i, name in enumerate(index_registry.names())}
    return sorted(specs, key=lambda s: (order.get(s.partition(":")[0], len(order)), s))
