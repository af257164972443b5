"""Metrics by hand, and predictions that come back as they were saved."""

from __future__ import annotations

import numpy as np
import pytest

from matlens.evaluation.metrics.classification import (
    compute_classification_metrics,
    compute_confusion_matrix,
    compute_roc_curves,
)
from matlens.evaluation.predictions import Predictions, same_photos

TRUTH, ANSWERS = [0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 0, 0]
NAMES = ["a", "b", "c"]


def test_scores_of_six_photos_by_hand():
    """a: precision 2/4, recall 2/3; b: 1/2, 1/2; c: never answered, 0."""
    found = compute_classification_metrics(TRUTH, ANSWERS, NAMES)
    assert found["accuracy"] == pytest.approx(3 / 6)
    assert found["macro_precision"] == pytest.approx((2 / 4 + 1 / 2 + 0) / 3)
    assert found["macro_recall"] == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert found["macro_f1"] == pytest.approx((4 / 7 + 1 / 2 + 0) / 3)
    assert found["per_class"]["a"] == {"precision": 0.5, "recall": pytest.approx(2 / 3), "f1": pytest.approx(4 / 7),
                                       "support": 3}
    assert "macro avg" in found["classification_report"]
    one_hot = compute_classification_metrics(np.eye(3)[TRUTH], np.eye(3)[ANSWERS], NAMES)
    assert one_hot == found


def test_confusion_matrix_by_hand():
    """Rows are the truth, also for a class that is not there."""
    assert compute_confusion_matrix(TRUTH, ANSWERS, [*NAMES, "d"]).tolist() == [
        [2, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(compute_confusion_matrix(TRUTH, ANSWERS, NAMES, normalize=True)[0], [2 / 3, 1 / 3, 0])


def test_roc_by_counting_pairs():
    """The AUC is the share of (photo of the class, other photo) pairs in the right order; an absent class has none."""
    truth = np.array([0, 0, 1, 1])
    scores = np.array([[0.9, 0.1, 0], [0.4, 0.6, 0], [0.5, 0.5, 0], [0.2, 0.8, 0]])
    found = compute_roc_curves(truth, scores, NAMES)
    assert found["per_class"]["a"]["auc"] == pytest.approx(3 / 4)
    assert found["per_class"]["b"]["auc"] == pytest.approx(3 / 4)
    assert found["per_class"]["c"]["auc"] is None
    assert found["macro"]["auc"] == pytest.approx(3 / 4)
    everything, hits = scores.ravel(), np.eye(3)[truth].ravel() == 1
    pairs = [(p > n) + (p == n) / 2 for p in everything[hits] for n in everything[~hits]]
    assert found["micro"]["auc"] == pytest.approx(np.mean(pairs))
    alone = compute_roc_curves(np.zeros(3), np.full((3, 2), 0.5), ["a", "b"])
    assert alone["macro"]["auc"] is None


def test_predictions_come_back_and_misfits_are_refused(tmp_path):
    """Every figure is recomputed from this file."""
    saved = Predictions(np.eye(3, dtype=np.float32), np.arange(3), ("x/ä.jpg", "y", "z"), 12.5)
    path = saved.write(tmp_path / "p.npz")
    found = Predictions.read(path)
    np.testing.assert_array_equal(found.probabilities, saved.probabilities)
    assert (found.paths, found.predicted.tolist()) == (saved.paths, [0, 1, 2])
    with pytest.raises(ValueError, match="do not fit"):
        Predictions(np.eye(3, dtype=np.float32), np.arange(2), ("a", "b", "c"))


def content_of(digests: str, labels: list[int], prefix: str = "") -> Predictions:
    """Predictions of photos whose contents are single letters, at paths of their own."""
    return Predictions(np.eye(2, dtype=np.float32)[labels], np.array(labels),
                       tuple(f"{prefix}{number}" for number in range(len(labels))), None, tuple(digests))


@pytest.mark.parametrize(("digests", "labels", "rows"), [
    ("abc", [0, 1, 0], [0, 1, 2]), ("cab", [0, 0, 1], [1, 2, 0]), ("abd", [0, 1, 0], None), ("abc", [0, 1, 1], None),
    ("ab", [0, 1], None), ("abcc", [0, 1, 0, 0], None), ("", [0, 1, 0], None)],
    ids=["same", "another order", "another photo", "another label", "fewer", "one twice", "unknown"])
def test_photos_are_the_same_by_content_and_label_wherever_they_lie(digests, labels, rows):
    """Paths say nothing: a val and a test part have equal ones, and a dataset can be moved."""
    found = same_photos(content_of("abc", [0, 1, 0], "here/"), content_of(digests, labels, "there/"))
    assert (None if found is None else found.tolist()) == rows


def test_a_photo_that_is_there_twice_is_matched_twice():
    found = same_photos(content_of("aab", [0, 0, 1]), content_of("aba", [0, 1, 0]))
    assert found is not None and sorted(found.tolist()) == [0, 1, 2] and found[2] == 1
    assert same_photos(content_of("aab", [0, 0, 1]), content_of("abb", [0, 1, 1])) is None


def test_rows_of_the_same_photos_are_the_same_in_the_order_of_their_contents():
    """So models are paired by content in one place, and a photo that is there twice keeps both of its rows."""
    one, two = content_of("aab", [0, 0, 1]).by_content(), content_of("baa", [1, 0, 0], "moved/").by_content()
    assert one.paths == two.paths == ("a/1", "a/2", "b/1")
    assert one.labels.tolist() == two.labels.tolist() == [0, 0, 1]
    with pytest.raises(ValueError, match="not known"):
        content_of("", [0]).by_content()
