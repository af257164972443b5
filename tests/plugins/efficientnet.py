"""A throw-away file that adds a Keras model: a backbone of keras.applications under a new head."""

from __future__ import annotations

from matlens.models.preprocess import Scale
from matlens.models.registry import register
from matlens.models.spec import MLP, ModelSpec, WeightsFile

_FILE = "efficientnetv2-b0_notop.h5"

register(ModelSpec(
    "efficientnetv2_b0", "EfficientNetV2-B0", "keras", backbone="EfficientNetV2B0", preprocess=Scale(0, 255),
    weights=(WeightsFile(_FILE, f"https://storage.googleapis.com/tensorflow/keras-applications/efficientnet_v2/{_FILE}"),),
    head=MLP(16, dropout=0.2), strong_cut="block5e_add"))
