"""Training a head on features: Keras' arithmetic without Keras, and the same as training the whole model."""

from __future__ import annotations

import numpy as np
import pytest
from stand_ins import SILENT

from matlens.models.head import Dense
from matlens.training.callbacks import EarlyStopping
from matlens.training.feature_batches import FeatureBatches
from matlens.training.head_training import Adam, HeadTrainer
from matlens.training.loop import fit

CLASSES, DEPTH, HIDDEN = 4, 24, 16


def layers(seed: int = 0) -> list[Dense]:
    rng = np.random.default_rng(seed)
    return [Dense(rng.normal(0, 0.3, (DEPTH, HIDDEN)).astype(np.float32), np.zeros(HIDDEN, np.float32), "relu"),
            Dense(rng.normal(0, 0.3, (HIDDEN, CLASSES)).astype(np.float32), np.zeros(CLASSES, np.float32), "softmax")]


def batches(n: int = 20, size: int = 8) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(1)
    return [(rng.random((size, DEPTH), dtype=np.float32) * 3,
             np.eye(CLASSES, dtype=np.float32)[rng.integers(0, CLASSES, size)]) for _ in range(n)]


def silent(step, scores):
    """No progress."""


@pytest.mark.keras
def test_twenty_steps_are_keras_own(keras):
    """Loss, accuracy and every weight: who reads "Adam(1e-3)" in a paper must find Adam(1e-3) here."""
    start = layers()
    model = keras.Sequential([keras.Input((DEPTH,)), keras.layers.Dense(HIDDEN, "relu"),
                              keras.layers.Dense(CLASSES, "softmax")])
    model.set_weights([start[0].kernel, start[0].bias, start[1].kernel, start[1].bias])
    model.compile(keras.optimizers.Adam(1e-2), "categorical_crossentropy", metrics=["accuracy"])
    trainer = HeadTrainer(start, 0.0, 1e-2, seed=0)
    for batch in batches():
        ours = trainer.train_epoch([batch], silent)
        model.reset_metrics()
        theirs = model.train_on_batch(*batch, return_dict=True)
        assert ours.loss == pytest.approx(float(theirs["loss"]), rel=1e-4)
        assert ours.accuracy == pytest.approx(float(theirs["accuracy"]))
    found = [values for layer in trainer.head().layers for values in (layer.kernel, layer.bias)]
    for ours, theirs in zip(found, model.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    validated = trainer.validate(batches(3))
    loss, accuracy = model.evaluate(*(np.concatenate(values) for values in zip(*batches(3), strict=True)), verbose=0)
    assert (validated.loss, validated.accuracy) == (pytest.approx(loss, rel=1e-4), pytest.approx(accuracy))


@pytest.mark.keras
@pytest.mark.slow
@pytest.mark.real
def test_a_head_on_features_is_the_model_trained_end_to_end(keras, shared, drawn):
    """The cache must not change what is learnt: dropout 0, a fixed order, 20 steps, weights within 1e-3."""
    from matlens.data.pixels.reader import PhotoReader
    from matlens.models.keras.classifier import KerasClassifier
    from matlens.models.keras.transfer import build_transfer
    from matlens.models.registry import spec_of

    shape = (96, 96, 3)
    keras.utils.set_random_seed(0)
    file = next((shared / "weights" / "keras" / "models").glob("mobilenet_v2*1.0_224_no_top.h5"))
    model, base = build_transfer(spec_of("mobilenetv2_transfer"), shape, CLASSES, file, {})
    model.get_layer("dropout").rate = 0.0
    classifier = KerasClassifier(model, base)
    rng = np.random.default_rng(3)
    files = sorted(drawn.rglob("*.jpg"))
    every = np.stack([PhotoReader(shape[:2]).read(path) for path in files]).astype(np.float32) / 255
    truth = np.eye(CLASSES, dtype=np.float32)[[sorted({p.parent for p in files}).index(p.parent) for p in files]]
    orders = [rng.permutation(len(files))[:8] for _ in range(20)]
    photos = [(every[chosen], truth[chosen]) for chosen in orders]
    trainer = HeadTrainer(classifier.head().layers, 0.0, 1e-3, seed=0)
    features = [(classifier.features(images).mean(axis=(1, 2)), labels) for images, labels in photos]
    trainer.train_epoch(features, silent)
    classifier.train_epoch(photos, silent)
    for ours, theirs in zip(trainer.head().layers, classifier.head().layers, strict=True):
        np.testing.assert_allclose(ours.kernel, theirs.kernel, atol=1e-3)
        np.testing.assert_allclose(ours.bias, theirs.bias, atol=1e-3)


def test_dropout_leaves_its_share_at_the_same_mean_and_repeats_itself():
    """Dropout that drew from a shared generator could not be resumed, or repeated."""
    trainer = HeadTrainer(layers(), 0.6, 1e-3, seed=5)
    kept = trainer._dropout_mask((200, 100))
    assert np.unique(kept).tolist() == [0.0, pytest.approx(2.5)]
    assert kept.mean() == pytest.approx(1, abs=0.02)
    np.testing.assert_array_equal(kept, HeadTrainer(layers(), 0.6, 1e-3, seed=5)._dropout_mask((200, 100)))
    assert not np.array_equal(kept, HeadTrainer(layers(), 0.6, 1e-3, seed=6)._dropout_mask((200, 100)))


def test_adams_first_step_is_the_learning_rate_whatever_the_gradient():
    """By hand: mean and square are corrected to g and g squared, so the first step is the rate times g's sign."""
    weights = np.zeros(3, np.float32)
    Adam(0.5).update([weights], [np.array([0.1, -7.0, 0.0], np.float32)])
    np.testing.assert_allclose(weights, [-0.5, 0.5, 0.0], atol=1e-3)


def test_the_best_epoch_is_kept():
    """The head must end as it was at the lowest validation loss, not at the last epoch."""
    features = tuple(values.astype(np.float32) for values in (np.random.default_rng(2).normal(size=(40, DEPTH)),))
    labels = np.arange(40) % CLASSES
    train = FeatureBatches(features, labels, CLASSES, 8, seed=1, shuffle=True)
    val = FeatureBatches((features[0][::-1].copy(),), labels, CLASSES, 8)
    trainer = HeadTrainer.fresh(DEPTH, HIDDEN, CLASSES, 0.0, 0.05, seed=1)
    history = fit(trainer, train, val, SILENT, epochs=8)
    assert trainer.validate(val).loss == pytest.approx(history.best.val.loss)
    assert EarlyStopping().patience == 5
