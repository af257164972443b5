"""Count a network's parameters and operations without making its numbers: every variable has a shape alone."""

from collections.abc import Iterator
from math import prod
from typing import Any

import keras
from keras import layers

from matlens.models.keras.cut import operations_of
from matlens.models.keras.networks.applications import backbone_of
from matlens.models.library import ModelFacts
from matlens.models.protocol import BuildOrder
from matlens.models.spec import ModelSpec

_COUNTED = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D, layers.Dense)
_CLASSES = 1000
"""Of a network that is no backbone under a head."""


def facts(spec: ModelSpec, img_size: tuple[int, int]) -> ModelFacts:
    """Count a Keras model. Raises ModelError where the installed version does not have its backbone."""
    shape = (*img_size, 3)
    with keras.StatelessScope():
        if spec.network is None:
            network = backbone_of(spec, None, include_top=False, input_shape=shape, **spec.options)
        else:
            image = keras.Input(shape)
            network = keras.Model(image, spec.network(BuildOrder(spec.name, _CLASSES, img_size))(image))
    return ModelFacts(sum(prod(weight.shape) for weight in network.trainable_weights),
                      sum(_operations(layer) for layer in _layers(network)), img_size)


def _operations(layer: Any) -> int:
    """Count two for each multiplication and addition of a convolution or a dense layer: nothing else takes long."""
    places = prod(layer.output.shape[1:-1])
    return 2 * places * sum(prod(weight.shape) for weight in layer.trainable_weights if len(weight.shape) > 1)


def _layers(network: keras.Model) -> Iterator[Any]:
    for operation in operations_of(network):
        if isinstance(operation, keras.Model):
            yield from _layers(operation)
        elif isinstance(operation, _COUNTED):
            yield operation
