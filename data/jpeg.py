"""JPEG files that lack nothing but their end marker, as some cameras and downloads leave them."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

_END, _SCAN = b"\xff\xd9", b"\xff\xda"
NOTE = "The file lacks its end marker; its picture is whole."


def lacks_end(content: bytes) -> bool:
    """Whether no end marker follows the picture. (One before it is that of a small preview.)"""
    scan = content.rfind(_SCAN)
    return content[:2] == b"\xff\xd8" and scan >= 0 and content.rfind(_END) < scan


def completed(content: bytes) -> bytes | None:
    """The file with its end marker; None where a part of the picture is missing.

    What is missing is filled by the decoder with whatever comes behind. So two different tails
    give two pictures then, and one where nothing is missing.
    """
    if not lacks_end(content):
        return None
    tails = (_END, bytes([0x5A, 0xA5, 0x3C] * 2000) + _END)
    first, second = (_pixels(content + tail) for tail in tails)
    return content + _END if np.array_equal(first, second) else None


def _pixels(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
        return np.asarray(image)
