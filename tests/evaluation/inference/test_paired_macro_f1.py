"""The difference of two models' macro F1: by scikit-learn, by all exchanges there are, and in whole groups."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from builders import certain_predictions, predictions_of
from matlens.comparison.pairwise import pairwise
from matlens.evaluation.inference.groups import Groups
from matlens.evaluation.inference.paired_macro_f1 import macro_f1_differences
from matlens.evaluation.inference.simultaneous import simultaneous
from matlens.evaluation.metrics.weighted import PredictedPhotos

LABELS = np.array([0, 0, 0, 0, 1, 1, 2, 2])
FIRST, SECOND = np.array([0, 0, 0, 1, 1, 1, 2, 2]), np.array([0, 0, 0, 0, 0, 0, 2, 0])


def f1(answers: np.ndarray) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(LABELS, answers, average="macro", zero_division=0))


def compared(groups: Groups):
    models = [PredictedPhotos(np.eye(3)[answers], LABELS) for answers in (FIRST, SECOND)]
    return macro_f1_differences(models, groups, [(0, 1)])


@pytest.mark.parametrize("numbers", [np.arange(8), np.array([0, 0, 1, 1, 2, 2, 3, 3])])
def test_each_photo_adds_what_its_exchange_changes_at_the_middle(numbers):
    """Half the change of the difference where the group is exchanged and all others are so by half: by scikit-learn,
    which takes weights. Photos of a group are exchanged together."""
    from sklearn.metrics import f1_score

    found, truth = compared(Groups.of(numbers)), np.r_[LABELS, LABELS]
    assert found.differences == pytest.approx([f1(FIRST) - f1(SECOND)])

    def score(one: np.ndarray, other: np.ndarray, of_one: np.ndarray) -> float:
        return float(f1_score(truth, np.r_[one, other], sample_weight=np.r_[of_one, 1 - of_one], average="macro"))

    small = 1e-4
    for group in range(numbers.max() + 1):
        weight = 0.5 + small * (numbers == group)
        changed = score(FIRST, SECOND, weight) - score(SECOND, FIRST, weight)
        assert found.family.sums[group, 0] == pytest.approx(len(LABELS) * changed / (2 * small), abs=1e-4)


def test_the_p_value_is_near_the_share_of_all_exchanges_with_as_large_a_difference():
    """60 photos of three classes, ten of which tell the models apart: 1,024 exchanges."""
    labels = np.arange(60) % 3
    first, second = labels.copy(), labels.copy()
    first[[3, 7]], second[[10, 14, 20, 27, 33, 40, 41, 50]] = 1, 2
    first[3], first[7], second[[14, 20, 41, 50]] = 1, 0, 0
    models = [PredictedPhotos(np.eye(3)[answers], labels) for answers in (first, second)]
    (p,) = simultaneous([macro_f1_differences(models, Groups.single(60), [(0, 1)]).family]).p_values[0]
    apart = np.flatnonzero(first != second)
    drawn = []
    for signs in product([False, True], repeat=len(apart)):
        swapped = np.zeros(60, bool)
        swapped[apart] = signs
        one, other = np.where(swapped, second, first), np.where(swapped, first, second)
        drawn.append(macro_f1(labels, one) - macro_f1(labels, other))
    share = np.mean(np.abs(drawn) >= abs(macro_f1(labels, first) - macro_f1(labels, second)) - 1e-12)
    assert len(apart) == 10 and p == pytest.approx(share, abs=0.03)


def macro_f1(labels: np.ndarray, answers: np.ndarray) -> float:
    confusion = np.zeros((3, 3))
    np.add.at(confusion, (labels, answers), 1)
    return float(np.mean(2 * np.diag(confusion) / (confusion.sum(axis=0) + confusion.sum(axis=1))))


def test_intervals_and_p_values_cannot_disagree():
    """Of many drawn families, of single photos and of groups, an interval leaves out 0 exactly where p is below 5 %."""
    rng, seen = np.random.default_rng(0), set()
    for trial in range(40):
        labels, groups = rng.integers(3, size=90), np.arange(90) // (1 + trial % 4)
        judged = {name: predictions_of(np.eye(3)[np.where(rng.random(90) < right, labels, rng.integers(3, size=90))],
                                       labels) for name, right in (("a", 0.9), ("b", 0.75), ("c", 0.55))}
        judged = {name: replace(answers, together=groups) for name, answers in judged.items()}
        for test in pairwise(judged, macro_f1=True).macro_f1:
            assert test.is_real == (not test.interval.low <= 0 <= test.interval.high) == (test.p_adjusted < 0.05)
            assert test.interval.low <= test.difference <= test.interval.high
            seen.add(test.is_real)
    assert seen == {True, False}


def test_few_groups_have_no_interval_and_call_no_model_better():
    assert compared(Groups.of([0, 0, 0, 1, 1, 1, 2, 2])).interval(0, 1.96) is None


def test_pairs_are_told_apart_by_macro_f1_where_accuracy_cannot():
    """300 photos of a frequent class and 12 of a rare one, on which alone the models differ."""
    labels = np.repeat([0, 1], [300, 12])
    never, always = np.zeros(312, int), labels.copy()
    always[:12] = 1  # as often right as the other model
    judged = {name: certain_predictions(answers, labels, 2) for name, answers in (("never", never), ("always", always))}
    assert pairwise(judged).macro_f1 == ()
    pairs = pairwise(judged, macro_f1=True)
    [accuracy], [macro_f1] = pairs.tests, pairs.macro_f1
    assert accuracy.difference == 0 and not accuracy.is_real
    assert macro_f1.is_real and macro_f1.interval.high < 0 and macro_f1.p_value == macro_f1.p_holm < 0.01
    assert pairs.to_json()["macro_f1"][0]["is_real"]


def test_a_model_is_not_told_apart_from_itself():
    one = certain_predictions(FIRST, LABELS, 3)
    [test] = pairwise({"a": one, "b": one}, macro_f1=True).macro_f1
    assert (test.difference, test.p_value, test.interval, test.is_real) == (0, 1, None, False)
