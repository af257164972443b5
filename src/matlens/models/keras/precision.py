"""Mixed precision in Keras: of the training step alone."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras

from matlens.models.precision import Precision


def gpu_capability() -> tuple[int, int] | None:
    """The first GPU's compute capability; None where TensorFlow sees none, or Keras runs on something else."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow

    gpus = tensorflow.config.list_physical_devices("GPU")
    found = tensorflow.config.experimental.get_device_details(gpus[0]).get("compute_capability") if gpus else None
    return None if found is None else (int(found[0]), int(found[1]))


@contextmanager
def mixed(model: keras.Model, precision: Precision) -> Iterator[None]:
    """Inside, all layers but the last (probabilities, and the loss of them) compute in `precision`.

    A step that is traced inside stays so; the model's configuration, and what is traced outside, is float32.
    """
    layers = [] if precision == "float32" else _layers(model)[:-1]
    before = [layer.dtype_policy for layer in layers]
    try:
        for layer in layers:
            layer.dtype_policy = f"mixed_{precision}"
        yield
    finally:
        for layer, policy in zip(layers, before, strict=True):
            layer.dtype_policy = policy


def _layers(model: keras.Model) -> list[keras.layers.Layer]:
    found = []
    for layer in model.layers:
        found += _layers(layer) if isinstance(layer, keras.Model) else [layer]
    return found
