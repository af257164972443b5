"""Calibration by hand, against SciPy, and where a temperature cannot be told."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binned_statistic

from builders import predictions_of
from matlens.evaluation.metrics.calibration import at_temperature, calibration, fit_temperature, reliability
from matlens.evaluation.metrics.weighted import photo_losses


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


def test_temperature_one_changes_nothing_and_heat_levels():
    probabilities = np.array([[0.7, 0.2, 0.1], [1.0, 0.0, 0.0]])
    np.testing.assert_allclose(at_temperature(probabilities, 1), probabilities, atol=1e-12)
    np.testing.assert_allclose(at_temperature([[0.8, 0.2]], 2), [[2 / 3, 1 / 3]])  # sqrt(0.8) : sqrt(0.2) is 2 : 1
    assert at_temperature(probabilities, 5).argmax(axis=1).tolist() == [0, 0]


@pytest.mark.parametrize("sharpness", [0.5, 1, 3])
def test_the_temperature_is_found_where_it_is_known(sharpness):
    """20,000 photos tell it to about a hundredth. At the optimum the slope is 0: sum of (E_p z - z_y) over photos."""
    probabilities, labels = overconfident(20_000, sharpness, 1)
    temperature = fit_temperature(probabilities, labels)
    assert temperature == pytest.approx(sharpness, rel=0.05)
    logits, mended = np.log(probabilities), at_temperature(probabilities, temperature)
    slope = (mended * logits).sum(axis=1) - np.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
    assert abs(slope.mean()) < 1e-3 * np.abs(slope).mean()


def test_what_validation_mends_is_mended_on_test():
    found = calibration(predictions_of(*overconfident(3000, 3, 2)), predictions_of(*overconfident(3000, 3, 3)))
    assert (found.temperature, found.n_validation, found.remark) == (pytest.approx(3, rel=0.1), 3000, "")
    assert found.ece > 0.1 > 3 * found.ece_after  # a fifth of overconfidence, against the noise of 3,000 photos
    probabilities, labels = overconfident(3000, 3, 2)
    plain = [values.mean() for values in photo_losses(probabilities, labels)]
    assert found.log_loss_after < plain[0] and found.brier_after < plain[1]
    assert sum(each.n for each in found.bins_after) == 3000


@pytest.mark.parametrize("share", [0.9, 1.0, 0.1, 0.0, 0.5])
def test_validation_photos_that_determine_no_temperature_give_none(share):
    """All right: the colder the better; all wrong: the hotter; all even: no matter. An end is no finding."""
    labels = [0, 1, 0, 1]
    validation = predictions_of(np.where(np.eye(2)[labels] == 1, share, 1 - share), labels)
    assert fit_temperature(validation.probabilities, validation.labels) is None
    found = calibration(validation, validation)
    assert (found.temperature, found.ece_after, found.bins_after) == (None, None, ())
    assert "do not determine a temperature" in found.remark


def test_without_validation_photos_the_reason_is_kept():
    found = calibration(predictions_of([[0.5, 0.5]], [0]), None, "They were trained on.")
    assert (found.temperature, found.remark, found.ece) == (None, "They were trained on.", 0.5)
