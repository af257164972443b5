"""Small pictures of photos, as pages hold them."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import simplejpeg

from matlens.data.pixels.decode import UnreadableImageError, decode, resize
from matlens.types import Pixels

SIDE = 160
"""Of a picture, in pixels. Even 24 photos of pure noise keep below half a megabyte (a test)."""


@dataclass(frozen=True)
class Thumbnail:
    """A JPEG in base64, its longer side SIDE pixels at most."""

    base64: str
    width: int
    height: int


def thumbnail(path: Path, *, keep_truncated: bool = False) -> Thumbnail | None:
    """A small picture of a photo; None where it cannot be read (any more)."""
    try:
        pixels = decode(path.read_bytes(), min_size=(SIDE, SIDE), keep_truncated=keep_truncated)
    except (OSError, ValueError, UnreadableImageError):  # ValueError: a name that no file can have
        return None
    return small_jpeg(pixels)


def small_jpeg(pixels: Pixels, side: int = SIDE) -> Thumbnail:
    """A small picture of pixels (H, W, 3) uint8, its longer side `side` at most."""
    scale = min(side / max(pixels.shape[:2]), 1)
    height, width = (max(round(length * scale), 1) for length in pixels.shape[:2])
    jpeg = simplejpeg.encode_jpeg(np.ascontiguousarray(resize(pixels, (height, width))), quality=70,
                                  colorsubsampling="420")
    return Thumbnail(base64.b64encode(jpeg).decode("ascii"), width, height)
