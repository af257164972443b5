"""How often methods that are equally good are told apart, and how often the interval of a method holds the truth.

    python benchmarks/simulate_seeds.py                    # 2,000 test parts of each kind: some ten minutes
    python benchmarks/simulate_seeds.py --replications 200 --photos 431 --groups 1 5 --seeds 3 10

Each replication draws a test part, whose photos are hard or easy for all methods alike, and trainings of each method,
whose accuracies (85 % on average) have a standard deviation of 1.2 percentage points over seeds. By chance a photo is
answered otherwise with another seed; `--by-chance` says for what share of its difficulty. Photos of a group are alike.
Fewer seeds and fewer methods are the first of more, on the same test parts.

false: the share of replications in which matlens calls any of the equal methods better, after Holm's correction; at
most 5 % is promised. power: that it calls the first better, if it is, by 3 points. covered: that the 95 % interval of
the first method's accuracy holds its true one, and how wide it is. one seed: the share in which McNemar's exact test
tells two trainings of equal methods apart, one of each; it answers another question.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass, field
from itertools import combinations
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from matlens.evaluation.inference.paired import mcnemar
from matlens.evaluation.inference.planning import ALPHA
from matlens.evaluation.inference.seeds import SeedScores, accuracy_of_seeds, difference_of_methods

PHOTOS, GROUPS, SEEDS, METHODS = (60, 431, 5750), (1, 2, 5, 10, 88), (2, 3, 5, 10), (2, 4, 6)
ACCURACY, DEVIATION, LEAD = 0.85, 0.012, 0.03
IN_COMMON, IN_GROUP = 0.6, 0.8
"""Shares of a photo's difficulty that all methods, and that alike photos, have in common."""

_NORMAL = NormalDist()


@dataclass(frozen=True)
class Situation:
    """What is simulated: photos in groups of `group`, and the share of difficulty `by_chance`."""

    photos: int
    group: int = 1
    by_chance: float = 0.3


@dataclass
class Outcome:
    """Replications of so many seeds in which something holds: see the module. false: by the number of methods."""

    replications: int
    false: dict[int, int] = field(default_factory=dict)
    power: int = 0
    covered: int = 0
    estimable: int = 0
    width: float = 0.0
    one_seed: int = 0


def draw(situation: Situation, seeds: int, accuracy: float, rng: np.random.Generator,
         common: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Return whether each seed of a method is right on each photo: (S, n)."""
    level = _NORMAL.inv_cdf(accuracy)
    of_seed = DEVIATION / _NORMAL.pdf(level)
    own = np.sqrt(IN_COMMON) * common + np.sqrt(1 - IN_COMMON) * difficulty(situation, rng)
    chance = rng.standard_normal(size=(seeds, situation.photos), dtype=np.float32)
    difficult = math.sqrt(1 - situation.by_chance) * own + math.sqrt(situation.by_chance) * chance
    return np.asarray(level * math.sqrt(1 + of_seed**2) + of_seed * rng.normal(size=(seeds, 1)) > difficult)


def difficulty(situation: Situation, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return what makes photos hard, (n,), alike within a group."""
    alone = rng.normal(size=situation.photos)
    if situation.group == 1:
        return alone
    group = np.arange(situation.photos) // situation.group
    return np.asarray(math.sqrt(IN_GROUP) * rng.normal(size=group[-1] + 1)[group] + math.sqrt(1 - IN_GROUP) * alone)


def simulate(situation: Situation, seeds: tuple[int, ...], methods: tuple[int, ...], replications: int,
             ) -> dict[int, Outcome]:
    """Draw test parts and trainings, and count, by the number of seeds."""
    group = np.arange(situation.photos) // situation.group
    outcomes = {s: Outcome(replications, dict.fromkeys(methods, 0)) for s in seeds}
    rng = np.random.default_rng([situation.photos, situation.group, round(100 * situation.by_chance)])
    for _ in range(replications):
        common = difficulty(situation, rng)
        right = [draw(situation, max(seeds), ACCURACY, rng, common) for _ in range(max(methods))]
        better = draw(situation, max(seeds), ACCURACY + LEAD, rng, common)
        first, second = right[0][0], right[1][0]
        one_seed = mcnemar(int((first & ~second).sum()), int((second & ~first).sum())) < ALPHA
        for s, outcome in outcomes.items():
            scores = [accuracy_of_seeds(answers[:s], group) for answers in right]
            for m in methods:
                pairs = list(combinations(scores[:m], 2))
                outcome.false[m] += any(told_apart(*pair, ALPHA / len(pairs)) for pair in pairs)
            outcome.power += told_apart(accuracy_of_seeds(better[:s], group), scores[0], ALPHA)
            outcome.one_seed += one_seed
            if ends := scores[0].interval():
                outcome.estimable += 1
                outcome.covered += ends[0] <= ACCURACY <= ends[1]
                outcome.width += ends[1] - ends[0]
    return outcomes


def told_apart(first: SeedScores, second: SeedScores, level: float) -> bool:
    """Tell whether two methods are told apart at a level, which is where their p value is below it.

    Of several pairs any is told apart by Holm's procedure exactly where one is at the level of its first step.
    """
    difference, two_way = difference_of_methods(first, second, shared_seeds=True)
    ends = two_way.interval(difference, 1 - level)
    return ends is not None and not ends[0] <= 0 <= ends[1]


def main() -> None:
    """Print a line for each situation and number of seeds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replications", type=int, default=2000)
    for name, values in (("photos", PHOTOS), ("groups", GROUPS), ("seeds", SEEDS), ("methods", METHODS)):
        parser.add_argument(f"--{name}", type=int, nargs="+", default=values)
    parser.add_argument("--by-chance", type=float, default=0.3)
    given = parser.parse_args()
    started = time.process_time()
    print("| photos | in groups of | groups | seeds | "
          + " | ".join(f"false, {m} methods" if m == given.methods[0] else str(m) for m in given.methods)
          + " | power | covered (width) | one seed |\n" + "| ---: " * (7 + len(given.methods)) + "|")
    for photos in given.photos:
        for group in given.groups:
            situation = Situation(photos, group, given.by_chance)
            for seeds, outcome in simulate(situation, tuple(given.seeds), tuple(given.methods), given.replications,
                                           ).items() if group < photos else ():
                n, known = outcome.replications, outcome.estimable
                print(f"| {photos:,} | {group} | {-(-photos // group):,} | {seeds} | "
                      + " | ".join(f"{100 * count / n:.1f}" for count in (*outcome.false.values(), outcome.power))
                      + " | " + (f"{100 * outcome.covered / known:.1f} ({100 * outcome.width / known:.1f})" if known
                                 else "not estimable") + f" | {100 * outcome.one_seed / n:.1f} |", flush=True)
    print(f"{given.replications:,} test parts of each situation, {(time.process_time() - started) / 60:.1f} minutes of "
          "one core")


if __name__ == "__main__":
    main()
