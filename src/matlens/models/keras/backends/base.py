"""The interface of a Keras back end, and what holds for one that matlens has no special code for."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import keras
import numpy as np

from matlens.errors import DeviceError, ModelError
from matlens.models.averaging import HostAverage, WeightAverage, Weighted
from matlens.models.keras.states import SeedStep, StepSeeds
from matlens.models.precision import Precision, Wish
from matlens.models.preflight import Preflight
from matlens.types import Array, Batch, BytePhotos, Labels, Pixels

GPU_IS_FULL = ("CUDA_ERROR_OUT_OF_MEMORY", "out of memory")
"""Words in the messages of errors for want of a GPU's memory."""

PartGradients = Callable[[Any, Any, Any], tuple[Any, Any, list[Any]]]
"""(photos, labels, share) to (loss, probabilities, gradients of the loss times the share by trainable variable)."""


class EpochBatches(Protocol):
    """Batches by epoch, such as `data.batches.PhotoBatches`."""

    @property
    def num_classes(self) -> int:
        """C, the length of a one-hot label."""

    @property
    def img_size(self) -> tuple[int, int]:
        """(height, width) of the photos."""

    @property
    def class_names(self) -> list[str]:
        """The classes, in the order of the one-hot labels."""

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""

    def epoch(self, number: int) -> Iterator[Any]:
        """Return the batches of one epoch, counted from 0."""


class StepMaker(Protocol):
    """Computes a compiled model's steps on whole batches. Losses and accuracies may be numbers that lie on a device."""

    def begin_epoch(self, training: bool) -> None:
        """Look at what changed in the model since the last epoch, of training or of validation."""

    def drop(self) -> None:
        """Give back memory that is held for further steps."""

    def train_on(self, images: Any, labels: Any) -> tuple[Any, Any]:
        """Do one step of the optimiser; return mean loss and accuracy."""

    def test_on(self, images: Any, labels: Any) -> tuple[Any, Any]:
        """Return mean loss and accuracy without training."""


class KerasStepper:
    """A `StepMaker` of Keras' own steps."""

    def __init__(self, model: keras.Model, as_input: Callable[[Any], Any]) -> None:
        """as_input: see `Backend.as_input`."""
        self._model, self._as_input = model, as_input

    def begin_epoch(self, training: bool) -> None:
        """Do nothing."""

    def drop(self) -> None:
        """Do nothing."""

    def train_on(self, images: Any, labels: Any) -> tuple[float, float]:
        """See `StepMaker`."""
        return self._of(self._model.train_on_batch, images, labels)

    def test_on(self, images: Any, labels: Any) -> tuple[float, float]:
        """See `StepMaker`."""
        return self._of(self._model.test_on_batch, images, labels)

    def _of(self, compute: Callable[..., dict[str, Any]], images: Any, labels: Any) -> tuple[float, float]:
        self._model.reset_metrics()
        return scores_in(compute(self._as_input(images), labels, return_dict=True))


def scores_in(logs: dict[str, Any]) -> tuple[float, float]:
    """Return (loss, accuracy) of Keras' own logs. Raises ModelError where there is no accuracy."""
    if "accuracy" not in logs:
        raise ModelError("The model is compiled without accuracy. Compile it with metrics=['accuracy'].")
    return float(logs["loss"]), float(logs["accuracy"])


class Backend:
    """What all back ends share: no framework beside Keras is needed for it."""

    def prepare(self) -> None:
        """Set threads and memory before the back end is first used."""

    def make_deterministic(self) -> None:
        """Ask for operations whose results do not depend on the order of threads, where the back end has them."""

    @property
    def device(self) -> str:
        """Where it computes: "cpu", or the name of a GPU."""
        return "gpu" if self.has_gpu() else "cpu"

    def has_gpu(self) -> bool:
        """Return whether the back end sees a GPU, and computes there."""
        return False

    def use_device(self, name: str | None) -> None:
        """Compute on a device from now on: "cpu", "cuda", "cuda:1" or "mps"; None: on the first GPU, if there is one.

        Raises DeviceError where the back end has no such device, or cannot change over any more.
        """
        if name not in (None, "cpu"):
            raise no_device(name)

    def gpu_capability(self) -> tuple[int, int] | None:
        """Return the first GPU's CUDA compute capability; None where the back end sees none, or cannot tell."""
        return None

    def is_out_of_memory(self, error: Exception) -> bool:
        """Return whether the back end, or NumPy, found no memory."""
        return isinstance(error, MemoryError) or any(words in str(error) for words in GPU_IS_FULL)

    def preflight(self, name: str | None) -> Preflight:
        """Compute a little on a device. Raises DeviceError where the one that is named does not compute."""
        self.use_device(name)
        return Preflight("cpu")

    @property
    def takes_bytes(self) -> bool:
        """Whether it varies photos on the device, so that they should come as bytes."""
        return False

    def fed(self, batches: Iterable[Batch]) -> Iterable[tuple[Any, Any]]:
        """Yield batches as they should be given to steps."""
        return batches

    def as_input(self, images: Any) -> Any:
        """Return photos as a model takes them: an array or a tensor (B, H, W, 3) in [0, 1]."""
        return floats_of(images)

    def free(self) -> None:
        """Give back memory that nothing holds."""
        gc.collect()

    def stepper(self, model: keras.Model) -> StepMaker:
        """Return what computes a model's steps."""
        return KerasStepper(model, self.as_input)

    def set_rate(self, optimizer: keras.optimizers.Optimizer, rate: float) -> None:
        """Set the learning rate."""
        optimizer.learning_rate = rate

    def average(self, network: Weighted, model: keras.Model) -> WeightAverage:
        """Begin an average of a network's weights, which are its model's."""
        return HostAverage(network)

    def measured_precisions(self, wish: Wish) -> tuple[Precision, ...]:
        """Return the arithmetics among which a measurement of steps shall decide; empty where nothing is measured."""
        return ()

    def seconds_of(self, step: Callable[[], object]) -> float:
        """Measure a few steps, in seconds, after some that warm up."""
        raise NotImplementedError

    def sent(self, pixels: Pixels) -> Any:
        """Begin to copy photos (B, H, W, 3) uint8 to the device, from any thread; return what stands for them."""
        return pixels

    def features_of(self, trunk: keras.Model, pixels: Any, pooled: bool) -> Array:
        """Return a trunk's features of bytes, or of what `sent` made of them.

        Returns maps (B, h, w, K) float32, or means over places (B, K).
        """
        on_device = pooled and self.has_gpu()
        with self.exact_float32():
            maps = self.without_gradients(trunk, keras.ops.cast(keras.ops.convert_to_tensor(pixels), "float32") / 255,
                                          training=False)
            features = keras.ops.convert_to_numpy(keras.ops.mean(maps, (1, 2)) if on_device else maps)
        # A CPU's means are NumPy's, whose last digits are others than those of the back ends.
        return np.asarray(features.mean(axis=(1, 2)) if pooled and not on_device else features, np.float32)

    @contextmanager
    def exact_float32(self) -> Iterator[None]:
        """Inside, float32 is computed as float32, where a GPU would take a shorter type (TF32) for products."""
        yield

    @contextmanager
    def own_dropout(self, model: keras.Model) -> Iterator[SeedStep]:
        """Inside, what a model's layers draw follows from the function that is given: it takes step and part."""
        yield StepSeeds(model).set

    def without_gradients(self, model: keras.Model, images: Any, training: bool) -> Any:
        """Return what a model gives, a tensor; nothing is kept for a gradient."""
        return model(images, training=training)

    def update_statistics(self, model: keras.Model, layers: Sequence[keras.layers.BatchNormalization], images: Any,
                          momentum: float) -> None:
        """Let photos go through a model whose normalisations, `layers`, average with a momentum, and leave it there."""
        for layer in layers:
            layer.momentum = momentum
        self.without_gradients(model, images, training=True)

    def write_openvino(self, model: keras.Model, file: str) -> None:
        """Write a model as OpenVINO's .xml and .bin."""
        model.export(file, format="openvino", verbose=False)

    def quicken(self, adam: keras.optimizers.Adam) -> None:
        """Let an Adam compute its update by the back end's own kernel, where it has one."""

    def as_dataset(self, batches: EpochBatches) -> Any:
        """Return batches as the back end's own kind of dataset; as they are where it has none."""
        return batches

    def part_gradients(self, model: keras.Model) -> PartGradients:
        """Return how to compute the gradients of a part of a batch. Raises DeviceError where that is not possible."""
        raise DeviceError("There is too little memory for this --batch-size, and on Keras' back end "
                          f"{keras.backend.backend()} matlens cannot compute a batch in parts. Use a smaller one.")

    def features_and_gradients(self, network: keras.Model, logits: Callable[[Any], Any], images: Array, classes: Labels,
                               layer: str) -> tuple[Array, Array]:
        """Return a layer's output (B, h, w, K), and there the gradient of each photo's logit of class `classes[i]`.

        Args:
            network: photos to two outputs: the layer's, and what goes into the model's last layer.
            logits: maps the second output to class scores before softmax (B, C).
            layer: its name, for messages.

        Raises:
            ModelError: the class scores do not depend on the layer, or the back end cannot differentiate.
        """
        raise ModelError(f"On Keras' back end {keras.backend.backend()} matlens cannot differentiate at the layer "
                         f"'{layer}'. Start it with KERAS_BACKEND=tensorflow, torch or jax.")


def floats_of(images: Any) -> Any:
    """Return photos as floats in [0, 1]: bytes are divided and varied by Keras, whatever it runs on; others stay."""
    if not isinstance(images, BytePhotos):
        return images
    photos = keras.ops.cast(keras.ops.convert_to_tensor(images.pixels), "float32") / 255
    if images.warps is not None:
        rows = np.asarray(images.warps, np.float32).reshape(len(images), 6)
        photos = keras.ops.image.affine_transform(
            photos, np.pad(rows, ((0, 0), (0, 2))), "bilinear", fill_mode="reflect", data_format="channels_last")
    if images.contrasts is not None:
        means = keras.ops.mean(photos, (1, 2), keepdims=True)
        factors = keras.ops.reshape(keras.ops.convert_to_tensor(images.contrasts, "float32"), (-1, 1, 1, 1))
        photos = keras.ops.clip((photos - means) * factors + means, 0, 1)
    return photos


def independent(layer: str) -> ModelError:
    """Return the error for a layer that the class scores do not depend on."""
    return ModelError(f"The class scores do not depend on the layer '{layer}'.")


def no_device(name: str | None, why: str = "") -> DeviceError:
    """Return the error for a device that Keras' back end does not have, with why."""
    return DeviceError(f"Keras on {keras.backend.backend()} has no device '{name}' here{f' ({why})' if why else ''}. "
                       "Use --device cpu, or --device auto.")
