"""A linear head is the optimum that scikit-learn finds, and answers the same when standardisation is folded into it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from matlens.errors import ModelError
from matlens.system.shards.gathered import ShardedRows
from matlens.training.probe import blocks
from matlens.training.probe.logistic import Linear, Standardisation, fit, fits

PHOTOS, DEPTH, CLASSES = 90, 24, 3


def drawn(seed: int = 0, photos: int = PHOTOS) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, K) of classes that overlap, each on a scale of its own, far from 0."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, photos)
    centres = np.random.default_rng(7).normal(size=(CLASSES, DEPTH))
    features = (centres[labels] + 2 * rng.normal(size=(photos, DEPTH))) * np.logspace(-3, 3, DEPTH) + 5
    return features.astype(np.float32), labels


def zero() -> Linear:
    return Linear(np.zeros((DEPTH, CLASSES)), np.zeros(CLASSES))


def objective(head: Linear, features: np.ndarray, labels: np.ndarray, strength: float, weights: np.ndarray) -> float:
    """The loss by its definition, in scikit-learn's words."""
    from sklearn.metrics import log_loss

    loss = log_loss(labels, np.exp(head.log_probabilities(features)), sample_weight=weights, labels=range(CLASSES))
    return float(loss + strength / 2 * (head.kernel**2).sum())


@pytest.mark.parametrize("strength", [1.0, 0.01, 1e-4])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_the_fit_is_scikit_learns_optimum(strength, is_weighted):
    """A fit that stopped early would be another strength than the one that is reported."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    features, labels = drawn()
    weights = np.random.default_rng(1).uniform(0.2, 3, PHOTOS) if is_weighted else np.ones(PHOTOS)
    given: Any = weights if is_weighted else None
    standard = StandardScaler().fit_transform(features.astype(np.float64))
    np.testing.assert_allclose(Standardisation.of(features).applied(features), standard, atol=1e-4)
    theirs = LogisticRegression(C=1 / (strength * weights.sum()), tol=1e-10, max_iter=100_000).fit(
        standard, labels, sample_weight=weights)
    best = objective(Linear(theirs.coef_.T, theirs.intercept_), standard, labels, strength, weights)
    assert objective(fit(standard, labels, strength, zero(), given), standard, labels, strength, weights) - best < 1e-4
    *_, warm = fits(standard, labels, CLASSES, (strength, 0.5), weights=given)
    of_warm = min(strength, 0.5)
    elsewhere = fit(standard, labels, strength, warm, given)
    assert abs(objective(elsewhere, standard, labels, strength, weights) - best) < 1e-4, "wherever it begins"
    assert of_warm == 0.5 or objective(warm, standard, labels, strength, weights) - best < 1e-4
    assert theirs.n_iter_[0] < 100_000


@pytest.mark.parametrize("is_weighted", [False, True])
def test_more_features_than_photos_have_the_same_optimum(is_weighted):
    """They are turned into a basis of as many directions as photos; two photos are copies, and leave one of them empty.
    """
    features, labels = drawn()
    features = np.concatenate([features[:18], features[:2]])
    labels = np.concatenate([labels[:18], labels[:2]])
    assert features.shape[1] > len(features)
    standard = Standardisation.of(features).applied(features)
    weights = np.random.default_rng(1).uniform(0.2, 3, len(labels)) if is_weighted else np.ones(len(labels))
    heads = list(fits(standard, labels, CLASSES, (0.5, 0.01), weights=weights if is_weighted else None))
    for strength, head in zip((0.5, 0.01), heads, strict=True):
        assert head.kernel.shape == (DEPTH, CLASSES)
        best = fit(standard, labels, strength, zero(), weights)
        assert objective(head, standard, labels, strength, weights) == pytest.approx(
            objective(best, standard, labels, strength, weights), abs=5e-5)
        np.testing.assert_allclose(head.kernel, best.kernel, atol=0.05)


def test_a_weight_of_two_is_a_photo_twice():
    """Class weights that meant anything else could not be explained."""
    features, labels = drawn()
    standard = Standardisation.of(features).applied(features)
    twice = np.where(labels == 1, 2.0, 1.0)
    repeated = np.concatenate([standard, standard[labels == 1]])
    ours = fit(standard, labels, 0.1, zero(), twice)
    theirs = fit(repeated, np.concatenate([labels, labels[labels == 1]]), 0.1, zero())
    np.testing.assert_allclose(ours.log_probabilities(standard), theirs.log_probabilities(standard), atol=0.02)
    assert not np.allclose(ours.bias, fit(standard, labels, 0.1, zero()).bias, atol=0.02)


def test_the_folded_head_answers_the_same_of_features_as_they_are():
    """The artifact, Grad-CAM and the model file hold one dense layer and know nothing of means and deviations."""
    features, labels = drawn()
    standard = Standardisation.of(features)
    fitted = fit(standard.applied(features), labels, 0.01, zero())
    head = standard.folded(fitted)
    assert [(layer.kernel.shape, layer.kernel.dtype.name) for layer in head.layers] == [((DEPTH, CLASSES), "float32")]
    others = drawn(seed=1)[0]
    wanted = standard.applied(others) @ fitted.kernel + fitted.bias
    added_up = np.abs(others) @ np.abs(head.layers[0].kernel) + np.abs(head.layers[0].bias)
    rounding = (DEPTH + 3) * np.finfo(np.float32).eps / 2 * added_up  # Higham 2002, section 3.1
    assert (np.abs(head.logits(others[:, None, None, :]) - wanted) <= rounding).all()
    np.testing.assert_allclose(head.logits(others[:, None, None, :]), wanted, atol=0.05)


def test_a_feature_that_is_the_same_for_all_training_photos_counts_for_nothing():
    """Divided by its rounding errors it would decide everything as soon as a photo differs."""
    features, labels = drawn()
    features[:, 3] = 0.1 + np.float32(1e-8) * (np.arange(PHOTOS) % 3)  # float32's numbers are 7e-9 apart there
    features[:, 4] = 0
    standard = Standardisation.of(features)
    head = standard.folded(fit(standard.applied(features), labels, 1e-4, zero()))
    assert not head.layers[0].kernel[3:5].any()
    assert head.layers[0].kernel[5:].any(axis=1).all()
    others = drawn(seed=1)[0]
    others[:, 3:5] = 1000
    assert np.isfinite(head.logits(others[:, None, None, :])).all()


@pytest.mark.parametrize("present", [(0,), (0, 2)])
def test_a_class_without_a_training_photo_is_improbable_not_impossible(present):
    """Its logit would go to minus infinity; a photo of it among the others would have an infinite loss."""
    features, labels = drawn()
    labels = np.asarray(present)[labels % len(present)]
    standard = Standardisation.of(features).applied(features)
    for head in fits(standard, labels, CLASSES, (1, 0.01, 1e-5)):
        probabilities = np.exp(head.log_probabilities(standard))
        assert np.isfinite(head.kernel).all()
        missing = np.delete(probabilities, present, axis=1)
        assert missing.min() > 0
        assert missing.max() < 0.1


def test_the_same_features_give_the_same_bytes():
    """A run that was killed and started again ends as if it had been left alone."""
    features, labels = drawn()
    standard = Standardisation.of(features).applied(features)
    first, again = ([head.kernel.tobytes() for head in fits(standard, labels, CLASSES, (0.1, 0.01))] for _ in range(2))
    assert first == again


def test_features_that_are_no_numbers_are_refused_by_their_count():
    """A head of NaN would answer the first class for everything."""
    features, _ = drawn()
    features[3, 5] = np.nan
    features[4, 6] = np.inf
    with pytest.raises(ModelError, match=f"2 of {DEPTH} features"):
        Standardisation.of(features)


def test_features_that_stay_on_the_disk_give_the_same_head(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a million photos not one copy fits into memory; blocks of five photos are summed up in another order."""
    features, labels = drawn()
    order = np.random.default_rng(0).permutation(len(features))
    rows = ShardedRows((features[order],), np.argsort(order))
    monkeypatch.setattr(blocks, "_NUMBERS", 5 * features.shape[1])
    whole, by_blocks = Standardisation.of(features), Standardisation.of(rows)
    np.testing.assert_allclose(by_blocks.mean, whole.mean, rtol=1e-9)
    np.testing.assert_allclose(by_blocks.deviation, whole.deviation, rtol=1e-6)
    standard, later = whole.applied(features), whole.applied_later(rows)
    weights = np.random.default_rng(1).uniform(0.2, 3, len(labels)).astype(np.float32)
    ours, theirs = fit(later, labels, 0.1, zero(), weights), fit(standard, labels, 0.1, zero(), weights)
    np.testing.assert_allclose(ours.log_probabilities(later), theirs.log_probabilities(standard), atol=1e-5)
    assert ours.passes == theirs.passes
