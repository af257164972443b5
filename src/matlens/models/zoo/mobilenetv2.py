"""MobileNetV2 by transfer (Sandler et al. 2018)."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from matlens.models.protocol import BuildOrder
from matlens.models.registry import register
from matlens.models.spec import KERAS_DRAFT, MLP, ModelSpec, Options, WeightsFile

_URL = "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2"
_SIDES = (96, 128, 160, 192, 224)
"""The photo sides for which ImageNet weights were published."""


def _weights(options: Options, side: int) -> tuple[WeightsFile, ...]:
    """The file for this side, and the one for 224 that fits any."""
    exact = side if side in _SIDES else 224
    names = [f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{float(options['alpha'])}_{rows}_no_top.h5"
             for rows in dict.fromkeys((exact, 224))]
    return tuple(WeightsFile(name, f"{_URL}/{name}") for name in names)


def _build(order: BuildOrder) -> Any:
    from matlens.models.keras.transfer import build_mobilenetv2

    return build_mobilenetv2((*order.img_size, 3), order.num_classes, order.weights_file,
                             alpha=float(order.options.get("alpha", 1.0)))


register(ModelSpec("mobilenetv2_transfer", "MobileNetV2 transfer", "keras", ".h5", _build,
                   options=MappingProxyType({"alpha": 1.0}), limits=MappingProxyType({"alpha": (0, 2)}),
                   weights=_weights, head=MLP(512, dropout=0.6),
                   strong_cut="block_12_add", draft_environment=KERAS_DRAFT, in_default_run=True, rank=3))
