"""The optimisers and the loss that classifiers are compiled with."""

import keras

from matlens.models.keras.backends import backend


def fast_adam(learning_rate: float) -> keras.optimizers.Adam:
    """Return keras.optimizers.Adam(learning_rate), which takes the back end's own kernel where there is one.

    It is no class of its own, because Keras would write that class' name into the files of a model, which then opened
    with matlens alone.
    """
    adam = keras.optimizers.Adam(learning_rate)
    backend().quicken(adam)
    return adam


def compile_classifier(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> None:
    """Compile a model with the guide's loss and metric."""
    model.compile(optimizer, "categorical_crossentropy", metrics=["accuracy"])
