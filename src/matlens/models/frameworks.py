"""The deep learning frameworks that matlens can build models in, one entry each. Nothing here imports them."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from matlens.system.untrusted import parse_json, read_bounded

FrameworkName = Literal["keras", "torch"]

BACK_ENDS: Mapping[str, tuple[str, ...]] = {
    "tensorflow": ("tensorflow", "tensorflow-cpu"), "torch": ("torch",), "jax": ("jax", "jaxlib"),
    "openvino": ("openvino",)}
"""What Keras runs on: the package, and the names under which package indexes have it, for its version."""

_SETTINGS_LIMIT = 100_000
"""Bytes of a keras.json, which has five short lines."""

_TRAINING_BACK_ENDS = ("tensorflow", "torch", "jax")
"""In the order in which matlens takes one that is installed, where nobody chose."""


@dataclass(frozen=True)
class Framework:
    """What matlens knows of a framework before it is imported.

    own_packages: what must be installed, besides what it runs on.
    own_distributions: the names under which package indexes have these packages.
    runs_on: returns the name of what it runs on, in BACK_ENDS; None where it is alone.
    room: the module whose `room` builds and loads models (`models.protocol.Room`); importing it imports the framework.
    suffix: of the model files that it writes.
    weights_folder: where the framework itself keeps downloaded weights.
    """

    name: FrameworkName
    own_packages: tuple[str, ...]
    own_distributions: tuple[str, ...]
    room: str
    suffix: str
    weights_folder: Callable[[], Path]
    runs_on: Callable[[], str | None] = lambda: None

    @property
    def packages(self) -> tuple[str, ...]:
        """What must be installed."""
        below = self.runs_on()
        return self.own_packages if below is None else (*self.own_packages, below)

    @property
    def distributions(self) -> tuple[str, ...]:
        """The names under which package indexes have its packages, for their versions."""
        return (*self.own_distributions, *BACK_ENDS.get(self.runs_on() or "", ()))

    @property
    def extra(self) -> str:
        """The extra that installs it, such as `pip install 'matlens[keras-jax]'`."""
        below = self.runs_on()
        return f"{self.name}-{below}" if below in ("torch", "jax") else self.name

    def missing_packages(self) -> list[str]:
        """Return the packages that are not installed."""
        return [package for package in self.packages if not _is_installed(package)]


def keras_backend() -> str:
    """Return what Keras runs on, or will run on when it is imported.

    That is the environment's KERAS_BACKEND; else what keras.json names, or TensorFlow, if it is installed; else the
    first of TensorFlow, PyTorch and JAX that is.
    """
    keras = sys.modules.get("keras")
    if keras is not None and hasattr(keras, "backend"):
        return str(keras.backend.backend())
    if chosen := os.environ.get("KERAS_BACKEND"):
        return chosen
    preferred = _of_keras_json()
    return next((name for name in (preferred, *_TRAINING_BACK_ENDS) if _is_installed(name)), preferred)


def keras_environment() -> dict[str, str]:
    """Return what the environment must say before Keras is imported, where Keras would take what is not installed."""
    if "keras" in sys.modules or os.environ.get("KERAS_BACKEND") or (chosen := keras_backend()) == _of_keras_json():
        return {}
    return {"KERAS_BACKEND": chosen}


def _of_keras_json() -> str:
    """Return the back end that Keras takes where no variable names one (keras.src.backend.config)."""
    try:
        return str(parse_json(read_bounded(_kerashome_folder() / "keras.json", _SETTINGS_LIMIT))["backend"])
    except (OSError, ValueError, KeyError, TypeError):  # Keras then takes its default, too
        return "tensorflow"


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):  # no name of a package; or a module that was put there by hand
        return False


def _kerashome_folder() -> Path:
    """Return Keras' own folder, as it chooses it (keras.src.backend.config): also where nobody has a home folder."""
    home = home_folder()
    return Path(os.environ.get("KERAS_HOME") or (home if os.access(home, os.W_OK) else Path("/tmp")) / ".keras")


def home_folder() -> Path:
    """Return the home folder as both frameworks do: `~` itself where there is none, as in some containers."""
    return Path(os.path.expanduser("~"))  # noqa: PTH111 - pathlib's raises


def _keras_weights() -> Path:
    return _kerashome_folder() / "models"


def _torch_weights() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or home_folder() / ".cache") / "torch"
    return Path(os.environ.get("TORCH_HOME") or cache) / "hub" / "checkpoints"


FRAMEWORKS: dict[str, Framework] = {framework.name: framework for framework in (
    Framework("keras", ("keras",), ("keras",), "matlens.models.keras", ".h5", _keras_weights,
              runs_on=keras_backend),
    Framework("torch", ("torch", "torchvision"), ("torch", "torchvision"), "matlens.models.torch", ".pth",
              _torch_weights))}


def is_keras(model: Any) -> bool:
    """Return whether it is a Keras model; this imports nothing."""
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(model, keras.Model)
