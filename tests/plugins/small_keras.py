"""A throw-away file that adds a Keras network of its own layers, which is built and traced in a moment.

An epoch takes long enough to be interrupted.
"""

from __future__ import annotations

from typing import Any

from matlens.models.registry import register
from matlens.models.spec import ModelSpec, NetworkOrder


def _network(order: NetworkOrder) -> Any:
    from keras import layers

    def network(x: Any) -> Any:
        for width in (32, 96, 96):
            x = layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
            x = layers.BatchNormalization()(x)
            x = layers.ReLU()(x)
        x = layers.GlobalAveragePooling2D()(layers.MaxPooling2D()(x))
        x = layers.Dropout(0.2)(x)
        return layers.Dense(order.num_classes, activation="softmax")(x)

    return network


register(ModelSpec("acme/small", "Small", "keras", network=_network))
