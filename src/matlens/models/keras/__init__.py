"""Keras. Nothing else in matlens imports Keras, and nothing but `backends` imports what Keras runs on."""

import os

from matlens.models.frameworks import keras_environment
from matlens.system.devices import openmp_environment

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow reads it when it is imported
os.environ.update(keras_environment() | openmp_environment())

from matlens.models.keras.backends import backend
from matlens.models.keras.room import KerasRoom

backend().prepare()
room = KerasRoom()

__all__ = ["room"]
