"""The interface of a Keras back end, and what holds for one that matlens has no special code for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import keras

from matlens.errors import DeviceError, ModelError
from matlens.models.keras.states import SeedStep, StepSeeds
from matlens.types import Array, Labels

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


def independent(layer: str) -> ModelError:
    """Return the error for a layer that the class scores do not depend on."""
    return ModelError(f"The class scores do not depend on the layer '{layer}'.")


def no_device(name: str | None, why: str = "") -> DeviceError:
    """Return the error for a device that Keras' back end does not have, with why."""
    return DeviceError(f"Keras on {keras.backend.backend()} has no device '{name}' here{f' ({why})' if why else ''}. "
                       "Use --device cpu, or --device auto.")
