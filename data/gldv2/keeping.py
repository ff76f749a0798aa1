"""Photos as they are kept: checked, shrunk where they are too large, renamed to their place."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from data import decoding, importing, photos
from data.errors import PlaygroundError
from data.gldv2.session import Session
from data.glr21 import PHOTO_ID, photo_file
from data.photos import BadPhoto

_QUALITY = 90  # of photos that are shrunk


def keep(session: Session, split: str, photo: str, content: bytes, place: Path) -> None:
    """Check a photo, shrink it if it is too large, and rename it to its place.

    Raises:
        BadPhoto: it does not decode.
    """
    try:
        kept = fit(content, session.wanted.longer_side)
    except BadPhoto as error:
        raise BadPhoto(f"{split}/{photo}.jpg cannot be used: {error}") from error
    temporary = session.incoming / f"{split}-{photo}-{threading.get_ident()}"
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        temporary.write_bytes(kept)
        os.replace(temporary, place)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def place_of(session: Session, split: str, photo: str) -> Path:
    if not PHOTO_ID.fullmatch(photo):
        raise PlaygroundError(f"{photo!r} is no id of a photo.")
    return session.folder / photo_file(split, photo)


def is_here(session: Session, split: str, photo: str) -> bool:
    """Whether it was fetched before."""
    try:
        photos.read_header(place_of(session, split, photo))
    except BadPhoto:
        return False
    return True


def fit(content: bytes, longer_side: int | None) -> bytes:
    """A photo's file as it is kept: the original where it is small enough, else a new JPEG.

    Args:
        content: the bytes of a photo, untrusted.
        longer_side: px; None keeps every original.

    Raises:
        BadPhoto: it does not decode to the end.
    """
    if len(content) > importing.MAX_FILE_BYTES:
        raise BadPhoto(f"it has {len(content):,} bytes, the limit is {importing.MAX_FILE_BYTES:,}.")
    header = photos.read_header(content)
    small = longer_side is None or max(header.width, header.height) <= longer_side
    if small and header.format in ("JPEG", "MPO"):
        decoding.thumbnail(content)
        return content
    return photos.encode_jpeg(decoding.decode(content, longer_side=longer_side), quality=_QUALITY)
