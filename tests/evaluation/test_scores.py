"""Every figure of a results file, recomputed from the saved predictions by others' code; and the degenerate cases."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from builders import certain_predictions, drawn_predictions, predictions_of
from matlens.evaluation.inference.bootstrap import drawn_positions
from matlens.evaluation.metrics.scores import judge
from matlens.evaluation.predictions import Predictions
from matlens.evaluation.results import Results

NAMES = ("brick", "glass", "paper", "stone", "tile", "wood")


def test_every_figure_follows_from_the_saved_predictions(tmp_path):
    """By scikit-learn and SciPy, from what the two files hold; metrics have a test of their own."""
    drawn_predictions(300, 6, 0).write(tmp_path / "m_predictions.npz")
    judgement = judge(Predictions.read(tmp_path / "m_predictions.npz"), NAMES, validation=drawn_predictions(200, 6, 1))
    Results("m", **judgement.fields).write(tmp_path / "m_results.json")
    found = json.loads((tmp_path / "m_results.json").read_text("utf-8"))
    with np.load(tmp_path / "m_predictions.npz") as file:
        probabilities, labels = file["probabilities"].astype(float), file["labels"]
    answers, numbers = probabilities.argmax(axis=1), list(range(6))
    right = answers == labels
    precision, recall, f1, support = metrics.precision_recall_fscore_support(labels, answers)
    matrix = metrics.confusion_matrix(labels, answers)
    assert found["confusion_matrix"] == matrix.tolist()
    for number, name in enumerate(NAMES):
        assert found["per_class"][name] == pytest.approx(
            {"precision": precision[number], "recall": recall[number], "f1": f1[number], "support": support[number]})
        ends = found["intervals"]["per_class"][name]
        theirs = stats.binomtest(int(matrix[number, number]), int(support[number])).proportion_ci(method="wilson")
        assert (ends["recall"]["low"], ends["recall"]["high"]) == pytest.approx((theirs.low, theirs.high))
        assert ends["f1"]["low"] < f1[number] < ends["f1"]["high"]
        np.testing.assert_array_equal(judgement.roc_curves["per_class"][name]["fpr"],
                                      metrics.roc_curve(labels == number, probabilities[:, number])[0])
    pairs = {(NAMES.index(pair["true"]), NAMES.index(pair["predicted"])): pair for pair in found["confused_pairs"]}
    assert {place: pair["photos"] for place, pair in pairs.items()} == {
        (i, j): matrix[i, j] for i in numbers for j in numbers if i != j and matrix[i, j]}
    counted = [pair["photos"] for pair in found["confused_pairs"]]
    assert counted == sorted(counted, reverse=True)
    assert all(pair["share"] == pytest.approx(pair["photos"] / support[i]) for (i, _), pair in pairs.items())
    count, said, was = (stats.binned_statistic(probabilities.max(axis=1), values, kind, bins=15, range=(0, 1)).statistic
                        for values, kind in ((right, "count"), (probabilities.max(axis=1), "sum"), (right, "sum")))
    assert found["calibration"]["ece"] == pytest.approx(np.abs(was - said).sum() / 300, abs=1e-6)
    assert [photos["n"] for photos in found["calibration"]["bins"]] == count.tolist()
    assert found["intervals"]["accuracy"] | {"low": 0, "high": 0} == {
        "low": 0, "high": 0, "method": "bca", "confidence": 0.95, "draws": 2000}
    assert found["groups"] is None
    assert json.loads(json.dumps(Results.read(tmp_path / "m_results.json").to_json())) == found


def test_the_accuracy_of_the_temperature_is_that_of_the_model():
    """Scaling never changes an answer, and what it mends follows from saved predictions of both parts."""
    found = judge(drawn_predictions(500, 4, 2), NAMES[:4],
                  validation=drawn_predictions(500, 4, 3)).fields["calibration"]
    assert found["temperature"] == pytest.approx(1, abs=0.35)  # the drawn scores are nearly calibrated: unit noise
    assert found["n_validation"] == 500 and found["ece_after"] is not None


def test_a_class_that_is_never_answered_by_hand():
    """Truth a a b b, answers a a a b... of classes a, b, c: c has neither photo nor answer."""
    found = judge(certain_predictions([0, 0, 0, 1], [0, 0, 1, 1], 3), NAMES[:3]).fields
    assert found["macro_f1"] == pytest.approx((4 / 5 + 2 / 3 + 0) / 3)
    assert found["mean_class_accuracy"] == found["balanced_accuracy"] == pytest.approx((1 + 1 / 2) / 2)
    assert found["cohen_kappa"] == pytest.approx((3 / 4 - (2 * 3 + 2 * 1) / 16) / (1 - 8 / 16))
    assert found["top_k"] == {"3": None, "5": None}  # of three classes all three are always right
    assert found["roc_auc"]["per_class"]["paper"] is None
    assert found["intervals"]["per_class"]["paper"] == {"precision": None, "recall": None, "f1": None}
    assert found["confused_pairs"] == [{"true": "glass", "predicted": "brick", "photos": 1, "share": 0.5,
                                        "interval": found["confused_pairs"][0]["interval"]}]
    assert found["coverage"]["aurc"] == 0.25  # all as sure: any order is as good


def test_one_class_alone():
    """Nothing can be told apart: no AUC, no kappa, and JSON without NaN."""
    found = judge(certain_predictions([0, 0, 0], [0, 0, 0], 1), NAMES[:1]).fields
    assert (found["accuracy"], found["mean_class_accuracy"], found["cohen_kappa"]) == (1, 1, None)
    assert found["roc_auc"] == {"per_class": {"brick": None}, "micro": None, "macro": None}
    assert found["intervals"]["accuracy"]["low"] == pytest.approx(3 / (3 + 1.959964**2))  # Wilson, n of n
    json.dumps(Results("m", **found).to_json(), allow_nan=False)


@pytest.mark.parametrize("right", [True, False], ids=["perfect", "inverted"])
def test_perfect_and_inverted_answers(right):
    """Inverted with two classes: kappa -1, AUC 0, Brier 2, and log loss -log of float32's step from 1."""
    labels = np.array([0, 1] * 20)
    found = judge(certain_predictions(labels if right else 1 - labels, labels, 2), NAMES[:2]).fields
    assert (found["accuracy"], found["macro_f1"], found["mean_class_accuracy"]) == ((1, 1, 1) if right else (0, 0, 0))
    assert found["cohen_kappa"] == (1 if right else -1)
    assert found["roc_auc"]["macro"] == (1 if right else 0)
    assert found["brier"] == (0 if right else 2)
    assert found["log_loss"] == pytest.approx(0 if right else 23 * np.log(2), abs=1e-6)  # its step is 2^-23
    assert (found["calibration"]["ece"], found["coverage"]["aurc"]) == ((0, 0) if right else (1, 1))
    assert len(found["confused_pairs"]) == (0 if right else 2)
    assert (found["intervals"]["macro_f1"], found["intervals"]["log_loss"]) == (None, None)
    json.dumps(Results("m", **found).to_json(), allow_nan=False)


def test_answers_that_are_all_alike():
    """Uniform probabilities: the first class is answered, AUC is a half, ECE the distance from a quarter."""
    labels = np.array([0, 1, 2, 3] * 5)
    found = judge(predictions_of(np.full((20, 4), 0.25), labels), NAMES[:4]).fields
    assert (found["accuracy"], found["roc_auc"]["macro"], found["cohen_kappa"]) == (0.25, 0.5, 0)
    assert found["log_loss"] == pytest.approx(np.log(4)) and found["brier"] == pytest.approx(0.75)
    assert found["calibration"]["ece"] == 0
    assert found["top_k"] == {"3": 0.75, "5": None}
    assert [point["coverage"] for point in found["coverage"]["curve"]] == [1]


def test_answers_that_are_no_probabilities_have_no_calibration():
    """A notebook's model may answer with logits: what needs probabilities is left out."""
    found = judge(predictions_of([[3, -1], [0, 5]], [0, 0]), NAMES[:2]).fields
    assert (found["accuracy"], found["log_loss"], found["brier"], found["calibration"]) == (0.5, None, None, None)
    json.dumps(Results("m", **found).to_json(), allow_nan=False)


def test_draws_made_one_by_one_are_those_made_at_once():
    """500 draws of 150,000 photos take 0.6 GB together; intervals are the same either way."""
    at_once, one_by_one = (np.random.default_rng(0) for _ in range(2))
    expected = drawn_positions(1001, 50, at_once)
    np.testing.assert_array_equal([drawn_positions(1001, 1, one_by_one)[0] for _ in range(50)], expected)
