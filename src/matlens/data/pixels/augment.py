"""Augment one photo at a time as the guide does, without a framework.

Horizontal flip, rotation, zoom, translation and contrast follow the definitions of Keras' layers, with the guide's
factors. Flip, rotation, zoom and translation are one affine warp, so a photo is interpolated only once.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from matlens.types import Array, Floats, Pixels

FACTOR = 0.1
"""The guide's factor: rotation by up to a tenth of a full turn, the rest by up to a tenth."""


def view_of(photo: Pixels, digest: str, view: int) -> Pixels:
    """Make view number `view` (from 1) of a photo: the augmentation depends on the content and the view alone.

    Args:
        photo: (H, W, 3) uint8.
        digest: SHA-256 of the photo's file, in hexadecimal digits.

    Returns:
        (H, W, 3) uint8: rounded, so that a view can be stored and used as a photo.
    """
    warped, table = _warp_and_table(photo, np.random.default_rng([int(digest[:16], 16), view]))
    return np.asarray(cv2.LUT(warped, (table * 255).round().astype(np.uint8)), dtype=np.uint8)


def augment(photo: Pixels, rng: np.random.Generator) -> Array:
    """Make one random variation of a photo.

    Args:
        photo: (H, W, 3) uint8.
        rng: the generator that six numbers are drawn from.

    Returns:
        (H, W, 3) float32 in [0, 1]. What moves in from outside is the mirrored photo (Keras' `reflect`).
    """
    return np.asarray(cv2.LUT(*_warp_and_table(photo, rng)), dtype=np.float32)


def generator_of(seed: int, epoch: int, position: int) -> np.random.Generator:
    """Return the generator that draws the variation of the photo at a position in an epoch."""
    if seed >= 2**32:
        return np.random.default_rng([seed, epoch, position, 1])
    # The same generator; made of an array in two thirds of the time.
    return np.random.Generator(np.random.PCG64(np.array([seed, epoch, position, 1], dtype=np.uint32)))


def drawn_variation(size: tuple[int, int], rng: np.random.Generator) -> tuple[Floats, np.float32]:
    """Draw one random variation of a photo of this size (height, width).

    Args:
        size: of the photo, in pixels.
        rng: the generator that six numbers are drawn from: flip, angle, zoom, movement down and to the right, contrast.

    Returns:
        The warp (2, 3), which maps a position (x, y, 1) in the result to the position in the photo that it shows, and
        the factor of contrast (`types.BytePhotos`).
    """
    height, width = size
    first, *shares = rng.random(6).tolist()
    flip = -1.0 if first < 0.5 else 1.0
    turn, zoom, down, right = (_between(-FACTOR, FACTOR, share) for share in shares[:4])
    contrast = _between(1 - FACTOR, 1 + FACTOR, shares[4])
    angle, zoom, down, right = turn * 2 * math.pi, 1.0 + zoom, down * height, right * width

    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2  # flip, rotation and zoom are about the photo's centre
    cos, sin = zoom * math.cos(angle), zoom * math.sin(angle)
    inverse = np.array([[flip * cos, -flip * sin, 0.0], [sin, cos, 0.0]])
    inverse[:, 2] = (middle_x, middle_y) - inverse[:, :2] @ (middle_x + right, middle_y + down)
    return inverse, np.float32(contrast)


def _between(low: float, high: float, share: float) -> float:
    """Return what `Generator.uniform(low, high)` makes of a number in [0, 1)."""
    return low + (high - low) * share


def _warp_and_table(photo: Pixels, rng: np.random.Generator) -> tuple[Pixels, Array]:
    """Return the warped photo, (H, W, 3) uint8, and what contrast makes of each byte, (1, 256, 3) float32 in [0, 1]."""
    height, width = photo.shape[:2]
    inverse, contrast = drawn_variation((height, width), rng)
    warped = cv2.warpAffine(photo, inverse, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                            borderMode=cv2.BORDER_REFLECT)
    mean = np.array(cv2.mean(warped)[:3], dtype=np.float32) / np.float32(255)
    values = np.arange(256, dtype=np.float32)[None, :, None] / np.float32(255)
    return np.asarray(warped, np.uint8), np.clip((values - mean) * contrast + mean, 0, 1)
