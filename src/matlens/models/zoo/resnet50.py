"""ResNet50 by transfer (He et al. 2016)."""

from __future__ import annotations

from matlens.models.preprocess import CaffeMeans
from matlens.models.registry import register
from matlens.models.spec import KERAS_DRAFT, MLP, ModelSpec, WeightsFile

_FILE = "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"

register(ModelSpec(
    "resnet50_transfer", "ResNet50 transfer", "keras", backbone="ResNet50", preprocess=CaffeMeans(),
    weights=(WeightsFile(_FILE, f"https://storage.googleapis.com/tensorflow/keras-applications/resnet/{_FILE}",
                         "md5:4d473c1dd8becc155b73f8504c6f6626"),),
    head=MLP(512, dropout=0.5), strong_cut="conv4_block6_out", draft_environment=KERAS_DRAFT,
    in_default_run=True, rank=2))
