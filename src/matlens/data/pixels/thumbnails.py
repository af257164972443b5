"""Make small pictures of photos for HTML pages."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import simplejpeg

from matlens.data.pixels.decode import resize
from matlens.data.pixels.problems import Problem
from matlens.data.pixels.reader import PhotoReader
from matlens.types import Pixels

THUMBNAIL_SIDE = 160
"""Pixels of a picture's longer side. A test holds 24 photos of pure noise below half a megabyte."""


@dataclass(frozen=True)
class Thumbnail:
    """A JPEG in base64, at most THUMBNAIL_SIDE pixels on its longer side."""

    base64: str
    width: int
    height: int


def thumbnail(path: Path, *, keep_truncated: bool = False) -> Thumbnail | None:
    """Make a small picture of a photo. Returns None where the photo cannot be read."""
    pixels = PhotoReader(min_size=(THUMBNAIL_SIDE, THUMBNAIL_SIDE), keep_truncated=keep_truncated).attempt(path)
    return None if isinstance(pixels, Problem) else small_jpeg(pixels)


def small_jpeg(pixels: Pixels, side: int = THUMBNAIL_SIDE) -> Thumbnail:
    """Make a small picture of pixels, (H, W, 3) uint8, at most `side` pixels on its longer side."""
    scale = min(side / max(pixels.shape[:2]), 1)
    height, width = (max(round(length * scale), 1) for length in pixels.shape[:2])
    jpeg = simplejpeg.encode_jpeg(np.ascontiguousarray(resize(pixels, (height, width))), quality=70,
                                  colorsubsampling="420")
    return Thumbnail(base64.b64encode(jpeg).decode("ascii"), width, height)
