"""Divide a photo into superpixels: small patches of one colour whose edges follow those of the photo.

SLIC (Achanta, Shaji, Smith, Lucchi, Fua, Süsstrunk 2012: SLIC Superpixels Compared to State-of-the-Art Superpixel
Methods, IEEE TPAMI 34(11)): k-means over colour in CIELAB and place, begun on a grid, where a pixel may join only the
centres near it. Here these are the centres of its own cell of the grid and of the eight around it, so that all pixels
are compared at once in NumPy. What SLIC does last, joining stray pieces to their neighbours, is left out: a superpixel
of a map needs no outline of its own.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from matlens.types import Array, Pixels

COMPACTNESS = 10.0
"""How many units of colour in CIELAB (where lightness goes from 0 to 100) a whole step of the grid is worth; their
paper's."""

_ITERATIONS, _ROUGH = 5, 300_000
"""Rounds of k-means, and the pixels of the picture that they are made on: a larger one is made smaller for them."""

_AT_ONCE = 200_000
"""Pixels that are compared with their centres at once."""

Segments = npt.NDArray[np.int32]
"""(H, W): the number of each pixel's superpixel, from 0."""


def superpixels(photo: Pixels, step: float, compactness: float = COMPACTNESS) -> Segments:
    """Divide a photo (H, W, 3) uint8 into superpixels of about `step` x `step` pixels.

    Returns the number of each pixel's superpixel, (H, W) int32 from 0, without gaps. Alike for alike photos.
    """
    height, width = photo.shape[:2]
    shrunk = min(1.0, (_ROUGH / (height * width)) ** 0.5)
    small = photo if shrunk == 1 else cv2.resize(photo, (max(1, round(width * shrunk)), max(1, round(height * shrunk))),
                                                 interpolation=cv2.INTER_AREA)
    rows, columns = (max(1, round(length / step)) for length in (height, width))
    weight = compactness / max(step, 1.0)
    points = _points(small, (height, width), weight)
    cells = _cells(points.shape[:2], (rows, columns))
    numbers = cells[0][:, None] * columns + cells[1][None, :]
    centres = _means(points, numbers, rows * columns, np.zeros((rows * columns, 5), np.float32))
    for _ in range(_ITERATIONS):
        numbers = _nearest(points, centres.reshape(rows, columns, 5), cells)
        centres = _means(points, numbers, rows * columns, centres)
    if shrunk < 1:
        points = _points(photo, (height, width), weight)
        numbers = _nearest(points, centres.reshape(rows, columns, 5), _cells((height, width), (rows, columns)))
    return np.unique(numbers, return_inverse=True)[1].reshape(height, width).astype(np.int32)


def _points(photo: Pixels, full: tuple[int, int], weight: float) -> Array:
    """Return colour and weighted place, in pixels of the full size, of each pixel: (H, W, 5) float32."""
    height, width = photo.shape[:2]
    points = np.empty((height, width, 5), np.float32)
    points[..., :3] = cv2.cvtColor(photo.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB)
    points[..., 3] = ((np.arange(height, dtype=np.float32) + 0.5) * (full[0] / height * weight))[:, None]
    points[..., 4] = ((np.arange(width, dtype=np.float32) + 0.5) * (full[1] / width * weight))[None, :]
    return points


def _cells(size: tuple[int, int], grid: tuple[int, int]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return in which row of the grid each row of pixels lies, (H,), and likewise columns, (W,)."""
    rows, columns = (np.arange(length) * cells // length for length, cells in zip(size, grid, strict=True))
    return rows, columns


def _nearest(points: Array, centres: Array, cells: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]],
             ) -> npt.NDArray[np.intp]:
    """Return the number of the nearest centre (rows, columns, 5) among the nine around each pixel: (H, W)."""
    rows, columns = centres.shape[:2]
    squares = (centres**2).sum(axis=2)
    numbers = np.empty(points.shape[:2], np.intp)
    strip = max(1, _AT_ONCE // points.shape[1])
    for top in range(0, len(points), strip):
        part, of_rows = points[top:top + strip], cells[0][top:top + strip]
        least: Array = np.full(part.shape[:2], np.inf, np.float32)
        nearest = numbers[top:top + strip]
        for down in (-1, 0, 1):
            for right in (-1, 0, 1):
                y = np.clip(of_rows + down, 0, rows - 1)[:, None]
                x = np.clip(cells[1] + right, 0, columns - 1)[None, :]
                distance = squares[y, x] - 2 * np.einsum("hwk,hwk->hw", part, centres[y, x])
                closer = distance < least
                np.copyto(least, distance, where=closer)
                np.copyto(nearest, y * columns + x, where=closer)
    return numbers


def _means(points: Array, numbers: npt.NDArray[np.intp], n: int, before: Array) -> Array:
    """Return the mean point of each superpixel, (n, 5); one without pixels stays where it was."""
    counts = np.bincount(numbers.ravel(), minlength=n)
    sums = np.stack([np.bincount(numbers.ravel(), points[..., k].ravel(), minlength=n) for k in range(5)], axis=1)
    return np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], before).astype(np.float32)
