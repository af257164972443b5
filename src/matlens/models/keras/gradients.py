"""The gradient of a class score at any layer, by TensorFlow's own differentiation."""

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from matlens.errors import ModelError
from matlens.models.keras.cut import find_backbone
from matlens.types import Array


def features_and_gradients(model: keras.Model, images: Array, classes: npt.NDArray[np.int64], layer_name: str,
                           ) -> tuple[Array, Array]:
    """See `models.protocol.Classifier`. Raises ModelError where the layer is not there, or gives no feature map."""
    grad_model = _with_outputs(model, layer_name)
    photos = tf.convert_to_tensor(np.asarray(images, dtype=np.float32))
    with tf.GradientTape() as tape:
        tape.watch(photos)  # or the tape would see nothing of frozen layers
        features, last = grad_model(photos, training=False)
        score = tf.gather(_logits(model, last), np.asarray(classes), batch_dims=1)
    gradients = tape.gradient(score, features)
    if gradients is None:
        raise ModelError(f"The class scores do not depend on the layer '{layer_name}'.")
    return features.numpy(), gradients.numpy()


def _logits(model: keras.Model, last: tf.Tensor) -> tf.Tensor:
    """Class scores before softmax, from what goes into the last layer."""
    layer = model.layers[-1]
    if isinstance(layer, keras.layers.Dense):
        scores = tf.matmul(last, layer.kernel)
        return scores + layer.bias if layer.use_bias else scores
    if isinstance(layer, keras.layers.Softmax) or getattr(layer, "activation", None) is keras.activations.softmax:
        return last
    return layer(last)


def _with_outputs(model: keras.Model, layer_name: str) -> keras.Model:
    """A model of two outputs: the layer's, and what goes into the last layer."""
    own = {layer.name: layer for layer in model.layers}
    backbone = find_backbone(model)
    inner = {layer.name: layer for layer in backbone.layers} if backbone is not None else {}
    if layer_name in own and own[layer_name] is not backbone:
        return _checked(keras.Model(model.inputs[0], [own[layer_name].output, model.layers[-1].input]), layer_name)
    if backbone is None or layer_name not in inner:
        known = [name for name, layer in (inner or own).items() if len(getattr(layer.output, "shape", ())) == 4]
        raise ModelError(f"{model.name} has no layer '{layer_name}'; the last with feature maps are "
                         f"{', '.join(known[-5:])}.")
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
