"""Pool over superpixels: each takes the mean over those of like colour around it.

A head was trained on means over the places of whole photos, and a single place is nothing that it ever saw. A mean
over a square window crosses the edges of materials. So a superpixel takes the others' features with weights that fall
with the distance in the photo and in colour, as a bilateral filter has them (Tomasi and Manduchi 1998).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from matlens.mapping.superpixels import Segments
from matlens.types import Array, Floats, Pixels

COLOUR = 10.0
"""The standard deviation of the weights by colour, in units of CIELAB. Chosen on validation mosaics."""

_AGREEMENT, _ROUNDS = 8.0, 8
"""How much the neighbourhood's answers count beside a superpixel's own log-probabilities, and how often they are asked.
Chosen on validation mosaics."""

_SAMPLES = 6
"""Samples of the photo along the side of a superpixel."""


@dataclass(frozen=True, eq=False)
class Patches:
    """The superpixels of a photo.

    segments: (H, W), the number of each pixel's superpixel. sizes: (S,), their pixels. places: (S, 2) float32, their
    middles (y, x) in pixels. colours: (S, 3) float32, their means in CIELAB.
    """

    segments: Segments
    sizes: npt.NDArray[np.int64]
    places: Array
    colours: Array

    @classmethod
    def of(cls, photo: Pixels, segments: Segments) -> Patches:
        """Measure the superpixels of a photo (H, W, 3) uint8."""
        numbers = segments.ravel()
        sizes = np.bincount(numbers)
        height, width = segments.shape
        lab = cv2.cvtColor(photo.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB).reshape(-1, 3)
        rows, columns = np.repeat(np.arange(height), width), np.tile(np.arange(width), height)
        means = [np.bincount(numbers, values) / sizes for values in (rows, columns, lab[:, 0], lab[:, 1], lab[:, 2])]
        stacked = np.stack(means, axis=1).astype(np.float32)
        return cls(segments, sizes, stacked[:, :2] + np.float32(0.5), stacked[:, 2:])

    def __len__(self) -> int:
        return len(self.sizes)

    @cached_property
    def _samples(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return y, x and superpixel of some pixels of each superpixel."""
        apart = max(1, int(np.sqrt(np.median(self.sizes))) // _SAMPLES)
        width = self.segments.shape[1]
        some = np.arange(self.segments.size).reshape(self.segments.shape)[::apart, ::apart].ravel()
        first = np.unique(self.segments, return_index=True)[1]  # each has one at least
        pixels = np.concatenate([some, first])
        return pixels // width, pixels % width, self.segments.ravel()[pixels].astype(np.int64)

    def means_of(self, features: Array) -> Array:
        """Return the mean of a feature map (h, w, K) over each superpixel, (S, K), interpolated between places."""
        y, x, superpixel = self._samples
        rows, columns = features.shape[:2]
        height, width = self.segments.shape
        (top, down), (left, right) = (_between((at + 0.5) * places / length - 0.5) for at, places, length in (
            (y, rows, height), (x, columns, width)))
        corners = [(share_y * share_x, np.clip(top + dy, 0, rows - 1) * columns + np.clip(left + dx, 0, columns - 1))
                   for dy, share_y in ((0, 1 - down), (1, down)) for dx, share_x in ((0, 1 - right), (1, right))]
        shares, place = (np.concatenate(part) for part in zip(*corners, strict=True))
        # A sparse product in NumPy: the server's container has no SciPy.
        pairs, inverse = np.unique(np.tile(superpixel, len(corners)) * (rows * columns) + place, return_inverse=True)
        owner, place = np.divmod(pairs, rows * columns)
        weights = (np.bincount(inverse, shares) / np.bincount(superpixel)[owner]).astype(np.float32)
        flat = features.reshape(rows * columns, -1)
        begins = np.searchsorted(owner, np.arange(len(self) + 1))
        return np.stack([weights[first:end] @ flat[place[first:end]] for first, end in pairwise(begins)])

    def neighbourhood(self, reach: float, *, of_any_colour: bool = False) -> Array:
        """Return the weights (S, S) float32 of the superpixels around each, whose rows sum to 1.

        reach: the standard deviation of the weights by distance, in pixels.
        """
        near, alike = self.places / np.float32(reach), self.colours / np.float32(COLOUR)
        points = near if of_any_colour else np.concatenate([near, alike], axis=1)
        squares = (points**2).sum(axis=1)
        weights = points @ points.T
        weights -= squares[:, None] / 2
        weights -= squares[None, :] / 2
        np.exp(np.minimum(weights, 0, out=weights), out=weights)
        weights *= self.sizes.astype(np.float32)[None, :]
        weights /= weights.sum(axis=1, keepdims=True)
        return np.asarray(weights, dtype=np.float32)


def agreed(logs: Floats, neighbourhood: Array) -> npt.NDArray[np.int64]:
    """Return the class of each superpixel (S,), where what its neighbourhood answers counts beside its own answer.

    Rounds of mean field inference (Krähenbühl and Koltun 2011): a class gains by the share of the neighbourhood that
    has it.

    Args:
        logs: (S, C), logarithms of probabilities. neighbourhood: (S, S), see `Patches.neighbourhood`.
    """
    shares = _softmax(logs)
    for _ in range(_ROUNDS):
        shares = _softmax(logs + _AGREEMENT * (neighbourhood @ shares.astype(np.float32)))
    return np.asarray(shares.argmax(axis=1), dtype=np.int64)


def _between(position: Floats) -> tuple[npt.NDArray[np.int64], Floats]:
    """Return the place before each position, and how far it lies towards the next, in [0, 1)."""
    before = np.floor(position)
    return before.astype(np.int64), np.asarray(position - before)


def _softmax(logs: Floats) -> Floats:
    raised = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))
