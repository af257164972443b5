"""Spoil the light: exposure and white balance, in linear light (sRGB, IEC 61966-2-1)."""

from __future__ import annotations

import numpy as np

from matlens.robustness.registry import Perturbation, register
from matlens.types import Floats, Pixels


def exposed(photo: Pixels, stops: float, rng: np.random.Generator) -> Pixels:
    """Multiply the light by 2^stops, and clip it."""
    return _in_linear_light(photo, np.array([2.0**stops] * 3))


def tinted(photo: Pixels, stops: float, rng: np.random.Generator) -> Pixels:
    """Multiply red light by 2^stops, divide blue light by it, and clip both; below 0 the photo is colder."""
    return _in_linear_light(photo, np.array([2.0**stops, 1.0, 2.0**-stops]))


def _in_linear_light(photo: Pixels, gains: Floats) -> Pixels:
    encoded = np.arange(256) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    lit = np.clip(linear[:, None] * gains, 0, 1)
    back = np.where(lit <= 0.0031308, 12.92 * lit, 1.055 * lit ** (1 / 2.4) - 0.055)
    table = (255 * back).round().astype(np.uint8)  # (256, 3): a byte becomes a byte, in each channel
    return np.stack([table[photo[..., channel], channel] for channel in range(3)], axis=-1)


register(Perturbation("darker", "Darker", "stops", (-0.5, -1, -1.5, -2, -3), exposed, rank=1))
register(Perturbation("brighter", "Brighter", "stops", (0.5, 1, 1.5, 2, 3), exposed, rank=2))
register(Perturbation("warmer", "Warmer light", "stops of red over green", (0.2, 0.4, 0.6, 0.8, 1), tinted, rank=3))
register(Perturbation("colder", "Colder light", "stops of red over green", (-0.2, -0.4, -0.6, -0.8, -1), tinted,
                      rank=4))
