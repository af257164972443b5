"""Refuse the models of a run whose weights alone do not fit into memory, before photos are decoded."""

from __future__ import annotations

import re
from pathlib import Path

from matlens.errors import ModelError, OutOfMemoryError
from matlens.models.library import library_of
from matlens.settings.schema import Settings
from matlens.system.resources import available_memory, has_nvidia_gpu

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
    smaller = f"Choose a smaller one: matlens models '{family}*' --count" if "/" in model else "Choose a smaller one"
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
