"""A model file with a trained head, from one with an untrained head: of Keras' without Keras, of others by a job."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from matlens.errors import ModelError
from matlens.models.head import Head
from matlens.models.protocol import BuildOrder
from matlens.system.files import whole_file

_LAYERS = ("hidden", "predictions")
"""The names of the transfer head's dense layers, in order; a linear head has the last one alone."""


@dataclass(frozen=True)
class HeadTask:
    """The trained head that the job `put_head` puts into a model.

    order: describes the model. template: its file with an untrained head. head: a file of `Head.save`.
    model_file: is written. about: as JSON, what `Classifier.save` writes into it.
    """

    order: BuildOrder
    template: Path
    head: Path
    model_file: Path
    about: str


def write_untrained_file(template: Path, path: Path, classes: int) -> int:
    """Copy a .h5 with an untrained head, and give the copy an untrained last layer of another number of classes.

    Returns how many numbers the model has more (or, negative, less); all of them are trained.

    Raises:
        ModelError: the template is gone, or has no last layer of the transfer head's name.
    """
    import h5py

    try:
        shutil.copyfile(template, path)
        with h5py.File(path, "a") as file:
            config = json.loads(file.attrs["model_config"])
            [last] = [layer for layer in config["config"]["layers"] if layer["config"]["name"] == _LAYERS[-1]]
            weights = file[f"model_weights/{_LAYERS[-1]}/{_LAYERS[-1]}"]
            inputs, before = weights["kernel"].shape
            if last["config"]["units"] != before:
                raise ValueError("its description and its weights do not fit together")
            last["config"]["units"] = classes
            file.attrs["model_config"] = json.dumps(config)
            limit = np.sqrt(6 / (inputs + classes))  # Glorot and Bengio 2010, as Keras begins
            begun = {"kernel": np.random.default_rng(0).uniform(-limit, limit, (inputs, classes)),
                     "bias": np.zeros(classes)}
            for name, values in begun.items():
                del weights[name]
                weights.create_dataset(name, data=values.astype(np.float32))
    except (FileNotFoundError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{template} holds no untrained head: {error}") from error
    return int((classes - before) * (inputs + 1))


def write_model_file(template: Path, head: Head, path: Path, about: dict[str, Any]) -> None:
    """Copy a .h5 and put the weights of a head into the copy, whole or not at all.

    Args:
        template: a model file whose head has the same layers.
        about: written into the file as `Classifier.save` writes it.

    Raises:
        ModelError: the template has a head of other layers.
    """
    import h5py

    with whole_file(path) as partial:
        shutil.copyfile(template, partial)
        with h5py.File(partial, "a") as file:
            for name, layer in zip(_LAYERS[-len(head.layers):], head.layers, strict=True):
                for kind, values in (("kernel", layer.kernel), ("bias", layer.bias)):
                    place = file.get(f"model_weights/{name}/{name}/{kind}")
                    if place is None or place.shape != values.shape:
                        raise ModelError(f"{template} does not hold the layer {name} with {kind} {values.shape}.")
                    place[...] = values
            del file["matlens"]
            file.create_dataset("matlens", data=json.dumps(about))
