"""Seed Keras, and build and load its models."""

import importlib
import logging
from pathlib import Path
from typing import Any

import h5py
import keras

from matlens.errors import ModelError
from matlens.models.keras.backends import backend
from matlens.models.keras.classifier import KerasClassifier
from matlens.models.keras.transfer import build_model
from matlens.models.precision import ChosenPrecision, choose_precision
from matlens.models.preflight import Preflight
from matlens.models.protocol import BuildOrder
from matlens.models.registry import spec_in
from matlens.system.untrusted import parse_json, reading, size_of_regular
from matlens.system.untrusted_arrays import check_hdf5

logging.getLogger("absl").setLevel(logging.ERROR)  # "HDF5 is legacy": it is the guide's format


class KerasRoom:
    """See `models.protocol.Room`."""

    def seed(self, seed: int, deterministic: bool) -> None:
        """Seed Keras and its back end (Python and NumPy too, the same way as `seed_everything`)."""
        keras.utils.set_random_seed(seed)
        if deterministic:
            backend().make_deterministic()

    def build(self, order: BuildOrder) -> KerasClassifier:
        """Build a Keras model by its spec. Raises ModelError, WeightsError or DeviceError."""
        spec = spec_in("keras", order.model)
        backend().use_device(order.device)
        precision = ChosenPrecision(choose_precision(order.precision, backend().gpu_capability()),
                                    backend().measured_precisions(order.precision))
        return KerasClassifier(*build_model(spec, order), precision)

    def load(self, path: Path, order: BuildOrder) -> KerasClassifier:
        """Build a model by matlens' own code, and take only the weights from the file. Raises ModelError."""
        classifier = self.build(order)
        with reading(path, f"a file of the weights of {order.model} with {order.num_classes} classes", ModelError,
                     "Train it again, or name the run and the classes that it belongs to.", (Exception,)):
            size = size_of_regular(path)
            if not h5py.is_hdf5(path):
                raise ValueError("it is no HDF5 file")
            with h5py.File(path) as file:
                check_hdf5(file, size)
                _freeze_as(classifier.model, parse_json(file.attrs.get("model_config", "{}"), finite=False))
            classifier.model.load_weights(path)
        return classifier

    def preflight(self, device: str | None) -> Preflight:
        """Try a device before it is trained on. Raises DeviceError where the one that is named does not work."""
        return backend().preflight(device)

    def versions(self) -> dict[str, str]:
        """Return the versions of Keras and of its back end."""
        name = keras.backend.backend()
        return {"keras": keras.__version__, name: str(importlib.import_module(name).__version__)}


def _freeze_as(model: keras.Model, saved: dict[str, Any]) -> None:
    """Freeze the layers that were frozen when a model was saved.

    Keras' .h5 lists a nested model's trainable weights before the others, so a file fits only a model whose layers are
    frozen as they were. `saved` is the configuration in the file.
    """
    ours = {layer.name: layer for layer in model.layers}
    for described in saved.get("config", {}).get("layers", []):
        layer = ours.get(described["config"]["name"])
        if isinstance(layer, keras.Model):
            _freeze_as(layer, described)
        elif layer is not None:
            layer.trainable = described["config"].get("trainable", True)
