"""Training and validation steps of Keras on PyTorch that a GPU can repeat without its host: Keras' own wait in each."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from matlens.models.keras.backends.torch_adam import AdamUpdate
from matlens.models.torch.device_photos import DevicePhotos
from matlens.models.torch.devices import free_memory, is_out_of_memory
from matlens.models.torch.gpu.arithmetic import arithmetic
from matlens.models.torch.gpu.feeder import photos_on
from matlens.models.torch.gpu.steps import Outputs, RecordedStep, Recorder, Tensors
from matlens.models.torch.preprocessing import on_device
from matlens.models.torch.stepping import hits_in
from matlens.types import BytePhotos

_SMALL = 64
"""Numbers in the largest constant that is kept on the device."""


class DeviceStepper:
    """See `backends.base.StepMaker`. Losses and accuracies stay on the device: to read one waits for it.

    recorder: records whole steps, and replays them; None: each is computed as it comes.
    """

    def __init__(self, model: keras.Model, device: torch.device, recorder: Recorder | None) -> None:
        self._model, self._device = model, device
        self._update = AdamUpdate(model.optimizer)
        self._constants = Constants(device)
        self._train = self._test = None
        if recorder is not None:
            self._train = RecordedStep(self._train_step, recorder, self._constants.clear)
            self._test = RecordedStep(self._test_step, recorder, self._constants.clear)
        self._recorded_of: dict[bool, Any] = {}

    @staticmethod
    def refusal(model: keras.Model) -> str:
        """Return why a model's steps must be Keras' own; empty where they need not."""
        kind = type(model)
        if any(getattr(kind, name) is not getattr(keras.Model, name) for name in (
                "train_step", "test_step", "compute_loss", "compute_metrics", "__call__")):
            return "the model has its own"
        metrics = getattr(getattr(model, "_compile_metrics", None), "_user_metrics", None)
        if getattr(model, "loss", None) != "categorical_crossentropy" or metrics != ["accuracy"]:
            return "the model is compiled with another loss or metric than categorical cross-entropy and accuracy"
        if model.output_shape[-1] < 2:
            return "the model has one output"
        if any(variable.constraint is not None for variable in model.trainable_variables):
            return "weights are constrained"
        return AdamUpdate.refusal(model.optimizer)

    def begin_epoch(self, training: bool) -> None:
        """Drop the recording where something that it holds is another one now."""
        model = self._model
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        now = ([variable.value.data_ptr() for variable in model.variables],
               [variable.trainable for variable in model.variables],
               [(layer.trainable, layer.dtype_policy.name) for layer in model._flatten_layers()])
        recorded = self._train if training else self._test
        if recorded is not None and now != self._recorded_of.get(training):
            recorded.drop()
        self._recorded_of[training] = now

    def drop(self) -> None:
        """Throw recordings away; new ones follow."""
        for recorded in (self._train, self._test):
            if recorded is not None:
                recorded.drop()

    def train_on(self, images: Any, labels: Any) -> tuple[Any, Any]:
        """Do one step of the optimiser; return mean loss and accuracy."""
        return self._call(self._train, self._train_step, images, labels)

    def test_on(self, images: Any, labels: Any) -> tuple[Any, Any]:
        """Return mean loss and accuracy."""
        return self._call(self._test, self._test_step, images, labels)

    def _call(self, recorded: RecordedStep | None, compute: Callable[[Tensors], Outputs], images: Any, labels: Any,
              ) -> tuple[Any, Any]:
        tensors = (*photo_tensors(images, self._device), on_device(labels, self._device))
        if recorded is None:
            loss, hits = compute(tensors)
        else:
            try:
                loss, hits = recorded(tensors)
            except Exception as error:
                if not recorded.is_recorded or not is_out_of_memory(error):
                    raise
                self.drop()
                free_memory()
                loss, hits = compute(tensors)
        return loss.double(), hits.double() / len(labels)

    def _train_step(self, tensors: Tensors) -> Outputs:
        """Do one step of the optimiser on (pixels, warps, contrasts, labels) or (images, labels) of the device."""
        images, target = _input(tensors)
        model = self._model
        variables = model.trainable_variables
        with self._quickly(), arithmetic(self._device, tf32=True):
            predicted = model(images, training=True)
            loss = model.compute_loss(x=images, y=target, y_pred=predicted, training=True)
            gradients = torch.autograd.grad(loss, [variable.value for variable in variables], allow_unused=True)
            self._update(variables, gradients)
        return loss.detach(), hits_in(predicted.detach(), target)

    def _test_step(self, tensors: Tensors) -> Outputs:
        images, target = _input(tensors)
        with torch.no_grad(), self._quickly(), arithmetic(self._device, tf32=False):
            predicted = self._model(images, training=False)
            loss = self._model.compute_loss(x=images, y=target, y_pred=predicted, training=False)
        return loss, hits_in(predicted, target)

    @contextmanager
    def _quickly(self) -> Iterator[None]:
        with ExitStack() as stack:
            if self._train is not None:
                stack.enter_context(self._constants)
                stack.enter_context(spared_passes())
            yield


class Constants(TorchFunctionMode):
    """Inside, what Keras copies to the device in each step (0.5, a shape) is copied there once, and taken again.

    A copy from the host would wait for the device, and cannot be recorded.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self._device = device
        self._there: dict[Any, torch.Tensor] = {}

    def clear(self) -> None:
        """Forget them: some may have been made while a recording failed."""
        self._there.clear()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func not in (torch.as_tensor, torch.tensor) or len(args) != 1 or not _is_of_numbers(args[0]):
            return func(*args, **kwargs)
        values = np.asarray(args[0])
        if values.size > _SMALL or torch.device(kwargs.get("device") or "cpu").type != self._device.type:
            return func(*args, **kwargs)
        key = (func, type(args[0]), values.dtype.str, values.shape, values.tobytes(), *sorted(
            (name, str(value)) for name, value in kwargs.items()))
        if key not in self._there:
            self._there[key] = func(*args, **kwargs)
        return self._there[key]


def _is_of_numbers(values: Any) -> bool:
    return isinstance(values, np.ndarray | np.number | float | int) or (
        isinstance(values, list | tuple) and all(isinstance(value, float | int | np.number) for value in values))


@contextmanager
def spared_passes() -> Iterator[None]:
    """Inside, Keras goes over maps fewer times; but for rounding, the numbers are the same.

    Batch normalisation is one pass over them instead of three. What goes into a convolution or a pooling is given to
    PyTorch as it lies in memory, channels last, which both take: Keras copies it to channels first, and of a
    convolution back again, which is a quarter of VGG19's step on an H100.
    """
    functions: Any = importlib.import_module("keras.src.backend.torch.nn")
    before = functions.batch_normalization, functions._transpose_spatial_inputs
    functions.batch_normalization, functions._transpose_spatial_inputs = _normalised, _channels_first
    try:
        yield
    finally:
        functions.batch_normalization, functions._transpose_spatial_inputs = before


def _channels_first(inputs: torch.Tensor) -> torch.Tensor:
    """Show (B, ..., K) as (B, K, ...) without moving it."""
    return inputs.movedim(-1, 1)


def _normalised(x: Any, mean: Any, variance: Any, axis: int, offset: Any = None, scale: Any = None,
                epsilon: float = 1e-3) -> torch.Tensor:
    """Compute (x - mean) / sqrt(variance + epsilon) * scale + offset over an axis, as keras.ops does."""
    x, mean, variance = (keras.ops.convert_to_tensor(values) for values in (x, mean, variance))
    slope = (variance + epsilon).rsqrt()
    if scale is not None:
        slope = slope * keras.ops.convert_to_tensor(scale)
    shift = -mean * slope
    if offset is not None:
        shift = shift + keras.ops.convert_to_tensor(offset)
    shape = [1] * x.ndim
    shape[axis] = -1
    return torch.addcmul(shift.reshape(shape), x, slope.reshape(shape))


def photo_tensors(images: Any, device: torch.device) -> Tensors:
    """Return photos on a device: (pixels, warps, contrasts) of bytes, (images,) of floats."""
    if isinstance(images, BytePhotos):
        images = photos_on(images, device)
    if isinstance(images, DevicePhotos):
        return images.pixels, images.warps, images.contrasts
    return (on_device(images, device),)


def floats(tensors: Tensors) -> torch.Tensor:
    """Return what `photo_tensors` gave as (B, H, W, 3) float32 in [0, 1]."""
    assert tensors[0] is not None
    if len(tensors) == 1:
        return tensors[0]
    return DevicePhotos(tensors[0], *tensors[1:]).floats().permute(0, 2, 3, 1)


def _input(tensors: Tensors) -> tuple[torch.Tensor, torch.Tensor]:
    *photos, target = tensors
    assert target is not None
    return floats(tuple(photos)), target
