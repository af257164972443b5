"""A step of the optimiser on a batch that is computed in parts, where memory is short."""

from collections.abc import Callable
from typing import Any

import keras

from matlens.errors import ModelError
from matlens.models.micro_batches import Parts

_GPU_IS_FULL = ("CUDA_ERROR_OUT_OF_MEMORY", "out of memory")


def is_out_of_memory(error: Exception) -> bool:
    """Whether the backend, or NumPy, found no memory."""
    if isinstance(error, MemoryError):
        return True
    if keras.backend.backend() != "tensorflow":
        return any(words in str(error) for words in _GPU_IS_FULL)
    import tensorflow

    return isinstance(error, tensorflow.errors.ResourceExhaustedError) or (
        isinstance(error, tensorflow.errors.InternalError) and any(words in str(error) for words in _GPU_IS_FULL))


class Accumulation:
    """Adds up the gradients of a batch's parts; weights change once they are all there."""

    def __init__(self, model: keras.Model) -> None:
        self._model, self.optimizer = model, model.optimizer
        self._compiled: Any = None

    def train_on(self, images: Any, labels: Any, parts: Parts, seed_part: Callable[[int], None]) -> dict[str, Any]:
        """One step; loss and metrics of the batch, as `train_on_batch` gives them. Raises ModelError."""
        model, variables = self._model, self._model.trainable_variables
        if not model.optimizer.built:
            model.optimizer.build(variables)
        gradients_of = self._gradients()
        sums: list[Any] = []
        loss, logs = 0.0, {}
        for number, (start, end) in enumerate(parts):
            seed_part(number)
            share = (end - start) / len(images)
            x, y = (keras.ops.convert_to_tensor(values[start:end]) for values in (images, labels))
            part_loss, predicted, gradients = gradients_of(x, y, keras.ops.convert_to_tensor(share, "float32"))
            sums = [one + other for one, other in zip(sums, gradients, strict=True)] if sums else gradients
            loss += float(part_loss) * share
            logs = model.compute_metrics(x, y, predicted)
        model.optimizer.apply(sums, variables)
        return {**logs, "loss": loss}

    def _gradients(self) -> Any:
        """(photos, labels, share) to (loss, output, gradients of the loss times the share), traced once a size."""
        if keras.backend.backend() != "tensorflow":
            raise ModelError("There is too little memory for this --batch-size. Use a smaller one.")
        import tensorflow

        model = self._model

        def compute(images: Any, labels: Any, share: Any) -> Any:
            variables = [variable.value for variable in model.trainable_variables]
            with tensorflow.GradientTape() as tape:
                predicted = model(images, training=True)
                loss = model.compute_loss(x=images, y=labels, y_pred=predicted, training=True)
                scaled = model.optimizer.scale_loss(loss) * tensorflow.cast(share, loss.dtype)
            zero = tensorflow.UnconnectedGradients.ZERO
            return loss, predicted, tape.gradient(scaled, variables, unconnected_gradients=zero)

        self._compiled = self._compiled or tensorflow.function(compute, reduce_retracing=True)
        return self._compiled
