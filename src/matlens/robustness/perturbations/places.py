"""Spoil the places: what stands where, and what is there at all."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from matlens.data.source.minc import FILL_COLOUR
from matlens.robustness.registry import Perturbation, register
from matlens.types import Pixels


def turned(photo: Pixels, degrees: float, rng: np.random.Generator) -> Pixels:
    """Turn about the middle, one way or the other; corners are filled by reflection."""
    height, width = photo.shape[:2]
    angle = degrees if rng.random() < 0.5 else -degrees
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)
    return np.asarray(cv2.warpAffine(photo, matrix, (width, height), flags=cv2.INTER_LINEAR,
                                     borderMode=cv2.BORDER_REFLECT_101), np.uint8)


def shuffled(photo: Pixels, parts: float, rng: np.random.Generator) -> Pixels:
    """Cut into parts x parts equal patches, and move each elsewhere: texture stays, the scene goes.

    Pixels that do not divide evenly stay where they are, at the bottom and at the right.
    """
    n = int(parts)
    height, width = photo.shape[0] // n, photo.shape[1] // n
    whole = photo.copy()
    patches = whole[: n * height, : n * width].reshape(n, height, n, width, 3).swapaxes(1, 2).reshape(
        n * n, height, width, 3)
    cycle = rng.permutation(n * n)
    taken_from = np.empty_like(cycle)
    taken_from[cycle] = np.roll(cycle, 1)  # one ring through all of them, so that none stays
    mixed = patches[taken_from].reshape(n, n, height, width, 3).swapaxes(1, 2)
    whole[: n * height, : n * width] = mixed.reshape(n * height, n * width, 3)
    return whole


def centre_only(photo: Pixels, share: float, rng: np.random.Generator) -> Pixels:
    """Keep the middle, that share of the area, on ImageNet's mean colour: the material without its surroundings."""
    return np.where(_middle(photo, share)[..., None], photo, np.array(FILL_COLOUR, np.uint8))


def surround_only(photo: Pixels, share: float, rng: np.random.Generator) -> Pixels:
    """Cover the middle, that share of the area, with ImageNet's mean colour: what is left is context."""
    return np.where(_middle(photo, share)[..., None], np.array(FILL_COLOUR, np.uint8), photo)


def _middle(photo: Pixels, share: float) -> npt.NDArray[np.bool_]:
    """Mask the rectangle in the middle, of the photo's shape, that has this share of its area, (H, W)."""
    mask = np.zeros(photo.shape[:2], dtype=np.bool_)
    height, width = (round(side * share**0.5) for side in photo.shape[:2])
    top, left = (photo.shape[0] - height) // 2, (photo.shape[1] - width) // 2
    mask[top:top + height, left:left + width] = True
    return mask


register(Perturbation("rotation", "Rotation", "degrees", (10, 20, 30, 45, 90), turned, rank=9))
register(Perturbation("patch_shuffle", "Patches shuffled", "patches a side", (2, 3, 4, 6, 8), shuffled, rank=10))
register(Perturbation("centre_only", "Centre only", "share kept", (0.8, 0.6, 0.4, 0.2, 0.1), centre_only, rank=11))
register(Perturbation("surround_only", "Surround only", "share covered", (0.1, 0.2, 0.4, 0.6, 0.8), surround_only,
                      rank=12))
