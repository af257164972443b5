"""Simulate test parts whose true scores are known: how often intervals hold them, and how often a tie is called real.

    python benchmarks/simulate_intervals.py                # all cells, 2,000 test parts each
    python benchmarks/simulate_intervals.py --parts 200 --sizes 60 --groups 1 2

A photo's evidence for its class is normal: a part that it shares with its group (an alike scene), a part of its own,
and where models are compared, a part that all of them see. Half of the variance is the group's.
"""

from __future__ import annotations

import argparse
from functools import cache, partial
from statistics import NormalDist
from typing import Any

import numpy as np

from matlens.comparison.pairwise import pairwise
from matlens.evaluation.inference.bootstrap import Quantity, group_bootstrap
from matlens.evaluation.inference.choosing import winners_optimism
from matlens.evaluation.inference.groups import Groups
from matlens.evaluation.metrics.metric import METRICS
from matlens.evaluation.metrics.weighted import PredictedPhotos, WeightedPhotos
from matlens.evaluation.predictions import Predictions

SIZES, GROUP_SIZES, MODELS = (60, 431, 5750), (1, 2, 5, 10, 88), (2, 4, 6)
SCORES = ("accuracy", "macro_f1", "macro_auc")
QUANTITIES = {name: Quantity(METRICS[name].bounds, METRICS[name].of_classes) for name in SCORES}
CLASSES, DISTANCE, SHARED = 3, 1.6, 0.5
"""Classes; by how many standard deviations the true class's evidence is ahead; the share of variance of a group."""
SEEN_BY_ALL = 0.6
"""The share of variance that is the photo's (or its group's) rather than the model's."""
DRAWS = 400


def group_numbers(n: int, size: int) -> np.ndarray:
    """Number the groups of n photos, `size` in each but the last."""
    return np.arange(n) // size


def evidence(rng: np.random.Generator, groups: np.ndarray, columns: int) -> np.ndarray:
    """Draw standard normal numbers (N, columns) with the correlation SHARED inside a group."""
    of_group = rng.normal(size=(groups.max() + 1, columns))
    own = rng.normal(size=(len(groups), columns))
    return np.sqrt(SHARED) * of_group[groups] + np.sqrt(1 - SHARED) * own


def drawn_part(rng: np.random.Generator, n: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw a test part: probabilities (N, C), labels, groups; a group is of one class, classes take turns."""
    groups = group_numbers(n, size)
    labels = groups % CLASSES if size > 1 else np.arange(n) % CLASSES
    raised = np.exp(evidence(rng, groups, CLASSES) + DISTANCE * np.eye(CLASSES)[labels])
    return raised / raised.sum(axis=1, keepdims=True), labels, groups


def _scores(photos: PredictedPhotos, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Compute the simulated scores as a run does."""
    weighted = WeightedPhotos(photos, weights)
    return {name: METRICS[name].weighted(weighted) for name in SCORES}


@cache
def truth() -> dict[str, float]:
    """Compute the true scores: of so many independent photos that they are off by less than 0.0005."""
    rng, n = np.random.default_rng(0), 1_000_002
    probabilities, labels, _ = drawn_part(rng, n, 1)
    return {name: float(value[0]) for name, value in _scores(PredictedPhotos(probabilities, labels), np.ones((n,
    1))).items()}


def intervals_hold(n: int, size: int, seed: int, parts: int, draws: int = DRAWS) -> dict[str, Any]:
    """Count in how many test parts each score's interval holds the true score, and how wide it is."""
    rng, true = np.random.default_rng([seed, n, size]), truth()
    held, width, none = dict.fromkeys(SCORES, 0), dict.fromkeys(SCORES, 0.0), dict.fromkeys(SCORES, 0)
    for part in range(parts):
        probabilities, labels, groups = drawn_part(rng, n, size)
        photos = PredictedPhotos(probabilities, labels)
        found = group_bootstrap(partial(_scores, photos), Groups.of(groups), labels, QUANTITIES, draws=draws, seed=part)
        for name in SCORES:
            interval = found[name][0]
            if interval is None:
                none[name] += 1
                continue
            held[name] += interval.low <= true[name] <= interval.high
            width[name] += interval.high - interval.low
    return {"parts": parts, "held": held, "width": width, "none": none}


def right_answers(rng: np.random.Generator, n: int, size: int, models: int, lead: float = 0.0,
                  ) -> tuple[np.ndarray, np.ndarray]:
    """Draw which photos models get right, (N, K), and the groups; the first model is ahead by `lead` in evidence."""
    groups = group_numbers(n, size)
    seen = evidence(rng, groups, 1)
    own = evidence(rng, groups, models)
    total = np.sqrt(SEEN_BY_ALL) * seen + np.sqrt(1 - SEEN_BY_ALL) * own
    return total < 0.9 + lead * (np.arange(models) == 0), groups


def predictions(right: np.ndarray, groups: np.ndarray) -> dict[str, Predictions]:
    """Put right and wrong answers into predictions of two classes."""
    paths = tuple(map(str, range(len(right))))
    labels = np.zeros(len(right), np.int64)
    return {f"m{k}": Predictions(np.eye(2, dtype=np.float32)[np.where(right[:, k], 0, 1)], labels, paths,
                                 digests=paths, together=groups) for k in range(right.shape[1])}


@cache
def true_difference(lead: float) -> float:
    """Return the true difference of accuracy that a lead in evidence makes."""
    return NormalDist().cdf(0.9 + lead) - NormalDist().cdf(0.9)


def differences_hold(n: int, size: int, models: int, seed: int, parts: int, lead: float = 0.0) -> dict[str, Any]:
    """Count parts in which any tie is called real, the first model's lead is seen, and intervals hold the truth."""
    rng, true = np.random.default_rng([seed, n, size, models, round(1000 * lead)]), true_difference(lead)
    wrong = seen = held = all_held = none = 0
    for _ in range(parts):
        right, groups = right_answers(rng, n, size, models, lead)
        tests = pairwise(predictions(right, groups)).tests
        ahead = [test for test in tests if test.first == "m0"]
        level = tests if not lead else [test for test in tests if test.first != "m0"]
        wrong += any(test.is_real for test in level)
        seen += ahead[0].is_real and ahead[0].difference > 0
        first = ahead[0].interval
        none += first is None
        held += first is not None and first.low <= true <= first.high
        all_held += all(test.interval is None or test.interval.low <= (true if test.first == "m0" else 0)
                        <= test.interval.high for test in tests)
    return {"parts": parts, "wrong": wrong, "seen": seen, "held": held, "all_held": all_held, "none": none}


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


def table_of_scores(sizes: list[int], group_sizes: list[int], parts: int, seed: int) -> None:
    """Print how often the intervals of scores hold the truth, and their mean width in points."""
    print("| photos | group | groups | accuracy | macro F1 | macro AUC |\n| ---: | ---: | ---: | ---: | ---: | ---: |")
    for n in sizes:
        for size in group_sizes:
            if size < n:
                found = intervals_hold(n, size, seed, parts)
                print(f"| {n:,} | {size} | {-(-n // size):,} | " + " | ".join(
                    _cell(found["held"][name], parts - found["none"][name], found["width"][name])
                    for name in SCORES) + " |", flush=True)


def _cell(held: int, parts: int, width: float) -> str:
    return f"{100 * held / parts:.1f} % ({100 * width / parts:.1f})" if parts else "not estimable"


def table_of_differences(sizes: list[int], group_sizes: list[int], parts: int, seed: int, lead: float) -> None:
    """Print how often any of equal models is called better, and of two models one that is, and how intervals hold."""
    points = 100 * true_difference(lead)
    print(f"| photos | group | false \"better\", 2 models | 4 | 6 | a difference of {points:.1f} points is seen | "
          "its interval holds it |\n" + "| ---: " * 7 + "|")
    for n in sizes:
        for size in group_sizes:
            if size < n:
                level = [differences_hold(n, size, models, seed, parts)["wrong"] / parts for models in MODELS]
                ahead = differences_hold(n, size, 2, seed, parts, lead)
                known = parts - ahead["none"]
                print(f"| {n:,} | {size} | " + " | ".join(f"{100 * share:.1f} %" for share in level)
                      + f" | {100 * ahead['seen'] / parts:.1f} % | "
                      + (f"{100 * ahead['held'] / known:.1f} %" if known else "not estimable") + " |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", type=int, default=2000, help="simulated test parts of each cell")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="photos")
    parser.add_argument("--groups", type=int, nargs="+", default=GROUP_SIZES, help="photos of a group")
    parser.add_argument("--only", choices=["scores", "differences", "winners"], help="one of the tables")
    parser.add_argument("--lead", type=float, default=0.3, help="how far a model is ahead, in deviations")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if given.only in (None, "scores"):
        table_of_scores(given.sizes, given.groups, given.parts, given.seed)
    if given.only in (None, "differences"):
        table_of_differences(given.sizes, given.groups, given.parts, given.seed, given.lead)
    if given.only in (None, "winners"):
        print("| photos | group | models | differing by | too high, points | after correction |")
        print("| ---: " * 6 + "|")
        for n in given.sizes:
            for size in given.groups:
                for models, spread in ((2, 0.0), (10, 0.0), (10, 0.15)) if size < n else ():
                    found = winners_are_corrected(n, size, models, given.seed, given.parts, spread)
                    print(f"| {n:,} | {size} | {models} | {spread:g} | {100 * found['before']:.2f} | "
                          f"{100 * found['after']:.2f} |", flush=True)


if __name__ == "__main__":
    main()
