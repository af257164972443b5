"""Compare two photos on their pixels: lay one on the other, then compare their fine structure and their colours.

One is laid on the other by matching small blocks (the correlation of each with the surroundings of its place) and by
the affine map that most blocks agree on (RANSAC, Fischler and Bolles 1981), refined by ECC (Evangelidis and Psarakis
2008). Where few blocks agree the photos differ, which is found in a twentieth of the time of a refinement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from matlens.data.pixels.decode import resize
from matlens.types import Array, Pixels

SAME_DETAIL = 0.95
"""The least correlation of the fine structure of two photos, one aligned with the other. In TrashNet candidates reach
0.949 to 1 if one scene was shot twice, and at most 0.93 otherwise; nearly all planted copies lie above 0.95."""

SAME_WHEN_LAID = 0.96
"""The same where one photo had to be moved to lie on the other: a second shot by hand in other light reaches 0.952."""

SAME_COLOURS = 0.98
"""The least correlation of the colours of two photos: planted copies reach 0.98, a green lid and a gold one do not."""

_NOISE = 1.6
"""Grey levels by which two encodings of one photo differ in their fine structure. A cloth that shows no more of it
than that correlates less with its own copy: there the difference is what counts, and that most blocks agree."""

_DETAIL_IN_NOISE = 0.65  # copies reach 0.66, and photos of one cloth at two distances 0.1
_SAME_EVERYWHERE = 0.6
"""The least correlation of the fine structure where each place counts as much as another. A bright banner on weak
textures would outweigh them: two textures under one banner reach 0.57, copies 0.63 and nearly all 0.9."""

_REST = 1.0  # grey levels of fine structure that count for nothing beside those of a place
_PLACE, _SPOT = 5, 3  # px: the standard deviations of the window in which places and spots are compared

_OTHER_SPOT, _STRONG, _SPOTS = 0.7, 6, 0.0015
"""Where both photos have `_STRONG` grey levels of fine structure and correlate less than `_OTHER_SPOT` they show other
things, such as another digit of a label (0 and 8, which one stroke tells apart, are the same to it). Copies do so in at
most 0.0010 of the photo, labels with other digits in 0.0034."""

_UNREFINED = 0.8  # correlation below which no refinement helps: blocks bring copies to 0.87 or above
_SIDE = 128
_MARGIN = 8  # px at the edges, where a warped photo has no pixels
_COARSE = 0.5  # correlation at 32 px; that of a 7 % cut is 0.6
_LEAST_DETAIL = 0.5  # grey levels; below, only rounding would be compared
_FARTHEST = 0.075  # share of the side by which a corner may move: 7 % cut off a corner move the opposite one by that

_CUT = 0.015  # share of the side from which a move is told: half a per cent more than rounding makes

_HALF = _SIDE // 2
_BLOCK, _REACH, _STEP = 16, 6, 8  # px at half size: a block's side, how far it is looked for, and blocks' distance
_WINDOW = _BLOCK + 2 * _REACH
_PLACES = 2 * _REACH + 1  # a block's, along a side of its window; a transform of _WINDOW wraps none of them around
_STARTS = np.arange(0, _HALF - _BLOCK + 1, _STEP)
_ROWS, _COLUMNS = (grid.ravel() for grid in np.meshgrid(_STARTS, _STARTS, indexing="ij"))
_FLAT = 0.5  # grey levels: the standard deviation below which a block says nothing
_FITS = 0.4  # correlation from which a block has found its place
_AGREE = 0.8  # px at half size by which blocks may miss the common map
_FEWEST = 6  # blocks; three make a map


@dataclass(frozen=True)
class PhotoView:
    """A photo with what each comparison needs of it.

    pixels: (128, 128, 3) uint8. smooth: the same without the finest noise, float32. small, detail, colours: vectors of
    mean 0 and length 1, whose scalar products are Pearson's correlations, of the photo at 32 px, of its fine structure,
    and of its colours without the margin. contrast: the standard deviation of the fine structure in grey levels.
    """

    pixels: Pixels
    smooth: Array
    small: Array
    detail: Array
    colours: Array
    contrast: float

    @cached_property
    def band(self) -> Array:
        """The structure of middle size at half the side, (64, 64): what blocks are matched by."""
        grey = cv2.resize(cv2.cvtColor(self.pixels, cv2.COLOR_RGB2GRAY), (_HALF, _HALF), interpolation=cv2.INTER_AREA)
        grey = grey.astype(np.float32)
        band: Array = cv2.GaussianBlur(grey, (0, 0), 0.8) - cv2.GaussianBlur(grey, (0, 0), 5)
        return band


def view_of(pixels: Pixels) -> PhotoView | None:
    """Prepare a photo for comparisons. Returns None if it has no detail to compare."""
    view = resize(pixels, (_SIDE, _SIDE))
    smooth: Array = cv2.GaussianBlur(view.astype(np.float32), (0, 0), 1.2)  # encoding changes the finest noise
    detail = _detail(smooth)
    contrast = float(detail.std())
    if contrast < _LEAST_DETAIL:
        return None
    small = cv2.resize(view, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    return PhotoView(view, smooth, _unit(small), _unit(detail), _unit(_inner(smooth)), contrast)


def how_same(first: PhotoView, second: PhotoView) -> str | None:
    """Compare two photos.

    Returns:
        "as it is" or "cut", by how one photo lies on the other; None where they are two photos.
    """
    if first.small @ second.small < _COARSE:
        return None
    if _match(first, second.detail, second.colours, SAME_DETAIL, agreeing=1):
        return "as it is"
    if first.pixels.tobytes() > second.pixels.tobytes():  # alignment is not symmetric, and files come in any order
        first, second = second, first
    warp, agreeing = _map_of_blocks(first.band, second.band)
    if warp is None or not _is_near(warp):
        return None
    detail, colours = _laid(second, warp)
    if not _match(first, detail, colours, SAME_WHEN_LAID, agreeing):
        if first.detail @ detail < _UNREFINED:
            return None
        warp = _refined(first, second, warp)
        if warp is None or not _is_near(warp) or not _match(first, *_laid(second, warp), SAME_WHEN_LAID, agreeing):
            return None
    return "cut" if _farthest(warp) > _CUT else "as it is"


def _match(view: PhotoView, detail: Array, colours: Array, least: float, agreeing: float) -> bool:
    """Return whether structure and colours are the same. agreeing: the share of blocks that agree on the map."""
    if view.colours @ colours < SAME_COLOURS:
        return False
    alike = float(view.detail @ detail)
    left = view.contrast * np.sqrt(max(1 - alike * alike, 0))
    matches = alike >= least or (alike >= _DETAIL_IN_NOISE and left <= _NOISE and agreeing >= 0.5)
    return bool(matches) and _is_same_everywhere(view, detail)


def _is_same_everywhere(view: PhotoView, detail: Array) -> bool:
    """Return whether structure is the same also outside of the strongest one, and nowhere clearly another."""
    side = _SIDE - 2 * _MARGIN
    both = [np.float32(view.contrast * side) * values.reshape(side, side) for values in (view.detail, detail)]
    first, second, common = _powers(both, _PLACE)
    weight = 1 / (np.sqrt(first * second) + _REST ** 2)
    if (common * weight).mean() < _SAME_EVERYWHERE * np.sqrt((first * weight).mean() * (second * weight).mean()):
        return False
    first, second, common = _powers(both, _SPOT)
    differs = (np.minimum(first, second) > _STRONG ** 2) & (common < _OTHER_SPOT * np.sqrt(first * second))
    return bool(differs.mean() <= _SPOTS)


def _powers(pair: Sequence[Array], window: float) -> tuple[Array, Array, Array]:
    """Return, around each place, the mean squares of two pictures and the mean of their product."""
    first, second = pair
    squares, others, common = (cv2.GaussianBlur(product, (0, 0), window, borderType=cv2.BORDER_REFLECT)
                               for product in (first * first, second * second, first * second))
    return np.maximum(squares, 0), np.maximum(others, 0), common


def _map_of_blocks(first: Array, second: Array) -> tuple[Array | None, float]:
    """Find the affine map of `first` to `second`, (2, 3) at full size, and the share of blocks that agree on it."""
    from scipy.fft import irfft2, rfft2  # three times as fast as NumPy's

    blocks = np.lib.stride_tricks.sliding_window_view(first, (_BLOCK, _BLOCK))[_ROWS, _COLUMNS]
    blocks = blocks - blocks.mean(axis=(1, 2), keepdims=True)
    length = np.sqrt((blocks ** 2).sum(axis=(1, 2)))
    padded = cv2.copyMakeBorder(second, _REACH, _REACH, _REACH, _REACH, cv2.BORDER_REPLICATE)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (_WINDOW, _WINDOW))[_ROWS, _COLUMNS]
    sides = (_WINDOW, _WINDOW)
    spectrum = rfft2(windows) * rfft2(blocks, sides).conj()
    product = irfft2(spectrum, sides)[:, :_PLACES, :_PLACES]
    alike = product / np.maximum(_lengths(padded) * length[:, None, None], 1e-3)
    peak = alike.reshape(len(alike), -1).argmax(axis=1)
    down, right = np.divmod(peak, _PLACES)
    number = np.arange(len(alike))
    fits = (length > _FLAT * _BLOCK) & (alike[number, down, right] >= _FITS)
    if fits.sum() < _FEWEST:
        return None, 0
    rows = down + _between(alike[number[:, None], np.clip(down[:, None] + [-1, 0, 1], 0, _PLACES - 1), right[:, None]])
    columns = right + _between(alike[number[:, None], down[:, None],
                                     np.clip(right[:, None] + [-1, 0, 1], 0, _PLACES - 1)])
    centres = np.stack([_COLUMNS, _ROWS], axis=1) + (_BLOCK - 1) / 2
    met = centres + np.stack([columns, rows], axis=1) - _REACH
    warp, agree = cv2.estimateAffine2D(centres[fits].astype(np.float32), met[fits].astype(np.float32),
                                       method=cv2.RANSAC, ransacReprojThreshold=_AGREE, maxIters=200, confidence=0.99)
    if warp is None or agree.sum() < _FEWEST:
        return None, 0
    warp[:, 2] = 2 * warp[:, 2] + 0.5 - warp[:, :2] @ (0.5, 0.5)  # from half to full size, with centres at half pixels
    return warp.astype(np.float32), float(agree.sum() / (length > _FLAT * _BLOCK).sum())


def _lengths(padded: Array) -> Array:
    """Return, for each block, the norm that each place of its window has without its mean."""
    sides = (_BLOCK, _BLOCK)
    mean = cv2.blur(padded, sides, anchor=(0, 0))
    square = cv2.blur(padded * padded, sides, anchor=(0, 0))
    norm = np.sqrt(np.maximum(square - mean * mean, 1e-6)) * _BLOCK
    lengths: Array = np.lib.stride_tricks.sliding_window_view(norm, (_PLACES, _PLACES))[_ROWS, _COLUMNS]
    return lengths


def _between(three: Array) -> Array:
    """Return where the top of the parabola through three values (N, 3) lies, from their middle on."""
    bend = 2 * three[:, 1] - three[:, 0] - three[:, 2]
    inside = (bend > 1e-6) & (three[:, 1] >= three[:, 0]) & (three[:, 1] >= three[:, 2])
    return np.where(inside, (three[:, 2] - three[:, 0]) / np.where(inside, 2 * bend, 1), 0)


def _farthest(warp: Array) -> float:
    """Return how far a map moves a corner, as a share of the side."""
    corners = np.array([[0, 0], [_SIDE, 0], [0, _SIDE], [_SIDE, _SIDE]], dtype=np.float32)
    return float(np.abs(corners @ warp[:, :2].T + warp[:, 2] - corners).max() / _SIDE)


def _is_near(warp: Array) -> bool:
    return bool(np.isfinite(warp).all()) and _farthest(warp) <= _FARTHEST


def _refined(first: PhotoView, second: PhotoView, warp: Array) -> Array | None:
    """Improve a map by ECC. Returns None where that does not converge."""
    greys = [cv2.cvtColor(view.smooth, cv2.COLOR_RGB2GRAY) for view in (first, second)]
    enough = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 15, 1e-4)
    try:
        _, better = cv2.findTransformECC(greys[0], greys[1], warp.copy(), cv2.MOTION_AFFINE, enough, None, 3)
    except cv2.error:
        return None
    refined: Array = better
    return refined


def _laid(view: PhotoView, warp: Array) -> tuple[Array, Array]:
    """Return the unit vectors of detail and colours of a photo that is laid on another."""
    laid = cv2.warpAffine(view.smooth, warp, (_SIDE, _SIDE), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
                          borderMode=cv2.BORDER_REPLICATE)
    return _unit(_detail(laid)), _unit(_inner(laid))


def _detail(smooth: Array) -> Array:
    """Return the fine structure alone, in grey levels, without shading and large shapes."""
    grey = cv2.cvtColor(smooth, cv2.COLOR_RGB2GRAY)
    return _inner(grey - cv2.GaussianBlur(grey, (0, 0), 4))


def _inner(view: Array) -> Array:
    return view[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]


def _unit(values: Array) -> Array:
    """Return a vector of mean 0 and length 1; zeros if all values are the same."""
    centred = values.ravel() - values.mean()
    unit: Array = centred / max(float(np.linalg.norm(centred)), 1e-3)
    return unit
