"""Lay a drawn material on a plain ground, as a sample on a table: a heat map then has something to find."""

from __future__ import annotations

import cv2
import numpy as np

from matlens.data.drawn.surface import CHARCOAL, CREAM, GREY, SILVER, SLATE, WHITE, Field, mix, soft, step

_GROUNDS = (WHITE, CREAM, SILVER, GREY, SLATE, CHARCOAL)


def laid_down(material: Field, rng: np.random.Generator) -> Field:
    """Cut a sample out of a material and lay it on a plain ground, under a soft shadow.

    The sample covers 40 to 70 % of the photo, is round, oval or cornered, and lies anywhere inside of it.

    Args:
        material: (3, n, n) float32, nominally in 0..1.

    Returns:
        (3, n, n) float32.
    """
    n = material.shape[-1]
    axis = (np.arange(n, dtype=np.float32) + 0.5) / n - 0.5
    x, y = np.meshgrid(axis, axis)
    half = float(np.sqrt(rng.uniform(0.4, 0.7))) / 2
    stretch = float(np.exp(rng.uniform(-0.15, 0.15)))
    angle, corners = rng.uniform(0, np.pi), float(np.exp(rng.uniform(np.log(2.2), np.log(9))))
    reach = 0.48 - half
    centre_x, centre_y = rng.uniform(-reach, reach, 2).tolist()
    c, s = float(np.cos(angle)), float(np.sin(angle))
    along = (c * (x - centre_x) + s * (y - centre_y)) / (half * stretch)
    across = (c * (y - centre_y) - s * (x - centre_x)) / (half / stretch)
    # A superellipse: |a|^p + |b|^p = 1 goes from a circle (p = 2) to a square.
    away = (np.abs(along) ** corners + np.abs(across) ** corners) ** (1 / corners)
    inside = 1 - step(0.985, 1.015, away)
    tint = np.array(_GROUNDS[rng.integers(len(_GROUNDS))]) * rng.normal(1, 0.05, 3)
    fall = 1 + 0.12 * (float(rng.uniform(-1, 1)) * x + float(rng.uniform(-1, 1)) * y)
    shadow = cv2.warpAffine(inside, np.array([[1, 0, 0.02 * n], [0, 1, 0.03 * n]], np.float32), (n, n))
    ground = np.clip(tint, 0.04, 0.92).astype(np.float32)[:, None, None] * (fall * (1 - 0.45 * soft(shadow, 0.02)))
    laid: Field = mix(ground, material, inside).astype(np.float32)
    return laid
