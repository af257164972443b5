"""Keras on PyTorch where a GPU would record its steps: of bytes, recorded and replayed, the numbers are Keras' own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

RECORDED = """
import keras, numpy as np, torch
from fake_recorder import FakeRecorder
from matlens.models.keras.backends.base import KerasStepper
from matlens.models.keras.backends.torch import BACKEND
from matlens.models.keras.backends.torch_features import KerasExtractor
from matlens.models.keras.backends.torch_steps import DeviceStepper, spared_passes
from matlens.models.keras.classifier import KerasClassifier
from matlens.types import BytePhotos

SIDE, CLASSES = 16, 3
rng = np.random.default_rng(0)
pixels = rng.integers(0, 256, (8, SIDE, SIDE, 3), dtype=np.uint8)
labels = np.eye(CLASSES, dtype=np.float32)[rng.integers(0, CLASSES, 8)]
photos = pixels.astype(np.float32) / np.float32(255)

def network(rate=0.0, seed=None):
    keras.utils.set_random_seed(1)
    image = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.Rescaling(2.0, offset=-1.0)(image)
    x = keras.layers.Conv2D(6, 3, padding="same", use_bias=False, name="conv")(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.ReLU(max_value=6)(x)
    x = keras.layers.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False, name="depthwise")(x)
    x = keras.layers.MaxPooling2D(2)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(rate, seed=seed)(x)
    model = keras.Model(image, keras.layers.Dense(CLASSES, activation="softmax",
                                                  kernel_regularizer=keras.regularizers.L2(1e-2))(x))
    model.compile(keras.optimizers.Adam(1e-2), "categorical_crossentropy", metrics=["accuracy"])
    return model

cpu = torch.device("cpu")
def trained(make, steps=8, photos=BytePhotos(pixels), **options):
    BACKEND.stepper = make
    classifier = KerasClassifier(network(**options))
    batches = [(photos, labels)] * steps + [(photos[:3], labels[:3])]
    scores = [classifier.train_epoch(batches, lambda *_: None) for _ in range(2)]
    return scores, classifier.validate(batches), classifier.snapshot()

def same(one, other):
    for first, second in zip([*one[0], one[1]], [*other[0], other[1]], strict=True):
        assert abs(first.loss - second.loss) < 1e-4 * first.loss and abs(first.accuracy - second.accuracy) < 1e-6
    for first, second in zip(one[2], other[2], strict=True):
        np.testing.assert_allclose(first, second, atol=1e-3)

def by_keras(model):
    return KerasStepper(model, BACKEND.as_input)

own = trained(by_keras)
recorder = FakeRecorder()
same(own, trained(lambda model: DeviceStepper(model, cpu, recorder)))
assert recorder.recorded == 2 and recorder.replayed > 12, vars(recorder)  # training and validation, once each
refusing = FakeRecorder(RuntimeError("operation not permitted when stream is capturing"))
same(own, trained(lambda model: DeviceStepper(model, cpu, refusing)))
assert refusing.recorded == 2 and refusing.replayed == 0

dropped = [trained(make, rate=0.5) for make in (
    by_keras, lambda model: DeviceStepper(model, cpu, FakeRecorder()))]
same(*dropped)
assert abs(dropped[0][0][0].loss - own[0][0].loss) > 1e-4  # dropout was there

model = network()
assert DeviceStepper.refusal(model) == ""
for change in (dict(loss="mse"), dict(metrics=["accuracy", "mae"]), dict(optimizer="sgd"),
               dict(optimizer=keras.optimizers.Adam(clipnorm=1.0))):
    model.compile(**{"optimizer": "adam", "loss": "categorical_crossentropy", "metrics": ["accuracy"], **change})
    assert DeviceStepper.refusal(model), change

trunk = keras.Model(model.inputs[0], model.layers[6].output)
plain = KerasExtractor(trunk, cpu, None)
expected = keras.ops.convert_to_numpy(trunk(photos, training=False))
np.testing.assert_allclose(plain(pixels, False), expected, atol=1e-5)
np.testing.assert_allclose(plain(pixels, True), expected.mean((1, 2)), atol=1e-5)

class Seen(torch.overrides.TorchFunctionMode):
    # Where the maps lie in memory that convolutions and poolings take.
    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in (torch.nn.functional.conv2d, torch.nn.functional.max_pool2d, torch.conv2d):
            laid.append(args[0].is_contiguous(memory_format=torch.channels_last))
        return func(*args, **(kwargs or {}))

laid = []
with torch.no_grad(), Seen(), spared_passes():
    model(photos, training=False)
assert len(laid) >= 3 and all(laid), laid
print("done")
"""


@pytest.mark.slow
@pytest.mark.torch
def test_recorded_steps_are_keras_own():
    """Loss, accuracy, every weight, with dropout and without, and where the device refuses to record."""
    pytest.importorskip("keras")
    pytest.importorskip("torch")
    done = subprocess.run([sys.executable, "-c", RECORDED], text=True, capture_output=True, check=False, env={
        **os.environ, "KERAS_BACKEND": "torch", "MATLENS_BYTES_TO_DEVICE": "1",
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])})
    assert (done.returncode, done.stdout.strip()) == (0, "done"), done.stderr[-3000:]
