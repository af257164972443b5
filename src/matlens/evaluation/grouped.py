"""Means of photos that come in groups: only groups are independent of each other."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from matlens.types import Labels


def group_numbers(groups: npt.ArrayLike) -> Labels:
    """Number the groups of photos (N,) from 0 on, in any order."""
    return np.asarray(np.unique(np.asarray(groups), return_inverse=True)[1], dtype=np.int64)


def standard_error(values: npt.ArrayLike, groups: Labels) -> float:
    """Compute the standard error of the mean of values (N,), from the sums of each group (Liang and Zeger 1986).

    Where each photo is a group of its own it is the usual one, s / sqrt(N). Infinite of fewer than two groups.
    """
    numbers, given = group_numbers(groups), np.asarray(values, dtype=np.float64)
    count = int(numbers.max(initial=-1)) + 1
    if count < 2:
        return math.inf
    sums = np.bincount(numbers, given - given.mean(), count)
    return float(math.sqrt(count / (count - 1) * (sums**2).sum()) / len(given))
