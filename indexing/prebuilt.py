"""Artefacts that come with the demo: packed once, restored where they match, built where not.

A pack is an artefact itself, one ``pack.tar.xz``. It holds the files of whole artefacts as they
lie below ``$PLAYGROUND_HOME``, so that what is restored is byte for byte what was built. Each
artefact's manifest is its last member: a restore that is killed leaves no artefact half, and the
next one goes on. Nothing that is there already is replaced.

Descriptors are packed in half precision (``to_half``), which packs two to three times better.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import lzma
import os
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import filelock
import numpy as np
from numpy.typing import NDArray

from data import artefact, paths
from data.errors import Conflict, PlaygroundError
from data.store import Collection
from extractors import registry as extractor_registry
from indexing.artefacts import (
    build_command,
    extractor_folder,
    identity_difference,
    read_vectors_manifest,
)

KIND = "prebuilt"
FILE = "pack.tar.xz"
PACKED = "packed"  # in the record of a packed artefact: true
MOST = 12_000_000  # bytes of a pack
_WAIT = 300  # s for another process that restores the same
_ROOMS = ("vectors", "evaluations")  # folders of $PLAYGROUND_HOME that a pack may write to
# Long matches find the same rows in descriptors and indexes; numbers of 4 bytes lie aligned.
_FILTERS = [
    {"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 1 << 26, "lc": 1, "lp": 2, "pb": 2},
]


@dataclasses.dataclass(frozen=True)
class Restored:
    """What ``restore`` did.

    Attributes:
        parts: the artefacts and files that it made, relative to ``$PLAYGROUND_HOME``.
        refused: extractor to a sentence: why nothing of it was taken; "" for all of them.
    """

    parts: tuple[str, ...] = ()
    refused: Mapping[str, str] = dataclasses.field(default_factory=dict)


# Packing


def to_half(collection: str, spec: str) -> None:
    """Round the built descriptors to half precision (float16); nothing where they are already.

    The saved matrix stays float32. Its indexes have to be built afterwards.

    Raises:
        PlaygroundError: they are not built or damaged.
    """
    folder, mend = extractor_folder(collection, spec), build_command(collection, spec)
    manifest = read_vectors_manifest(collection, spec)
    if manifest is None:
        raise Conflict(f"The collection {collection} has no vectors of {spec}.", command=mend)
    if manifest.get("precision") == "float16":
        return
    paths_of = {
        name: artefact.file_path(folder, manifest, name, mend) for name in manifest["files"]
    }
    content = {name: path.read_bytes() for name, path in paths_of.items() if name != "vectors.npy"}
    rounded = halved(np.load(paths_of["vectors.npy"], allow_pickle=False))

    def vectors(path: Path) -> None:
        with open(path, "wb") as handle:
            np.save(handle, rounded, allow_pickle=False)

    writers = {name: _writer(each) for name, each in content.items()} | {"vectors.npy": vectors}
    meta = {k: v for k, v in manifest.items() if k not in ("files", "format")}
    artefact.save(folder, {**meta, "precision": "float16"}, writers, artefact.read_record(folder))


def halved(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The nearest numbers of half precision, as float32 (same shape)."""
    return vectors.astype(np.float16).astype(np.float32)


def _writer(content: bytes) -> Any:
    return lambda path: path.write_bytes(content)


def make(
    collection: Collection, content: str, parts: Mapping[str, Sequence[Path]], folder: Path
) -> dict[str, Any]:
    """Pack built artefacts.

    Args:
        content: identifies photos, queries and ground truth; a restore asks for the same.
        parts: extractor to the folders of its artefacts and to plain files, all below
            ``$PLAYGROUND_HOME``, its descriptors first.
        folder: where the pack is saved, as an artefact.

    Returns:
        The pack's manifest.

    Raises:
        PlaygroundError: something is not built, or the pack would be larger than ``MOST``.
    """
    home = paths.artifacts_root()
    vectors, listed, total = {}, {}, 0
    for spec, places in parts.items():
        manifest = read_vectors_manifest(collection.name, spec)
        if manifest is None or manifest["fingerprint"] != collection.fingerprint:
            raise Conflict(
                f"The vectors of {spec} for {collection.name} are missing or out of date.",
                command=build_command(collection.name, spec),
            )
        vectors[spec] = {
            "identity": manifest["identity"],
            "version": manifest["files"]["vectors.npy"]["sha256"],
        }
        listed[spec] = [place.relative_to(home).as_posix() for place in places]
    packed = io.BytesIO()
    with (
        lzma.open(packed, "wb", filters=_FILTERS) as stream,
        tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        for spec in parts:
            for place in parts[spec]:
                for name, payload in _members(place):
                    total += len(payload)
                    member = tarfile.TarInfo(place.relative_to(home).joinpath(name).as_posix())
                    member.size = len(payload)
                    tar.addfile(member, io.BytesIO(payload))
    if packed.tell() > MOST:
        raise PlaygroundError(
            f"The pack would have {packed.tell():,} bytes. Legal: {MOST:,}. Leave an extractor out."
        )
    meta = {
        "kind": KIND,
        "collection": collection.name,
        "content": content,
        "fingerprint": collection.fingerprint,
        "vectors": vectors,
        "parts": listed,
        "unpacked": total,
    }
    return artefact.save(folder, meta, {FILE: _writer(packed.getvalue())})


def _members(place: Path) -> Iterator[tuple[str, bytes]]:
    """(name, content) of a plain file, or of an artefact's files, its manifest last."""
    if place.is_file():
        yield "", place.read_bytes()
        return
    manifest = artefact.read_manifest(place)
    if manifest is None:
        raise PlaygroundError(f"{place} holds no artefact to pack.")
    for entry in manifest["files"].values():
        yield entry["file"], (place / entry["file"]).read_bytes()
    record = {**artefact.read_record(place), PACKED: True}
    yield artefact.RECORD, artefact.canonical_json(record).encode()
    yield artefact.MANIFEST, (place / artefact.MANIFEST).read_bytes()


# Restoring


def restore(collection: Collection, content: str, folder: Path) -> Restored:
    """Put what is packed, fits and is not there yet into its place.

    Args:
        content: see ``make``.
        folder: the pack's.

    Raises:
        PlaygroundError: the pack is damaged, or the disk is full or cannot be written.
    """
    mend = f"git checkout -- {_shown(folder)}"
    manifest = artefact.read_manifest(folder, KIND, mend)
    if manifest is None:
        return Restored()
    name = collection.name
    if manifest["collection"] != name:
        return Restored(refused={"": f"{folder} is of the collection {manifest['collection']}."})
    if manifest["content"] != content or manifest["fingerprint"] != collection.fingerprint:
        said = f"The photos or queries of {name} are others than those of the time of packing."
        return Restored(refused={"": said})
    refused = {
        spec: said for spec in manifest["parts"] if (said := _refusal(name, spec, manifest)) != ""
    }
    fitting = [spec for spec in manifest["parts"] if spec not in refused]
    if not _lacking(manifest, fitting):
        return Restored(refused=refused)
    home = paths.artifacts_root()
    with artefact.explain_os_errors(f"Restoring what is packed of {name}"):
        home.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as held:
            lock = filelock.FileLock(str(home / f".{name}.prebuilt.lock"), timeout=_WAIT)
            held.enter_context(lock)
            for spec in fitting:
                place = extractor_folder(name, spec)
                try:
                    held.enter_context(artefact.exclusive(place, f"Building {spec} for {name}"))
                except Conflict as error:  # whoever builds it makes the same
                    refused[spec] = str(error)
            wanted = _lacking(manifest, [spec for spec in fitting if spec not in refused])
            path = artefact.file_path(folder, manifest, FILE, mend)
            _unpack(path, wanted, int(manifest["unpacked"]), mend)
    return Restored(tuple(wanted), refused)


def _refusal(name: str, spec: str, manifest: Mapping[str, Any]) -> str:
    """Why nothing of an extractor is restored; empty where all may be."""
    packed = manifest["vectors"][spec]
    try:
        difference = identity_difference(extractor_registry.create(spec), packed)
    except PlaygroundError as error:
        return str(error)
    if difference is not None:
        return f"{spec} describes otherwise than when the demo was packed: {difference}."
    there = read_vectors_manifest(name, spec)
    if there is not None and there["files"]["vectors.npy"]["sha256"] != packed["version"]:
        return f"{spec} was described on this machine already."
    return ""


def _lacking(manifest: Mapping[str, Any], specs: Sequence[str]) -> list[str]:
    """The parts of these extractors that are not there yet, in the pack's order."""
    home, found = paths.artifacts_root(), []
    for spec in specs:
        for part in manifest["parts"][spec]:
            place = home / _checked(part, str(manifest["collection"]))
            if not (place.is_file() or (place / artefact.MANIFEST).is_file()):
                found.append(str(part))
    return found


def _checked(part: str, collection: str) -> PurePosixPath:
    """A part's path, if it lies where the collection's artefacts are."""
    path = PurePosixPath(part)
    rooms = [(room, paths.check_name(collection, "collection")) for room in _ROOMS]
    if path.is_absolute() or ".." in path.parts or path.parts[:2] not in rooms:
        raise Conflict(f"A pack names {part!r}, which is no place for an artefact.")
    return path


def _unpack(path: Path, wanted: Sequence[str], most: int, mend: str) -> None:
    """Write the members of the wanted parts. Not synced: a power cut costs a build at most."""
    home, room = paths.artifacts_root(), most
    try:
        with tarfile.open(path, "r|xz") as tar:
            for member in tar:
                room -= member.size
                if room < 0:
                    raise Conflict(f"{path} unpacks to more than it says.", command=mend)
                part = next((one for one in wanted if _within(member.name, one)), None)
                stream = tar.extractfile(member) if part and member.isreg() else None
                if stream is None:
                    continue
                target = home / PurePosixPath(member.name)
                target.parent.mkdir(parents=True, exist_ok=True)
                temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
                temporary.write_bytes(stream.read())
                os.replace(temporary, target)
                if target.name == artefact.MANIFEST:
                    for left_over in target.parent.glob(".*.tmp"):  # of a restore that was killed
                        left_over.unlink(missing_ok=True)
    except (tarfile.TarError, lzma.LZMAError, EOFError) as error:
        raise Conflict(f"{path} cannot be unpacked ({error}).", command=mend) from error


def _within(name: str, part: str) -> bool:
    """Whether a member is the part itself or lies directly in its folder."""
    return name == part or str(PurePosixPath(name).parent) == part


def _shown(folder: Path) -> str:
    if folder.is_relative_to(paths.PROJECT_ROOT):
        return folder.relative_to(paths.PROJECT_ROOT).as_posix()
    return str(folder)


def said_of(record: Mapping[str, Any]) -> str:
    """Where and when a packed artefact was made, in words; empty for one of this machine."""
    if record.get(PACKED) is not True:
        return ""
    runtime = f" ({record['runtime']})" if record.get("runtime") else ""
    date = str(record.get("date", ""))[:10]
    return f"on {record.get('machine', 'another machine')}{runtime}, {date}, for the demo's pack"
