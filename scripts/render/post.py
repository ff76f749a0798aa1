"""Camera: linear render to photograph (metering, lens, sensor noise, tone curve, JPEG).

Images are float32 arrays of shape (height, width, 3), linear RGB.
"""

from __future__ import annotations

import cv2
import numpy as np

MAX_BYTES = 38_000
MIN_QUALITY = 58


def distort(image: np.ndarray, k: float, interpolation: int = cv2.INTER_CUBIC) -> np.ndarray:
    """Apply radial lens distortion of strength k to an image or a mask."""
    if k == 0:
        return image
    h, w = image.shape[:2]
    yy, xx = np.mgrid[:h, :w].astype(np.float32)
    r2 = ((xx - w / 2) ** 2 + (yy - h / 2) ** 2) / (w * w / 4)
    mx = ((xx - w / 2) * (1 + k * r2) + w / 2).astype(np.float32)
    my = ((yy - h / 2) * (1 + k * r2) + h / 2).astype(np.float32)
    return cv2.remap(image, mx, my, interpolation, borderMode=cv2.BORDER_REPLICATE)


def develop(
    linear: np.ndarray, g: np.random.Generator, distortion: float, weather: str
) -> np.ndarray:
    """Return the photograph, uint8 BGR (height, width, 3)."""
    h, w = linear.shape[:2]
    night = weather == "night"
    x = np.maximum(linear[..., :3], 0).astype(np.float32)
    glare = cv2.GaussianBlur(np.minimum(x, 8), (0, 0), 9)
    x = x * 0.96 + glare * 0.04
    x = _expose(x, g, weather)
    x *= np.exp(np.float32([g.normal(0, 0.07), 0, g.normal(0, 0.09)]))  # white balance
    yy, xx = np.mgrid[:h, :w].astype(np.float32)
    r2 = ((xx - w / 2) ** 2 + (yy - h / 2) ** 2) / (w * w / 4)
    x *= (1 - g.uniform(0.02, 0.3) * r2 / 1.5)[..., None]  # vignette
    x = distort(x, distortion)
    x = _blur(x, g)
    noise = (0.003 + 0.014 * g.random() ** 3) * (2.0 if night else 1)
    grain = g.normal(size=x.shape).astype(np.float32)
    x = x + grain * noise * np.sqrt(np.maximum(x, 0) + 0.02)
    x = np.maximum(x, 0)
    y = (x * (2.51 * x + 0.03)) / (x * (2.43 * x + 0.59) + 0.14)  # filmic curve
    y = np.clip(y, 0, 1)
    y = np.where(y < 0.0031308, 12.92 * y, 1.055 * y ** (1 / 2.4) - 0.055)
    grey = y.mean(2, keepdims=True)
    y = np.clip(grey + (y - grey) * g.uniform(0.8, 1.15), 0, 1)
    if g.random() < 0.6:  # in-camera sharpening
        y = np.clip(y + (y - cv2.GaussianBlur(y, (0, 0), 1.0)) * g.uniform(0.2, 0.6), 0, 1)
    return (y[..., ::-1] * 255 + 0.5).astype(np.uint8)


def _expose(x: np.ndarray, g: np.random.Generator, weather: str) -> np.ndarray:
    """Meter the centre, hold the highlights, and add the photographer's bias."""
    h, w = x.shape[:2]
    luma = x @ np.float32([0.2126, 0.7152, 0.0722])
    centre = luma[h // 4 :, w // 8 : -w // 8]
    key = np.exp(np.mean(np.log(centre + 1e-3)))
    if weather == "night":  # floodlit walls must not burn out
        gain, spread = min(0.09 / key**0.9, 0.55 / np.percentile(luma, 98)), 0.2
    elif weather == "dusk":
        gain, spread = min(0.13 / key**0.9, 0.8 / np.percentile(luma, 98)), 0.2
    else:
        gain, spread = min(0.2 / key**0.9, 1.6 / np.percentile(luma, 97)), 0.25
    return x * np.float32(gain * 2 ** g.normal(0, spread))


def _blur(x: np.ndarray, g: np.random.Generator) -> np.ndarray:
    """Sometimes miss the focus or move the camera."""
    draw, sigma, size = g.random(), g.uniform(0.5, 1.1), int(g.integers(3, 6))
    a, b = int(g.integers(size)), int(g.integers(size))
    if draw < 0.15:
        return cv2.GaussianBlur(x, (0, 0), sigma)
    if draw < 0.21:
        kernel = np.zeros((size, size), np.float32)
        cv2.line(kernel, (0, a), (size - 1, b), 1.0)
        return cv2.filter2D(x, -1, kernel / kernel.sum())
    return x


def encode(image: np.ndarray, quality: int) -> tuple[bytes, int]:
    """Encode as JPEG, lowering the quality until it fits MAX_BYTES; return (bytes, quality)."""
    while True:
        flags = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
        data = cv2.imencode(".jpg", image, flags)[1].tobytes()
        if len(data) <= MAX_BYTES or quality <= MIN_QUALITY:
            return data, quality
        quality = max(MIN_QUALITY, quality - 4)
