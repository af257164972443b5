"""Take places out of a photo, for the curves of faithfulness.

Places are the cells of a grid, at most GRID by GRID: finer than any feature map of the four models at 224 px, and few
enough for a sparse system to be solved in milliseconds.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from matlens.data.source.minc import FILL_COLOUR
from matlens.types import Array, Pixels

Mask = npt.NDArray[np.bool_]

GRID = 32
NOISE = 0.01
"""The deviation of the noise in imputed pixels, in [0, 1]: the default of the authors' code."""

_BLUR = 5 / 224
"""The deviation of the blur that insertion begins with, by the photo's side: RISE's 5 px at 224 px."""

_STRAIGHT, _DIAGONAL = 1 / 6, 1 / 12
"""Weights of the eight neighbours (Rong et al. 2022, section 4.2)."""


def grid_of(img_size: tuple[int, int]) -> tuple[int, int]:
    """Return (rows, columns) of the cells of a photo (H, W)."""
    return min(GRID, img_size[0]), min(GRID, img_size[1])


def at_grid(values: Array, grid: tuple[int, int]) -> Array:
    """Resize a map (h, w) bilinearly to a grid."""
    import cv2

    return np.asarray(cv2.resize(values, grid[::-1], interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def ranked(values: Array, tie_break: Array) -> npt.NDArray[np.int64]:
    """Rank all cells of a grid, the hottest first: (rows x columns,) positions in it.

    Args:
        values: (rows, columns).
        tie_break: (rows, columns); of cells that are equally hot, such as all that are cold, the one with the higher
            value here comes first.
    """
    return np.lexsort((-tie_break.ravel(), -values.ravel()))


def first_cells(order: npt.NDArray[np.int64], fraction: float, grid: tuple[int, int]) -> Mask:
    """Mask the first cells of an order, `fraction` of all, (rows, columns)."""
    mask = np.zeros(grid[0] * grid[1], dtype=np.bool_)
    mask[order[:round(fraction * len(order))]] = True
    return mask.reshape(grid)


def blanked(photo: Pixels) -> Pixels:
    """Fill a photo with ImageNet's mean colour, which also fills what MINC-2500's patches lack."""
    return np.broadcast_to(np.array(FILL_COLOUR, np.uint8), photo.shape)


def blurred(photo: Pixels) -> Pixels:
    """Blur a photo, so that its fine detail is gone."""
    import cv2

    return np.asarray(cv2.GaussianBlur(photo, (0, 0), _BLUR * min(photo.shape[:2])), dtype=np.uint8)


def replaced(photo: Pixels, mask: Mask, by: Pixels) -> Pixels:
    """Take the masked cells of a photo from another picture of its size."""
    return np.where(_at_pixels(mask, photo.shape[:2])[..., None], by, photo)


def imputed(photo: Pixels, mask: Mask, rng: np.random.Generator) -> Pixels:
    """Fill the masked cells of a photo from around them, so that the mask's shape tells nothing.

    Noisy linear imputation (Rong et al. 2022, arXiv:2202.00449): each masked value is the weighted mean of its
    neighbours, masked or not, which is a sparse linear system; noise is added. Here it is solved on the grid, whose
    known cells have their mean colour, and the pixels of masked cells get the solution, interpolated bilinearly.

    Args:
        photo: (H, W, 3) uint8.
        mask: (rows, columns); where all cells are masked, the photo's mean colour is taken.
        rng: of the noise.
    """
    import cv2

    if not mask.any():
        return photo
    rows, columns = mask.shape
    height, width = photo.shape[:2]
    cells = cv2.resize(photo.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
    filled = cv2.resize(harmonic(np.asarray(cells), mask), (width, height), interpolation=cv2.INTER_LINEAR)
    noisy = np.asarray(filled) + 255 * NOISE * rng.standard_normal(photo.shape, dtype=np.float32)
    return replaced(photo, mask, np.clip(noisy.round(), 0, 255).astype(np.uint8))


def harmonic(values: Array, mask: Mask) -> Array:
    """Replace masked values by weighted means of their neighbours: (rows, columns, channels) float32.

    Weights are 1/6 to the sides and 1/12 across; at an edge, those inside count for all.
    """
    from scipy.sparse import csr_matrix
    from scipy.sparse.linalg import spsolve

    if mask.all():
        return np.broadcast_to(values.mean(axis=(0, 1), dtype=np.float32), values.shape)
    number = np.full(mask.shape, -1)
    number[mask] = np.arange(mask.sum())
    down, right = np.nonzero(mask)
    here, known = number[mask], np.zeros((len(down), values.shape[2]))
    entries, places, diagonal = [], [], np.zeros(len(down))
    for step_down, step_right in ((a, b) for a in (-1, 0, 1) for b in (-1, 0, 1) if a or b):
        weight = _DIAGONAL if step_down and step_right else _STRAIGHT
        y, x = down + step_down, right + step_right
        inside = (y >= 0) & (y < mask.shape[0]) & (x >= 0) & (x < mask.shape[1])
        diagonal[inside] += weight
        y, x, row = y[inside], x[inside], here[inside]
        unknown = mask[y, x]
        known[row[~unknown]] += weight * values[y[~unknown], x[~unknown]]
        entries.append(np.full(unknown.sum(), -weight))
        places.append(np.stack([row[unknown], number[y[unknown], x[unknown]]]))
    entries.append(diagonal)
    places.append(np.stack([here, here]))
    system = csr_matrix((np.concatenate(entries), tuple(np.concatenate(places, axis=1))), (len(down), len(down)))
    filled = values.copy()
    filled[mask] = spsolve(system.tocsc(), known).reshape(known.shape)
    return filled


def _at_pixels(mask: Mask, size: tuple[int, int]) -> Mask:
    """Turn a mask of cells into one of pixels (H, W)."""
    rows, columns = (np.arange(n) * cells // n for n, cells in zip(size, mask.shape, strict=True))
    return np.asarray(mask[rows[:, None], columns[None]])
