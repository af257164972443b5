"""Refuse what this machine cannot do before any photo is read: models that do not fit, devices that do not compute."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from matlens.errors import DeviceError, ModelError, OutOfMemoryError
from matlens.models.library import library_of
from matlens.models.registry import spec_of
from matlens.settings.schema import Settings
from matlens.system.console import command
from matlens.system.resources import available_memory, has_nvidia_gpu
from matlens.system.transport import run_job
from matlens.workers.jobs.device import DeviceTask

_OF_FROZEN, _OF_TRAINED = 2, 4
"""Copies of the weights in memory at least: where the trunk is frozen the framework's and OpenVINO's, while it is
converted; where all of it is trained the weights, their gradients, and Adam's two means."""


def refuse_too_large(settings: Settings, model: str, weights: Path | None) -> None:
    """Raise OutOfMemoryError where a network takes more memory than there is, by its weights alone.

    What photos take on their way through it comes on top: this refuses what cannot be, and promises nothing. A network
    whose size nobody knows without building it is let through.

    weights: the file of pretrained weights; None for random ones.
    """
    numbers, free = _numbers_in(model, weights), available_memory()
    if numbers is None or free is None:
        return
    on_gpu = settings.device not in (None, "cpu") or (settings.device is None and has_nvidia_gpu())
    is_trained = weights is None and not on_gpu
    needed = 4 * numbers * (_OF_TRAINED if is_trained else _OF_FROZEN)
    if needed <= free:
        return
    family = re.split("[_.]", model)[0]
    listed = command("models", f"{family}*", "--count")
    smaller = f"Choose a smaller one: {listed}" if "/" in model else "Choose a smaller one"
    frozen = ", or train only a head on it, with pretrained weights and --recipe probe" if is_trained else ""
    raise OutOfMemoryError(
        f"{model}: the {numbers / 1e6:,.0f} million numbers of this network take {needed / 1e9:,.1f} GB of memory at "
        f"least{' while all of them are trained' if is_trained else ''}, and {free / 1e9:,.1f} GB are free. "
        f"End other programs that hold memory{frozen}. {smaller}.")


def _numbers_in(model: str, weights: Path | None) -> int | None:
    """Return how many numbers a network has, without a head: as counted, or as many as its file holds; else None."""
    found = library_of(model)
    if found is not None and (catalogue := found[0].catalogue) is not None:
        try:
            counted = catalogue.counted(found[1])
        except ModelError:  # said where the model is built
            counted = None
        if counted is not None:
            return counted.parameters
    return None if weights is None else weights.stat().st_size // 4


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
