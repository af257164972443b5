"""A throw-away file that adds a Keras model: a backbone of keras.applications under a new head."""

from __future__ import annotations

from matlens.models.preprocess import Scale
from matlens.models.registry import register
from matlens.models.spec import MLP, ModelSpec, WeightsFile

_FILE = "mobilenet_1_0_224_tf_no_top.h5"

register(ModelSpec(
    "mobilenet", "MobileNet", "keras", backbone="MobileNet", preprocess=Scale(-1, 1),
    weights=(WeightsFile(_FILE, f"https://storage.googleapis.com/tensorflow/keras-applications/mobilenet/{_FILE}"),),
    head=MLP(16, dropout=0.2), strong_cut="conv_pw_11_relu"))
