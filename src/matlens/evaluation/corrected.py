"""What corrections of labels change: the same answers by the labels before and after, and two models by the latter.

New labels of test photos alone change an accuracy, without any better model; that part is told apart here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from matlens.data.split.correcting import labels_before
from matlens.data.split.splits import Split
from matlens.evaluation.inference.groups import Groups
from matlens.evaluation.inference.paired import difference_interval
from matlens.evaluation.intervals import Interval, share_interval
from matlens.evaluation.metrics.metric import percent
from matlens.evaluation.predictions import Predictions
from matlens.types import Floats


@dataclass(frozen=True)
class LabelledShare:
    """The share of right answers under some labels, and its interval; None where photos are too few."""

    share: float
    interval: Interval | None

    @classmethod
    def of(cls, right: Floats, groups: Groups) -> LabelledShare:
        """Work it out of (N,) 1 where an answer is right, else 0."""
        return cls(float(right.mean()), share_interval(right, groups))

    @property
    def in_words(self) -> str:
        """Write '81.3 % (76.0 to 85.6 %)'."""
        ends = self.interval
        return percent(self.share) + (f" ({100 * ends.low:.1f} to {100 * ends.high:.1f} %)" if ends else "")


@dataclass(frozen=True)
class BothLabels:
    """A model's accuracy on the n test photos that were not left out, by the labels before and by the corrected ones.

    changed: photos among them whose label was corrected.
    """

    model: str
    n: int
    changed: int
    before: LabelledShare
    after: LabelledShare


def by_both_labels(model: str, answers: Predictions, split: Split) -> BothLabels | None:
    """Judge answers to the test part of a split by both labels; None where they are to other photos."""
    photos = split.part("test")
    if not photos or answers.paths != tuple(photo.path for photo in photos):
        return None
    groups, given, labels = Groups.of(split.groups_of(photos)), labels_before(split, photos), split.labels(photos)
    before, after = ((answers.predicted == truth).astype(np.float64) for truth in (given, labels))
    return BothLabels(model, len(photos), int((given != labels).sum()), LabelledShare.of(before, groups),
                      LabelledShare.of(after, groups))


@dataclass(frozen=True)
class BeforeAndAfter:
    """A model trained before corrections and one trained after, on n photos that both tested, by the corrected labels.

    difference: of accuracies, the one after less the one before; interval: its own; None where photos are too few.
    """

    n: int
    before: LabelledShare
    after: LabelledShare
    difference: float
    interval: Interval | None


def before_and_after(before: tuple[Split, Predictions], after: tuple[Split, Predictions]) -> BeforeAndAfter | None:
    """Compare two models on the test photos that both have by content; None where there are none in common."""
    (split, old), (new_split, new) = before, after
    photos = new_split.part("test")
    if (old.paths, new.paths) != tuple(tuple(photo.path for photo in each.part("test")) for each in (split, new_split)):
        return None
    if split.class_names != new_split.class_names:
        return None
    row = {(photo.path, photo.sha256): number for number, photo in enumerate(split.part("test"))}
    rows = np.array([row.get((photo.path, photo.sha256), -1) for photo in photos], np.int64)
    shared = rows >= 0
    if not shared.any():
        return None
    labels, groups = new_split.labels(photos)[shared], Groups.of(new_split.groups_of(photos)[shared])
    first, second = ((answers == labels).astype(np.float64)
                     for answers in (old.predicted[rows[shared]], new.predicted[shared]))
    return BeforeAndAfter(len(labels), LabelledShare.of(first, groups), LabelledShare.of(second, groups),
                          float((second - first).mean()), difference_interval(groups, second, first))
