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

from matlens.types import Floats

CONFIDENCE, DRAWS, SEED = 0.95, 2000, 0
IntervalMethod = Literal["bca", "percentile", "wilson"]

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


def wilson(hits: float, n: float, confidence: float = CONFIDENCE) -> Interval | None:
    """Compute Wilson's score interval of the share hits / n (Wilson 1927, doi:10.2307/2276774); None of no photo."""
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
    """Compute the interval of a score from its bootstrap distribution.

    Args:
        draws: (B,) the score of each draw; NaN where the draw left it undefined.
        value: the score of all photos.
        jackknife: (N,) the score without each photo in turn. With it the interval is bias-corrected and accelerated
            (Efron 1987, doi:10.1080/01621459.1987.10478410; computed as scipy.stats.bootstrap does), else it is
            that of percentiles.

    Returns:
        None where draws tell nothing: most are undefined, or all are equal (every photo right, for one).
    """
    defined = draws[~np.isnan(draws)]
    if not math.isfinite(value) or len(defined) <= len(draws) / 2 or np.ptp(defined) < _SAME:
        return None
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
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


def _all(statistic: Callable[[Floats], Mapping[str, Floats]], weights: Iterator[Floats]) -> dict[str, Floats]:
    blocks = [statistic(block) for block in weights]
    return {name: np.concatenate([block[name] for block in blocks], axis=-1) for name in blocks[0]}


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
    at_once = max(1, _CELLS // n)
    values = statistic(np.ones((n, 1)))
    drawn = _all(statistic, resampled(n, draws, np.random.default_rng(seed), at_once))
    left = _all(statistic, without_each(n, at_once)) if 1 < n <= _MOST_FOR_BCA else None

    def of(name: str) -> list[Interval | None]:
        value, of_draws = np.atleast_2d(values[name]), np.atleast_2d(drawn[name])
        jackknife = np.atleast_2d(left[name]) if left else [None] * len(value)
        return [from_draws(row, float(whole[0]), without, confidence)
                for whole, row, without in zip(value, of_draws, jackknife, strict=True)]

    return {name: of(name) for name in values}
