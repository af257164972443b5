"""Find pairs of photos that may be copies, by their signatures, in time that grows with their number.

Three searches complete each other, each in all orientations of the photos:

- Pairs whose hashes, the signs of their low frequencies, differ in at most three bits: all of them (`hamming`). Copies
  that are encoded again, resized, mirrored or turned are nearly always such pairs, however many a photo has.
- The few likest of each photo, by the scalar product of the frequencies: photos are sorted along random projections
  (Charikar 2002, "Similarity estimation techniques from rounding algorithms"), and the next few in each order are
  looked at. This finds copies that are cut. The work for a photo is fixed, also among thousands of photos of one scene.
- The same by higher frequencies, which tell apart the photos of one scene.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np

from matlens.data.split.hamming import Hashes, HashView, near_pairs
from matlens.data.split.signatures import DETAIL, ORIENTATIONS, SHAPES, SIDE, Band, coefficients, hashes_of, moves
from matlens.types import Array, Labels, Pixels

MOST_CANDIDATES = 4
"""The most candidates for each photo and search of the likest: of copies planted in 2,527 and 740 photos the original
was among the first four in all cases but one of 480."""

_DISTANCE = 3
"""Bits of 63 in which hashes of candidates differ: of 300 copies each 97 % that were halved, 98.7 % in JPEG of quality
40, 99.3 % that were mirrored and all that were turned lie within."""

_CUT = 0.93
"""What a candidate may have lost to its edges. A pair must be as alike as either photo is to itself without that."""

_LEAST_ALIKE = 0.5
_ALIKE_IN_DETAIL = 0.8  # copies that are not cut reach 0.9, photos of one scene that differ in detail 0.6
_BLOCK = 4_096  # rows that are compared at a time
_WAITING = 4  # pairs for each photo that wait to be sorted
_BITS = 24  # projections of an order: more than the logarithm of any number of photos
_BYTES = np.array([1, 1 << 8, 1 << 16], np.uint64)  # what the bytes of these bits count
_FLOAT = np.uint64(32)  # bits

_Likest = tuple[Labels, Array]
"""Pairs, as numbers `first * N + second` with the smaller photo first, and how alike they are."""


@dataclass(frozen=True)
class Candidates:
    """Pairs of photos that may be copies.

    pairs: (P, 2), the smaller index first, sorted. orientation: (P,), how the second lies on the first (`oriented`).
    """

    pairs: Labels
    orientation: Labels


@dataclass(frozen=True)
class _Orders:
    """How the likest by a band are looked for. tables: the orders; reach: places in each."""

    band: Band
    tables: int
    reach: int


_OF_SHAPES, _OF_DETAIL = _Orders(SHAPES, tables=10, reach=12), _Orders(DETAIL, tables=4, reach=8)


def candidates(signatures: Sequence[bytes]) -> Candidates:
    """Return the pairs that may be copies, at most a few for each photo. They do not depend on the photos' order."""
    n = len(signatures)
    if n < 2:
        return Candidates(np.zeros((0, 2), np.int64), np.zeros(0, np.int64))
    from threadpoolctl import threadpool_limits

    # NumPy computes in both threads of the pool. Threads of products would wait for each other as long as they compute.
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(2) as pool:
        shapes, detail, least = _seen(signatures)
        searches = (pool.submit(_nearest, shapes, _OF_SHAPES, least),
                    pool.submit(_nearest, detail, _OF_DETAIL, np.full(n, _ALIKE_IN_DETAIL, np.float32)),
                    pool.submit(_same_signs, shapes))
        pairs = np.unique(np.concatenate([search.result() for search in searches]), axis=0)
    return Candidates(pairs, _orientations(shapes, pairs))


def _seen(signatures: Sequence[bytes]) -> tuple[Array, Array, Array]:
    """Return the shapes (N, 63), the detail (N, 192) and the likeness to itself (N,) of photos."""
    n = len(signatures)
    shapes, detail, least = (np.empty(shape, np.float32) for shape in (
        (n, len(moves(SHAPES)[0][0])), (n, len(moves(DETAIL)[0][0])), n))
    for start in range(0, n, _BLOCK):
        rows = slice(start, min(start + _BLOCK, n))
        pictures = np.frombuffer(b"".join(signatures[rows]), np.uint8).reshape(-1, SIDE, SIDE)
        shapes[rows], detail[rows] = coefficients(pictures, SHAPES), coefficients(pictures, DETAIL)
        least[rows] = _likeness_to_itself(pictures, shapes[rows])
    return shapes, detail, least


def _likeness_to_itself(pictures: Pixels, shapes: Array) -> Array:
    """Return how alike (N,) each picture stays to itself, at least, if it loses a corner's two edges."""
    least = np.ones(len(pictures), np.float32)
    for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
        lost, centre = (1 - _CUT) * SIDE, (_CUT - 1) / 2  # the centre of the first pixel moves inwards
        warp = np.array([[_CUT, 0, right * lost + centre], [0, _CUT, down * lost + centre]], np.float32)
        cut = np.stack([cv2.warpAffine(picture, warp, (SIDE, SIDE), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                                       borderMode=cv2.BORDER_REPLICATE) for picture in pictures])
        least = np.minimum(least, np.einsum("ij,ij->i", shapes, coefficients(cut, SHAPES)))
    return np.maximum(least, _LEAST_ALIKE)


def _same_signs(shapes: Array) -> Labels:
    """Return pairs (P, 2) of photos whose shapes hardly differ in sign. An even picture has none."""
    hashes, views = hashes_of(shapes)
    order = np.lexsort((shapes[:, 0], hashes))  # the links of a crowd go by numbers
    order = order[shapes[order].any(axis=1)]
    views = [HashView(view.hashes[order], view.symmetric) for view in views]
    pairs: Labels = np.sort(order[near_pairs(hashes[order], _DISTANCE, views)], axis=1)
    return pairs


def _nearest(vectors: Array, how: _Orders, least: Array) -> Labels:
    """Return pairs (P, 2) of photos with MOST_CANDIDATES at most for each, in whatever orientation.

    least: (N,) the least scalar product of a photo with its candidates; of two photos the smaller one counts.
    """
    n, rng = len(vectors), np.random.default_rng(0)
    kept, waiting, last = [_nothing()], 0, np.full(n, -1, np.float32)
    for _ in range(how.tables):
        for part in _neighbours(vectors, how, _order(vectors, how.band, rng), least, last):
            kept.append(part)
            waiting += len(part[0])
            if waiting > max(_WAITING * n, _BLOCK):
                kept, waiting = [_likest(kept, last)], 0
    return np.stack(np.divmod(_likest(kept, last)[0], n), axis=1)


def _nothing() -> _Likest:
    return np.zeros(0, np.int64), np.zeros(0, np.float32)


def _order(vectors: Array, band: Band, rng: np.random.Generator) -> Labels:
    """Sort all orientations of all photos, (8 N,) numbers `orientation * N + photo`, so that alike ones are near."""
    places, signs = moves(band)
    directions = rng.standard_normal((vectors.shape[1], _BITS + 1)).astype(np.float32)
    keys = []
    for place, sign in zip(places, signs, strict=True):
        turned = np.zeros_like(directions)
        turned[place] = directions * sign[:, None]  # turning the directions back is turning the vectors
        values = vectors @ turned
        signs_of = np.packbits(values[:, 1:] > 0, axis=1, bitorder="little") @ _BYTES
        keys.append(signs_of << _FLOAT | _in_order(values[:, 0]))
    return np.argsort(np.concatenate(keys))


def _in_order(values: Array) -> Hashes:
    """Return integers (N,) below 2^32 that are in the order of the values."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    return np.asarray(bits ^ np.where(bits >> 31, 0xFFFF_FFFF, 0x8000_0000), np.uint64)


def _neighbours(vectors: Array, how: _Orders, order: Labels, least: Array, last: Array) -> Iterator[_Likest]:
    """Give the pairs that lie within reach of each other in an order and are alike, with how alike they are.

    last: (N,) how alike the last candidate of each photo is by now. Pairs that are less so for both are left out.
    """
    n, (places, signs) = len(vectors), moves(how.band)
    for start in range(0, len(order), _BLOCK):
        orientation, photo = np.divmod(order[start:start + _BLOCK + how.reach], n)
        rows, exchanged = vectors[photo], orientation >= ORIENTATIONS // 2
        rows[exchanged] = rows[exchanged][:, places[4]]
        rows *= signs[orientation]
        for step in range(1, min(how.reach, len(rows) - 1) + 1):
            first, second = photo[:-step][:_BLOCK], photo[step:][:_BLOCK]
            alike = np.einsum("ij,ij->i", rows[:-step][:_BLOCK], rows[step:][:_BLOCK])
            good = np.flatnonzero((alike >= np.minimum(least[first], least[second])) & (first != second))
            first, second, alike = first[good], second[good], alike[good]
            good = alike >= np.minimum(last[first], last[second])
            first, second = first[good], second[good]
            yield np.minimum(first, second) * n + np.maximum(first, second), alike[good]


def _likest(parts: Sequence[_Likest], last: Array) -> _Likest:
    """Keep each pair once, and of each photo the pairs that are most alike.

    last: (N,) is given how alike the last of them is, for photos that have all.
    """
    n = len(last)
    pairs, alike = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
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
    ends = by_photo[rank == MOST_CANDIDATES - 1]
    last[photo[ends]] = alike[row[ends]]
    return pairs[kept], alike[kept]


def _orientations(vectors: Array, pairs: Labels) -> Labels:
    """Return for each pair the orientation (P,) in which the second photo is most alike to the first."""
    places, signs = moves(SHAPES)
    first, second = vectors[pairs[:, 0]], vectors[pairs[:, 1]]
    alike = [np.einsum("ij,ij->i", first, second[:, place] * sign) for place, sign in zip(places, signs, strict=True)]
    return np.asarray(np.argmax(alike, axis=0), np.int64)
