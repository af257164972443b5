"""VGG19 from scratch (Simonyan and Zisserman 2014, configuration E)."""

from __future__ import annotations

from functools import partial
from typing import Any

from matlens.models.registry import register
from matlens.models.spec import ModelSpec, NetworkOrder


def _network(order: NetworkOrder) -> Any:
    from matlens.models.keras.networks.vgg19 import vgg19

    return partial(vgg19, num_classes=order.num_classes)


register(ModelSpec("vgg19_scratch", "VGG19 from scratch", "keras", network=_network, pooling="max_flatten",
                   learning_rate=1e-4, in_default_run=True, rank=1,
                   demo_epochs=13))  # a deep network without normalisation needs more before it begins to learn
