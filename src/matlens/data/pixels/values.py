"""The values of photos: bytes from 0 to 255, or numbers from 0 to 1."""

from __future__ import annotations

import numpy as np

from matlens.types import Array, Pixels


def as_floats(photos: Pixels | Array) -> Array:
    """Return photos of any shape as float32 in [0, 1]; floats are there already."""
    return photos.astype(np.float32) / np.float32(255) if photos.dtype == np.uint8 else np.asarray(photos, np.float32)


def as_pixels(photos: Pixels | Array) -> Pixels:
    """Return photos of any shape as uint8; floats are in [0, 1]."""
    return np.asarray(photos if photos.dtype == np.uint8 else (photos * 255).round(), dtype=np.uint8)
