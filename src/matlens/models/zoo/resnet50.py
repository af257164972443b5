"""ResNet50 by transfer (He et al. 2016)."""

from __future__ import annotations

from typing import Any

from matlens.models.protocol import BuildOrder
from matlens.models.registry import register
from matlens.models.spec import KERAS_DRAFT, MLP, ModelSpec, Options, WeightsFile

_URL = "https://storage.googleapis.com/tensorflow/keras-applications/resnet"
_FILE = "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"


def _weights(options: Options, side: int) -> tuple[WeightsFile, ...]:
    return (WeightsFile(_FILE, f"{_URL}/{_FILE}", "md5:4d473c1dd8becc155b73f8504c6f6626"),)


def _build(order: BuildOrder) -> Any:
    from matlens.models.keras.transfer import build_resnet50

    return build_resnet50((*order.img_size, 3), order.num_classes, order.weights_file)


register(ModelSpec("resnet50_transfer", "ResNet50 transfer", "keras", ".h5", _build, weights=_weights,
                   head=MLP(512, dropout=0.5), strong_cut="conv4_block6_out",
                   draft_environment=KERAS_DRAFT, in_default_run=True, rank=2))
