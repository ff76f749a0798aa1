"""Who may change what.

Usually whoever uses the playground owns the machine. With ``PLAYGROUND_MODE=classroom`` it serves
visitors: they search, compare, read, evaluate and measure what is built, and change nothing. What
they measure is kept beside what is there, and replaces nothing. Every action that changes
something calls ``require``, here below the pages, so that a page which forgets to hide a button
gives nothing away. Command lines run as the owner; a process that a click has started has the
rights of who clicked.

The teacher is known by a token. It is shown once; the hash of it stays in ``teacher.json``. Whoever
has entered it gets a secret for a cookie, which counts until the server ends, for hours at most.
"""

from __future__ import annotations

import contextlib
import contextvars
import hashlib
import hmac
import json
import math
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from data.errors import Invalid, PlaygroundError
from data.paths import artifacts_root

T = TypeVar("T")

MODE, CLASSROOM = "PLAYGROUND_MODE", "classroom"
STARTED_BY, VISITOR = "PLAYGROUND_STARTED_BY", "visitor"
TRIES, WITHIN = 10, 60.0  # wrong tokens of all visitors together, in so many seconds
SESSIONS, SESSION_S = 20, 12 * 3600.0  # of the teacher: how many at most, and for how long

_owner: contextvars.ContextVar[bool] = contextvars.ContextVar("owner", default=False)
_is_teacher: Callable[[], bool] = lambda: False  # noqa: E731  (replaced by ``identify``)


class Refused(PlaygroundError):  # noqa: N818 (read as a word, like NotFound)
    """Only the teacher may do this."""


def classroom() -> bool:
    """Whether visitors are served.

    Raises:
        Invalid: the mode is set to something unknown, which must not open everything.
    """
    mode = os.environ.get(MODE, "").strip().lower()
    if mode not in ("", CLASSROOM):
        raise Invalid(f"{MODE} is {mode!r}. Legal: {CLASSROOM}, or not set.")
    return mode == CLASSROOM


def identify(is_teacher: Callable[[], bool]) -> None:
    """Tell how the teacher is known: asked in the thread of whoever wants to do something."""
    global _is_teacher
    _is_teacher = is_teacher


def allowed() -> bool:
    """Whether the caller may change things."""
    return not classroom() or _owner.get() or _is_teacher()


def require(doing: str) -> None:
    """Refuse visitors.

    Args:
        doing: what only the teacher may do, such as "import photos".

    Raises:
        Refused: the caller is a visitor.
    """
    if not allowed():
        raise Refused(
            f"Only the teacher may {doing}: this playground runs in classroom mode, in which "
            f"visitors search, compare, evaluate and measure what is built. The teacher's token is "
            f"entered on the Collections page."
        )


@contextlib.contextmanager
def as_owner() -> Iterator[None]:
    """Around what the server does of itself, and around command lines. Never around a click."""
    token = _owner.set(True)
    try:
        yield
    finally:
        _owner.reset(token)


def command_line() -> contextlib.AbstractContextManager[None]:
    """Around a command line: whoever has a terminal owns the machine, a visitor's job does not."""
    visitors = os.environ.get(STARTED_BY) == VISITOR
    return contextlib.nullcontext() if visitors else as_owner()


def environment() -> dict[str, str]:
    """Of a process that the caller starts: it may do what the caller may."""
    return os.environ | ({} if allowed() else {STARTED_BY: VISITOR})


def carried(call: Callable[[], T]) -> Callable[[], T]:
    """The call with its maker's permission, for a thread: it is asked for now and not then."""
    may = allowed()

    def later() -> T:
        if not may:
            return call()
        with as_owner():
            return call()

    return later


# The teacher's token


def token_file() -> Path:
    return artifacts_root() / "teacher.json"


def new_token() -> str | None:
    """Make the teacher's token; None where there is one already.

    It is returned this once: only its hash is kept, in a file that nobody else can read.
    """
    path = token_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    token = secrets.token_urlsafe(16)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return None
    with os.fdopen(handle, "w", encoding="ascii") as file:
        # A token of 128 random bits needs no slow hash: there is nothing to guess.
        file.write(json.dumps({"sha256": _hash(token)}))
    return token


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


class _Tries:
    """The latest wrong tokens; of all sessions, since a visitor opens as many as he likes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wrong: deque[float] = deque()

    def check(self, right: Callable[[], bool]) -> bool:
        with self._lock:
            now = time.monotonic()
            while self._wrong and now - self._wrong[0] > WITHIN:
                self._wrong.popleft()
            if len(self._wrong) >= TRIES:
                wait = WITHIN - (now - self._wrong[0])
                raise Refused(f"Too many wrong tokens. Try again in {wait:.0f} s.")
            good = right()
            if not good:
                self._wrong.append(now)
            return good


_tries = _Tries()


def is_token(text: str) -> bool:
    """Whether the text is the teacher's token.

    Raises:
        Refused: too many tries were wrong of late, or no token was made.
    """
    try:
        kept = json.loads(token_file().read_text(encoding="ascii"))["sha256"]
        wanted = str(kept).encode()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Refused(
            f"There is no usable token in {token_file()}. Delete that file and start the "
            f"playground again: it shows a new one."
        ) from error
    return _tries.check(lambda: hmac.compare_digest(_hash(text.strip()).encode(), wanted))


class _Sessions:
    """Hashes of the secrets that were given for the token, oldest first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ends: dict[str, float] = {}

    def begin(self) -> str:
        secret = secrets.token_urlsafe(32)
        with self._lock:
            while len(self._ends) >= SESSIONS:
                del self._ends[next(iter(self._ends))]
            self._ends[_hash(secret)] = time.monotonic() + SESSION_S
        return secret

    def knows(self, secret: str) -> bool:
        with self._lock:
            return self._ends.get(_hash(secret), -math.inf) > time.monotonic()

    def end(self, secret: str) -> None:
        with self._lock:
            self._ends.pop(_hash(secret), None)


sessions = _Sessions()
