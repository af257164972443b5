"""See a photo as a small grey picture, and what that picture is in each of its eight orientations.

A signature is a photo at 32 x 32 px. Its low frequencies (a discrete cosine transform) change sign or change places
where the photo is mirrored or turned, so the eight orientations cost no picture of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from matlens.data.split.hamming import BITS, Hashes, HashView
from matlens.types import Array, Labels, Pixels

SIDE = 32
"""Pixels of a signature's sides."""

ORIENTATIONS = 8

_THEIR_OWN_INVERSE = (1, 2, 3, 4, 7)  # orientations: mirrored, half a turn, both diagonals
_QUARTER_TURN = 5  # the other one, 6, undoes it


@dataclass(frozen=True)
class Band:
    """Frequencies of a signature, from `lowest` to `highest`.

    weight: the power of the frequency by which coefficients grow: photographs have little at high ones.
    """

    lowest: int
    highest: int
    weight: float


SHAPES = Band(1, 7, 0.5)
DETAIL = Band(8, 15, 1.0)


def signature_of(pixels: Pixels) -> bytes:
    """Return the signature of (H, W, 3) uint8 pixels of any size: 32 x 32 grey levels."""
    grey = cv2.resize(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(grey, dtype=np.uint8).tobytes()


def oriented(pixels: Pixels, orientation: int) -> Pixels:
    """Turn or mirror a photo: bits 4, 2 and 1 exchange rows and columns, then reverse rows, then columns."""
    turned = cv2.transpose(pixels) if orientation & 4 else pixels  # a third of the time that NumPy takes
    if orientation & 3:
        turned = cv2.flip(turned, {1: 1, 2: 0, 3: -1}[orientation & 3])
    return np.ascontiguousarray(turned, np.uint8).reshape(*turned.shape[:2], -1)


@cache
def _frequencies(band: Band) -> tuple[Labels, Labels]:
    """Return the row and column frequencies (K,) of a band, those with the greater one of the two within it."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    inside = (np.maximum(rows, columns) >= band.lowest) & (np.maximum(rows, columns) <= band.highest)
    return rows[inside], columns[inside]


@cache
def moves(band: Band) -> tuple[Labels, Array]:
    """Return what each orientation does to coefficients: (8, K) their places, and (8, K) their signs."""
    rows, columns = _frequencies(band)
    place = {pair: index for index, pair in enumerate(zip(rows.tolist(), columns.tolist(), strict=True))}
    places = np.array([[place[(v, u) if orientation & 4 else (u, v)] for u, v in place]
                       for orientation in range(ORIENTATIONS)])
    signs = np.array([np.where(((orientation >> 1 & 1) * rows + (orientation & 1) * columns) % 2, -1.0, 1.0)
                      for orientation in range(ORIENTATIONS)], dtype=np.float32)
    return places, signs


def coefficients(pictures: npt.NDArray[np.number], band: Band) -> Array:
    """Return the weighted coefficients (N, K) of pictures (N, 32, 32), of length 1; zeros for an even picture."""
    rows, columns = _frequencies(band)
    waves = _waves()
    low = waves[:band.highest + 1]
    weight = (np.hypot(rows, columns) ** band.weight).astype(np.float32)
    return _of_length_one((low @ pictures.astype(np.float32) @ low.T)[:, rows, columns] * weight)


@cache
def _waves() -> Array:
    """Return the orthonormal cosines (32, 32) of the transform (DCT-II), by frequency and place."""
    frequency, place = np.mgrid[:SIDE, :SIDE]
    waves = np.cos(np.pi * (place + 0.5) * frequency / SIDE) * np.sqrt(2 / SIDE)
    waves[0] /= np.sqrt(2)
    return np.asarray(waves, np.float32)


def _of_length_one(vectors: Array) -> Array:
    length: Array = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(np.where(length > 1e-3, vectors / np.maximum(length, 1e-3), 0), np.float32)


def hashes_of(shapes: Array) -> tuple[Hashes, list[HashView]]:
    """Return hashes (N,) of coefficients (N, 63), their signs, and the hashes in the other orientations.

    A quarter turn stands for its inverse, too.
    """
    places, signs = moves(SHAPES)
    positive = shapes > 0
    views = [HashView(_packed(positive[:, places[turn]] ^ (signs[turn] < 0)), symmetric=turn != _QUARTER_TURN)
             for turn in (*_THEIR_OWN_INVERSE, _QUARTER_TURN)]
    return _packed(positive), views


def _packed(bits: npt.NDArray[np.bool_]) -> Hashes:
    padded = np.zeros((len(bits), BITS), bool)
    padded[:, :bits.shape[1]] = bits
    return np.packbits(padded, axis=1, bitorder="little").view(np.uint64)[:, 0]
