"""Small networks and batches that several tests of the rooms train."""

from __future__ import annotations

import numpy as np

SIDE, CLASSES = 16, 3

PHOTO_BATCHES = [(np.random.default_rng(number).random((4, 64, 64, 3), dtype=np.float32),
                  np.eye(CLASSES, dtype=np.float32)[[0, 1, 2, number]]) for number in range(3)]
"""Of 64 pixels, which GoogLeNet's five halvings leave something of."""


def unseen(step, read):
    """No progress."""


def small(keras, optimizer):
    """Convolutions and dense layers with a penalty, as VGG19 has them."""
    keras.utils.set_random_seed(1)
    penalty = keras.regularizers.L2(1e-2)
    model = keras.Sequential([
        keras.Input((SIDE, SIDE, 3)),
        keras.layers.Conv2D(8, 3, padding="same", activation="relu", kernel_regularizer=penalty, name="conv"),
        keras.layers.MaxPooling2D(4), keras.layers.Flatten(),
        keras.layers.Dense(CLASSES, activation="softmax", kernel_regularizer=penalty)])
    model.compile(optimizer, "categorical_crossentropy", metrics=["accuracy"])
    return model
