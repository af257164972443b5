"""Intervals of scores by drawing photos, or whole groups of them.

A test part is one sample of photos; another one would give other scores. Photos are drawn with replacement, as many as
there are, and all scores are computed of each draw: one resampling for all of them. Where photos belong together it is
whole groups that are drawn (Field and Welsh 2007, doi:10.1111/j.1467-9868.2007.00593.x); where groups are not enough, a
t interval takes the place of draws.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from matlens.evaluation.inference.groups import FEWEST_OF_A_CLASS, Groups, photos_worth, t_quantile
from matlens.evaluation.intervals import CONFIDENCE, SEED, Interval, IntervalMethod, wilson
from matlens.types import Floats, Labels

DRAWS = 2000
ENOUGH_TO_DRAW = 100
"""Independent groups. Draws of fewer scatter too little where scores are high, so that their intervals hold the truth
too rarely; the t interval counts a poor group in addition (`photos_worth`)."""

_MOST_FOR_BCA = 2000
"""Photos. Beyond, the correction is smaller than the noise of 2,000 draws, and it would cost more than these."""
_CELLS = 2_000_000
"""Photos x draws that are computed at once, to bound memory."""
_SAME = 1e-12
_TELLS_NOTHING = math.log(1000)
"""From this factor up and down on, the interval of a score without an upper bound is none: one group holds most photos.
"""

_NORMAL = NormalDist()


def from_draws(draws: Floats, value: float, jackknife: Floats | None = None, confidence: float = CONFIDENCE,
               reach: float | None = None) -> Interval | None:
    """Compute the interval of a score from its bootstrap distribution.

    Args:
        draws: (B,) the score of each draw; NaN where the draw left it undefined.
        value: the score of all photos.
        jackknife: (N,) the score without each photo in turn. With it the interval is bias-corrected and accelerated
            (Efron 1987, doi:10.1080/01621459.1987.10478410; computed as scipy.stats.bootstrap does), else it is
            that of percentiles.
        reach: by how many standard errors of a normal distribution to choose the percentiles: of few groups more than
            `confidence` asks for, since draws scatter less than they (Hesterberg 2015,
            doi:10.1080/00031305.2015.1089789).

    Returns:
        None where draws tell nothing: most are undefined, or all are equal (every photo right, for one).
    """
    defined = draws[~np.isnan(draws)]
    if not math.isfinite(value) or len(defined) <= len(draws) / 2 or np.ptp(defined) < _SAME:
        return None
    tails = [(1 - confidence) / 2, (1 + confidence) / 2] if reach is None else [_NORMAL.cdf(-reach), _NORMAL.cdf(reach)]
    below = ((defined < value - _SAME).mean() + (defined <= value + _SAME).mean()) / 2
    method: IntervalMethod = "percentile"
    if jackknife is not None and 0 < below < 1:
        method = "bca"
        shift, speed = _NORMAL.inv_cdf(float(below)), acceleration(jackknife)
        moved = [shift + _NORMAL.inv_cdf(tail) for tail in tails]
        tails = [_NORMAL.cdf(shift + point / (1 - speed * point)) for point in moved]
    low, high = np.quantile(defined, tails)
    return Interval(float(low), float(high), method, confidence, len(defined))


def acceleration(jackknife: Floats) -> float:
    """Compute the acceleration of a BCa interval: a sixth of the skewness of the jackknife's influence values.

    0 where all are equal.
    """
    defined = jackknife[~np.isnan(jackknife)]
    influence = defined.mean() - defined
    spread = (influence**2).sum() ** 1.5
    return float((influence**3).sum() / (6 * spread)) if spread > 0 else 0.0


def drawn_positions(n: int, draws: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Draw n of n photos with replacement, `draws` times: positions (draws, n)."""
    return rng.integers(n, size=(draws, n))


def resampled(n: int, draws: int, rng: np.random.Generator, at_once: int) -> Iterator[Floats]:
    """Yield weights (N, B) of `draws` draws of n photos with replacement, at most so many `at_once`."""
    for first in range(0, draws, at_once):
        count = min(at_once, draws - first)
        drawn = drawn_positions(n, count, rng) + n * np.arange(count)[:, None]
        yield np.ascontiguousarray(np.bincount(drawn.ravel(), minlength=count * n).reshape(count, n).T, dtype=float)


def without_each(n: int, at_once: int) -> Iterator[Floats]:
    """Yield weights (N, B) of the jackknife: all photos but one."""
    for first in range(0, n, at_once):
        weights = np.ones((n, min(at_once, n - first)))
        weights[np.arange(first, first + weights.shape[1]), np.arange(weights.shape[1])] = 0
        yield weights


@dataclass(frozen=True)
class Quantity:
    """What the interval of a score from groups must know of it.

    bounds: its lowest and highest possible value. of_classes: whether it is a mean over classes, so that it needs
    groups of each class. poor: its value for a group that is answered poorly; None for the middle of its bounds.
    """

    bounds: tuple[float, float] = (0.0, 1.0)
    of_classes: bool = False
    poor: float | None = None

    def share(self, value: float) -> float:
        """Return where a value lies between two bounds, 0 to 1."""
        return (value - self.bounds[0]) / (self.bounds[1] - self.bounds[0])

    @property
    def poor_share(self) -> float:
        """Where a poor value lies between two bounds."""
        return 0.5 if self.poor is None else self.share(self.poor)


def bootstrap(statistic: Callable[[Floats], Mapping[str, Floats]], n: int, *, draws: int = DRAWS, seed: int = SEED,
              confidence: float = CONFIDENCE) -> dict[str, list[Interval | None]]:
    """Compute an interval of each score that `statistic` gives: BCa up to 2,000 photos, percentiles beyond.

    Args:
        statistic: from weights (N, B) of the photos to scores by name, each (B,), or (C, B) for one of each class.
        n: the number of photos.

    Returns:
        By name one interval, or C of them; None where draws tell nothing.
    """
    if n == 0:
        raise ValueError("there are no photos to draw from")
    return resampled_scores(statistic, Groups.single(n), draws, seed).intervals(np.empty(0, np.int64), {}, confidence)


def group_bootstrap(statistic: Callable[[Floats], Mapping[str, Floats]], groups: Groups, labels: Labels,
                    quantities: Mapping[str, Quantity], *, draws: int = DRAWS, seed: int = SEED,
                    confidence: float = CONFIDENCE) -> dict[str, list[Interval | None]]:
    """Compute the intervals of `bootstrap` by drawing whole groups of photos, where photos belong together.

    Of ENOUGH_TO_DRAW groups they are the bootstrap's, with percentiles chosen for the degrees of freedom of so many
    groups. Of fewer, or where a class that counts has fewer than FEWEST_OF_A_CLASS, they are t intervals from the
    jackknife over groups. Of fewer than FEWEST groups there is none, and neither where all photos of a class that
    counts are of one group: what is due to the class and what to the group cannot be told apart.

    Args:
        labels: class numbers (N,). quantities: what the scores are, by name; a score of each class, (C, B), is not
        named.
    """
    return resampled_scores(statistic, groups, draws, seed).intervals(labels, quantities, confidence)


@dataclass(frozen=True, eq=False)
class ResampledScores:
    """Scores of all photos, by name (R, 1): R is 1, or the number of classes of a score that each class has.

    draw: computes the scores of B draws of whole groups, (R, B). leave_out: computes the scores without each of the G
    groups in turn, (R, G). Each is called at most once, and only where an interval needs it.
    """

    groups: Groups
    values: Mapping[str, Floats]
    draw: Callable[[], Mapping[str, Floats]]
    leave_out: Callable[[], Mapping[str, Floats]]

    @cached_property
    def drawn(self) -> Mapping[str, Floats]:
        """The scores of draws."""
        return self.draw()

    @cached_property
    def left(self) -> Mapping[str, Floats]:
        """The scores without each group."""
        return self.leave_out()

    def intervals(self, labels: Labels, quantities: Mapping[str, Quantity], confidence: float = CONFIDENCE,
                  ) -> dict[str, list[Interval | None]]:
        """Compute the intervals that `bootstrap` gives single photos, and `group_bootstrap` groups."""
        groups = self.groups
        if groups.are_single:
            return {name: [self.interval(name, row, confidence) for row in range(len(rows))]
                    for name, rows in self.values.items()}
        everything = groups.of_classes(labels)
        present = {int(number): of_class for number, of_class in zip(np.unique(labels), everything, strict=True)}

        def of(name: str, row: int) -> Interval | None:
            quantity = quantities.get(name)
            if quantity is None:
                counted = [present[row]] if row in present else []
                degrees = min([groups.effective, *(of_class.effective for of_class in counted)]) - 1
            else:
                counted = everything if quantity.of_classes else []
                degrees = groups.degrees(labels if quantity.of_classes else None)
            if groups.too_few or any(of_class.count < 2 for of_class in counted):
                return None
            reach = t_quantile(confidence, degrees)
            if groups.effective >= ENOUGH_TO_DRAW and all(of_class.count >= FEWEST_OF_A_CLASS for of_class in counted):
                return self.interval(name, row, confidence, reach * math.sqrt(groups.count / (groups.count - 1)))
            return self.t_interval(name, row, confidence, reach, quantity or Quantity())

        return {name: [of(name, row) for row in range(len(rows))] for name, rows in self.values.items()}

    def interval(self, name: str, row: int, confidence: float, reach: float | None = None) -> Interval | None:
        """Return the bootstrap's interval of a score."""
        left = self.left[name][row] if 1 < self.groups.count <= _MOST_FOR_BCA else None
        return from_draws(self.drawn[name][row], float(self.values[name][row, 0]), left, confidence, reach)

    def t_interval(self, name: str, row: int, confidence: float, reach: float, quantity: Quantity) -> Interval | None:
        """Return the t interval of a score from the jackknife over groups, which stays inside of its bounds.

        Of a score with two bounds it is Wilson's, at the number of photos that has this variance, with the reach of the
        t distribution; of one with a lower bound alone it is on the scale of the logarithm, and None where it would
        reach from a thousandth of the score to a thousand times as much.
        """
        value, left = float(self.values[name][row, 0]), self.left[name][row]
        left, count, (low, high) = left[~np.isnan(left)], self.groups.count, quantity.bounds
        error = math.sqrt((count - 1) / count * float(((left - left.mean()) ** 2).sum())) if len(left) > 1 else 0.0
        if not error > _SAME or not low < value < high:
            return None
        if math.isinf(high):
            if (margin := reach * error / (value - low)) > _TELLS_NOTHING:
                return None
            factor = math.exp(margin)
            return Interval(low + (value - low) / factor, low + (value - low) * factor, "t", confidence)
        span, share = high - low, quantity.share(value)
        photos = photos_worth(self.groups.effective, share, (error / span) ** 2, quantity.poor_share)
        ends = wilson(share * photos, photos, confidence, reach)
        return ends and Interval(low + span * ends.low, low + span * ends.high, "t", confidence)


def resampled_scores(statistic: Callable[[Floats], Mapping[str, Floats]], groups: Groups, draws: int = DRAWS,
                     seed: int = SEED) -> ResampledScores:
    """Prepare the scores of a `statistic` of weights (N, B) under draws of whole groups."""
    at_once = max(1, _CELLS // groups.n_photos)

    def of_all(weights: Iterator[Floats]) -> dict[str, Floats]:
        # weights of the groups, (G, B) at a time: a photo has the weight of its group
        of_photos = weights if groups.are_single else (block[groups.of_photo] for block in weights)
        blocks = [statistic(block) for block in of_photos]
        return {name: np.atleast_2d(np.concatenate([block[name] for block in blocks], axis=-1)) for name in blocks[0]}

    return ResampledScores(
        groups, {name: np.atleast_2d(value) for name, value in statistic(np.ones((groups.n_photos, 1))).items()},
        lambda: of_all(resampled(groups.count, draws, np.random.default_rng(seed), at_once)),
        lambda: of_all(without_each(groups.count, at_once)))
