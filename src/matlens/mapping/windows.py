"""Windows of a photo of the size that a network was trained on, for networks that take no other size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from matlens.data.pixels.values import as_floats
from matlens.features.artifact import Artifact
from matlens.types import Array, Floats, Pixels

_BATCH = 16
MOST_WINDOWS = 400
"""Windows of a photo at one scale: with more, their distance grows."""

_OVERLAP = 3
"""A window begins a third of its side behind the one before."""


@dataclass(frozen=True, eq=False)
class Answered:
    """What a network answers to windows.

    tops, lefts: where rows and columns of windows begin, in pixels. probabilities: (rows, columns, C), the network's
    own. features: (rows, columns, K), averaged over places.
    """

    tops: list[int]
    lefts: list[int]
    probabilities: Array
    features: Array


def answered_windows(artifact: Artifact, photo: Pixels) -> Answered:
    """Let a network answer overlapping windows of a photo (H, W, 3) uint8, which is no smaller than a window."""
    height, width = artifact.img_size
    tops, lefts = _starts(photo.shape[0], height), _starts(photo.shape[1], width)
    while len(tops) * len(lefts) > MOST_WINDOWS:
        longer = tops if len(tops) >= len(lefts) else lefts
        longer[:] = [*longer[:-1:2], longer[-1]]
    probabilities, features = [], []
    for batch in _batches(photo, tops, lefts, (height, width)):
        own, mean = artifact.predict_with_features(batch)
        probabilities.append(own)
        features.append(mean)
    grid = (len(tops), len(lefts), -1)
    return Answered(tops, lefts, np.concatenate(probabilities).reshape(grid), np.concatenate(features).reshape(grid))


def _batches(photo: Pixels, tops: list[int], lefts: list[int], size: tuple[int, int]) -> Iterator[Array]:
    places = [(top, left) for top in tops for left in lefts]
    for first in range(0, len(places), _BATCH):
        yield as_floats(np.stack([photo[top:top + size[0], left:left + size[1]]
                                  for top, left in places[first:first + _BATCH]]))


def _starts(length: int, side: int) -> list[int]:
    """Return where windows begin so that they cover a length, evenly spread."""
    n = max(1, -(-(length - side) * _OVERLAP // side) + 1)
    return [round(start) for start in np.linspace(0, length - side, n)]


def weights_of(points: Floats, starts: list[int], side: int) -> Floats:
    """Return how much each window counts at each point, (N, windows): the more, the nearer its middle is.

    Rows sum to 1. points: (N,) in pixels. A window counts by a triangle around its middle; the nearest always does.
    """
    away = np.abs(points[:, None] - (np.array(starts) + side / 2)[None, :]) / (side / 2)
    weights = np.maximum(1 - away, 0)
    weights[np.arange(len(points)), away.argmin(axis=1)] += 1e-3
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float64)
