"""Mosaics whose materials are known at each pixel: regions of photos of one material each, beside one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from matlens.types import Labels, Pixels

_LEAST_AREA = 0.08
"""The least share of the mosaic that a region has."""


@dataclass(frozen=True, eq=False)
class Mosaic:
    """photo: (H, W, 3) uint8. truth: (H, W), the class number of each pixel."""

    photo: Pixels
    truth: Labels


def regions(side: int, n: int, rng: np.random.Generator) -> Labels:
    """Divide a square into n regions: (side, side), the number of the nearest of n points (Voronoi)."""
    rows, columns = np.mgrid[:side, :side]
    while True:
        points = rng.uniform(0, side, (n, 2))
        nearest = ((rows[..., None] - points[:, 0])**2 + (columns[..., None] - points[:, 1])**2).argmin(axis=2)
        if np.bincount(nearest.ravel(), minlength=n).min() >= _LEAST_AREA * side**2:
            return np.asarray(nearest, dtype=np.int64)


def mosaic_of(photos: Sequence[Pixels], classes: Sequence[int], side: int, rng: np.random.Generator) -> Mosaic:
    """Lay photos (H, W, 3) uint8 side by side in regions of a square, each at its own resolution.

    A region shows the middle of its photo. Where the photo is smaller, it goes on mirrored.
    """
    of_region = regions(side, len(photos), rng)
    photo = np.zeros((side, side, 3), np.uint8)
    for number, pixels in enumerate(photos):
        inside = of_region == number
        rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        box = np.s_[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1]
        photo[box][inside[box]] = _middle(pixels, inside[box].shape)[inside[box]]
    return Mosaic(photo, np.asarray(classes, dtype=np.int64)[of_region])


def _middle(photo: Pixels, size: tuple[int, ...]) -> Pixels:
    lacking = [max(0, -(-(wanted - there) // 2)) for wanted, there in zip(size, photo.shape[:2], strict=True)]
    while any(lacking):  # a mirror image is at most as large as the photo
        down, right = (min(by, there - 1) for by, there in zip(lacking, photo.shape[:2], strict=True))
        photo = np.asarray(cv2.copyMakeBorder(photo, down, down, right, right, cv2.BORDER_REFLECT_101), dtype=np.uint8)
        lacking = [by - done for by, done in zip(lacking, (down, right), strict=True)]
    top, left = ((there - wanted) // 2 for wanted, there in zip(size, photo.shape[:2], strict=True))
    return photo[top:top + size[0], left:left + size[1]]
