"""Keras on TensorFlow: gradients, tf.data, Adam's own kernel, memory, threads."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from matlens.models.keras.backends.base import (
    GPU_IS_FULL,
    Backend,
    EpochBatches,
    KerasStepper,
    PartGradients,
    StepMaker,
    independent,
    no_device,
)
from matlens.models.preflight import Gpu, Preflight, preflight
from matlens.system.devices import usable_cores
from matlens.types import Array, Labels

_UPDATE = "_matlens_statistics"
"""The attribute of a model that holds its traced update of statistics."""

_ROUNDING = 1e-5
"""By how much the sum of a row of smoothed labels may differ from 1."""


class _Stepper(KerasStepper):
    """Keras' own steps, in which TensorFlow is told the photos' weights: see `_weights_apart`."""

    _has_variables = False

    def train_on(self, images: Any, labels: Any) -> tuple[float, float]:
        """See `StepMaker`."""
        labels, weights = _weights_apart(labels)
        self._make_variables(labels)
        return self._of(partial(self._model.train_on_batch, sample_weight=weights), images, labels)

    def _make_variables(self, labels: Any) -> None:
        """Make the variables of optimiser and metrics: TensorFlow traces a step that makes some a second time."""
        if self._has_variables:
            return
        self._has_variables = True
        if not self._model.optimizer.built:
            self._model.optimizer.build(self._model.trainable_variables)
        self._model.compute_metrics(None, labels, labels)  # reset before each step


class TensorFlowBackend(Backend):
    """See `Backend`."""

    def __init__(self) -> None:
        self._is_on_cpu = False
        self._scopes = contextlib.ExitStack()

    def prepare(self) -> None:
        """Let memory grow on each GPU, and start as many threads as there are cores to use."""
        # Otherwise TensorFlow takes the whole of a GPU's memory, and the next model's process finds none.
        for gpu in tf.config.list_physical_devices("GPU"):
            try:
                tf.config.experimental.set_memory_growth(gpu, True)
            except RuntimeError:  # in a notebook that has used the GPU already: it keeps the growth it has
                break
        if tf.config.threading.get_intra_op_parallelism_threads() == 0:  # 0: TensorFlow's own choice
            with contextlib.suppress(RuntimeError):  # in a notebook that has used TensorFlow already
                tf.config.threading.set_intra_op_parallelism_threads(usable_cores())
        # Batches come in two sizes, and a notebook holds several models: to trace each once is meant.
        logging.getLogger("tensorflow").addFilter(_is_not_of_retracing)

    def make_deterministic(self) -> None:
        """Ask TensorFlow for deterministic operations."""
        tf.config.experimental.enable_op_determinism()

    def has_gpu(self) -> bool:
        """Return whether TensorFlow computes on a GPU."""
        return not self._is_on_cpu and bool(tf.config.list_logical_devices("GPU"))

    def use_device(self, name: str | None) -> None:
        """Compute on a device from now on. Raises DeviceError."""
        if name is None:
            return
        kind, _, number = name.partition(":")
        gpus = tf.config.list_physical_devices("GPU")
        if kind != "cpu" and int(number or 0) >= len(gpus):
            raise no_device(name, f"it sees {len(gpus) or 'no'} GPUs")
        chosen = [] if kind == "cpu" else [gpus[int(number or 0)]]
        if tf.config.get_visible_devices("GPU") == chosen:
            return
        self._is_on_cpu = not chosen
        try:
            tf.config.set_visible_devices(chosen, "GPU")
        except RuntimeError:  # it has computed already, if only to try a device: from now on elsewhere, in this thread
            self._scopes.enter_context(tf.device(f"/GPU:{number or 0}" if chosen else "/CPU:0"))

    def preflight(self, name: str | None) -> Preflight:
        """See `Backend`. What it computes on fixes the GPUs that TensorFlow sees in this process."""
        gpus = [f"cuda:{number}" for number in range(len(tf.config.list_physical_devices("GPU")))]
        return preflight(name, gpus, _try, "TensorFlow", _card)

    @contextmanager
    def exact_float32(self) -> Iterator[None]:
        """Inside, products and convolutions of float32 are not computed in TF32."""
        before = tf.config.experimental.tensor_float_32_execution_enabled()
        tf.config.experimental.enable_tensor_float_32_execution(False)
        try:
            yield
        finally:
            tf.config.experimental.enable_tensor_float_32_execution(before)

    def gpu_capability(self) -> tuple[int, int] | None:
        """Return the first GPU's compute capability; None where TensorFlow sees none."""
        gpus = tf.config.get_visible_devices("GPU")
        details = tf.config.experimental.get_device_details(gpus[0]) if gpus else {}
        capability = details.get("compute_capability")
        return None if capability is None else (int(capability[0]), int(capability[1]))

    def is_out_of_memory(self, error: Exception) -> bool:
        """Return whether TensorFlow, or NumPy, found no memory."""
        return isinstance(error, MemoryError | tf.errors.ResourceExhaustedError) or (
            isinstance(error, tf.errors.InternalError) and any(words in str(error) for words in GPU_IS_FULL))

    def quicken(self, adam: keras.optimizers.Adam) -> None:
        """Let an Adam take `ResourceApplyAdam`: one pass over the weights instead of ten.

        The update rule is the same (Kingma and Ba 2015, the formulation before section 2.1, with epsilon outside the
        correction), and so are its variables.
        """
        adam.update_step = partial(_apply_adam, adam)

    def as_dataset(self, batches: EpochBatches) -> tf.data.Dataset:
        """Return a tf.data.Dataset that gives the next epoch's order each time it is iterated over.

        It has `class_names`, as image_dataset_from_directory's have, and `batches`: what it is made from.
        """
        dataset = tf.data.Dataset.from_generator(_epochs(batches), output_signature=(
            tf.TensorSpec((None, *batches.img_size, 3), tf.float32),
            tf.TensorSpec((None, batches.num_classes), tf.float32)))
        # Without tf.data's own prefetch: batches are prepared ahead in Python, and an iterator that is thrown away
        # while tf.data's thread waits for Python's lock stalls.
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(len(batches)))
        dataset.class_names = batches.class_names
        dataset.batches = batches
        return dataset

    def stepper(self, model: keras.Model) -> StepMaker:
        """See `Backend`."""
        return _Stepper(model, self.as_input)

    def part_gradients(self, model: keras.Model) -> PartGradients:
        """Return a function that TensorFlow traces once for each size of a part."""
        def compute(images: Any, labels: Any, weights: Any, share: Any) -> Any:
            variables = [variable.value for variable in model.trainable_variables]
            with tf.GradientTape() as tape:
                predicted = model(images, training=True)
                loss = model.compute_loss(x=images, y=labels, y_pred=predicted, sample_weight=weights, training=True)
                scaled = model.optimizer.scale_loss(loss) * tf.cast(share, loss.dtype)
            zero = tf.UnconnectedGradients.ZERO
            return loss, predicted, tape.gradient(scaled, variables, unconnected_gradients=zero)

        traced = tf.function(compute, reduce_retracing=True)
        return lambda images, labels, share: traced(images, *_weights_apart(labels), share)

    def update_statistics(self, model: keras.Model, layers: Sequence[keras.layers.BatchNormalization], images: Any,
                          momentum: float) -> None:
        """See `Backend`. It is traced, and kept with the model: an eager pass takes four times as long."""
        is_trained = [layer.trainable for layer in layers]  # the others are run in inference mode
        kept = vars(model).get(_UPDATE)
        if kept is None or kept[0] != is_trained:
            update = partial(super().update_statistics, model, layers)
            kept = vars(model)[_UPDATE] = is_trained, tf.function(update, input_signature=[
                tf.TensorSpec((None, *model.input_shape[1:]), tf.float32), tf.TensorSpec((), tf.float32)])
        kept[1](tf.cast(images, tf.float32), momentum)

    def features_and_gradients(self, network: keras.Model, logits: Callable[[Any], Any], images: Array, classes: Labels,
                               layer: str) -> tuple[Array, Array]:
        """See `Backend`; by a gradient tape."""
        photos = tf.convert_to_tensor(np.asarray(images, dtype=np.float32))
        with tf.GradientTape() as tape:
            tape.watch(photos)  # or the tape would see nothing of frozen layers
            features, last = network(photos, training=False)
            score = tf.gather(logits(last), np.asarray(classes), batch_dims=1)
        gradients = tape.gradient(score, features)
        if gradients is None:
            raise independent(layer)
        return features.numpy(), gradients.numpy()


def _weights_apart(labels: Any) -> tuple[Any, Any]:
    """Divide labels (B, C) by the photos' weights, to which their rows sum: return both; None for weights that are 1.

    Keras on TensorFlow takes the cross-entropy of logits, and the gradient that TensorFlow has of that is right only
    where rows sum to 1. The labels of one sigmoid output, (B, 1), are not of that kind, and have no weights.
    """
    if np.ndim(labels) < 2 or np.shape(labels)[1] == 1:
        return labels, None
    sums = np.asarray(labels, dtype=np.float32).sum(axis=1)
    if np.abs(sums - 1).max(initial=0) < _ROUNDING:
        return labels, None
    return labels / sums[:, None], sums


def _try(name: str) -> None:
    """Compute a little on a device, with the gradients, and wait for it. Raises what goes wrong."""
    with tf.device(f"/GPU:{name.partition(':')[2]}"):
        photos, kernel = tf.ones((2, 8, 8, 3)), tf.ones((3, 3, 3, 4))
        with tf.GradientTape() as tape:
            tape.watch([photos, kernel])
            maps = tf.reshape(tf.nn.conv2d(photos, kernel, 1, "SAME"), (2, -1))
            score = tf.reduce_sum(tf.matmul(maps, maps, transpose_b=True))
        for gradient in tape.gradient(score, [photos, kernel]):
            gradient.numpy()


def _card(name: str) -> Gpu:
    gpu = tf.config.list_physical_devices("GPU")[int(name.partition(":")[2])]
    details = tf.config.experimental.get_device_details(gpu)
    capability = details.get("compute_capability")
    return Gpu(details.get("device_name", ""), capability and (int(capability[0]), int(capability[1])))


def _is_not_of_retracing(record: logging.LogRecord) -> bool:
    return "tf.function retracing" not in record.getMessage()


def _apply_adam(adam: keras.optimizers.Adam, gradient: Any, variable: Any, learning_rate: Any) -> None:
    index = adam._get_variable_index(variable)
    momentum, velocity = (slots[index].value for slots in (adam._momentums, adam._velocities))
    step = tf.cast(adam.iterations.value + 1, variable.dtype)
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle, m=momentum.handle, v=velocity.handle, grad=tf.cast(gradient, variable.dtype),
        beta1_power=adam.beta_1 ** step, beta2_power=adam.beta_2 ** step, beta1=adam.beta_1, beta2=adam.beta_2,
        lr=tf.cast(learning_rate, variable.dtype), epsilon=adam.epsilon)


def _epochs(batches: EpochBatches) -> Callable[[], Iterator[Any]]:
    passed = -1

    def next_epoch() -> Iterator[Any]:
        nonlocal passed
        passed += 1
        yield from batches.epoch(passed)

    return next_epoch


BACKEND = TensorFlowBackend()
