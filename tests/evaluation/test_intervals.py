"""Intervals against SciPy's, and that they hold what they promise."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from scipy import stats

from builders import certain_predictions, drawn_predictions, predictions_of
from matlens.evaluation.inference.bootstrap import acceleration, bootstrap, from_draws, resampled, without_each
from matlens.evaluation.intervals import wilson
from matlens.evaluation.metrics.scores import judge, weighted_metrics
from matlens.evaluation.metrics.weighted import PredictedPhotos, WeightedPhotos
from matlens.evaluation.predictions import Predictions


@pytest.mark.parametrize("hits, n", [(0, 10), (10, 10), (1, 7), (371, 431), (0, 1)])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_wilson_is_scipys(hits, n, confidence):
    theirs = stats.binomtest(hits, n).proportion_ci(confidence, method="wilson")
    ours = wilson(hits, n, confidence)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_of_no_photo_there_is_no_interval():
    assert wilson(0, 0) is None
    with pytest.raises(ValueError, match="no photos"):
        bootstrap(lambda weights: {}, 0)


@pytest.mark.parametrize("method", ["percentile", "bca"])
@pytest.mark.parametrize("statistic", [np.mean, np.var], ids=["mean", "variance"])
def test_an_interval_from_draws_is_scipys_from_the_same_draws(method, statistic):
    """A skewed sample, so that the correction matters."""
    sample = np.random.default_rng(3).exponential(size=40)
    theirs = stats.bootstrap((sample,), statistic, n_resamples=1999, method=method, rng=np.random.default_rng(1))
    jackknife = np.array([statistic(np.delete(sample, i)) for i in range(40)]) if method == "bca" else None
    ours = from_draws(theirs.bootstrap_distribution, float(statistic(sample)), jackknife)
    assert ours.method == method and ours.draws == 1999
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval), rel=1e-9)


def intervals(predictions: Predictions, **options):
    """The bootstrap of every weighted metric."""
    photos = PredictedPhotos(predictions.probabilities, predictions.labels)
    found = bootstrap(lambda weights: weighted_metrics(WeightedPhotos(photos, weights)), photos.n_photos, **options)
    return {name: interval for name, (interval,) in found.items()}


def test_the_whole_bootstrap_is_scipys_up_to_its_noise():
    """SciPy draws photos one resample at a time; both have 2,000 draws, whose ends scatter by about 0.003."""
    def macro_f1(truth, answers):
        table = np.bincount(3 * truth + answers, minlength=9).reshape(3, 3)
        return (2 * np.diag(table) / (table.sum(axis=0) + table.sum(axis=1))).mean()

    predictions = drawn_predictions(200, 3)
    theirs = stats.bootstrap((predictions.labels, predictions.predicted), macro_f1, paired=True, vectorized=False,
                             n_resamples=2000, method="BCa", rng=np.random.default_rng(5))
    ours = intervals(predictions)["macro_f1"]
    assert ours.method == "bca"
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval), abs=0.012)


def test_the_same_seed_gives_the_same_interval_and_memory_bounds_do_not_change_it(monkeypatch):
    predictions = drawn_predictions(60, 3)
    first = intervals(predictions, draws=300)
    assert intervals(predictions, draws=300) == first != intervals(predictions, draws=300, seed=1)
    monkeypatch.setattr("matlens.evaluation.inference.bootstrap._CELLS", 60 * 7)
    again = intervals(predictions, draws=300)
    for name in ("accuracy", "macro_f1", "log_loss", "macro_auc"):
        assert (again[name].low, again[name].high) == pytest.approx((first[name].low, first[name].high), abs=1e-12)


def test_weights_are_draws_of_as_many_photos_and_all_but_one():
    drawn = np.concatenate(list(resampled(5, 1000, np.random.default_rng(0), 64)), axis=1)
    assert drawn.shape == (5, 1000)
    assert (drawn.sum(axis=0) == 5).all()
    np.testing.assert_allclose(drawn.mean(axis=1), 1, atol=0.15)  # five standard errors of sqrt(0.8 / 1000)
    np.testing.assert_array_equal(np.concatenate(list(without_each(3, 2)), axis=1), 1 - np.eye(3))


@pytest.mark.parametrize("right", [True, False])
def test_where_draws_tell_nothing_no_certainty_is_claimed(right):
    """All photos right: each draw is 100 %, which is not what is known. Accuracy falls back on the closed form."""
    labels = np.array([0, 1] * 5)
    found = judge(certain_predictions(labels if right else 1 - labels, labels, 2), ("a", "b")).fields["intervals"]
    assert found["macro_f1"] is None and found["roc_auc_macro"] is None
    assert [found["per_class"][name]["f1"] for name in "ab"] == [None, None]
    assert found["accuracy"] == wilson(10 * right, 10).to_json()


def test_undefined_draws_give_no_interval():
    assert from_draws(np.array([0.5, np.nan, np.nan]), 0.5) is None
    assert from_draws(np.array([0.5, 0.6]), np.nan) is None


def test_one_photo_is_no_reason_to_fail():
    found = judge(predictions_of([[0.2, 0.8]], [1]), ("a", "b")).fields["intervals"]
    assert found["accuracy"] == wilson(1, 1).to_json()


def test_beyond_two_thousand_photos_percentiles_do():
    assert intervals(drawn_predictions(2001, 3), draws=100)["accuracy"].method == "percentile"


def test_equal_influence_has_no_acceleration():
    assert acceleration(np.array([0.5, 0.5])) == 0
    assert acceleration(np.array([1.0, np.nan, 2.0])) == 0  # symmetric
    assert acceleration(np.array([0, 0, 0, 1.0])) == pytest.approx(  # by hand: influence 1/4 thrice, -3/4 once
        (3 / 64 - 27 / 64) / (6 * (3 / 16 + 9 / 16) ** 1.5))


@pytest.mark.slow
def test_intervals_hold_the_truth_in_95_of_100_test_parts():
    """2,000 test parts of 150 photos from a known source, two classes with normal scores at distance d.

    The truth in closed form, Phi the normal distribution function: accuracy Phi(d / 2), macro F1 the same by symmetry,
    AUC Phi(d / sqrt 2). 2,000 parts tell the coverage to 0.5 points (one standard error).
    """
    distance, n, parts = 1.6, 150, 2000
    truth = {"accuracy": NormalDist().cdf(distance / 2), "macro_f1": NormalDist().cdf(distance / 2),
             "macro_auc": NormalDist().cdf(distance / 2**0.5)}
    rng = np.random.default_rng(11)
    held = dict.fromkeys([*truth, "wilson"], 0)
    for part in range(parts):
        labels = rng.integers(2, size=n)
        positive = 1 / (1 + np.exp(-distance * (rng.normal(size=n) + distance * (labels - 0.5))))
        predictions = predictions_of(np.stack([1 - positive, positive], axis=1), labels)
        found = intervals(predictions, draws=600, seed=part)
        for name, value in truth.items():
            held[name] += found[name].low <= value <= found[name].high
        hits = int((predictions.predicted == labels).sum())
        closed = wilson(hits, n)
        held["wilson"] += closed.low <= truth["accuracy"] <= closed.high
    assert {name: count / parts for name, count in held.items()} == pytest.approx(dict.fromkeys(held, 0.95), abs=0.02)
