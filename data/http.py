"""HTTP for large downloads: byte ranges, retries with back-off, deadlines, cancel.

Everything a server sends is untrusted, its headers included: a range counts as honoured only when
the answer is a 206 whose ``Content-Range`` names the very bytes that were asked for.
"""

from __future__ import annotations

import contextlib
import dataclasses
import random
import re
import threading
import time
from collections.abc import Callable, Collection, Iterator
from typing import Protocol, TypeVar

import requests  # type: ignore[import-untyped]
import urllib3

from data import mirrors
from data.errors import PlaygroundError

CHUNK = 1 << 18  # bytes handed on at a time
SLOWEST = 1024  # bytes/s over a whole ``timeout``; an answer slower than this is given up
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})  # statuses that may pass by themselves
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
T = TypeVar("T")


class Cancel(Protocol):
    """The part of ``threading.Event`` that is used to stop a download."""

    def is_set(self) -> bool: ...

    def wait(self, timeout: float | None = None) -> bool: ...


class Stopped(PlaygroundError):  # noqa: N818 (read as a word, like BadPhoto)
    """The download was cancelled; what was saved stays."""


class WebError(PlaygroundError):
    """An address could not be read. ``status``: the HTTP status, None where there was no answer."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status

    @property
    def absent(self) -> bool:
        """Whether the server says that there is no such file (S3 says 403 for that, too)."""
        return self.status in (403, 404, 410)


class ChangedError(PlaygroundError):
    """The file is another one than when its size was asked for."""


class RestartError(Exception):
    """A stream broke and this server cannot continue it: begin again from its first byte."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to talk to the server."""

    parallel: int = 6  # requests at a time
    attempts: int = 6  # of one request, without any progress in between
    timeout: float = 30.0  # s to connect, and without a byte
    backoff: float = 0.5  # s before the second attempt; doubled each time
    longest_wait: float = 30.0  # s between two attempts


@dataclasses.dataclass(frozen=True)
class Remote:
    """What is known about a file on the server."""

    url: str
    size: int  # bytes; -1 where the server does not say
    etag: str = ""
    ranges: bool = False  # byte ranges are honoured
    head: bytes = b""  # its first bytes, as many as were asked for


class _Again(Exception):  # noqa: N818
    """The attempt failed in a way that may pass."""

    def __init__(self, reason: str, status: int | None = None, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.status, self.wait = status, wait


class Web:
    """Reads files of a server; may be used by several threads at once.

    Args:
        known: hosts that may be read besides those that the owner names; empty: all public ones.

    Raises (all methods):
        WrongMirror: the host is not known, or it or a redirect leads to a private address.
        WebError: the address cannot be read, after all attempts.
        Stopped: ``cancel`` was set.
        ChangedError: the file changed on the server since it was probed.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        cancel: Cancel | None = None,
        known: Collection[str] = (),
    ) -> None:
        self._known = known
        self.settings = settings or Settings()
        self.cancel: Cancel = cancel or threading.Event()
        self._local = threading.local()
        self._lock = threading.Lock()
        self.requests = 0
        self.bytes = 0  # of bodies
        self.retries = 0

    def check(self) -> None:
        """Raise ``Stopped`` when the download was cancelled."""
        if self.cancel.is_set():
            raise Stopped(
                "The download was stopped. What was saved stays; run the same command to go on."
            )

    def probe(self, url: str, length: int = 512) -> Remote:
        """Size, ETag, whether ranges work, and the first ``length`` bytes: one small request."""

        def attempt() -> Remote:
            with self._open(url, {"Range": f"bytes=0-{length - 1}"}) as response:
                etag = response.headers.get("ETag", "")
                if response.status_code == 206:
                    first, last, total = _content_range(response)
                    if first == 0 and total > 0 and last == min(length, total) - 1:
                        head = self._body(response, last + 1)
                        return Remote(url, total, etag, True, head)
                    raise _Again("its Content-Range is not the one asked for")
                if response.status_code == 416:  # an empty file has no first byte
                    return Remote(url, 0, etag, True, b"")
                size = _length(response)
                wanted = length if size < 0 else min(length, size)
                return Remote(url, size, etag, False, self._body(response, wanted, exact=size >= 0))

        return self._retry(url, attempt)

    def read(self, remote: Remote, start: int, length: int) -> bytes:
        """Exactly the bytes ``start`` to ``start + length - 1`` of a file that honours ranges."""

        def attempt() -> bytes:
            last = start + length - 1
            with self._open(remote.url, {"Range": f"bytes={start}-{last}"}) as response:
                if response.status_code != 206:
                    raise _Again("it ignored the byte range this time")
                found = _content_range(response)
                self._same(remote, response, found[2])
                if found[:2] != (start, last):
                    raise _Again("its Content-Range is not the one asked for")
                return self._body(response, length)

        return self._retry(remote.url, attempt)

    def get(self, url: str, limit: int = 1 << 20) -> bytes:
        """A small file, at most ``limit`` bytes of it."""

        def attempt() -> bytes:
            with self._open(url, {}) as response:
                size = _length(response)
                if size > limit:
                    raise WebError(f"{url} has {size:,} bytes, expected are at most {limit:,}.")
                return self._body(response, limit if size < 0 else size, exact=size >= 0)

        return self._retry(url, attempt)

    def stream(self, remote: Remote, start: int = 0) -> Iterator[bytes]:
        """The file's bytes from ``start`` on, in chunks.

        A broken connection is continued with a range where the server honours them.

        Raises:
            RestartError: it broke after the first byte and cannot be continued.
        """
        at, failures = start, 0
        while remote.size < 0 or at < remote.size:
            before = at
            try:
                with self._open_at(remote, at) as response:
                    for chunk in self._chunks(
                        response, None if remote.size < 0 else remote.size - at
                    ):
                        at += len(chunk)
                        yield chunk
                return
            except _Again as error:
                if at > 0 and not remote.ranges:
                    raise RestartError(str(error)) from error
                failures = 1 if at > before else failures + 1
                if failures >= self.settings.attempts:
                    raise self._given_up(remote.url, error) from error
                self._wait(failures, error)

    # One attempt

    @contextlib.contextmanager
    def _open(self, url: str, headers: dict[str, str]) -> Iterator[requests.Response]:
        self.check()
        mirrors.check(url, self._known)
        session = self._session()
        limits = (self.settings.timeout, self.settings.timeout)
        try:
            # Without "identity" a server may pack what it sends, and sizes would mean nothing.
            sent = {"Accept-Encoding": "identity", **headers}
            with session.get(url, headers=sent, stream=True, timeout=limits) as response:
                with self._lock:
                    self.requests += 1
                status = response.status_code
                if status in _AGAIN:
                    raise _Again(f"it answered {status}", status, _retry_after(response))
                if status not in (200, 206, 416):
                    raise WebError(
                        f"{url} answered {status}. Check the address, and that the mirror has this "
                        f"file.",
                        status,
                    )
                yield response
        except (
            requests.exceptions.InvalidURL,
            requests.exceptions.InvalidSchema,
            requests.exceptions.MissingSchema,
        ) as error:
            raise WebError(
                f"{url} is no address of a file. Legal: http:// and https://."
            ) from error
        except (requests.exceptions.Timeout, urllib3.exceptions.ReadTimeoutError) as error:
            raise _Again(f"nothing came for {self.settings.timeout:g} s") from error
        except (
            requests.exceptions.RequestException,
            urllib3.exceptions.HTTPError,
            OSError,
        ) as error:
            raise _Again(f"the connection failed ({_short(error)})") from error

    @contextlib.contextmanager
    def _open_at(self, remote: Remote, at: int) -> Iterator[requests.Response]:
        headers = {"Range": f"bytes={at}-"} if at else {}
        with self._open(remote.url, headers) as response:
            if at:
                if response.status_code != 206:
                    raise RestartError("the server began from the start again")
                first, _, total = _content_range(response)
                self._same(remote, response, total)
                if first != at:
                    raise _Again("its Content-Range is not the one asked for")
            else:
                total = _length(response)
                self._same(remote, response, total if total >= 0 else remote.size)
            yield response

    def _same(self, remote: Remote, response: requests.Response, total: int) -> None:
        etag = response.headers.get("ETag", "")
        if (remote.size >= 0 and total != remote.size) or (remote.etag and etag != remote.etag):
            raise ChangedError(
                f"{remote.url} changed on the server: it had {remote.size:,} bytes, now {total:,}"
                f"{', and another ETag' if etag != remote.etag else ''}. Run the same command "
                f"again: it asks for the new one."
            )

    def _body(self, response: requests.Response, length: int, exact: bool = True) -> bytes:
        """At most ``length`` bytes of a body; fewer are an error if ``exact``."""
        found = bytearray()
        for chunk in self._chunks(response, length if exact else None, at_most=length):
            found += chunk
        return bytes(found)

    def _chunks(
        self, response: requests.Response, expected: int | None, at_most: int | None = None
    ) -> Iterator[bytes]:
        """The body as it comes; raises ``_Again`` when it ends early or trickles."""
        got = 0
        lap, lap_bytes = time.monotonic(), 0
        while at_most is None or got < at_most:
            self.check()
            room = CHUNK if at_most is None else min(CHUNK, at_most - got)
            chunk = response.raw.read1(room, decode_content=False)
            if not chunk:
                break
            got, lap_bytes = got + len(chunk), lap_bytes + len(chunk)
            if expected is not None and got > expected:
                raise _Again(f"it sent more than the {expected:,} bytes it promised")
            with self._lock:
                self.bytes += len(chunk)
            yield chunk
            # A timeout of the socket does not notice a server that sends a byte now and then.
            passed = time.monotonic() - lap
            if passed > self.settings.timeout:
                if lap_bytes < SLOWEST * passed and got != expected:
                    raise _Again(f"it sent {lap_bytes:,} bytes in {passed:.0f} s")
                lap, lap_bytes = time.monotonic(), 0
        if expected is not None and got < expected:
            raise _Again(f"it ended after {got:,} of {expected:,} bytes")

    # Attempts

    def _retry(self, url: str, attempt: Callable[[], T]) -> T:
        failures = 0
        while True:
            try:
                return attempt()
            except _Again as error:
                failures += 1
                if failures >= self.settings.attempts:
                    raise self._given_up(url, error) from error
                self._wait(failures, error)

    def _wait(self, failures: int, error: _Again) -> None:
        with self._lock:
            self.retries += 1
        pause = self.settings.backoff * 2 ** (failures - 1)
        # Spread out, so that six connections do not come back in the same moment.
        pause = max(pause * random.uniform(0.75, 1.25), error.wait)
        self.cancel.wait(min(pause, self.settings.longest_wait))
        self.check()

    def _given_up(self, url: str, error: _Again) -> WebError:
        return WebError(
            f"{url} could not be read in {self.settings.attempts} attempts; the last time {error}. "
            f"Check the network and run the same command again: it goes on where it was.",
            error.status,
        )

    def _session(self) -> requests.Session:
        # Sessions are not promised to be safe between threads; each keeps its own connection.
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = mirrors.session()
            session.headers["User-Agent"] = "landmark-retrieval-playground"
        return session


def _content_range(response: requests.Response) -> tuple[int, int, int]:
    """(first, last, total) of the answer; -1 each where it does not say."""
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    return tuple(int(part) for part in found.groups()) if found else (-1, -1, -1)  # type: ignore[return-value]


def _length(response: requests.Response) -> int:
    """Bytes of the body by its header; -1 where it does not say."""
    value = response.headers.get("Content-Length", "").strip()
    return int(value) if value.isdigit() and len(value) < 19 else -1


def _retry_after(response: requests.Response) -> float:
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isdigit() and len(value) < 9 else 0.0


def _short(error: BaseException) -> str:
    """The system's own words (such as "Connection refused") where there are some."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.strerror:
            return seen.strerror
        seen = seen.__cause__ or seen.__context__
    return type(error).__name__
