"""Intervals and tests keep their promise on simulated test parts, in groups and not; numbers are in docs/evaluation.md.

The usual slow run draws few test parts of 60 and 431 photos; with MATLENS_ATTACKS=all it draws 2,000 of each size. All
limits are the promised ones, widened by 3.3 standard errors of so many test parts (1 in 1,000 at the limit itself).
"""

from __future__ import annotations

import math
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from matlens.comparison.pairwise import pairwise
from matlens.evaluation.inference.bootstrap import ENOUGH_TO_DRAW, resampled_scores
from matlens.evaluation.inference.groups import MANY, Groups
from matlens.evaluation.metrics.weighted import PredictedPhotos
from matlens.evaluation.predictions import Predictions
from scale import rounds

sys.path.append(str(Path(__file__).parents[3] / "benchmarks"))
import simulate_intervals as simulate
from simulated_scores import SimulatedParts

ALL = bool(rounds(0, 1))
SIZES = simulate.SIZES if ALL else (60, 431)
CELLS = [(n, size) for n in SIZES for size in simulate.GROUP_SIZES if size < n and (ALL or size in (1, 5, 88))]


def error(share: float, parts: int) -> float:
    """How far a share of so many simulated parts may be off."""
    return 3.3 * math.sqrt(share * (1 - share) / parts)


def holds(held: int, known: int, groups: int) -> bool:
    """95 +- 2 % from MANY groups on, at least 93 % below."""
    share = held / known
    return share >= 0.93 - error(0.93, known) and (groups < MANY or share <= 0.97 + error(0.97, known))


@pytest.mark.slow
@pytest.mark.parametrize(("n", "size"), CELLS)
def test_intervals_of_scores_hold_the_truth(n, size):
    """Accuracy, macro F1 and macro AUC; of five groups of 88 the means over classes are not estimable."""
    parts, groups = rounds(120, 2000), -(-n // size)
    found = simulate.intervals_hold(n, size, 1, parts)
    for name in simulate.SCORES:
        known = parts - found["none"][name]
        assert known == 0 or holds(found["held"][name], known, groups), (name, found)
        # Few groups may be answered without a mistake, and then tell no interval: 3 of 2,000 parts of 12 groups.
        assert known >= 0.99 * parts or groups < 2 * simulate.CLASSES, name


@pytest.mark.slow
@pytest.mark.parametrize(("n", "size"), [(60, 5), (60, 10), (431, 10), (431, 88), (880, 88), (2024, 88)])
@pytest.mark.parametrize("distance", [2.3, 3])
def test_intervals_of_few_groups_hold_high_scores(n, size, distance):
    """Accuracies of 91 and 97 %: that a poor group is missing among few must not make an interval too narrow."""
    parts = rounds(120, 2000)
    found = simulate.intervals_hold(n, size, 1, parts, distance=distance)
    for name in simulate.SCORES:
        known = parts - found["none"][name]
        assert known == 0 or found["held"][name] / known >= 0.93 - error(0.93, known), (name, found)


@pytest.mark.parametrize(("n", "size"), [(60, 1), (60, 5), (240, 2), (431, 88)])
def test_scores_of_all_parts_at_once_are_those_of_a_run(n, size):
    """The simulation computes them in another way, which must change no score of a draw and no interval."""
    rng = np.random.default_rng(3)
    parts = [simulate.drawn_part(rng, n, size) for _ in range(3)]
    _, labels, numbers = parts[0]
    groups = Groups.of(numbers)
    quick = SimulatedParts(groups, labels, 50).samples(np.stack([part[0] for part in parts]))
    for (probabilities, _, _), sample in zip(parts, quick, strict=True):
        wanted = resampled_scores(partial(simulate._scores, PredictedPhotos(probabilities, labels)), groups, 50)
        assert sample.intervals(labels, simulate.QUANTITIES) == wanted.intervals(labels, simulate.QUANTITIES)
        for name in simulate.SCORES:
            np.testing.assert_array_equal(sample.values[name], wanted.values[name])
            np.testing.assert_array_equal(sample.left[name], wanted.left[name])
            if groups.are_single or groups.effective >= ENOUGH_TO_DRAW:
                np.testing.assert_array_equal(sample.drawn[name], wanted.drawn[name])


@pytest.mark.parametrize("size", [1, 5])
def test_a_pair_that_the_simulation_leaves_out_is_never_real(size):
    """It tests the pairs whose statistic is large; `pairwise` tests all of them."""
    rng, real = np.random.default_rng(5), 0
    for _ in range(10):
        right, groups = simulate.right_answers(rng, 200, size, 4, lead=0.6)
        names = tuple(map(str, range(200)))
        judged = {f"m{k}": Predictions(np.eye(2, dtype=np.float32)[(right[:, k] == 0).astype(int)],
                                       np.zeros(200, np.int64), names, digests=names, together=groups.of_photo)
                  for k in range(4)}
        wanted = {(test.first, test.second): test for test in pairwise(judged).tests}
        found = {(test.first, test.second): test for test in simulate.tests_of(groups, right)}
        assert all(wanted[pair] == test for pair, test in found.items())
        assert not any(test.is_real for pair, test in wanted.items() if pair not in found)
        real += sum(test.is_real for test in found.values())
    assert real, "the lead is seen, or this compares nothing"


@pytest.mark.slow
@pytest.mark.parametrize(("n", "size"), CELLS)
def test_equal_models_are_called_better_in_at_most_5_of_100_test_parts(n, size):
    parts = rounds(200, 2000)
    for models, wrong in simulate.ties_are_told_apart(n, size, simulate.MODELS, 1, parts).items():
        assert wrong / parts <= 0.05 + error(0.05, parts), models


@pytest.mark.slow
@pytest.mark.parametrize(("n", "size"), CELLS)
def test_intervals_of_differences_hold_the_truth_and_the_test_sees_it(n, size):
    """One of two models is 6.9 points better. 431 single photos show that in most cases, or the test would be idle."""
    parts, groups = rounds(300, 2000), -(-n // size)
    found = simulate.leads_hold(n, size, 1, parts, 0.3)
    known = parts - found["none"]
    assert known == 0 or holds(found["held"], known, groups), found
    if size == 1 and n >= 431:
        assert found["seen"] / parts > 0.7


@pytest.mark.slow
def test_the_corrected_accuracy_of_the_best_of_ten_is_not_too_high():
    """Ten equal models on 431 photos: the best is some two points too high, and within half a point when corrected."""
    found = simulate.winners_are_corrected(431, 1, 10, 1, rounds(200, 2000))
    assert found["before"] > 0.015 and abs(found["after"]) < 0.005
