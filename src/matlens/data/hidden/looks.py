"""Describe how a photo looks in a few numbers: its colours, and the strength and directions of its edges.

Photos of one object keep these numbers nearer to each other than to those of other objects of their class, whatever
network is trained afterwards. They stand in for features of a network where none was computed yet.
"""

from __future__ import annotations

import cv2
import numpy as np

from matlens.types import Array, Pixels

_SIDE = 64
_COLOUR_BINS = 16
_DIRECTIONS = 8
_STEPS = (1, 2, 4)
"""At which parts of the side edges are looked for: the whole, a half, a quarter."""


def describe(pixels: Pixels) -> Array:
    """Return the description, (65,) float32, of (H, W, 3) uint8 RGB pixels of any size.

    These are the mean, the standard deviation and histograms of the colours in CIELAB, and at three sizes the strength
    of edges and a histogram of their directions. Brightness enters by its mean and deviation alone.
    """
    small = cv2.resize(pixels, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).astype(np.float32)
    flat = lab.reshape(-1, 3)
    parts = [flat.mean(axis=0), flat.std(axis=0)]
    parts += [np.histogram(flat[:, channel], _COLOUR_BINS, (0, 255))[0] / len(flat) for channel in (1, 2)]
    light = (lab[..., 0] - lab[..., 0].mean()) / (lab[..., 0].std() + 1)
    for step in _STEPS:
        parts.append(_edges(cv2.resize(light, (_SIDE // step, _SIDE // step), interpolation=cv2.INTER_AREA)))
    return np.concatenate(parts).astype(np.float32)


def _edges(light: Array) -> Array:
    across, down = cv2.Sobel(light, cv2.CV_32F, 1, 0), cv2.Sobel(light, cv2.CV_32F, 0, 1)
    strength = np.hypot(across, down)
    directions = np.mod(np.arctan2(down, across), np.pi)
    counts, _ = np.histogram(directions, _DIRECTIONS, (0, np.pi), weights=strength)
    return np.append(np.sqrt(counts / (counts.sum() + 1e-6)), np.log(strength.mean() + 0.01))
