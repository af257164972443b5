"""Keras on other back ends than TensorFlow: what they can is the same, what they cannot is refused with a way out."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from matlens.errors import ModelError

ON_TORCH = """
import os
import numpy as np
import keras
assert keras.backend.backend() == "torch"
from matlens.models.keras.classifier import KerasClassifier
from matlens.models.keras.optimizers import fast_adam
keras.utils.set_random_seed(0)
image = keras.Input((8, 8, 3))
x = keras.layers.Conv2D(4, 3, activation="relu", name="conv")(image)
x = keras.layers.GlobalAveragePooling2D()(x)
model = keras.Model(image, keras.layers.Dense(3, activation="softmax")(x))
model.compile(fast_adam(1e-2), "categorical_crossentropy", metrics=["accuracy"])
classifier = KerasClassifier(model)
photos = np.random.default_rng(0).random((6, 8, 8, 3), dtype=np.float32)
classes = np.array([0, 1, 2, 0, 1, 2])

features, gradients = classifier.features_and_gradients(photos, classes, "conv")
head = classifier.head()
expected = head.gradients(head.forward(features), classes, features)
np.testing.assert_allclose(gradients, expected, atol=1e-6)

start, labels = classifier.snapshot(), np.eye(3, dtype=np.float32)[classes]
ends = []
for size in (None, 2):
    model.set_weights(start)
    model.compile(fast_adam(1e-2), "categorical_crossentropy", metrics=["accuracy"])
    classifier.micro_batches.limit(size)
    scores = classifier.train_epoch([(photos, labels)], lambda *_: None)
    ends.append(classifier.snapshot())
for whole, parts in zip(*ends, strict=True):
    np.testing.assert_allclose(parts, whole, atol=1e-5)
print("done")
"""


@pytest.mark.slow
@pytest.mark.torch
def test_keras_on_pytorch_differentiates_and_trains_in_parts():
    """Against the head's closed form, and against the step of the whole batch."""
    pytest.importorskip("keras")
    pytest.importorskip("torch")
    done = subprocess.run([sys.executable, "-c", ON_TORCH], text=True, capture_output=True, check=False,
                          env={**os.environ, "KERAS_BACKEND": "torch"})
    assert (done.returncode, done.stdout.strip()) == (0, "done"), done.stderr[-3000:]


@pytest.mark.keras
def test_a_back_end_that_cannot_differentiate_says_which_can(keras):
    """JAX's, say: an ImportError of TensorFlow's would send people to install it."""
    from matlens.models.keras.backends.base import Backend

    with pytest.raises(ModelError, match=r"'conv'.*KERAS_BACKEND=tensorflow"):
        Backend().features_and_gradients(None, None, None, None, "conv")
