"""Make an experiment over a collection, and keep its rows.

They lie in ``evaluations/<collection>/tradeoffs/<extractor>/lab/<experiment>`` as an artefact,
which says of which vectors and on which machine they are.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data import artefact, permission, store
from data.errors import PlaygroundError
from data.progress import Progress, Steps
from evaluation.lab import registry
from evaluation.lab.base import Ground, Row
from evaluation.tradeoffs import measure, padding, questions
from evaluation.tradeoffs.rows import points_path
from extractors import registry as extractor_registry
from indexing.artefacts import load_vectors, read_vectors_manifest
from indexing.base import Floats
from indexing.build import library_versions

VERSION = 1  # raised when an experiment would give other rows
KIND, FILE = "lab experiment", "rows.json"
SIZE = 10_000  # vectors at least, so that indexes differ
_STRANGERS = 2  # other collections whose photos are asked


@dataclasses.dataclass(frozen=True)
class Kept:
    """The rows of an experiment.

    Attributes:
        n: vectors; ``simulated`` of them were drawn from a model.
        padding: what the distractors are, in words; empty without any.
        stale: why the rows are out of date, in words; empty for those that are not.
    """

    experiment: str
    rows: tuple[Row, ...]
    n: int
    simulated: int
    padding: str
    machine: dict[str, Any]
    date: str
    stale: str = ""


def run(
    collection: str,
    extractor: str,
    names: Sequence[str],
    size: int | None = SIZE,
    progress: Progress | None = None,
) -> list[Kept]:
    """Make experiments, and keep each as soon as it is done.

    Visitors of a classroom get what is kept and up to date as it is.

    Args:
        names: of the registry.
        size: vectors in all, where the collection has fewer; None: the collection's alone.

    Raises:
        PlaygroundError: an unknown name, vectors that are not built or local, or another process
            that measures the same.
        Refused: a visitor asks for too many vectors.
    """
    padding.check_size(size)
    chosen = [registry.experiment(name) for name in names]
    spec = extractor_registry.canonical(extractor)
    own = padding.real_vectors(collection, spec)
    wanted = size if size is not None and size > len(own.ids) else None
    doing = f"Experiments with {spec} on {collection}"
    kept = []
    with artefact.explain_os_errors(doing), artefact.exclusive(_folder(collection, spec), doing):
        vectors = padding.open_set(collection, spec, wanted)
        asked = questions.ask(vectors)
        others = strangers(collection, spec)
        for one in chosen:
            before = None if permission.allowed() else load(collection, spec, one.name)
            if before is not None and not before.stale:
                kept.append(before)
                continue
            rows = list(one.measure(Ground(vectors, asked, others, Steps(progress))))
            meta = {
                "kind": KIND,
                "version": VERSION,
                "experiment": one.name,
                "vectors": vectors.photos_version,
                "n": vectors.n,
                "simulated": vectors.simulated,
                "padding": vectors.padding,
                "machine": measure.machine(),
                "versions": library_versions(),
                "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            }
            text = json.dumps([dataclasses.asdict(row) for row in rows])

            def write(path: Path, text: str = text) -> None:
                path.write_text(text, encoding="utf-8")

            artefact.save(_folder(collection, spec) / one.name, meta, {FILE: write})
            found = load(collection, spec, one.name)
            assert found is not None
            kept.append(found)
    return kept


def load(collection: str, extractor: str, name: str) -> Kept | None:
    """The kept rows of an experiment; None where it was not made.

    Raises:
        PlaygroundError: the file is damaged.
    """
    spec = extractor_registry.canonical(extractor)
    folder = _folder(collection, spec) / name
    mend = command(collection, spec, name)
    manifest = artefact.read_manifest(folder, KIND, mend)
    if manifest is None or manifest["version"] != VERSION:
        return None
    path = artefact.file_path(folder, manifest, FILE, mend)
    rows = tuple(Row(**one) for one in json.loads(path.read_text(encoding="utf-8")))
    now = read_vectors_manifest(collection, spec)
    current = now["files"]["vectors.npy"]["sha256"] if now else ""
    changed = f"The vectors of {spec} have changed since this was measured."
    return Kept(
        name,
        rows,
        int(manifest["n"]),
        int(manifest["simulated"]),
        str(manifest["padding"]),
        dict(manifest["machine"]),
        str(manifest["date"]),
        "" if manifest["vectors"] == current else changed,
    )


def command(collection: str, extractor: str, name: str) -> str:
    """The command that makes an experiment again."""
    return (
        f"python -m scripts.benchmark lab --collection {collection} --extractor '{extractor}' "
        f"--experiments {name}"
    )


def strangers(collection: str, spec: str) -> dict[str, Floats]:
    """The vectors of other collections by the same extractor, where they are built."""
    found: dict[str, Floats] = {}
    for name in store.list_collections():
        if name == collection or len(found) == _STRANGERS:
            continue
        try:
            vectors = load_vectors(store.load(name), spec)[0]
        except PlaygroundError:
            continue
        if vectors.offsets is None:
            found[name] = np.asarray(vectors.vectors, np.float32)
    return found


def _folder(collection: str, spec: str) -> Path:
    return points_path(collection, spec).parent / "lab"
