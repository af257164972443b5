"""Spoil the detail: focus, compression, resolution and noise."""

from __future__ import annotations

import cv2
import numpy as np
import simplejpeg

from matlens.robustness.registry import Perturbation, register
from matlens.types import Pixels

_REFERENCE_SIDE = 224


def blurred(photo: Pixels, sigma: float, rng: np.random.Generator) -> Pixels:
    """Blur by a Gaussian of that deviation (px at 224 px), as out of focus."""
    return np.asarray(cv2.GaussianBlur(photo, (0, 0), sigma * min(photo.shape[:2]) / _REFERENCE_SIDE), np.uint8)


def compressed(photo: Pixels, quality: float, rng: np.random.Generator) -> Pixels:
    """Compress as JPEG of that quality (libjpeg's, 1 to 100), colours at half the resolution."""
    data = simplejpeg.encode_jpeg(np.ascontiguousarray(photo), quality=int(quality), colorsubsampling="420")
    return np.asarray(simplejpeg.decode_jpeg(data, colorspace="RGB"), np.uint8)


def coarse(photo: Pixels, factor: float, rng: np.random.Generator) -> Pixels:
    """Average areas to `factor` times fewer pixels a side, and enlarge them bilinearly."""
    height, width = photo.shape[:2]
    small = max(round(width / factor), 1), max(round(height / factor), 1)
    return np.asarray(cv2.resize(cv2.resize(photo, small, interpolation=cv2.INTER_AREA), (width, height),
                                 interpolation=cv2.INTER_LINEAR), np.uint8)


def noisy(photo: Pixels, sigma: float, rng: np.random.Generator) -> Pixels:
    """Add Gaussian noise of that deviation (1: the range from black to white) to each value, and clip it."""
    noise = rng.standard_normal(photo.shape, dtype=np.float32)
    return np.clip((photo + np.float32(255 * sigma) * noise).round(), 0, 255).astype(np.uint8)


register(Perturbation("blur", "Blur", "px at 224 px", (0.5, 1, 2, 3, 5), blurred, rank=5))
register(Perturbation("jpeg", "JPEG", "quality", (70, 50, 30, 15, 5), compressed, rank=6))
register(Perturbation("resolution", "Resolution", "times less a side", (1.5, 2, 3, 4, 8), coarse, rank=7))
register(Perturbation("noise", "Noise", "of the range", (0.02, 0.05, 0.1, 0.15, 0.25), noisy, rank=8))
