"""Macro F1 of models on the same photos, in pairs: by how much it differs, and whether chance alone could do that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from matlens.evaluation.inference.bootstrap import DRAWS, Quantity, resampled_scores
from matlens.evaluation.inference.groups import Groups
from matlens.evaluation.intervals import SEED, Interval
from matlens.evaluation.metrics.weighted import PredictedPhotos, WeightedPhotos, ratio
from matlens.types import Floats

_CELLS = 2_000_000
"""Photos x draws that are computed at once, to bound memory."""
_SAME = 1e-12


@dataclass(frozen=True)
class MacroF1Difference:
    """Macro F1 of one model less that of another on the same photos.

    interval: 95 %, of this pair alone; None where draws tell nothing or groups are too few. p_value: two-sided, of this
    pair alone.
    """

    difference: float
    interval: Interval | None
    p_value: float


def macro_f1_differences(models: Sequence[PredictedPhotos], groups: Groups, pairs: Sequence[tuple[int, int]],
                         ) -> list[MacroF1Difference]:
    """Compare pairs of models, by their places in `models`, which answered the same photos in the same order.

    The interval is the bootstrap's: both models are drawn with the same photos, in whole groups. The p value is that of
    a permutation test: if two models are equally good, either could as well have given the other's answers to a group's
    photos, so these are exchanged at random, DRAWS times; p is the share of exchanges that give at least as large a
    difference, the one that was seen counted in.
    """
    def statistic(weights: Floats) -> dict[str, Floats]:
        scores = [_macro_f1(WeightedPhotos(photos, weights)) for photos in models]
        return {f"{first} {second}": scores[first] - scores[second] for first, second in pairs}

    scores = resampled_scores(statistic, groups)
    intervals = scores.intervals(models[0].labels, dict.fromkeys(scores.values, Quantity((-1.0, 1.0), of_classes=True)))
    return [MacroF1Difference(seen := float(scores.values[name][0, 0]), intervals[name][0],
                              _p_value(models[first], models[second], groups, seen))
            for name, (first, second) in zip(scores.values, pairs, strict=True)]


def _macro_f1(photos: WeightedPhotos) -> Floats:
    return WeightedPhotos.mean_over(photos.f1, photos.counted)


def _p_value(first: PredictedPhotos, second: PredictedPhotos, groups: Groups, seen: float) -> float:
    rng, as_large, at_once = np.random.default_rng(SEED), 0, max(1, _CELLS // max(groups.n_photos, 1))
    for start in range(0, DRAWS, at_once):
        exchanged = rng.integers(2, size=(groups.count, min(at_once, DRAWS - start))).astype(np.float64)
        drawn = _exchanged(first, second, exchanged[groups.of_photo])
        as_large += int((np.abs(drawn) >= abs(seen) - _SAME).sum())
    return (1 + as_large) / (1 + DRAWS)


def _exchanged(first: PredictedPhotos, second: PredictedPhotos, exchanged: Floats) -> Floats:
    """Return the differences (B,) of macro F1 where photos (N, B) with a 1 have the answers of the other model."""
    scores = []
    for own, other in ((first, second), (second, first)):
        kept, taken = WeightedPhotos(own, 1 - exchanged), WeightedPhotos(other, exchanged)
        f1 = np.nan_to_num(ratio(2 * (kept.hits + taken.hits), kept.support + taken.support + kept.answered
                                 + taken.answered))
        scores.append(f1.mean(axis=0))
    return np.asarray(scores[0] - scores[1], dtype=np.float64)
