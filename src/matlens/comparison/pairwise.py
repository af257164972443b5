"""Pairs of models that answered the same photos: which differences are real, and how many photos would tell the others.

What counts is the photos that one model gets right and the other wrong; those that both get right, or both wrong, say
nothing of which is better. So a pair can be told apart whose intervals overlap widely.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from matlens.evaluation.intervals import CONFIDENCE, DRAWS, SEED, Interval, from_draws
from matlens.evaluation.predictions import Predictions

ALPHA, POWER = 0.05, 0.8


@dataclass(frozen=True)
class PairedTest:
    """Two models on the same `n_photos`.

    both_right, only_first, only_second, both_wrong: photos by who is right.
    difference: accuracy of the first less that of the second, and its paired bootstrap `interval` (None where no photo
        tells the two apart).
    p_value: of McNemar's exact test; p_holm: corrected for the number of pairs.
    photos_needed: test photos that would tell the two apart with a power of 80 %, if they differ as they do here, at
        the level at which Holm's procedure ended; None where they are told apart, or equally often right.
    """

    first: str
    second: str
    n_photos: int
    both_right: int
    only_first: int
    only_second: int
    both_wrong: int
    difference: float
    interval: Interval | None
    p_value: float
    p_holm: float
    photos_needed: int | None

    @property
    def is_real(self) -> bool:
        """Whether the two are told apart at 5 %, all pairs taken together."""
        return self.p_holm < ALPHA

    def to_json(self) -> dict[str, Any]:
        """Return the fields, and `is_real`."""
        return asdict(self) | {"is_real": self.is_real}

    def sentence(self) -> str:
        """Say which is better, by how much, and how sure that is."""
        sign = 1 if self.difference >= 0 else -1
        better, worse = (self.first, self.second)[::sign]
        p = f"p {p_words(self.p_holm)}"
        if not self.difference:
            return f"{better} and {worse} are right equally often: nothing tells them apart, {p}."
        by = f"{points(abs(self.difference))} points"
        if self.interval:
            low, high = sorted(sign * end for end in (self.interval.low, self.interval.high))
            by += f" ({points(low)} to {points(high)})"
        if self.is_real:
            return f"{better} is better than {worse} by {by}, {p}."
        return (f"{better} is not told apart from {worse}: {by}, {p}. If they differ by that much, about "
                f"{_rounded(self.photos_needed or 0):,} test photos would show it.")


@dataclass(frozen=True)
class Pairwise:
    """All pairs of models, and sentences on those that could not be compared photo by photo."""

    tests: tuple[PairedTest, ...]
    refused: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return {pairwise: [...], not_compared: [...]}."""
        return {"pairwise": [test.to_json() for test in self.tests], "not_compared": list(self.refused)}

    def between(self, first: str, second: str) -> PairedTest | None:
        """Return the test of two models, in either order."""
        return next((test for test in self.tests if {test.first, test.second} == {first, second}), None)


def p_words(p_value: float) -> str:
    """Write a p value as '= 0.576', or '< 0.001': no test is so sure that it could be 0."""
    return f"= {p_value:.3f}" if p_value >= 0.001 else "< 0.001"


def points(share: float) -> str:
    """Write a difference of shares in percentage points: 0.0321 as '3.2'."""
    return f"{100 * share + 0.0:.1f}".replace("-0.0", "0.0")


def _rounded(count: int) -> int:
    """Round up to two digits that count: 1,234 to 1,300."""
    unit = int(10 ** max(len(str(count)) - 2, 0))
    return -(-count // unit) * unit


def mcnemar(only_first: int, only_second: int) -> float:
    """Compute the two-sided p of McNemar's exact test.

    If two models are equally good, each gets half of the photos that one of them alone gets right.

    The binomial of McNemar 1947 (doi:10.1007/BF02295996): min(1, 2 P(X <= min(b, c))), X of b + c trials at 1/2.
    """
    from scipy.special import bdtr

    return min(1.0, 2 * float(bdtr(min(only_first, only_second), only_first + only_second, 0.5)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p values (Holm 1979), in the order given: the k-th smallest of m times (m - k + 1), never falling."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, position in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, (len(p_values) - rank) * p_values[position])
        adjusted[position] = min(1.0, largest)
    return adjusted


def photos_needed(only_first: float, only_second: float, alpha: float = ALPHA, power: float = POWER) -> int | None:
    """Compute how many photos let McNemar's test see a difference: n = (z_a sqrt(d) + z_b sqrt(d - e^2))^2 / e^2.

    d = only_first + only_second and e = only_first - only_second are shares of photos, z_a and z_b the normal quantiles
    of 1 - alpha / 2 and of the power (Connor 1987, doi:10.2307/2531961). None where e is 0.
    """
    discordant, difference = only_first + only_second, only_first - only_second
    if difference == 0:
        return None
    z_alpha, z_power = NormalDist().inv_cdf(1 - alpha / 2), NormalDist().inv_cdf(power)
    root = z_alpha * math.sqrt(discordant) + z_power * math.sqrt(max(discordant - difference**2, 0))
    return math.ceil((root / difference) ** 2)


def difference_interval(n: int, only_first: int, only_second: int, *, draws: int = DRAWS, seed: int = SEED,
                        confidence: float = CONFIDENCE) -> Interval | None:
    """Compute the BCa interval of a difference of accuracies, photos drawn in pairs.

    A photo adds 1, -1 or 0, so how many of each are drawn is multinomial: the same as drawing photos, at once.
    """
    counts = np.array([only_first, only_second, n - only_first - only_second])
    drawn = np.random.default_rng(seed).multinomial(n, counts / n, size=draws)
    difference = (only_first - only_second) / n
    of_photo = np.repeat([1.0, -1.0, 0.0], counts)
    left = (only_first - only_second - of_photo) / (n - 1) if n > 1 else None
    return from_draws((drawn[:, 0] - drawn[:, 1]) / n, difference, left, confidence)


def pairwise(judged: Mapping[str, Predictions], split_hashes: Mapping[str, str] | None = None,
             refused: Sequence[str] = ()) -> Pairwise:
    """Test all pairs of models that answered the same photos of the same split, in the order given.

    Args:
        judged: predictions by the model's name.
        split_hashes: of the splits that they are of, where known.
        refused: sentences on models that are not among `judged`.
    """
    hashes, notes, tables = split_hashes or {}, list(refused), {}
    for first, second in combinations(judged, 2):
        right = None if hashes.get(first) != hashes.get(second) else _right(judged[first], judged[second])
        if right is None:
            notes.append(f"{first} and {second} were not judged on the same photos of the same split, so they cannot "
                         "be compared photo by photo.")
            continue
        tables[first, second] = [int(np.sum(photos)) for photos in (
            right[0] & right[1], right[0] & ~right[1], ~right[0] & right[1], ~right[0] & ~right[1])]
    p_values = [mcnemar(b, c) for _, b, c, _ in tables.values()]
    adjusted = holm(p_values)
    alpha = ALPHA / max(sum(p >= ALPHA for p in adjusted), 1)  # where Holm's steps came to a halt
    tests = []
    for ((first, second), (both, b, c, neither)), p, p_holm in zip(tables.items(), p_values, adjusted, strict=True):
        n = both + b + c + neither
        tests.append(PairedTest(first, second, n, both, b, c, neither, (b - c) / n, difference_interval(n, b, c), p,
                                p_holm, None if p_holm < ALPHA else photos_needed(b / n, c / n, alpha)))
    return Pairwise(tuple(tests), tuple(notes))


def _right(first: Predictions, second: Predictions,
           ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]] | None:
    """Mark the photos that each gets right, in the first's order; None where photos or labels differ."""
    place = {path: row for row, path in enumerate(second.paths)}
    if len(place) != len(first.paths) or not first.paths or set(place) != set(first.paths):
        return None
    rows = np.array([place[path] for path in first.paths])
    if not np.array_equal(first.labels, second.labels[rows]):
        return None
    return first.predicted == first.labels, second.predicted[rows] == first.labels
