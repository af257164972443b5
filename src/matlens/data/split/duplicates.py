"""Find photos that look the same: candidates by a perceptual hash, each pair then confirmed on its pixels.

The same is what encoding anew, resizing, a little more or less light, or cutting off up to about 2 % makes of a photo,
and a second shot of a scene in which nothing moved. Another photo of the same thing, on the same background, is not.
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
from matlens.types import Pixels, Progress

HASH_DISTANCE = 10
"""Bits of 64 in which the hashes of two candidates may differ: planted copies of 150 photos differed in 10 or less in
98.7 % of cases for the worst kind (2 % cut off at a corner), always in 6 or less if encoded or resized anew."""

SAME_DETAIL = 0.95
"""Least correlation of the fine structure of two photos, once laid over one another. In TrashNet candidates reach 0.949
to 1 if one scene was shot twice, all others 0.65 at most; nearly all planted copies lie above 0.95."""

SAME_COLOURS = 0.98
"""Least correlation of red, green and blue together: planted copies reach 0.99; a green lid for a gold one does not."""

_SIDE = 128
_MARGIN = 8  # a warped photo has no pixels there
_COARSE = 0.8  # a 2 % crop keeps 0.9 at 32 px
_LEAST_DETAIL = 0.5  # grey levels: below, what is compared is rounding
_FARTHEST = 0.05  # of the side that a corner moves: 2 % cut off a corner move the opposite one by 4 % at most
_FARTHEST_AT_A_GLANCE = 0.08  # the same at half the side, a sixth of the work: none of 103 near ones was above 0.072
_ROWS = 128
_PAIRS = 128

_Floats = npt.NDArray[np.float32]


def perceptual_hash(pixels: Pixels) -> int:
    """The 64 bit pHash (imagehash's: signs of the lowest frequencies) of (H, W, 3) uint8 pixels of any size."""
    import imagehash
    from PIL import Image

    grey = cv2.resize(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), (32, 32), interpolation=cv2.INTER_AREA)
    bits = imagehash.phash(Image.fromarray(grey)).hash
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def near_duplicates(hashes: Sequence[int] | npt.NDArray[np.uint64], read: Callable[[int], Pixels | None],
                    on_progress: Progress = lambda done, total: None) -> list[tuple[int, ...]]:
    """Groups of photos that look the same.

    Every link between two photos of a group is confirmed on pixels, so a group does not grow by likeness of likenesses
    of hashes. The groups do not depend on the order of the photos.

    Args:
        hashes: `perceptual_hash` of each photo.
        read: the pixels of photo i, (H, W, 3) uint8 of any size, or None. Called from threads, for candidates only.
        on_progress: called with (photos looked at, all photos).

    Returns:
        Sorted tuples of at least two indices, sorted.
    """
    clusters: Clusters[int] = Clusters()
    plain: set[int] = set()  # thousands of black photos share one hash: each is looked at once

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
    """Pairs (n, 2) of near hashes, for some rows at a time, so that memory stays flat."""
    # As -1 and 1 the scalar product of two hashes is 64 less twice their distance: BLAS counts faster than NumPy.
    octets = hashes.astype(">u8").view(np.uint8).reshape(-1, 8)
    bits = np.unpackbits(octets, axis=1).astype(np.float32) * 2 - 1
    for start in range(0, len(hashes), _ROWS):
        near = bits[start:start + _ROWS] @ bits[start:].T >= 64 - 2 * HASH_DISTANCE
        pairs = np.stack(np.divmod(np.flatnonzero(near), near.shape[1]), axis=1)  # argwhere takes thrice as long
        yield pairs[pairs[:, 0] < pairs[:, 1]] + start
        on_progress(min(start + _ROWS, len(hashes)), len(hashes))


@dataclass(frozen=True)
class _View:
    """A photo to compare, with what each comparison needs of it.

    pixels: (128, 128, 3) uint8; smooth: the same without the finest noise, float32. small, detail, colours: vectors of
    mean 0 and length 1, whose scalar products are Pearson's correlations: all at 32 px, the fine structure, and the
    colours without the margin.
    """

    pixels: Pixels
    smooth: _Floats
    small: _Floats
    detail: _Floats
    colours: _Floats


def _view(pixels: Pixels | None) -> _View | None:
    """None where there is nothing to compare."""
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
    if first.pixels.tobytes() > second.pixels.tobytes():  # laying over is not symmetric, and files come in any order
        first, second = second, first
    laid = _laid_over(first.smooth, second.smooth)
    return laid is not None and _match(first, _unit(_detail(laid)), _unit(_inner(laid)))


def _match(one: _View, detail: _Floats, colours: _Floats) -> bool:
    return bool(one.detail @ detail >= SAME_DETAIL and one.colours @ colours >= SAME_COLOURS)


def _smooth(view: Pixels) -> _Floats:
    """Without the finest noise, which encoding changes."""
    smooth: _Floats = cv2.GaussianBlur(view.astype(np.float32), (0, 0), 1.2)
    return smooth


def _detail(view: _Floats) -> _Floats:
    """Fine structure alone, in grey levels: no shading, no large shapes."""
    grey = cv2.cvtColor(view, cv2.COLOR_RGB2GRAY)
    return _inner(grey - cv2.GaussianBlur(grey, (0, 0), 4))


def _laid_over(one: _Floats, other: _Floats) -> _Floats | None:
    """`other` warped to lie on `one` (ECC, Evangelidis and Psarakis 2008); None if it is too far off."""
    greys = [cv2.cvtColor(view, cv2.COLOR_RGB2GRAY) for view in (one, other)]
    halves = [cv2.resize(grey, (_SIDE // 2, _SIDE // 2), interpolation=cv2.INTER_AREA) for grey in greys]
    warp = _moved(halves, np.eye(2, 3, dtype=np.float32), _FARTHEST_AT_A_GLANCE)
    if warp is not None:
        warp[:, 2] *= 2
        warp = _moved(greys, warp, _FARTHEST)
    if warp is None:
        return None
    laid: _Floats = cv2.warpAffine(other, warp, (_SIDE, _SIDE), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
                                   borderMode=cv2.BORDER_REPLICATE)
    return laid


def _moved(greys: Sequence[_Floats], warp: _Floats, farthest: float) -> _Floats | None:
    """How the second of two square pictures lies on the first, beginning with `warp`; None if beyond `farthest`."""
    enough = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 50, 1e-5)
    try:
        _, warp = cv2.findTransformECC(greys[0], greys[1], warp, cv2.MOTION_AFFINE, enough, None, 3)
    except cv2.error:  # it did not converge: there is nothing alike
        return None
    side = len(greys[0])
    corners = np.array([[0, 0], [side, 0], [0, side], [side, side]], dtype=np.float32)
    return warp if np.abs(corners @ warp[:, :2].T + warp[:, 2] - corners).max() <= farthest * side else None


def _inner(view: _Floats) -> _Floats:
    return view[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]


def _unit(values: _Floats) -> _Floats:
    """A vector of mean 0 and length 1; of zeros where all values are the same."""
    centred = values.ravel() - values.mean()
    unit: _Floats = centred / max(float(np.linalg.norm(centred)), 1e-3)
    return unit
