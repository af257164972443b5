"""From photos in [0, 1] to what a network was trained on, as layers that Keras' safe mode opens; and what others take.
"""

from collections.abc import Iterator
from functools import singledispatch
from typing import Any, Literal

import keras
import numpy as np

from matlens.models.keras.cut import operations_of
from matlens.models.preprocess import CaffeMeans, Preprocess, Scale, Standardise

_CAFFE = "caffe_preprocessing"
_SCALES_BYTES = 0.1
"""Below are scales for bytes: 1/255, 1/127.5, or by the deviation of a channel, 1/58."""


@singledispatch
def preprocessing_layer(preprocess: Preprocess) -> keras.layers.Layer:
    """Return the layer that computes `preprocess` of photos (B, H, W, 3) in [0, 1]."""
    raise TypeError(f"no layer computes {preprocess!r}")


@preprocessing_layer.register
def _(preprocess: CaffeMeans) -> keras.layers.Layer:
    """One fixed 1 x 1 convolution of 9 + 3 numbers."""
    kernel = np.zeros((1, 1, 3, 3), dtype=np.float32)
    for channel in range(3):
        kernel[0, 0, 2 - channel, channel] = 255.0
    layer = keras.layers.Conv2D(3, 1, name=_CAFFE, trainable=False)
    layer.build((None, None, None, 3))
    layer.set_weights([kernel, -np.array(preprocess.means, dtype=np.float32)])
    return layer


@preprocessing_layer.register
def _(preprocess: Scale) -> keras.layers.Layer:
    """From the unit range; mode "tf" of keras.applications.imagenet_utils is to [-1, 1]."""
    low, high = float(preprocess.low), float(preprocess.high)
    return keras.layers.Rescaling(high - low, offset=low, name="unit_preprocessing")


@preprocessing_layer.register
def _(preprocess: Standardise) -> keras.layers.Layer:
    """By channel; mode "torch" of keras.applications.imagenet_utils."""
    return keras.layers.Rescaling([1 / deviation for deviation in preprocess.deviation], name="channel_preprocessing",
                                  offset=[-mean / deviation for mean, deviation in
                                          zip(preprocess.mean, preprocess.deviation, strict=True)])


_LEAVE_THE_RANGE = (keras.layers.InputLayer, keras.layers.Resizing, keras.layers.CenterCrop, keras.layers.RandomCrop,
                    keras.layers.RandomFlip, keras.layers.RandomRotation, keras.layers.RandomTranslation,
                    keras.layers.RandomZoom, keras.layers.RandomContrast, keras.layers.ZeroPadding2D,
                    keras.layers.Identity)
_HAVE_NO_RANGE = (keras.layers.Conv2D, keras.layers.SeparableConv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense,
                  keras.layers.BatchNormalization, keras.layers.Flatten, keras.layers.Reshape, keras.layers.Dropout,
                  keras.layers.MaxPooling2D, keras.layers.AveragePooling2D, keras.layers.GlobalAveragePooling2D,
                  keras.layers.GlobalMaxPooling2D, keras.layers.GaussianNoise)


def range_of_first_layer(model: keras.Model) -> tuple[Literal[1, 255] | None, bool]:
    """Return the upper end of the photos that a model's first layer is made for, and whether the layer says so.

    A layer that scales says it: by 1/255 or 1/127.5 photos in [0, 255], by 2 or not at all those in [0, 1]. One with
    weights says nothing, and takes what the package gives, [0, 1]. Of operations and layers of others the range is
    not known: None.
    """
    for layer in _operations(model):
        if isinstance(layer, keras.layers.Rescaling):
            return (255 if np.max(np.abs(layer.scale)) < _SCALES_BYTES else 1), True
        if isinstance(layer, keras.layers.Normalization):
            return _range_of_normalisation(layer)
        if not isinstance(layer, _LEAVE_THE_RANGE):
            return (1, layer.name == _CAFFE) if isinstance(layer, _HAVE_NO_RANGE) else (None, False)
    return 1, False


def _operations(model: keras.Model) -> Iterator[Any]:
    """Yield what a model computes, in order, also inside of the models that it holds."""
    for operation in operations_of(model):
        yield from _operations(operation) if isinstance(operation, keras.Model) else [operation]


def _range_of_normalisation(layer: keras.layers.Normalization) -> tuple[Literal[1, 255] | None, bool]:
    """Photos in [0, 1] have no deviation above 0.5."""
    if layer.variance is None:
        return None, False
    deviation = np.sqrt(keras.ops.convert_to_numpy(layer.variance))
    return (255 if deviation.max() > 1 else 1), bool(deviation.max() != 1)


def answers_with_probabilities(model: keras.Model) -> bool:
    """Return False where the last layer's activation cannot give the probability of one class: of logits, mostly."""
    last = model.layers[-1]
    if isinstance(last, keras.Model):
        return answers_with_probabilities(last)
    activation = getattr(last, "activation", None)
    return activation is None or getattr(activation, "__name__", "") in ("sigmoid", "hard_sigmoid")
