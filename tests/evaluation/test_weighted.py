"""Each score under weights is scikit-learn's with these as sample weights."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from matlens.evaluation.metrics.weighted import WeightedScores, are_probabilities, photo_losses, rank_of_truth


def some(n: int, classes: int, seed: int = 0, digits: int = 8):
    """Probabilities (N, C) and labels of a model that is right more often than not; few digits make ties."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    raised = np.exp(rng.normal(size=(n, classes)) + 1.5 * np.eye(classes)[labels])
    return (raised / raised.sum(axis=1, keepdims=True)).round(digits), labels


@pytest.mark.parametrize("digits", [8, 1], ids=["no ties", "ties"])
@pytest.mark.parametrize("classes", [2, 6])
def test_scores_are_those_of_scikit_learn(classes, digits):
    """Three columns of weights: ones, a draw with replacement, fractions."""
    probabilities, labels = some(120, classes, digits=digits)
    rng = np.random.default_rng(1)
    weights = np.stack([np.ones(120), rng.multinomial(120, [1 / 120] * 120), rng.random(120)], axis=1)
    found = WeightedScores(probabilities, labels)(weights)
    answers, numbers = probabilities.argmax(axis=1), list(range(classes))
    for column, weight in enumerate(weights.T):
        precision, recall, f1, _ = metrics.precision_recall_fscore_support(labels, answers, labels=numbers,
                                                                           sample_weight=weight, zero_division=0)
        aucs = [metrics.roc_auc_score(labels == i, probabilities[:, i], sample_weight=weight) for i in numbers]
        expected = {
            "accuracy": metrics.accuracy_score(labels, answers, sample_weight=weight),
            "macro_precision": precision.mean(), "macro_recall": recall.mean(), "macro_f1": f1.mean(),
            "mean_class_accuracy": metrics.balanced_accuracy_score(labels, answers, sample_weight=weight),
            "cohen_kappa": metrics.cohen_kappa_score(labels, answers, sample_weight=weight),
            "roc_auc_macro": np.mean(aucs)}
        if digits == 8:  # scikit-learn takes the class with the larger number first, and wants exact sums
            expected["log_loss"] = metrics.log_loss(labels, probabilities, labels=numbers, sample_weight=weight)
            expected |= {f"top_{k}": metrics.top_k_accuracy_score(labels, probabilities, k=k, labels=numbers,
                                                                  sample_weight=weight) for k in (3, 5) if k < classes}
        for name, value in expected.items():
            assert found[name][column] == pytest.approx(value, abs=1e-6), name
        np.testing.assert_allclose(found["f1"][:, column], f1)


def test_brier_is_that_of_scikit_learn_and_of_hand():
    """Twice scikit-learn's for two classes, where it counts one of them; (1 - .7)^2 + .2^2 + .1^2 by hand."""
    probabilities, labels = some(50, 2)
    assert photo_losses(probabilities, labels)[1].mean() == pytest.approx(
        2 * metrics.brier_score_loss(labels, probabilities[:, 1]))
    assert photo_losses([[0.7, 0.2, 0.1]], np.array([0]))[1][0] == pytest.approx(0.09 + 0.04 + 0.01)
    assert photo_losses([[0, 1.0]], np.array([0]))[1][0] == 2


def test_an_impossible_answer_costs_what_it_costs_in_scikit_learn():
    """A probability of 0 for the truth would cost infinitely much: it counts as float32's smallest step from 1."""
    probabilities = np.array([[1, 0], [0.25, 0.75]], np.float32)
    assert photo_losses(probabilities, np.array([1, 1]))[0].mean() == pytest.approx(
        metrics.log_loss([1, 1], probabilities, labels=[0, 1]), rel=1e-6)


def test_of_equal_scores_the_smaller_number_comes_first():
    """As argmax has it, so that the first answer is the answer."""
    assert rank_of_truth([[0.4, 0.4, 0.2]] * 3, np.array([0, 1, 2])).tolist() == [0, 1, 2]


def test_a_class_without_a_photo_counts_as_the_point_estimate_does():
    """Class c never has a photo: 0 in macro F1, left out of mean class accuracy. Without b's photo b is left out."""
    probabilities = np.eye(3)[[0, 0, 1, 0]]
    labels = np.array([0, 0, 1, 1])
    found = WeightedScores(probabilities, labels)(np.array([[1, 1, 1, 1], [1, 1, 0, 0]], float).T)
    np.testing.assert_allclose(found["macro_f1"], [(4 / 5 + 2 / 3 + 0) / 3, (1 + 0) / 2])
    np.testing.assert_allclose(found["mean_class_accuracy"], [3 / 4, 1])
    assert found["roc_auc_macro"][0] == pytest.approx(3 / 4)
    assert np.isnan(found["roc_auc_macro"][1])
    assert np.isnan(found["f1"][1, 1])


def test_one_class_alone_has_no_auc_and_no_kappa():
    found = WeightedScores(np.ones((4, 1)), np.zeros(4, int))(np.ones((4, 1)))
    assert found["accuracy"] == 1
    assert np.isnan([found["roc_auc_macro"][0], found["cohen_kappa"][0]]).all()


@pytest.mark.parametrize("rows, are", [([[0.5, 0.5]], True), ([[0.3334, 0.3333, 0.3333]], True), ([[2.0, -1.0]], False),
                                       ([[0.9, 0.9]], False)])
def test_logits_are_no_probabilities(rows, are):
    assert are_probabilities(rows) is are
    names = WeightedScores(rows, np.array([0]))(np.ones((1, 1)))
    assert ("log_loss" in names, "brier" in names) == (are, are)
