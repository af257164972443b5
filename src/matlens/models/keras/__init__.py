"""The Keras room: VGG19, ResNet50 and MobileNetV2. Nothing else in matlens imports Keras or TensorFlow."""

import contextlib
import logging
import os

from matlens.system.devices import usable_cores

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow reads it when it is imported

import keras

if keras.backend.backend() == "tensorflow":
    import tensorflow

    # Otherwise TensorFlow takes the whole of a GPU's memory, and the next model's process finds none.
    for gpu in tensorflow.config.list_physical_devices("GPU"):
        try:
            tensorflow.config.experimental.set_memory_growth(gpu, True)
        except RuntimeError:  # in a notebook that has used the GPU already: it keeps the growth it has
            break
    if tensorflow.config.threading.get_intra_op_parallelism_threads() == 0:  # 0: TensorFlow's own choice
        with contextlib.suppress(RuntimeError):  # in a notebook that has used TensorFlow already
            tensorflow.config.threading.set_intra_op_parallelism_threads(usable_cores())

from matlens.models.keras.room import KerasRoom

# Batches come in two sizes, and a notebook holds several models: each is traced once, which is meant.
logging.getLogger("tensorflow").addFilter(lambda record: "tf.function retracing" not in record.getMessage())

room = KerasRoom()
ON_TENSORFLOW = keras.backend.backend() == "tensorflow"

__all__ = ["ON_TENSORFLOW", "room"]
