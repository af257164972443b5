"""The gradient of a class score at any layer, by the back end's own differentiation."""

from functools import partial
from typing import Any

import keras

from matlens.errors import ModelError
from matlens.models.keras.backends import backend
from matlens.models.keras.cut import find_backbone, operations_of
from matlens.system.registry import did_you_mean
from matlens.types import Array, Labels


def features_and_gradients(model: keras.Model, images: Array, classes: Labels, layer_name: str) -> tuple[Array, Array]:
    """See `models.protocol.Classifier`. Raises ModelError where there is no such layer, or it gives no feature map."""
    return backend().features_and_gradients(_with_outputs(model, layer_name), partial(_logits, model), images, classes,
                                            layer_name)


def _logits(model: keras.Model, last: Any) -> Any:
    """Class scores before softmax, from what goes into the last layer."""
    layer = model.layers[-1]
    if isinstance(layer, keras.layers.Dense):
        scores = keras.ops.matmul(last, layer.kernel)
        return scores + layer.bias if layer.use_bias else scores
    if isinstance(layer, keras.layers.Softmax) or getattr(layer, "activation", None) is keras.activations.softmax:
        return last
    return layer(last)


def _with_outputs(model: keras.Model, layer_name: str) -> keras.Model:
    """Return a model of two outputs: the layer's, and what goes into the last layer."""
    own = {operation.name: operation for operation in operations_of(model)}
    backbone = find_backbone(model)
    inner = {} if backbone is None else {operation.name: operation for operation in operations_of(backbone)}
    if layer_name in own and own[layer_name] is not backbone:
        return _checked(keras.Model(model.inputs[0], [own[layer_name].output, model.layers[-1].input]), layer_name)
    if backbone is None or layer_name not in inner:
        known = [name for name, layer in (inner or own).items() if len(getattr(layer.output, "shape", ())) == 4]
        raise ModelError(f"{model.name} has no layer '{layer_name}'.{did_you_mean(layer_name, known)} The last with "
                         f"feature maps are {', '.join(known[-5:])}.")
    opened = keras.Model(backbone.inputs[0], [inner[layer_name].output, backbone.output])
    image = x = keras.Input(model.input_shape[1:])
    features = None
    for layer in model.layers[1:-1]:
        if layer is backbone:
            features, x = opened(x)
        else:
            x = layer(x)
    return _checked(keras.Model(image, [features, x]), layer_name)


def _checked(grad_model: keras.Model, layer_name: str) -> keras.Model:
    if len(grad_model.outputs[0].shape) != 4:
        raise ModelError(f"The layer '{layer_name}' gives no feature map to explain.")
    return grad_model
