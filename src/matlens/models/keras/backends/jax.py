"""Keras on JAX: devices, memory, gradients, and the way to OpenVINO."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import keras
import numpy as np

from matlens.models.keras.backends.base import Backend, PartGradients, independent, no_device
from matlens.models.keras.backends.conversion import convert_elsewhere
from matlens.models.preflight import Preflight, preflight
from matlens.types import Array, Labels

_OURS = {"gpu": "cuda", "METAL": "mps"}
_PLATFORMS = {"cuda": "gpu", "mps": "METAL"}
"""What JAX calls a kind of device."""

_FORWARD = "_matlens_forward"
"""Where a model holds what was compiled of it."""


class JaxBackend(Backend):
    """See `Backend`."""

    def prepare(self) -> None:
        """Let memory grow on a GPU, of which JAX would take three quarters: the next process would find none."""
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

    def make_deterministic(self) -> None:
        """Ask XLA for deterministic operations on a GPU: only before JAX first computes. On a CPU they are."""
        flag = "--xla_gpu_deterministic_ops=true"
        if flag not in os.environ.get("XLA_FLAGS", ""):
            os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}".strip()

    @property
    def device(self) -> str:
        """Where it computes: "cpu", or such as "gpu:0"."""
        device = self._device
        return "cpu" if device.platform == "cpu" else f"{device.platform}:{device.id}"

    @property
    def _device(self) -> Any:
        return jax.config.jax_default_device or jax.devices()[0]

    def has_gpu(self) -> bool:
        """Return whether JAX computes on a GPU."""
        return bool(self._device.platform != "cpu")

    def use_device(self, name: str | None) -> None:
        """Compute on a device from now on. Raises DeviceError."""
        if name is None:
            jax.config.update("jax_default_device", None)
            return
        try:
            chosen = _device_of(name)
        except (RuntimeError, IndexError, ValueError) as error:
            raise no_device(name, str(error).splitlines()[0]) from error
        jax.config.update("jax_default_device", chosen)

    def gpu_capability(self) -> tuple[int, int] | None:
        """Return the GPU's compute capability; None where JAX computes on none."""
        if self._device.platform != "gpu" or not getattr(self._device, "compute_capability", ""):
            return None
        major, _, minor = str(self._device.compute_capability).partition(".")
        return int(major), int(minor or 0)

    def preflight(self, name: str | None) -> Preflight:
        """See `Backend`."""
        gpus = [f"{_OURS.get(device.platform, device.platform)}:{number}" for number, device in
                enumerate(jax.devices()) if device.platform != "cpu"]
        return preflight(name, gpus, _try, "JAX")

    def is_out_of_memory(self, error: Exception) -> bool:
        """Return whether XLA, or NumPy, found no memory."""
        return super().is_out_of_memory(error) or "RESOURCE_EXHAUSTED" in str(error)

    @contextmanager
    def exact_float32(self) -> Iterator[None]:
        """Inside, products and convolutions of float32 are computed in float32, on a GPU too."""
        with jax.default_matmul_precision("highest"):
            yield

    def without_gradients(self, model: keras.Model, images: Any, training: bool) -> Any:
        """See `Backend`; in inference mode compiled once for each size of a batch."""
        if training:
            return model(images, training=True)
        if _FORWARD not in vars(model):
            vars(model)[_FORWARD] = jax.jit(lambda trainable, others, photos: model.stateless_call(
                trainable, others, photos, training=False)[0])
        return vars(model)[_FORWARD]([variable.value for variable in model.trainable_variables],
                                     [variable.value for variable in model.non_trainable_variables], images)

    def write_openvino(self, model: keras.Model, file: str) -> None:
        """Write a model by Keras' OpenVINO back end: Keras' own way from JAX needs TensorFlow."""
        convert_elsewhere(model, file)

    def part_gradients(self, model: keras.Model) -> PartGradients:
        """Return a function that JAX compiles once for each size of a part."""
        def scaled_loss(trainable: Any, others: Any, metrics: Any, optimizer: Any, images: Any, labels: Any,
                        share: Any) -> Any:
            loss, (unscaled, predicted, others, _) = model.compute_loss_and_updates(
                trainable, others, metrics, images, labels, None, training=True, optimizer_variables=optimizer)
            return loss * share, (unscaled, predicted, others)

        gradients_of = jax.jit(jax.value_and_grad(scaled_loss, has_aux=True))

        def compute(images: Any, labels: Any, share: Any) -> Any:
            states = [[variable.value for variable in variables] for variables in (
                model.trainable_variables, model.non_trainable_variables, model.metrics_variables,
                model.optimizer.variables)]
            (_, (loss, predicted, others)), gradients = gradients_of(*states, images, labels, share)
            for variable, value in zip(model.non_trainable_variables, others, strict=True):
                variable.assign(value)
            return loss, predicted, list(gradients)

        return compute

    def features_and_gradients(self, network: keras.Model, logits: Callable[[Any], Any], images: Array, classes: Labels,
                               layer: str) -> tuple[Array, Array]:
        """See `Backend`; the gradient by what is added to the layer's output, at 0."""
        behind = keras.Model(network.inputs, network.outputs[1])
        if all(part.name != layer for part in behind._flatten_layers()):
            raise independent(layer)
        photos = jax.numpy.asarray(np.asarray(images, dtype=np.float32))
        chosen = jax.numpy.asarray(np.asarray(classes))
        module = next(part for part in network._flatten_layers() if part.name == layer)

        def score(added: Any) -> Any:
            compute = module.call
            module.call = lambda *arguments, **options: compute(*arguments, **options) + added
            try:
                features, last = network(photos, training=False)
            finally:
                del module.call  # the class' own is there again
            scores = jax.numpy.take_along_axis(logits(last), chosen[:, None], axis=1)
            return scores.sum(), features

        shape = jax.eval_shape(lambda: network(photos, training=False))[0].shape
        gradients, features = jax.grad(score, has_aux=True)(jax.numpy.zeros(shape))
        return np.asarray(features), np.asarray(gradients)


def _device_of(name: str) -> Any:
    kind, _, number = name.partition(":")
    return jax.devices(_PLATFORMS.get(kind, kind))[int(number or 0)]


def _try(name: str) -> None:
    """Compute a little on a device, with the gradients, and wait for it. Raises what goes wrong."""
    def score(photos: Any, kernel: Any) -> Any:
        maps = jax.lax.conv(photos, kernel, (1, 1), "SAME").reshape(2, -1)
        return (maps @ maps.T).sum()

    with jax.default_device(_device_of(name)):
        photos, kernel = jax.numpy.ones((2, 3, 8, 8)), jax.numpy.ones((4, 3, 3, 3))
        jax.block_until_ready(jax.jit(jax.grad(score, argnums=(0, 1)))(photos, kernel))


BACKEND = JaxBackend()
