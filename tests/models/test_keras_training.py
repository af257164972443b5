"""Training in the Keras room: the same numbers as Keras' own `fit` and Adam, and mixed precision of the steps alone."""

from __future__ import annotations

import json

import numpy as np
import pytest
from small_networks import CLASSES, SIDE, small, unseen

from matlens.errors import DeviceError, ModelError
from matlens.models.protocol import BuildOrder, room_of

pytestmark = pytest.mark.keras


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.random((20, SIDE, SIDE, 3), dtype=np.float32), np.eye(CLASSES, dtype=np.float32)[
        rng.integers(0, CLASSES, 20)]


@pytest.fixture
def batches(data) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of 8, 8 and 4 photos: means over photos are not means over batches."""
    return [tuple(values[start:start + 8] for values in data) for start in range(0, 20, 8)]


@pytest.fixture
def ours(keras):
    from matlens.models.keras.optimizers import fast_adam

    return small(keras, fast_adam(1e-3))


@pytest.mark.slow
def test_an_epoch_is_keras_own_fit(keras, ours, data, batches):
    """Losses, accuracies and every weight, over 24 steps with a learning rate that falls: Adam(1e-3) must be Adam."""
    from matlens.models.keras.classifier import KerasClassifier

    theirs = small(keras, keras.optimizers.Adam(1e-3))
    classifier = KerasClassifier(ours)
    for epoch in range(8):
        if epoch == 5:
            classifier.learning_rate = theirs.optimizer.learning_rate = 1e-4
        expected = theirs.fit(*data, batch_size=8, shuffle=False, verbose=0).history
        read = []
        scores = classifier.train_epoch(batches, lambda step, scores, read=read: read.append((step, scores())))
        assert (scores.loss, scores.accuracy) == pytest.approx((expected["loss"][0], expected["accuracy"][0]), rel=1e-5)
        assert [step for step, _ in read] == [1, 2, 3]
        assert read[-1][1] == scores, "what is shown after the last step is the epoch's"
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    for one, other in zip(ours.optimizer.variables, theirs.optimizer.variables, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-6, err_msg=one.path)


def test_a_step_is_traced_once_for_each_size_of_a_batch(ours, batches, monkeypatch):
    """TensorFlow traces a function that makes variables a second time, which takes a large network ten seconds."""
    from matlens.models.keras.classifier import KerasClassifier

    traced, train_step = [], ours.train_step
    monkeypatch.setattr(ours, "train_step", lambda data: (traced.append(len(data)), train_step(data))[1])
    classifier = KerasClassifier(ours)
    for _ in range(2):
        classifier.train_epoch(batches, unseen)
    assert len(traced) == 2, "of 8 photos, and of 4"


@pytest.mark.parametrize("ending", [".h5", ".keras"])
def test_a_compiled_model_saved_from_a_notebook_is_keras_alone(keras, ours, batches, tmp_path, ending):
    """The optimiser goes along there, and whoever opens the file may not have matlens; training goes on as here.

    (From an .h5 it does not go on with Keras' own Adam either: "Unknown variable".)
    """
    path = tmp_path / f"model{ending}"
    ours.train_on_batch(*batches[0])
    ours.save(path)
    assert b"matlens" not in path.read_bytes()
    opened = keras.models.load_model(path)
    assert type(opened.optimizer) is keras.optimizers.Adam
    for model in (ours, opened) if ending == ".keras" else ():
        model.train_on_batch(*batches[1])
    for one, other in zip(ours.get_weights(), opened.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("precision", ["bfloat16", pytest.param("float16", marks=pytest.mark.slow)])
def test_mixed_precision_is_of_the_steps_alone(keras, ours, data, batches, tmp_path, precision):
    """The file, predictions and validation must be those of a float32 model, or the artifact would not agree."""
    from matlens.models.keras.classifier import KerasClassifier

    before = json.loads(ours.to_json())
    classifier = KerasClassifier(ours, precision=precision)
    exact = classifier.validate(batches[:1])
    mixed = classifier.train_epoch(batches[:1], unseen)
    assert mixed.loss == pytest.approx(exact.loss, rel=1e-2)
    assert mixed.loss != exact.loss, "it was computed in float32"
    assert json.loads(ours.to_json()) == before
    assert {values.dtype for values in ours.get_weights()} == {np.dtype(np.float32)}
    classifier.save(tmp_path / "m.h5", {})
    plain = keras.models.load_model(tmp_path / "m.h5")
    np.testing.assert_array_equal(classifier.predict(data[0]), plain.predict(data[0], verbose=0))


def test_float16_scales_the_loss_and_the_learning_rate_reaches_adam(keras, ours):
    """Gradients below 6e-8 would be 0; the plateau must slow the optimiser inside the one that scales."""
    from matlens.models.keras.classifier import KerasClassifier

    classifier = KerasClassifier(ours, precision="float16")
    classifier.learning_rate = 1e-4
    assert isinstance(ours.optimizer, keras.optimizers.LossScaleOptimizer)
    assert float(ours.optimizer.inner_optimizer.learning_rate) == pytest.approx(1e-4)
    assert classifier.learning_rate == pytest.approx(1e-4)


def test_the_room_refuses_float16_on_a_cpu(keras):
    """Before a network is built."""
    import tensorflow

    if tensorflow.config.list_physical_devices("GPU"):
        pytest.skip("there is a GPU")
    with pytest.raises(DeviceError, match="--precision float32"):
        room_of("vgg19_scratch").build(BuildOrder("vgg19_scratch", CLASSES, (32, 32), precision="float16"))


@pytest.mark.parametrize("at_once", [None, 2])
def test_a_weight_of_2_is_the_photo_twice(keras, data, at_once):
    """TensorFlow's own gradient of the cross-entropy of logits is wrong for labels that do not sum to 1. Adam's moments
    after a step are gradients."""
    from matlens.models.keras.classifier import KerasClassifier
    from matlens.models.keras.optimizers import fast_adam

    photos, labels, times = data[0][:4], data[1][:4], np.array([2, 1, 3, 1])
    weighted, repeated = (KerasClassifier(small(keras, fast_adam(1e-3))) for _ in range(2))
    weighted.micro_batches.limit(at_once)
    ours = weighted.train_epoch([(photos, labels * (times / times.mean()).astype(np.float32)[:, None])], unseen)
    again = np.repeat(np.arange(4), times)
    theirs = repeated.train_epoch([(photos[again], labels[again])], unseen)
    assert ours.loss == pytest.approx(theirs.loss, rel=1e-5)
    for one, other in zip(weighted.model.optimizer.variables, repeated.model.optimizer.variables, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-6, err_msg=one.path)


def pooled(keras, use_bias=True):
    """A convolution, averaged, under one dense layer: it divides into trunk and head."""
    keras.utils.set_random_seed(1)
    image = keras.Input((SIDE, SIDE, 3))
    maps = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(image))
    model = keras.Model(image, keras.layers.Dense(CLASSES, activation="softmax", use_bias=use_bias)(maps))
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    return model


def test_macro_f1_of_validation_is_that_of_the_answers_and_shifted_scores_are_answered(keras, data, batches):
    """What chooses an epoch; and what logit adjustment does: log p moves by the shift, but for a constant."""
    from sklearn.metrics import f1_score

    from matlens.models.keras.classifier import KerasClassifier

    classifier = KerasClassifier(pooled(keras))
    before = classifier.predict(data[0])
    assert classifier.validate(batches, macro_f1=True).macro_f1 == pytest.approx(
        f1_score(data[1].argmax(1), before.argmax(1), average="macro", zero_division=0))
    assert classifier.validate(batches).macro_f1 is None
    classifier.shift_logits(np.log([1, 2, 4]).astype(np.float32))
    expected = before * [1, 2, 4]
    np.testing.assert_allclose(classifier.predict(data[0]), expected / expected.sum(1, keepdims=True), rtol=1e-4)
    np.testing.assert_allclose(classifier.head().layers[-1].bias, np.log([1, 2, 4]), rtol=1e-6)


def test_a_model_whose_last_layer_has_no_biases_refuses_to_shift_its_scores(keras):
    from matlens.models.keras.classifier import KerasClassifier

    with pytest.raises(ModelError, match="--logit-adjustment"):
        KerasClassifier(pooled(keras, use_bias=False)).shift_logits(np.zeros(CLASSES, np.float32))
