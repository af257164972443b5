"""Several differences judged at once, on the same photos: intervals that hold together, and p values that agree.

Of each difference the statistic is T = sum d_g / sqrt(sum d_g^2), d_g being the sum of the difference over a group of
photos. Where photos stand alone and a difference is 1, -1 or 0, that is McNemar's; of groups, Obuchowski's (1998,
doi:10.1002/(SICI)1097-0258(19980715)17:13<1495::AID-SIM863>3.0.CO;2-I). If no difference were real, the largest |T| of
all would be distributed as that of normal numbers with the correlations of the d_g (max-T: Westfall and Young 1993;
Hothorn, Bretz and Westfall 2008, doi:10.1002/bimj.200810425). Its 95 % quantile is the reach of all intervals, and how
much of it lies beyond a |T| is that difference's p value: the two cannot disagree.

Counts move in steps, which normal numbers do not: of a total in whole numbers half a step is taken off before it is
compared with them (Edwards 1948, doi:10.1007/BF02289261). The p of a pair is then close to that of the exact test, and
where it is below 5 % so is the exact one. An interval holds 0 wherever that p does not refuse it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from matlens.evaluation.intervals import CONFIDENCE, SEED, Interval
from matlens.types import Floats

_DRAWS = 20_000
"""Of the largest |T|: they tell its 95 % quantile to about 0.01."""
_ALIKE = 1e-12


@dataclass(frozen=True)
class Family:
    """Differences of the same photos.

    sums: (G, K) sums over the groups of photos of K things that are compared (1 where a model is right).
    pairs: which of them are compared: (first, second), and (first, None) is the first by itself.
    photos: (N, K) the same things photo by photo. With them a difference scatters at least as it would if each photo
        stood alone: that few groups happen to agree, or photos to cancel out inside of them, makes nothing surer.
    half_steps: (P,) of each pair, half the step in which its total moves; None where it moves in none.
    totals: (K,) of the things that are compared; by default the sums over all groups.
    """

    sums: Floats
    pairs: tuple[tuple[int, int | None], ...]
    photos: Floats | None = None
    half_steps: Floats | None = None
    totals: Floats | None = None

    @classmethod
    def of_counts(cls, sums: Floats, pairs: tuple[tuple[int, int | None], ...], photos: Floats) -> Family:
        """Compare counts, such as of photos that a model gets right."""
        return cls(sums, pairs, photos, np.array([half_step(_difference(sums.T, pair)) for pair in pairs]))

    def norms(self) -> Floats:
        """Return sqrt(sum d_g^2) of each pair."""
        return self._norms(self.sums)

    def _norms(self, values: Floats) -> Floats:
        inner = values.T @ values
        squares = [inner[first, first] + (0 if second is None else inner[second, second] - 2 * inner[first, second])
                   for first, second in self.pairs]
        return np.sqrt(np.maximum(np.array(squares, dtype=np.float64), 0))

    def statistics(self) -> Floats:
        """Return T of each pair; 0 where no photo tells the two apart."""
        norms, of_all = self.norms(), self.sums.sum(axis=0) if self.totals is None else self.totals
        if self.photos is not None:
            norms = np.maximum(norms, self._norms(self.photos))
        totals = np.array([_difference(of_all, pair) for pair in self.pairs], dtype=np.float64)
        if self.half_steps is not None:
            totals = np.sign(totals) * np.maximum(np.abs(totals) - self.half_steps, 0)
        return np.divide(totals, norms, out=np.zeros_like(norms), where=norms > _ALIKE)

    def largest(self, rng: np.random.Generator, draws: int) -> Floats:
        """Draw the largest |T| under the hypothesis that no difference is real: (draws,)."""
        values, vectors = np.linalg.eigh(self.sums.T @ self.sums)
        drawn = (vectors * np.sqrt(np.maximum(values, 0))) @ rng.standard_normal((len(values), draws))
        largest: Floats = np.zeros(draws)
        for pair, norm in zip(self.pairs, self.norms().tolist(), strict=True):
            if norm > _ALIKE:
                np.maximum(largest, np.abs(_difference(drawn, pair)) / norm, out=largest)
        return largest


def _difference(of: Floats, pair: tuple[int, int | None]) -> Floats:
    """Return the first of a pair less the second, from the values of K things (K, ...)."""
    first, second = pair
    return np.asarray(of[first] if second is None else of[first] - of[second], dtype=np.float64)


def half_step(sums: Floats) -> float:
    """Return half the step in which a total of whole numbers (G,) moves where these change their signs."""
    return float(np.gcd.reduce(np.abs(np.rint(sums)).astype(np.int64), initial=0))


def two_sided(statistic: float) -> float:
    """Return the two-sided p of a normal statistic that stands alone."""
    return math.erfc(abs(statistic) / math.sqrt(2))


@dataclass(frozen=True)
class Simultaneous:
    """What holds of several families together.

    reach: how many standard errors the intervals reach. p_values: of each family's pairs, in its order.
    """

    reach: float
    p_values: tuple[Floats, ...]


def simultaneous(families: Sequence[Family], confidence: float = CONFIDENCE, seed: int = SEED) -> Simultaneous:
    """Judge all pairs of all families at once; different families are of different photos, so they are independent.

    Of one pair alone the normal distribution says all in closed form.
    """
    statistics = [np.abs(family.statistics()) for family in families]
    if sum(map(len, statistics)) <= 1:
        return Simultaneous(NormalDist().inv_cdf((1 + confidence) / 2),
                            tuple(np.array([two_sided(t) for t in of_pairs]) for of_pairs in statistics))
    rng = np.random.default_rng(seed)
    largest = np.sort(np.max([family.largest(rng, _DRAWS) for family in families], axis=0))
    beyond = [np.maximum((1 + _DRAWS - np.searchsorted(largest, of_pairs - _ALIKE)) / (1 + _DRAWS),
                         [two_sided(t) for t in of_pairs]) for of_pairs in statistics]
    # p is below 1 - confidence exactly beyond this one of the draws, and beyond the quantile of one pair alone
    last = largest[_DRAWS + 1 - math.ceil((1 - confidence) * (1 + _DRAWS) - _ALIKE)]
    return Simultaneous(max(float(last), NormalDist().inv_cdf((1 + confidence) / 2)), tuple(beyond))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p values (Holm 1979), in the order given: the k-th smallest of m times (m - k + 1), never falling."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, position in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, (len(p_values) - rank) * p_values[position])
        adjusted[position] = min(1.0, largest)
    return adjusted


def group_interval(sums: Floats, sizes: Floats, reach: float = NormalDist().inv_cdf((1 + CONFIDENCE) / 2),
                   half_step: float = 0.0, total: float | None = None) -> Interval | None:
    """Compute the interval of a mean over photos whose sums over groups are known: all m that |T| does not refuse.

    T(m) = sum (v_g - m n_g) / sqrt(sum (v_g - m n_g)^2) is T of the values less m. With G groups of equal size the ends
    are mean +- s reach / sqrt(G - reach^2), s being the standard deviation of the groups' means: a t interval.

    Args:
        sums: (G,) sums of the value. sizes: (G,) numbers of photos, or ones where each group counts alike.
        reach: how large |T| may be.
        half_step: by how much the total may be off before |T| counts (see `Family.half_steps`).
        total: of the value; by default the sum of `sums`.

    Returns:
        None where groups are too few to refuse any mean (G <= reach^2), or all have the same mean: how far others
        would scatter is unknown then.
    """
    # (S -+ half a step - m N)^2 = reach^2 (A - 2 m B + m^2 C), S - m N being the total less what m asks for
    total, photos = float(sums.sum()) if total is None else total, float(sizes.sum())
    square, cross, squares = float((sums**2).sum()), float((sums * sizes).sum()), float((sizes**2).sum())
    lead = photos**2 - reach**2 * squares
    off = sums - total / photos * sizes
    if lead <= _ALIKE * photos**2 or float((off**2).sum()) <= _ALIKE**2 * square:
        return None

    def end(sign: int) -> float:
        moved = total + sign * half_step
        middle = moved * photos - reach**2 * cross
        return (middle + sign * math.sqrt(max(middle**2 - lead * (moved**2 - reach**2 * square), 0.0))) / lead

    return Interval(end(-1), end(1), "t")
