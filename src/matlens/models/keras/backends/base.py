"""The interface of a Keras back end, and what holds for one that matlens has no special code for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import keras

from matlens.errors import DeviceError, ModelError
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

    def gpu_capability(self) -> tuple[int, int] | None:
        """Return the first GPU's CUDA compute capability; None where the back end sees none, or cannot tell."""
        return None

    def is_out_of_memory(self, error: Exception) -> bool:
        """Return whether the back end, or NumPy, found no memory."""
        return isinstance(error, MemoryError) or any(words in str(error) for words in GPU_IS_FULL)

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
                         f"'{layer}'. Start it with KERAS_BACKEND=tensorflow or KERAS_BACKEND=torch.")


def independent(layer: str) -> ModelError:
    """Return the error for a layer that the class scores do not depend on."""
    return ModelError(f"The class scores do not depend on the layer '{layer}'.")
