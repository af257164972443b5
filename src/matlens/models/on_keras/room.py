"""The Keras room's door."""

import importlib
import logging
from pathlib import Path

import keras

from matlens.errors import ModelError
from matlens.models.catalogue import model_info
from matlens.models.on_keras.classifier import KerasClassifier
from matlens.models.on_keras.transfer import build_mobilenetv2_transfer, build_resnet50_transfer
from matlens.models.on_keras.vgg19 import build_vgg19_scratch
from matlens.models.protocol import BuildOrder

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
        """Build one of the guide's Keras models."""
        shape = (*order.img_size, 3)
        if order.model == "vgg19_scratch":
            return KerasClassifier(build_vgg19_scratch(shape, order.num_classes))
        if order.model == "resnet50_transfer":
            return KerasClassifier(*build_resnet50_transfer(shape, order.num_classes, weights=order.weights_file))
        if order.model == "mobilenetv2_transfer":
            return KerasClassifier(*build_mobilenetv2_transfer(
                shape, order.num_classes, weights=order.weights_file, alpha=order.alpha))
        raise ModelError(f"{model_info(order.model).name} is not a Keras model.")

    def load(self, path: Path, order: BuildOrder) -> KerasClassifier:
        """Build by our own code, and take only the weights from the file."""
        classifier = self.build(order)
        try:
            classifier.model.load_weights(path)
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"{path} does not hold the weights of {order.model} with {order.num_classes} "
                             f"classes: {error}") from error
        return classifier

    def versions(self) -> dict[str, str]:
        """Keras and its backend."""
        backend = keras.backend.backend()
        return {"keras": keras.__version__, backend: str(importlib.import_module(backend).__version__)}
