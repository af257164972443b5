"""Calibration by hand, against SciPy, and where a temperature cannot be told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binned_statistic

from builders import predictions_of
from matlens.evaluation.metrics.calibration import calibration, reliability
from matlens.evaluation.metrics.calibrators import choose_calibrator, fit_temperature, fit_vector
from matlens.evaluation.metrics.weighted import photo_losses
from matlens.features.calibrator import Calibrator


def softmax(logits):
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def overconfident(n: int, sharpness: float, seed: int):
    """Labels drawn from softmax(z), answers softmax(sharpness z): the temperature that mends it is `sharpness`."""
    rng = np.random.default_rng(seed)
    logits = 1.5 * rng.normal(size=(n, 4))
    labels = (softmax(logits).cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    return softmax(sharpness * logits), labels


def test_the_expected_calibration_error_by_hand():
    """Two photos at 0.9 of which one is right, two at 0.6, both right: (2 |0.5 - 0.9| + 2 |1 - 0.6|) / 4."""
    error, bins = reliability([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.4, 0.6]], np.array([0, 1, 0, 1]))
    assert error == pytest.approx(0.4)
    known = [each for each in bins if each.n]
    assert [(each.n, each.confidence, each.accuracy) for each in known] == [
        (2, pytest.approx(0.6), 1.0), (2, pytest.approx(0.9), 0.5)]
    assert sum(each.n for each in bins) == 4 and len(bins) == 15


def test_the_expected_calibration_error_with_scipys_bins():
    probabilities, labels = overconfident(500, 2, 0)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    count, said, was = (binned_statistic(confidence, values, statistic, bins=15, range=(0, 1)).statistic
                        for values, statistic in ((confidence, "count"), (confidence, "sum"), (right, "sum")))
    error, bins = reliability(probabilities, labels)
    assert error == pytest.approx(np.abs(was - said).sum() / 500)
    assert [each.n for each in bins] == count.tolist()


@pytest.mark.parametrize("confidence", [0.0, 1 / 3, 0.6, 1.0])
def test_a_confidence_on_an_edge_lies_in_one_bin(confidence):
    """(low, high], and the first bin has 0, too."""
    _, bins = reliability([[confidence]], np.array([0]), n_bins=15)
    (only,) = [each for each in bins if each.n]
    assert only.low <= confidence <= only.high + 1e-12


def at_temperature(probabilities, temperature):
    return Calibrator.at(temperature, np.shape(probabilities)[1]).apply(probabilities)


def test_temperature_one_changes_nothing_and_heat_levels():
    probabilities = np.array([[0.7, 0.2, 0.1], [1.0, 0.0, 0.0]])
    np.testing.assert_allclose(at_temperature(probabilities, 1), probabilities, atol=1e-12)
    np.testing.assert_allclose(at_temperature([[0.8, 0.2]], 2), [[2 / 3, 1 / 3]])  # sqrt(0.8) : sqrt(0.2) is 2 : 1
    assert at_temperature(probabilities, 5).argmax(axis=1).tolist() == [0, 0]


def test_vector_scaling_by_hand():
    """softmax of 2 log 0.5 and log 0.5 + log 2 is 0.25 : 1."""
    calibrator = Calibrator("vector", (2.0, 1.0), (0.0, float(np.log(2))))
    np.testing.assert_allclose(calibrator.apply([[0.5, 0.5]]), [[0.2, 0.8]])
    assert calibrator.temperature is None and Calibrator.at(2, 3).temperature == 2


@pytest.mark.parametrize("sharpness", [0.5, 1, 3])
def test_the_temperature_is_found_where_it_is_known(sharpness):
    """20,000 photos tell it to about a hundredth. At the optimum the slope is 0: sum of (E_p z - z_y) over photos."""
    probabilities, labels = overconfident(20_000, sharpness, 1)
    temperature = fit_temperature(probabilities, labels).temperature
    assert temperature == pytest.approx(sharpness, rel=0.05)
    logits, mended = np.log(probabilities), at_temperature(probabilities, temperature)
    slope = (mended * logits).sum(axis=1) - np.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
    assert abs(slope.mean()) < 1e-3 * np.abs(slope).mean()


def biased(n: int, seed: int):
    """Labels drawn from softmax(z), answers softmax(2 z + b): scales of 1 / 2 and biases of -b / 2 mend them."""
    rng = np.random.default_rng(seed)
    logits = 1.5 * rng.normal(size=(n, 4))
    labels = (softmax(logits).cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    return softmax(2 * logits + BIAS), labels


BIAS = np.array([-1.5, -0.5, 0.5, 1.5])


def test_vector_scaling_is_found_where_it_is_known():
    """Biases are known up to a constant; 20,000 photos tell all of them to a few hundredths."""
    found = fit_vector(*biased(20_000, 1))
    np.testing.assert_allclose(found.scale, 0.5, atol=0.03)
    np.testing.assert_allclose(np.array(found.bias) - np.mean(found.bias), -BIAS / 2, atol=0.06)


def test_what_validation_mends_is_mended_on_test():
    found = calibration(predictions_of(*overconfident(3000, 3, 2)), predictions_of(*overconfident(3000, 3, 3)))
    assert (found.temperature, found.n_validation, found.remark) == (pytest.approx(3, rel=0.1), 3000, "")
    assert found.ece > 0.1 > 3 * found.ece_after  # a fifth of overconfidence, against the noise of 3,000 photos
    probabilities, labels = overconfident(3000, 3, 2)
    plain = [values.mean() for values in photo_losses(probabilities, labels)]
    assert found.log_loss_after < plain[0] and found.brier_after < plain[1]
    assert found.accuracy_after == (probabilities.argmax(axis=1) == labels).mean(), "a temperature changes no answer"
    assert sum(each.n for each in found.bins_after) == 3000
    assert found.candidates[0].gain == pytest.approx(plain[0] - found.log_loss_after, rel=0.2), (
        "the gain out of fold is what other photos gain")


@pytest.mark.parametrize(("drawn", "method"), [
    (lambda seed: overconfident(600, 1, seed), None), (lambda seed: overconfident(600, 3, seed), "temperature"),
    (lambda seed: overconfident(600, 0.5, seed), "temperature"), (lambda seed: biased(600, seed), "vector")])
def test_the_simplest_that_helps_out_of_fold_is_chosen(drawn, method):
    """Calibrated answers stay as they are, sure or timid ones take a temperature, one-sided ones more."""
    chosen = [choose_calibrator(predictions_of(*drawn(seed))) for seed in range(5)]
    methods = [choice.calibrator and choice.calibrator.method for choice in chosen]
    assert methods.count(method) >= 4, methods
    assert all(len(choice.candidates) == 2 and (choice.calibrator is None) == bool(choice.remark) for choice in chosen)


def test_photos_of_a_group_are_never_fitted_and_judged_at_once():
    """Each group of 50 photos repeats one: of 12 such there is less to learn than of 600, and the error says so."""
    probabilities, labels = overconfident(12, 2, 5)
    rows = np.repeat(np.arange(12), 50)
    alone = predictions_of(probabilities[rows], labels[rows])
    together = replace(alone, together=rows)
    apart, grouped = (choose_calibrator(each).candidates[0] for each in (alone, together))
    assert apart.gain > grouped.gain
    assert grouped.error > 5 * apart.error  # sqrt(50) = 7 times, were the gains the same


@pytest.mark.parametrize(("photos", "groups", "says"), [(49, 49, "49"), (500, 9, "9")])
def test_too_small_a_validation_part_calibrates_nothing_and_the_least_is_stated(photos, groups, says):
    probabilities, labels = overconfident(photos, 3, 0)
    validation = replace(predictions_of(probabilities, labels), together=np.arange(photos) % groups)
    found = calibration(validation, validation)
    assert (found.calibrator, found.candidates, found.temperature) == (None, (), None)
    assert (found.n_validation, found.n_groups) == (photos, groups)
    assert {says, "50", "10"} <= set(found.remark.replace(";", " ").replace(".", " ").split())


def test_classes_with_too_few_photos_or_groups_take_no_scale_of_their_own():
    """Five classes of 120 photos in groups, and one of 120 in 4 groups: nothing left out could judge its scale."""
    probabilities, labels = biased(600, 0)
    groups = np.where(labels == 0, np.arange(600) % 4, np.arange(600))
    for validation in (replace(predictions_of(probabilities, labels), together=groups),
                       predictions_of(*(values[(labels > 0) | (np.arange(600) < 30)] for values in (
                           probabilities, labels)))):
        assert [each.method for each in choose_calibrator(validation).candidates] == ["temperature"]


@pytest.mark.parametrize("share", [0.9, 1.0, 0.1, 0.0, 0.5])
def test_validation_photos_that_determine_no_temperature_give_none(share):
    """All right: the colder the better; all wrong: the hotter; all even: no matter. An end is no finding."""
    labels = [0, 1] * 30
    validation = predictions_of(np.where(np.eye(2)[labels] == 1, share, 1 - share), labels)
    assert fit_temperature(validation.probabilities, validation.labels) is None
    found = calibration(validation, validation)
    assert (found.temperature, found.calibrator, found.ece_after, found.bins_after) == (None, None, None, ())
    assert "do not determine a temperature" in found.remark


def test_without_validation_photos_the_reason_is_kept():
    found = calibration(predictions_of([[0.5, 0.5]], [0]), None, "They were trained on.")
    assert (found.temperature, found.remark, found.ece) == (None, "They were trained on.", 0.5)


@pytest.mark.slow
def test_a_calibration_that_is_kept_rarely_harms():
    """Of 300 validation parts of calibrated answers few get one, and on 20,000 other photos it costs little."""
    others = predictions_of(*overconfident(20_000, 1, 1))
    own = photo_losses(others.probabilities, others.labels)[0].mean()
    for photos, most_kept, most_lost in ((60, 0.12, 0.01), (330, 0.12, 0.002)):
        chosen = [choose_calibrator(predictions_of(*overconfident(photos, 1, seed))).calibrator
                  for seed in range(100, 400)]
        lost = [photo_losses(each.apply(others.probabilities), others.labels)[0].mean() - own
                for each in chosen if each is not None]
        assert len(lost) / 300 < most_kept
        assert sum(lost) / 300 < most_lost
