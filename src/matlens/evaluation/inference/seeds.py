"""How sure a method's score is, of which several trainings with other seeds answered the same photos.

Two things could have been others: the seeds and the photos. A score of S seeds on n photos varies with both (Owen 2007,
"The pigeonhole bootstrap", doi:10.1214/07-AOAS122; Sellam et al. 2022, "The MultiBERTs"), and the variance of its mean
is the sum of a part of the seeds and a part of the photos. Owen's bootstrap draws seeds and photos; of three seeds no
draw tells how the others are, so the part of the seeds is taken from their spread here, with Student's t.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from matlens.errors import ResultsError
from matlens.evaluation.inference.bootstrap import Quantity, resampled
from matlens.evaluation.inference.groups import FEWEST, Groups, class_list, photos_worth, t_quantile
from matlens.evaluation.intervals import CONFIDENCE, SEED, wilson
from matlens.evaluation.metrics.scores import weighted_metrics
from matlens.evaluation.metrics.weighted import PredictedPhotos, WeightedPhotos
from matlens.evaluation.predictions import Predictions
from matlens.types import Floats, Labels

SEED_DRAWS = 500
"""Draws of photos. A variance is taken from them, and no tails, so fewer do than for an interval by percentiles."""

_SHARE = Quantity()
_HALVINGS = 40
"""Steps in which a p value is found: to 1e-12."""
_CELLS = 2_000_000
"""Photos x draws that are computed at once, to bound memory."""


@dataclass(frozen=True)
class TwoWay:
    """The variance of a mean over seeds and photos, in two parts that do not overlap.

    seeds: what seeds add, also by what they do to single photos, with `seed_df` degrees of freedom.
    photos: what the sample of photos adds besides that, with `photo_df` (independent groups less 1).
    """

    seeds: float
    seed_df: float
    photos: float
    photo_df: float

    @property
    def variance(self) -> float:
        """Of the mean."""
        return self.seeds + self.photos

    def margins(self, confidence: float = CONFIDENCE) -> tuple[float, float]:
        """Return half the width that the seeds give an interval, and that the photos give it."""
        return (t_quantile(confidence, self.seed_df) * math.sqrt(self.seeds),
                t_quantile(confidence, self.photo_df) * math.sqrt(self.photos))

    def interval(self, difference: float, confidence: float = CONFIDENCE) -> tuple[float, float] | None:
        """Return the ends of the interval of a difference; None where nothing varies."""
        half = math.hypot(*self.margins(confidence))
        return (difference - half, difference + half) if half else None

    def p_value(self, difference: float) -> float:
        """Return the p value at which the interval of a difference just reaches 0.

        The margins add up as squares (Zou and Donner 2008, doi:10.1002/sim.3095): where one part is nothing, this is
        the t test of the other. 1 where nothing varies.
        """
        if self.variance <= 0 or difference == 0:
            return 1.0
        below, above = 0.0, 1.0
        for _ in range(_HALVINGS):
            p_value = (below + above) / 2
            if math.hypot(*self.margins(1 - p_value)) > abs(difference):
                below = p_value
            else:
                above = p_value
        return above


@dataclass(frozen=True)
class SeedScores:
    """A score of one method under S seeds, on the same photos in G independent groups.

    values: (S,) the score of each seed.
    deviations: (S, K). The sample variance along the second axis times `scale` is the variance that each seed's score
        owes to the sample of photos. Column k belongs to the same photos in all seeds, and in all methods.
    groups: how many groups of equal size tell as much as these G. together: whether photos are in groups at all.
    """

    values: Floats
    deviations: Floats
    scale: float
    groups: float
    together: bool = False

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return float(self.values.mean())

    @cached_property
    def two_way(self) -> TwoWay:
        """The variance of the mean.

        With variances s of seeds, p of photos and e of both together it is s / S + p / n + e / (S n): what seeds spread
        shows s / S + e / (S n), and what photos spread p / n + e / (S n), so e / (S n) is taken off once.
        """
        return TwoWay(self._of_seeds, len(self.values) - 1, max(self._of_all_photos - self._of_both, 0.0),
                      self.groups - 1)

    @property
    def _of_seeds(self) -> float:
        return float(self.values.var(ddof=1)) / len(self.values)

    @cached_property
    def _of_all_photos(self) -> float:
        """p / n + e / (S n)."""
        return self._of_photos(self.deviations.mean(axis=0))

    @cached_property
    def _of_both(self) -> float:
        """e / (S n), at least 0."""
        single = float(np.mean([self._of_photos(row) for row in self.deviations]))
        return max(single - self._of_all_photos, 0.0) / (len(self.values) - 1)

    def _of_photos(self, deviations: Floats) -> float:
        defined = deviations[~np.isnan(deviations)]
        return self.scale * float(defined.var(ddof=1)) if len(defined) > 1 else math.nan

    def interval(self, quantity: Quantity = _SHARE, confidence: float = CONFIDENCE) -> tuple[float, float] | None:
        """Return the ends of the interval of the method's score: what other seeds and other photos would give.

        Between two finite bounds the photos' margins are those of Wilson's interval at the number of photos that has
        this variance (`photos_worth` of photos in groups), so that no end lies beyond a bound. None where nothing
        varies, or too little is defined.
        """
        two_way, (low, high) = self.two_way, quantity.bounds
        if not math.isfinite(two_way.variance) or two_way.variance <= 0 or two_way.photo_df < 1:
            return None
        of_seeds, below = two_way.margins(confidence)
        above, span = below, high - low
        if math.isfinite(span) and (two_way.photos or self.together) and low < self.mean < high:
            share = (self.mean - low) / span
            reach = below / math.sqrt(two_way.photos) if two_way.photos else t_quantile(confidence, two_way.photo_df)
            as_normal = 2 * NormalDist().cdf(reach) - 1
            photos = (photos_worth(self.groups, share, two_way.photos / span**2, quantity.poor_share) if self.together
                      else share * (1 - share) * span**2 / two_way.photos)
            if as_normal < 1 and (ends := wilson(share * photos, photos, as_normal)):
                below, above = span * (share - ends.low), span * (ends.high - share)
        return max(self.mean - math.hypot(of_seeds, below), low), min(self.mean + math.hypot(of_seeds, above), high)


def scores_of_seeds(judged: Sequence[Predictions], class_names: Sequence[str] = (),
                    draws: int = SEED_DRAWS) -> dict[str, SeedScores]:
    """Return every weighted metric of a method, by name, from the answers that each of its seeds gave.

    Draws are of whole groups, and the same in all methods that answered the same photos.

    Raises:
        ResultsError: the seeds did not answer the same photos, there are less than two seeds or photos or too few
            groups, or a class has all its photos in one group.
    """
    first, together = judged[0], _together(judged)
    n_groups, group = together.count, together.of_photo
    if len(judged) < 2 or n_groups < 2:
        raise ResultsError(f"{len(judged)} seed(s) on {n_groups} group(s) of photos tell nothing of a method: it takes "
                           "two of each at least.")
    if together.too_few:
        raise ResultsError(f"The test photos are of {n_groups} independent groups, and fewer than {FEWEST} do not tell "
                           "how far a method's score could be off. Test on photos of more groups.")
    if confounded := together.in_one_group(first.labels):
        names = class_names or [f"class {number}" for number in range(first.probabilities.shape[1])]
        raise ResultsError(f"All test photos of {class_list(names, confounded)} are of one group, so what is due to "
                           "the class and what to the group cannot be told apart: what other groups would give cannot "
                           "be estimated.")
    photos = [PredictedPhotos(answers.probabilities, answers.labels) for answers in judged]
    whole = [weighted_metrics(WeightedPhotos(of_seed, np.ones((len(group), 1)))) for of_seed in photos]
    drawn: list[list[dict[str, Floats]]] = []
    for weights in resampled(n_groups, draws, np.random.default_rng(SEED), max(1, _CELLS // len(group))):
        drawn.append([weighted_metrics(WeightedPhotos(of_seed, weights[group])) for of_seed in photos])
    scores = {name: SeedScores(np.array([float(values[name][0]) for values in whole]),
                               np.array([np.concatenate([block[seed][name] for block in drawn])
                                         for seed in range(len(judged))]),
                               n_groups / (n_groups - 1), together.effective, not together.are_single)
              for name in whole[0] if all(name in values and math.isfinite(values[name][0]) for values in whole)}
    right = np.array([answers.predicted == first.labels for answers in judged])
    return scores | {"accuracy": accuracy_of_seeds(right, group)}


def accuracy_of_seeds(right: npt.NDArray[np.bool_], group: Labels) -> SeedScores:
    """Return the accuracy of a method in closed form, without draws.

    Its variance over photos is that of a cluster sample: of the sums over groups of what each photo adds to the mean.

    Args:
        right: (S, n) whether a seed is right on a photo. group: (n,) numbers 0 ... G - 1.
    """
    values, together = right.mean(axis=1), Groups(group)
    n_groups = together.count
    of_photos = right - values[:, None]
    sums = np.array([np.bincount(group, of_seed, n_groups) for of_seed in of_photos])
    return SeedScores(values, sums * n_groups / right.shape[1], 1 / n_groups, together.effective,
                      not together.are_single)


def difference_of_methods(first: SeedScores, second: SeedScores, *, shared_seeds: bool) -> tuple[float, TwoWay]:
    """Return by how much the first method's mean is higher on the same photos, and the variance of that.

    shared_seeds: whether seed k of one belongs to seed k of the other. They are then compared in pairs, as the photos
        are in any case; else the seeds' parts add up (Welch 1947).
    """
    if shared_seeds:
        paired = SeedScores(first.values - second.values, first.deviations - second.deviations, first.scale,
                            first.groups)
        return paired.mean, paired.two_way
    parts = [(each._of_seeds, len(each.values) - 1) for each in (first, second)]
    seeds = sum(part for part, _ in parts)
    squares = sum(part**2 / df for part, df in parts)
    photos = first._of_photos(first.deviations.mean(axis=0) - second.deviations.mean(axis=0))
    return first.mean - second.mean, TwoWay(
        seeds, seeds**2 / squares if squares > 0 else sum(df for _, df in parts),
        max(photos - first._of_both - second._of_both, 0.0), first.groups - 1)


def _together(judged: Sequence[Predictions]) -> Groups:
    """Return the groups of the photos. Raises ResultsError where the seeds did not answer the same photos."""
    first = judged[0]
    for other in judged[1:]:
        if other.paths != first.paths or not np.array_equal(other.labels, first.labels):
            raise ResultsError("The seeds were not judged on the same photos, so their spread says nothing of a "
                               "method. Judge them again with: matlens evaluate RUN")
    return Groups.of(first.groups)
