"""Colours of a photo's own profile turned into sRGB, which everything else here takes them for."""

from __future__ import annotations

import functools
import io
from typing import Any

import numpy as np
from PIL import Image, ImageCms

_MOST_BYTES = 8 << 20  # of a profile; those of presses have 1 or 2 MB
_SAME = 3  # of 255: nearer to sRGB than this everywhere is sRGB, by whatever name
# Channels as Pillow calls them, by the profile's colour space.
_MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}


def mode_of(profile: bytes | None) -> str | None:
    """The mode of the pixels that a profile is for; None where there is no usable one."""
    transform = _transform(profile) if profile and len(profile) <= _MOST_BYTES else None
    return transform[0] if transform is not None else None


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The image in sRGB; as it is where its profile is sRGB, is broken or is for other pixels.

    Args:
        image: RGB, L or CMYK.
    """
    transform = _transform(profile) if profile and len(profile) <= _MOST_BYTES else None
    if transform is None or transform[0] != image.mode or transform[1] is None:
        return image
    turned = ImageCms.applyTransform(image, transform[1])
    return image if turned is None else turned


def lab_to_srgb(image: Image.Image) -> Image.Image:
    """A photo in CIE L*a*b*."""
    turned = ImageCms.profileToProfile(
        image, ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    return image if turned is None else turned


@functools.lru_cache(maxsize=16)
def _transform(profile: bytes) -> tuple[str, Any] | None:
    """(mode, transform to sRGB); the transform is None for sRGB itself."""
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = _MODES.get(opened.profile.xcolor_space)
        if mode is None:
            return None
        made = ImageCms.buildTransform(
            opened,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, AttributeError):
        return None  # broken metadata must not cost the photo
    if mode == "CMYK":
        return mode, made
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    plain = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    if mode == "L":
        plain = np.repeat(steps.reshape(1, -1, 1), 3, axis=2)
    turned = ImageCms.applyTransform(Image.fromarray(plain).convert(mode), made)
    if turned is None:
        return None
    difference = np.abs(np.asarray(turned).astype(int) - plain).max()
    return mode, None if difference <= _SAME else made
