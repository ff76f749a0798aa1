"""What a server of the engine needs, whatever its framework.

Who may come in, how many are described at a time, and what an error is called over HTTP.
"""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import hmac
import ipaddress
import json
import math
import os
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import urlsplit

import prometheus_client

from data.errors import Conflict, Invalid, NotFound, PlaygroundError
from data.photos import UPLOAD_PIXELS, TooManyPixels, UnknownFormat
from retrieval.ranking import STAGES, SearchResult

Value = TypeVar("Value")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

SHORTEST_TOKEN = 16  # characters
PROBLEM = "application/problem+json"
OPEN = ("/v1/health", "/docs", "/openapi.json", "/static-offline-docs/")  # without the token
PIECE_SECONDS = 30.0  # that the next piece of a request's body may take


class Busy(PlaygroundError):  # noqa: N818 (read as a word, like BadPhoto)
    """The queue is full.

    Args:
        retry_after: s, after which there is likely to be room.
    """

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TooSlow(Busy):
    """The work took longer than the caller is kept waiting."""


class Workers:
    """Runs work in threads: ``running`` at a time, ``waiting`` behind them, the rest is refused.

    Args:
        seconds: that a caller is kept waiting, queue included. Work that runs by then goes on and
            keeps its place, so that the bound holds.
    """

    def __init__(self, running: int, waiting: int, seconds: float) -> None:
        self.running, self.waiting, self.seconds = running, waiting, seconds
        self._pool = ThreadPoolExecutor(running, thread_name_prefix="work")
        self._guard = threading.Lock()
        self._pending = 0
        self._mean = 0.0  # s of one piece of work, lately

    @property
    def pending(self) -> int:
        """Work that runs or waits now."""
        return self._pending

    async def run(self, work: Callable[[], Value]) -> Value:
        """The work's result.

        Raises:
            Busy: the queue is full.
            TooSlow: it took too long.
        """
        future = self._submit(work)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self.seconds)
        except TimeoutError:
            if future.done() and not future.cancelled():
                raise  # the work's own
            raise TooSlow(
                f"This took longer than {self.seconds:g} s. Ask for fewer recipes or photos at a "
                f"time, or again later: what was loaded or prepared by then is kept.",
                self._retry_after(),
            ) from None

    def _submit(self, work: Callable[[], Value]) -> Future[Value]:
        with self._guard:
            if self._pending >= self.running + self.waiting:
                raise Busy(
                    f"{self._pending} requests are being worked on or wait already, as many as "
                    f"are let in. Ask again in {self._retry_after()} s.",
                    self._retry_after(),
                )
            self._pending += 1
        future = self._pool.submit(self._timed, work)
        future.add_done_callback(self._left)
        return future

    def _timed(self, work: Callable[[], Value]) -> Value:
        start = time.perf_counter()
        try:
            return work()
        finally:
            self._mean += 0.2 * (time.perf_counter() - start - self._mean)

    def _left(self, future: Future[Any]) -> None:
        with self._guard:
            self._pending -= 1

    def _retry_after(self) -> int:
        return max(1, math.ceil(self._pending * self._mean / self.running))

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


class TooLarge(PlaygroundError):  # noqa: N818
    """A request's body has more bytes than the limit."""


class TimedOut(PlaygroundError):  # noqa: N818
    """The rest of a request's body did not come."""


class Front:
    """The way in, around any ASGI app: who may come, and how much of a body is waited for.

    Args:
        token: see ``refusal``.
        max_body: bytes.
        answered: is told of each answer: the request's scope and the status.
    """

    def __init__(
        self, app: App, token: str | None, max_body: int, answered: Callable[[Message, int], None]
    ) -> None:
        self._app, self._token, self._most, self._answered = app, token, max_body, answered

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._answered(scope, int(message["status"]))
            await send(message)

        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        server = scope.get("server")
        address = server[0] if server and server[1] is not None else None
        refused = refusal(headers, address, self._token, scope["path"].startswith(OPEN))
        length = headers.get("content-length", "")
        if refused is None and length.isascii() and length.isdigit() and int(length) > self._most:
            refused = 413, self._too_large(f"{int(length):,}")
        if refused is not None:
            return await _refuse(noted, *refused)
        await self._app(scope, self._limited(receive), noted)

    def _too_large(self, size: str) -> str:
        return f"The request has {size} bytes. Legal: up to {self._most:,}."

    def _limited(self, receive: Receive) -> Receive:
        size, more = 0, True

        async def limited() -> Message:
            nonlocal size, more
            if not more:  # what comes now tells that the client has gone
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), PIECE_SECONDS)
            except TimeoutError:
                raise TimedOut(
                    f"The rest of the request did not come within {PIECE_SECONDS:g} s."
                ) from None
            size += len(message.get("body", b""))
            more = message.get("more_body", False)
            if size > self._most:
                raise TooLarge(self._too_large(f"more than {self._most:,}"))
            return message

        return limited


async def _refuse(send: Send, status: int, detail: str) -> None:
    body = json.dumps(problem(status, detail)).encode()
    headers = [(b"content-type", PROBLEM.encode()), (b"content-length", str(len(body)).encode())]
    if status == HTTPStatus.UNAUTHORIZED:
        headers.append((b"www-authenticate", b"Bearer"))
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        headers.append((b"connection", b"close"))  # the body is not read
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def status_of(error: PlaygroundError) -> int:
    """The HTTP status of an error for people, by its kind."""
    for kind, status in (
        (TooSlow, HTTPStatus.SERVICE_UNAVAILABLE),
        (Busy, HTTPStatus.TOO_MANY_REQUESTS),
        (TimedOut, HTTPStatus.REQUEST_TIMEOUT),
        (TooLarge, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
        (TooManyPixels, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
        (UnknownFormat, HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
        (NotFound, HTTPStatus.NOT_FOUND),
        (Conflict, HTTPStatus.CONFLICT),
    ):
        if isinstance(error, kind):
            return int(status)
    full = (errno.ENOSPC, errno.EDQUOT)
    if isinstance(error.__cause__, OSError) and error.__cause__.errno in full:
        return int(HTTPStatus.INSUFFICIENT_STORAGE)
    return int(HTTPStatus.UNPROCESSABLE_ENTITY)


def problem(status: int, detail: str, **more: Any) -> dict[str, Any]:
    """Problem details by RFC 9457; ``more`` that is None is left out."""
    title = HTTPStatus(status).phrase
    about = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return about | {name: value for name, value in more.items() if value is not None}


def check_token(token: str | None, host: str) -> str | None:
    """The token that a server on this address uses; None: none.

    Raises:
        Invalid: others can reach the address and there is no token, or it is too short.
    """
    if not token:
        if not is_loopback(host):
            raise Invalid(
                f"On {host} others can reach the API, so it needs a token of {SHORTEST_TOKEN} "
                f"characters or more: set PLAYGROUND_API_TOKEN, or give --token. On 127.0.0.1 it "
                f"needs none."
            )
        return None
    if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable():
        raise Invalid(
            f"The token of {len(token)} characters cannot be used. Legal: {SHORTEST_TOKEN} or "
            f"more printable ASCII ones. One is made by:",
            command="python -c 'import secrets; print(secrets.token_urlsafe())'",
        )
    return token


def refusal(
    headers: Mapping[str, str], server: str | None, token: str | None, open_to_all: bool = False
) -> tuple[int, str] | None:
    """Why a request is not let in, as a status and a sentence; None: it is.

    Args:
        headers: of the request, by their names in lower case.
        server: the address that it came in at; None: a socket that is a file.
        token: that must come with it; None: none.
        open_to_all: what is asked for needs no token.
    """
    host = _host_of(f"//{headers.get('host', '')}")
    origin = headers.get("origin")
    if origin is not None and _host_of(origin) != host:
        return 403, f"A page of {origin[:80]} may not call this API from a browser."
    if token is None:
        if server is not None and not is_loopback(server):
            return 403, (
                f"The API listens on {server} without a token. Start it with "
                f"PLAYGROUND_API_TOKEN set, or on 127.0.0.1."
            )
        if not is_loopback(host):
            # A foreign name that leads here is how a page of others would read the answers.
            return 403, f"Without a token the API answers to localhost only, not to {host[:80]!r}."
        return None
    if open_to_all:
        return None
    kind, _, given = headers.get("authorization", "").partition(" ")
    same = hmac.compare_digest(given.strip().encode(), token.encode())
    if kind.lower() != "bearer" or not same:
        return 401, "The API needs its token: send the header «Authorization: Bearer TOKEN»."
    return None


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address or name."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


@dataclasses.dataclass(frozen=True)
class Settings:
    """How the API runs. Limits hold for each request.

    Attributes:
        token: that requests must bring; None: none, for this machine alone.
        writable: photos may be added and removed, and builds started.
    """

    token: str | None = None
    writable: bool = False
    max_k: int = 1000
    max_body: int = 64 << 20  # bytes
    max_pixels: int = UPLOAD_PIXELS
    running: int = max(2, os.cpu_count() or 1)  # searches and describes at a time
    waiting: int = 32  # behind them
    seconds: float = 120.0  # until an answer, queue included

    @classmethod
    def of_environment(cls) -> Settings:
        """What ``uvicorn api:app`` runs with; requests tell which address they came to."""
        token = check_token(os.environ.get("PLAYGROUND_API_TOKEN"), "127.0.0.1")
        return cls(token=token, writable=os.environ.get("PLAYGROUND_API_WRITABLE") == "1")


class Metrics:
    """What Prometheus reads at /v1/metrics."""

    def __init__(self, workers: Workers) -> None:
        registry = self.registry = prometheus_client.CollectorRegistry()
        prometheus_client.ProcessCollector(registry=registry)
        self.requests = prometheus_client.Counter(
            "playground_requests", "Answers", ["method", "route", "status"], registry=registry
        )
        self.errors = prometheus_client.Counter(
            "playground_errors", "Answers that are problems", ["kind"], registry=registry
        )
        self.stages = prometheus_client.Histogram(
            "playground_stage_seconds",
            "Seconds of each stage that ran",
            ["stage"],
            registry=registry,
            buckets=(0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100),
        )
        pending = prometheus_client.Gauge(
            "playground_pending", "Searches and describes that run or wait", registry=registry
        )
        pending.set_function(lambda: workers.pending)

    def answered(self, scope: Any, status: int) -> None:
        route = getattr(scope.get("route"), "path", "none")
        self.requests.labels(scope["method"], route, status).inc()

    def searched(self, results: Sequence[SearchResult]) -> None:
        """Each stage as often as it ran: the query is described once per extractor."""
        described: set[str] = set()
        for result in results:
            earlier = result.earlier or result.extractor in described
            described.add(result.extractor)
            for stage, ms in result.timings_ms.items():
                if stage != "total" and not (earlier and stage in STAGES[:-1]):
                    self.stages.labels(stage.partition(":")[0]).observe(ms / 1e3)
