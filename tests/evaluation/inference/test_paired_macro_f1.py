"""The difference of two models' macro F1: by scikit-learn, by all exchanges there are, and in whole groups."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from builders import certain_predictions
from matlens.comparison.pairwise import pairwise
from matlens.evaluation.inference.groups import Groups
from matlens.evaluation.inference.paired_macro_f1 import macro_f1_differences
from matlens.evaluation.metrics.weighted import PredictedPhotos

LABELS = np.array([0, 0, 0, 0, 1, 1, 2, 2])
FIRST, SECOND = np.array([0, 0, 0, 1, 1, 1, 2, 2]), np.array([0, 0, 0, 0, 0, 0, 2, 0])


def f1(answers: np.ndarray) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(LABELS, answers, average="macro", zero_division=0))


def compared(groups: Groups):
    models = [PredictedPhotos(np.eye(3)[answers], LABELS) for answers in (FIRST, SECOND)]
    return macro_f1_differences(models, groups, [(0, 1)])[0]


@pytest.mark.parametrize("numbers", [np.arange(8), np.array([0, 0, 1, 1, 2, 2, 3, 3])])
def test_the_p_value_is_the_share_of_all_exchanges_with_as_large_a_difference(numbers):
    """Photos of a group are exchanged together. 2,000 exchanges tell a share to 0.011 (one standard error)."""
    found = compared(Groups.of(numbers))
    assert found.difference == pytest.approx(f1(FIRST) - f1(SECOND))
    as_large = []
    for signs in product([False, True], repeat=numbers.max() + 1):
        swapped = np.array(signs)[numbers]
        drawn = f1(np.where(swapped, SECOND, FIRST)) - f1(np.where(swapped, FIRST, SECOND))
        as_large.append(abs(drawn) >= abs(found.difference) - 1e-12)
    assert found.p_value == pytest.approx(np.mean(as_large), abs=0.04)


def test_few_groups_have_no_interval_and_call_no_model_better():
    assert compared(Groups.of([0, 0, 0, 1, 1, 1, 2, 2])).interval is None


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
