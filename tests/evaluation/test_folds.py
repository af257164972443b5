"""What folds say together: against the formula, scikit-learn's worked example, and tests of the joined photos."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from builders import drawn_predictions, predictions_of
from matlens.comparison.pairwise import mcnemar, pairwise
from matlens.errors import ResultsError
from matlens.evaluation.inference.folds import corrected_error, corrected_interval, corrected_p, pooled


def test_the_corrected_error_by_hand():
    """70, 80, 90 %: s = 0.1. Three folds, one to test and one to train: sqrt((1/3 + 1) 0.01) = 0.11547."""
    assert corrected_error([0.7, 0.8, 0.9], 1) == pytest.approx(0.1 * math.sqrt(4 / 3))
    low, high = corrected_interval([0.7, 0.8, 0.9], 1, (-10, 10))
    assert (low + high) / 2 == pytest.approx(0.8)
    assert high - low == pytest.approx(2 * 4.302653 * 0.1 * math.sqrt(4 / 3), rel=1e-6)  # t of 2 at 97.5 %
    assert corrected_interval([0.7, 0.8, 0.9], 1) == (pytest.approx(0.8 - 4.302653 * 0.1154701), 1)


def test_without_shared_training_photos_it_is_the_usual_t_test():
    """SciPy's, for a test part that is nothing beside the training part."""
    differences = [0.02, -0.01, 0.03, 0.015, 0.01]
    assert corrected_p(differences, 0) == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, rel=1e-9)
    theirs = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert corrected_interval(differences, 0, (-1, 1)) == pytest.approx((theirs.low, theirs.high))


def test_scikit_learns_worked_example():
    """Its guide compares two kernels in 10 times 10 folds of 100 photos: t = 0.750, one-sided p = 0.227."""
    from sklearn.datasets import make_moons
    from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
    from sklearn.svm import SVC

    features, labels = make_moons(noise=0.352, random_state=1, n_samples=100)
    folds = RepeatedStratifiedKFold(n_splits=10, n_repeats=10, random_state=0)
    rbf, linear = (cross_val_score(SVC(kernel=kernel, random_state=0), features, labels, cv=folds, scoring="roc_auc")
                   for kernel in ("rbf", "linear"))
    differences = (rbf - linear).tolist()
    assert np.mean(differences) / corrected_error(differences, 10 / 90) == pytest.approx(0.750, abs=5e-4)
    assert corrected_p(differences, 10 / 90) / 2 == pytest.approx(0.227, abs=5e-4)


@pytest.mark.parametrize("values", [[0.8], [0.8, 0.8, 0.8]])
def test_values_that_tell_nothing_have_no_interval(values):
    """± 0 would claim what nobody knows."""
    assert corrected_interval(values, 0.3) is None
    assert corrected_p(values, 0.3) == 1


def test_folds_join_to_all_photos_and_groups_stay_apart():
    """Each fold numbers its groups from 0; joined, group 0 of one is not group 0 of the other."""
    first = dataclasses.replace(predictions_of(np.eye(2)[[0, 1, 1]], [0, 1, 0], "a"), together=np.array([0, 0, 4]))
    second = predictions_of(np.eye(2)[[1, 1]], [1, 0], "b")
    joined = pooled([first, second])
    assert joined.paths == ("a0", "a1", "a2", "b0", "b1")
    assert len(set(joined.groups.tolist())) == 4 and joined.groups[0] == joined.groups[1]
    assert joined.predicted.tolist() == [0, 1, 1, 1, 1]


def test_models_are_tested_on_the_photos_of_all_folds():
    """McNemar's test of the joined table: each photo is judged once."""
    labels = [np.arange(50) % 3, np.arange(40) % 3]
    folds = {model: [dataclasses.replace(drawn_predictions(len(of_fold), 3, 10 * number + fold, labels=of_fold),
                                         paths=tuple(f"{fold}/{photo}" for photo in range(len(of_fold))))
                     for fold, of_fold in enumerate(labels)] for number, model in enumerate(("a", "b"))}
    right = [np.concatenate([fold.predicted == fold.labels for fold in of_model]) for of_model in folds.values()]
    (test,) = pairwise({model: pooled(of_model) for model, of_model in folds.items()}).tests
    only_first, only_second = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    assert (test.n_photos, test.only_first, test.only_second) == (90, only_first, only_second)
    assert test.p_value == pytest.approx(mcnemar(only_first, only_second))


def test_a_photo_that_is_judged_twice_is_not_joined():
    """Official splits may test a photo several times; counted as several photos it would make sure what is not."""
    with pytest.raises(ResultsError, match="3 of 6"):
        pooled([drawn_predictions(3, 3, 1), drawn_predictions(3, 3, 2)])
