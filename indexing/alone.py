"""An index built in a process of its own: a native crash takes that index and nothing else.

FAISS ends the process on some combinations of parts that its factory accepts, and may write where
it should not before. Vectors go over as the file that they lie in, the index comes back as one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data import child
from data.errors import PlaygroundError

_ROOM = ".alone-"


@dataclasses.dataclass(frozen=True)
class Made:
    """A built index: its figures, and how it is written to a file."""

    bytes_per_vector: float
    code_size: int
    save: Callable[[Path], None]


@contextlib.contextmanager
def built(
    index: str, vectors: Path, rows: NDArray[np.int64] | None, folder: Path
) -> Iterator[Made]:
    """Build an index over the rows of a matrix in another process.

    Args:
        index: the spec.
        vectors: a .npy file of float32, (n, d).
        rows: those to index; None: all.
        folder: where the index is written for a while: the disk that it will stay on.

    Raises:
        PlaygroundError: the index cannot be built, or the process died.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f"{_ROOM}*"):  # of a build that was killed
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_ROOM, dir=folder) as name:
        room = Path(name)
        if rows is not None:
            np.save(room / "rows.npy", rows, allow_pickle=False)
        try:
            answer, _ = child.once(
                "indexing.alone:build",
                {"index": index, "vectors": str(vectors), "room": name},
            )
        except child.Died as error:
            raise PlaygroundError(
                f"The process that built the index {index} died ({error}): FAISS cannot build this "
                f"string over these vectors. Nothing else was lost. Choose another string, such as "
                f"PQ16x4fs,RFlat, or the index 'flat', which always can be built."
            ) from error
        source = room / "index"
        yield Made(
            float(answer["bytes_per_vector"]),
            int(answer["code_size"]),
            lambda path: os.replace(source, path),
        )


# In the process of its own


def build(request: dict[str, Any], payload: bytes) -> child.Frame:
    """Build what is asked for; the index goes to a file of the room."""
    from indexing import registry
    from indexing.faiss_settings import building

    room = Path(request["room"])
    kind, overrides = registry.parse_index_spec(request["index"])
    matrix: NDArray[np.float32] = np.load(request["vectors"], mmap_mode="r", allow_pickle=False)
    if (room / "rows.npy").is_file():
        matrix = matrix[np.load(room / "rows.npy", allow_pickle=False)]
    with building():
        plan = kind.plan(len(matrix), matrix.shape[1], overrides)
        made = kind.build(np.ascontiguousarray(matrix), plan)
    made.save(room / "index")
    return {"bytes_per_vector": made.bytes_per_vector, "code_size": made.code_size}, b""
