"""Metrics and the ranking of labels agree with the libraries whose definitions they take."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn import metrics

from matlens.evaluation.label_quality import suspect_positions
from matlens.evaluation.metrics.classification import (
    compute_classification_metrics,
    compute_confusion_matrix,
    compute_roc_curves,
)


def drawn(seed, n, classes, *, tied=False, missing=False):
    """Labels and probabilities of a model that is right half of the time."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes - missing, n)
    probabilities = generator.dirichlet(np.ones(classes), n)
    hit = generator.random(n) < 0.5
    probabilities[hit, labels[hit]] += 1
    if tied:
        probabilities = np.round(probabilities, 1) + 0.05
    return labels, probabilities / probabilities.sum(axis=1, keepdims=True)


CASES = [(seed, n, classes, tied, missing) for seed, (n, classes) in enumerate(
    [(1, 2), (2, 2), (3, 3), (40, 2), (300, 6), (150, 23), (9, 12)]) for tied in (False, True)
    for missing in (False, True)]


@pytest.mark.parametrize(("seed", "n", "classes", "tied", "missing"), CASES)
def test_metrics_and_curves_are_scikit_learns(seed, n, classes, tied, missing):
    labels, probabilities = drawn(seed, n, classes, tied=tied, missing=missing)
    names = [f"class {number}" * (number + 1) for number in range(classes)]
    answers, numbers = probabilities.argmax(axis=1), list(range(classes))
    ours = compute_classification_metrics(labels, answers, names)
    precision, recall, f1, support = metrics.precision_recall_fscore_support(labels, answers, labels=numbers,
                                                                             zero_division=0)
    for kind, theirs in (("precision", precision), ("recall", recall), ("f1", f1), ("support", support)):
        assert [scores[kind] for scores in ours["per_class"].values()] == theirs.tolist()
    assert ours["accuracy"] == metrics.accuracy_score(labels, answers)
    assert ours["macro_f1"] == f1.mean()
    assert n == 1 or ours["classification_report"] == metrics.classification_report(
        labels, answers, labels=numbers, target_names=names, zero_division=0, digits=4)
    np.testing.assert_array_equal(compute_confusion_matrix(labels, answers, names),
                                  metrics.confusion_matrix(labels, answers, labels=numbers))
    np.testing.assert_array_equal(compute_confusion_matrix(labels, answers, names, normalize=True),
                                  metrics.confusion_matrix(labels, answers, labels=numbers, normalize="true"))
    curves = compute_roc_curves(labels, probabilities, names)["per_class"]
    for number, curve in enumerate(curves.values()):
        hits = labels == number
        if not 0 < hits.sum() < n:
            assert curve["auc"] is None
            continue
        fpr, tpr, _ = metrics.roc_curve(hits, probabilities[:, number])
        np.testing.assert_array_equal(curve["fpr"], fpr)
        np.testing.assert_array_equal(curve["tpr"], tpr)
        assert curve["auc"] == pytest.approx(metrics.roc_auc_score(hits, probabilities[:, number]), abs=1e-12)


@pytest.mark.parametrize(("seed", "n", "classes", "tied", "missing"), [case for case in CASES if case[1] > 1])
def test_suspects_are_cleanlabs(seed, n, classes, tied, missing):
    """The filter is that of the method's authors; a photo more or less would be another method."""
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    labels, probabilities = drawn(seed, n, classes, tied=tied, missing=missing)
    listed, quality = suspect_positions(probabilities, labels)
    if min(len(np.unique(labels)), len(np.unique(probabilities.argmax(axis=1)))) < 2:
        assert not len(listed)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about classes of few photos, or of none
        theirs = np.flatnonzero(find_label_issues(labels, probabilities, filter_by="confident_learning", n_jobs=1))
    assert sorted(listed.tolist()) == theirs.tolist()
    assert (np.diff(quality) >= 0).all()
    np.testing.assert_allclose(quality, get_label_quality_scores(
        labels, probabilities, method="normalized_margin")[listed], atol=1e-12)
