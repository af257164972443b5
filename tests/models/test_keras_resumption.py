"""The Keras room: training that goes on in a fresh network, and batches in parts."""

from __future__ import annotations

import numpy as np
import pytest
from small_networks import CLASSES, SIDE, small, unseen

from matlens.errors import ModelError

pytestmark = pytest.mark.keras

RNG = np.random.default_rng(3)
BATCHES = [(RNG.random((photos, SIDE, SIDE, 3), dtype=np.float32),
            np.eye(CLASSES, dtype=np.float32)[RNG.integers(0, CLASSES, photos)]) for photos in (8, 8, 5)]


def dropping(keras, optimizer):
    """Dropout, batch normalisation and a penalty."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential([
        keras.Input((SIDE, SIDE, 3)), keras.layers.Conv2D(8, 3, use_bias=False, name="conv"),
        keras.layers.BatchNormalization(),
        keras.layers.MaxPooling2D(4), keras.layers.Flatten(), keras.layers.Dropout(0.5),
        keras.layers.Dense(CLASSES, activation="softmax", kernel_regularizer=keras.regularizers.L2(1e-2))])
    model.compile(optimizer, "categorical_crossentropy", metrics=["accuracy"])
    return model


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["fast_adam", "adamw"])
def test_a_fresh_network_goes_on(keras, optimizer):
    """Moments, steps, statistics and dropout: of an .h5 two of ten of the optimiser's variables came back.

    The state is the same to the last bit. What is trained on it is so with --deterministic alone, which a process
    cannot take back (tests/faults); here TensorFlow's threads add up in any order.
    """
    from matlens.models.keras.classifier import KerasClassifier
    from matlens.models.keras.optimizers import fast_adam

    def fresh():
        classifier = KerasClassifier(dropping(keras, fast_adam(1e-2)))
        if optimizer == "adamw":
            classifier.use_adamw(0.05)
        return classifier

    whole, first, second = fresh(), fresh(), fresh()
    for classifier in (whole, first):
        classifier.train_epoch(BATCHES, unseen)
        classifier.learning_rate = 3e-3
    expected = whole.train_epoch(BATCHES[::-1], unseen)
    snapshot, state = first.snapshot(), first.training_state()
    second.resume(snapshot, state)
    assert second.learning_rate == pytest.approx(3e-3)
    for one, other in zip([*snapshot, *state.values()], [*second.snapshot(), *second.training_state().values()],
                          strict=True):
        np.testing.assert_array_equal(one, other)
    assert second.train_epoch(BATCHES[::-1], unseen).loss == pytest.approx(expected.loss, rel=1e-5)
    for one, other in zip(whole.snapshot(), second.snapshot(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def test_dropout_differs_from_step_to_step(keras):
    """Numbers that follow from the step must not be the same in each."""
    from matlens.models.keras.states import StepSeeds

    model = keras.Sequential([keras.Input((64,)), keras.layers.Dropout(0.5)])
    seeds, drawn = StepSeeds(model), []
    for step, part in ((1, 0), (1, 1), (2, 0), (1, 0)):
        seeds.set(step, part)
        drawn.append(np.asarray(model(np.ones((1, 64), np.float32), training=True)))
    np.testing.assert_array_equal(drawn[0], drawn[3])
    assert not any((drawn[one] == drawn[other]).all() for one, other in ((0, 1), (0, 2), (1, 2)))


def test_a_state_of_another_optimiser_is_refused(keras):
    """Half a state would be a training that nobody asked for."""
    from matlens.models.keras.classifier import KerasClassifier

    one, other = (KerasClassifier(small(keras, optimizer)) for optimizer in ("adam", "sgd"))
    with pytest.raises(ModelError, match="another optimiser"):
        one.resume(one.snapshot(), other.training_state())


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["fast_adam", "adamw"])
def test_a_batch_in_parts_gives_the_whole_batchs_step(keras, monkeypatch, optimizer):
    """Where memory is short, the training must be the one that was asked for: loss, accuracy, penalty, every weight."""
    import tensorflow

    from matlens.models.keras.classifier import KerasClassifier
    from matlens.models.keras.optimizers import fast_adam

    whole, parted = (KerasClassifier(small(keras, fast_adam(1e-3))) for _ in range(2))
    if optimizer == "adamw":
        whole.use_adamw(0.05)
        parted.use_adamw(0.05)
    train_on_batch, told = parted.model.train_on_batch, []

    def short_of_memory(images, labels, **options):
        if len(images) > 3:
            raise tensorflow.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
        return train_on_batch(images, labels, **options)

    monkeypatch.setattr(parted.model, "train_on_batch", short_of_memory)
    parted.micro_batches.on_halved = told.append
    parted.micro_batches.limit(6)
    for _ in range(3):
        expected, found = whole.train_epoch(BATCHES, unseen), parted.train_epoch(BATCHES, unseen)
        assert found.loss == pytest.approx(expected.loss, rel=1e-5)
        assert found.accuracy == expected.accuracy
    assert told == [2], "5 photos do not fit in one piece, so they are halved"
    for one, other in zip(whole.snapshot(), parted.snapshot(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=2e-5)
    assert parted.validate(BATCHES).loss == pytest.approx(whole.validate(BATCHES).loss, rel=1e-4)
