"""Intervals and tests keep their promise on simulated test parts, in groups and not; numbers are in docs/evaluation.md.

The usual slow run draws few test parts of 60 and 431 photos; with MATLENS_ATTACKS=all it draws 2,000 of each size. All
limits are the promised ones, widened by 3.3 standard errors of so many test parts (1 in 1,000 at the limit itself).
"""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import pytest

from matlens.evaluation.inference.groups import MANY
from scale import rounds

_SPEC = importlib.util.spec_from_file_location(
    "simulate_intervals", Path(__file__).parents[3] / "benchmarks" / "simulate_intervals.py")
simulate = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(simulate)

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
        assert known == parts or groups < 2 * simulate.CLASSES, name


@pytest.mark.slow
@pytest.mark.parametrize(("n", "size"), CELLS)
def test_equal_models_are_called_better_in_at_most_5_of_100_test_parts(n, size):
    for models in simulate.MODELS:
        parts = rounds(200 if models < 6 else 60, 2000)
        found = simulate.differences_hold(n, size, models, 1, parts)
        assert found["wrong"] / parts <= 0.05 + error(0.05, parts), models
        assert found["all_held"] / parts >= 0.95 - error(0.95, parts), models


@pytest.mark.slow
@pytest.mark.parametrize(("n", "size"), CELLS)
def test_intervals_of_differences_hold_the_truth_and_the_test_sees_it(n, size):
    """One of two models is 6.9 points better. 431 single photos show that in most cases, or the test would be idle."""
    parts, groups = rounds(300, 2000), -(-n // size)
    found = simulate.differences_hold(n, size, 2, 1, parts, 0.3)
    known = parts - found["none"]
    assert known == 0 or holds(found["held"], known, groups), found
    if size == 1 and n >= 431:
        assert found["seen"] / parts > 0.7


@pytest.mark.slow
def test_the_corrected_accuracy_of_the_best_of_ten_is_not_too_high():
    """Ten equal models on 431 photos: the best is some two points too high, and within half a point when corrected."""
    found = simulate.winners_are_corrected(431, 1, 10, 1, rounds(200, 2000))
    assert found["before"] > 0.015 and abs(found["after"]) < 0.005
