"""Keras on JAX: memory. A batch in parts and gradients inside a network are refused with what to do instead."""

from __future__ import annotations

import jax

from matlens.models.keras.backends.base import Backend


class JaxBackend(Backend):
    """See `Backend`."""

    def gpu_capability(self) -> tuple[int, int] | None:
        """Return the first GPU's compute capability; None where JAX sees none."""
        device = jax.devices()[0]
        if device.platform != "gpu" or not getattr(device, "compute_capability", ""):
            return None
        major, _, minor = str(device.compute_capability).partition(".")
        return int(major), int(minor or 0)

    def is_out_of_memory(self, error: Exception) -> bool:
        """Return whether XLA, or NumPy, found no memory."""
        return super().is_out_of_memory(error) or "RESOURCE_EXHAUSTED" in str(error)


BACKEND = JaxBackend()
