"""The playground behind headers that keep a page to itself: ``streamlit run server.py``.

``app.py`` is what is shown; this is how it is served. The policy lets a page load nothing from
elsewhere, so that a text which slips through every escaping still requests nothing. Small photos
have addresses of their own (``pages/parts/thumbnails.py``). The terminal shows the teacher's token
at the start, before anybody has opened a page; whoever enters it gets a cookie, so that the teacher
stays the teacher when a page is loaded again.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs

import streamlit
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.runtime.pages_manager import PagesManager
from streamlit.starlette import App

from data import permission
from pages.parts import classroom, thumbnails


def _own_scripts() -> list[str]:
    """Hashes of the scripts that stand in Streamlit's page itself."""
    page = Path(streamlit.__file__).parent / "static" / "index.html"
    inline = re.findall(r"<script>(.*?)</script>", page.read_text(encoding="utf-8"), re.DOTALL)
    digests = [hashlib.sha256(text.encode()).digest() for text in inline]
    return [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]


# Charts compile their formulas ('unsafe-eval'), components come as blobs, and React styles inline.
POLICY = "; ".join(
    [
        "default-src 'self'",
        f"script-src 'self' blob: 'unsafe-eval' {' '.join(_own_scripts())}",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "frame-src 'self' data: blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    ]
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class Guarded:
    """Adds the headers to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._app(scope, receive, with_headers)


_MOST_BYTES = 1_000  # of a form with a token


async def enter(request: Request) -> Response:
    """Take the teacher's token and give a cookie for it; leads back to the page it was asked on.

    The cookie holds a random secret and not the token. No script reads it, and no other site's
    page makes the browser send it.
    """
    if not permission.classroom():
        return PlainTextResponse("There is no teacher here.", 404)
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _MOST_BYTES:
            return PlainTextResponse("That is no token.", 413)
    (token,) = parse_qs(body.decode("latin-1")).get("token", [""])[:1]
    try:
        right = await run_in_threadpool(permission.is_token, token)
    except permission.Refused:
        return _back(classroom.TOO_MANY)
    if not right:
        return _back(classroom.WRONG)
    answer = _back()
    answer.set_cookie(
        classroom.COOKIE,
        permission.sessions.begin(),
        path=_BASE + "/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return answer


def _back(became: str = "") -> Response:
    question = f"?{classroom.ENTRANCE}={became}" if became else ""
    return RedirectResponse(f"{_BASE}/collections{question}", 303)


_BASE = f"/{streamlit.get_option('server.baseUrlPath').strip('/')}".rstrip("/")
ENTRANCE = Route(f"{_BASE}/{classroom.ENTRANCE}", enter, methods=["POST"])


@contextlib.asynccontextmanager
async def _announced(app: App) -> AsyncIterator[None]:
    classroom.open_entrance()
    if permission.classroom():
        classroom.announce()
    yield


# Streamlit takes a folder named ``pages`` for its older kind of app until ``st.navigation`` has run
# once in the process: the first link to /collections after a start would be "Page not found".
PagesManager.uses_pages_directory = False

app = App(
    "app.py",
    routes=[ENTRANCE, thumbnails.route()],
    middleware=[Middleware(Guarded)],
    lifespan=_announced,
)
