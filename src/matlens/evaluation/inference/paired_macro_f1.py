"""Macro F1 of models on the same photos, in pairs: by how much it differs, and whether chance alone could do that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from matlens.evaluation.inference.groups import Groups
from matlens.evaluation.inference.simultaneous import Family, group_interval
from matlens.evaluation.intervals import Interval
from matlens.evaluation.metrics.weighted import PredictedPhotos, ratio
from matlens.types import Floats

_NOTHING = 1e-9
"""Photos. What a photo adds to N times the difference is no less, or it adds nothing."""


@dataclass(frozen=True, eq=False)
class MacroF1Differences:
    """Macro F1 of the first model of each pair less that of the second.

    differences: (P,). family: what each photo adds to N times a difference, to be judged with `simultaneous`.
    """

    differences: Floats
    family: Family
    groups: Groups

    def interval(self, pair: int, reach: float) -> Interval | None:
        """Return the interval of a pair at a reach of `simultaneous`; None where groups are too few for one.

        It holds the differences that the test of the family does not refuse. None also where the models answer alike.
        """
        family, groups = self.family, self.groups
        if groups.too_few or family.photos is None or family.totals is None or family.half_steps is None:
            return None
        total, step = float(family.totals[pair]), float(family.half_steps[pair])
        of_groups = group_interval(family.sums[:, pair], groups.sizes, reach, step, total)
        of_photos = group_interval(family.photos[:, pair], np.ones(groups.n_photos), reach, step, total)
        if of_groups is None or of_photos is None:
            return None
        low, high = min(of_groups.low, of_photos.low), max(of_groups.high, of_photos.high)
        return Interval(max(low, -1.0), min(high, 1.0), "t")


def macro_f1_differences(models: Sequence[PredictedPhotos], groups: Groups, pairs: Sequence[tuple[int, int]],
                         ) -> MacroF1Differences:
    """Compare pairs of models, by their places in `models`, which answered the same photos in the same order.

    If two models are equally good, either could as well have given the other's answers to a photo. What exchanging the
    answers to one photo changes is the derivative of the difference at the middle, where each model has half of either
    answers; there the second derivative is 0. The sum of these changes, each with either sign, is what the difference
    would be by chance, so that it is judged as a difference of counts is (`Family`).
    """
    n, n_classes = groups.n_photos, models[0].n_classes
    f1 = np.array([np.nan_to_num(ratio(2 * photos.hit.sum(axis=1), photos.truth.sum(axis=1) + photos.answer.sum(axis=1))
                                 ).mean() for photos in models])
    differences = np.array([f1[first] - f1[second] for first, second in pairs], dtype=np.float64)
    added = np.stack([_added(models[first], models[second]) for first, second in pairs], axis=1) * n / n_classes
    sums = groups.sums(added)
    moved = np.where(np.abs(sums) > _NOTHING, np.abs(sums), np.inf)
    steps = moved.min(axis=0, initial=np.inf)
    return MacroF1Differences(differences, Family(
        sums, tuple((pair, None) for pair in range(len(pairs))), added, np.where(np.isinf(steps), 0.0, steps),
        n * differences), groups)


def _added(first: PredictedPhotos, second: PredictedPhotos) -> Floats:
    """Return what each photo adds to the difference of the sums of F1 over all classes: (N,).

    F1 of a class is 2 h / d with h its hits and d its photos and answers, at the middle of both models; its derivatives
    are 2 / d by h and -2 h / d^2 by the answers.
    """
    hits = (first.hit + second.hit).sum(axis=1) / 2
    all_of_class = first.truth.sum(axis=1) + (first.answer + second.answer).sum(axis=1) / 2
    by_hit, by_answer = np.nan_to_num(ratio(np.full_like(hits, 2.0), all_of_class)), np.nan_to_num(
        ratio(2 * hits, all_of_class**2))
    added: Floats = by_hit @ (first.hit - second.hit) - by_answer @ (first.answer - second.answer)
    return added
