"""Simulate test parts whose true scores are known: how often intervals hold them, and how often a tie is called real.

    python benchmarks/simulate_intervals.py                # 2,000 test parts of each kind: a quarter of an hour
    python benchmarks/simulate_intervals.py --parts 200 --sizes 60 --groups 1 2

A photo's evidence for its class is normal: a part that it shares with its group (an alike scene), a part of its own,
and where models are compared, a part that all of them see. Half of the variance is the group's.

The intervals and tests are those of matlens. What is quicker here than in a run: all parts of a cell share the draws
(`simulated_scores`), and a pair whose statistic is small, which no procedure at 5 % calls real, is not tested further.
"""

from __future__ import annotations

import argparse
import math
import time
from functools import cache
from statistics import NormalDist
from typing import Any

import numpy as np
from simulated_scores import SimulatedParts

from matlens.comparison.paired_test import PairedTest
from matlens.comparison.pairwise import SamePhotos
from matlens.evaluation.inference.choosing import winners_optimism
from matlens.evaluation.inference.groups import Groups
from matlens.evaluation.inference.simultaneous import simultaneous
from matlens.evaluation.metrics.metric import METRICS
from matlens.evaluation.metrics.weighted import PredictedPhotos, WeightedPhotos

SIZES, GROUP_SIZES, MODELS = (60, 431, 5750), (1, 2, 5, 10, 88), (2, 4, 6)
SCORES = ("accuracy", "macro_f1", "macro_auc")
QUANTITIES = {name: METRICS[name].quantity for name in SCORES}
CLASSES, DISTANCE, SHARED = 3, 1.6, 0.5
"""Classes; by how many standard deviations the true class's evidence is ahead; the share of variance of a group."""
SEEN_BY_ALL = 0.6
"""The share of variance that is the photo's (or its group's) rather than the model's."""
DRAWS = 400
"""For an interval; a run makes 2,000. Fewer cost a little coverage, so the figures here err to the safe side."""
NEVER_REAL = 1.85
"""Standard errors: a normal number alone lies beyond in 6.4 % of cases, the largest of several in more."""
_AT_ONCE = 50
"""Test parts, to bound memory."""


def group_numbers(n: int, size: int) -> np.ndarray:
    """Number the groups of n photos, `size` in each but the last."""
    return np.arange(n) // size


def evidence(rng: np.random.Generator, groups: np.ndarray, columns: int) -> np.ndarray:
    """Draw standard normal numbers (N, columns) with the correlation SHARED inside a group."""
    of_group = rng.normal(size=(groups.max() + 1, columns))
    if len(of_group) == len(groups):
        return of_group
    own = rng.normal(size=(len(groups), columns))
    return np.sqrt(SHARED) * of_group[groups] + np.sqrt(1 - SHARED) * own


def drawn_part(rng: np.random.Generator, n: int, size: int, distance: float = DISTANCE,
               ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw a test part: probabilities (N, C), labels, groups; a group is of one class, classes take turns."""
    groups = group_numbers(n, size)
    labels = groups % CLASSES if size > 1 else np.arange(n) % CLASSES
    raised = np.exp(evidence(rng, groups, CLASSES) + distance * np.eye(CLASSES)[labels])
    return raised / raised.sum(axis=1, keepdims=True), labels, groups


def _scores(photos: PredictedPhotos, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Compute the simulated scores as a run does."""
    weighted = WeightedPhotos(photos, weights)
    return {name: METRICS[name].weighted(weighted) for name in SCORES}


@cache
def truth(distance: float = DISTANCE) -> dict[str, float]:
    """Compute the true scores: of so many independent photos that they are off by less than 0.0005."""
    rng, n = np.random.default_rng(0), 1_000_002
    probabilities, labels, _ = drawn_part(rng, n, 1, distance)
    return {name: float(value[0]) for name, value in _scores(PredictedPhotos(probabilities, labels), np.ones((n,
    1))).items()}


def intervals_hold(n: int, size: int, seed: int, parts: int, draws: int = DRAWS, distance: float = DISTANCE,
                   ) -> dict[str, Any]:
    """Count in how many test parts each score's interval holds the true score, and how wide it is."""
    rng, true = np.random.default_rng([seed, n, size]), truth(distance)
    held, width, none = dict.fromkeys(SCORES, 0), dict.fromkeys(SCORES, 0.0), dict.fromkeys(SCORES, 0)
    _, labels, numbers = drawn_part(rng, n, size, distance)
    simulated = SimulatedParts(Groups.of(numbers), labels, draws)
    for first in range(0, parts, _AT_ONCE):
        some = range(first, min(first + _AT_ONCE, parts))
        probabilities = np.stack([drawn_part(rng, n, size, distance)[0] for _ in some])
        for sample in simulated.samples(probabilities):
            found = sample.intervals(labels, QUANTITIES)
            for name in SCORES:
                interval = found[name][0]
                if interval is None:
                    none[name] += 1
                    continue
                held[name] += interval.low <= true[name] <= interval.high
                width[name] += interval.high - interval.low
    return {"parts": parts, "held": held, "width": width, "none": none}


def right_answers(rng: np.random.Generator, n: int, size: int, models: int, lead: float = 0.0,
                  ) -> tuple[np.ndarray, Groups]:
    """Draw which photos models get right, (N, K), and the groups; the first model is ahead by `lead` in evidence."""
    groups = group_numbers(n, size)
    seen = evidence(rng, groups, 1)
    own = evidence(rng, groups, models)
    total = np.sqrt(SEEN_BY_ALL) * seen + np.sqrt(1 - SEEN_BY_ALL) * own
    return (total < 0.9 + lead * (np.arange(models) == 0)).astype(np.float64), Groups.of(groups)


def tests_of(groups: Groups, right: np.ndarray, least: float = NEVER_REAL) -> list[PairedTest]:
    """Test models in pairs, (N, K) 1 where one is right, as `pairwise` does, where the statistic reaches `least`."""
    photos = SamePhotos(tuple(f"m{k}" for k in range(right.shape[1])), groups, right.astype(np.int64),
                        np.ones(len(right), np.int64))  # of two classes, since only hits count here
    family = photos.family()
    statistics = np.abs(family.statistics())
    if statistics.max() < least:
        return []
    together = simultaneous([family])
    return [photos.test(*pair, together.reach, p, None)
            for pair, t, p in zip(photos.pairs, statistics, together.p_values[0].tolist(), strict=True) if t >= least]


@cache
def true_difference(lead: float) -> float:
    """Return the true difference of accuracy that a lead in evidence makes."""
    return NormalDist().cdf(0.9 + lead) - NormalDist().cdf(0.9)


def ties_are_told_apart(n: int, size: int, models: tuple[int, ...], seed: int, parts: int) -> dict[int, int]:
    """Count the parts in which any of so many equal models is called better; fewer models are the first of more."""
    rng, wrong = np.random.default_rng([seed, n, size]), dict.fromkeys(models, 0)
    for _ in range(parts):
        right, groups = right_answers(rng, n, size, max(models))
        for k in models:
            wrong[k] += any(test.is_real for test in tests_of(groups, right[:, :k]))
    return wrong


def leads_hold(n: int, size: int, seed: int, parts: int, lead: float) -> dict[str, int]:
    """Count parts in which the lead of the first of two models is seen, and in which its interval holds the truth."""
    rng, true = np.random.default_rng([seed, n, size, round(1000 * lead)]), true_difference(lead)
    seen = held = none = 0
    for _ in range(parts):
        (test,) = tests_of(*reversed(right_answers(rng, n, size, 2, lead)), least=-math.inf)
        seen += test.is_real and test.difference > 0
        none += test.interval is None
        held += test.interval is not None and test.interval.low <= true <= test.interval.high
    return {"parts": parts, "seen": seen, "held": held, "none": none}


def winners_are_corrected(n: int, size: int, models: int, seed: int, parts: int, spread: float = 0.0,
                          ) -> dict[str, float]:
    """Measure by how much the best of models is too high on the photos it was chosen on, before and after correction.

    spread: the standard deviation of the models' evidence; 0 where all are equally good.
    """
    rng = np.random.default_rng([seed, n, size, models, round(1000 * spread)])
    before = after = 0.0
    for _ in range(parts):
        leads = spread * rng.normal(size=models)
        groups = group_numbers(n, size)
        own = evidence(rng, groups, models)
        right = np.sqrt(SEEN_BY_ALL) * evidence(rng, groups, 1) + np.sqrt(1 - SEEN_BY_ALL) * own < 0.9 + leads
        accuracy, best = right.mean(axis=0), int(right.mean(axis=0).argmax())
        too_high = accuracy[best] - NormalDist().cdf(0.9 + leads[best])
        before += too_high / parts
        after += (too_high - winners_optimism(Groups.of(groups), right.astype(float)).expected) / parts
    return {"before": before, "after": after}


def table_of_scores(cells: list[tuple[int, int]], parts: int, seed: int, draws: int, distance: float) -> None:
    """Print how often the intervals of scores hold the truth, and their mean width in points."""
    print("| photos | in groups of | groups | accuracy | macro F1 | macro AUC |\n" + "| ---: " * 6 + "|")
    for n, size in cells:
        found = intervals_hold(n, size, seed, parts, draws, distance)
        known = {name: parts - found["none"][name] for name in SCORES}
        print(f"| {n:,} | {size} | {-(-n // size):,} | " + " | ".join(
            _share(found["held"][name], known[name], parts)
            + (f" ({100 * found['width'][name] / known[name]:.1f})" if known[name] else "") for name in SCORES) + " |",
            flush=True)


def table_of_differences(cells: list[tuple[int, int]], parts: int, seed: int, lead: float) -> None:
    """Print how often any of equal models is called better, and of two models one that is, and how intervals hold."""
    print("| photos | in groups of | groups | false \"better\", 2 models | 4 | 6 | "
          f"a difference of {100 * true_difference(lead):.1f} points is seen | its interval holds it |\n"
          + "| ---: " * 8 + "|")
    for n, size in cells:
        wrong, ahead = ties_are_told_apart(n, size, MODELS, seed, parts), leads_hold(n, size, seed, parts, lead)
        print(f"| {n:,} | {size} | {-(-n // size):,} | "
              + " | ".join(_share(count, parts, parts) for count in (*wrong.values(), ahead["seen"]))
              + f" | {_share(ahead['held'], parts - ahead['none'], parts)} |", flush=True)


def table_of_winners(cells: list[tuple[int, int]], parts: int, seed: int) -> None:
    """Print by how many points the best of several models is too high, and how much of that is left when corrected."""
    print("| photos | in groups of | models | differing by | too high, as measured | when corrected |\n"
          + "| ---: " * 6 + "|")
    for n, size in cells:
        for models, spread in ((2, 0.0), (10, 0.0), (10, 0.15)):
            found = winners_are_corrected(n, size, models, seed, parts, spread)
            print(f"| {n:,} | {size} | {models} | {spread:g} | {100 * found['before']:.2f} | "
                  f"{100 * found['after']:.2f} |", flush=True)


def _share(count: int, known: int, parts: int) -> str:
    """Write a share of the parts that tell; 'not estimable' where none does."""
    return f"{100 * count / known:.1f} %" + f" of {known:,}" * (known < parts) if known else "not estimable"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", type=int, default=2000, help="simulated test parts of each cell")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="photos")
    parser.add_argument("--groups", type=int, nargs="+", default=GROUP_SIZES, help="photos of a group")
    parser.add_argument("--only", choices=["scores", "differences", "winners"], help="one of the tables")
    parser.add_argument("--lead", type=float, default=0.3, help="how far a model is ahead, in deviations")
    parser.add_argument("--distance", type=float, default=DISTANCE, help="how far the true class is ahead")
    parser.add_argument("--draws", type=int, default=DRAWS, help="for each interval of a score")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    cells = [(n, size) for n in given.sizes for size in given.groups if size < n]
    started = time.process_time()
    if given.only in (None, "scores"):
        table_of_scores(cells, given.parts, given.seed, given.draws, given.distance)
    if given.only in (None, "differences"):
        table_of_differences(cells, given.parts, given.seed, given.lead)
    if given.only in (None, "winners"):
        table_of_winners(cells, given.parts, given.seed)
    print(f"{given.parts:,} test parts of each cell, {(time.process_time() - started) / 60:.1f} minutes of one core")


if __name__ == "__main__":
    main()
