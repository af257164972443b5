"""Open model files that others wrote: only those of Keras' own layers, checked before anything is built."""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import h5py
import keras

from matlens.errors import ModelError
from matlens.system.untrusted import parse_json, reading, refuse_bomb, size_of_regular
from matlens.system.untrusted_arrays import check_hdf5

_CODE = ("Lambda", "TorchModuleWrapper", "FlaxLayer", "JaxLayer", "TFSMLayer")
"""Layers of Keras that hold code, or name it."""

_READERS = ("StringLookup", "IntegerLookup", "TextVectorization")
"""Layers of Keras that may read a file which their configuration names; none of them is for photos."""

_KINDS = ("layers", "ops", "initializers", "regularizers", "constraints", "activations", "optimizers", "losses",
          "metrics", "models", "dtype_policies", "random")
_HOMES = re.compile(rf"keras|keras\.(src\.)?({'|'.join(_KINDS)})(\.\w+)*")
"""Modules of Keras whose classes a network is made of. Others have functions that load, fetch and switch off checks."""

_ON_TOP = ("Model", "Functional", "Sequential", "DTypePolicy", "KerasTensor", "Variable")
"""Classes that are allowed in Keras' top namespace."""

_CONFIG_LIMIT = 64 << 20
_WEIGHTS = "model.weights.h5"
_ABOUT = "matlens"
"""The dataset of an .h5 that holds what `KerasClassifier.save` was told of the model."""


def open_foreign(path: Path) -> keras.Model:
    """Open a model; see `notebook.builders.load_model`."""
    if not path.is_file():
        raise ModelError(f"No such model file: {path}")
    for kind, home in _classes(_checked_config(path)):
        if kind in _CODE or ">" in kind or not _is_of_a_network(kind, home):
            raise ModelError(f"{path} holds {kind}, which is code of somebody else's. matlens opens only models of "
                             "Keras' own layers.")
        if kind in _READERS:
            raise ModelError(f"{path} holds {kind}, which may read other files. matlens opens only models of photos.")
    with reading(path, "a model that Keras can open", ModelError, "Write it again with model.save().", (Exception,)):
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    if not hasattr(model, "output_shape"):
        raise ModelError(f"{path} holds a {type(model).__name__}, which is no model of photos.")
    model.compile(loss="categorical_crossentropy", metrics=["accuracy"])
    if names := _class_names(path, int(model.output_shape[-1])):
        model.class_names = names
    return model


def _class_names(path: Path, outputs: int) -> tuple[str, ...]:
    """Return the names of the classes that `train_model` saved in an .h5; empty where there are none.

    Raises ModelError.
    """
    if zipfile.is_zipfile(path):
        return ()
    with reading(path, "a model whose class names can be read", ModelError, "Train it again with train_model."):
        size_of_regular(path)
        with h5py.File(path) as file:
            if _ABOUT not in file:
                return ()
            about = parse_json(file[_ABOUT].asstr()[()])
        names = about["class_names"]
        if not all(isinstance(name, str) for name in names) or len(names) not in (0, max(outputs, 2)):
            raise ValueError(f"it holds {len(names)} names of classes for {outputs} outputs")
        return tuple(names)


def _is_of_a_network(kind: str, home: str | None) -> bool:
    if home is None or home == "keras":
        return home is None or kind in _ON_TOP
    return _HOMES.fullmatch(home) is not None


def _checked_config(path: Path) -> Any:
    """Read the model's configuration as data, and check what holds the weights. Raises ModelError."""
    with reading(path, "a Keras model file with a readable configuration and nothing else that a model has no use for",
                 ModelError, "Weights alone cannot be opened without the model's code."):
        size = size_of_regular(path)
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                refuse_bomb(archive, size)
                if archive.getinfo("config.json").file_size > _CONFIG_LIMIT:
                    raise ValueError("its configuration is too large")
                if _WEIGHTS in archive.namelist():
                    with archive.open(_WEIGHTS) as weights, h5py.File(weights) as file:
                        check_hdf5(file, archive.getinfo(_WEIGHTS).file_size)
                return parse_json(archive.read("config.json"), finite=False)
        with h5py.File(path) as file:
            check_hdf5(file, size)
            return parse_json(cast(str, file.attrs["model_config"]), finite=False)


def _classes(config: Any) -> Iterator[tuple[str, str | None]]:
    """Yield each class that a configuration names, with the module that it claims to be in."""
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
