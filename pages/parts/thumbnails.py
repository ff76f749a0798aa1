"""Small photos for what shows many of them, by addresses that a browser keeps.

``server.py`` answers the addresses. An address names the photo's content, so that it never goes
stale and a browser asks for it once; it is no path on the disk. ``streamlit run app.py`` has no
such route: there a photo is a data URL, and travels again whenever something beside it changes.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import streamlit as st
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from data import photos as photo_files
from data.errors import PlaygroundError
from pages.parts import backend
from retrieval.cache import Cache

if TYPE_CHECKING:
    from data.base import Photo
    from data.store import Collection

SIDE = 160  # px
_FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}

_jpegs: Cache[bytes] = Cache(20_000)  # some 100 MB
_prefix: str | None = None  # of the addresses; None: nobody answers them


def url(members: Collection, photo: Photo) -> str:
    """Where a browser finds the photo; empty, not an error, where it cannot be shown."""
    if photo.absent:
        return ""
    if _prefix is not None:
        return f"{_prefix}/{members.name}/{photo.sha256}.jpg"
    try:
        return "data:image/jpeg;base64," + base64.b64encode(_jpeg(members, photo)).decode("ascii")
    except PlaygroundError:
        return ""


def route() -> Route:
    """Answers the addresses; from now on ``url`` gives them."""
    global _prefix
    base = str(st.get_option("server.baseUrlPath") or "").strip("/")
    _prefix = f"/{base}/photos" if base else "/photos"
    return Route(_prefix + "/{collection}/{content}.jpg", _answer)


def _answer(request: Request) -> Response:
    """A photo or query of a collection; Starlette calls this in a thread."""
    name, content = request.path_params["collection"], request.path_params["content"]
    try:
        members = backend.collection(name)
        jpeg = _jpeg(members, members.of_content(content))
    except PlaygroundError:
        return Response(status_code=404)
    return Response(jpeg, media_type="image/jpeg", headers=_FOR_EVER)


def _jpeg(members: Collection, photo: Photo) -> bytes:
    def make() -> bytes:
        small = photo_files.decode(members.thumbnail(photo), longer_side=SIDE)
        return photo_files.encode_jpeg(small, quality=72)

    # Streamlit's own cache takes ten times as long, for some hundred look-ups per page.
    return _jpegs.get(photo.sha256, make)
