"""Spoil the colour."""

from __future__ import annotations

import cv2
import numpy as np

from matlens.robustness.registry import Perturbation, register
from matlens.types import Pixels


def greyed(photo: Pixels, share: float, rng: np.random.Generator) -> Pixels:
    """Go that share of the way to grey (luma of ITU-R BT.601)."""
    grey = np.asarray(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), np.float32)[..., None]
    return np.clip((np.float32(1 - share) * photo + np.float32(share) * grey).round(), 0, 255).astype(np.uint8)


register(Perturbation("greyscale", "Greyscale", "of the colour gone", (0.2, 0.4, 0.6, 0.8, 1), greyed, rank=13))
