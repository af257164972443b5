"""How a training step is computed: in mixed precision, and in parts of the batch where memory is short."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import keras

from matlens.models.keras.backends import backend
from matlens.models.keras.backends.base import StepMaker
from matlens.models.keras.states import optimizer_state, restore_optimizer
from matlens.models.micro_batches import MicroBatches, Parts
from matlens.models.precision import ChosenPrecision, Precision, fastest
from matlens.types import Scores

_LOG = logging.getLogger(__name__)


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
            x, y = (keras.ops.convert_to_tensor(values) for values in (
                backend().as_input(images[start:end]), labels[start:end]))
            part_loss, predicted, gradients = self._gradients(x, y, keras.ops.convert_to_tensor(share, "float32"))
            sums = [total + gradient for total, gradient in zip(sums, gradients, strict=True)] if sums else gradients
            loss += float(part_loss) * share
            logs = model.compute_metrics(x, y, predicted)
        model.optimizer.apply(sums, variables)
        return {**logs, "loss": loss}


class Means:
    """Sums of what may lie on a device, and is read only when asked for."""

    def __init__(self) -> None:
        self._loss: Any = 0.0
        self._accuracy: Any = 0.0
        self._photos = 0

    def add(self, loss: Any, accuracy: Any, photos: int) -> None:
        """Take the means of some photos."""
        self._loss = self._loss + loss * photos
        self._accuracy = self._accuracy + accuracy * photos
        self._photos += photos

    def scores(self) -> Scores:
        """Return the means over all photos."""
        photos = max(self._photos, 1)
        return Scores(float(self._loss) / photos, float(self._accuracy) / photos)


class Measurable(Protocol):
    """A network whose arithmetic a measurement may choose: `KerasClassifier`."""

    model: keras.Model
    chosen: ChosenPrecision
    micro_batches: MicroBatches


def measure_precision(network: Measurable, images: Any, labels: Any, seed_part: Callable[[int], None]) -> None:
    """Choose among the network's candidates by a few steps on a batch in each, whose effect is taken back."""
    candidates, chosen, model = network.chosen.candidates, network.chosen, network.model
    if not candidates:
        return
    chosen.candidates = ()
    photos = network.micro_batches.parts(len(images))[0][1]
    weights, state = model.get_weights(), optimizer_state(model)
    seconds: dict[Precision, float] = {}
    for precision in candidates:
        with mixed(model, precision):
            stepper = backend().stepper(model)
            stepper.begin_epoch(training=True)

            def step(stepper: StepMaker = stepper) -> None:
                seed_part(0)
                stepper.train_on(images[:photos], labels[:photos])

            try:
                seconds[precision] = backend().seconds_of(step)
            except RuntimeError as error:
                if not backend().is_out_of_memory(error) and precision == "float32":
                    raise
                _LOG.warning("Training is not measured in %s, which failed: %s", precision, error)
            stepper.drop()
        model.set_weights(weights)
        restore_optimizer(model, state)
    backend().free()
    chosen.decide(fastest(seconds) if seconds else chosen.precision)


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
