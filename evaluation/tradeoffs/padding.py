"""A collection's vectors padded with distractors to a size at which indexes differ.

The vectors lie on disk as an artefact and are memory-mapped, so that a million of them cost no
memory but that of the index that is built over them. Distractors are, in the words of
``--distractors``:

``simulated``         drawn from a model of the collection's own vectors (``simulate``)
``collection:NAME``   the vectors of another collection by the same extractor
``shards:PATH``       feature files, such as those of the R1M (``data.sources.distractors``)

Where there are fewer real ones than asked for, simulated ones follow, and are counted.
"""

from __future__ import annotations

import dataclasses
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from data import artefact, paths, permission, store
from data.descriptors import Matrix
from data.errors import PlaygroundError
from data.progress import Progress
from data.sources.distractors import open_shards
from evaluation.tradeoffs import simulate
from evaluation.tradeoffs.rows import SIMULATED, points_path
from extractors import registry as extractor_registry
from indexing.artefacts import Vectors, build_command, load_vectors, read_vectors_manifest
from indexing.base import Floats, Ints

_BLOCK = 16_384  # rows copied at a time
VISITORS_MOST = 10_000  # vectors that a classroom's visitor fills a collection up to: a minute
_RESERVE = 0.9  # share of the free disk and memory that may be asked for


@dataclasses.dataclass(frozen=True)
class VectorSet:
    """What indexes are built over: a collection's vectors first, then distractors.

    Attributes:
        vectors: (n, D) float32, memory-mapped; rows 0 to photos - 1 are the collection's.
        ids: the photos' ids, of those rows.
        padding: what the distractors are, in words; empty without any.
        simulated: how many of them were drawn from a model.
        plausibility: see ``simulate.Plausibility``; None without simulated ones.
        version: identifies the exact vectors.
        photos_version: identifies the collection's own (``Vectors.version``).
    """

    collection: str
    extractor: str
    vectors: Floats
    ids: tuple[str, ...]
    padding: str
    simulated: int
    plausibility: simulate.Plausibility | None
    version: str
    photos_version: str
    distractors: str = SIMULATED

    @property
    def n(self) -> int:
        return len(self.vectors)

    @property
    def photos(self) -> int:
        return len(self.ids)

    @property
    def dim(self) -> int:
        return int(self.vectors.shape[1])

    def photo_id(self, row: int) -> str | None:
        """The photo of a row; None for a distractor."""
        return self.ids[row] if row < len(self.ids) else None


def parse_size(text: str) -> int | None:
    """``10k``, ``1m``, ``250000``; ``real`` (the collection as it is) gives None."""
    word = text.strip().lower()
    if word == "real":
        return None
    factor = {"k": 1_000, "m": 1_000_000}.get(word[-1:], 1)
    digits = word[:-1] if factor > 1 else word
    if not (digits.isascii() and digits.isdigit()) or not 1 <= int(digits) * factor <= 10**9:
        raise PlaygroundError(f"'{text}' is not a size. Legal: real, 10k, 1m, 250000.")
    return int(digits) * factor


def check_size(n: int | None) -> None:
    """Refuse visitors what would keep everybody waiting; None is the collection as it is.

    Raises:
        Refused: a visitor asks for more than ``VISITORS_MOST`` vectors.
    """
    if n is not None and n > VISITORS_MOST:
        permission.require(f"measure over {n:,} vectors (visitors: up to {VISITORS_MOST:,})")


def real_vectors(collection: str, extractor: str) -> Vectors:
    """The collection's vectors of an extractor with one vector per photo.

    Raises:
        PlaygroundError: not built, or local descriptors.
    """
    spec = extractor_registry.canonical(extractor)
    vectors = load_vectors(store.load(collection), spec)[0]
    if vectors.offsets is not None:
        raise PlaygroundError(
            f"{spec} describes a photo by many local descriptors that vote for it, so recall of "
            f"one index says little about its answers. Choose an extractor with one vector per "
            f"photo, such as resnet50."
        )
    return vectors


def open_set(
    collection: str,
    extractor: str,
    n: int | None = None,
    distractors: str = SIMULATED,
    progress: Progress | None = None,
    seed: int = 0,
) -> VectorSet:
    """A collection's vectors, padded to n; made at the first call and kept on disk.

    Args:
        n: how many vectors there are to be in all; None: the collection's alone.
        distractors: see above.
        progress: told of the rows written.

    Raises:
        PlaygroundError: the vectors are not built or local, n is smaller than the collection,
            the distractors do not fit, or there is not enough disk.
    """
    spec = extractor_registry.canonical(extractor)
    own = real_vectors(collection, spec)
    kept = np.flatnonzero(np.asarray(own.vectors).any(axis=1))  # a zero vector describes nothing
    if len(kept) == 0:
        raise PlaygroundError(f"{spec} found nothing to describe in any photo of {collection}.")
    ids = tuple(own.ids[row] for row in kept)
    if n is None and len(kept) == len(own.ids):
        return VectorSet(collection, spec, own.vectors, ids, "", 0, None, own.version, own.version)
    n = len(kept) if n is None else n
    if n < len(kept):
        raise PlaygroundError(
            f"The collection {collection} has {len(kept):,} vectors, more than the {n:,} asked "
            f"for. Legal: real, or a larger size."
        )
    source = _source(distractors, own, collection, spec) if n > len(kept) else None
    key = {
        "kind": "padded vectors",
        "photos": own.version,
        "n": n,
        "distractors": source.identity if source else "",
        "model": simulate.VERSION,
        "seed": seed,
    }
    folder = set_folder(collection, spec, n, distractors)
    mend = f"python -m scripts.benchmark index --collection {collection} --extractor '{spec}'"
    manifest = artefact.read_manifest(folder)
    if manifest is None or any(manifest.get(name) != value for name, value in key.items()):
        doing = f"Padding the vectors of {spec} to {n:,}"
        with artefact.explain_os_errors(doing), artefact.exclusive(folder, doing):
            _check_disk(folder, n, int(own.vectors.shape[1]), collection, len(kept))
            manifest = _write(folder, key, own, kept, n, source, progress, seed)
    path = artefact.file_path(folder, manifest, "vectors.npy", mend)
    vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    if vectors.shape != (n, own.vectors.shape[1]) or vectors.dtype != np.float32:
        raise PlaygroundError(f"{path} is {vectors.shape} {vectors.dtype}. Delete {folder}.")
    found = manifest["plausibility"]
    plausibility = simulate.Plausibility(**found) if found else None
    version = str(manifest["files"]["vectors.npy"]["sha256"])
    words, simulated = str(manifest["padding"]), int(manifest["simulated"])
    return VectorSet(
        collection,
        spec,
        vectors,
        ids,
        words,
        simulated,
        plausibility,
        version,
        own.version,
        distractors,
    )


def set_folder(collection: str, extractor: str, n: int, distractors: str = SIMULATED) -> Path:
    """Where padded vectors are kept."""
    name = f"{n}-{distractors.partition(':')[0]}"
    if distractors != SIMULATED:
        name += f"-{artefact.digest(distractors)[:12]}"
    return points_path(collection, extractor).parent / "vectors" / name


def clear(collection: str, extractor: str) -> int:
    """Delete all padded vectors of an extractor; measured points stay. Returns the bytes freed.

    Raises:
        PlaygroundError: a set is being written, or a visitor asks.
    """
    permission.require("delete padded vectors")
    spec = extractor_registry.canonical(extractor)
    freed = 0
    for folder in sorted(set_folder(collection, spec, 0).parent.glob("*/")):
        doing = f"Deleting {folder}"
        with artefact.explain_os_errors(doing), artefact.exclusive(folder, doing):
            freed += sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            (folder / artefact.MANIFEST).unlink(missing_ok=True)  # it is no set any more
        shutil.rmtree(folder)
    return freed


def others_with(collection: str, extractor: str) -> list[str]:
    """Other collections whose vectors of this extractor could be the distractors."""
    mine = read_vectors_manifest(collection, extractor)
    found = []
    for folder in sorted(paths.artifacts_root().joinpath("vectors").glob("*")):
        if folder.name != collection and mine is not None:
            theirs = read_vectors_manifest(folder.name, extractor)
            if theirs is not None and theirs["identity"] == mine["identity"]:
                found.append(folder.name)
    return found


# Where distractors come from


@dataclasses.dataclass(frozen=True)
class _Source:
    """Distractors that are there; ``count`` 0 and no blocks for simulated ones."""

    identity: str
    words: str
    count: int
    blocks: Callable[[], Iterator[Floats]]
    labels: tuple[str | None, ...]  # of the collection's own photos, for the model


def _source(text: str, own: Vectors, collection: str, spec: str) -> _Source:
    members = store.load(collection)
    labels = tuple(members.photo(one).label for one in own.ids)
    kind, _, where = text.partition(":")
    if text == SIMULATED:
        return _Source(SIMULATED, "", 0, lambda: iter(()), labels)
    if kind == "collection" and where:
        return _of_collection(where, own, collection, spec, labels)
    if kind == "shards" and where:
        return _of_shards(where, own, labels)
    raise PlaygroundError(
        f"'{text}' names no distractors. Legal: simulated, collection:NAME (another collection "
        f"with vectors of {spec}), shards:PATH (a folder of .npy, .mat or .parquet files)."
    )


def _of_collection(
    name: str, own: Vectors, collection: str, spec: str, labels: tuple[str | None, ...]
) -> _Source:
    if name == collection:
        raise PlaygroundError(f"{name} cannot be its own distractors. Name another collection.")
    vectors = real_vectors(name, spec)
    if vectors.manifest["identity"] != own.manifest["identity"]:
        raise PlaygroundError(
            f"The vectors of {spec} of {name} were made with another configuration or weights "
            f"than those of {collection}, so they do not compare. Run: {build_command(name, spec)}"
        )

    def blocks() -> Iterator[Floats]:
        for start in range(0, len(vectors.vectors), _BLOCK):
            block = vectors.vectors[start : start + _BLOCK]
            yield block[block.any(axis=1)]

    count = sum(len(block) for block in blocks())
    words = f"vectors of the collection {name}"
    return _Source(f"collection {name} {vectors.version}", words, count, blocks, labels)


def _of_shards(where: str, own: Vectors, labels: tuple[str | None, ...]) -> _Source:
    path = Path(where).expanduser()
    matrix: Matrix = open_shards(path, dim=int(own.vectors.shape[1]))
    unit = np.allclose(np.linalg.norm(own.vectors[:256], axis=1), 1, atol=1e-3)

    def blocks() -> Iterator[Floats]:
        for raw in matrix.blocks():
            block = np.asarray(raw, np.float32)
            if not np.isfinite(block).all():
                raise PlaygroundError(f"{path} holds NaN or infinity among its descriptors.")
            lengths = np.linalg.norm(block, axis=1, keepdims=True)
            block = block[lengths[:, 0] > 0] / (lengths[lengths[:, 0] > 0] if unit else 1)
            yield from (block[i : i + _BLOCK] for i in range(0, len(block), _BLOCK))

    # Their sizes and times stand for their content: hashing 8 GB would take as long as the rest.
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    stamps = [[f.name, f.stat().st_size, f.stat().st_mtime_ns] for f in files if f.is_file()]
    identity = f"shards {artefact.digest(stamps)}"
    return _Source(identity, f"feature files of {path.name}", matrix.rows, blocks, labels)


# Writing


def _write(
    folder: Path,
    key: dict[str, Any],
    own: Vectors,
    kept: Ints,
    n: int,
    source: _Source | None,
    progress: Progress | None,
    seed: int,
) -> dict[str, Any]:
    dim = int(own.vectors.shape[1])
    wanted = n - len(kept)
    given = min(wanted, source.count) if source else 0
    model, plausibility, simulated = None, None, wanted - given
    if source is not None and simulated:
        model, plausibility = _fitted(own, kept, source.labels, seed)
    words = [f"{given:,} {source.words}"] if source and given else []
    words += [f"{simulated:,} simulated"] if simulated else []

    def parts() -> Iterator[Floats]:
        for start in range(0, len(kept), _BLOCK):
            yield own.vectors[kept[start : start + _BLOCK]]
        if source is not None and given:
            yield from _first(source.blocks(), given)
        if model is not None:
            yield from model.blocks(simulated)

    def write(path: Path) -> None:
        written = 0
        with open(path, "wb") as handle:
            header = {"descr": "<f4", "fortran_order": False, "shape": (n, dim)}
            np.lib.format.write_array_header_2_0(handle, header)
            for block in parts():
                handle.write(np.ascontiguousarray(block, "<f4").data)
                written += len(block)
                if progress is not None:
                    progress(written, n, "distractors")
        if written != n:
            raise PlaygroundError(f"The distractors ended after {written:,} of {n:,} vectors.")

    meta = {
        **key,
        "padding": " and ".join(words),
        "simulated": simulated,
        "plausibility": dataclasses.asdict(plausibility) if plausibility else None,
    }
    return artefact.save(folder, meta, {"vectors.npy": write})


def _fitted(
    own: Vectors, kept: Ints, labels: Sequence[str | None], seed: int
) -> tuple[simulate.Model, simulate.Plausibility]:
    """The model of a collection's vectors, and how near it is to them."""
    vectors = np.asarray(own.vectors[kept], np.float32)
    chosen = [labels[int(row)] for row in kept]
    model = simulate.fit(vectors, chosen, seed)
    known = chosen if all(label is not None for label in chosen) else None
    return model, simulate.check(vectors, model.block(0), known)


def _first(blocks: Iterator[Floats], count: int) -> Iterator[Floats]:
    for block in blocks:
        if count <= 0:
            return
        yield block[:count]
        count -= len(block)


def _check_disk(folder: Path, n: int, dim: int, collection: str, photos: int) -> None:
    needed = 4 * n * dim
    place = next(parent for parent in folder.parents if parent.exists())
    free = shutil.disk_usage(place).free
    if needed > _RESERVE * free:
        most = round_down(int(_RESERVE * free / (4 * dim)))
        raise PlaygroundError(
            f"{n:,} vectors of {dim} numbers take {needed / 1e9:.1f} GB of disk, and "
            f"{free / 1e9:.1f} GB are free. " + what_fits(most, photos, collection)
        )


def what_fits(most: int, photos: int, collection: str) -> str:
    """A sentence with the largest size that fits."""
    if most <= photos:
        return f"Only {collection} as it is would fit: --sizes real."
    return f"What fits: up to {most:,} vectors, such as --sizes real,{most}."


def round_down(count: int) -> int:
    """To two digits: 1,234,567 becomes 1,200,000."""
    if count < 100:
        return max(0, count)
    unit = 10 ** (int(math.log10(count)) - 1)
    return count // unit * unit


def free_memory() -> int:
    """Bytes that may be asked for."""
    return int(_RESERVE * psutil.virtual_memory().available)
