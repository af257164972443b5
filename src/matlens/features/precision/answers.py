"""Compare the answers of two arithmetics to the same photos."""

from __future__ import annotations

import numpy as np

from matlens.types import Array, Labels


def compared_answers(before: Array, after: Array, labels: Labels) -> tuple[int, float, float, float, float]:
    """Compare probabilities (N, C) of the same photos, whose classes are `labels` (N,).

    Returns the number of photos, the accuracy of both (fractions), the fraction of photos for which both give the same
    class, and the largest difference of a probability.
    """
    first, second = before.argmax(axis=1), after.argmax(axis=1)
    return (len(labels), float((first == labels).mean()), float((second == labels).mean()),
            float((first == second).mean()), float(np.abs(after - before).max()))


def points_lost(before: float, after: float) -> float:
    """Return by how many percentage points an accuracy, a fraction, is lower than before; below 0 it is higher."""
    return round(100 * (before - after), 6)  # so that 3 photos of 300 are one point and not a little more
