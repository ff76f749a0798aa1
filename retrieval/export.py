"""What was built, as plain files for other tools: descriptors, ids, the index, matches."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from data import artefact
from data.errors import PlaygroundError
from indexing import registry as index_registry
from indexing.artefacts import index_folder
from retrieval.engine import SearchEngine
from retrieval.ranking import SearchResult

ABOUT = "about.json"


def export(
    engine: SearchEngine, collection: str, extractor: str, index: str | None, folder: Path
) -> list[Path]:
    """Write descriptors, and an index over them, with the ids of their rows.

    ``vectors.npy`` (n, D) float32; ``ids.txt``, the photo of each row, one per line (a photo with
    local descriptors has many rows, one with none has none); ``geometry.npy`` (n, 4) x, y, scale,
    score for local ones; ``index.faiss``, readable by ``faiss.read_index``, and ``index_rows.npy``,
    the row of ``vectors.npy`` of each of its entries; ``about.json``, what made them.

    Args:
        folder: empty or new.

    Returns:
        The files.

    Raises:
        PlaygroundError: nothing is built, or the folder is not empty.
    """
    vectors = engine.vectors(collection, extractor)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise PlaygroundError(
            f"{folder} is not an empty folder, and nothing in it is overwritten. Give another one."
        )
    ids: list[str] = list(vectors.ids)
    if vectors.offsets is not None:
        counts = np.diff(vectors.offsets)
        ids = [one for one, count in zip(ids, counts, strict=True) for _ in range(int(count))]
    about: dict[str, Any] = {"collection": collection, **vectors.manifest["identity"]}
    with artefact.explain_os_errors(f"Writing {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
        _save(folder / "vectors.npy", vectors.vectors)
        (folder / "ids.txt").write_text("".join(f"{one}\n" for one in ids), encoding="utf-8")
        if vectors.geometry is not None:
            _save(folder / "geometry.npy", vectors.geometry)
        if index is not None:
            vectors, found = engine.opened(collection, extractor, index)
            source = index_registry.parse_index_spec(index)[0].file
            path = artefact.file_path(
                index_folder(collection, extractor, index),
                found.manifest,
                source,
                "python -m scripts.build",
            )
            shutil.copyfile(path, folder / source)
            rows = np.arange(found.built.n) if found.rows is None else found.rows
            _save(folder / "index_rows.npy", rows)
            about["index"] = {key: value for key, value in found.manifest.items() if key != "files"}
        (folder / ABOUT).write_text(json.dumps(about, indent=1, sort_keys=True), encoding="utf-8")
    return sorted(folder.iterdir())


def matches_npz(result: SearchResult) -> bytes:
    """The verified matches of a result as an .npz.

    ``ids``: the photos, best first; ``offsets`` (photos + 1,): photo i has the rows offsets[i] to
    offsets[i + 1] of ``places`` (m, 4) float32 px: x, y in the query's photo, x, y in the found
    one; ``box``: the searched region.
    """
    found = [(hit.id, result.matches[hit.id]) for hit in result.hits if hit.id in result.matches]
    counts = [len(places) for _, places in found]
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        ids=np.array([one for one, _ in found], dtype=np.str_),
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        places=np.concatenate([np.empty((0, 4), np.float32), *(places for _, places in found)]),
        box=np.array(result.box, np.int64),
    )
    return buffer.getvalue()


def _save(path: Path, values: Any) -> None:
    with open(path, "wb") as handle:
        np.save(handle, values, allow_pickle=False)
