"""Find photos that look the same: candidates by a perceptual hash, and each pair then confirmed on its pixels.

Two photos look the same if one was made from the other by another encoding, resizing, a little more or less light, or
cutting off up to about 2 %, or if both are shots of one scene in which nothing moved. Another photo of the same thing
on the same background does not look the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from matlens.data.pixels.decode import resize
from matlens.data.split.clusters import Clusters
from matlens.types import Array, Pixels, Progress, unheard

HASH_DISTANCE = 10
"""How many of 64 bits may differ between the hashes of two candidates. Planted copies of 150 photos differed in at most
10 bits in 98.7 % of cases for the worst kind (2 % cut off at a corner), and in at most 6 if encoded or resized."""

SAME_DETAIL = 0.95
"""The least correlation of the fine structure of two photos, one aligned with the other. In TrashNet candidates reach
0.949 to 1 if one scene was shot twice, and at most 0.65 otherwise; nearly all planted copies lie above 0.95."""

SAME_COLOURS = 0.98
"""The least correlation of the colours of two photos: planted copies reach 0.99, a green lid and a gold one do not."""

_SIDE = 128
_MARGIN = 8  # px at the edges, where a warped photo has no pixels
_COARSE = 0.8  # correlation at 32 px; that of a 2 % crop is 0.9
_LEAST_DETAIL = 0.5  # grey levels; below, only rounding would be compared
_FARTHEST = 0.05  # share of the side by which a corner may move: 2 % cut off a corner move the opposite one by 4 %
_FARTHEST_AT_HALF_SIZE = 0.08  # the same at half the side, for a sixth of the work: 103 near pairs reached 0.072
_ROWS = 128
_PAIRS = 128


def perceptual_hash(pixels: Pixels) -> int:
    """Return the 64 bit pHash (imagehash: signs of the lowest frequencies) of (H, W, 3) uint8 pixels of any size."""
    import imagehash
    from PIL import Image

    grey = cv2.resize(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), (32, 32), interpolation=cv2.INTER_AREA)
    bits = imagehash.phash(Image.fromarray(grey)).hash
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def near_duplicates(hashes: Sequence[int] | npt.NDArray[np.uint64], read: Callable[[int], Pixels | None],
                    on_progress: Progress = unheard) -> list[tuple[int, ...]]:
    """Find groups of photos that look the same.

    Every link between two photos of a group is confirmed on pixels, so similar hashes alone never enlarge a group. The
    groups do not depend on the order of the photos.

    Args:
        hashes: `perceptual_hash` of each photo.
        read: returns the pixels of photo i, (H, W, 3) uint8 of any size, or None. Threads call it, for candidates only.
        on_progress: called with (photos compared, all photos).

    Returns:
        Groups of at least two indices as sorted tuples, sorted.
    """
    clusters: Clusters[int] = Clusters()
    plain: set[int] = set()  # thousands of black photos share one hash: each is read once

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for pairs in _candidates(np.asarray(hashes, dtype=np.uint64), on_progress):
            for start in range(0, len(pairs), _PAIRS):
                open_pairs = [(i, j) for i, j in pairs[start:start + _PAIRS].tolist()
                              if i not in plain and j not in plain and not clusters.are_joined(i, j)]
                needed = sorted({index for pair in open_pairs for index in pair})
                views = dict(zip(needed, pool.map(lambda index: _view(read(index)), needed), strict=True))
                plain |= {index for index, view in views.items() if view is None}
                verdicts = pool.map(_same, [views[i] for i, _ in open_pairs], [views[j] for _, j in open_pairs])
                for (i, j), same in zip(open_pairs, verdicts, strict=True):
                    if same:
                        clusters.join(i, j)
    return clusters.groups()


def _candidates(hashes: npt.NDArray[np.uint64], on_progress: Progress) -> Iterator[npt.NDArray[np.int64]]:
    """Give pairs (n, 2) of near hashes, for some rows at a time, so that memory does not grow with their number."""
    # With bits as -1 and 1 the scalar product of two hashes is 64 less twice their distance, which BLAS computes fast.
    octets = hashes.astype(">u8").view(np.uint8).reshape(-1, 8)
    bits = np.unpackbits(octets, axis=1).astype(np.float32) * 2 - 1
    for start in range(0, len(hashes), _ROWS):
        near = bits[start:start + _ROWS] @ bits[start:].T >= 64 - 2 * HASH_DISTANCE
        pairs = np.stack(np.divmod(np.flatnonzero(near), near.shape[1]), axis=1)  # argwhere takes three times as long
        yield pairs[pairs[:, 0] < pairs[:, 1]] + start
        on_progress(min(start + _ROWS, len(hashes)), len(hashes))


@dataclass(frozen=True)
class _View:
    """A photo with what each comparison needs of it.

    pixels: (128, 128, 3) uint8. smooth: the same without the finest noise, float32. small, detail, colours: vectors of
    mean 0 and length 1, whose scalar products are Pearson's correlations, of the photo at 32 px, of its fine structure,
    and of its colours without the margin.
    """

    pixels: Pixels
    smooth: Array
    small: Array
    detail: Array
    colours: Array


def _view(pixels: Pixels | None) -> _View | None:
    """Prepare a photo for comparisons. Returns None if it is unreadable or has no detail to compare."""
    if pixels is None:
        return None
    view = resize(pixels, (_SIDE, _SIDE))
    smooth = _smooth(view)
    detail = _detail(smooth)
    if detail.std() < _LEAST_DETAIL:
        return None
    small = cv2.resize(view, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    return _View(view, smooth, _unit(small), _unit(detail), _unit(_inner(smooth)))


def _same(first: _View | None, second: _View | None) -> bool:
    if first is None or second is None or first.small @ second.small < _COARSE:
        return False
    if _match(first, second.detail, second.colours):
        return True
    if first.pixels.tobytes() > second.pixels.tobytes():  # alignment is not symmetric, and files come in any order
        first, second = second, first
    aligned = _aligned(first.smooth, second.smooth)
    return aligned is not None and _match(first, _unit(_detail(aligned)), _unit(_inner(aligned)))


def _match(view: _View, detail: Array, colours: Array) -> bool:
    return bool(view.detail @ detail >= SAME_DETAIL and view.colours @ colours >= SAME_COLOURS)


def _smooth(view: Pixels) -> Array:
    """Remove the finest noise, which encoding changes."""
    smooth: Array = cv2.GaussianBlur(view.astype(np.float32), (0, 0), 1.2)
    return smooth


def _detail(view: Array) -> Array:
    """Return the fine structure alone, in grey levels, without shading and large shapes."""
    grey = cv2.cvtColor(view, cv2.COLOR_RGB2GRAY)
    return _inner(grey - cv2.GaussianBlur(grey, (0, 0), 4))


def _aligned(first: Array, second: Array) -> Array | None:
    """Warp `second` to lie on `first` (ECC, Evangelidis and Psarakis 2008). Returns None if it lies too far off."""
    greys = [cv2.cvtColor(view, cv2.COLOR_RGB2GRAY) for view in (first, second)]
    halves = [cv2.resize(grey, (_SIDE // 2, _SIDE // 2), interpolation=cv2.INTER_AREA) for grey in greys]
    warp = _moved(halves, np.eye(2, 3, dtype=np.float32), _FARTHEST_AT_HALF_SIZE)
    if warp is not None:
        warp[:, 2] *= 2
        warp = _moved(greys, warp, _FARTHEST)
    if warp is None:
        return None
    aligned: Array = cv2.warpAffine(second, warp, (_SIDE, _SIDE), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
                                    borderMode=cv2.BORDER_REPLICATE)
    return aligned


def _moved(greys: Sequence[Array], warp: Array, farthest: float) -> Array | None:
    """Find how the second of two square pictures lies on the first, from `warp` on; None if beyond `farthest`."""
    enough = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 50, 1e-5)
    try:
        _, warp = cv2.findTransformECC(greys[0], greys[1], warp, cv2.MOTION_AFFINE, enough, None, 3)
    except cv2.error:  # it did not converge: the pictures are not alike
        return None
    side = len(greys[0])
    corners = np.array([[0, 0], [side, 0], [0, side], [side, side]], dtype=np.float32)
    return warp if np.abs(corners @ warp[:, :2].T + warp[:, 2] - corners).max() <= farthest * side else None


def _inner(view: Array) -> Array:
    return view[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]


def _unit(values: Array) -> Array:
    """Return a vector of mean 0 and length 1; zeros if all values are the same."""
    centred = values.ravel() - values.mean()
    unit: Array = centred / max(float(np.linalg.norm(centred)), 1e-3)
    return unit
