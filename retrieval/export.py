"""What was built, as plain files for other tools: descriptors, ids, the index, matches."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from data import artefact
from data.errors import PlaygroundError
from indexing import registry as index_registry
from indexing.artefacts import Vectors, index_folder
from retrieval.engine import SearchEngine
from retrieval.ranking import SearchResult

ABOUT, READ_ME = "about.json", "README.md"
Form = Literal["npy", "mat", "parquet"]
FORMS: tuple[Form, ...] = get_args(Form)
_READ = """import faiss, numpy as np
index = faiss.read_index("index.faiss")
ids = open("ids.txt", encoding="utf-8").read().splitlines()
distances, rows = index.search(np.load("example_query.npy"), 10)
print([[ids[row] for row in one if row >= 0] for one in rows])
"""


def export(
    engine: SearchEngine,
    collection: str,
    extractor: str,
    folder: Path,
    form: Form = "npy",
) -> list[Path]:
    """Write descriptors with the ids of their rows.

    ``vectors.npy`` (n, D) float32, or ``vectors.mat`` (MATLAB: X (D, n), ids, geometry) or
    ``vectors.parquet`` (a row per vector: id, vector, and x, y, scale, score of local ones);
    ``ids.txt``, the photo of each row, one per line (a photo with
    local descriptors has many rows, one with none has none); ``geometry.npy`` (n, 4) x, y, scale,
    score for local ones; ``about.json``, what made them.

    Args:
        folder: empty or new.

    Returns:
        The files.

    Raises:
        PlaygroundError: nothing is built, or the folder is not empty.
    """
    vectors = engine.vectors(collection, extractor)
    _check_new(folder)
    ids = _ids_of_rows(vectors)
    about = {"collection": collection, **vectors.manifest["identity"]}
    with artefact.explain_os_errors(f"Writing {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
        _save_vectors(folder, vectors.vectors, ids, vectors.geometry, form)
        (folder / "ids.txt").write_text("".join(f"{one}\n" for one in ids), encoding="utf-8")
        if vectors.geometry is not None and form == "npy":
            _save(folder / "geometry.npy", vectors.geometry)
        (folder / ABOUT).write_text(json.dumps(about, indent=1, sort_keys=True), encoding="utf-8")
    return sorted(folder.iterdir())


def export_index(
    engine: SearchEngine, collection: str, extractor: str, index: str, folder: Path
) -> list[Path]:
    """Write a FAISS index for others to search.

    ``index.faiss``, readable by ``faiss.read_index``; ``ids.txt``, the photo of each of its
    entries, one per line; ``example_query.npy`` (1, D), the first entry's own vector;
    ``README.md`` with the five lines of Python that search it; ``about.json``, what made it.

    Args:
        folder: empty or new.

    Raises:
        PlaygroundError: it is not built or no FAISS index, or the folder is not empty.
    """
    vectors, found = engine.opened(collection, extractor, index)
    file = index_registry.parse_index_spec(index)[0].file
    if not file.endswith(".faiss"):
        raise PlaygroundError(
            f"{index} is no FAISS index, and only its own library reads {file}. Export another one."
        )
    _check_new(folder)
    rows = np.arange(found.built.n) if found.rows is None else found.rows
    ids = np.array(_ids_of_rows(vectors), dtype=object)[rows]
    source = artefact.file_path(
        index_folder(collection, extractor, index), found.manifest, file, "python -m scripts.build"
    )
    about = {
        "collection": collection,
        **vectors.manifest["identity"],
        "index": {key: value for key, value in found.manifest.items() if key != "files"},
    }
    words = (
        f"# {extractor} / {index} of {collection}\n\n{len(ids):,} vectors of "
        f"{vectors.vectors.shape[1]:,} numbers; several may belong to one photo. In this folder:"
        f"\n\n```python\n{_READ}```\n"
    )
    with artefact.explain_os_errors(f"Writing {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, folder / "index.faiss")
        (folder / "ids.txt").write_text("".join(f"{one}\n" for one in ids), encoding="utf-8")
        _save(folder / "example_query.npy", np.asarray(vectors.vectors[rows[:1]], np.float32))
        (folder / READ_ME).write_text(words, encoding="utf-8")
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


def _check_new(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise PlaygroundError(
            f"{folder} is not an empty folder, and nothing in it is overwritten. Give another one."
        )


def _ids_of_rows(vectors: Vectors) -> list[str]:
    """The photo of each row; a photo with local descriptors has many."""
    if vectors.offsets is None:
        return list(vectors.ids)
    counts = np.diff(vectors.offsets)
    return [one for one, count in zip(vectors.ids, counts, strict=True) for _ in range(int(count))]


def _save_vectors(
    folder: Path, matrix: Any, ids: list[str], geometry: Any | None, form: Form
) -> None:
    if form == "npy":
        _save(folder / "vectors.npy", matrix)
    elif form == "mat":
        variables = {"X": np.asarray(matrix).T, "ids": np.array(ids, dtype=object)}
        if geometry is not None:
            variables["geometry"] = np.asarray(geometry).T
        import scipy.io  # which a search need not wait for

        scipy.io.savemat(folder / "vectors.mat", variables, do_compression=True)
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        values = pa.array(np.asarray(matrix, np.float32).ravel())
        columns = {
            "id": pa.array(ids, pa.string()),
            "vector": pa.FixedSizeListArray.from_arrays(values, matrix.shape[1]),
        }
        if geometry is not None:
            places = np.asarray(geometry, np.float32)
            for column, name in enumerate(("x", "y", "scale", "score")):
                columns[name] = pa.array(places[:, column])
        pq.write_table(pa.table(columns), folder / "vectors.parquet")
