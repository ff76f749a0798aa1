"""An index built in a process of its own: a native crash takes that index and nothing else.

    python -m indexing.alone   (started by ``built``; it reads one JSON object from stdin)

FAISS ends the process on some combinations of parts that its factory accepts, and may write where
it should not before. Vectors go over as the file that they lie in, the index comes back as one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import PlaygroundError
from data.paths import PROJECT_ROOT

COMMAND = (sys.executable, "-m", "indexing.alone")
_ROOM = ".alone-"
_REFUSED = 2  # exit status of the child: the answer is a sentence


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
        answer = _run({"index": index, "vectors": str(vectors), "room": name})
        if "error" in answer:
            raise PlaygroundError(answer["error"])
        source = room / "index"
        yield Made(
            float(answer["bytes_per_vector"]),
            int(answer["code_size"]),
            lambda path: os.replace(source, path),
        )


def _run(request: dict[str, Any]) -> dict[str, Any]:
    process = subprocess.Popen(
        COMMAND,
        cwd=PROJECT_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stdin is not None and process.stdout is not None
        # stdin stays open: its end tells the child that this process is gone.
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
        said, complaint = _both(process)
        code = process.wait()
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()
    if code in (0, _REFUSED):
        answer: dict[str, Any] = json.loads(said)
        return answer
    sys.stderr.write(complaint)
    if code > 0 and "Traceback" in complaint:
        raise RuntimeError(f"building {request['index']} failed: {complaint.splitlines()[-1]}")
    raise PlaygroundError(
        f"The process that built the index {request['index']} died ({_death(code)}): FAISS cannot "
        f"build this string over these vectors. Nothing else was lost. Choose another string, such "
        f"as PQ16x4fs,RFlat, or the index 'flat', which always can be built."
    )


def _both(process: subprocess.Popen[bytes]) -> tuple[str, str]:
    """What the process writes to stdout and stderr until it ends."""
    parts: dict[str, bytes] = {}

    def drain(name: str, stream: Any) -> None:
        parts[name] = stream.read()

    threads = [
        threading.Thread(target=drain, args=(name, getattr(process, name)), daemon=True)
        for name in ("stdout", "stderr")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return parts["stdout"].decode(errors="replace"), parts["stderr"].decode(errors="replace")


def _death(code: int) -> str:
    if code >= 0:
        return f"exit status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    more = ", perhaps for lack of memory" if name == "SIGKILL" else ""
    return f"{name}{more}"


# In the process of its own


def _end_with_the_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(130)


def main() -> int:
    """Build what stdin asks for; the answer goes to stdout."""
    from indexing import registry
    from indexing.faiss_settings import building

    request = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    # Ctrl-C goes to the whole group of processes; the parent's word counts.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    room = Path(request["room"])
    try:
        kind, overrides = registry.parse_index_spec(request["index"])
        matrix: NDArray[np.float32] = np.load(request["vectors"], mmap_mode="r", allow_pickle=False)
        if (room / "rows.npy").is_file():
            matrix = matrix[np.load(room / "rows.npy", allow_pickle=False)]
        with building():
            plan = kind.plan(len(matrix), matrix.shape[1], overrides)
            made = kind.build(np.ascontiguousarray(matrix), plan)
        made.save(room / "index")
    except PlaygroundError as error:
        _answer({"error": str(error)})
        return _REFUSED
    _answer({"bytes_per_vector": made.bytes_per_vector, "code_size": made.code_size})
    return 0


def _answer(value: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(value))
    sys.stdout.flush()


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    # The thread at stdin would keep a usual end waiting.
    os._exit(status)
