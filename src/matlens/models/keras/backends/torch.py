"""Keras on PyTorch: devices, gradients, memory, dropout."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import torch

from matlens.errors import ModelError
from matlens.models.keras.backends.base import Backend, PartGradients, independent, no_device
from matlens.models.keras.conversion import convert_elsewhere
from matlens.models.keras.states import SeedStep, StepSeeds
from matlens.system.devices import usable_cores
from matlens.types import Array, Labels

_LOG = logging.getLogger(__name__)

_DEVICE = "DEFAULT_DEVICE"
"""Keras' own variable of the device on which it makes tensors, in keras.src.backend.torch.core."""


class TorchBackend(Backend):
    """See `Backend`."""

    def __init__(self) -> None:
        self._core = importlib.import_module("keras.src.backend.torch.core")
        self._first_choice = str(getattr(self._core, _DEVICE))

    def prepare(self) -> None:
        """Start as many threads as there are cores to use, and never more than PyTorch chose."""
        torch.set_num_threads(min(torch.get_num_threads(), usable_cores()))

    def make_deterministic(self) -> None:
        """Ask PyTorch for deterministic operations."""
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False

    @property
    def device(self) -> str:
        """Where Keras makes its tensors."""
        return str(torch.device(getattr(self._core, _DEVICE)))

    def has_gpu(self) -> bool:
        """Return whether Keras computes on a GPU."""
        return torch.device(self.device).type != "cpu"

    def use_device(self, name: str | None) -> None:
        """Compute on a device from now on; None: on Keras' own choice. Raises DeviceError."""
        chosen = name or self._first_choice
        try:
            torch.empty(0, device=chosen)
        except (RuntimeError, AssertionError) as error:
            raise no_device(chosen, str(error).splitlines()[0]) from error
        setattr(self._core, _DEVICE, chosen)
        if torch.device(chosen).type == "cuda":
            torch.cuda.set_device(chosen if ":" in chosen else 0)
            torch.backends.cudnn.benchmark = not torch.are_deterministic_algorithms_enabled()

    def gpu_capability(self) -> tuple[int, int] | None:
        """Return the GPU's compute capability; None where Keras computes on none of CUDA's."""
        return torch.cuda.get_device_capability(self.device) if torch.device(self.device).type == "cuda" else None

    def is_out_of_memory(self, error: Exception) -> bool:
        """Return whether a GPU, PyTorch's allocator on the CPU (which raises a bare RuntimeError) or NumPy is full."""
        return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
            isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error))

    @contextmanager
    def exact_float32(self) -> Iterator[None]:
        """Inside, products and convolutions of float32 are not computed in TF32."""
        places = (torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn)  # type: ignore[attr-defined]
        before = [place.fp32_precision for place in places]
        try:
            for place in places:
                place.fp32_precision = "ieee"
            yield
        finally:
            for place, precision in zip(places, before, strict=True):
                place.fp32_precision = precision

    @contextmanager
    def own_dropout(self, model: keras.Model) -> Iterator[SeedStep]:
        """See `Backend`. Keras' dropout draws from PyTorch's generators, which are restored afterwards."""
        device, seed = torch.device(self.device), torch.initial_seed()
        seeds = StepSeeds(model, _draws_from_pytorch)

        def seed_step(step: int, part: int) -> None:
            drawn = int(np.random.SeedSequence([seed, step, part]).generate_state(1, np.uint64)[0]) >> 1
            torch.default_generator.manual_seed(drawn)  # torch.manual_seed looks for devices that are not used, too
            if device.type == "cuda":
                torch.cuda.manual_seed(drawn)
            seeds.set(step, part)

        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield seed_step

    def without_gradients(self, model: keras.Model, images: Any, training: bool) -> Any:
        """See `Backend`."""
        with torch.no_grad():
            return model(images, training=training)

    def write_openvino(self, model: keras.Model, file: str) -> None:
        """Write a model by Keras' OpenVINO back end; what that does not know is traced."""
        try:
            convert_elsewhere(model, file)
        except ModelError as error:
            _LOG.warning("%s It is traced by PyTorch instead.", error)
            super().write_openvino(model, file)

    def part_gradients(self, model: keras.Model) -> PartGradients:
        """Return a function that computes them by autograd."""
        def compute(images: Any, labels: Any, share: Any) -> Any:
            variables = [variable.value for variable in model.trainable_variables]
            predicted = model(images, training=True)
            loss = model.compute_loss(x=images, y=labels, y_pred=predicted, training=True)
            scaled = model.optimizer.scale_loss(loss) * share
            gradients = torch.autograd.grad(scaled, variables, allow_unused=True)
            return loss.detach(), predicted.detach(), [
                torch.zeros_like(values) if gradient is None else gradient
                for values, gradient in zip(variables, gradients, strict=True)]

        return compute

    def features_and_gradients(self, network: keras.Model, logits: Callable[[Any], Any], images: Array, classes: Labels,
                               layer: str) -> tuple[Array, Array]:
        """See `Backend`; by autograd."""
        # A photo that wants gradients makes the whole graph want them, of frozen layers too.
        photos = keras.ops.convert_to_tensor(np.asarray(images, dtype=np.float32)).requires_grad_()
        features, last = network(photos, training=False)
        scores = logits(last)
        chosen = torch.as_tensor(np.asarray(classes), device=scores.device)
        gradients, = torch.autograd.grad(scores.gather(1, chosen[:, None]).sum(), features, allow_unused=True)
        if gradients is None:
            raise independent(layer)
        return features.detach().cpu().numpy(), gradients.cpu().numpy()


def _draws_from_pytorch(layer: keras.layers.Layer) -> bool:
    """Return whether a layer is dropout that Keras leaves to PyTorch's own, which takes no seed."""
    return isinstance(layer, keras.layers.Dropout) and layer.seed is None and layer.noise_shape is None


BACKEND = TorchBackend()
