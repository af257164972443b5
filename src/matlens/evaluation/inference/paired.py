"""Two models on the same photos: exact tests of which is right more often, and the interval of the difference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import NormalDist

import numpy as np

from matlens.evaluation.inference.groups import Groups
from matlens.evaluation.inference.simultaneous import group_interval
from matlens.evaluation.intervals import CONFIDENCE, Interval
from matlens.types import Floats

_HALVINGS = 60
_NORMAL_REACH = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


def mcnemar(only_first: int, only_second: int) -> float:
    """Compute the two-sided p of McNemar's exact test.

    If two models are equally good, each gets half of the photos that one of them alone gets right.

    The binomial of McNemar 1947 (doi:10.1007/BF02295996): min(1, 2 P(X <= min(b, c))), X of b + c trials at 1/2.
    """
    from scipy.special import bdtr

    return min(1.0, 2 * float(bdtr(min(only_first, only_second), only_first + only_second, 0.5)))


def sign_flip(sums: Sequence[int] | Floats) -> float:
    """Compute the two-sided p of a difference whose sums over independent groups are whole numbers.

    If two models are equally good, the sum of each group could as well have the other sign: p is the share of all
    2^G choices of signs that give at least as large a total. The distribution of the total is computed exactly, by
    multiplying the polynomials (x^d + x^-d) / 2. With single photos that is McNemar's exact test.
    """
    whole = np.rint(np.asarray(sums, dtype=np.float64)).astype(np.int64)
    moved, total = np.abs(whole), abs(int(whole.sum()))
    chances = _binomial(int((moved == 1).sum()))
    for step in moved[moved > 1].tolist():
        longer = np.zeros(len(chances) + 2 * step)
        longer[:len(chances)] += chances / 2
        longer[2 * step:] += chances / 2
        chances = longer
    return min(1.0, 2 * float(chances[len(chances) // 2 + total:].sum())) if total else 1.0


def _binomial(n: int) -> Floats:
    """Return the chances of -n, -n + 2, ..., n as sums of n signs, with zeros between: (2 n + 1,)."""
    from scipy.special import gammaln

    k = np.arange(n + 1)
    chances: Floats = np.zeros(2 * n + 1)
    chances[::2] = np.exp(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1) - n * math.log(2))
    return chances


def tango(only_first: float, only_second: float, n: float, reach: float = _NORMAL_REACH) -> tuple[float, float]:
    """Compute the ends of Tango's score interval of a difference of paired shares, (only_first - only_second) / n.

    It holds the differences that the score test does not refuse at `reach`; at 0 that test is McNemar's, without
    correction. Counts may be fractions: those of photos that are not independent are divided by the design effect.

    Tango 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<891::AID-SIM780>3.0.CO;2-B.
    """
    ends = []
    for sign in (1, -1):
        inside, outside = (only_first - only_second) / n, -float(sign)
        for _ in range(_HALVINGS):
            tried = (inside + outside) / 2
            if sign * _score(only_first, only_second, n, tried) > reach:
                outside = tried
            else:
                inside = tried
        ends.append(inside)
    return ends[0], ends[1]


def _score(b: float, c: float, n: float, difference: float) -> float:
    """Return Tango's statistic (b - c - n d) / sqrt(n (2 q + d (1 - d))).

    q is the likeliest chance of "only the second right" under the difference d: the larger root of
    2 n q^2 - (b + c - (2 n - b + c) d) q - c d (1 - d).
    """
    linear = (2 * n - b + c) * difference - b - c
    q = (math.sqrt(max(linear**2 + 8 * n * c * difference * (1 - difference), 0.0)) - linear) / (4 * n)
    variance, off = n * (2 * q + difference * (1 - difference)), b - c - n * difference
    return off / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, off) if off else 0.0


def difference_interval(groups: Groups, first: Floats, second: Floats, reach: float = _NORMAL_REACH) -> Interval | None:
    """Compute the interval of a difference of accuracies on the same photos.

    Of many groups it is Tango's, with counts divided by the design effect of the difference (sum d_g^2 of the groups to
    that of single photos, at least 1, which it is where photos stand alone). Of few it is a t interval over the groups,
    at least as wide as that of single photos; where all groups have the same mean, how far others would scatter is
    unknown, and it is Tango's.

    Args:
        first, second: (N,) 1 where the model is right, else 0.
        reach: how many standard errors it reaches; more than 1.96 where it is one of several.

    Returns:
        None of fewer than FEWEST groups, or where so few refuse no difference.
    """
    difference = first - second
    if groups.too_few or (not groups.are_single and groups.effective <= reach**2):
        return None
    sums, apart = groups.sums(difference), float(np.abs(difference).sum())
    scatter = float((sums**2).sum())  # 0 where no photo tells the two apart, or groups cancel out: then each is a photo
    effect = max(scatter / apart, 1.0) if scatter else groups.n_photos / groups.effective
    of_groups = None if groups.are_single or groups.are_many else group_interval(sums, groups.sizes, reach)
    if of_groups:
        effect = 1.0
    only_first, only_second = float((difference > 0).sum()), float((difference < 0).sum())
    low, high = tango(only_first / effect, only_second / effect, len(difference) / effect, reach)
    if of_groups:
        return Interval(max(min(low, of_groups.low), -1.0), min(max(high, of_groups.high), 1.0), "t")
    return Interval(low, high, "tango")


def holding_nothing(interval: Interval | None) -> Interval | None:
    """Widen an interval to hold 0, of a difference that the test, with its half step, does not refuse."""
    return interval and replace(interval, low=min(interval.low, 0.0), high=max(interval.high, 0.0))
