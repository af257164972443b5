"""How far a score could be off: bootstrap intervals, and Wilson's for shares.

A test part is one sample of photos; another one would give other scores. Photos are drawn with replacement, as many as
there are, and all scores are computed of each draw: one resampling for all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from matlens.evaluation.metrics.weighted import WeightedScores
from matlens.types import Floats

CONFIDENCE, DRAWS, SEED = 0.95, 2000, 0
Method = Literal["bca", "percentile", "wilson"]

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
    method: Method
    confidence: float = CONFIDENCE
    draws: int | None = None

    def to_json(self) -> dict[str, Any]:
        """{low, high, method, confidence, draws}."""
        return asdict(self)


Found = Interval | list[Interval | None] | None


def wilson(hits: float, n: float, confidence: float = CONFIDENCE) -> Interval | None:
    """Wilson's score interval of the share hits / n (Wilson 1927, doi:10.2307/2276774). None of nothing."""
    if n <= 0:
        return None
    z = _NORMAL.inv_cdf((1 + confidence) / 2)
    share = hits / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Interval(max(middle - half, 0.0) if hits else 0.0, min(middle + half, 1.0) if hits < n else 1.0, "wilson",
                    confidence)


def from_draws(draws: Floats, value: float, jackknife: Floats | None = None, confidence: float = CONFIDENCE,
               ) -> Interval | None:
    """The interval of a score from its bootstrap distribution.

    Args:
        draws: (B,) the score of each draw; NaN where the draw left it undefined.
        value: the score of all photos.
        jackknife: (N,) the score without each photo in turn. With it the interval is bias-corrected and accelerated
            (Efron 1987, doi:10.1080/01621459.1987.10478410; computed as scipy.stats.bootstrap does), else it is
            that of percentiles.

    Returns:
        None where draws tell nothing: most are undefined, or all are equal (every photo right, for one).
    """
    known = draws[~np.isnan(draws)]
    if not math.isfinite(value) or len(known) <= len(draws) / 2 or np.ptp(known) < _SAME:
        return None
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    below = ((known < value - _SAME).mean() + (known <= value + _SAME).mean()) / 2
    method: Method = "percentile"
    if jackknife is not None and 0 < below < 1:
        method = "bca"
        shift, speed = _NORMAL.inv_cdf(float(below)), acceleration(jackknife)
        moved = [shift + _NORMAL.inv_cdf(tail) for tail in tails]
        tails = [_NORMAL.cdf(shift + each / (1 - speed * each)) for each in moved]
    low, high = np.quantile(known, tails)
    return Interval(float(low), float(high), method, confidence, len(known))


def acceleration(jackknife: Floats) -> float:
    """The acceleration of a BCa interval: the skewness of the jackknife's influence values, over 6; 0 of equal ones."""
    known = jackknife[~np.isnan(jackknife)]
    influence = known.mean() - known
    spread = (influence**2).sum() ** 1.5
    return float((influence**3).sum() / (6 * spread)) if spread > 0 else 0.0


def resampled(n: int, draws: int, rng: np.random.Generator, at_once: int) -> Iterator[Floats]:
    """Weights (N, B) of `draws` draws of n photos with replacement, at most so many `at_once`."""
    for first in range(0, draws, at_once):
        count = min(at_once, draws - first)
        drawn = rng.integers(n, size=(count, n)) + n * np.arange(count)[:, None]
        yield np.ascontiguousarray(np.bincount(drawn.ravel(), minlength=count * n).reshape(count, n).T, dtype=float)


def without_each(n: int, at_once: int) -> Iterator[Floats]:
    """Weights (N, B) of the jackknife: all photos but one."""
    for first in range(0, n, at_once):
        weights = np.ones((n, min(at_once, n - first)))
        weights[np.arange(first, first + weights.shape[1]), np.arange(weights.shape[1])] = 0
        yield weights


def _all(statistic: Callable[[Floats], Mapping[str, Floats]], weights: Iterator[Floats]) -> dict[str, Floats]:
    found = [statistic(block) for block in weights]
    return {name: np.concatenate([each[name] for each in found], axis=-1) for name in found[0]}


def bootstrap(scores: WeightedScores, *, draws: int = DRAWS, seed: int = SEED, confidence: float = CONFIDENCE,
              ) -> dict[str, Found]:
    """An interval of each score that `scores` gives, and a list of them, one a class, of `f1`.

    BCa up to 2,000 photos, percentiles beyond. Accuracy where all photos are right, or all wrong, has Wilson's, since
    draws cannot tell then.
    """
    n = scores.n_photos
    if n == 0:
        raise ValueError("there are no photos to draw from")
    at_once = max(1, _CELLS // n)
    values = scores(np.ones((n, 1)))
    drawn = _all(scores, resampled(n, draws, np.random.default_rng(seed), at_once))
    left = _all(scores, without_each(n, at_once)) if 1 < n <= _MOST_FOR_BCA else None

    def interval(value: npt.NDArray[Any], of_draws: Floats, of_left: Floats | None) -> Interval | None:
        return from_draws(of_draws, float(value[0]), of_left, confidence)

    found: dict[str, Found] = {
        name: interval(value, drawn[name], left[name] if left else None)
        for name, value in values.items() if name != "f1"}
    found["f1"] = [interval(values["f1"][number], drawn["f1"][number], left["f1"][number] if left else None)
                   for number in range(scores.n_classes)]
    if found["accuracy"] is None:
        found["accuracy"] = wilson(n * float(values["accuracy"][0]), n, confidence)
    return found
