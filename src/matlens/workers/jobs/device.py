"""The job `device`: see whether a model's framework computes on the device that the user named."""

from __future__ import annotations

from dataclasses import dataclass

from matlens.workers.frameworks import open_framework
from matlens.workers.registry import Tell, job


@dataclass(frozen=True)
class DeviceTask:
    """A model, whose framework is asked, and a device as in `BuildOrder`."""

    model: str
    device: str


@job("device")
def device(task: DeviceTask, tell: Tell) -> None:
    """Compute something small on the device. Raises DeviceError where it does not exist, or does not compute."""
    open_framework(task.model).preflight(task.device)
