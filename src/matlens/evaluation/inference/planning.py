"""How many photos would tell two models apart, how sure that number is, and how much another seed would move them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from matlens.evaluation.intervals import CONFIDENCE, Interval

ALPHA, POWER = 1 - CONFIDENCE, 0.8
MOST_TIMES = 100
"""A test part more than so many times as large is nobody's plan: then no number is given."""


@dataclass(frozen=True)
class PhotosNeeded:
    """Test photos that would tell two models apart, in photos and, where they are in groups, in groups.

    photos: if they differ as they do here; None where that is more than MOST_TIMES as many as there are.
    fewest, most: if they differ as much, or as little, as the interval of the difference at one standard error says;
        None where that is without end (most), or beyond MOST_TIMES.
    groups: of the size that they have here.
    """

    photos: int | None
    fewest: int | None
    most: int | None
    groups: int | None = None


def photos_needed(only_first: float, only_second: float, alpha: float = ALPHA, power: float = POWER) -> int | None:
    """Compute how many photos let McNemar's test see a difference: n = (z_a sqrt(d) + z_b sqrt(d - e^2))^2 / e^2.

    d = only_first + only_second and e = only_first - only_second are shares of photos, z_a and z_b the normal quantiles
    of 1 - alpha / 2 and of the power (Connor 1987, doi:10.2307/2531961). None where e is 0.
    """
    return _needed(only_first + only_second, only_first - only_second, alpha, power)


def _needed(discordant: float, difference: float, alpha: float = ALPHA, power: float = POWER) -> int | None:
    if difference == 0:
        return None
    z_alpha, z_power = NormalDist().inv_cdf(1 - alpha / 2), NormalDist().inv_cdf(power)
    root = z_alpha * math.sqrt(discordant) + z_power * math.sqrt(max(discordant - difference**2, 0))
    return math.ceil((root / difference) ** 2)


def plan(only_first: int, only_second: int, n: int, reach: float, likely: Interval | None, effect: float = 1.0,
         groups: int | None = None) -> PhotosNeeded | None:
    """Say how many photos would tell two models apart with a power of 80 %.

    Args:
        only_first, only_second: of `n` photos, those that one model alone gets right.
        reach: of the simultaneous intervals, which is what a difference has to exceed.
        likely: the interval of the difference at one standard error.
        effect: the design effect of the difference: so many times the photos are needed.
        groups: the number of groups, where photos are in groups. The plan then asks for more than there are, since
            these did not tell the two apart.

    Returns:
        None where the two are right equally often.
    """
    apart, alpha = (only_first + only_second) / n, 2 * (1 - NormalDist().cdf(reach))
    least = 0 if groups is None else n + 1

    def of(difference: float) -> int | None:
        needed = _needed(max(apart, abs(difference)), difference, alpha)
        photos = None if needed is None else max(math.ceil(effect * needed), least)
        return photos if photos is not None and photos <= MOST_TIMES * n else None

    if only_first == only_second:
        return None
    photos = of((only_first - only_second) / n)
    fewest = most = None
    if likely is not None:
        near, far = sorted((abs(likely.low), abs(likely.high)))
        fewest, most = of(far), None if likely.low <= 0 <= likely.high else of(near)
    return PhotosNeeded(photos, fewest, most, math.ceil(photos * groups / n) if photos and groups else None)


def seed_spread(error: float, n: float) -> float:
    """Estimate by how much (standard deviation) accuracy on n independent test photos varies between seeds.

    sqrt(error rate / (2 n)), in closed form for two classes where the runs' mean answers are calibrated and they err
    independently of each other on each photo, as trainings of standard networks do closely (Jordan 2024,
    arXiv:2304.01910). It is a first guess: the spread of a series of seeds is better, and small training sets vary
    more. An error rate below that of one photo cannot be seen on n photos, and counts as it.
    """
    return math.sqrt(max(error, 1 / n) / (2 * n))
