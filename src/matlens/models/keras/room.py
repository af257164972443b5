"""The Keras room's door."""

import importlib
import logging
from pathlib import Path
from typing import Any

import h5py
import keras

from matlens.errors import ModelError
from matlens.models.keras.classifier import KerasClassifier
from matlens.models.keras.precision import gpu_capability
from matlens.models.precision import choose_precision
from matlens.models.protocol import BuildOrder
from matlens.models.registry import spec_of
from matlens.system.untrusted import parse_json, size_of_regular
from matlens.system.untrusted_arrays import check_hdf5

logging.getLogger("absl").setLevel(logging.ERROR)  # "HDF5 is legacy": it is the guide's format


class KerasRoom:
    """See `models.protocol.Room`."""

    def seed(self, seed: int, deterministic: bool) -> None:
        """Seed Keras and TensorFlow (Python and NumPy too, the same way as `seed_everything`)."""
        keras.utils.set_random_seed(seed)
        if deterministic and keras.backend.backend() == "tensorflow":
            import tensorflow

            tensorflow.config.experimental.enable_op_determinism()

    def build(self, order: BuildOrder) -> KerasClassifier:
        """Build a Keras model by its spec."""
        spec = spec_of(order.model)
        if spec.framework != "keras":
            raise ModelError(f"{spec.name} is not a Keras model.")
        model, base_model = spec.build(order)
        return KerasClassifier(model, base_model, choose_precision(order.precision, gpu_capability()))

    def load(self, path: Path, order: BuildOrder) -> KerasClassifier:
        """Build by our own code, and take only the weights from the file."""
        classifier = self.build(order)
        try:
            size = size_of_regular(path)
            if not h5py.is_hdf5(path):
                raise ValueError("it is no HDF5 file")
            with h5py.File(path) as file:
                check_hdf5(file, size)
                _freeze_as(classifier.model, parse_json(file.attrs.get("model_config", "{}")))
            classifier.model.load_weights(path)
        except Exception as error:  # h5py and Keras refuse a foreign or damaged file in many ways
            raise ModelError(f"{path} does not hold the weights of {order.model} with {order.num_classes} "
                             f"classes: {error}") from error
        return classifier

    def has_gpu(self) -> bool:
        """Whether Keras' backend sees a GPU."""
        return bool(keras.distribution.list_devices("gpu"))

    def versions(self) -> dict[str, str]:
        """Keras and its backend."""
        backend = keras.backend.backend()
        return {"keras": keras.__version__, backend: str(importlib.import_module(backend).__version__)}


def _freeze_as(model: keras.Model, saved: dict[str, Any]) -> None:
    """Freeze the layers that were frozen when a model was saved; `saved` is its configuration.

    Keras' .h5 lists a nested model's trainable weights before the others, so a file fits only a model that is frozen
    alike.
    """
    ours = {layer.name: layer for layer in model.layers}
    for each in saved.get("config", {}).get("layers", []):
        layer = ours.get(each["config"]["name"])
        if isinstance(layer, keras.Model):
            _freeze_as(layer, each)
        elif layer is not None:
            layer.trainable = each["config"].get("trainable", True)
