"""VGG19 from scratch (Simonyan and Zisserman 2014, configuration E)."""

from __future__ import annotations

from typing import Any

from matlens.models.protocol import BuildOrder
from matlens.models.registry import register
from matlens.models.spec import ModelSpec


def _build(order: BuildOrder) -> Any:
    from matlens.models.keras.vgg19 import build_vgg19

    return build_vgg19((*order.img_size, 3), order.num_classes), None


register(ModelSpec("vgg19_scratch", "VGG19 from scratch", "keras", ".h5", _build, in_default_run=True, rank=1))
