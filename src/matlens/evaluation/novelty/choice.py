"""Choose a detector of unknown photos by validation photos alone: each class in turn plays the unknown one.

A detector is fitted on the training photos of the other classes. How well it tells the validation photos of the class
that it never saw from those of the others is the area under the ROC curve (the share of pairs in the right order), the
mean over classes. The trunk may have seen the class when it was trained, so real strangers are another thing; what is
compared are detectors on the same trunk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from matlens.features.novelty.detectors import DETECTORS, Detector
from matlens.types import Array, Floats, Labels

MOST_CLASSES = 10
"""Classes that are left out in turn: of more, as many, evenly spread."""


@dataclass(frozen=True)
class DetectorChoice:
    """The detector that was chosen, and the mean area under the ROC curve of each candidate, by name, in [0, 1].

    detector: None where no candidate can be fitted on so few photos. areas: empty of a single class.
    """

    detector: type[Detector] | None
    areas: Mapping[str, float]


def choose_detector(features: Array, labels: Labels, val_features: Array, val_labels: Labels) -> DetectorChoice:
    """Choose by training photos (N, K) with labels (N,), and validation photos (V, K) with labels (V,).

    The plainest candidate is chosen where the others are not better.
    """
    possible = {name: detector for name, detector in DETECTORS.items() if detector.fits(features, labels)}
    areas: dict[str, float] = {}
    for name, detector in possible.items():
        left_out = _left_out(val_labels)
        scores = detector.without_each(left_out, features, labels, val_features)
        if told := [area_under_roc(of_all[own], of_all[~own]) for number, of_all in zip(left_out, scores, strict=True)
                    if of_all is not None and not (own := val_labels == number).all()]:
            areas[name] = float(np.mean(told))
    best = max(areas, key=lambda name: areas[name]) if areas else next(iter(possible), None)
    return DetectorChoice(possible[best] if best else None, areas)


def area_under_roc(strange: Floats, usual: Floats) -> float:
    """Return the share of pairs in which the strange photo has the higher score, ties halved (Mann and Whitney)."""
    ascending = np.sort(usual)
    below = np.searchsorted(ascending, strange, "left") + np.searchsorted(ascending, strange, "right")
    return float(below.mean() / (2 * len(ascending)))


def _left_out(labels: Labels) -> Labels:
    numbers = np.unique(labels)
    spread = np.linspace(0, len(numbers) - 1, min(len(numbers), MOST_CLASSES)).round().astype(int)
    return np.asarray(numbers[spread], dtype=np.int64)
