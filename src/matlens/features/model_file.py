"""A framework's model file without the framework: copy a file with an untrained head, and put the trained head into it.

Keras' is HDF5. PyTorch's is a ZIP archive: its pickle names each tensor and the member that holds its numbers.
"""

from __future__ import annotations

import io
import json
import pickle
import shutil
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from matlens.errors import ModelError
from matlens.models.head import Head
from matlens.system.files import whole_file, write_json
from matlens.types import Array

_LAYERS = ("hidden", "predictions")
"""The names of the transfer head's dense layers, in order."""


def write_model_file(template: Path, head: Head, path: Path, about: dict[str, Any]) -> None:
    """Copy a model file and put the weights of a head into the copy, whole or not at all.

    Args:
        template: a model file (.h5 or .pth) whose head has the same layers.
        about: written as `Classifier.save` writes it: into an .h5, beside a .pth.

    Raises:
        ModelError: the template has a head of other layers.
    """
    if template.suffix == ".pth":
        with whole_file(path) as partial:
            _write_pth(template, head, partial)
        write_json(path.with_suffix(".json"), about)
        return
    with whole_file(path) as partial:
        _write_h5(template, head, partial, about)


def _write_h5(template: Path, head: Head, path: Path, about: dict[str, Any]) -> None:
    import h5py

    shutil.copyfile(template, path)
    with h5py.File(path, "a") as file:
        for name, layer in zip(_LAYERS, head.layers, strict=True):
            for kind, values in (("kernel", layer.kernel), ("bias", layer.bias)):
                place = file.get(f"model_weights/{name}/{name}/{kind}")
                if place is None or place.shape != values.shape:
                    raise ModelError(f"{template} does not hold the layer {name} with {kind} {values.shape}.")
                place[...] = values
        del file["matlens"]
        file.create_dataset("matlens", data=json.dumps(about))


def _write_pth(template: Path, head: Head, path: Path) -> None:
    ours = {f"{name}.{kind}": values for name, layer in zip(_LAYERS, head.layers, strict=True)
            for kind, values in (("weight", layer.kernel.T), ("bias", layer.bias))}
    with zipfile.ZipFile(template) as archive, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as copy:
        names = archive.namelist()
        index = next(name for name in names if name.endswith("/data.pkl"))
        new = _members(template, archive.read(index), ours)
        for name in names:
            values = new.pop(name.removeprefix(index.removesuffix("data.pkl")), None)
            copy.writestr(zipfile.ZipInfo(name), archive.read(name) if values is None else values)


def _members(template: Path, index: bytes, values: Mapping[str, Array]) -> dict[str, bytes]:
    """Return the new content of the members that hold some tensors. Raises ModelError where one is of another shape."""
    tensors, new = _Index(io.BytesIO(index)).load(), {}
    for name, array in values.items():
        member, offset, shape, dtype = tensors.get(name, (None, 0, (), ""))
        if (offset, shape, dtype) != (0, array.shape, "FloatStorage") or sys.byteorder != "little":
            raise ModelError(f"{template} does not hold {name} as {array.shape} numbers of 32 bits.")
        new[f"data/{member}"] = array.astype("<f4").tobytes()
    return new


class _Index(pickle.Unpickler):
    """Reads which member of a .pth holds which tensor: (member, offset, shape, type). It makes no other objects."""

    _MADE: Mapping[tuple[str, str], Callable[..., Any]] = {
        ("collections", "OrderedDict"): OrderedDict, ("torch._utils", "_rebuild_tensor_v2"):
            lambda storage, offset, shape, *_: (storage[1], offset, shape, storage[0])}

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name.endswith("Storage"):
            return name
        if (module, name) not in self._MADE:
            raise ModelError(f"A .pth of tensors alone does not name {module}.{name}.")
        return self._MADE[module, name]

    def persistent_load(self, pid: Any) -> tuple[str, str]:
        return pid[1], pid[2]  # ("storage", type, member, device, length)
