"""Change the weights of a Keras model's head."""

import keras

from matlens.errors import ModelError
from matlens.models.head import Head, refuse_other_layers
from matlens.models.keras.cut import find_cut, head_of
from matlens.types import Array


def put_head(model: keras.Model, head: Head) -> None:
    """Set the weights of the head. Raises ModelError for a head of other layers."""
    cut = find_cut(model)
    refuse_other_layers(head_of(cut), head, model.name)
    for layer, dense in zip(cut.dense, head.layers, strict=True):
        layer.set_weights([dense.kernel, dense.bias])


def shift_last_biases(model: keras.Model, by: Array) -> None:
    """Add to the biases of the last dense layer, (C,). Raises ModelError where the model does not end with such."""
    last = find_cut(model).dense[-1:]
    if not last or not last[0].use_bias:
        raise ModelError(f"{model.name} does not end with a dense layer that has biases, so its scores cannot be "
                         "shifted. Leave --logit-adjustment out; --class-weights balanced needs none.")
    last[0].bias.assign(keras.ops.convert_to_numpy(last[0].bias) + by)
