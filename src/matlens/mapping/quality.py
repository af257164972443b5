"""How good a map is, where the truth is known."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from matlens.types import Labels

TOLERANCE = 0.0075
"""How far a boundary may be off, as a share of the photo's diagonal; that of Csurka, Larlus and Perronnin 2013 (What is
a Good Evaluation Measure for Semantic Segmentation?, BMVC)."""


@dataclass(frozen=True)
class MapQuality:
    """pixel_accuracy: the share of pixels that are right. class_accuracy: its mean over the classes that are there.

    boundary_f: the harmonic mean of the shares of the map's boundaries that are true, and of the true ones that the map
        has, within TOLERANCE.
    """

    pixel_accuracy: float
    class_accuracy: float
    boundary_f: float


def quality_of(answers: Labels, truth: Labels) -> MapQuality:
    """Compare the class numbers of pixels (H, W) with the true ones."""
    right = answers == truth
    by_class = [right[truth == number].mean() for number in np.unique(truth)]
    return MapQuality(float(right.mean()), float(np.mean(by_class)), boundary_f(answers, truth))


def boundary_f(answers: Labels, truth: Labels) -> float:
    """Return the F measure of the boundaries between classes (H, W); 1 where neither has any."""
    found, true = _boundaries(answers), _boundaries(truth)
    if not found.any() and not true.any():
        return 1.0
    reach = max(1, round(TOLERANCE * float(np.hypot(*truth.shape))))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    near_found, near_true = (cv2.dilate(lines.astype(np.uint8), disc) > 0 for lines in (found, true))
    precision = near_true[found].mean() if found.any() else 0.0
    recall = near_found[true].mean() if true.any() else 0.0
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def _boundaries(numbers: Labels) -> npt.NDArray[np.bool_]:
    """Return which pixels differ from the next one to the right or below, (H, W)."""
    lines = np.zeros(numbers.shape, bool)
    lines[:, :-1] |= numbers[:, :-1] != numbers[:, 1:]
    lines[:-1] |= numbers[:-1] != numbers[1:]
    return lines
