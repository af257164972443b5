"""Keras on PyTorch: gradients, memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import torch

from matlens.models.keras.backends.base import Backend, PartGradients, independent
from matlens.types import Array, Labels


class TorchBackend(Backend):
    """See `Backend`."""

    def make_deterministic(self) -> None:
        """Ask PyTorch for deterministic operations."""
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False

    def gpu_capability(self) -> tuple[int, int] | None:
        """Return the first GPU's compute capability; None where PyTorch sees none."""
        return torch.cuda.get_device_capability(0) if torch.cuda.is_available() else None

    def is_out_of_memory(self, error: Exception) -> bool:
        """Return whether a GPU, PyTorch's allocator on the CPU (which raises a bare RuntimeError) or NumPy is full."""
        return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
            isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error))

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


BACKEND = TorchBackend()
