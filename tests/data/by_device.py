"""What a device makes of photos as bytes, in plain NumPy."""

from __future__ import annotations

import numpy as np


def by_a_device(photo: np.ndarray, warp: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """What `BytePhotos` says of a photo, in float64: bilinear, mirrored, contrast, clipped."""
    height, width = photo.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    x, y = warp @ np.stack([columns.ravel(), rows.ravel(), np.ones(rows.size)])
    beyond = max(height, width)
    padded = np.pad(photo / 255, ((beyond, beyond), (beyond, beyond), (0, 0)), "symmetric")
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    to_the_right, down = (x - left)[:, None], (y - top)[:, None]
    upper, lower = (padded[top + step + beyond, left + beyond] * (1 - to_the_right)
                    + padded[top + step + beyond, left + 1 + beyond] * to_the_right for step in (0, 1))
    warped = upper * (1 - down) + lower * down
    mean = warped.mean(axis=0)
    return np.clip((warped - mean) * factor + mean, 0, 1).reshape(photo.shape)
