"""Work in a process of its own: a native crash, or a file that wants all memory, takes that alone.

    python -m data.child MODULE FUNCTION   (started by ``Child``)

The function takes a JSON object and bytes, and returns the same. Both sides speak in frames over
the child's stdin and stdout: two lengths, the JSON, the bytes. The child limits its own memory,
and ends when its parent does.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import json
import os
import queue
import signal
import struct
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

from data import gate
from data.errors import PlaygroundError
from data.paths import PROJECT_ROOT

try:
    import resource
except ImportError:  # Windows: without a limit of memory, all else holds
    resource = None  # type: ignore[assignment]

Frame = tuple[dict[str, Any], bytes | bytearray]
Function = Callable[[dict[str, Any], bytes], Frame]

COMMAND = (sys.executable, "-m", "data.child")
_LENGTHS = struct.Struct("<QQ")
_TIRED = 400 << 20  # bytes that a worker may hold between two pieces of work, else it is replaced
# One thread and few arenas each: a worker reserves little, and gives back what it has used.
THRIFTY = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}


class Died(Exception):  # noqa: N818 (read as a word)
    """The process ended without an answer; the text says of what."""


class OutOfMemory(Died):
    """It wanted more memory than it may have."""


class Child:
    """A process that answers one request after another. Not for several threads at once."""

    def __init__(self, function: str, environ: Mapping[str, str] | None = None) -> None:
        """Start it.

        Args:
            function: ``module:function``.
            environ: more of its environment.
        """
        self._process = subprocess.Popen(
            [*COMMAND, *function.split(":")],
            cwd=PROJECT_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | dict(environ or {}),
        )

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(
        self,
        request: dict[str, Any],
        payload: bytes = b"",
        *,
        memory: int | None = None,
        seconds: float | None = None,
        errors: Mapping[str, type[PlaygroundError]] | None = None,
    ) -> Frame:
        """Send a request and wait for its answer; room in the gate is taken when the child asks.

        Args:
            memory: bytes that the child may allocate in all.
            seconds: after which it is killed; waiting for room does not count.
            errors: classes, by their names, as which refusals come back; else PlaygroundError.

        Raises:
            PlaygroundError: what the function refused.
            OutOfMemory, Died: the process is gone.
            RuntimeError: a defect of ours; its traceback went to stderr.
        """
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        answer = self._exchange(process.stdin, process.stdout, request, payload, memory, seconds)
        head, content = answer
        if "refused" in head:
            known = errors or {}
            kind = next((known[one] for one in head["kinds"] if one in known), PlaygroundError)
            raise kind(head["refused"], command=head["command"], then=head["then"])
        if "memory" in head:
            self.close()
            raise OutOfMemory("it needs more memory than it may have")
        if "defect" in head:
            raise RuntimeError(head["defect"])
        return head["answer"], content

    def _exchange(
        self,
        to: Any,
        back: Any,
        request: dict[str, Any],
        payload: bytes,
        memory: int | None,
        seconds: float | None,
    ) -> Frame:
        late = threading.Event()

        def kill() -> None:
            late.set()
            self._process.kill()

        frame = ({"request": request, "limit": memory}, payload)
        with contextlib.ExitStack() as room:
            while True:
                timer = threading.Timer(seconds, kill) if seconds is not None else None
                if timer is not None:
                    timer.daemon = True
                    timer.start()
                try:
                    with contextlib.suppress(OSError):  # dead: there will be no answer either
                        _send(to, *frame)
                    answer = _receive(back)
                finally:
                    if timer is not None:
                        timer.cancel()
                if answer is None:
                    code = self._process.wait()
                    self.close()
                    slow = f"it took longer than {seconds:g} s" if late.is_set() else ""
                    raise Died(slow or _end(code))
                if "room" not in answer[0]:
                    return answer
                room.close()  # of a first attempt
                room.enter_context(gate.decoding.take(int(answer[0]["room"])))
                frame = ({"go": True}, b"")

    def close(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()


def once(
    function: str,
    request: dict[str, Any],
    environ: Mapping[str, str] | None = None,
    **limits: Any,
) -> Frame:
    """One request to a process of its own; more arguments, and the errors, are those of ``ask``."""
    child = Child(function, environ)
    try:
        return child.ask(request, **limits)
    finally:
        child.close()


class Workers:
    """A few children for one function, kept for the next request and replaced when they die."""

    def __init__(self, function: str, size: int) -> None:
        self._function = function
        self._free: queue.Queue[Child | None] = queue.Queue()
        for _ in range(size):
            self._free.put(None)
        atexit.register(self.close)

    def ask(self, request: dict[str, Any], payload: bytes = b"", **limits: Any) -> Frame:
        """See ``Child.ask``; waits for a free worker first, in the order of arrival."""
        child = self._free.get()
        try:
            if child is None or not child.alive:
                child = Child(self._function, THRIFTY)
            answer, content = child.ask(request, payload, **limits)
            if answer.pop("holds", 0) > _TIRED:
                child.close()
            return answer, content
        finally:
            self._free.put(child if child is not None and child.alive else None)

    def warm(self) -> None:
        """Start a worker, so that the first request need not wait for it."""
        child = self._free.get()
        self._free.put(child if child is not None else Child(self._function, THRIFTY))

    def close(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                child = self._free.get_nowait()
                if child is not None:
                    child.close()


def _end(code: int) -> str:
    if code >= 0:
        return f"exit status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"{name}{', perhaps for lack of memory' if name == 'SIGKILL' else ''}"


def _send(stream: BinaryIO, head: dict[str, Any], payload: bytes | bytearray) -> None:
    text = json.dumps(head).encode()
    stream.write(_LENGTHS.pack(len(text), len(payload)))
    stream.write(text)
    stream.write(payload)
    stream.flush()


def _receive(stream: BinaryIO) -> Frame | None:
    """The next frame; None at the end."""
    lengths = stream.read(_LENGTHS.size)
    if len(lengths) < _LENGTHS.size:
        return None
    text, content = _LENGTHS.unpack(lengths)
    head = stream.read(text)
    payload = bytearray(content)  # may be changed: a picture needs no second copy
    if len(head) < text or _fill(stream, payload) < content:
        return None
    return json.loads(head), payload


def _fill(stream: BinaryIO, into: bytearray) -> int:
    view, done = memoryview(into), 0
    while done < len(into) and (got := stream.readinto(view[done:])):  # type: ignore[attr-defined]
        done += got
    return done


# In the process of its own


class _AskedGate(gate.Gate):
    """Room for what this process decodes is the parent's to give."""

    def __init__(self, ask: Callable[[int], None]) -> None:
        super().__init__(gate.ROOM)
        self._ask = ask

    @contextlib.contextmanager
    def take(self, size: int) -> Iterator[None]:
        self._ask(size)
        yield


def _limit(memory: int | None) -> None:
    if resource is None or memory is None:
        return
    with contextlib.suppress(ValueError, OSError):
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (memory, hard))


def _holds() -> int:
    """Bytes of this process in memory; 0 where that is not told."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def main(module: str, name: str) -> None:
    # What libraries print must not come between the frames.
    back = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    # Ctrl-C goes to the whole group of processes; the parent's word counts.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    inbox: queue.Queue[Frame] = queue.Queue()

    def listen() -> None:
        while (frame := _receive(sys.stdin.buffer)) is not None:
            inbox.put(frame)
        os._exit(130)  # the parent is gone

    def ask(size: int) -> None:
        _send(back, {"room": size}, b"")
        inbox.get()

    gate.decoding = _AskedGate(ask)
    function: Function = getattr(importlib.import_module(module), name)
    threading.Thread(target=listen, daemon=True).start()
    while True:
        head, payload = inbox.get()
        _limit(head["limit"])
        frame = _answered(function, head["request"], bytes(payload))
        _limit(-1)
        _send(back, *frame)


def _answered(function: Function, request: dict[str, Any], payload: bytes) -> Frame:
    try:
        answer, content = function(request, payload)
        return {"answer": {**answer, "holds": _holds()}}, content
    except PlaygroundError as error:
        kinds = [one.__name__ for one in type(error).__mro__]
        text, command, then = str(error.args[0] if error.args else ""), error.command, error.then
        return {"refused": text, "kinds": kinds, "command": command, "then": then}, b""
    except MemoryError:
        return {"memory": True}, b""
    except Exception as error:
        traceback.print_exc()
        return {"defect": f"{type(error).__name__}: {error}"}, b""


if __name__ == "__main__":
    main(*sys.argv[1:])
