"""How far a figure could be off, in closed form: Wilson's interval of a share, and the t interval of a mean.

The intervals of scores, by draws of photos or groups, are in `inference.bootstrap`.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy.typing as npt

from matlens.evaluation.inference.groups import Groups, mean_scatter, photos_worth, t_quantile

CONFIDENCE, SEED = 0.95, 0
IntervalMethod = Literal["bca", "percentile", "wilson", "t", "tango"]

_NORMAL = NormalDist()
_NOTHING = 1e-12
"""Photos. Of fewer a share may be anything, and the formula would divide by zero."""


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
    if n < _NOTHING or math.isinf(z):  # groups of which one holds nearly all photos may be worth that little
        return Interval(0.0, 1.0, "wilson", confidence)
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Interval(max(middle - half, 0.0) if hits else 0.0, min(middle + half, 1.0) if hits < n else 1.0, "wilson",
                    confidence)


def share_interval(right: npt.NDArray[Any], groups: Groups, confidence: float = CONFIDENCE) -> Interval | None:
    """Compute the interval of the share of photos that count: Wilson's, where photos stand alone.

    Of groups it is Wilson's with the number of photos that tell as much (`photos_worth`, at most all), and the
    quantile of the t distribution for so many groups (Korn and Graubard 1998; Dean and Pagano 2015,
    doi:10.1093/jssam/smv024). Where all photos count, or none, each group counts as one photo. None of one group, or
    where the test part has fewer than FEWEST.

    Args:
        right: (N,) whether each photo counts.
    """
    if groups.too_few:
        return None
    if groups.are_single:
        return wilson(float(right.sum()), len(right), confidence)
    if groups.count < 2:
        return None
    share, error = mean_scatter(groups, right)
    photos = min(photos_worth(groups.effective, share, error**2), groups.n_photos)
    return wilson(share * photos, photos, confidence, t_quantile(confidence, groups.effective - 1))


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
