"""Open model files that others wrote: nothing but Keras' own layers, checked before anything is built."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import keras

from matlens.errors import ModelError

_CODE = ("Lambda", "TorchModuleWrapper", "FlaxLayer", "JaxLayer", "TFSMLayer")
"""Layers of Keras that hold code, or a name of it."""


def open_foreign(path: Path) -> keras.Model:
    """See `models.doors.load_model`."""
    if not path.is_file():
        raise ModelError(f"No such model file: {path}")
    for kind, home in _classes(_config(path)):
        if kind in _CODE or ">" in kind or (home is not None and home.partition(".")[0] != "keras"):
            raise ModelError(f"{path} holds {kind}, which is code of somebody else's. Only models of Keras' own layers "
                             "are opened.")
    try:
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras and h5py refuse a damaged file in many ways
        raise ModelError(f"Keras cannot open {path}: {error}") from error
    if not hasattr(model, "output_shape"):
        raise ModelError(f"{path} holds a {type(model).__name__}, no model of photos.")
    model.compile(loss="categorical_crossentropy", metrics=["accuracy"])
    return model


def _config(path: Path) -> Any:
    """The model's configuration, read as data."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return json.loads(archive.read("config.json"))
        with h5py.File(path) as file:
            return json.loads(file.attrs["model_config"])
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path} is not a Keras model file: it has no readable configuration ({error}). Weights "
                         "alone cannot be opened without the model's code.") from error


def _classes(config: Any) -> Iterator[tuple[str, str | None]]:
    """Each class that a configuration names, with the module that it is said to be in."""
    if isinstance(config, dict):
        if config.get("class_name") == "function" and isinstance(config.get("config"), str):
            yield config["config"], config.get("module")
        elif isinstance(config.get("class_name"), str):
            yield config["class_name"], config.get("module")
        if config.get("registered_name") and config.get("module") is None and "class_name" in config:
            yield str(config["registered_name"]), "registered"
        for value in config.values():
            yield from _classes(value)
    elif isinstance(config, list):
        for value in config:
            yield from _classes(value)
