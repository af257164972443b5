"""How a training step is computed: in mixed precision, and in parts of the batch where memory is short."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras

from matlens.models.keras.backends import backend
from matlens.models.micro_batches import Parts
from matlens.models.precision import Precision


class Accumulation:
    """Adds up the gradients of a batch's parts; the weights change once all of them are there."""

    def __init__(self, model: keras.Model) -> None:
        self._model, self.optimizer = model, model.optimizer
        self._gradients: Any = None

    def train_on(self, images: Any, labels: Any, parts: Parts, seed_part: Callable[[int], None]) -> dict[str, Any]:
        """Do one step; return the batch's loss and metrics as `train_on_batch` does.

        Raises DeviceError where the back end cannot compute a batch in parts.
        """
        model, variables = self._model, self._model.trainable_variables
        if not model.optimizer.built:
            model.optimizer.build(variables)
        self._gradients = self._gradients or backend().part_gradients(model)
        sums: list[Any] = []
        loss, logs = 0.0, {}
        for number, (start, end) in enumerate(parts):
            seed_part(number)
            share = (end - start) / len(images)
            x, y = (keras.ops.convert_to_tensor(values[start:end]) for values in (images, labels))
            part_loss, predicted, gradients = self._gradients(x, y, keras.ops.convert_to_tensor(share, "float32"))
            sums = [total + gradient for total, gradient in zip(sums, gradients, strict=True)] if sums else gradients
            loss += float(part_loss) * share
            logs = model.compute_metrics(x, y, predicted)
        model.optimizer.apply(sums, variables)
        return {**logs, "loss": loss}


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
    flat = []
    for layer in model.layers:
        flat += _layers(layer) if isinstance(layer, keras.Model) else [layer]
    return flat
