"""How often methods that are equally good are told apart, and how often the interval of a method holds the truth.

    python benchmarks/simulate_seeds.py [--replications 2000] [--photos 60 431 5750] [--seeds 2 3 5 10] [--methods 2]

Each replication draws a test part, whose photos are hard or easy for all methods alike, and trainings of each method,
whose accuracies (85 % on average) have a standard deviation of 1.2 percentage points over seeds. By chance a photo is
answered otherwise with another seed; `--by-chance` says for what share of its difficulty. `--group` photos are alike.

false: the share of replications in which matlens calls any of the equal methods better, after Holm's correction; at
most 5 % is promised. power: that it calls the first better, if it is, by 3 points. covered: that the 95 % interval of
the first method's accuracy holds its true one. one seed: the share in which McNemar's exact test tells two trainings
of equal methods apart, one of each; it answers another question.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from itertools import combinations, product
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from matlens.comparison.methods import holm
from matlens.evaluation.inference.paired import mcnemar
from matlens.evaluation.inference.planning import ALPHA
from matlens.evaluation.inference.seeds import SeedScores, accuracy_of_seeds, difference_of_methods

ACCURACY, DEVIATION, LEAD = 0.85, 0.012, 0.03
IN_COMMON, IN_GROUP = 0.6, 0.8
"""Shares of a photo's difficulty that all methods, and that alike photos, have in common."""

_NORMAL = NormalDist()


@dataclass(frozen=True)
class Situation:
    """What is simulated: photos in groups of `group`, seeds, methods, and the share of difficulty `by_chance`."""

    photos: int
    seeds: int
    methods: int = 2
    by_chance: float = 0.3
    group: int = 1


@dataclass(frozen=True)
class Outcome:
    """Shares of replications: see the module."""

    false: float
    power: float
    covered: float
    one_seed: float


def draw(situation: Situation, accuracy: float, rng: np.random.Generator, common: npt.NDArray[np.float64],
         ) -> npt.NDArray[np.bool_]:
    """Return whether each seed of a method is right on each photo: (S, n)."""
    level = _NORMAL.inv_cdf(accuracy)
    of_seed = DEVIATION / _NORMAL.pdf(level)
    own = np.sqrt(IN_COMMON) * common + np.sqrt(1 - IN_COMMON) * difficulty(situation, rng)
    chance = rng.normal(size=(situation.seeds, situation.photos))
    difficult = math.sqrt(1 - situation.by_chance) * own + math.sqrt(situation.by_chance) * chance
    return np.asarray(level * math.sqrt(1 + of_seed**2) + of_seed * rng.normal(size=(situation.seeds, 1)) > difficult)


def difficulty(situation: Situation, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return what makes photos hard, (n,), alike within a group."""
    alone = rng.normal(size=situation.photos)
    if situation.group == 1:
        return alone
    group = np.arange(situation.photos) // situation.group
    return np.asarray(math.sqrt(IN_GROUP) * rng.normal(size=group[-1] + 1)[group] + math.sqrt(1 - IN_GROUP) * alone)


def simulate(situation: Situation, replications: int) -> Outcome:
    """Draw test parts and trainings, and count."""
    group = np.arange(situation.photos) // situation.group
    false = power = covered = one_seed = 0
    for replication in range(replications):
        rng = np.random.default_rng([replication, situation.photos, situation.seeds])
        common = difficulty(situation, rng)
        right = [draw(situation, ACCURACY, rng, common) for _ in range(situation.methods)]
        better = draw(situation, ACCURACY + LEAD, rng, common)
        scores = [accuracy_of_seeds(answers, group) for answers in right]
        false += min(holm([_p(first, second) for first, second in combinations(scores, 2)])) < ALPHA
        power += _p(accuracy_of_seeds(better, group), scores[0]) < ALPHA
        ends = scores[0].interval()
        covered += ends is not None and ends[0] <= ACCURACY <= ends[1]
        first, second = right[0][0], right[1][0]
        one_seed += mcnemar(int((first & ~second).sum()), int((second & ~first).sum())) < ALPHA
    return Outcome(*(count / replications for count in (false, power, covered, one_seed)))


def _p(first: SeedScores, second: SeedScores) -> float:
    difference, two_way = difference_of_methods(first, second, shared_seeds=True)
    return two_way.p_value(difference)


def main() -> None:
    """Print a line for each situation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replications", type=int, default=2000)
    for name, values in (("photos", [60, 431, 5750]), ("seeds", [2, 3, 5, 10]), ("methods", [2]), ("group", [1])):
        parser.add_argument(f"--{name}", type=int, nargs="+", default=values)
    parser.add_argument("--by-chance", type=float, default=0.3)
    given = parser.parse_args()
    print(f"{given.replications} replications; {100 * given.by_chance:.0f} % of difficulty by chance")
    print("photos  group  seeds  methods  false %  power %  covered %  one seed %")
    for photos, group, seeds, methods in product(given.photos, given.group, given.seeds, given.methods):
        outcome = simulate(Situation(photos, seeds, methods, given.by_chance, group), given.replications)
        print(f"{photos:>6} {group:>6} {seeds:>6} {methods:>8} {100 * outcome.false:>8.1f} {100 * outcome.power:>8.1f} "
              f"{100 * outcome.covered:>10.1f} {100 * outcome.one_seed:>11.1f}", flush=True)


if __name__ == "__main__":
    main()
