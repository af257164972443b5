"""Refuse a device that does not compute before any photo is read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from matlens.errors import DeviceError
from matlens.models.registry import spec_of
from matlens.system.transport import run_job
from matlens.workers.jobs.device import DeviceTask


def refuse_device(device: str | None, models: Iterable[str]) -> None:
    """Ask the frameworks of models, each in a process of its own, whether one of them computes on the device.

    Where one does, the others' models fail by themselves and the run goes on.

    Args:
        device: as in `BuildOrder`. Nobody is asked about the CPU, or where the framework chooses.
        models: those that are to be trained.

    Raises:
        DeviceError: none of them does; the first one's reason, and the way out.
        ModelError: a framework is not installed.
    """
    if device in (None, "cpu"):
        return
    reasons = []
    with TemporaryDirectory() as folder:
        for model in {spec_of(name).framework: name for name in models}.values():
            try:
                run_job("device", DeviceTask(model, device), Path(folder) / "device.log")
            except DeviceError as error:
                reasons.append(error)
            else:
                return
    if reasons:
        raise reasons[0]
