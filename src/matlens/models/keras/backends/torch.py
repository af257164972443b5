"""Keras on PyTorch: devices, gradients, memory, dropout."""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import torch

from matlens.errors import ModelError
from matlens.models.averaging import WeightAverage, Weighted
from matlens.models.keras.backends.base import Backend, KerasStepper, PartGradients, StepMaker, independent, no_device
from matlens.models.keras.backends.conversion import convert_elsewhere
from matlens.models.keras.backends.torch_features import KerasExtractor
from matlens.models.keras.backends.torch_steps import DeviceStepper, floats, photo_tensors
from matlens.models.keras.states import SeedStep, StepSeeds
from matlens.models.precision import Precision, Wish, precisions_to_measure
from matlens.models.preflight import Preflight
from matlens.models.torch.devices import free_memory, generators_of_their_own, gpu_works, is_out_of_memory, preflight
from matlens.models.torch.gpu.arithmetic import arithmetic, seconds_of
from matlens.models.torch.gpu.averages import DeviceAverage
from matlens.models.torch.gpu.features import Uploads
from matlens.models.torch.gpu.feeder import Feeder
from matlens.models.torch.gpu.steps import WARM_UP, recorder_for
from matlens.system.devices import usable_cores
from matlens.types import Array, Batch, Labels, Pixels

_LOG = logging.getLogger(__name__)

_DEVICE = "DEFAULT_DEVICE"
"""Keras' own variable of the device on which it makes tensors, in keras.src.backend.torch.core."""


class TorchBackend(Backend):
    """See `Backend`."""

    def __init__(self) -> None:
        self._core = importlib.import_module("keras.src.backend.torch.core")
        choice = str(getattr(self._core, _DEVICE))
        # As PyTorch's own room does: an Apple GPU is used where it is named.
        self._first_choice = "cpu" if choice == "mps" and "KERAS_TORCH_DEVICE" not in os.environ else choice
        self._feeder: Feeder | None = None
        self._fed = ""
        self._extractor: KerasExtractor | None = None
        self._uploads: Uploads | None = None

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
        device = str(torch.device(getattr(self._core, _DEVICE)))
        return "cuda:0" if device == "cuda" else device

    def has_gpu(self) -> bool:
        """Return whether Keras computes on a GPU, and that computes."""
        return gpu_works() if self._is_on_cuda else torch.device(self.device).type != "cpu"

    def use_device(self, name: str | None) -> None:
        """Compute on a device from now on; None: on Keras' own choice, but no Apple GPU. Raises DeviceError."""
        chosen = name or self._first_choice
        try:
            torch.empty(0, device=chosen)
        except (RuntimeError, AssertionError) as error:
            raise no_device(chosen, str(error).splitlines()[0]) from error
        setattr(self._core, _DEVICE, chosen)
        if torch.device(chosen).type == "cuda":
            torch.cuda.set_device(torch.device(chosen).index or 0)

    def preflight(self, name: str | None) -> Preflight:
        """See `Backend`."""
        return preflight(name)

    @property
    def takes_bytes(self) -> bool:
        """Whether photos should come as bytes: on one of CUDA's GPUs."""
        return self._is_on_cuda or os.environ.get("MATLENS_BYTES_TO_DEVICE") == "1"

    @property
    def _is_on_cuda(self) -> bool:
        return torch.device(self.device).type == "cuda"

    def fed(self, batches: Iterable[Batch]) -> Iterable[tuple[Any, Any]]:
        """Yield batches on the device, which copies them while it computes the batch before."""
        if not self.takes_bytes:
            return batches
        if self._feeder is None or self._fed != self.device:
            self._feeder, self._fed = Feeder(torch.device(self.device)), self.device
        return self._feeder.fed(batches)

    def as_input(self, images: Any) -> Any:
        """See `Backend`."""
        return floats(photo_tensors(images, torch.device(self.device)))

    def free(self) -> None:
        """See `Backend`."""
        free_memory()

    def stepper(self, model: keras.Model) -> StepMaker:
        """Return steps that do not wait for the device, or Keras' own where the model asks for more than they can."""
        device = torch.device(self.device)
        refusal = DeviceStepper.refusal(model) if device.type in ("cpu", "cuda") else f"the device is {device.type}"
        if refusal:
            if self.has_gpu():
                _LOG.warning("Training steps of %s are started one operation at a time, which is slower: %s.",
                             model.name, refusal)
            return KerasStepper(model, self.as_input)
        return DeviceStepper(model, device, recorder_for(device))

    def set_rate(self, optimizer: keras.optimizers.Optimizer, rate: float) -> None:
        """Set the learning rate; a copy from the host would wait for the device."""
        variable = getattr(optimizer, "inner_optimizer", optimizer)._learning_rate
        if not isinstance(variable, keras.Variable):
            super().set_rate(optimizer, rate)
            return
        with torch.no_grad():
            variable.value.fill_(rate)

    def average(self, network: Weighted, model: keras.Model) -> WeightAverage:
        """Begin an average of a network's weights, on a GPU where they are."""
        if not self.has_gpu():
            return super().average(network, model)
        return DeviceAverage([variable.value for variable in model.weights])

    def measured_precisions(self, wish: Wish) -> tuple[Precision, ...]:
        """See `Backend`. float16 is not among them where there is bfloat16: its steps are Keras' own, and slow."""
        if not self._is_on_cuda:
            return ()
        candidates = precisions_to_measure(wish, self.gpu_capability(),
                                           deterministic=torch.are_deterministic_algorithms_enabled())
        return tuple(name for name in candidates if name != "float16") if "bfloat16" in candidates else ()

    def seconds_of(self, step: Callable[[], object]) -> float:
        """See `Backend`."""
        return seconds_of(step, torch.device(self.device), before=WARM_UP + 1, steps=3)

    def sent(self, pixels: Pixels) -> Any:
        """See `Backend`."""
        if self._uploads is None:
            self._uploads = Uploads(torch.device(self.device))
        return self._uploads.sent(pixels)

    def features_of(self, trunk: keras.Model, pixels: Any, pooled: bool) -> Array:
        """See `Backend`; in TF32 or float16 where a GPU has them and features stay close enough to float32's."""
        if self._extractor is None or not self._extractor.is_of(trunk, self.device):
            device = torch.device(self.device)
            self._extractor = KerasExtractor(trunk, device, recorder_for(device))
        return self._extractor(pixels, pooled)

    def gpu_capability(self) -> tuple[int, int] | None:
        """Return the GPU's compute capability; None where Keras computes on none of CUDA's."""
        return torch.cuda.get_device_capability(self.device) if torch.device(self.device).type == "cuda" else None

    def is_out_of_memory(self, error: Exception) -> bool:
        """Return whether a GPU, PyTorch's allocator on the CPU (which raises a bare RuntimeError) or NumPy is full."""
        return is_out_of_memory(error)

    @contextmanager
    def exact_float32(self) -> Iterator[None]:
        """See `Backend`."""
        with arithmetic(torch.device(self.device), tf32=False):
            yield

    @contextmanager
    def own_dropout(self, model: keras.Model) -> Iterator[SeedStep]:
        """See `Backend`. Keras' dropout draws from PyTorch's generators, which are restored afterwards."""
        device, seed = torch.device(self.device), torch.initial_seed()
        seeds = StepSeeds(model, _draws_from_pytorch)

        with generators_of_their_own(device) as seed_generators:
            def seed_step(step: int, part: int) -> None:
                seed_generators(seed, step, part)
                seeds.set(step, part)

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
