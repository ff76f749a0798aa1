"""Photos that nobody has looked into yet, decoded by workers with a limit of memory and time.

The same pictures and sentences as ``data.photos``; but whatever such a file does to a decoder, it
does in a process that can be lost.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from data import child, photos
from data.errors import PlaygroundError
from data.photos import MAX_PIXELS, RGB, BadPhoto, Header

WORKERS = 2
SECONDS = 30.0  # of decoding one photo; the slowest damaged file known takes 6
_BASE, _PER_PIXEL = 300 << 20, 12  # bytes: Python with its libraries; a photo in all its forms

_KINDS: list[type[PlaygroundError]] = [BadPhoto, *BadPhoto.__subclasses__()]
_REFUSALS = {kind.__name__: kind for kind in _KINDS}

_workers = child.Workers("data.decoding:answer", WORKERS)


def warm() -> None:
    """Have a worker ready before the first photo comes."""
    _workers.warm()


def decode(content: bytes, *, max_pixels: int = MAX_PIXELS, longer_side: int | None = None) -> RGB:
    """Like ``photos.decode``.

    Raises:
        BadPhoto: as there, and where the file takes the decoder too much memory or time.
    """
    request = {"max_pixels": max_pixels, "longer_side": longer_side}
    answer, pixels = _ask(request, content, max_pixels)
    return np.frombuffer(pixels, np.uint8).reshape(answer["shape"])


def thumbnail(content: bytes) -> tuple[Header, bytes]:
    """The header, and the JPEG of a thumbnail; raises like ``decode``."""
    request = {"max_pixels": MAX_PIXELS, "longer_side": photos.THUMBNAIL_SIDE, "jpeg": True}
    answer, jpeg = _ask(request, content, MAX_PIXELS)
    return Header(**answer["header"]), bytes(jpeg)


def _ask(request: dict[str, Any], content: bytes, max_pixels: int) -> child.Frame:
    memory = _BASE + _PER_PIXEL * max_pixels + 2 * len(content)
    try:
        return _workers.ask(request, content, memory=memory, seconds=SECONDS, errors=_REFUSALS)
    except child.OutOfMemory as error:
        raise BadPhoto(
            "decoding it takes more memory than a photo may. Save it again from a photo program, "
            "as JPEG or PNG."
        ) from error
    except child.Died as error:
        raise BadPhoto(
            f"broken: its decoder stopped ({error}). Save it again from a photo program, as JPEG "
            f"or PNG."
        ) from error


# In the worker


def answer(request: dict[str, Any], content: bytes) -> child.Frame:
    pixels, header = photos.decode_with_header(
        content, max_pixels=request["max_pixels"], longer_side=request["longer_side"]
    )
    made = {"shape": pixels.shape, "header": dataclasses.asdict(header)}
    if request.get("jpeg"):
        return made, photos.encode_jpeg(pixels, quality=85)
    return made, pixels.tobytes()
