"""Find pairs of photos that may be copies, by small grey pictures of them, in time that grows with their number.

A signature is a photo at 32 x 32 px. Its low frequencies (a discrete cosine transform) change sign or change places
where the photo is mirrored or turned, so the eight orientations cost no picture of their own. Neighbours are found by
sorting the photos along random projections (Charikar 2002, "Similarity estimation techniques from rounding algorithms")
and looking at the next few in each order: the work per photo is fixed, also among thousands of photos of one scene.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from matlens.types import Array, Labels, Pixels

SIDE = 32
"""Pixels of a signature's sides."""

ORIENTATIONS = 8

MOST_CANDIDATES = 4
"""The most candidates for each photo and band, the likest first: of copies planted in 2,527 and 740 photos the original
was among the first four in all cases but one of 480."""

_CUT = 0.93
"""What a candidate may have lost to its edges. A pair must be as alike as either photo is to itself without that."""

_LEAST_ALIKE = 0.5
_ALIKE_IN_DETAIL = 0.8  # copies that are not cut reach 0.9, photos of one scene that differ in detail 0.6
_BLOCK = 32_768  # rows that are compared at a time
_BITS = 24  # projections of an order: more than the logarithm of any number of photos
_BYTES = np.array([1, 1 << 8, 1 << 16])  # what the bytes of these bits count


def signature_of(pixels: Pixels) -> bytes:
    """Return the signature of (H, W, 3) uint8 pixels of any size: 32 x 32 grey levels."""
    grey = cv2.resize(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(grey, dtype=np.uint8).tobytes()


@dataclass(frozen=True)
class Candidates:
    """Pairs of photos that may be copies.

    pairs: (P, 2), the smaller index first, sorted. orientation: (P,), how the second lies on the first (`oriented`).
    """

    pairs: Labels
    orientation: Labels


@dataclass(frozen=True)
class _Band:
    """Frequencies of a signature. tables: the orders in which neighbours are looked for; reach: places in each."""

    lowest: int
    highest: int
    weight: float  # the power of the frequency by which coefficients grow: photographs have little at high ones
    tables: int
    reach: int


_SHAPES = _Band(1, 7, 0.5, tables=10, reach=12)
_DETAIL = _Band(8, 15, 1.0, tables=4, reach=8)


def candidates(signatures: Sequence[bytes]) -> Candidates:
    """Return the pairs that may be copies, at most a few for each photo. They do not depend on the photos' order."""
    n = len(signatures)
    if n < 2:
        return Candidates(np.zeros((0, 2), np.int64), np.zeros(0, np.int64))
    pictures = np.frombuffer(b"".join(signatures), np.uint8).reshape(n, SIDE, SIDE)
    shapes, least = _coefficients(pictures, _SHAPES), _likeness_to_itself(pictures)
    detail = _coefficients(pictures, _DETAIL)
    with ThreadPoolExecutor(2) as pool:  # they take the same time, and NumPy computes in both threads
        found = pool.map(_nearest, (shapes, detail), (_SHAPES, _DETAIL), (least, np.full(
            n, _ALIKE_IN_DETAIL, np.float32)))
        pairs = np.unique(np.concatenate(list(found)), axis=0)
    return Candidates(pairs, _orientations(shapes, pairs))


def oriented(pixels: Pixels, orientation: int) -> Pixels:
    """Turn or mirror a photo: bits 4, 2 and 1 exchange rows and columns, then reverse rows, then columns."""
    if orientation & 4:
        pixels = pixels.transpose(1, 0, 2)
    rows, columns = (slice(None, None, -1 if orientation & bit else 1) for bit in (2, 1))
    return np.ascontiguousarray(pixels[rows, columns])


@cache
def _frequencies(band: _Band) -> tuple[Labels, Labels]:
    """Return the row and column frequencies (K,) of a band, those with the greater one of the two within it."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    inside = (np.maximum(rows, columns) >= band.lowest) & (np.maximum(rows, columns) <= band.highest)
    return rows[inside], columns[inside]


@cache
def _moves(band: _Band) -> tuple[Labels, Array]:
    """Return what each orientation does to coefficients: (8, K) their places, and (8, K) their signs."""
    rows, columns = _frequencies(band)
    place = {pair: index for index, pair in enumerate(zip(rows.tolist(), columns.tolist(), strict=True))}
    places = np.array([[place[(v, u) if orientation & 4 else (u, v)] for u, v in place]
                       for orientation in range(ORIENTATIONS)])
    signs = np.array([np.where(((orientation >> 1 & 1) * rows + (orientation & 1) * columns) % 2, -1.0, 1.0)
                      for orientation in range(ORIENTATIONS)], dtype=np.float32)
    return places, signs


def _coefficients(pictures: npt.NDArray[np.number], band: _Band) -> Array:
    """Return the weighted coefficients (N, K) of pictures (N, 32, 32), of length 1; zeros for an even picture."""
    rows, columns = _frequencies(band)
    waves = _waves()
    low = waves[:band.highest + 1]
    weight = (np.hypot(rows, columns) ** band.weight).astype(np.float32)
    parts = [(low @ pictures[start:start + _BLOCK].astype(np.float32) @ low.T)[:, rows, columns] * weight
             for start in range(0, len(pictures), _BLOCK)]
    return _of_length_one(np.concatenate(parts))


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


def _likeness_to_itself(pictures: Pixels) -> Array:
    """Return how alike (N,) each picture stays to itself, at least, if it loses a corner's two edges."""
    shapes = _coefficients(pictures, _SHAPES)
    least = np.ones(len(pictures), np.float32)
    for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
        lost, centre = (1 - _CUT) * SIDE, (_CUT - 1) / 2  # the centre of the first pixel moves inwards
        warp = np.array([[_CUT, 0, right * lost + centre], [0, _CUT, down * lost + centre]], np.float32)
        for start in range(0, len(pictures), _BLOCK):
            cut = np.stack([cv2.warpAffine(picture, warp, (SIDE, SIDE), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                                           borderMode=cv2.BORDER_REPLICATE)
                            for picture in pictures[start:start + _BLOCK]])
            rows = slice(start, start + len(cut))
            alike = np.einsum("ij,ij->i", shapes[rows], _coefficients(cut, _SHAPES))
            least[rows] = np.minimum(least[rows], alike)
    return np.maximum(least, _LEAST_ALIKE)


def _nearest(vectors: Array, band: _Band, least: Array) -> Labels:
    """Return pairs (P, 2) of photos with MOST_CANDIDATES at most for each, in whatever orientation.

    least: (N,) the least scalar product of a photo with its candidates; of two photos the smaller one counts.
    """
    n, rng = len(vectors), np.random.default_rng(0)
    kept: tuple[Labels, Array] = (np.zeros(0, np.int64), np.zeros(0, np.float32))
    for _ in range(band.tables):
        order = _order(vectors, band, rng)
        found = [kept, *_neighbours(vectors, band, order, least)]
        kept = _likest(np.concatenate([pairs for pairs, _ in found]), np.concatenate([alike for _, alike in found]), n)
    return np.stack(np.divmod(kept[0], n), axis=1)


def _order(vectors: Array, band: _Band, rng: np.random.Generator) -> Labels:
    """Sort all orientations of all photos, (8 N,) numbers `orientation * N + photo`, so that alike ones are near."""
    places, signs = _moves(band)
    directions = rng.standard_normal((vectors.shape[1], _BITS + 1)).astype(np.float32)
    keys, along = [], []
    for place, sign in zip(places, signs, strict=True):
        turned = np.zeros_like(directions)
        turned[place] = directions * sign[:, None]  # turning the directions back is turning the vectors
        values = vectors @ turned
        keys.append(np.packbits(values[:, 1:] > 0, axis=1, bitorder="little") @ _BYTES)
        along.append(values[:, 0])
    return np.lexsort((np.concatenate(along), np.concatenate(keys)))


def _neighbours(vectors: Array, band: _Band, order: Labels, least: Array) -> Iterator[tuple[Labels, Array]]:
    """Give the pairs that lie within reach of each other in an order and are alike, with how alike they are.

    A pair is the number `first * N + second` with the smaller photo first.
    """
    n, (places, signs) = len(vectors), _moves(band)
    exchanged = vectors[:, places[4]]  # with rows and columns in each other's place, as in orientations 4 to 7
    for start in range(0, len(order), _BLOCK):
        orientation, photo = np.divmod(order[start:start + _BLOCK + band.reach], n)
        rows = np.where(orientation[:, None] & 4, exchanged[photo], vectors[photo]) * signs[orientation]
        for step in range(1, min(band.reach, len(rows) - 1) + 1):
            first, second = photo[:-step][:_BLOCK], photo[step:][:_BLOCK]
            alike = np.einsum("ij,ij->i", rows[:-step][:_BLOCK], rows[step:][:_BLOCK])
            good = (alike >= np.minimum(least[first], least[second])) & (first != second)
            first, second = first[good], second[good]
            yield np.minimum(first, second) * n + np.maximum(first, second), alike[good]


def _likest(pairs: Labels, alike: Array, n: int) -> tuple[Labels, Array]:
    """Keep each pair once, and of each photo the pairs that are most alike."""
    ranked = np.lexsort((-alike, pairs))
    pairs, alike = pairs[ranked], alike[ranked]
    once = np.ones(len(pairs), bool)
    once[1:] = pairs[1:] != pairs[:-1]
    pairs, alike = pairs[once], alike[once]
    kept = np.zeros(len(pairs), bool)
    photo, row = np.concatenate(np.divmod(pairs, n)), np.tile(np.arange(len(pairs)), 2)
    by_photo = np.lexsort((-alike[row], photo))
    first = np.searchsorted(photo[by_photo], np.arange(n))
    rank = np.arange(len(by_photo)) - first[photo[by_photo]]
    kept[row[by_photo][rank < MOST_CANDIDATES]] = True
    return pairs[kept], alike[kept]


def _orientations(vectors: Array, pairs: Labels) -> Labels:
    """Return for each pair the orientation (P,) in which the second photo is most alike to the first."""
    places, signs = _moves(_SHAPES)
    first, second = vectors[pairs[:, 0]], vectors[pairs[:, 1]]
    alike = [np.einsum("ij,ij->i", first, second[:, place] * sign) for place, sign in zip(places, signs, strict=True)]
    return np.asarray(np.argmax(alike, axis=0), np.int64)
