"""How far a score could be off: bootstrap intervals, and Wilson's for shares.

A test part is one sample of photos; another one would give other scores. Photos are drawn with replacement, as many as
there are, and all scores are computed of each draw: one resampling for all of them. Where photos belong together it is
whole groups that are drawn (Field and Welsh 2007, doi:10.1111/j.1467-9868.2007.00593.x); where groups are few, a t
interval takes the place of draws.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from matlens.evaluation.inference.groups import (
    FEWEST_OF_A_CLASS,
    Groups,
    design_effect,
    mean_scatter,
    t_quantile,
)
from matlens.types import Floats, Labels

CONFIDENCE, DRAWS, SEED = 0.95, 2000, 0
IntervalMethod = Literal["bca", "percentile", "wilson", "t", "tango"]

_MOST_FOR_BCA = 2000
"""Photos. Beyond, the correction is smaller than the noise of 2,000 draws, and it would cost more than these."""
_CELLS = 2_000_000
"""Photos x draws that are computed at once, to bound memory."""
_SAME = 1e-12

_NORMAL = NormalDist()


@dataclass(frozen=True)
class Interval:
    """A confidence interval; `draws` of a bootstrap, None of a closed form."""

    low: float
    high: float
    method: IntervalMethod
    confidence: float = CONFIDENCE
    draws: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return {low, high, method, confidence, draws}."""
        return asdict(self)


def wilson(hits: float, n: float, confidence: float = CONFIDENCE, reach: float | None = None) -> Interval | None:
    """Compute Wilson's score interval of the share hits / n (Wilson 1927, doi:10.2307/2276774); None of no photo.

    reach: how many standard errors the interval reaches; by default what `confidence` asks of the normal distribution.
    """
    if n <= 0:
        return None
    z = _NORMAL.inv_cdf((1 + confidence) / 2) if reach is None else reach
    share = hits / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Interval(max(middle - half, 0.0) if hits else 0.0, min(middle + half, 1.0) if hits < n else 1.0, "wilson",
                    confidence)


def share_interval(right: npt.NDArray[Any], groups: Groups, confidence: float = CONFIDENCE) -> Interval | None:
    """Compute the interval of the share of photos that count: Wilson's, where photos stand alone.

    Of groups it is Wilson's with the number of photos divided by the design effect (at least 1), and the quantile of
    the t distribution for so many groups (Korn and Graubard 1998; Dean and Pagano 2015, doi:10.1093/jssam/smv024).
    Where all photos count, or none, each group counts as one photo. None of one group, or where the test part has fewer
    than FEWEST.

    Args:
        right: (N,) whether each photo counts.
    """
    hits, n = float(right.sum()), len(right)
    if groups.too_few:
        return None
    if groups.are_single:
        return wilson(hits, n, confidence)
    if groups.count < 2:
        return None
    effect = max(design_effect(groups, right) or n / groups.effective, 1.0)
    return wilson(hits / effect, n / effect, confidence, t_quantile(confidence, groups.effective - 1))


def mean_interval(values: npt.NDArray[Any], groups: Groups | None = None, confidence: float = CONFIDENCE,
                  ) -> Interval | None:
    """Compute the t interval of a mean of values (N,), from the scatter between groups; by default each is its own.

    None of one group, or where all groups have the same mean.
    """
    chosen = groups or Groups.single(len(values))
    mean, error = mean_scatter(chosen, values)
    if not 0 < error < math.inf:
        return None
    half = t_quantile(confidence, chosen.effective - 1) * error
    return Interval(mean - half, mean + half, "t", confidence)


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
    groups of each class.
    """

    bounds: tuple[float, float] = (0.0, 1.0)
    of_classes: bool = False


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
    sample = _Resampled(statistic, Groups.single(n), draws, seed)
    return {name: [sample.interval(name, row, confidence) for row in range(rows)] for name, rows in sample.rows.items()}


def group_bootstrap(statistic: Callable[[Floats], Mapping[str, Floats]], groups: Groups, labels: Labels,
                    quantities: Mapping[str, Quantity], *, draws: int = DRAWS, seed: int = SEED,
                    confidence: float = CONFIDENCE) -> dict[str, list[Interval | None]]:
    """Compute the intervals of `bootstrap` by drawing whole groups of photos, where photos belong together.

    Of many groups they are the bootstrap's, with percentiles chosen for the degrees of freedom of so many groups. Of
    fewer than MANY, or where a class that counts has fewer than FEWEST_OF_A_CLASS, they are t intervals from the
    jackknife over groups. Of fewer than FEWEST groups there is none, and neither where all photos of a class that
    counts are of one group: what is due to the class and what to the group cannot be told apart.

    Args:
        labels: class numbers (N,). quantities: what the scores are, by name; a score of each class, (C, B), is not
        named.
    """
    if groups.are_single:
        return bootstrap(statistic, groups.n_photos, draws=draws, seed=seed, confidence=confidence)
    sample, everything = _Resampled(statistic, groups, draws, seed), groups.of_classes(labels)
    present = {int(number): of_class for number, of_class in zip(np.unique(labels), everything, strict=True)}

    def of(name: str, row: int) -> Interval | None:
        quantity = quantities.get(name)
        if quantity is None:
            counted = [present[row]] if row in present else []
            degrees, bounds = min([groups.effective, *(of_class.effective for of_class in counted)]) - 1, (0.0, 1.0)
        else:
            counted = everything if quantity.of_classes else []
            degrees, bounds = groups.degrees(labels if quantity.of_classes else None), quantity.bounds
        if groups.too_few or any(of_class.count < 2 for of_class in counted):
            return None
        reach = t_quantile(confidence, degrees)
        if groups.are_many and all(of_class.count >= FEWEST_OF_A_CLASS for of_class in counted):
            return sample.interval(name, row, confidence, reach * math.sqrt(groups.count / (groups.count - 1)))
        return sample.t_interval(name, row, confidence, reach, bounds)

    return {name: [of(name, row) for row in range(rows)] for name, rows in sample.rows.items()}


class _Resampled:
    """Scores of all photos, of draws of whole groups, and without each group in turn; computed when they are needed."""

    def __init__(self, statistic: Callable[[Floats], Mapping[str, Floats]], groups: Groups, draws: int, seed: int,
                 ) -> None:
        self.statistic, self.groups, self.draws, self.seed = statistic, groups, draws, seed
        self.values = {name: np.atleast_2d(of_all) for name, of_all in statistic(np.ones((groups.n_photos, 1))).items()}
        self.rows = {name: len(of_all) for name, of_all in self.values.items()}
        self._at_once = max(1, _CELLS // groups.n_photos)

    def interval(self, name: str, row: int, confidence: float, reach: float | None = None) -> Interval | None:
        """Return the bootstrap's interval of a score."""
        left = self._left[name][row] if 1 < self.groups.count <= _MOST_FOR_BCA else None
        return from_draws(self._drawn[name][row], float(self.values[name][row, 0]), left, confidence, reach)

    def t_interval(self, name: str, row: int, confidence: float, reach: float, bounds: tuple[float, float],
                   ) -> Interval | None:
        """Return the t interval of a score from the jackknife over groups, on a scale that keeps it inside its bounds.

        That is the logit of a score with two bounds, and the logarithm of one with a lower bound alone.
        """
        value, left = float(self.values[name][row, 0]), self._left[name][row]
        left, count, (low, high) = left[~np.isnan(left)], self.groups.count, bounds
        error = math.sqrt((count - 1) / count * float(((left - left.mean()) ** 2).sum())) if len(left) > 1 else 0.0
        if not error > _SAME or not low < value < high:
            return None
        if math.isinf(high):
            factor = math.exp(reach * error / (value - low))
            return Interval(low + (value - low) / factor, low + (value - low) * factor, "t", confidence)
        share = (value - low) / (high - low)
        middle, half = math.log(share / (1 - share)), reach * error / ((high - low) * share * (1 - share))
        below, above = (low + (high - low) / (1 + math.exp(-min(max(end, -500.0), 500.0)))
                        for end in (middle - half, middle + half))
        return Interval(below, above, "t", confidence)

    @cached_property
    def _drawn(self) -> dict[str, Floats]:
        drawn = resampled(self.groups.count, self.draws, np.random.default_rng(self.seed), self._at_once)
        return self._all(drawn)

    @cached_property
    def _left(self) -> dict[str, Floats]:
        return self._all(without_each(self.groups.count, self._at_once))

    def _all(self, weights: Iterator[Floats]) -> dict[str, Floats]:
        """Compute the scores under weights of the groups, (G, B) at a time: a photo has the weight of its group."""
        of_photos = weights if self.groups.are_single else (block[self.groups.of_photo] for block in weights)
        blocks = [self.statistic(block) for block in of_photos]
        return {name: np.atleast_2d(np.concatenate([block[name] for block in blocks], axis=-1)) for name in blocks[0]}
