"""MobileNetV2 by transfer (Sandler et al. 2018)."""

from __future__ import annotations

from types import MappingProxyType

from matlens.models.preprocess import Scale
from matlens.models.registry import register
from matlens.models.spec import KERAS_DRAFT, MLP, ModelSpec, WeightsFile

_URL = "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2"
_OF_SIDE = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{alpha}_{side}_no_top.h5"
_OF_224 = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{alpha}_224_no_top.h5"

register(ModelSpec(
    "mobilenetv2_transfer", "MobileNetV2 transfer", "keras", backbone="MobileNetV2",
    options=MappingProxyType({"alpha": 1.0}), limits=MappingProxyType({"alpha": (0, 2)}), preprocess=Scale(-1, 1),
    weights=(WeightsFile(_OF_SIDE, f"{_URL}/{_OF_SIDE}", sides=(96, 128, 160, 192, 224)),
             WeightsFile(_OF_224, f"{_URL}/{_OF_224}")),
    head=MLP(512, dropout=0.6), strong_cut="block_12_add", draft_environment=KERAS_DRAFT,
    in_default_run=True, rank=3))
