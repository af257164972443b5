"""Macro F1 of answers that come in batches."""

from __future__ import annotations

import numpy as np

from matlens.types import Labels


class ClassCounts:
    """Counts by class what is asked, answered, and answered rightly."""

    def __init__(self, num_classes: int) -> None:
        self._asked, self._answered, self._right = (np.zeros(num_classes, np.int64) for _ in range(3))

    def add(self, answers: Labels, truth: Labels) -> None:
        """Take the class numbers (B,) of some photos: answered, and true."""
        classes = len(self._asked)
        self._asked += np.bincount(truth, minlength=classes)
        self._answered += np.bincount(answers, minlength=classes)
        self._right += np.bincount(truth[answers == truth], minlength=classes)

    def macro_f1(self) -> float:
        """Return the mean over all classes of 2 right / (asked + answered), which is F1; 0 of a class with neither."""
        return float(np.mean(2 * self._right / np.maximum(self._asked + self._answered, 1)))
