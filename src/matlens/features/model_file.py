"""Keras' model file without Keras: a file that was written with an untrained head, with the trained one put in."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from matlens.errors import ModelError
from matlens.models.head import Head
from matlens.system.files import whole_file

_LAYERS = ("hidden", "predictions")
"""The names of the transfer head's dense layers, in order."""


def write_model_file(template: Path, head: Head, path: Path, about: dict[str, Any]) -> None:
    """Copy a .h5 with another head's weights in it, whole or not at all; `about` goes along as in `Classifier.save`.

    Raises:
        ModelError: the template is not of this head.
    """
    import h5py

    with whole_file(path) as partial:
        shutil.copyfile(template, partial)
        with h5py.File(partial, "a") as file:
            for name, layer in zip(_LAYERS, head.layers, strict=True):
                for kind, values in (("kernel", layer.kernel), ("bias", layer.bias)):
                    place = file.get(f"model_weights/{name}/{name}/{kind}")
                    if place is None or place.shape != values.shape:
                        raise ModelError(f"{template} does not hold the layer {name} with {kind} {values.shape}.")
                    place[...] = values
            del file["matlens"]
            file.create_dataset("matlens", data=json.dumps(about))
