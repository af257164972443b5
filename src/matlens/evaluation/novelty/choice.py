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
        by_class = [_area_without(detector, number, features, labels, val_features, val_labels)
                    for number in _left_out(val_labels)]
        if told := [area for area in by_class if area is not None]:
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


def _area_without(detector: type[Detector], number: int, features: Array, labels: Labels, val_features: Array,
                  val_labels: Labels) -> float | None:
    """Return the area where a class is left out; None where the others are no photos enough."""
    others, usual = labels != number, val_labels != number
    if not usual.any() or not detector.fits(features[others], labels[others]):
        return None
    scores = detector.fit(features[others], labels[others]).strangeness(val_features)
    return area_under_roc(scores[~usual], scores[usual])
