"""The deep learning frameworks that matlens can build models in, one entry each. Nothing here imports them."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

FrameworkName = Literal["keras", "torch"]


@dataclass(frozen=True)
class Framework:
    """What matlens knows of a framework before it is imported.

    name: also that of the extra that installs it (`pip install 'matlens[keras]'`).
    packages: what must be installed.
    distributions: the names under which package indexes have these packages, for their versions.
    room: the module whose `room` builds and loads models (`models.protocol.Room`); importing it imports the framework.
    suffix: of the model files that it writes.
    weights_folder: where the framework itself keeps downloaded weights.
    names_backbones: whether a spec can name a backbone of the framework's own library.
    """

    name: FrameworkName
    packages: tuple[str, ...]
    distributions: tuple[str, ...]
    room: str
    suffix: str
    weights_folder: Callable[[], Path]
    names_backbones: bool = False

    def missing_packages(self) -> list[str]:
        """Return the packages that are not installed."""
        return [package for package in self.packages if importlib.util.find_spec(package) is None]


def _keras_weights() -> Path:
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "models"


def _torch_weights() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "torch"
    return Path(os.environ.get("TORCH_HOME") or cache) / "hub" / "checkpoints"


FRAMEWORKS: dict[str, Framework] = {framework.name: framework for framework in (
    Framework("keras", ("keras", "tensorflow"), ("keras", "tensorflow", "tensorflow-cpu"), "matlens.models.keras",
              ".h5", _keras_weights, names_backbones=True),
    Framework("torch", ("torch", "torchvision"), ("torch", "torchvision"), "matlens.models.torch", ".pth",
              _torch_weights))}


def is_keras(model: Any) -> bool:
    """Return whether it is a Keras model; this imports nothing."""
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(model, keras.Model)
